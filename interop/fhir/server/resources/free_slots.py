"""Slots that are free: worked out from opening hours, closures and what is booked, never kept.

``Slot?status=free`` lists them, of the rooms that ``schedule`` names or of all, between two ``start``s, each long
enough for ``duration`` minutes. Its id says room, time and length, so it can be read again: free still, or busy by now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused
from interop.fhir.server.params import PREFIXES, as_uuid, invalid, span_of, split_values, whole_number
from interop.fhir.server.resources.common import kept, moment, ref
from worklist.models import Room
from worklist.services import openings
from worklist.services.slots import DEFAULT_MINUTES, LONGEST_MINUTES

AHEAD, FURTHEST = timedelta(days=14), timedelta(days=62)
PAGE, LARGEST_PAGE = 50, 500
KEY = re.compile(r"([0-9a-f-]{36})\.(\d{8}T\d{4})\.(\d{1,3})")
STAMP = "%Y%m%dT%H%M"
TAKEN = ("status", "schedule", "start", "duration", "_count", "_format", "_pretty", "_total")


def are_asked_for(call: Call) -> bool:
    return "free" in split_values(call.param("status"), "status")


def listed(call: Call) -> Answer:
    """The soonest first. Raises Refused for parameters that say nothing of free times."""
    for key, _value in call.params:
        if key not in TAKEN:
            raise Refused(
                400, f"Free slots are not searched by {key[:40]}, but by {', '.join(TAKEN[:4])}.", issue="not-supported"
            )
    if call.param("status") != "free":
        raise Refused(400, "Free slots are asked for alone.", issue="value", expression="http.status")
    minutes, size = (
        _number(call, "duration", DEFAULT_MINUTES, LONGEST_MINUTES),
        _number(call, "_count", PAGE, LARGEST_PAGE),
    )
    after, before = _window(call)
    found = _free(_rooms(call), minutes, after, before, size + 1)
    links = [{"relation": "self", "url": call.url("Slot") + "?" + urlencode(list(call.params))}]
    if len(found) > size:
        rest = [(key, value) for key, value in call.params if key != "start"]
        bounds = [("start", f"ge{moment(found[size].starts_at)}"), ("start", f"lt{moment(before)}")]
        links.append({"relation": "next", "url": call.url("Slot") + "?" + urlencode([*rest, *bounds])})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    entries = [
        {"fullUrl": call.url("Slot", slot["id"]), "resource": slot, "search": {"mode": "match"}}
        for one in found[:size]
        if (slot := _resource(one.room, one.starts_at, minutes, "free"))
    ]
    return Answer({**bundle, "entry": entries} if entries else bundle)


def read(call: Call, key: str) -> Answer | None:
    """None when the id is not of this kind, or of no room."""
    place = place_of(key)
    if place is None:
        return None
    room, starts_at, minutes = place
    end = starts_at + timedelta(minutes=minutes)
    here = _free([room], minutes, starts_at, end, 1)
    is_free = bool(here) and here[0].starts_at == starts_at
    return Answer(_resource(room, starts_at, minutes, "free" if is_free else "busy"))


def place_of(key: str) -> tuple[Room, datetime, int] | None:
    """Room, begin and minutes that the id of a free slot says."""
    match = KEY.fullmatch(key)
    room = Room.objects.filter(uuid=as_uuid(match[1])).first() if match and as_uuid(match[1]) else None
    if match is None or room is None:
        return None
    try:
        starts_at = datetime.strptime(match[2], STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    minutes = int(match[3])
    return (room, starts_at, minutes) if 1 <= minutes <= LONGEST_MINUTES else None


def _resource(room: Room, starts_at: datetime, minutes: int, status: str) -> Resource:
    return kept(
        resourceType="Slot",
        id=f"{room.uuid}.{starts_at.astimezone(UTC).strftime(STAMP)}.{minutes}",
        schedule=ref("Schedule", room.uuid, room.name),
        status=status,
        start=moment(starts_at),
        end=moment(starts_at + timedelta(minutes=minutes)),
    )


def _free(rooms: Sequence[Room], minutes: int, after: datetime, before: datetime, most: int) -> list[Any]:
    window, length = openings.Window(after, before), timedelta(minutes=minutes)
    found: list[Any] = []
    for calendar in openings.load_calendars(rooms, after, before + length) if rooms else ():
        found += islice(calendar.free(length, window), most)
    return sorted(found, key=lambda slot: (slot.starts_at, slot.room.code))[:most]


def _rooms(call: Call) -> list[Room]:
    rooms = Room.objects.filter(is_active=True).order_by("code")
    asked = call.param("schedule")
    if not asked:
        return list(rooms)
    keys = [as_uuid(value.rpartition("/")[2]) for value in split_values(asked, "schedule")]
    return list(rooms.filter(uuid__in=[key for key in keys if key]))


def _window(call: Call) -> tuple[datetime, datetime]:
    """From now on, for two weeks, unless ``start`` says otherwise; at most two months."""
    after, before = timezone.now(), None
    for key, value in call.params:
        if key != "start":
            continue
        prefix, text = (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)
        low, high = span_of(text, "start")
        if prefix in ("eq", "ge", "gt", "sa"):
            after = max(after, high if prefix in ("gt", "sa") else low)
        if prefix in ("eq", "lt", "le", "eb"):
            ends = low if prefix in ("lt", "eb") else high
            before = min(before, ends) if before else ends
        if prefix in ("ne", "ap"):
            raise invalid("start", "of free slots it takes eq, ge, gt, le and lt.")
    furthest = after + FURTHEST
    return after, min(before or after + AHEAD, furthest)


def _number(call: Call, name: str, default: int, most: int) -> int:
    number = whole_number(call.param(name, str(default)), name)
    if not 1 <= number <= 10 * most:
        raise invalid(name, f"a number up to {most}.")
    return min(number, most)
