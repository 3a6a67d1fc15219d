from django.urls import path
from rest_framework.routers import BaseRouter

from worklist.api.arrivals import (
    ContactPreferenceViewSet,
    DisplayViewSet,
    ReminderViewSet,
    TicketViewSet,
)
from worklist.api.exams import PerformedStepViewSet, ScreeningViewSet, StepViewSet
from worklist.api.images import ExceptionViewSet, StudyViewSet
from worklist.api.papers import (
    AdverseEventViewSet,
    CompletionViewSet,
    ConsumableViewSet,
    ExposureViewSet,
    ImageCountViewSet,
    ProductViewSet,
    QuestionnaireViewSet,
    RejectViewSet,
    ScanView,
    TimeOutViewSet,
)
from worklist.api.planning import (
    ClosureViewSet,
    OfferViewSet,
    ReservedTimeViewSet,
    SeriesViewSet,
    ShiftViewSet,
    SkillViewSet,
    SlotViewSet,
    StaffViewSet,
    WaitingViewSet,
)
from worklist.api.reconciliation import ReconciliationViewSet
from worklist.api.rejections import RejectionViewSet
from worklist.api.schedule import AppointmentViewSet, RoomViewSet, StationViewSet
from worklist.api.worklist_items import WorklistItemViewSet


def register(router: BaseRouter) -> None:
    router.register("rooms", RoomViewSet, basename="room")
    router.register("stations", StationViewSet, basename="station")
    router.register("appointments", AppointmentViewSet, basename="appointment")
    router.register("slots", SlotViewSet, basename="slot")
    router.register("series", SeriesViewSet, basename="series")
    router.register("waiting-list", WaitingViewSet, basename="waiting-entry")
    router.register("slot-offers", OfferViewSet, basename="slot-offer")
    router.register("skills", SkillViewSet, basename="skill")
    router.register("staff", StaffViewSet, basename="staff-profile")
    router.register("shifts", ShiftViewSet, basename="shift")
    router.register("closures", ClosureViewSet, basename="closure")
    router.register("reserved-times", ReservedTimeViewSet, basename="reserved-time")
    router.register("queue-tickets", TicketViewSet, basename="queue-ticket")
    router.register("waiting-room-displays", DisplayViewSet, basename="waiting-room-display")
    router.register("contact-preferences", ContactPreferenceViewSet, basename="contact-preference")
    router.register("reminders", ReminderViewSet, basename="reminder")
    router.register("steps", StepViewSet, basename="step")
    router.register("performed-steps", PerformedStepViewSet, basename="performed-step")
    router.register("screenings", ScreeningViewSet, basename="screening")
    router.register("worklist-items", WorklistItemViewSet, basename="worklist-item")
    router.register("studies", StudyViewSet, basename="study")
    router.register("rejections", RejectionViewSet, basename="rejection")
    router.register("exceptions", ExceptionViewSet, basename="exception")
    router.register("reconciliations", ReconciliationViewSet, basename="reconciliation")
    router.register("time-outs", TimeOutViewSet, basename="time-out")
    router.register("consumables", ConsumableViewSet, basename="consumable")
    router.register("exposures", ExposureViewSet, basename="exposure")
    router.register("rejects", RejectViewSet, basename="reject")
    router.register("adverse-events", AdverseEventViewSet, basename="adverse-event")
    router.register("image-counts", ImageCountViewSet, basename="image-count")
    router.register("completions", CompletionViewSet, basename="completion")
    router.register("products", ProductViewSet, basename="product")
    router.register("questionnaires", QuestionnaireViewSet, basename="questionnaire")


urlpatterns = [path("scan/", ScanView.as_view(), name="scan")]
