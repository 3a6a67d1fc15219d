from worklist.models.images import ExceptionItem, ExceptionKind, ImagingInstance, ImagingSeries, ImagingStudy
from worklist.models.performed import ConsumableUse, PerformedProcedureStep, PPSStatus, RejectedExposure
from worklist.models.rooms import OpeningHours, Room, RoomCapability, Station
from worklist.models.schedule import LIVE, Reservation, ReservationKind, ReservationStatus, ScheduledProcedureStep, SPSStatus
from worklist.models.screening import Question, Questionnaire, QuestionnaireAssignment, ScreeningAnswer

__all__ = [
    "LIVE",
    "ConsumableUse",
    "ExceptionItem",
    "ExceptionKind",
    "ImagingInstance",
    "ImagingSeries",
    "ImagingStudy",
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
]
