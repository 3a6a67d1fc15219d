"""A room's time as it is: when it is open, what stands in it, who works there. Loaded for many rooms in few queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from ris.accounts.models import User
from ris.core import text
from worklist.data import FreeSlot
from worklist.models import (
    Closure,
    OpeningHours,
    Reservation,
    ReservationKind,
    ReservedTime,
    Room,
    Shift,
    StaffProfile,
)

STEP = timedelta(minutes=5)
LONGEST_FREE = timedelta(hours=24)
Interval = tuple[datetime, datetime]


@dataclass(frozen=True)
class Obstacle:
    """What keeps a room from being booked for a time.

    ``kind``: booked, held, offered, blocked, closed, reserved, shut (not opening hours), staff, patient (is elsewhere).
    """

    begins: datetime
    ends: datetime
    kind: str
    words: str = ""


@dataclass(frozen=True)
class StaffWish:
    """Who should do it. ``is_strict``: also where nobody's shifts are planned."""

    sex: str = ""
    skills: frozenset[int] = frozenset()
    is_strict: bool = True

    def __bool__(self) -> bool:
        return bool(self.sex or self.skills)

    def fits(self, profile: StaffProfile | None) -> bool:
        if self.sex and (profile is None or profile.sex != self.sex):
            return False
        known = {row.pk for row in profile.skills.all()} if profile is not None else set()
        return self.skills <= known


@dataclass(frozen=True)
class Window:
    """From when to when is searched, at which times of which days."""

    after: datetime
    before: datetime
    time_from: time | None = None
    time_until: time | None = None
    weekdays: frozenset[int] = frozenset()

    def days(self) -> Iterator[date]:
        day, last = timezone.localtime(self.after).date(), timezone.localtime(self.before).date()
        while day <= last:
            if not self.weekdays or day.weekday() in self.weekdays:
                yield day
            day += timedelta(days=1)

    def of_day(self, day: date) -> Interval:
        begin = at(day, self.time_from) if self.time_from else at(day, time.min)
        end = at(day, self.time_until) if self.time_until else at(day + timedelta(days=1), time.min)
        return max(begin, self.after), min(end, self.before)


@dataclass
class RoomCalendar:
    room: Room
    hours: list[OpeningHours] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)

    def free(self, duration: timedelta, window: Window, staff: StaffWish | None = None) -> Iterator[FreeSlot]:
        """Free times from the earliest on, each with what stood before it and who works there then."""
        passed: list[Obstacle] = []
        number = 0
        for day in window.days():
            begin, end = window.of_day(day)
            for opens, closes in self._open_parts(day, begin, end, passed):
                moment = on_the_step(opens)
                while moment + duration <= closes:
                    while number < len(self.obstacles) and self.obstacles[number].ends <= moment:
                        number += 1
                    hit = self.obstacles[number] if number < len(self.obstacles) else None
                    if hit is not None and hit.begins < moment + duration:
                        passed.append(hit)
                        moment = on_the_step(hit.ends)
                        continue
                    people = self._people(moment, moment + duration, day, staff)
                    if people is None:
                        later = self._next_shift(moment, staff)
                        passed.append(Obstacle(moment, min(later or closes, closes), "staff"))
                        if later is None or later >= closes:
                            break
                        moment = on_the_step(later)
                        continue
                    yield FreeSlot(self.room, moment, moment + duration, tuple(people), tuple(passed))
                    passed = []
                    moment += max(duration, STEP)

    def _open_parts(self, day: date, begin: datetime, end: datetime, passed: list[Obstacle]) -> Iterator[Interval]:
        """The open intervals of a day inside the window; what is shut before each is noted."""
        if end <= begin:
            return
        cursor = begin
        for opens, closes in open_intervals(day, self.hours):
            if closes <= begin or opens >= end:
                continue
            if opens > cursor:
                passed.append(Obstacle(cursor, opens, "shut"))
            cursor = max(cursor, closes)
            yield max(opens, begin), min(closes, end)
        if cursor < end and self.hours:
            passed.append(Obstacle(cursor, end, "shut"))

    def _people(self, begin: datetime, end: datetime, day: date, staff: StaffWish | None) -> list[User] | None:
        """Who works there for the whole time; None when nobody does who should."""
        there = [row for row in self.shifts if row.starts_at <= begin and row.ends_at >= end]
        if not staff:
            return _distinct(row.technologist for row in there)
        fitting = [row.technologist for row in there if staff.fits(profile_of(row.technologist))]
        if fitting:
            return _distinct(fitting)
        is_planned = any(timezone.localtime(row.starts_at).date() == day for row in self.shifts)
        return None if staff.is_strict or is_planned else []

    def _next_shift(self, moment: datetime, staff: StaffWish | None) -> datetime | None:
        assert staff is not None
        later = [
            row.starts_at for row in self.shifts if row.starts_at > moment and staff.fits(profile_of(row.technologist))
        ]
        return min(later, default=None)


def _distinct(people: Iterable[User]) -> list[User]:
    return list({person.pk: person for person in people}.values())


def profile_of(user: User) -> StaffProfile | None:
    return getattr(user, "staff_profile", None)


def at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=timezone.get_current_timezone())


def on_the_step(moment: datetime) -> datetime:
    """The next full five minutes."""
    extra = timedelta(minutes=moment.minute % 5, seconds=moment.second, microseconds=moment.microsecond)
    return moment - extra + STEP if extra else moment


