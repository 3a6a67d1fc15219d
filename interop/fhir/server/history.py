"""What was said before: ``vread`` and ``_history`` of one resource and of a type, newest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused
from interop.fhir.server.params import invalid, span_of, whole_number
from interop.fhir.server.registry import ResourceType, Source
from interop.fhir.server.represent import etag_of, instant, validators_of, whole
from interop.fhir.server.rights import note_read, note_read_of
from interop.fhir.server.versions import Moment

PAGE, LARGEST_PAGE = 50, 200
#: Rows of a type whose changes one page of its history looks at
LOOKED_AT = 400
KNOWN = ("_count", "_since", "_before", "_format", "_pretty")
#: A version of a row of a source
Change = tuple[Source, Any, Moment]


def vread(kind: ResourceType, source: Source, row: Any, version_id: str, call: Call) -> Answer:
    refuse_unversioned(kind)
    for moment in source.versions.moments([row])[row.pk]:
        if moment.version_id == version_id:
            resource = whole(kind, source, row, call.version, moment)
            if resource is not None:
                note_read_of(call, kind, row)
                return Answer(resource, headers=validators_of(resource))
    said = {"version": version_id[:40], "name": kind.name}
    raise Refused(404, _("There is no version %(version)s of this %(name)s.") % said)


def of_one(kind: ResourceType, source: Source, row: Any, call: Call) -> Answer:
    refuse_unversioned(kind)
    _check(call)
    since, before = _bounds(call)
    all_of_it: list[Change] = [(source, row, moment) for moment in reversed(source.versions.moments([row])[row.pk])]
    note_read_of(call, kind, row)
    found = [change for change in all_of_it if since <= change[2].at < before]
    newer = [change for change in all_of_it if change[2].at >= max(since, before)]
    return _bundle(kind, found, newer, call, call.url(kind.name, str(row.uuid), "_history"), total=len(found))


def of_type(kind: ResourceType, call: Call) -> Answer:
    """The changes of the rows that changed last; ``next`` goes further back.

    Of more rows than are looked at, the versions that others have overtaken are told by the resource's own history.
    """
    refuse_unversioned(kind)
    _check(call)
    since, before = _bounds(call)
    found: list[Change] = []
    newer: list[Change] = []
    is_cut = False
    for source in kind.sources:
        keys = _keys(source, since, before, call)
        is_cut |= len(keys) > LOOKED_AT
        loaded = list(source.versions.annotated(source.loaded(source.model._base_manager.filter(pk__in=keys))))
        for row, moments in zip(loaded, (source.versions.moments(loaded)[row.pk] for row in loaded), strict=True):
            found += [(source, row, moment) for moment in moments if since <= moment.at < before]
            newer += [(source, row, moment) for moment in moments if moment.at >= max(since, before)]
    for changes in (found, newer):
        changes.sort(key=lambda entry: (entry[2].at, entry[1].pk), reverse=True)
    shown = [row for _source, row, _moment in found[: _size(call)]]
    note_read(call, kind, shown, len(shown))
    return _bundle(kind, found, newer, call, call.url(kind.name, "_history"), total=None if is_cut else len(found))


def _keys(source: Source, since: datetime, before: datetime, call: Call) -> list[Any]:
    """The rows that were still then, newest first, and those that have changed since, oldest first."""
    rows, updated = source.rows(call.actor), source.updated
    still = rows.filter(**{f"{updated}__gte": since, f"{updated}__lt": before}).order_by(f"-{updated}", "-pk")
    keys = list(still.values_list("pk", flat=True)[: LOOKED_AT + 1])
    if call.param("_before"):
        changed = rows.filter(**{f"{updated}__gte": max(since, before)}).order_by(updated, "pk")
        keys += changed.values_list("pk", flat=True)[: LOOKED_AT + 1]
    return keys


def refuse_unversioned(kind: ResourceType) -> None:
    if not kind.is_versioned:
        raise Refused(405, f"No earlier versions of {kind.name} are kept.", headers={"Allow": "GET, HEAD"})


def _check(call: Call) -> None:
    for key, _value in call.params:
        if key not in KNOWN:
            raise Refused(400, f"A history is not asked for by {key[:40]}.", issue="not-supported")


def _bounds(call: Call) -> tuple[Any, Any]:
    since, before = call.param("_since"), call.param("_before")
    low = span_of(since, "_since")[0] if since else datetime(1970, 1, 1, tzinfo=UTC)
    if not before:
        return low, timezone.now() + timedelta(days=1)
    high = parse_datetime(before.replace(" ", "+"))
    if high is None or timezone.is_naive(high):
        raise invalid("_before", "an instant.")
    return low, high


def _size(call: Call) -> int:
    count = whole_number(call.param("_count", str(PAGE)), "_count")
    if not count:
        raise invalid("_count", "a number of versions.")
    return min(count, LARGEST_PAGE)


def _bundle(
    kind: ResourceType, found: list[Change], newer: list[Change], call: Call, url: str, *, total: int | None
) -> Answer:
    """``found`` and ``newer`` newest first."""
    size = _size(call)
    query = [f"{name}={value}" for name in ("_count", "_since", "_before") if (value := call.param(name))]
    kept = [part for part in query if not part.startswith("_before=")]

    def link(relation: str, parts: list[str]) -> Resource:
        return {"relation": relation, "url": url + (f"?{'&'.join(parts)}" if parts else "")}

    links = [link("self", query)]
    if newer:
        ahead = newer[-size - 1 : -size]
        links.append(link("previous", [*kept, *(f"_before={instant_exact(change[2])}" for change in ahead)]))
    if len(found) > size:
        links.append(link("next", [*kept, f"_before={instant_exact(found[size - 1][2])}"]))
    entries = [
        entry for source, row, moment in found[:size] if (entry := _entry(kind, source, row, moment, call)) is not None
    ]
    bundle: Resource = {"resourceType": "Bundle", "type": "history"}
    if total is not None:
        bundle["total"] = total
    bundle["link"] = links
    if entries:
        bundle["entry"] = entries
    return Answer(bundle)


def instant_exact(moment: Moment) -> str:
    """To the microsecond: a page begins right behind the last of the one before."""
    return moment.at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _entry(kind: ResourceType, source: Source, row: Any, moment: Moment, call: Call) -> Resource | None:
    resource = whole(kind, source, row, call.version, moment)
    if resource is None:
        return None
    path = kind.name if moment.is_first else f"{kind.name}/{row.uuid}"
    return {
        "fullUrl": call.url(kind.name, str(row.uuid)),
        "resource": resource,
        "request": {"method": "POST" if moment.is_first else "PUT", "url": path},
        "response": {
            "status": "201 Created" if moment.is_first else "200 OK",
            "etag": etag_of(resource),
            "lastModified": instant(moment.at),
        },
    }
