"""``$validate``: what a write would say, tried and undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from interop.fhir.server.call import Answer, Call, Resource
from interop.fhir.server.errors import Refused, outcome_of, said
from interop.fhir.server.registry import ResourceType
from interop.fhir.writing.checks import check
from orders.services.documents import papers_fall_with_it

MODES = ("create", "update")


class _Undo(Exception):
    """Ends the transaction in which it was tried."""


def validate(kind: ResourceType, call: Call, row: Any = None) -> Answer:
    """An OperationOutcome with 200, whatever it says. On an instance, or with ``mode=update``, as an update."""
    resource, mode = _given(call)
    mode = mode or ("update" if row is not None else "create")
    if mode not in MODES:
        raise Refused(400, f"mode is {' or '.join(MODES)}.", issue="not-supported")
    if resource.get("resourceType") != kind.name:
        raise Refused(400, f"This is no {kind.name}.", issue="invalid", expression="resourceType")
    if mode == "update" and row is None:
        raise Refused(400, "An update is validated at the address of what it changes.", issue="required")
    handler = kind.handlers.get(mode)
    quiet = Call(call.version, call.actor, call.method, call.path, call.base, (), {}, resource)
    if handler is None:
        return _tried(lambda: check(resource, call.version))
    if mode == "update":
        return _tried(lambda: handler(quiet, row, resource))
    return _tried(lambda: handler(quiet, resource))


def _given(call: Call) -> tuple[Resource, str]:
    """The resource itself, or Parameters with ``resource`` and ``mode``."""
    body, mode = call.body, call.param("mode")
    if not isinstance(body, dict):
        raise Refused(400, "The body is a resource, or Parameters with one.", issue="required")
    if body.get("resourceType") != "Parameters":
        return body, mode
    given = body.get("parameter")
    rows = [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []
    mode = mode or next((str(row.get("valueCode", "")) for row in rows if row.get("name") == "mode"), "")
    resource = next((row.get("resource") for row in rows if row.get("name") == "resource"), None)
    if not isinstance(resource, dict):
        raise Refused(400, "The parameters hold no resource.", issue="required")
    return resource, mode


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