def open_intervals(day: date, hours: Iterable[OpeningHours]) -> list[Interval]:
    """When a room with these hours is open on a day; one without any is always open."""
    rows = list(hours)
    if not rows:
        return [(at(day, time.min), at(day + timedelta(days=1), time.min))]
    return sorted((at(day, row.opens_at), at(day, row.closes_at)) for row in rows if row.weekday == day.weekday())


# --- loading


def load_calendars(
    rooms: Sequence[Room],
    begin: datetime,
    end: datetime,
    *,
    priority: str = "",
    with_shifts: bool = False,
    user: User | None = None,
) -> list[RoomCalendar]:
    """The calendars of these rooms between two moments.

    ``priority``: the order's, which may use reserved time. ``user``: whose own holds do not stand in their way.
    """
    calendars = {room.pk: RoomCalendar(room) for room in rooms}
    for row in OpeningHours.objects.filter(room__in=rooms):
        calendars[row.room_id].hours.append(row)
    found: dict[int, list[Obstacle]] = defaultdict(list)
    for reservation in _reservations(rooms, begin, end):
        if user is not None and reservation.kind == ReservationKind.HOLD and reservation.held_by_id == user.pk:
            continue
        found[reservation.room_id].append(_of_reservation(reservation))
    for closure in Closure.objects.current().of_rooms(rooms).between(begin, end):
        for room in rooms:
            if closure.covers(room):
                found[room.pk].append(Obstacle(closure.starts_at, closure.ends_at, "closed", closure.reason))
    for kept in ReservedTime.objects.current().filter(room__in=rooms):
        found[kept.room_id] += reserved_obstacles(kept, begin, end, priority)
    for pk, rows in found.items():
        calendars[pk].obstacles = sorted(rows, key=lambda row: (row.begins, row.ends))
    if with_shifts:
        for shift in shifts_between(begin, end).filter(room__in=rooms):
            calendars[shift.room_id].shifts.append(shift)
    return list(calendars.values())


def shifts_between(begin: datetime, end: datetime):
    return (
        Shift.objects.current()
        .between(begin, end)
        .select_related("technologist__staff_profile")
        .prefetch_related("technologist__staff_profile__skills")
        .order_by("starts_at", "pk")
    )


def _reservations(rooms: Sequence[Room], begin: datetime, end: datetime):
    return (
        Reservation.objects.live()
        .filter(room__in=rooms, is_overbooked=False)
        .between(begin, end)
        .select_related("held_by")
        .only("room", "kind", "starts_at", "ends_at", "reason", "held_by")
    )


KINDS = {
    ReservationKind.APPOINTMENT: "booked",
    ReservationKind.HOLD: "held",
    ReservationKind.OFFER: "offered",
    ReservationKind.BLOCK: "blocked",
}


def _of_reservation(row: Reservation) -> Obstacle:
    words = row.held_by.display_name if row.held_by is not None else row.reason
    return Obstacle(row.starts_at, row.ends_at, KINDS[ReservationKind(row.kind)], words)


def reserved_obstacles(kept: ReservedTime, begin: datetime, end: datetime, priority: str) -> list[Obstacle]:
    """The days on which a reserved time still keeps others out."""
    if kept.admits(priority):
        return []
    found = []
    opens_at = timezone.now() + timedelta(minutes=kept.opens_minutes_before)
    for day in Window(begin, end, weekdays=frozenset({kept.weekday})).days():
        if (kept.valid_from and day < kept.valid_from) or (kept.valid_until and day > kept.valid_until):
            continue
        starts, ends = at(day, kept.begins), at(day, kept.ends)
        if kept.opens_minutes_before:
            starts = max(starts, opens_at)
        if starts < min(ends, end) and ends > begin:
            found.append(Obstacle(starts, ends, "reserved", kept.purpose or str(kept.get_kept_for_display())))
    return found


# --- why not earlier


def why_words(obstacles: Sequence[Obstacle], most: int = 3) -> list[str]:
    """What stood before a free time, in a few words: what took longest first."""
    by_kind: dict[tuple[str, str], list[Obstacle]] = defaultdict(list)
    for row in obstacles:
        by_kind[row.kind, row.words if row.kind in ("closed", "blocked", "reserved") else ""].append(row)
    longest = sorted(by_kind.values(), key=lambda rows: -sum((row.ends - row.begins).total_seconds() for row in rows))
    return [_reason_of(rows) for rows in longest[:most]]


def _reason_of(rows: list[Obstacle]) -> str:
    last = rows[-1]
    words = {"n": len(rows), "until": moment_words(last.ends), "why": last.words, "from": moment_words(rows[0].begins)}
    match last.kind:
        case "booked":
            if len(rows) == 1:
                return _("booked until %(until)s") % words
            return _("%(n)d appointments, the last until %(until)s") % words
        case "held":
            return _("held by %(why)s until %(until)s") % words
        case "offered":
            return _("offered to the waiting list until %(until)s") % words
        case "blocked":
            return _("blocked until %(until)s (%(why)s)") % words
        case "closed":
            return _("closed until %(until)s (%(why)s)") % words
        case "reserved":
            return _("kept for emergencies until %(until)s (%(why)s)") % words
        case "patient":
            return _("the patient has another exam until %(until)s") % words
        case "staff":
            return _("nobody with the wanted skill or sex on shift until %(until)s") % words
        case _:
            return _("not open until %(until)s") % words


def moment_words(moment: datetime) -> str:
    """By the clock today, with weekday and day otherwise."""
    local = timezone.localtime(moment)
    if local.date() == timezone.localdate():
        return text.clock(local)
    return f"{formats.date_format(local, 'D j M')} {text.clock(local)}".replace(" ", text.NBSP)
