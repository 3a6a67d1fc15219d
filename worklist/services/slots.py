"""Free and taken time: opening hours, who holds a time, what is free next, what a room can do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from ris.core import text
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import Conflict, InvalidData
from worklist import permissions as perms
from worklist.data import FreeSlot
from worklist.models import OpeningHours, Reservation, ReservationKind, Room, RoomCapability, Station
from worklist.services import closures, openings
from worklist.services.openings import Interval

DEFAULT_MINUTES = 20
LONGEST_MINUTES = 12 * 60
LOOK_AHEAD_DAYS = 14


class SlotTaken(Conflict):
    """Somebody else has that time. ``reservation`` holds it, ``alternatives`` are free."""

    code = "slot_taken"

    def __init__(self, *args, reservation: Reservation | None = None, alternatives: Sequence[FreeSlot] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.reservation, self.alternatives = reservation, list(alternatives)


class RoomClosed(Conflict):
    """The room is not open at that time."""

    code = "room_closed"

    def __init__(self, *args, alternatives: Sequence[FreeSlot] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.alternatives = list(alternatives)


class TimeReserved(RoomClosed):
    """The room keeps that time for emergencies."""

    code = "time_reserved"


def choose_place(
    procedure: RequestedProcedure, *, station: Station | None, room: Room | None
) -> tuple[Room, Station | None]:
    """The room and station of an appointment; refuses what cannot do this exam."""
    if station is None and room is None:
        raise InvalidData(_("Say where: a station or a room."), errors={"station": _("Choose a station or a room.")})
    if station is None:
        assert room is not None
        fitting = [row for row in room.stations.all() if row.is_active and row.modality == procedure.modality]
        station = min(fitting, key=lambda row: row.ae_title, default=None)
    place = station.room if station is not None else room
    assert place is not None
    if room is not None and place.pk != room.pk:
        raise InvalidData(_("That station stands in another room."), errors={"room": _("The station is not there.")})
    check_capability(procedure, place, station)
    return place, station


def check_capability(procedure: RequestedProcedure, room: Room, station: Station | None) -> None:
    asked = _("%(exam)s in %(room)s.") % {"exam": procedure.description, "room": room.name}
    todo = _("Choose a room that does this exam.")
    if not room.is_active or (station is not None and not station.is_active):
        raise InvalidData(
            _("That room or station is out of use."),
            asked=asked,
            found=_("It is out of use."),
            todo=todo,
            errors={"station": _("Out of use.")},
        )
    if station is None and not room.capabilities.exists():
        raise InvalidData(
            _("No station of that room does this exam."),
            asked=asked,
            found=_("Its stations do other exams."),
            todo=todo,
            errors={"room": _("No station for this modality.")},
        )
    if station is not None and procedure.modality and station.modality != procedure.modality:
        words = _("%(station)s is a %(does)s station, the exam is %(asks)s.") % {
            "station": station.ae_title,
            "does": station.modality,
            "asks": procedure.modality,
        }
        raise InvalidData(words, asked=asked, found=words, todo=todo, errors={"station": words})
    listed = list(RoomCapability.objects.filter(room=room).values_list("catalogue", flat=True))
    if listed and procedure.catalogue_id not in listed:
        words = _("%(room)s does not do this exam.") % {"room": room.name}
        raise InvalidData(words, asked=asked, found=words, todo=todo, errors={"room": words})


def duration_of(procedure: RequestedProcedure, room: Room, asked: int | None) -> int:
    """Minutes: what is asked, else the room's own, else the catalogue's."""
    minutes = asked
    if minutes is None and procedure.catalogue_id:
        own = RoomCapability.objects.filter(room=room, catalogue=procedure.catalogue_id).first()
        minutes = (own.duration_minutes if own else None) or procedure.catalogue.duration_minutes
    minutes = minutes if minutes is not None else DEFAULT_MINUTES
    if not 1 <= minutes <= LONGEST_MINUTES:
        words = _("A duration is 1 to %(most)d minutes.") % {"most": LONGEST_MINUTES}
        raise InvalidData(words, errors={"duration_minutes": words})
    return minutes


def check_time(starts_at: datetime) -> None:
    if timezone.is_naive(starts_at):
        raise InvalidData(_("A time needs its zone."), errors={"starts_at": _("Give the time with its zone.")})
    if timezone.localtime(starts_at).date() < timezone.localdate():
        words = _("That day is over.")
        raise InvalidData(words, errors={"starts_at": words}, todo=_("Choose today or a later day."))


# --- opening hours


def open_intervals(room: Room, day: date, hours: Iterable[OpeningHours] | None = None) -> list[Interval]:
    """When the room is open on a day; a room without any hours is always open."""
    return openings.open_intervals(day, hours if hours is not None else room.opening_hours.all())


def is_open(room: Room, starts_at: datetime, ends_at: datetime) -> bool:
    if not room.opening_hours.exists():
        return True
    intervals = open_intervals(room, timezone.localtime(starts_at).date())
    return any(begin <= starts_at and ends_at <= end for begin, end in intervals)


def check_opening(room: Room, starts_at: datetime, ends_at: datetime, *, procedure: RequestedProcedure | None) -> None:
    """Refuses times at which the room is shut, closed, or kept for emergencies that this exam is none of."""
    obstacle = closures.obstacle_to(room, starts_at, ends_at, priority=priority_of(procedure))
    if obstacle is None and is_open(room, starts_at, ends_at):
        return
    refusal = TimeReserved if obstacle is not None and obstacle.kind == "reserved" else RoomClosed
    found = _closed_words(room, starts_at, obstacle)
    alternatives = alternatives_for(procedure, room, starts_at, ends_at - starts_at)
    raise refusal(
        _("That time is kept for emergencies.") if refusal is TimeReserved else _("The room is closed at that time."),
        asked=asked_words(room, starts_at, ends_at),
        found=found,
        todo=todo_words(alternatives),
        errors={"starts_at": found, "next_free": free_words(alternatives)},
        alternatives=alternatives,
    )


def _closed_words(room: Room, starts_at: datetime, obstacle: openings.Obstacle | None) -> str:
    if obstacle is not None:
        words = {
            "room": room.name,
            "why": obstacle.words,
            "from": openings.moment_words(obstacle.begins),
            "until": openings.moment_words(obstacle.ends),
        }
        if obstacle.kind == "reserved":
            return _("%(room)s keeps %(from)s to %(until)s free: %(why)s.") % words
        return _("%(room)s is closed from %(from)s to %(until)s: %(why)s.") % words
    hours = ", ".join(
        f"{text.clock(begin)}–{text.clock(end)}"
        for begin, end in open_intervals(room, timezone.localtime(starts_at).date())
    )
    if hours:
        return _("%(room)s is open %(hours)s that day.") % {"room": room.name, "hours": hours}
    return _("%(room)s is closed that day.") % {"room": room.name}


def priority_of(procedure: RequestedProcedure | None) -> str:
    return str(procedure.order.priority) if procedure is not None else ""


# --- taken time


def next_free(
    rooms: Sequence[Room],
    duration: timedelta,
    *,
    after: datetime,
    limit: int = 3,
    per_room: int = 2,
    priority: str = "",
) -> list[FreeSlot]:
    """The soonest free times in these rooms, on the five minutes, within two weeks."""
    rooms = [room for room in rooms if room.is_active]
    after = max(after, timezone.now())
    window = openings.Window(after, after + timedelta(days=LOOK_AHEAD_DAYS))
    found: list[FreeSlot] = []
    for calendar in openings.load_calendars(rooms, window.after, window.before, priority=priority) if rooms else ():
        found += islice(calendar.free(duration, window), per_room)
    return sorted(found, key=lambda slot: slot.starts_at)[:limit]


def rooms_for(procedure: RequestedProcedure) -> list[Room]:
    """Active rooms that can do the exam."""
    rooms = Room.objects.filter(is_active=True).distinct()
    if procedure.modality:
        rooms = rooms.filter(stations__modality=procedure.modality, stations__is_active=True)
    else:
        rooms = rooms.filter(stations__is_active=True)
    listed = Q(capabilities__isnull=True)
    if procedure.catalogue_id:
        listed |= Q(capabilities__catalogue=procedure.catalogue_id)
    return list(rooms.filter(listed).prefetch_related("stations").order_by("code"))


def alternatives_for(
    procedure: RequestedProcedure | None, room: Room, starts_at: datetime, duration: timedelta
) -> list[FreeSlot]:
    """Free times near the one asked for: two in the room, one elsewhere."""
    priority = priority_of(procedure)
    here = next_free([room], duration, after=starts_at, limit=2, priority=priority)
    others = [row for row in rooms_for(procedure) if row.pk != room.pk] if procedure else []
    elsewhere = next_free(others, duration, after=starts_at, limit=1, priority=priority)
    return sorted([*here, *elsewhere], key=lambda slot: slot.starts_at)


def slot_taken(
    room: Room,
    starts_at: datetime,
    ends_at: datetime,
    *,
    procedure: RequestedProcedure | None = None,
    actor: Actor = SYSTEM,
) -> SlotTaken:
    """The refusal in words: what holds the time, until when, what is free instead.

    Names no patient: the exam is named as far as the actor may see it, and ``reservation`` is there for a page to show
    whose it is; of what they may not see they learn who booked it and until when.
    """
    holder = (
        Reservation.objects.live()
        .filter(room=room, is_overbooked=False)
        .between(starts_at, ends_at)
        .select_related("held_by", "procedure__order__patient")
        .order_by("starts_at")
        .first()
    )
    may_see = holder is not None and may_see_reservation(holder, actor)
    alternatives = alternatives_for(procedure, room, starts_at, ends_at - starts_at)
    found = holder_words(holder, names_exam=may_see) if holder else _("Somebody took that time in this moment.")
    errors: dict[str, Any] = {"starts_at": found, "next_free": free_words(alternatives)}
    if holder is not None:
        errors["taken_by"] = taken_by(holder, may_see)
    return SlotTaken(
        _("That time is taken."),
        asked=asked_words(room, starts_at, ends_at),
        found=found,
        todo=todo_words(alternatives),
        errors=errors,
        reservation=holder if may_see else None,
        alternatives=alternatives,
    )


def may_see_reservation(holder: Reservation, actor: Actor) -> bool:
    return actor.may(perms.VIEW_SCHEDULE) and Reservation.objects.visible_to(actor).filter(pk=holder.pk).exists()


def taken_by(holder: Reservation, may_see: bool) -> dict[str, str]:
    """For programs: until when, and what it is to who may ask for it."""
    words = {"kind": str(holder.kind), "until": timezone.localtime(holder.ends_at).isoformat()}
    if may_see:
        words["appointment"] = str(holder.uuid)
        words["procedure"] = str(holder.procedure.uuid) if holder.procedure else ""
    return words


def holder_words(holder: Reservation, *, names_exam: bool = False) -> str:
    span = {
        "from": text.clock(holder.starts_at),
        "until": text.clock(holder.ends_at),
        "who": booked_by(holder),
        "why": holder.reason or _("no reason given"),
        "exam": holder.procedure.description_with_side if holder.procedure else "",
    }
    if holder.kind == ReservationKind.BLOCK:
        return _("%(from)s–%(until)s is blocked (%(why)s).") % span
    if holder.kind == ReservationKind.HOLD:
        return _("%(from)s–%(until)s is held by %(who)s.") % span
    if holder.kind == ReservationKind.OFFER:
        span["answer"] = text.clock(holder.hold_expires_at)
        return _("%(from)s–%(until)s is offered to the waiting list until %(answer)s.") % span
    if names_exam and span["exam"]:
        return _("%(from)s–%(until)s was booked by %(who)s for: %(exam)s. The room is taken until %(until)s.") % span
    return _("%(from)s–%(until)s was booked by %(who)s. The room is taken until %(until)s.") % span


def booked_by(holder: Reservation) -> str:
    if holder.held_by is not None:
        return holder.held_by.display_name
    first = holder.history.select_related("history_user").order_by("history_id").first()
    who = getattr(first, "history_user", None)
    return who.display_name if who else _("another system")


def asked_words(room: Room, starts_at: datetime, ends_at: datetime) -> str:
    words = {"room": room.name, "day": text.day(starts_at), "from": text.clock(starts_at), "until": text.clock(ends_at)}
    return _("%(room)s, %(day)s, %(from)s–%(until)s.") % words


def free_words(alternatives: Iterable[FreeSlot]) -> list[dict[str, str]]:
    return [
        {"room": slot.room.code, "starts_at": timezone.localtime(slot.starts_at).isoformat()} for slot in alternatives
    ]


def todo_words(alternatives: Sequence[FreeSlot]) -> str:
    if not alternatives:
        return _("Nothing is free within two weeks: ask for an overbooking.")
    times = ", ".join(
        f"{slot.room.name} {text.absolute_and_relative(slot.starts_at).split(' · ')[0]}" for slot in alternatives
    )
    return _("Take a free time (%(times)s), or ask for an overbooking.") % {"times": times}
