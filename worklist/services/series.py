"""Appointments that belong together: the same exam every week, several exams of one patient one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import permutations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import RequestedProcedure
from orders.services import ProcedureRequest
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import Conflict, DomainError, InvalidData
from worklist import permissions as perms
from worklist import selectors
from worklist.data import FreeSlot
from worklist.models import AppointmentSeries, Reservation, ReservationStatus, Room, SeriesKind, Station
from worklist.services import booking, slots
from worklist.services.openings import RoomCalendar, Window, at, load_calendars
from worklist.services.search import station_in
from worklist.services.support import lock_procedures, now

MOST_IN_SERIES = 52
MOST_IN_CHAIN = 6
ANY_ORDER_UP_TO = 4
TRIES = 200


class SeriesRefused(Conflict):
    """Some of the times cannot be had; ``refused`` says which and why. Nothing was booked."""

    code = "series_refused"

    def __init__(self, *args, refused: Sequence[Skipped] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.refused = list(refused)


@dataclass(frozen=True)
class Skipped:
    """A time of a series that could not be booked, and why."""

    procedure: RequestedProcedure
    starts_at: datetime
    why: str

    def as_dict(self) -> dict[str, str]:
        return {
            "procedure": str(self.procedure.uuid),
            "starts_at": timezone.localtime(self.starts_at).isoformat(),
            "why": self.why,
        }


@dataclass
class SeriesResult:
    series: AppointmentSeries
    booked: list[Reservation] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def audit_patient(self):
        return self.booked[0].audit_patient if self.booked else None


# --- every week


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def repeat_procedure(procedure: RequestedProcedure, *, times: int, actor: Actor) -> list[RequestedProcedure]:
    """The exam so many times in all: it, and copies of it in a further order of the same patient and requester."""
    if not 2 <= times <= MOST_IN_SERIES:
        words = _("A series has 2 to %(most)d appointments.") % {"most": MOST_IN_SERIES}
        raise InvalidData(words, errors={"times": words})
    [procedure] = lock_procedures([procedure.pk])
    if procedure.catalogue is None:
        words = _("Map the exam's code to the catalogue first.")
        raise InvalidData(words, errors={"procedure": words})
    request = ProcedureRequest(
        procedure.catalogue.code,
        description=procedure.description,
        laterality=procedure.laterality,
        protocol=procedure.protocol,
        contrast=procedure.contrast,
    )
    order = procedure.order
    copy = orders.create_order(
        patient=order.patient,
        procedures=[request] * (times - 1),
        priority=order.priority,
        indication=order.indication,
        patient_class=order.patient_class,
        requester=order.requester,
        site=order.site,
        clinical_information=order.clinical_information,
        actor=actor,
    )
    return [procedure, *copy.procedures.select_related("order__patient", "catalogue").order_by("pk")]


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def book_series(
    procedures: Sequence[RequestedProcedure],
    *,
    starts_at: datetime,
    every_days: int = 7,
    skip_taken: bool = False,
    station: Station | None = None,
    room: Room | None = None,
    duration_minutes: int | None = None,
    technologist: User | None = None,
    actor: Actor,
) -> SeriesResult:
    """One exam after another in the same room, the same time of day, so many days apart.

    A time that is taken refuses the whole series (SeriesRefused says all that are), or with ``skip_taken`` is left out
    and reported; that exam still waits for a time.
    """
    if not 2 <= len(procedures) <= MOST_IN_SERIES or len({row.pk for row in procedures}) != len(procedures):
        words = _("A series has 2 to %(most)d different exams.") % {"most": MOST_IN_SERIES}
        raise InvalidData(words, errors={"procedures": words})
    if not 1 <= every_days <= 366:
        words = _("The exams are 1 to 366 days apart.")
        raise InvalidData(words, errors={"every_days": words})
    slots.check_time(starts_at)
    first = timezone.localtime(starts_at)
    locked = _locked_of_one_patient(procedures)
    series = _new_series(SeriesKind.WEEKLY, len(locked), actor, every_days=every_days)
    times = [at(first.date() + timedelta(days=every_days * number), first.time()) for number in range(len(locked))]
    result = SeriesResult(series)
    for procedure, moment in zip(locked, times, strict=True):
        try:
            with transaction.atomic():
                appointment = booking.book_appointment(
                    procedure,
                    station=station,
                    room=room,
                    starts_at=moment,
                    duration_minutes=duration_minutes,
                    technologist=technologist,
                    series=series,
                    actor=actor,
                )
            result.booked.append(appointment)
        except Conflict as refusal:
            result.skipped.append(Skipped(procedure, moment, refusal.found or refusal.detail))
    if result.skipped and (not skip_taken or not result.booked):
        raise _refused(result)
    return result


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def book_repeated(
    procedure: RequestedProcedure,
    *,
    times: int,
    starts_at: datetime,
    every_days: int = 7,
    skip_taken: bool = False,
    station: Station | None = None,
    room: Room | None = None,
    duration_minutes: int | None = None,
    technologist: User | None = None,
    actor: Actor,
) -> SeriesResult:
    """One exam so many times: its copies are ordered and all are booked, or nothing is."""
    return book_series(
        repeat_procedure(procedure, times=times, actor=actor),
        starts_at=starts_at,
        every_days=every_days,
        skip_taken=skip_taken,
        station=station,
        room=room,
        duration_minutes=duration_minutes,
        technologist=technologist,
        actor=actor,
    )


def _locked_of_one_patient(procedures: Sequence[RequestedProcedure]) -> list[RequestedProcedure]:
    locked = {row.pk: row for row in lock_procedures(row.pk for row in procedures)}
    if len({row.order.patient_id for row in locked.values()}) != 1:
        words = _("All exams must be of one patient.")
        raise InvalidData(words, errors={"procedures": words})
    return [locked[row.pk] for row in procedures]


def _new_series(kind: str, wanted: int, actor: Actor, **fields: int) -> AppointmentSeries:
    series = AppointmentSeries(kind=kind, wanted=wanted, **fields)
    series.save_as(actor, "Booked together")
    return series


def _refused(result: SeriesResult) -> SeriesRefused:
    days = ", ".join(text.day(row.starts_at) for row in result.skipped)
    return SeriesRefused(
        _("Not all times of the series are free."),
        asked=_("%(n)d appointments.") % {"n": result.series.wanted},
        found=_("Not free: %(days)s. %(why)s") % {"days": days, "why": result.skipped[0].why},
        todo=_("Take another time of day, or book the others and leave these out."),
        errors={"skipped": [row.as_dict() for row in result.skipped]},
        refused=result.skipped,
    )


@service(perms.BOOK_APPOINTMENT)
def cancel_series(series: AppointmentSeries, *, reason: str, actor: Actor) -> list[Reservation]:
    """Call off what is still to come of it."""
    open_ones = series.appointments.filter(status=ReservationStatus.BOOKED, starts_at__gt=now())
    rows = list(open_ones.select_related("procedure").order_by("starts_at"))
    if not rows:
        raise Conflict(
            _("Nothing of this series is still to come."),
            asked=_("To call it off."),
            found=_("All its appointments are over or called off."),
            todo=_("Nothing is left to do."),
        )
    lock_procedures(row.procedure_id for row in rows)
    return [booking.cancel_appointment(row, reason=reason, actor=actor) for row in rows]


# --- one after the other


@dataclass(frozen=True)
class Link:
    """One exam of a chain with its time and place."""

    procedure: RequestedProcedure
    slot: FreeSlot

    @property
    def station(self) -> Station | None:
        return station_in(self.slot.room, str(self.procedure.modality))


def find_chain(
    procedures: Sequence[RequestedProcedure],
    *,
    after: datetime | None = None,
    days: int = slots.LOOK_AHEAD_DAYS,
    gap_minutes: int = 10,
    longest_wait_minutes: int = 90,
    in_any_order: bool = False,
    window: Window | None = None,
    actor: Actor,
) -> list[Link]:
    """The soonest times at which one patient can have these exams one after the other; empty when there are none.

    Between two exams lie at least the gap and at most the longest wait. In any order: the one that ends soonest.
    ``window`` bounds days and times of day instead of ``after`` and ``days``.
    """
    actor.require(perms.VIEW_SCHEDULE)
    _check_chain(procedures, gap_minutes, longest_wait_minutes)
    begin = max(after or now(), now())
    window = window or Window(begin, begin + timedelta(days=days))
    visible = {room.pk for room in selectors.rooms(actor=actor)}
    places: dict[int, list[tuple[RoomCalendar, timedelta]]] = {}
    for procedure in procedures:
        rooms = [room for room in slots.rooms_for(procedure) if room.pk in visible]
        priority = slots.priority_of(procedure)
        places[procedure.pk] = [
            (calendar, timedelta(minutes=slots.duration_of(procedure, calendar.room, None)))
            for calendar in load_calendars(rooms, window.after, window.before, priority=priority, user=actor.user)
        ]
    gap, wait = timedelta(minutes=gap_minutes), timedelta(minutes=longest_wait_minutes)
    may_turn = in_any_order and len(procedures) <= ANY_ORDER_UP_TO
    orderings = permutations(procedures) if may_turn else iter([tuple(procedures)])
    found = [chain for ordering in orderings if (chain := _chain(ordering, places, window, gap, wait))]
    return min(found, key=lambda chain: (chain[-1].slot.ends_at, chain[0].slot.starts_at), default=[])


def _check_chain(procedures: Sequence[RequestedProcedure], gap: int, wait: int) -> None:
    errors: dict[str, str] = {}
    if not 2 <= len({row.pk for row in procedures}) <= MOST_IN_CHAIN or len(procedures) > MOST_IN_CHAIN:
        errors["procedures"] = _("A chain has 2 to %(most)d different exams.") % {"most": MOST_IN_CHAIN}
    elif len({row.order.patient_id for row in procedures}) != 1:
        errors["procedures"] = _("All exams must be of one patient.")
    if not 0 <= gap <= wait <= 24 * 60:
        errors["longest_wait_minutes"] = _("The longest wait is at least the gap, and at most a day.")
    if errors:
        raise InvalidData(_("These exams cannot be chained."), errors=errors)


def _chain(
    procedures: Sequence[RequestedProcedure],
    places: dict[int, list[tuple[RoomCalendar, timedelta]]],
    window: Window,
    gap: timedelta,
    wait: timedelta,
) -> list[Link]:
    """Earliest first exam from which the others follow in time."""
    moment = window.after
    for _try in range(TRIES):
        links: list[Link] = []
        earliest, latest = moment, None
        for procedure in procedures:
            slot = _earliest(places[procedure.pk], replace(window, after=earliest))
            if slot is None:
                return []
            if latest is not None and slot.starts_at > latest:
                break
            links.append(Link(procedure, slot))
            earliest, latest = slot.ends_at + gap, slot.ends_at + wait
        if len(links) == len(procedures):
            return links
        moment = links[0].slot.starts_at + timedelta(minutes=5)
    return []


def _earliest(places: Iterable[tuple[RoomCalendar, timedelta]], window: Window) -> FreeSlot | None:
    if window.after >= window.before:
        return None
    firsts = (next(calendar.free(duration, window), None) for calendar, duration in places)
    return min((slot for slot in firsts if slot), key=lambda slot: (slot.starts_at, slot.room.code), default=None)


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def book_chain(links: Sequence[Link], *, gap_minutes: int | None = None, actor: Actor) -> SeriesResult:
    """Book all, or none: what was found to fit, unless somebody was first."""
    _check_chain([link.procedure for link in links], 0, 0)
    locked = {row.pk: row for row in _locked_of_one_patient([link.procedure for link in links])}
    fields = {} if gap_minutes is None else {"gap_minutes": gap_minutes}
    series = _new_series(SeriesKind.CHAIN, len(links), actor, **fields)
    for room in sorted({link.slot.room.pk: link.slot.room for link in links}.values(), key=lambda row: row.pk):
        booking.lock_room(room)
    result = SeriesResult(series)
    for link in links:
        minutes = int((link.slot.ends_at - link.slot.starts_at).total_seconds() // 60)
        try:
            with transaction.atomic():
                result.booked.append(
                    booking.book_appointment(
                        locked[link.procedure.pk],
                        room=link.slot.room,
                        starts_at=link.slot.starts_at,
                        duration_minutes=minutes,
                        series=series,
                        actor=actor,
                    )
                )
        except DomainError as refusal:
            result.skipped.append(Skipped(link.procedure, link.slot.starts_at, refusal.found or refusal.detail))
    if result.skipped:
        raise _refused(result)
    return result
