"""Shifts, closures, reserved time, series, the waiting list and its offers, as far as the actor may see them."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.models import (
    AppointmentSeries,
    Closure,
    OfferStatus,
    Reservation,
    ReservedTime,
    Shift,
    Skill,
    SlotOffer,
    StaffProfile,
    WaitingEntry,
)
from worklist.selectors.schedule import appointments, rooms


def shifts(*, actor: Actor) -> QuerySet[Shift]:
    """Also withdrawn ones, in the rooms of the actor's sites."""
    if not actor.may(perms.VIEW_ROOM):
        return Shift.objects.none()
    return (
        Shift.objects.filter(room__in=rooms(actor=actor).values("pk"))
        .select_related("technologist", "room", "station")
        .order_by("starts_at", "pk")
    )


def skills(*, actor: Actor) -> QuerySet[Skill]:
    return Skill.objects.all() if actor.may(perms.VIEW_ROOM) else Skill.objects.none()


def staff_profiles(*, actor: Actor) -> QuerySet[StaffProfile]:
    if not actor.may(perms.VIEW_ROOM):
        return StaffProfile.objects.none()
    return StaffProfile.objects.select_related("user").prefetch_related("skills")


def closures(*, actor: Actor) -> QuerySet[Closure]:
    if not actor.may(perms.VIEW_ROOM):
        return Closure.objects.none()
    return Closure.objects.select_related("room", "site").order_by("starts_at", "pk")


def reserved_times(*, actor: Actor) -> QuerySet[ReservedTime]:
    if not actor.may(perms.VIEW_ROOM):
        return ReservedTime.objects.none()
    return ReservedTime.objects.filter(room__in=rooms(actor=actor).values("pk")).select_related("room")


def series(*, actor: Actor) -> QuerySet[AppointmentSeries]:
    """Series of which the actor may see an appointment; of each only what they may see."""
    if not actor.may(perms.VIEW_SCHEDULE):
        return AppointmentSeries.objects.none()
    seen = Reservation.objects.visible_to(actor).filter(series__isnull=False, procedure__isnull=False)
    ordered = appointments(actor=actor).order_by("starts_at", "pk")
    return AppointmentSeries.objects.filter(pk__in=seen.values("series")).prefetch_related(
        Prefetch("appointments", ordered)
    )


def waiting_list(*, actor: Actor) -> QuerySet[WaitingEntry]:
    """In the order in which they are asked, with what is offered to them now."""
    return (
        WaitingEntry.objects.visible_to(actor)
        .select_related("procedure__order__patient", "procedure__catalogue", "room")
        .prefetch_related(
            "procedure__order__patient__identifiers",
            "procedure__order__patient__alert_rows",
            Prefetch(
                "offers",
                SlotOffer.objects.filter(status=OfferStatus.OPEN).select_related("room"),
                to_attr="open_offers",
            ),
            Prefetch(
                "procedure__appointments",
                Reservation.objects.filter(kind="appointment", status__in=("booked", "arrived")).select_related("room"),
                to_attr="open_appointments",
            ),
        )
        .order_by("rank", "created_at", "pk")
    )


def offers(*, actor: Actor) -> QuerySet[SlotOffer]:
    return SlotOffer.objects.visible_to(actor).select_related("entry__procedure__order__patient", "room", "hold")
