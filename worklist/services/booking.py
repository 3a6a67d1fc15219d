"""Appointments, holds and blocked time. The database refuses overlap; here it is explained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import AppointmentBooked, AppointmentCancelled, SlotFreed
from worklist.models import (
    OFFERED,
    AppointmentSeries,
    Reservation,
    ReservationKind,
    ReservationStatus,
    Room,
    ScheduledProcedureStep,
    SPSStatus,
    Station,
)
from worklist.services import rendering, slots
from worklist.services.shifts import booking_warnings
from worklist.services.steps import (
    check_bookable,
    make_step,
    move_steps,
    offer,
    offered_step,
    reopen,
    schedule_procedure,
    steps_of,
)
from worklist.services.support import lock_procedure, now

HOLD_MINUTES = 5
OPEN_APPOINTMENT = (ReservationStatus.BOOKED, ReservationStatus.ARRIVED)


@dataclass(frozen=True)
class Wish:
    """A place and a time, checked and ready to be reserved."""

    room: Room
    station: Station | None
    starts_at: datetime
    ends_at: datetime
    is_overbooked: bool = False
    reason: str = ""


def lock_room(room: Room) -> Room:
    """Bookings of one room go one after the other, so that two never wait for each other inside the constraint."""
    return Room.objects.select_for_update(of=("self",), no_key=True).get(pk=room.pk)


def expire_holds(room: Room) -> int:
    """Holds that ran out give their time back, in the transaction that wants it."""
    holds = list(Reservation.objects.select_for_update().filter(room=room).expired_holds())
    for hold in holds:
        hold.move_to(ReservationStatus.CANCELLED)
        hold.save_as(SYSTEM, "Hold ran out")
    return len(holds)


def _release_own_holds(wish: Wish, actor: Actor) -> None:
    """Who holds a time may book it."""
    if actor.user is None:
        return
    holds = Reservation.objects.live().filter(
        room=wish.room,
        kind=ReservationKind.HOLD,
        held_by=actor.user,
        starts_at__lt=wish.ends_at,
        ends_at__gt=wish.starts_at,
    )
    for hold in holds.select_for_update():
        hold.move_to(ReservationStatus.CANCELLED)
        hold.save_as(actor, "Held time is booked")


def _wish(
    procedure: RequestedProcedure,
    *,
    station: Station | None,
    room: Room | None,
    starts_at: datetime,
    duration_minutes: int | None,
    overbook: bool,
    reason: str,
    actor: Actor,
) -> Wish:
    slots.check_time(starts_at)
    place, chosen = slots.choose_place(procedure, station=station, room=room)
    minutes = slots.duration_of(procedure, place, duration_minutes)
    wish = Wish(place, chosen, starts_at, starts_at + timedelta(minutes=minutes), overbook, reason.strip())
    if overbook:
        actor.require(perms.OVERBOOK)
        if not wish.reason:
            words = _("An overbooking needs a reason.")
            raise InvalidData(words, errors={"reason": words})
    lock_room(place)
    expire_holds(place)
    _release_own_holds(wish, actor)
    if not overbook:
        slots.check_opening(place, wish.starts_at, wish.ends_at, procedure=procedure)
    return wish


def _reserve(reservation: Reservation, wish: Wish, actor: Actor, why: str) -> Reservation:
    """Save it, or say who has that time."""
    reservation.room, reservation.station = wish.room, wish.station
    reservation.starts_at, reservation.ends_at = wish.starts_at, wish.ends_at
    reservation.is_overbooked, reservation.reason = wish.is_overbooked, wish.reason
    try:
        with transaction.atomic():
            reservation.save_as(actor, why)
    except IntegrityError as refusal:
        constraint = getattr(getattr(refusal.__cause__, "diag", None), "constraint_name", "")
        if constraint != "no_overlap_in_a_room":
            raise
        raise slots.slot_taken(
            wish.room, wish.starts_at, wish.ends_at, procedure=reservation.procedure, actor=actor
        ) from None
    return reservation


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def book_appointment(
    procedure: RequestedProcedure,
    *,
    station: Station | None = None,
    room: Room | None = None,
    starts_at: datetime,
    duration_minutes: int | None = None,
    overbook: bool = False,
    reason: str = "",
    technologist: User | None = None,
    series: AppointmentSeries | None = None,
    actor: Actor,
) -> Reservation:
    """Reserve the room, plan the step, offer it to scanners. ``reservation.warnings`` holds what was overlooked.

    Raises SlotTaken (who has that time, what is free), RoomClosed, TimeReserved, InvalidData (this room cannot do it),
    InvalidTransition (the exam is not there yet), Conflict (it has an appointment).
    """
    procedure = lock_procedure(procedure)
    check_bookable(procedure)
    _refuse_second_appointment(procedure)
    wish = _wish(
        procedure,
        station=station,
        room=room,
        starts_at=starts_at,
        duration_minutes=duration_minutes,
        overbook=overbook,
        reason=reason,
        actor=actor,
    )
    procedure = reopen(procedure, actor)
    blank = Reservation(kind=ReservationKind.APPOINTMENT, procedure=procedure, technologist=technologist, series=series)
    reservation = _reserve(blank, wish, actor, "Overbooked" if overbook else "Booked")
    step = offered_step(procedure) or make_step(procedure, station=wish.station, starts_at=wish.starts_at)
    _plan(step, reservation, actor)
    schedule_procedure(procedure, actor)
    offer(step, actor)
    _tell_booked(reservation, actor)
    reservation.warnings = booking_warnings(reservation)
    return reservation


def _refuse_second_appointment(procedure: RequestedProcedure) -> None:
    known = procedure.appointments.filter(kind=ReservationKind.APPOINTMENT, status__in=OPEN_APPOINTMENT).first()
    if known is not None:
        raise Conflict(
            _("This exam has an appointment."),
            asked=_("A new appointment."),
            found=slots.asked_words(known.room, known.starts_at, known.ends_at),
            todo=_("Move that appointment, or cancel it first."),
        )


def _plan(step: ScheduledProcedureStep, reservation: Reservation, actor: Actor) -> None:
    step.appointment, step.station, step.starts_at = reservation, reservation.station, reservation.starts_at
    if reservation.station is not None:
        step.modality = reservation.station.modality
    step.save_as(actor, "Planned with its appointment")


def _tell_booked(reservation: Reservation, actor: Actor) -> None:
    assert reservation.procedure is not None
    publish(
        AppointmentBooked(
            str(reservation.uuid),
            accession_number=reservation.accession_number,
            version=reservation.version,
            procedure=str(reservation.procedure.uuid),
        ),
        actor=actor,
    )


def _over(reservation: Reservation, asked: str) -> InvalidTransition:
    return InvalidTransition(
        _("This appointment is over."),
        asked=asked,
        found=_("It is: %(status)s.") % {"status": reservation.get_status_display()},
        todo=_("Book a new one."),
    )


def lock_appointment(appointment: Reservation) -> tuple[Reservation, RequestedProcedure]:
    """The appointment and its procedure, the procedure locked first."""
    if appointment.procedure is None:
        raise InvalidData(_("This is not an appointment of an exam."))
    procedure = lock_procedure(appointment.procedure)
    locked = Reservation.locked(appointment.pk)
    locked.procedure = procedure
    return locked, procedure


@service(perms.BOOK_APPOINTMENT)
def reschedule_appointment(
    appointment: Reservation,
    *,
    station: Station | None = None,
    room: Room | None = None,
    starts_at: datetime,
    duration_minutes: int | None = None,
    reason: str = "",
    overbook: bool = False,
    technologist: User | None = None,
    actor: Actor,
) -> Reservation:
    """Move it in time or place; its history keeps where it was. Without a place it stays where it is."""
    reservation, procedure = lock_appointment(appointment)
    if reservation.status not in OPEN_APPOINTMENT:
        raise _over(reservation, _("Another time."))
    if station is None and room is None:
        station, room = reservation.station, reservation.room
    minutes = duration_minutes if duration_minutes is not None else reservation.duration_minutes
    wish = _wish(
        procedure,
        station=station,
        room=room,
        starts_at=starts_at,
        duration_minutes=minutes,
        overbook=overbook,
        reason=reason if overbook else "",
        actor=actor,
    )
    if technologist is not None:
        reservation.technologist = technologist
    was = (reservation.room, reservation.starts_at, reservation.ends_at)
    _reserve(reservation, wish, actor, f"Moved: {reason}" if reason else "Moved")
    if was != (reservation.room, reservation.starts_at, reservation.ends_at):
        tell_freed(reservation, *was, actor)
    for step in steps_of(procedure, *OFFERED):
        step.station, step.starts_at = wish.station, wish.starts_at
        if wish.station is not None:
            step.modality = wish.station.modality
        step.appointment = reservation
        rendering.save_step(step, actor, "Moved with its appointment")
    _tell_booked(reservation, actor)
    reservation.warnings = booking_warnings(reservation)
    return reservation


@service(perms.BOOK_APPOINTMENT)
def cancel_appointment(appointment: Reservation, *, reason: str, actor: Actor) -> Reservation:
    """Give the time back; the exam waits for a new one."""
    reason = _reason(reason)
    reservation, procedure = lock_appointment(appointment)
    if reservation.status not in OPEN_APPOINTMENT:
        raise _over(reservation, _("To cancel it."))
    reservation.move_to(ReservationStatus.CANCELLED)
    reservation.reason = reservation.reason or reason
    reservation.save_as(actor, f"Cancelled: {reason}")
    move_steps(steps_of(procedure, *OFFERED), SPSStatus.CANCELED, actor, f"Appointment cancelled: {reason}")
    if procedure.status in (ProcedureStatus.SCHEDULED, ProcedureStatus.ARRIVED):
        orders.mark_unscheduled(procedure, actor=actor)
    tell_cancelled(reservation, actor)
    return reservation


@service(perms.BOOK_APPOINTMENT)
def cancel_step(step: ScheduledProcedureStep, *, reason: str, actor: Actor) -> ScheduledProcedureStep:
    """Take a step from the worklist, with its appointment when it has one; the exam waits for a new time."""
    reason = _reason(reason)
    procedure = lock_procedure(step.procedure)
    reservation = procedure.appointments.filter(kind=ReservationKind.APPOINTMENT, status__in=OPEN_APPOINTMENT).first()
    if reservation is not None:
        cancel_appointment(reservation, reason=reason, actor=actor)
        return ScheduledProcedureStep.objects.get(pk=step.pk)
    step = rendering.renderable(pk=step.pk)[0]
    move_steps([step], SPSStatus.CANCELED, actor, f"Cancelled: {reason}")
    if procedure.status in (ProcedureStatus.SCHEDULED, ProcedureStatus.ARRIVED) and offered_step(procedure) is None:
        orders.mark_unscheduled(procedure, actor=actor)
    return step


def tell_freed(
    reservation: Reservation, room: Room, starts_at: datetime, ends_at: datetime, actor: Actor | None
) -> None:
    """Time that somebody else may have: who waits is asked."""
    if ends_at <= now():
        return
    publish(
        SlotFreed(
            str(reservation.uuid),
            accession_number=reservation.accession_number,
            version=reservation.version,
            room=str(room.uuid),
            starts_at=starts_at.isoformat(),
            ends_at=ends_at.isoformat(),
        ),
        actor=actor,
    )


def tell_cancelled(reservation: Reservation, actor: Actor | None) -> None:
    tell_freed(reservation, reservation.room, reservation.starts_at, reservation.ends_at, actor)
    publish(
        AppointmentCancelled(
            str(reservation.uuid),
            accession_number=reservation.accession_number,
            version=reservation.version,
            procedure=str(reservation.procedure.uuid) if reservation.procedure else "",
            outcome=reservation.status,
        ),
        actor=actor,
    )


def release_procedure(procedure: RequestedProcedure, actor: Actor, reason: str) -> None:
    """A procedure that will not be done: its steps leave the worklist, its time is free."""
    move_steps(steps_of(procedure, *OFFERED), SPSStatus.CANCELED, actor, reason)
    open_ones = procedure.appointments.select_for_update().filter(status__in=OPEN_APPOINTMENT)
    for reservation in open_ones:
        reservation.move_to(ReservationStatus.CANCELLED)
        reservation.save_as(actor, reason)
        if reservation.kind == ReservationKind.APPOINTMENT:
            tell_cancelled(reservation, actor)


def _reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        words = _("Say why.")
        raise InvalidData(words, errors={"reason": words})
    return reason


# --- holds and blocks


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def hold_slot(
    room: Room,
    *,
    starts_at: datetime,
    duration_minutes: int = slots.DEFAULT_MINUTES,
    procedure: RequestedProcedure | None = None,
    minutes: int = HOLD_MINUTES,
    actor: Actor,
) -> Reservation:
    """Keep a time for a few minutes, in the holder's name, while the patient makes up their mind."""
    if actor.user is None:
        raise InvalidData(_("Only a person can hold a time."))
    slots.check_time(starts_at)
    wish = Wish(room, None, starts_at, starts_at + timedelta(minutes=duration_minutes))
    lock_room(room)
    expire_holds(room)
    _release_own_holds(wish, actor)
    slots.check_opening(room, wish.starts_at, wish.ends_at, procedure=procedure)
    hold = Reservation(
        kind=ReservationKind.HOLD,
        procedure=procedure,
        held_by=actor.user,
        hold_expires_at=now() + timedelta(minutes=minutes),
    )
    return _reserve(hold, wish, actor, "Held")


