from rest_framework.routers import BaseRouter

from worklist.api.arrivals import (
    ContactPreferenceViewSet,
    DisplayViewSet,
    ReminderViewSet,
    TicketViewSet,
)
from worklist.api.exams import PerformedStepViewSet, ScreeningViewSet, StepViewSet, WorklistItemViewSet
from worklist.api.images import ExceptionViewSet, StudyViewSet
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
from worklist.api.schedule import AppointmentViewSet, RoomViewSet, StationViewSet


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
    router.register("exceptions", ExceptionViewSet, basename="exception")
