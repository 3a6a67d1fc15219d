"""The interactions (FHIR R4 3.1.0): a call in, an answer out; refusals are exceptions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from django.utils.http import parse_http_date_safe
from django.utils.translation import gettext as _

from interop.fhir.server import capability, history, search
from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused, said
from interop.fhir.server.registry import ResourceType, Source, system_handlers, type_of, virtual_types
from interop.fhir.server.represent import Part, etag_of, validators_of, whole
from interop.fhir.server.rights import note_read_of, require
from interop.fhir.server.versions import Children, Parent
from interop.fhir.smart.guard import require_write
from ris.core.expectations import expect

READS = ("GET", "HEAD")


def answer(call: Call) -> Answer:
    """One interaction. Raises Refused and every DomainError of the services below."""
    if call.path == ("metadata",):
        return _metadata(call)
    if not call.path or call.path[0].startswith(("_", "$")):
        return _system(call)
    kind = type_of(call.path[0])
    virtual = virtual_types.get(call.path[0])
    if virtual is not None and call.version.name in virtual.releases:
        _allow(call, READS)
        return virtual.answer(call)
    if kind is None or call.version.name not in kind.releases:
        words = f"{call.path[0][:60]} is not served here: see {call.url('metadata')}."
        raise Refused(404, words, issue="not-supported")
    rest = call.path[1:]
    if not rest:
        return _of_type(kind, call)
    if rest[0].startswith(("_", "$")):
        return _named(kind, rest, call)
    if len(rest) == 1:
        return _of_instance(kind, rest[0], call)
    return _below_instance(kind, rest, call)


def _metadata(call: Call) -> Answer:
    _allow(call, READS)
    mode = call.param("mode", "full")
    if mode not in ("full", "normative"):
        raise Refused(400, "mode is full or normative.", issue="not-supported")
    return Answer(capability.statement(call))


def _system(call: Call) -> Answer:
    handler = system_handlers.get((call.method, "/".join(call.path)))
    if handler is None:
        offered = sorted({method for method, path in system_handlers if path == "/".join(call.path)})
        if not call.path or offered:
            _refuse_method(call, offered)
        raise Refused(404, "There is nothing at this address.", issue="not-supported")
    return handler(call)


def _of_type(kind: ResourceType, call: Call) -> Answer:
    if call.method in READS and kind.is_searched:
        return _searched(kind, call)
    if call.method == "POST":
        return _handler(kind, "create", call)(call, _body(kind, call))
    if call.method == "PUT":
        return _handler(kind, "conditional-update", call)(call, _body(kind, call))
    return _refuse_method(call, _methods_of(kind, {"create": "POST", "conditional-update": "PUT"}))


def _searched(kind: ResourceType, call: Call) -> Answer:
    require(call, kind)
    if kind.derived is not None and kind.derived.are_asked_for(call):
        return kind.derived.listed(call)
    return search.searched(kind, call)


def _derived(kind: ResourceType, key: str, call: Call) -> Answer | None:
    require(call, kind)
    assert kind.derived is not None
    return kind.derived.read(call, key)


def _named(kind: ResourceType, rest: tuple[str, ...], call: Call) -> Answer:
    if rest == ("_search",) and kind.is_searched:
        _allow(call, ("POST",))
        return _searched(kind, call)
    if rest == ("_history",) and kind.is_searched:
        _allow(call, READS)
        require(call, kind)
        return history.of_type(kind, call)
    operation = kind.type_operations.get(rest[0].removeprefix("$")) if rest[0].startswith("$") else None
    if operation is None or len(rest) > 1:
        raise Refused(404, f"{kind.name} has no {rest[0][:40]}.", issue="not-supported")
    _allow(call, ("POST",))
    return operation(call)


def _of_instance(kind: ResourceType, key: str, call: Call) -> Answer:
    if call.method in READS:
        if kind.derived is not None and (derived := _derived(kind, key, call)) is not None:
            return derived
        source, row = found(kind, key, call)
        return read(kind, source, row, call)
    names = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    name = names.get(call.method)
    if name is None:
        return _refuse_method(call, _methods_of(kind, {value: method for method, value in names.items()}))
    handler = _handler(kind, name, call)
    resource = _body(kind, call, key) if name == "update" else call.body
    _source, row = found(kind, key, call)
    return handler(call, row) if name == "delete" else handler(call, row, resource)


def _below_instance(kind: ResourceType, rest: tuple[str, ...], call: Call) -> Answer:
    key, name = rest[0], rest[1]
    if name.startswith("$") and len(rest) == 2:
        operation = kind.operations.get(name[1:])
        if operation is None:
            raise Refused(404, f"{kind.name} has no operation {name[:40]}.", issue="not-supported")
        _allow(call, (*READS, "POST"))
        return operation(call, found(kind, key, call)[1])
    _allow(call, READS)
    if name == "_history":
        source, row = found(kind, key, call)
        if len(rest) == 2:
            return history.of_one(kind, source, row, call)
        if len(rest) == 3:
            return history.vread(kind, source, row, rest[2], call)
    if kind.name == "Patient" and len(rest) == 2:
        return _compartment(key, name, call)
    raise Refused(404, "There is nothing at this address.", issue="not-supported")


def _compartment(key: str, name: str, call: Call) -> Answer:
    """``Patient/{id}/ServiceRequest``: that search, of this patient."""
    kind = type_of(name)
    if kind is None or "patient" not in kind.params:
        raise Refused(404, f"{name[:40]} is not searched by patient.", issue="not-supported")
    require(call, kind)
    inner = Call(call.version, call.actor, "GET", (name,), call.base, [("patient", key), *call.params], call.headers)
    return search.searched(kind, inner)


# --- one resource


def found(kind: ResourceType, key: str, call: Call) -> tuple[Source, Any]:
    """Raises NotPermitted, or Refused (404) for what is not there or not to be seen."""
    require(call, kind)
    pair = kind.find(call.actor, key)
    if pair is None:
        raise not_known(kind)
    return pair


def not_known(kind: ResourceType) -> Refused:
    """Not there, of another facility, or not to be seen: which of these is not told."""
    words = _("There is no such %(name)s in this facility, or none that you may see.") % {"name": kind.name}
    return Refused(404, words)


def read(kind: ResourceType, source: Source, row: Any, call: Call) -> Answer:
    part = Part(call)
    part.load(kind, [row])
    resource = whole(kind, source, row, call.version)
    if resource is None:
        raise not_known(kind)
    headers = validators_of(resource)
    if is_known(call, resource, headers):
        return Answer(None, 304, headers)
    note_read_of(call, kind, row)
    return Answer(part.of(resource, call.version), headers=headers)


def is_known(call: Call, resource: Resource, headers: dict[str, str]) -> bool:
    """If-None-Match, else If-Modified-Since (conditional read)."""
    tags = call.header("If-None-Match")
    if tags:
        wanted = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return tags.strip() == "*" or etag_of(resource).removeprefix("W/") in wanted
    since = parse_http_date_safe(call.header("If-Modified-Since") or "")
    updated = resource.get("meta", {}).get("lastUpdated")
    if since is None or not updated or "Last-Modified" not in headers:
        return False
    return int(datetime.fromisoformat(updated).timestamp()) <= since


def written(kind: ResourceType, key: Any, call: Call, *, status: int = 200) -> Answer:
    """The answer to a change, by ``Prefer: return``; handlers end with it. ``key`` is the row's UUID."""
    source, row = found(kind, str(key), call)
    resource = whole(kind, source, row, call.version)
    if resource is None:
        raise not_known(kind)
    headers = validators_of(resource)
    version_id = resource.get("meta", {}).get("versionId")
    tail = ("_history", version_id) if version_id else ()
    headers["Location" if status == 201 else "Content-Location"] = call.url(kind.name, resource["id"], *tail)
    wanted = call.preference("return")
    if wanted == "minimal":
        return Answer(None, status, headers)
    if wanted == "operationoutcome":
        return Answer(said(_("%(name)s is stored.") % {"name": f"{kind.name}/{resource['id']}"}), status, headers)
    return Answer(resource, status, headers)


