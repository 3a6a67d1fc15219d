"""``$validate``: what a write would say, tried and undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused, issue, outcome, outcome_of, said
from interop.fhir.server.registry import ResourceType
from interop.fhir.writing.checks import check
from orders.services.documents import papers_fall_with_it

MODES = ("create", "update", "delete", "profile")
PARAMETERS = ("resource", "mode", "profile")
BASE_PROFILE = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True)
class Given:
    resource: Resource | None
    mode: str
    profile: str


class _Undo(Exception):
    """Ends the transaction in which it was tried."""


def validate(kind: ResourceType, call: Call, row: Any = None) -> Answer:
    """An OperationOutcome with 200, whatever it says. On an instance, or with ``mode=update``, as an update, in the
    version that If-Match names; ``mode=profile`` looks at the resource alone."""
    given = _given(call)
    resource, mode = given.resource, given.mode or ("update" if row is not None else "create")
    _check_parameters(kind, given, mode, row)
    handler = kind.handlers.get(mode)
    headers = {name: value for name in ("If-Match",) if (value := call.header(name))}
    quiet = Call(call.version, call.actor, call.method, call.path, call.base, (), headers, resource)
    if mode == "delete":
        if handler is None:
            return Answer(outcome(issue("not-supported", f"{kind.name} is not deleted here.")))
        return _tried(lambda: handler(quiet, row))
    if handler is None or given.profile or mode == "profile":
        return _tried(lambda: check(resource or {}, call.version))
    if mode == "update":
        return _tried(lambda: handler(quiet, row, resource))
    return _tried(lambda: handler(quiet, resource))


def _check_parameters(kind: ResourceType, given: Given, mode: str, row: Any) -> None:
    if mode not in MODES:
        raise Refused(400, f"mode is one of {', '.join(MODES)}.", issue="not-supported")
    if mode in ("update", "delete") and row is None:
        raise Refused(400, f"mode {mode} is validated at the address of what it changes.", issue="required")
    if given.profile not in ("", BASE_PROFILE + kind.name):
        words = f"Only {BASE_PROFILE}{kind.name} is known as a profile."
        raise Refused(400, words, issue="not-supported", expression="Parameters.parameter[profile]")
    if mode == "profile" and not given.profile:
        raise Refused(400, "mode profile names the profile.", issue="required")
    if given.resource is None:
        if mode != "delete":
            raise Refused(400, "The parameters hold no resource.", issue="required")
    elif given.resource.get("resourceType") != kind.name:
        raise Refused(400, f"This is no {kind.name}.", issue="invalid", expression="resourceType")


def _given(call: Call) -> Given:
    """The resource itself, or Parameters with ``resource``, ``mode`` and ``profile``; the query may name the latter."""
    asked = {name: value for name, value in call.params if name not in ("_format", "_pretty")}
    body = call.body
    resource: Any = body
    if body is None and asked.get("mode") == "delete":
        resource = None
    elif not isinstance(body, dict):
        raise Refused(400, "The body is a resource, or Parameters with one.", issue="required")
    elif body.get("resourceType") == "Parameters":
        rows = body.get("parameter")
        named = {str(row.get("name")): row for row in rows if isinstance(row, dict)} if isinstance(rows, list) else {}
        resource = named.pop("resource", {}).get("resource")
        for name, row in named.items():
            values = [value for key, value in row.items() if key.startswith("value")]
            asked.setdefault(name, str(values[0]) if values else "")
        if resource is not None and not isinstance(resource, dict):
            raise Refused(400, "The parameters hold no resource.", issue="required")
    unknown = sorted(asked.keys() - set(PARAMETERS))
    if unknown:
        words = f"$validate knows {', '.join(PARAMETERS)}; not {unknown[0][:40]}."
        raise Refused(400, words, issue="not-supported")
    return Given(resource, asked.get("mode", ""), asked.get("profile", ""))


def _tried(write: Callable[[], Any]) -> Answer:
    try:
        with papers_fall_with_it(), transaction.atomic():
            write()
            raise _Undo
    except _Undo:
        return Answer(said("It would be stored."))
    except Exception as refusal:  # every refusal is the answer here; what is a defect is recorded by outcome_of
        status, resource, _headers = outcome_of(refusal)
        if status >= 500:
            raise
        return Answer(resource)
