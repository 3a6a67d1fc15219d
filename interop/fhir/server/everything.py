"""``$everything`` of a patient: themselves and all that this server knows of them and the caller may see."""

from __future__ import annotations

from typing import Any

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused
from interop.fhir.server.params import Date, Reference, span_of
from interop.fhir.server.registry import ResourceType, Source, type_of, types
from interop.fhir.server.represent import whole
from interop.fhir.server.rights import may, note_read

KNOWN = ("_type", "_since", "_format", "_pretty")
#: Not told by $everything: who looked, and what is about no patient's care
LEFT_OUT = frozenset({"Patient", "AuditEvent"})
MOST = 5000


def everything(call: Call, row: Any) -> Answer:
    for key, _value in call.params:
        if key not in KNOWN:
            raise Refused(400, f"$everything is not asked for by {key[:40]}.", issue="not-supported")
    only = [name.strip() for name in call.param("_type").split(",") if name.strip()]
    for name in only:
        if type_of(name) is None:
            raise Refused(400, f"{name[:40]} is not served here.", issue="not-supported")
    patient_type = type_of("Patient")
    assert patient_type is not None
    found = _of(call, patient_type, patient_type.sources[0], [row]) if not only or "Patient" in only else []
    for kind in types().values():
        param = kind.params.get("patient")
        if kind.name in LEFT_OUT or param is None or (only and kind.name not in only) or not may(call, kind):
            continue
        for source in kind.sources:
            found += _of(call, kind, source, _rows(call, source, row))
            if len(found) > MOST:
                raise Refused(
                    400, "There is too much: ask for some types (_type) or since when (_since).", issue="too-costly"
                )
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found),
        "link": [{"relation": "self", "url": call.url("Patient", str(row.uuid), "$everything")}],
    }
    return Answer({**bundle, "entry": found} if found else bundle)


def _rows(call: Call, source: Source, patient: Any) -> list[Any]:
    param = source.by_name.get("patient")
    if not isinstance(param, Reference):
        return []
    rows = source.rows(call.actor)
    way = next(way for way in param.to if way.type == "Patient")
    key = patient.uuid if way.by_uuid else patient.pk
    keys = source.model._base_manager.filter(**{way.path: key}).order_by().values("pk")
    rows = rows.filter(pk__in=keys)
    updated = source.by_name.get("_lastUpdated")
    if call.param("_since") and isinstance(updated, Date):
        rows = rows.filter(**{f"{updated.at}__gte": span_of(call.param("_since"), "_since")[0]})
    return list(source.versions.annotated(source.loaded(rows))[: MOST + 1])


def _of(call: Call, kind: ResourceType, source: Source, rows: list[Any]) -> list[Resource]:
    made = [(row, whole(kind, source, row, call.version)) for row in rows]
    shown = [row for row, resource in made if resource is not None]
    if shown:
        note_read(call, kind, shown, len(shown))
    return [
        {"fullUrl": call.url(kind.name, resource["id"]), "resource": resource, "search": {"mode": "match"}}
        for _row, resource in made
        if resource is not None
    ]
