"""Next-available search: "the earliest CT with contrast before 14:00 this week", and why not earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import islice

from django.db.models import Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import CatalogueProcedure, RequestedProcedure
from ris.accounts.models import Site
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from worklist import permissions as perms
from worklist import selectors
from worklist.data import FreeSlot
from worklist.models import Reservation, ReservationKind, Room, SkillRequirement, Station
from worklist.services.openings import Obstacle, RoomCalendar, StaffWish, Window, load_calendars, why_words
from worklist.services.slots import DEFAULT_MINUTES, LOOK_AHEAD_DAYS
from worklist.services.support import now

LONGEST_DAYS = 92
MOST_RESULTS = 24
PER_ROOM = 6


@dataclass(frozen=True)
class SlotSearch:
    """What is looked for. The exam is a requested one, one of the catalogue, or any of a modality."""

    procedure: RequestedProcedure | None = None
    catalogue: CatalogueProcedure | None = None
    modality: str = ""
    with_contrast: bool | None = None
    after: datetime | None = None
    before: datetime | None = None
    time_from: time | None = None
    time_until: time | None = None
    weekdays: frozenset[int] = frozenset()
    room: Room | None = None
    site: Site | None = None
    technologist_sex: str = ""
    skills: frozenset[int] = frozenset()
    duration_minutes: int | None = None
    priority: str = ""
    limit: int = 8

    @property
    def exam(self) -> CatalogueProcedure | None:
        return self.catalogue or (self.procedure.catalogue if self.procedure is not None else None)

    @property
    def wanted_modality(self) -> str:
        if self.procedure is not None and self.procedure.modality:
            return str(self.procedure.modality)
        return str(self.exam.modality) if self.exam is not None else self.modality


@dataclass(frozen=True)
class FoundSlot:
    """A free time with its place, who works there, and why there is none before it in that room."""

    slot: FreeSlot
    station: Station | None
    rank: int
    why: tuple[str, ...] = ()
    #: who searches holds it already
    hold: Reservation | None = None

    @property
    def room(self) -> Room:
        return self.slot.room

    @property
    def starts_at(self) -> datetime:
        return self.slot.starts_at

    @property
    def ends_at(self) -> datetime:
        return self.slot.ends_at

    @property
    def minutes(self) -> int:
        return int((self.slot.ends_at - self.slot.starts_at).total_seconds() // 60)

    @property
    def technologists(self) -> list[str]:
        return [person.display_name for person in self.slot.people]


@dataclass(frozen=True)
class RoomWithout:
    """A room in which nothing was found, and why."""

    room: Room
    why: tuple[str, ...] = ()


@dataclass
class SearchResult:
    window: Window
    found: list[FoundSlot] = field(default_factory=list)
    without: list[RoomWithout] = field(default_factory=list)
    rooms: int = 0


def find_slots(search: SlotSearch, *, actor: Actor) -> SearchResult:
    """Free times, the soonest first. A fixed number of queries, whatever the number of rooms and days."""
    actor.require(perms.VIEW_SCHEDULE)
    window = window_of(search)
    rooms = list(fitting_rooms(search, actor))
    result = SearchResult(window, rooms=len(rooms))
    if not rooms:
        return result
    staff = _staff_of(search)
    calendars = load_calendars(
        rooms, window.after, window.before, priority=_priority(search), with_shifts=True, user=actor.user
    )
    elsewhere = _patient_is_elsewhere(search, window)
    minutes = duration_by_default(search)
    times: list[FreeSlot] = []
    for calendar in calendars:
        if elsewhere:
            calendar.obstacles = sorted([*calendar.obstacles, *elsewhere], key=lambda row: (row.begins, row.ends))
        own = _minutes_in(calendar.room, search, minutes)
        here = list(islice(calendar.free(timedelta(minutes=own), window, staff), min(PER_ROOM, search.limit)))
        times += here
        if not here:
            result.without.append(RoomWithout(calendar.room, _why_nothing(calendar, window, own, staff)))
    times.sort(key=lambda slot: (slot.starts_at, slot.room.code))
    holds = own_holds(actor)
    result.found = [
        FoundSlot(
            slot,
            station_in(slot.room, search.wanted_modality),
            number,
            tuple(why_words(slot.passed)),
            next((hold for hold in holds if _is_held(slot, hold)), None),
        )
        for number, slot in enumerate(times[: search.limit], start=1)
    ]
    return result


def own_holds(actor: Actor) -> list[Reservation]:
    """What the actor holds now."""
    if actor.user is None:
        return []
    return list(Reservation.objects.live().filter(kind=ReservationKind.HOLD, held_by=actor.user).order_by("starts_at"))


def _is_held(slot: FreeSlot, hold: Reservation) -> bool:
    return hold.room_id == slot.room.pk and hold.starts_at < slot.ends_at and hold.ends_at > slot.starts_at


def window_of(search: SlotSearch) -> Window:
    """From when to when; two weeks from now when nothing is said."""
    errors: dict[str, str] = {}
    for name in ("after", "before"):
        moment = getattr(search, name)
        if moment is not None and timezone.is_naive(moment):
            errors[name] = _("Give the time with its zone.")
    if errors:
        raise InvalidData(_("A time needs its zone."), errors=errors)
    after = max(search.after or now(), now())
    before = search.before or after + timedelta(days=LOOK_AHEAD_DAYS)
    if before <= after:
        errors["before"] = _("The last day is over, or before the first.")
    elif before - after > timedelta(days=LONGEST_DAYS):
        errors["before"] = _("At most %(days)d days are searched at once.") % {"days": LONGEST_DAYS}
    if search.time_from and search.time_until and search.time_until <= search.time_from:
        errors["time_until"] = _("It must end after it begins.")
    if any(not 0 <= day <= 6 for day in search.weekdays):
        errors["weekdays"] = _("A weekday is 0 (Monday) to 6 (Sunday).")
    if not search.wanted_modality and search.exam is None:
        errors["modality"] = _("Choose an exam or a modality.")
    if not 1 <= search.limit <= MOST_RESULTS:
        errors["limit"] = _("At most %(most)d times are answered.") % {"most": MOST_RESULTS}
    if errors:
        raise InvalidData(_("That cannot be searched."), errors=errors)
    return Window(after, before, search.time_from, search.time_until, search.weekdays)


def _priority(search: SlotSearch) -> str:
    return search.priority or (str(search.procedure.order.priority) if search.procedure is not None else "")


def fitting_rooms(search: SlotSearch, actor: Actor) -> QuerySet[Room]:
    """Active rooms of the actor's sites that can do what is looked for."""
    rooms = selectors.rooms(actor=actor).filter(is_active=True)
    stations = Q(stations__is_active=True)
    if search.wanted_modality:
        stations &= Q(stations__modality=search.wanted_modality)
    listed = Q(capabilities__isnull=True)
    if search.exam is not None:
        listed |= Q(capabilities__catalogue=search.exam)
    else:
        listed |= Q(capabilities__catalogue__in=_exams_meant(search))
    rooms = rooms.filter(stations).filter(listed)
    if search.room is not None:
        rooms = rooms.filter(pk=search.room.pk)
    if search.site is not None:
        rooms = rooms.filter(site=search.site)
    return rooms.distinct().prefetch_related("capabilities")


