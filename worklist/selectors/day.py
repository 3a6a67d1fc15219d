"""A day of the schedule as a grid: rooms as columns, places in units of five minutes, what is open and taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.utils import timezone

from orders.models import Patient, Priority, ProcedureStatus, RequestedProcedure
from ris.core.actor import Actor
from ris.core.vocabulary import Look, status_look
from worklist import permissions as perms
from worklist.models import Reservation, ReservationKind, Room
from worklist.selectors.schedule import appointments, rooms
from worklist.services.slots import open_intervals

UNIT = timedelta(minutes=5)
FIRST_HOUR, LAST_HOUR = 7, 18
TO_SCHEDULE = 60
PRIORITY_RANK = {Priority.STAT: 0, Priority.ASAP: 1, Priority.URGENT: 1, Priority.ROUTINE: 2}


@dataclass
class Entry:
    """One reservation in its place."""

    reservation: Reservation
    start: int
    length: int
    lane: int = 0
    lanes: int = 1

    @property
    def status(self) -> str:
        """What its colour says: the exam's status, or what kind of time it is."""
        if self.reservation.kind == ReservationKind.HOLD:
            return "held"
        procedure = self.reservation.procedure
        if procedure is None or self.reservation.status == "noshow":
            return str(self.reservation.status)
        return str(procedure.status)

    @property
    def look(self) -> Look:
        return status_look(self.status)

    @property
    def patient(self) -> Patient | None:
        return self.reservation.procedure.order.patient if self.reservation.procedure else None

    @property
    def name(self) -> str:
        """FAMILY, G."""
        patient = self.patient
        if patient is None:
            return ""
        initial = f", {patient.given_name[:1]}." if patient.given_name else ""
        return f"{patient.family_name.upper()}{initial}"

    @property
    def is_short(self) -> bool:
        return self.length < 6


@dataclass
class Closed:
    start: int
    length: int
    reason: str = ""
    reservation: Reservation | None = None


@dataclass
class Column:
    """A room's day; ``day`` differs from column to column in a week."""

    room: Room
    day: date
    entries: list[Entry] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    open_minutes: int = 0
    booked_minutes: int = 0

    @property
    def booked(self) -> int:
        return sum(1 for entry in self.entries if entry.reservation.kind == ReservationKind.APPOINTMENT)

    @property
    def use(self) -> int:
        """Percent of its open time that is booked."""
        return min(100, round(100 * self.booked_minutes / self.open_minutes)) if self.open_minutes else 0


@dataclass
class Grid:
    first_hour: int
    last_hour: int
    columns: list[Column]
    now: int | None = None

    @property
    def hours(self) -> list[tuple[int, str]]:
        return [((hour - self.first_hour) * 12, f"{hour:02}:00") for hour in range(self.first_hour, self.last_hour)]

    @property
    def length(self) -> int:
        return (self.last_hour - self.first_hour) * 12

    @property
    def rows(self) -> list[Entry]:
        entries = [entry for column in self.columns for entry in column.entries]
        return sorted(entries, key=lambda entry: (entry.reservation.starts_at, entry.reservation.room.code))

    @property
    def patients(self) -> list[Any]:
        return sorted({entry.patient.uuid for entry in self.rows if entry.patient is not None})


def day_grid(*, day: date, actor: Actor, modality: str = "", room: Room | None = None, days: int = 1) -> Grid:
    """The day of all rooms, or so many days of one room. A fixed number of queries."""
    begin = timezone.make_aware(datetime.combine(day, datetime.min.time()))
    end = begin + timedelta(days=days)
    shown = [room] if room is not None else _rooms(actor, modality)
    rows = (
        appointments(actor=actor)
        .filter(room__in=shown, starts_at__lt=end, ends_at__gt=begin)
        .exclude(status="cancelled")
        .exclude(kind="hold", hold_expires_at__lt=timezone.now())
        .order_by("starts_at", "pk")
    )
    by_place: dict[tuple[int, date], list[Reservation]] = defaultdict(list)
    for row in rows:
        by_place[row.room_id, timezone.localtime(row.starts_at).date()].append(row)
    first, last = _hours_shown(list(rows), shown, [day + timedelta(days=number) for number in range(days)])
    columns = [
        _column(place, on, by_place[place.pk, on], first, last)
        for place in shown
        for on in (day + timedelta(days=number) for number in range(days))
    ]
    return Grid(first, last, columns, _now(day, days, first, last))


