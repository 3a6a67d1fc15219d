"""The part of the schedule that shows time: which day, which rooms, as grid, week or table; the filters are the URL."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders import selectors as orders
from orders.models import Modality, RequestedProcedure
from ris.core.errors import NotKnown
from worklist import permissions as perms
from worklist import selectors
from worklist.models import Reservation, Room
from worklist.selectors.day import day_grid

VIEWS = (("grid", gettext_lazy("Day")), ("week", gettext_lazy("Week, one room")), ("table", gettext_lazy("Table")))
WEEK = 7
#: What the address keeps when the view changes.
KEPT = ("modality", "room", "book")


def day_of(request: HttpRequest) -> date:
    try:
        return date.fromisoformat(request.GET.get("day", ""))
    except ValueError:
        return timezone.localdate()


def procedure_of(request: HttpRequest, uuid: Any) -> RequestedProcedure:
    row = orders.procedures(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such exam."), todo=_("Choose it from the list."))
    return row


def appointment_of(request: HttpRequest, uuid: Any) -> Reservation:
    row = selectors.appointments(actor=request.actor).filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such appointment."), todo=_("Look at the schedule."))
    return row


def is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def schedule_url(day: date | None = None, **query: Any) -> str:
    kept = {"day": day.isoformat() if day else "", **query}
    kept = {key: str(value) for key, value in kept.items() if value}
    return reverse("schedule_day") + (f"?{urlencode(kept)}" if kept else "")


def view_links(request: HttpRequest, day: date, view: str) -> list[tuple[Any, str, bool]]:
    """The ways to look at it; the one room of a week does not narrow the day."""
    kept = {key: request.GET[key] for key in KEPT if request.GET.get(key)}
    whole = {key: value for key, value in kept.items() if key != "room"} if view == "week" else kept
    return [
        (words, schedule_url(day, **(kept if key == "week" else whole), view=key), key == view) for key, words in VIEWS
    ]


def modalities_of(rooms: list[Room]) -> list[str]:
    return sorted({station.modality for room in rooms for station in room.stations.all() if station.is_active})


def time_context(request: HttpRequest, day: date) -> dict[str, Any]:
    """What the grid, the week and the table are drawn from."""
    actor = request.actor
    view = request.GET.get("view", "grid")
    view = view if view in dict(VIEWS) else "grid"
    modality = request.GET.get("modality", "")
    modality = modality if modality in Modality.values else ""
    rooms = list(selectors.rooms(actor=actor).filter(is_active=True))
    chosen = next((row for row in rooms if row.code == request.GET.get("room")), None)
    is_week = view == "week" and bool(rooms)
    room = chosen or (rooms[0] if is_week else None)
    shown = [room] if room is not None else rooms
    first_day = day - timedelta(days=day.weekday()) if is_week else day
    narrowed = "" if is_week else modality
    grid = day_grid(day=first_day, rooms=shown, actor=actor, modality=narrowed, days=WEEK if is_week else 1)
    return {
        "day": day,
        "first_day": first_day,
        "previous_day": day - timedelta(days=WEEK if is_week else 1),
        "next_day": day + timedelta(days=WEEK if is_week else 1),
        "view": view,
        "rooms": rooms,
        "room": room,
        "room_choices": [(row.code, row.name) for row in rooms],
        "grid": grid,
        "now": timezone.localtime(),
        "modality": modality,
        "modalities": [(value, value) for value in modalities_of(rooms)],
        "may_book": actor.may(perms.BOOK_APPOINTMENT),
        "may_block": actor.may(perms.BLOCK_ROOM),
        "may_arrive": actor.may(perms.ARRIVE_PATIENT),
        "may_call": actor.may(perms.CALL_PATIENT),
    }


def script_words() -> dict[str, str]:
    """What the script of the grid says and announces."""
    return {
        "picked": _(
            "Moving {what}. Up and down: five minutes; with Shift: one hour. Left and right: room. "
            "Enter puts it there, Escape puts it back."
        ),
        "at": _("{room}, {time}"),
        "taken": _("taken"),
        "closed": _("closed"),
        "kept": _("kept for emergencies"),
        "cannot": _("another kind of room"),
        "back": _("Put back: {what}."),
        "moved": _("{what}: {room}, {time}."),
        "failed": _("The connection failed. Nothing was changed."),
        "fixed": _("This one cannot be moved any more."),
    }
