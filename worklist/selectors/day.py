"""The day as people look at it: rooms beside each other, places in units of five minutes, what is open and taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.utils import timezone

from orders.models import Laterality, Priority, ProcedureStatus, RequestedProcedure
from orders.models.orders import SIDES
from ris.core import text
from ris.core.actor import Actor
from ris.core.vocabulary import Look, status_look
from worklist import permissions as perms
from worklist.models import Closure, Reservation, ReservationKind, ReservedTime, Room
from worklist.selectors.schedule import patient_numbers
from worklist.services.openings import open_intervals, reserved_obstacles

UNIT = timedelta(minutes=5)
FIRST_HOUR, LAST_HOUR = 7, 18
#: A day with cards below this many units is drawn larger, so that they can be read.
SHORT_UNITS = 4
#: The least height of a card, in units: shorter ones that touch stand side by side.
LEAST_UNITS = 2
TO_SCHEDULE = 60
PRIORITY_RANK = {Priority.STAT: 0, Priority.ASAP: 1, Priority.URGENT: 1, Priority.ROUTINE: 2}
#: What a card, a line of the table and a line of the day sheet show; no model is built for it.
FIELDS = (
    "uuid",
    "kind",
    "status",
    "room",
    "station",
    "starts_at",
    "ends_at",
    "is_overbooked",
    "reason",
    "held_by__given_name",
    "held_by__family_name",
    "procedure__uuid",
    "procedure__status",
    "procedure__description",
    "procedure__laterality",
    "procedure__modality",
    "procedure__accession_number",
    "procedure__order__priority",
    "procedure__order__patient",
    "procedure__order__patient__uuid",
    "procedure__order__patient__family_name",
    "procedure__order__patient__given_name",
    "procedure__order__patient__middle_name",
    "procedure__order__patient__sex",
    "procedure__order__patient__birth_date",
)


@dataclass(slots=True)
class Entry:
    """One appointment, hold or offer in its place; its times are the facility's."""

    uuid: UUID
    kind: str
    state: str
    room_id: int
    station_id: int | None
    starts_at: datetime
    ends_at: datetime
    is_overbooked: bool
    reason: str
    holder_given: str | None
    holder_family: str | None
    procedure: UUID | None
    procedure_status: str | None
    description: str | None
    laterality: str | None
    modality: str | None
    accession_number: str | None
    priority: str | None
    patient_id: int | None
    patient: UUID | None
    family_name: str | None
    given_name: str | None
    middle_name: str | None
    sex: str | None
    birth_date: date | None
    room: Room | None = None
    start: int = 0
    length: int = 0
    lane: int = 0
    lanes: int = 1

    @property
    def status(self) -> str:
        """What its colour says: the exam's status, or what kind of time it is."""
        if self.kind != ReservationKind.APPOINTMENT:
            return "held"
        if self.procedure_status is None or self.state == "noshow":
            return self.state
        return self.procedure_status

    @property
    def look(self) -> Look:
        return status_look(self.status)

    @property
    def full_name(self) -> str:
        """FAMILY, Given Middle"""
        return text.person_name(self) if self.patient is not None else ""

    @property
    def name(self) -> str:
        """FAMILY, G."""
        if self.patient is None:
            return ""
        initial = f", {self.given_name[:1]}." if self.given_name else ""
        return f"{(self.family_name or '').upper()}{initial}"

    @property
    def exam(self) -> str:
        side = f", {SIDES[Laterality(self.laterality)]}" if self.laterality else ""
        return f"{self.description or ''}{side}"

    @property
    def holder(self) -> str:
        return " ".join(part for part in (self.holder_given, self.holder_family) if part)

    @property
    def station(self) -> Any:
        stations = self.room.stations.all() if self.room is not None else ()
        return next((row for row in stations if row.pk == self.station_id), None)

    @property
    def duration_minutes(self) -> int:
        return int((self.ends_at - self.starts_at).total_seconds() // 60)

    @property
    def times(self) -> str:
        return f"{self.starts_at:%H:%M}–{self.ends_at:%H:%M}"

    @property
    def is_movable(self) -> bool:
        return self.kind == ReservationKind.APPOINTMENT and self.state in ("booked", "arrived")

    @property
    def is_expected(self) -> bool:
        return self.is_movable and self.procedure_status == ProcedureStatus.SCHEDULED

    @property
    def is_waiting(self) -> bool:
        return self.procedure_status == ProcedureStatus.ARRIVED


@dataclass(slots=True)
class Closed:
    """Time in which nobody is booked. ``kind``: shut, closed, kept, blocked; ``uuid``: of the block."""

    start: int
    length: int
    reason: str = ""
    kind: str = "shut"
    uuid: UUID | None = None


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
        return sum(1 for entry in self.entries if entry.kind == ReservationKind.APPOINTMENT)

    @property
    def use(self) -> int:
        """Percent of its open time that is booked."""
        return min(100, round(100 * self.booked_minutes / self.open_minutes)) if self.open_minutes else 0

    @property
    def modalities(self) -> str:
        return " ".join(sorted({row.modality for row in self.room.stations.all() if row.is_active}))

    @property
    def stations(self) -> str:
        return " ".join(str(row.uuid) for row in self.room.stations.all() if row.is_active)


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
    def entries(self) -> Iterator[Entry]:
        return (entry for column in self.columns for entry in column.entries)

    @property
    def is_large(self) -> bool:
        """Drawn larger, because something short stands in it."""
        return any(entry.length < SHORT_UNITS for entry in self.entries)

    @property
    def has_kept(self) -> bool:
        return any(row.kind == "kept" for column in self.columns for row in column.closed)

    @property
    def rows(self) -> list[Entry]:
        return sorted(self.entries, key=lambda entry: (entry.starts_at, entry.room.code if entry.room else ""))

    @property
    def patients(self) -> list[Any]:
        return sorted({entry.patient for entry in self.entries if entry.patient is not None})

    @property
    def legend(self) -> list[tuple[Look, int]]:
        """The looks that occur, with how often, in the order of the work."""
        counts: dict[str, int] = defaultdict(int)
        for entry in self.entries:
            counts[entry.status] += 1
        order = ["held", "booked", *ProcedureStatus.values, "noshow"]
        ranked = sorted(counts, key=lambda status: order.index(status) if status in order else len(order))
        merged: dict[Look, int] = {}
        for status in ranked:
            look = status_look(status)
            merged[look] = merged.get(look, 0) + counts[status]
        return list(merged.items())


def day_grid(*, day: date, rooms: Sequence[Room], actor: Actor, modality: str = "", days: int = 1) -> Grid:
    """The day of these rooms (of a modality), or so many days of one. A fixed number of queries.

    ``rooms`` come with their stations and hours, as ``worklist.selectors.rooms`` gives them.
    """
    begin = timezone.make_aware(datetime.combine(day, datetime.min.time()))
    end = begin + timedelta(days=days)
    shown = [row for row in rooms if not modality or any(one.modality == modality for one in row.stations.all())]
    entries, blocks = _reservations(actor, shown, begin, end)
    by_place: dict[tuple[int, date], list[Entry]] = defaultdict(list)
    for entry in (*entries, *blocks):
        by_place[entry.room_id, entry.starts_at.date()].append(entry)
    dates = [day + timedelta(days=number) for number in range(days)]
    first, last = _hours_shown([*entries, *blocks], shown, dates)
    columns = [_column(place, on, by_place[place.pk, on], first, last) for place in shown for on in dates]
    _hatch(columns, shown, begin, end, first, last)
    return Grid(first, last, columns, _now(day, days, first, last))


def _reservations(
    actor: Actor, shown: Sequence[Room], begin: datetime, end: datetime
) -> tuple[list[Entry], list[Entry]]:
    """What stands in these rooms: appointments, holds and offers, and blocked time."""
    if not actor.may(perms.VIEW_SCHEDULE):
        return [], []
    places = {row.pk: row for row in shown}
    rows = (
        Reservation.objects.visible_to(actor)
        .filter(room__in=shown, starts_at__lt=end, ends_at__gt=begin)
        .exclude(status="cancelled")
        .exclude(kind__in=(ReservationKind.HOLD, ReservationKind.OFFER), hold_expires_at__lt=timezone.now())
        .order_by("starts_at", "pk")
        .values_list(*FIELDS)
    )
    found = [Entry(*row, room=places[row[3]]) for row in rows]
    zone = timezone.get_current_timezone()
    for entry in found:
        entry.starts_at, entry.ends_at = entry.starts_at.astimezone(zone), entry.ends_at.astimezone(zone)
    return (
        [entry for entry in found if entry.kind != ReservationKind.BLOCK],
        [entry for entry in found if entry.kind == ReservationKind.BLOCK],
    )


def _hours_shown(rows: Sequence[Entry], shown: Sequence[Room], days: Sequence[date]) -> tuple[int, int]:
    """From seven to six, wider where a room is open or something is booked."""
    first, last = FIRST_HOUR, LAST_HOUR
    for row in rows:
        first = min(first, row.starts_at.hour)
        is_over_midnight = row.ends_at.date() > row.starts_at.date()
        last = max(last, 24 if is_over_midnight else row.ends_at.hour + (1 if row.ends_at.minute else 0))
    for room in shown:
        for hours in room.opening_hours.all():
            if any(day.weekday() == hours.weekday for day in days):
                first, last = min(first, hours.opens_at.hour), max(last, hours.closes_at.hour + 1)
    return first, min(24, last)


def _span(day: date, first: int, last: int) -> tuple[datetime, datetime]:
    begin = timezone.make_aware(datetime.combine(day, datetime.min.time())) + timedelta(hours=first)
    return begin, begin + timedelta(hours=last - first)


def _column(room: Room, day: date, rows: Iterable[Entry], first: int, last: int) -> Column:
    begin, end = _span(day, first, last)
    column = Column(room, day)
    for row in rows:
        start, length = _place(row.starts_at, row.ends_at, begin, end)
        if row.kind == ReservationKind.BLOCK:
            column.closed.append(Closed(start, length, row.reason, "blocked", row.uuid))
            continue
        row.start, row.length = start, length
        column.entries.append(row)
        if row.state in ("booked", "arrived", "fulfilled"):
            column.booked_minutes += row.duration_minutes
    _lay_lanes(column.entries)
    _close(column, begin, end)
    return column


def _place(starts: datetime, ends: datetime, begin: datetime, end: datetime) -> tuple[int, int]:
    starts, ends = max(starts, begin), min(ends, end)
    start = int((starts - begin) / UNIT)
    return start, max(1, round((ends - starts) / UNIT))


def _lay_lanes(entries: list[Entry]) -> None:
    """Entries that overlap, or would on the screen, stand side by side."""
    group: list[Entry] = []
    ends: list[int] = []
    for entry in entries:
        if group and entry.start >= max(ends):
            group, ends = [], []
        lane = next((number for number, free in enumerate(ends) if free <= entry.start), len(ends))
        if lane == len(ends):
            ends.append(0)
        ends[lane] = entry.start + max(entry.length, LEAST_UNITS)
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
    for opens, closes in open_intervals(column.day, column.room.opening_hours.all()):
        column.open_minutes += int((closes - opens) / timedelta(minutes=1))
        if opens > moment:
            column.closed.append(Closed(*_place(moment, opens, begin, end)))
        moment = max(moment, closes)
    if moment < end:
        column.closed.append(Closed(*_place(moment, end, begin, end)))


def _hatch(
    columns: Sequence[Column], shown: Sequence[Room], begin: datetime, end: datetime, first: int, last: int
) -> None:
    """Closures, and time that is kept for emergencies."""
    closures = list(Closure.objects.current().of_rooms(shown).between(begin, end))
    kept: dict[int, list[Any]] = defaultdict(list)
    for row in ReservedTime.objects.current().filter(room__in=shown):
        kept[row.room_id] += reserved_obstacles(row, begin, end, "")
    for column in columns:
        times = [(row.starts_at, row.ends_at, row.reason, "closed") for row in closures if row.covers(column.room)]
        times += [(row.begins, row.ends, row.words, "kept") for row in kept[column.room.pk]]
        since, until = _span(column.day, first, last)
        for starts, ends, reason, kind in times:
            if starts < until and ends > since:
                column.closed.append(Closed(*_place(starts, ends, since, until), reason, kind))


def _now(day: date, days: int, first: int, last: int) -> int | None:
    now = timezone.localtime()
    if not day <= now.date() < day + timedelta(days=days) or not first <= now.hour < last:
        return None
    return (now.hour - first) * 12 + now.minute // 5


# --- what waits for a time


@dataclass(slots=True)
class Todo:
    """An exam that waits for a time, as the list beside the grid shows it."""

    procedure: UUID
    status: str
    description: str
    laterality: str
    modality: str
    due_by: date | None
    priority: str
    minutes: int | None
    patient_id: int
    patient: UUID
    family_name: str
    given_name: str
    middle_name: str
    sex: str
    birth_date: date | None
    primary_identifier: str = ""

    @property
    def exam(self) -> str:
        side = f", {SIDES[Laterality(self.laterality)]}" if self.laterality else ""
        return f"{self.description}{side}"

    @property
    def full_name(self) -> str:
        return text.person_name(self)


TODO_FIELDS = (
    "uuid",
    "status",
    "description",
    "laterality",
    "modality",
    "due_by",
    "order__priority",
    "catalogue__duration_minutes",
    "order__patient",
    "order__patient__uuid",
    "order__patient__family_name",
    "order__patient__given_name",
    "order__patient__middle_name",
    "order__patient__sex",
    "order__patient__birth_date",
)


def to_schedule(*, actor: Actor, modality: str = "") -> QuerySet[RequestedProcedure]:
    """Accepted exams without a time, and those that did not come."""
    if not actor.may(perms.VIEW_SCHEDULE):
        return RequestedProcedure.objects.none()
    waiting = Q(status=ProcedureStatus.ACCEPTED) | Q(status=ProcedureStatus.NO_SHOW)
    rows = RequestedProcedure.objects.visible_to(actor).filter(waiting)
    return rows.filter(modality=modality) if modality else rows


def first_to_schedule(*, actor: Actor, modality: str = "") -> list[Todo]:
    """The first sixty in the order in which they should be planned: overdue and due first, then by urgency and age."""
    rank = Case(
        *(When(order__priority=value, then=Value(number)) for value, number in PRIORITY_RANK.items()),
        default=Value(3),
        output_field=IntegerField(),
    )
    is_due = Case(When(due_by__lte=timezone.localdate(), then=Value(0)), default=Value(1), output_field=IntegerField())
    ordered = to_schedule(actor=actor, modality=modality).order_by(
        is_due, rank, F("due_by").asc(nulls_last=True), "order__ordered_at", "pk"
    )
    rows = [Todo(*values) for values in ordered.values_list(*TODO_FIELDS)[:TO_SCHEDULE]]
    numbers = patient_numbers(row.patient_id for row in rows)
    for row in rows:
        row.primary_identifier = numbers.get(row.patient_id, "")
    return rows
