"""A row as the resource that is answered: id, meta, and the part of it that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils.http import http_date

from interop.fhir.server.call import Call, Resource, Version
from interop.fhir.server.errors import Refused
from interop.fhir.server.registry import ResourceType, Source
from interop.fhir.server.shape import mandatory_of, summary_of
from interop.fhir.server.versions import Moment, digest_of

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
SUMMARIES = ("true", "false", "text", "data", "count")


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole(
    kind: ResourceType, source: Source, row: Any, version: Version, moment: Moment | None = None
) -> Resource | None:
    """The resource with id and meta; of a moment, as it was then. None when the row says nothing."""
    body = source.to_fhir(moment.row if moment else row, version)
    if body is None:
        return None
    meta: Resource = {}
    version_id = moment.version_id if moment else source.versions.version_id(row)
    if version_id:
        meta["versionId"] = version_id
    updated = moment.at if moment else updated_at(source, row)
    if updated:
        meta["lastUpdated"] = instant(updated)
    made: Resource = {"resourceType": kind.name, "id": str(row.uuid)}
    if meta or "meta" in body:
        made["meta"] = {**body.pop("meta", {}), **meta}
    return {**made, **body}


def updated_at(source: Source, row: Any) -> datetime | None:
    """The latest of the row and its parts."""
    found = []
    if source.updated and "__" not in source.updated:
        found.append(getattr(row, source.updated, None))
    for part in getattr(source.versions, "parts", ()):
        found.append(getattr(getattr(row, part.name, None), "updated_at", None))
    return max((moment for moment in found if moment is not None), default=None)


def etag_of(resource: Resource) -> str:
    """``W/"versionId"``; of what keeps no versions, a digest of what is said."""
    version_id = resource.get("meta", {}).get("versionId")
    return f'W/"{version_id or digest_of(resource)}"'


def validators_of(resource: Resource) -> dict[str, str]:
    headers = {"ETag": etag_of(resource)}
    updated = resource.get("meta", {}).get("lastUpdated")
    if updated:
        headers["Last-Modified"] = http_date(datetime.fromisoformat(updated).timestamp())
    return headers


# --- a part of it


class Part:
    """``_summary`` and ``_elements``, checked once per request."""

    def __init__(self, call: Call) -> None:
        self.summary = call.param("_summary", "false")
        if self.summary not in SUMMARIES:
            raise Refused(400, f"_summary is one of {', '.join(SUMMARIES)}.", issue="value")
        asked = [name.strip() for name in call.param("_elements").split(",") if name.strip()]
        #: ``Type.element`` names an element of one type only; ``element.part`` all of the element
        self.elements = asked
        if asked and self.summary != "false":
            raise Refused(400, "Ask for _summary or for _elements.", issue="value")

    def load(self, kind: ResourceType, rows: Sequence[Any]) -> None:
        """What is not told unless it is asked for by its path: ``series.instance``."""
        paths = {path.removeprefix(f"{kind.name}.") for path in self.elements}
        for path in paths & kind.on_request.keys():
            kind.on_request[path](rows)

    @property
    def is_whole(self) -> bool:
        return self.summary in ("false", "count") and not self.elements

    def of(self, resource: Resource, version: Version) -> Resource:
        if self.is_whole:
            return resource
        name = resource["resourceType"]
        always = {"resourceType", "id", "meta"}
        if self.summary == "data":
            kept = resource.keys() - {"text"}
        elif self.summary == "text":
            kept = always | {"text"} | mandatory_of(version, name)
        elif self.summary == "true":
            kept = always | summary_of(version, name)
        else:
            asked = {one.removeprefix(f"{name}.").split(".")[0] for one in self.elements}
            kept = always | asked | mandatory_of(version, name)
        meta = {**resource.get("meta", {}), "tag": [*resource.get("meta", {}).get("tag", ()), SUBSETTED]}
        return {key: value for key, value in {**resource, "meta": meta}.items() if key.lstrip("_") in kept}
