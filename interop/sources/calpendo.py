"""Calpendo, by its WebDAV queries: bookings of the resources we serve, in a window of days.

``/webdav/q/Calpendo.Booking/AND/...`` lists bookings, ``/webdav/b/Calpendo.Booking/<id>`` tells one in full. Nothing
tells what has changed or been deleted since: the window is read anew each time, and an entry of ours that is missing
from it is looked up by its number before it counts as gone. Status and resource are judged here and not in the query,
so that a cancelled booking is seen as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from interop.sources.plugin import Ask, Batch, Field, Row, There, in_batches
from interop.sources.windows import day_of, moment_of, walls
from interop.sources.wire import SourceFailed, refusal_of

AT_ONCE = 4
BATCH = 50
WHEN = "%Y%m%d-%H%M"
RANGE = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?), (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)\]")
HIDDEN = "<Hidden>"


class Calpendo:
    code = "calpendo"
    label = "Calpendo"
    fields = (
        Field(
            "base_url", gettext_lazy("Address"), "url", True, help=gettext_lazy("For example https://example.calpendo.com")
        ),
        Field("username", gettext_lazy("User name"), "secret", True),
        Field("password", gettext_lazy("Password"), "secret", True),
        Field("resources", gettext_lazy("Resources"), "list", True, help=gettext_lazy("Names of scanners, as booked.")),
        Field(
            "statuses", gettext_lazy("Statuses that count"), "list", default=["Approved"],
            help=gettext_lazy("A booking of another status is not planned yet, or not any more."),
        ),
        Field(
            "biskit_types", gettext_lazy("Kinds of bookings"), "list",
            help=gettext_lazy("For example MRIScan. Empty: all."),
        ),
        Field("projects", gettext_lazy("Projects"), "list", help=gettext_lazy("Only bookings of these. Empty: all.")),
        Field(
            "modalities", gettext_lazy("Resource to modality"), "map",
            help=gettext_lazy("The name of a resource, or how it begins."),
        ),
        Field(
            "stations", gettext_lazy("Resource to station"), "map",
            help=gettext_lazy("AE title or name of the station; the name of a resource, or how it begins."),
        ),
        Field(
            "window", gettext_lazy("Window"), "choice", default="rolling",
            choices=(("rolling", gettext_lazy("Rolling")), ("today", gettext_lazy("Today, midnight to midnight"))),
        ),
        Field("lookback", gettext_lazy("Looks back (intervals)"), "number", default=2, low=1, high=1000),
        Field("horizon_hours", gettext_lazy("Looks ahead (hours)"), "number", default=24, low=1, high=24 * 90),
    )  # fmt: skip
    offers = (
        "id", "title", "status", "biskitType", "formattedName", "resource", "project", "starts_at", "duration_minutes",
        "modality", "station", "operator", "properties.project.formattedName", "properties.resource.formattedName",
        "properties.booker.formattedName", "properties.owner.formattedName", "properties.description",
    )  # fmt: skip
    suggestion = (
        {"target": "patient_id", "source": "title", "pattern": r"^([A-Z0-9]+)_.*", "group": 1},
        {"target": "patient_name", "source": "title", "pattern": r"^[A-Z0-9]+_(.+)$", "group": 1},
        {"target": "description", "source": "project"},
        {"target": "modality", "source": "modality"},
        {"target": "station", "source": "station"},
        {"target": "starts_at", "source": "starts_at"},
        {"target": "duration_minutes", "source": "duration_minutes"},
    )

    def test(self, there: There) -> list[str]:
        now = datetime.now(UTC)
        _listed(there, now, now + timedelta(hours=1))
        return list(self.offers)

    def fetch(self, there: There, ask: Ask) -> Iterator[Batch]:
        begin, end = _window(there, ask)
        listed = [booking for booking in _listed(there, begin, end) if _is_of_kind(there, booking)]
        ids = list(dict.fromkeys([*ask.again, *(str(booking["id"]) for booking in listed)]))
        missing = [
            one
            for one, starts_at in ask.known.items()
            if one not in set(ids) and (starts_at is None or begin <= starts_at < end)
        ]
        for batch in in_batches([*ids, *missing], BATCH):
            there.wire.check_time()
            with ThreadPoolExecutor(AT_ONCE) as threads:
                bookings = list(threads.map(lambda one: _booking(there, one), batch))
            rows = [_row(there, one, booking, ask) for one, booking in zip(batch, bookings, strict=True)]
            yield [row for row in rows if row is not None]


def _window(there: There, ask: Ask) -> tuple[datetime, datetime]:
    """Which starts of bookings are asked for; after an outage, back to where reading ended."""
    if there.config["window"] == "today":
        begin, end = day_of(ask.until, there.zone)
    else:
        begin = ask.until - there.interval * there.config["lookback"]
        end = ask.until + timedelta(hours=there.config["horizon_hours"])
    return (min(begin, ask.since) if ask.since is not None else begin), end


# --- questions


def _get(there: There, path: str, **params: str) -> tuple[int, bytes]:
    login = (there.secrets.get("username", ""), there.secrets.get("password", ""))
    return there.wire.exchange(
        "GET", f"{there.config['base_url'].rstrip('/')}/webdav/{path}", auth=login, params=params or None
    )


def _json(there: There, path: str, **params: str) -> dict[str, Any]:
    status, body = _get(there, path, **params)
    if status != 200:
        raise refusal_of(status, body)
    return there.wire.parsed(body, dict)


def _query(there: There, begin: datetime, end: datetime) -> str:
    first, last = walls(begin, end, there.zone)
    last += timedelta(minutes=1 if last.second or last.microsecond else 0)
    resources = "".join(f"/resource.name/EQ/{quote(name, safe='')}" for name in there.config["resources"])
    return f"AND/dateRange.start/GE/{first:{WHEN}}/dateRange.start/LT/{last:{WHEN}}/OR{resources}"


def _listed(there: There, begin: datetime, end: datetime) -> list[dict[str, Any]]:
    answer = _json(there, f"q/Calpendo.Booking/{_query(there, begin, end)}")
    found = answer.get("biskits")
    if not isinstance(found, list) or not all(isinstance(row, dict) and row.get("id") for row in found):
        raise SourceFailed(_("The source did not answer as Calpendo does."), reason="malformed")
    return found


def _booking(there: There, number: str) -> dict[str, Any] | None:
    """The whole booking; None when there is none of this number any more."""
    status, body = _get(there, f"b/Calpendo.Booking/{quote(number, safe='')}")
    if status == 404:
        return None
    if status != 200:
        raise refusal_of(status, body)
    booking: dict[str, Any] = there.wire.parsed(body, dict)
    if booking.get("biskitType") == "MRIScan" and "operator" in there.wanted:
        booking["operator"] = _operator(there, number)
    return booking


def _operator(there: There, number: str) -> str:
    answer = _json(there, f"q/MRIScan/id/eq/{quote(number, safe='')}", paths="Operator.name")
    rows = answer.get("biskits")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    found: Any = row.get("Operator.name") or _at(row, "properties.Operator")
    if isinstance(found, dict):
        found = found.get("formattedName") or found.get("name")
    return "" if found in (None, HIDDEN) else str(found)


# --- rows


def _is_of_kind(there: There, booking: Mapping[str, Any]) -> bool:
    kinds = there.config["biskit_types"]
    return not kinds or booking.get("biskitType") in kinds


def _row(there: There, number: str, booking: dict[str, Any] | None, ask: Ask) -> Row | None:
    """The booking as a row; None when it is nothing to us."""
    is_known = number in ask.known or number in ask.again
    if booking is None:
        return Row(number, is_gone=True, reason=_("The booking was deleted in Calpendo.")) if is_known else None
    values = _values(there, booking)
    words = str(_at(booking, "properties.cancellationReason") or "")
    if _at(booking, "properties.cancelled") is True:
        return Row(number, is_gone=True, reason=words or _("The booking was cancelled.")) if is_known else None
    if there.config["statuses"] and values["status"] not in there.config["statuses"]:
        reason = words or _("The booking is %(status)s.") % {"status": values["status"][:40] or "–"}
        return Row(number, is_gone=True, reason=reason) if is_known else None
    if not _is_ours(there, values, booking):
        reason = _("The booking is for another resource or project now.")
        return Row(number, is_gone=True, reason=reason) if is_known else None
    return Row(number, values)


def _is_ours(there: There, values: Mapping[str, str], booking: Mapping[str, Any]) -> bool:
    if values["resource"] and values["resource"] not in there.config["resources"]:
        return False
    if not there.config["projects"]:
        return _is_of_kind(there, booking)
    formatted = str(_at(booking, "properties.project.formattedName") or "")
    names = {values["project"], formatted, formatted.split("(")[0].strip()}
    return bool(names & set(there.config["projects"])) and _is_of_kind(there, booking)


def _values(there: There, booking: dict[str, Any]) -> dict[str, str]:
    values = dict(_flat(booking))
    for name in ("title", "status", "biskitType"):
        values[name] = values.get(name) or values.get(f"properties.{name}", "")
    resource = values.get("properties.resource.name") or values.get("properties.resource.formattedName", "")
    values["resource"] = resource
    values["project"] = values.get("properties.project.name") or values.get("properties.project.formattedName", "")
    values["modality"] = _by_name(there.config["modalities"] or {}, resource)
    values["station"] = _by_name(there.config["stations"] or {}, resource)
    times = _times(there, booking)
    if times is not None:
        values["starts_at"] = times[0].isoformat()
        values["duration_minutes"] = str(max(1, round((times[1] - times[0]).total_seconds() / 60)))
    return values


def _by_name(names: Mapping[str, str], resource: str) -> str:
    """By the whole name, else by the longest beginning that fits."""
    fitting = [name for name in names if resource.startswith(name)]
    return names.get(resource) or (names[max(fitting, key=len)] if fitting else "")


def _times(there: There, booking: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """Of ``formattedName``, in the zone there; or of ``properties.dateRange``."""
    match = RANGE.match(str(booking.get("formattedName") or ""))
    texts: Iterable[Any] = match.groups() if match else ()
    if not match:
        between = _at(booking, "properties.dateRange")
        if not isinstance(between, dict):
            return None
        texts = (between.get("start"), between.get("end") or between.get("finish"))
    try:
        first, last = (moment_of(datetime.fromisoformat(str(text)), there.zone) for text in texts)
    except ValueError:
        return None
    return (first, last) if first <= last else None


def _at(booking: Mapping[str, Any], path: str) -> Any:
    found: Any = booking
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _flat(value: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, dict):
            if depth < 4:
                yield from _flat(item, f"{before}{name}.", depth + 1)
        elif item is not None and not isinstance(item, list) and item != HIDDEN:
            yield f"{before}{name}", str(item)
