"""The CapabilityStatement, made from the registry: what stands in it answers, what answers stands in it."""

from __future__ import annotations

from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.params import Param
from interop.fhir.server.registry import ResourceType, includes_to, system_handlers, types, virtual_types
from interop.fhir.server.wire import JSON, XML

PUBLISHED = "2026-11-21"
#: interaction of a resource type -> the handler that brings it
WRITES = {"create": "create", "update": "update", "patch": "patch", "delete": "delete"}
#: What other modules say of security: functions that add to ``rest.security``
security_parts: list[Any] = []


def interactions_of(kind: ResourceType) -> list[str]:
    found = ["read", "search-type"] if kind.is_searched else ["read"]
    if kind.is_versioned:
        found += ["vread", "history-instance"] + (["history-type"] if kind.is_searched else [])
    return [*found, *(name for name, handler in WRITES.items() if handler in kind.handlers)]


def statement(call: Call) -> Resource:
    version = call.version
    types()  # what brings types also says of security and bundles
    rest: Resource = {
        "mode": "server",
        "documentation": "The department's data, under the rights that the pages ask for.",
        "security": security(call),
        "resource": [resource_of(kind, call) for kind in types().values() if offered(kind, call)],
    }
    rest["resource"] += [
        {"type": one.name, "documentation": one.doc, "interaction": [{"code": "read"}, {"code": "search-type"}]}
        for one in virtual_types.values()
        if call.version.name in one.releases
    ]
    if ("POST", "") in system_handlers:
        rest["interaction"] = [{"code": "transaction"}, {"code": "batch"}]
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{call.base}/metadata",
        "name": "PichaCapabilities",
        "title": "Picha, Radiology Information System",
        "status": "active",
        "date": PUBLISHED,
        "kind": "instance",
        "software": {"name": "Picha"},
        "implementation": {"description": f"FHIR {version.number}", "url": call.base},
        "fhirVersion": version.number,
        "format": [JSON, XML, "json", "xml"],
        **(
            {"patchFormat": ["application/json-patch+json"]}
            if any("patch" in k.handlers for k in types().values())
            else {}
        ),
        "rest": [rest],
    }


def offered(kind: ResourceType, call: Call) -> bool:
    return call.version.name in kind.releases


def security(call: Call) -> Resource:
    made: Resource = {
        "cors": False,
        "description": "Authorization: Bearer (from /api/v1/auth/token) or Api-Key, or the session of a browser.",
    }
    for add in security_parts:
        add(made, call)
    return made


def resource_of(kind: ResourceType, call: Call) -> Resource:
    made: Resource = {
        "type": kind.name,
        "documentation": kind.doc + f" Right: {' or '.join(kind.permission)}.",
        "interaction": [{"code": code} for code in interactions_of(kind)],
        "versioning": "versioned" if kind.is_versioned else "no-version",
        "readHistory": kind.is_versioned,
        "updateCreate": False,
        "conditionalCreate": "conditional-create" in kind.handlers,
        "conditionalRead": "full-support",
        "conditionalUpdate": "conditional-update" in kind.handlers,
        "referencePolicy": ["literal", "local"],
        "searchInclude": [f"{kind.name}:{name}" for name in sorted(kind.references)],
        "searchRevInclude": sorted({f"{o.name}:{p.name}" for o, p, _way in includes_to(kind.name) if offered(o, call)}),
        "searchParam": [_param(param) for _name, param in sorted(kind.params.items()) if kind.is_searched],
    }
    if "update" in kind.handlers and kind.is_versioned:
        made["versioning"] = "versioned-update"
    for empty in ("searchInclude", "searchRevInclude", "searchParam"):
        if not made[empty]:
            del made[empty]
    if kind.operations:
        made["operation"] = [
            {"name": name, "definition": f"http://hl7.org/fhir/OperationDefinition/{kind.name}-{name}"}
            for name in sorted(kind.operations)
        ]
    return made


def _param(param: Param) -> Resource:
    told = {"name": param.name, "type": param.kind}
    if param.doc:
        told["documentation"] = param.doc
    return told