def _exams_meant(search: SlotSearch) -> QuerySet[CatalogueProcedure]:
    rows = CatalogueProcedure.objects.filter(is_active=True, modality=search.modality)
    return rows if search.with_contrast is None else rows.filter(uses_contrast=search.with_contrast)


def duration_by_default(search: SlotSearch) -> int:
    """Minutes asked for, else the exam's, else the longest of the exams that are meant."""
    if search.duration_minutes is not None:
        if not 1 <= search.duration_minutes <= 720:
            words = _("A duration is 1 to %(most)d minutes.") % {"most": 720}
            raise InvalidData(words, errors={"duration_minutes": words})
        return search.duration_minutes
    if search.exam is not None:
        return int(search.exam.duration_minutes)
    longest = _exams_meant(search).aggregate(longest=Max("duration_minutes"))["longest"]
    return int(longest or DEFAULT_MINUTES)


def _minutes_in(room: Room, search: SlotSearch, minutes: int) -> int:
    """A room may take its own time for an exam."""
    if search.duration_minutes is not None or search.exam is None:
        return minutes
    own = (row.duration_minutes for row in room.capabilities.all() if row.catalogue_id == search.exam.pk)
    return next((value for value in own if value), minutes)


def station_in(room: Room, modality: str) -> Station | None:
    fitting = [row for row in room.stations.all() if row.is_active and (not modality or row.modality == modality)]
    return min(fitting, key=lambda row: row.ae_title, default=None)


def _staff_of(search: SlotSearch) -> StaffWish | None:
    """Who must do it: as asked for strictly; as the exam needs it where shifts are planned."""
    needed: frozenset[int] = frozenset()
    if search.exam is not None:
        needed = frozenset(SkillRequirement.objects.filter(catalogue=search.exam).values_list("skill", flat=True))
    is_strict = bool(search.technologist_sex or search.skills)
    wish = StaffWish(search.technologist_sex, search.skills | needed, is_strict)
    return wish if wish else None


def _patient_is_elsewhere(search: SlotSearch, window: Window) -> list[Obstacle]:
    if search.procedure is None:
        return []
    rows = (
        Reservation.objects.live()
        .filter(kind=ReservationKind.APPOINTMENT, procedure__order__patient=search.procedure.order.patient_id)
        .between(window.after, window.before)
        .exclude(procedure=search.procedure)
        .values_list("starts_at", "ends_at")
    )
    return [Obstacle(starts, ends, "patient") for starts, ends in rows]


def _why_nothing(calendar: RoomCalendar, window: Window, minutes: int, staff: StaffWish | None) -> tuple[str, ...]:
    """What stood in the way in the whole window: what takes the most time of it is said first."""
    inside = [row for row in calendar.obstacles if row.begins < window.before and row.ends > window.after]
    shut = list(_shut_days(calendar, window))
    words = why_words([*inside, *shut])
    if staff and not any(staff.fits(getattr(row.technologist, "staff_profile", None)) for row in calendar.shifts):
        words = [_("nobody with the wanted skill or sex is on shift"), *words[:2]]
    return tuple(words or [_("no gap of %(n)d minutes") % {"n": minutes}])


def _shut_days(calendar: RoomCalendar, window: Window) -> Sequence[Obstacle]:
    if not calendar.hours:
        return []
    open_days = {row.weekday for row in calendar.hours}
    return [Obstacle(*window.of_day(day), "shut") for day in window.days() if day.weekday() not in open_days]
