"""The waiting list: who wants a time that gets free, in order; what is offered, accepted, declined, run out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import Priority, RequestedProcedure, Sex
from ris.audit.models import Action
from ris.audit.service import service
from ris.core import text
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import AlreadyExists, Conflict, InvalidData, InvalidTransition
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import OfferAnswered, SlotFreed, SlotOffered
from worklist.models import (
    RANKS,
    OfferStatus,
    Reservation,
    ReservationKind,
    ReservationStatus,
    Room,
    SlotOffer,
    WaitingEntry,
    WaitingStatus,
)
from worklist.services import booking, slots
from worklist.services.openings import StaffWish, Window, load_calendars, on_the_step
from worklist.services.shifts import skills_for
from worklist.services.steps import check_bookable
from worklist.services.support import lock_procedure, now

#: How long a time is kept for who is asked.
OFFER_MINUTES = 30
#: Who waits at home needs at least so long to come.
NOTICE = timedelta(minutes=30)
#: A time must not be given away so shortly before it begins that nobody else can come.
LAST_MINUTES = timedelta(minutes=15)
CONSIDERED = 100
WISHES = (
    "earliest",
    "latest",
    "time_from",
    "time_until",
    "weekdays",
    "room",
    "technologist_sex",
    "priority",
    "note",
)


# --- entries


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def add_to_waiting_list(procedure: RequestedProcedure, *, actor: Actor, **wishes: Any) -> WaitingEntry:
    """Let an exam wait for a time that gets free; one that has an appointment for an earlier one.

    ``wishes``: earliest, latest, time_from, time_until, weekdays, room, technologist_sex, priority, note.
    """
    procedure = lock_procedure(procedure)
    check_bookable(procedure)
    known = WaitingEntry.objects.open().filter(procedure=procedure).first()
    if known is not None:
        raise AlreadyExists(
            _("This exam is on the waiting list."),
            asked=_("To put it on the waiting list."),
            found=_("It waits since %(when)s.") % {"when": text.stamp(known.created_at)},
            todo=_("Change that entry instead."),
            errors={"procedure": _("It is on the list.")},
        )
    wishes.setdefault("priority", str(procedure.order.priority))
    if wishes.get("latest") is None and procedure.due_by is not None and procedure.due_by >= timezone.localdate():
        wishes["latest"] = procedure.due_by
    entry = WaitingEntry(procedure=procedure, keeps_appointment=_appointment_of(procedure) is not None)
    _set_wishes(entry, wishes)
    entry.save_as(actor, "Put on the waiting list")
    return entry


@service(perms.BOOK_APPOINTMENT)
def change_waiting_entry(entry: WaitingEntry, *, actor: Actor, **wishes: Any) -> WaitingEntry:
    """Other wishes; the place in the list stays, as far as the priority does."""
    entry = _locked_entry(entry)
    _refuse_closed(entry, _("Other wishes."))
    _set_wishes(entry, wishes)
    entry.save_as(actor, "Wishes changed")
    return entry


@service(perms.BOOK_APPOINTMENT)
def withdraw_waiting_entry(entry: WaitingEntry, *, reason: str, actor: Actor) -> WaitingEntry:
    """Take it from the list; what is offered to it goes to the next."""
    reason = reason.strip()
    if not reason:
        raise InvalidData(_("Say why."), errors={"reason": _("Say why.")})
    entry = _locked_entry(entry)
    _refuse_closed(entry, _("To take it from the list."))
    _close(entry, WaitingStatus.WITHDRAWN, OfferStatus.WITHDRAWN, actor, f"Withdrawn: {reason}")
    return entry


def _set_wishes(entry: WaitingEntry, wishes: dict[str, Any]) -> None:
    unknown = set(wishes) - set(WISHES)
    if unknown:
        raise TypeError(f"no such wish: {sorted(unknown)}")
    for name, value in wishes.items():
        setattr(entry, name, sorted(set(value)) if name == "weekdays" else value)
    errors: dict[str, str] = {}
    if entry.priority not in Priority.values:
        errors["priority"] = _("Not known.")
    if entry.technologist_sex and entry.technologist_sex not in Sex.values:
        errors["technologist_sex"] = _("A sex is M, F, O or U.")
    if any(not 0 <= day <= 6 for day in entry.weekdays):
        errors["weekdays"] = _("A weekday is 0 (Monday) to 6 (Sunday).")
    if entry.earliest and entry.latest and entry.latest < entry.earliest:
        errors["latest"] = _("It must end after it begins.")
    if entry.latest and entry.latest < timezone.localdate():
        errors["latest"] = _("That day is over.")
    if entry.time_from and entry.time_until and entry.time_until <= entry.time_from:
        errors["time_until"] = _("It must end after it begins.")
    if errors:
        raise InvalidData(_("The wishes do not fit together."), errors=errors)
    entry.rank = RANKS[Priority(entry.priority)]
    entry.note = entry.note.strip()[:200]


def _locked_entry(entry: WaitingEntry) -> WaitingEntry:
    """The procedure is locked first, as everywhere."""
    procedure = lock_procedure(entry.procedure)
    locked = WaitingEntry.locked(entry.pk)
    locked.procedure = procedure
    return locked


def _refuse_closed(entry: WaitingEntry, asked: str) -> None:
    if entry.status not in (WaitingStatus.WAITING, WaitingStatus.OFFERED):
        raise InvalidTransition(
            _("This exam does not wait any more."),
            asked=asked,
            found=_("It is: %(status)s.") % {"status": entry.get_status_display()},
            todo=_("Put it on the waiting list again when it still needs a time."),
        )


def _appointment_of(procedure: RequestedProcedure) -> Reservation | None:
    return procedure.appointments.filter(kind=ReservationKind.APPOINTMENT, status__in=booking.OPEN_APPOINTMENT).first()


def _close(entry: WaitingEntry, status: str, offers: str, actor: Actor, reason: str) -> None:
    for offer in SlotOffer.objects.select_for_update().filter(entry=entry, status=OfferStatus.OPEN):
        _end_offer(offer, offers, actor, reason)
    entry.move_to(status)
    entry.save_as(actor, reason)


def close_waiting(procedure: RequestedProcedure, *, is_booked: bool, actor: Actor) -> None:
    """An exam that has a time waits no more, unless it keeps that time until an earlier one comes."""
    entries = WaitingEntry.objects.open().filter(procedure=procedure).select_related("procedure")
    for entry in entries.select_for_update(of=("self",)):
        if is_booked and entry.keeps_appointment:
            continue
        if is_booked:
            _close(entry, WaitingStatus.BOOKED, OfferStatus.WITHDRAWN, actor, "Booked")
        else:
            _close(entry, WaitingStatus.WITHDRAWN, OfferStatus.WITHDRAWN, actor, "Exam does not wait any more")


def note_appointment_lost(procedure: RequestedProcedure, *, actor: Actor) -> None:
    """Who waited for an earlier time waits for any now."""
    entries = WaitingEntry.objects.open().filter(procedure=procedure, keeps_appointment=True)
    for entry in entries.select_for_update():
        entry.keeps_appointment = False
        entry.save_as(actor, "Appointment lost")


# --- offering


@transaction.atomic
def offer_slot(room: Room, *, starts_at: datetime, ends_at: datetime, actor: Actor = SYSTEM) -> list[SlotOffer]:
    """Offer a time that got free to who is next on the list and can use it; what is left of it to the next."""
    begin = on_the_step(max(starts_at, now() + NOTICE))
    if begin >= ends_at or not room.is_active:
        return []
    booking.lock_room(room)
    booking.expire_holds(room)
    offers: list[SlotOffer] = []
    for entry in _who_waits(room, starts_at, begin, ends_at):
        offer = _offer_to(entry, room, begin, ends_at, actor)
        if offer is None:
            continue
        offers.append(offer)
        begin = on_the_step(offer.ends_at)
        if begin >= ends_at:
            break
    return offers


def _who_waits(room: Room, freed_at: datetime, begin: datetime, ends_at: datetime) -> Iterator[WaitingEntry]:
    """In order: the urgent first, then who waits longer. Nobody is offered the same time twice."""
    day = timezone.localtime(begin).date()
    asked = SlotOffer.objects.filter(room=room).filter(starts_at__lt=ends_at, ends_at__gt=freed_at)
    rows = (
        WaitingEntry.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(status=WaitingStatus.WAITING)
        .exclude(earliest__gt=day)
        .exclude(latest__lt=day)
        .filter(Q(room__isnull=True) | Q(room=room))
        .exclude(pk__in=asked.values("entry"))
        .select_related("procedure__order__patient", "procedure__catalogue")
        .order_by("rank", "created_at", "pk")
    )
    modalities = {row.modality for row in room.stations.all() if row.is_active}
    listed = set(room.capabilities.values_list("catalogue", flat=True))
    for entry in rows[:CONSIDERED]:
        procedure = entry.procedure
        if procedure.modality in modalities and (not listed or procedure.catalogue_id in listed):
            yield entry


def _offer_to(entry: WaitingEntry, room: Room, begin: datetime, end: datetime, actor: Actor) -> SlotOffer | None:
    """Keep the first part of the time that suits this entry; None when none does."""
    if entry.weekdays and timezone.localtime(begin).weekday() not in entry.weekdays:
        return None
    window = Window(begin, end, entry.time_from, entry.time_until)
    minutes = slots.duration_of(entry.procedure, room, None)
    [calendar] = load_calendars([room], begin, end, priority=str(entry.procedure.order.priority), with_shifts=True)
    free = next(calendar.free(timedelta(minutes=minutes), window, _staff_of(entry)), None)
    if free is None or not _is_better(entry, free.starts_at):
        return None
    expires_at = min(now() + timedelta(minutes=OFFER_MINUTES), free.starts_at - LAST_MINUTES)
    hold = Reservation(
        kind=ReservationKind.OFFER,
        procedure=entry.procedure,
        room=room,
        starts_at=free.starts_at,
        ends_at=free.ends_at,
        hold_expires_at=expires_at,
    )
    hold.save_as(actor, "Offered to the waiting list")
    offer = SlotOffer(
        entry=entry, room=room, starts_at=free.starts_at, ends_at=free.ends_at, expires_at=expires_at, hold=hold
    )
    offer.save_as(actor, "Offered")
    entry.move_to(WaitingStatus.OFFERED)
    entry.save_as(actor, "Offered a time")
    publish(
        SlotOffered(
            str(offer.uuid),
            accession_number=offer.accession_number,
            version=offer.version,
            procedure=str(entry.procedure.uuid),
            entry=str(entry.uuid),
        ),
        actor=actor,
    )
    return offer


def _staff_of(entry: WaitingEntry) -> StaffWish | None:
    wish = StaffWish(entry.technologist_sex, skills_for(entry.procedure), bool(entry.technologist_sex))
    return wish if wish else None


def _is_better(entry: WaitingEntry, starts_at: datetime) -> bool:
    """Who has an appointment is only asked for an earlier one; nobody is asked for the hour of another exam."""
    known = _appointment_of(entry.procedure)
    if known is not None and known.starts_at <= starts_at:
        return False
    others = Reservation.objects.live().filter(
        kind=ReservationKind.APPOINTMENT,
        procedure__order__patient=entry.procedure.order.patient_id,
        starts_at__lte=starts_at,
        ends_at__gt=starts_at,
    )
    return not others.exists()


# --- answering


@service(perms.BOOK_APPOINTMENT)
def accept_offer(offer: SlotOffer, *, actor: Actor) -> Reservation:
    """They come: the time is booked, or the appointment moved there."""
    offer, entry = _locked_offer(offer)
    _refuse_answered(offer, _("To accept it."))
    booking.lock_room(offer.room)
    _give_back(offer, actor, "Accepted")
    offer.move_to(OfferStatus.ACCEPTED)
    offer.save_as(actor, "Accepted")
    entry.move_to(WaitingStatus.BOOKED)
    entry.save_as(actor, "Accepted the offered time")
    _tell_answered(offer, entry, actor)
    minutes = int((offer.ends_at - offer.starts_at).total_seconds() // 60)
    known = _appointment_of(entry.procedure)
    place: dict[str, Any] = {"room": offer.room, "starts_at": offer.starts_at, "duration_minutes": minutes}
    if known is not None:
        return booking.reschedule_appointment(known, **place, reason="From the waiting list", actor=actor)
    return booking.book_appointment(entry.procedure, **place, actor=actor)


@service(perms.BOOK_APPOINTMENT)
def decline_offer(offer: SlotOffer, *, reason: str = "", actor: Actor) -> SlotOffer:
    """They cannot come: it is offered to the next, they wait on."""
    offer, entry = _locked_offer(offer)
    _refuse_answered(offer, _("To decline it."))
    offer.reason = reason.strip()[:200]
    _end_offer(offer, OfferStatus.DECLINED, actor, "Declined")
    entry.move_to(WaitingStatus.WAITING)
    entry.save_as(actor, "Declined the offered time")
    return offer


def expire_offer(offer: SlotOffer | int, *, actor: Actor = SYSTEM) -> bool:
    """Nobody answered in time: it is offered to the next, they wait on; True when it ran out now."""
    pk = offer if isinstance(offer, int) else offer.pk
    with transaction.atomic():
        row = SlotOffer.objects.select_related("entry__procedure").get(pk=pk)
        row, entry = _locked_offer(row)
        if row.status != OfferStatus.OPEN or row.expires_at > now():
            return False
        _end_offer(row, OfferStatus.EXPIRED, actor, "No answer in time")
        entry.move_to(WaitingStatus.WAITING)
        entry.save_as(actor, "No answer in time")
    return True


def claim_offers(limit: int) -> list[int]:
    """Open offers whose time is over."""
    due = SlotOffer.objects.filter(status=OfferStatus.OPEN, expires_at__lte=now())
    return list(due.order_by("expires_at").values_list("pk", flat=True)[:limit])


def _locked_offer(offer: SlotOffer) -> tuple[SlotOffer, WaitingEntry]:
    entry = _locked_entry(WaitingEntry.objects.select_related("procedure").get(pk=offer.entry_id))
    locked = SlotOffer.locked(offer.pk)
    locked.entry = entry
    return locked, entry


def _refuse_answered(offer: SlotOffer, asked: str) -> None:
    found = ""
    if offer.status != OfferStatus.OPEN:
        found = _("It is: %(status)s.") % {"status": offer.get_status_display()}
    elif offer.expires_at <= now():
        found = _("The answer was due by %(when)s.") % {"when": text.clock(offer.expires_at)}
    if found:
        raise Conflict(
            _("This offer is over."), asked=asked, found=found, todo=_("Look for another free time, or wait for one.")
        )


def _end_offer(offer: SlotOffer, status: str, actor: Actor, reason: str) -> None:
    """The time is free again, and who is next is asked."""
    offer.move_to(status)
    offer.save_as(actor, reason)
    _give_back(offer, actor, reason)
    _tell_answered(offer, offer.entry, actor)
    publish(
        SlotFreed(
            str(offer.hold.uuid),
            accession_number=offer.accession_number,
            version=offer.hold.version,
            room=str(offer.room.uuid),
            starts_at=offer.starts_at.isoformat(),
            ends_at=offer.ends_at.isoformat(),
        ),
        actor=actor,
    )


def _give_back(offer: SlotOffer, actor: Actor, reason: str) -> None:
    hold = Reservation.locked(offer.hold_id)
    if hold.status == ReservationStatus.BOOKED:
        hold.move_to(ReservationStatus.CANCELLED)
        hold.save_as(actor, reason)
    offer.hold = hold


def _tell_answered(offer: SlotOffer, entry: WaitingEntry, actor: Actor) -> None:
    publish(
        OfferAnswered(
            str(offer.uuid),
            accession_number=offer.accession_number,
            version=offer.version,
            procedure=str(entry.procedure.uuid),
            entry=str(entry.uuid),
            outcome=str(offer.status),
        ),
        actor=actor,
    )