@service(perms.BOOK_APPOINTMENT)
def release_hold(hold: Reservation, *, actor: Actor) -> Reservation:
    hold = Reservation.locked(hold.pk)
    if hold.kind != ReservationKind.HOLD:
        raise InvalidData(_("This is not a held time."))
    hold.move_to(ReservationStatus.CANCELLED)
    hold.save_as(actor, "Released")
    return hold


@service(perms.BLOCK_ROOM, action=Action.CREATE)
def block_room(room: Room, *, starts_at: datetime, ends_at: datetime, reason: str, actor: Actor) -> Reservation:
    """Keep a room free of appointments: maintenance, lunch, emergency reserve."""
    reason = _reason(reason)
    slots.check_time(starts_at)
    if ends_at <= starts_at:
        words = _("It must end after it begins.")
        raise InvalidData(words, errors={"ends_at": words})
    lock_room(room)
    expire_holds(room)
    wish = Wish(room, None, starts_at, ends_at, reason=reason)
    return _reserve(Reservation(kind=ReservationKind.BLOCK), wish, actor, f"Blocked: {reason}")


@service(perms.BLOCK_ROOM)
def unblock_room(block: Reservation, *, actor: Actor) -> Reservation:
    block = Reservation.locked(block.pk)
    if block.kind != ReservationKind.BLOCK:
        raise InvalidData(_("This is not blocked time."))
    block.move_to(ReservationStatus.CANCELLED)
    block.save_as(actor, "Opened again")
    return block