def _rooms(actor: Actor, modality: str) -> list[Room]:
    rows = rooms(actor=actor).filter(is_active=True)
    if modality:
        rows = rows.filter(stations__modality=modality).distinct()
    return list(rows)


def _hours_shown(rows: Sequence[Reservation], shown: Sequence[Room], days: Sequence[date]) -> tuple[int, int]:
    """From seven to six, wider where a room is open or something is booked."""
    first, last = FIRST_HOUR, LAST_HOUR
    for row in rows:
        begins, ends = timezone.localtime(row.starts_at), timezone.localtime(row.ends_at)
        first = min(first, begins.hour)
        last = max(last, 24 if ends.date() > begins.date() else ends.hour + (1 if ends.minute else 0))
    for room in shown:
        for hours in room.opening_hours.all():
            if any(day.weekday() == hours.weekday for day in days):
                first, last = min(first, hours.opens_at.hour), max(last, hours.closes_at.hour + 1)
    return first, min(24, last)


def _column(room: Room, day: date, rows: Iterable[Reservation], first: int, last: int) -> Column:
    begin = timezone.make_aware(datetime.combine(day, datetime.min.time())) + timedelta(hours=first)
    end = begin + timedelta(hours=last - first)
    column = Column(room, day)
    for row in rows:
        start, length = _place(row.starts_at, row.ends_at, begin, end)
        if row.kind == ReservationKind.BLOCK:
            column.closed.append(Closed(start, length, row.reason, row))
            continue
        column.entries.append(Entry(row, start, length))
        if row.status in ("booked", "arrived", "fulfilled"):
            column.booked_minutes += row.duration_minutes
    _lay_lanes(column.entries)
    _close(column, begin, end)
    return column


def _place(starts: datetime, ends: datetime, begin: datetime, end: datetime) -> tuple[int, int]:
    starts, ends = max(starts, begin), min(ends, end)
    start = int((starts - begin) / UNIT)
    return start, max(1, round((ends - starts) / UNIT))


def _lay_lanes(entries: list[Entry]) -> None:
    """Entries that overlap stand side by side."""
    group: list[Entry] = []
    ends: list[int] = []
    for entry in entries:
        if group and entry.start >= max(ends):
            group, ends = [], []
        lane = next((number for number, free in enumerate(ends) if free <= entry.start), len(ends))
        if lane == len(ends):
            ends.append(0)
        ends[lane] = entry.start + entry.length
        entry.lane = lane
        group.append(entry)
        for member in group:
            member.lanes = len(ends)


def _close(column: Column, begin: datetime, end: datetime) -> None:
    """Hatch what lies outside the opening hours."""
    if not column.room.opening_hours.all():
        column.open_minutes = int((end - begin) / timedelta(minutes=1))
        return
    moment = begin
    for opens, closes in open_intervals(column.room, column.day, column.room.opening_hours.all()):
        column.open_minutes += int((closes - opens) / timedelta(minutes=1))
        if opens > moment:
            column.closed.append(Closed(*_place(moment, opens, begin, end)))
        moment = max(moment, closes)
    if moment < end:
        column.closed.append(Closed(*_place(moment, end, begin, end)))


def _now(day: date, days: int, first: int, last: int) -> int | None:
    now = timezone.localtime()
    if not day <= now.date() < day + timedelta(days=days) or not first <= now.hour < last:
        return None
    return (now.hour - first) * 12 + now.minute // 5


# --- what waits for a time


def to_schedule(*, actor: Actor, modality: str = "") -> QuerySet[RequestedProcedure]:
    """Accepted exams without a time, and those that did not come: due first, then by urgency and age."""
    if not actor.may(perms.VIEW_SCHEDULE):
        return RequestedProcedure.objects.none()
    waiting = Q(status=ProcedureStatus.ACCEPTED) | Q(status=ProcedureStatus.NO_SHOW)
    rows = RequestedProcedure.objects.visible_to(actor).filter(waiting)
    if modality:
        rows = rows.filter(modality=modality)
    return rows.for_display()


def first_to_schedule(*, actor: Actor, modality: str = "") -> list[RequestedProcedure]:
    """The first sixty in the order in which they should be planned."""
    rank = Case(
        *(When(order__priority=value, then=Value(number)) for value, number in PRIORITY_RANK.items()),
        default=Value(3),
        output_field=IntegerField(),
    )
    rows = to_schedule(actor=actor, modality=modality)
    return list(rows.order_by(rank, F("due_by").asc(nulls_last=True), "order__ordered_at", "pk")[:TO_SCHEDULE])
