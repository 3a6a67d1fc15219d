"""What a reference leads to: a row of ours that the caller may see, by address or by a business identifier."""

from __future__ import annotations

from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.errors import Refused
from interop.fhir.server.registry import type_of
from interop.fhir.server.search import filtered, understood
from interop.fhir.writing.reading import Problems


def typed(reference: str, base: str) -> tuple[str, str] | None:
    """``Type/id`` of our own, or None for an address of somebody else's."""
    path = reference.removeprefix(f"{base}/").split("/_history/")[0]
    if "://" in path or path.startswith(("urn:", "#")):
        return None
    name, slash, key = path.rpartition("/")
    return (name, key) if slash and "/" not in name else None


def lead(value: Any, where: str, call: Call, problems: Problems, *types: str) -> Any:
    """The row, or None with what is wrong in ``problems``. ``types``: what it may be."""
    if not isinstance(value, dict):
        return None
    reference = str(value.get("reference", ""))
    if reference:
        found = typed(reference, call.base)
        if found is None:
            problems.add(where, "The reference leads outside this server.", "not-found")
            return None
        name, key = found
        kind = type_of(name)
        if name not in types or kind is None:
            problems.add(where, f"A reference to {' or '.join(types)} is expected.", "invalid")
            return None
        pair = kind.find(call.actor, key)
        if pair is None:
            problems.add(where, f"There is no such {name} in this facility, or none that you may see.", "not-found")
            return None
        return pair[1]
    if isinstance(value.get("identifier"), dict):
        return _by_identifier(value["identifier"], where, call, problems, types)
    return None


def _by_identifier(identifier: Resource, where: str, call: Call, problems: Problems, types: tuple[str, ...]) -> Any:
    """The only one that has this identifier."""
    wanted = "|".join(str(identifier.get(part, "")) for part in ("system", "value")).removeprefix("|")
    rows = []
    for name in types:
        kind = type_of(name)
        if kind is not None and "identifier" in kind.params and identifier.get("value"):
            rows += matches(name, [("identifier", wanted)], call)
    if len(rows) == 1:
        return rows[0]
    words = "Nobody and nothing here has this identifier." if not rows else "Several have this identifier."
    problems.add(where, words, "not-found" if not rows else "multiple-matches")
    return None


def matches(name: str, params: list[tuple[str, str]], call: Call, limit: int = 2) -> list[Any]:
    """Rows that a search finds for this caller. Raises Refused for parameters that are none, and for a condition that
    names nothing (``identifier=``): whatever happens to be the only row is not what was meant."""
    kind = type_of(name)
    if kind is None:
        return []
    inner = Call(call.version, call.actor, "GET", (name,), call.base, params)
    found: list[Any] = []
    search = understood(kind, inner)
    if not search.filters:
        raise Refused(412, "The condition names nothing to look for.", issue="required")
    for rows in filtered(search, inner):
        if rows is not None:
            found += list(rows[:limit])
    return found
