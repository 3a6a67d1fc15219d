"""Whether a resource is one: its elements and types, and codes whose value set is bound as required."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.errors import Refused, issue
from interop.fhir.server.shape import Element, elements_of, is_resource, model_of

MOST_ISSUES = 20
#: Where fhir.resources' list of a value set is cut short
WHOLE_SETS: dict[tuple[str, str], tuple[str, ...]] = {
    ("Task", "status"): (
        "draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold",
        "failed", "completed", "entered-in-error",
    ),
    ("DiagnosticReport", "status"): (
        "registered", "partial", "preliminary", "modified", "final", "amended", "corrected", "appended", "cancelled",
        "entered-in-error", "unknown",
    ),
    ("ServiceRequest", "intent"): (
        "proposal", "plan", "directive", "order", "original-order", "reflex-order", "filler-order", "instance-order",
        "option",
    ),
}  # fmt: skip


def check(resource: Resource, version: Version) -> None:
    """Raises Refused (422), with an issue per place."""
    name = resource["resourceType"]
    issues = [*_structure(resource, version, name), *_codes(resource, version, name)][:MOST_ISSUES]
    if issues:
        raise Refused(422, "The resource is not well formed.", issues=issues)


def _structure(resource: Resource, version: Version, name: str) -> Iterator[Resource]:
    try:
        model_of(version, name).model_validate(resource)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join([name, *(_step(step) for step in found["loc"])]).replace(".[", "[")
            code = "required" if "missing" in found["type"] or "required" in found["msg"].lower() else "structure"
            yield issue(code, found["msg"][:200], expression=place)
    except (ValueError, TypeError, AssertionError, LookupError):
        yield issue("structure", f"This is no {name}.", expression=name)


def _step(step: Any) -> str:
    return f"[{step}]" if isinstance(step, int) else str(step)


def _codes(value: Resource, version: Version, place: str, type_name: str = "") -> Iterator[Resource]:
    type_name = type_name or value.get("resourceType", "")
    try:
        elements = elements_of(version, type_name)
    except (KeyError, LookupError):
        return
    for name, content in value.items():
        element = elements.get(name)
        if element is None:
            continue
        rows = content if isinstance(content, list) else [content]
        for number, row in enumerate(rows):
            where = f"{place}.{name}" + (f"[{number}]" if isinstance(content, list) else "")
            yield from _of_element(row, element, version, where, (type_name, name))


def _of_element(row: Any, element: Element, version: Version, where: str, path: tuple[str, str]) -> Iterator[Resource]:
    if isinstance(row, dict):
        inner = element.type_name if element.kind == "complex" else str(row.get("resourceType", ""))
        if element.kind == "complex" or is_resource(version, inner):
            yield from _codes(row, version, where, inner)
        return
    allowed = WHOLE_SETS.get(path, element.codes)
    if isinstance(row, str) and allowed and "+" not in allowed and row not in allowed:
        yield issue("code-invalid", f"“{row[:40]}” is not one of {', '.join(allowed)}.", expression=where)
