from worklist.models.images import ExceptionItem, ExceptionKind, ImagingInstance, ImagingSeries, ImagingStudy
from worklist.models.lookups import Like
from worklist.models.performed import (
    ConsumableUse,
    PerformedProcedureStep,
    PPSStatus,
    RejectedExposure,
    TechnologistNote,
    TimeOut,
)
from worklist.models.rooms import OpeningHours, Room, RoomCapability, Station
from worklist.models.schedule import (
    LIVE,
    OFFERED,
    OPEN_STEPS,
    Reservation,
    ReservationKind,
    ReservationStatus,
    ScheduledProcedureStep,
    SPSStatus,
)
from worklist.models.screening import Effect, Question, Questionnaire, QuestionnaireAssignment, ScreeningAnswer

__all__ = [
    "LIVE",
    "OFFERED",
    "OPEN_STEPS",
    "ConsumableUse",
    "Effect",
    "ExceptionItem",
    "ExceptionKind",
    "ImagingInstance",
    "ImagingSeries",
    "ImagingStudy",
    "Like",
    "OpeningHours",
    "PPSStatus",
    "PerformedProcedureStep",
    "Question",
    "Questionnaire",
    "QuestionnaireAssignment",
    "RejectedExposure",
    "Reservation",
    "ReservationKind",
    "ReservationStatus",
    "Room",
    "RoomCapability",
    "SPSStatus",
    "ScheduledProcedureStep",
    "ScreeningAnswer",
    "Station",
    "TechnologistNote",
    "TimeOut",
]