def check_if_match(kind: ResourceType, row: Any, call: Call) -> None:
    """Raises Refused (412) when If-Match names a version that is no longer the current one.

    It is compared again under the locks that the change takes. What counts its children as well is locked here: it is
    the patient, the first in the order of locks.
    """
    wanted = call.header("If-Match")
    if not wanted or wanted == "*":
        return
    source, live = found(kind, str(row.uuid), call)
    parts = getattr(source.versions, "parts", ())
    if any(isinstance(part, Children) for part in parts):
        type(live).locked(live.pk)
        source, live = found(kind, str(row.uuid), call)
    resource = whole(kind, source, live, call.version) or {}
    if etag_of(resource).removeprefix("W/") not in {tag.strip().removeprefix("W/") for tag in wanted.split(",")}:
        words = _("Somebody has changed this since you read it: read it again, and repeat your change.")
        raise Refused(412, words, issue="conflict")
    for one in (live, *(getattr(live, part.name) for part in parts if isinstance(part, Parent))):
        if hasattr(one, "version"):
            expect(one)


# --- what is allowed


def _handler(kind: ResourceType, name: str, call: Call) -> Callable[..., Answer]:
    handler = kind.handlers.get(name)
    if handler is None:
        ways = {"create": "POST"} if len(call.path) == 1 else {"update": "PUT", "patch": "PATCH", "delete": "DELETE"}
        _refuse_method(call, _methods_of(kind, ways))
    require_write(call, kind.name, name)
    return handler


def _methods_of(kind: ResourceType, ways: dict[str, str]) -> list[str]:
    reads = READS if kind.is_searched or "create" not in ways else ()
    return [*reads, *(method for name, method in ways.items() if name in kind.handlers)]


def _body(kind: ResourceType, call: Call, key: str = "") -> Resource:
    body = call.body
    if not isinstance(body, dict):
        raise Refused(400, "The body is a resource.", issue="required")
    if body.get("resourceType") != kind.name:
        raise Refused(400, f"The body is no {kind.name}.", issue="invalid", expression="resourceType")
    if key and body.get("id") != key:
        raise Refused(
            400, "The id of the body is not that of the address.", issue="invalid", expression=f"{kind.name}.id"
        )
    return body


def _allow(call: Call, methods: tuple[str, ...]) -> None:
    if call.method not in methods:
        _refuse_method(call, list(methods))


def _refuse_method(call: Call, methods: list[str]) -> NoReturn:
    allowed = ", ".join(methods)
    words = f"{call.method} is not done here." + (f" {allowed} is." if allowed else "")
    raise Refused(405, words, headers={"Allow": allowed})
