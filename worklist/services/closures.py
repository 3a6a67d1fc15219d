"""Opening hours, closures and time kept for emergencies, as somebody sets them. Booking asks ``obstacle_to``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time

from django.utils import timezone
from django.utils.translation import gettext as _

from ris.accounts.models import Site
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from worklist import permissions as perms
from worklist.models import (
    Closure,
    ClosureKind,
    KeptFor,
    OpeningHours,
    Reservation,
    ReservationKind,
    ReservationStatus,
    ReservedTime,
    Room,
)
from worklist.services import openings
from worklist.services.support import now

HOURS_SHOWN = 14
#: Older times have zones that a clock of today cannot write
LONG_AGO = 1970


def obstacle_to(room: Room, starts_at: datetime, ends_at: datetime, *, priority: str) -> openings.Obstacle | None:
    """What keeps a time from being booked that is nobody's appointment: a closure, else reserved time."""
    closed = Closure.objects.current().of_rooms([room]).between(starts_at, ends_at).order_by("starts_at").first()
    if closed is not None:
        return openings.Obstacle(closed.starts_at, closed.ends_at, "closed", closed.reason)
    for kept in ReservedTime.objects.current().filter(room=room):
        for row in openings.reserved_obstacles(kept, starts_at, ends_at, priority):
            if row.begins < ends_at and row.ends > starts_at:
                return row
    return None


# --- opening hours


@service(perms.MANAGE_ROOMS)
def set_opening_hours(room: Room, *, hours: Sequence[tuple[int, time, time]], actor: Actor) -> Room:
    """The whole week of a room anew: ``(weekday, opens, closes)``, Monday is 0. Nothing: it is always open."""
    wanted = sorted(set(hours))
    _check_hours(wanted)
    room = Room.locked(room.pk)
    OpeningHours.objects.filter(room=room).delete()
    OpeningHours.objects.bulk_create(
        OpeningHours(room=room, weekday=weekday, opens_at=opens, closes_at=closes) for weekday, opens, closes in wanted
    )
    words = ", ".join(f"{day} {opens:%H:%M}-{closes:%H:%M}" for day, opens, closes in wanted[:HOURS_SHOWN])
    room.save_as(actor, f"Opening hours: {words or 'always open'}")
    return room


def _check_hours(hours: Sequence[tuple[int, time, time]]) -> None:
    latest: dict[int, time] = {}
    for weekday, opens, closes in hours:
        words = ""
        if not 0 <= weekday <= 6:
            words = _("A weekday is 0 (Monday) to 6 (Sunday).")
        elif closes <= opens:
            words = _("It must close after it opens.")
        elif weekday in latest and opens < latest[weekday]:
            words = _("Two opening times of one day overlap.")
        if words:
            raise InvalidData(words, errors={"hours": words})
        latest[weekday] = closes


# --- closures


@service(perms.CLOSE_ROOM, action=Action.CREATE)
def close_time(
    *,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    kind: str = ClosureKind.OTHER,
    room: Room | None = None,
    site: Site | None = None,
    actor: Actor,
) -> Closure:
    """Close a room, a site or the whole house. ``closure.affected``: appointments in it, which somebody must move."""
    _check_span(starts_at, ends_at)
    if kind not in ClosureKind.values:
        raise InvalidData(_("There is no such kind of closure."), errors={"kind": _("Not known.")})
    reason = reason.strip()
    if not reason:
        raise InvalidData(_("Say why."), errors={"reason": _("Say why.")})
    if room is not None and site is not None:
        words = _("Close a room or a site, not both.")
        raise InvalidData(words, errors={"site": words})
    closure = Closure(room=room, site=site, kind=kind, starts_at=starts_at, ends_at=ends_at, reason=reason[:200])
    closure.save_as(actor, f"Closed: {reason}")
    closure.affected = affected_by(closure).count()
    return closure


def affected_by(closure: Closure):
    """Open appointments in a closed time."""
    rows = Reservation.objects.filter(
        kind=ReservationKind.APPOINTMENT, status__in=(ReservationStatus.BOOKED, ReservationStatus.ARRIVED)
    ).between(closure.starts_at, closure.ends_at)
    if closure.room_id is not None:
        return rows.filter(room=closure.room_id)
    return rows.filter(room__site=closure.site_id) if closure.site_id is not None else rows


@service(perms.CLOSE_ROOM)
def withdraw_closure(closure: Closure, *, reason: str = "", actor: Actor) -> Closure:
    """Open again. What was closed stays to be read."""
    closure = Closure.locked(closure.pk)
    _refuse_withdrawn(closure)
    closure.withdrawn_at = now()
    closure.save_as(actor, f"Opened again: {reason}" if reason else "Opened again")
    return closure


def _refuse_withdrawn(row: Closure | ReservedTime) -> None:
    if row.withdrawn_at is not None:
        raise Conflict(
            _("It is withdrawn already."),
            asked=_("To withdraw it."),
            found=_("Somebody has withdrawn it."),
            todo=_("Nothing is left to do."),
        )


def _check_span(starts_at: datetime, ends_at: datetime) -> None:
    if timezone.is_naive(starts_at) or timezone.is_naive(ends_at):
        raise InvalidData(_("A time needs its zone."), errors={"starts_at": _("Give the time with its zone.")})
    if starts_at.year < LONG_AGO:
        words = _("That is too long ago.")
        raise InvalidData(words, errors={"starts_at": words})
    if ends_at <= starts_at:
        words = _("It must end after it begins.")
        raise InvalidData(words, errors={"ends_at": words})


# --- reserved time


@service(perms.CLOSE_ROOM, action=Action.CREATE)
def reserve_time(
    room: Room,
    *,
    weekday: int,
    begins: time,
    ends: time,
    kept_for: str = KeptFor.URGENT,
    purpose: str = "",
    opens_minutes_before: int = 60,
    valid_from: date | None = None,
    valid_until: date | None = None,
    actor: Actor,
) -> ReservedTime:
    """Keep a time of every such weekday for emergencies; what is left opens to all shortly before."""
    errors: dict[str, str] = {}
    if not 0 <= weekday <= 6:
        errors["weekday"] = _("A weekday is 0 (Monday) to 6 (Sunday).")
    if ends <= begins:
        errors["ends"] = _("It must end after it begins.")
    if kept_for not in KeptFor.values:
        errors["kept_for"] = _("Not known.")
    if valid_from and valid_until and valid_until < valid_from:
        errors["valid_until"] = _("It must end after it begins.")
    if errors:
        raise InvalidData(_("The time was not reserved."), errors=errors)
    kept = ReservedTime(
        room=room,
        weekday=weekday,
        begins=begins,
        ends=ends,
        kept_for=kept_for,
        purpose=purpose.strip()[:64],
        opens_minutes_before=opens_minutes_before,
        valid_from=valid_from,
        valid_until=valid_until,
    )
    kept.save_as(actor, "Reserved")
    return kept


@service(perms.CLOSE_ROOM)
def withdraw_reserved_time(kept: ReservedTime, *, actor: Actor) -> ReservedTime:
    kept = ReservedTime.locked(kept.pk)
    _refuse_withdrawn(kept)
    kept.withdrawn_at = now()
    kept.save_as(actor, "Open to all again")
    return kept
