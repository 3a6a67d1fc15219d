"""JSON Patch (RFC 6902) on a resource. The result is written as an update would be."""

from __future__ import annotations

import copy
from typing import Any

from interop.fhir.server.errors import Refused

MOST_STEPS = 100
#: Elements that all steps of a patch may copy: each could double what the one before it has made
MOST_COPIED = 20_000


def patched(resource: dict[str, Any], patch: Any) -> dict[str, Any]:
    """A changed copy. Raises Refused: 400 for what is no patch, 422 where it does not fit."""
    if not isinstance(patch, list) or not patch or len(patch) > MOST_STEPS:
        raise Refused(400, f"A patch is a list of 1 to {MOST_STEPS} steps (RFC 6902).", issue="structure")
    found: Any = copy.deepcopy(resource)
    copied = 0
    for number, step in enumerate(patch):
        if not isinstance(step, dict) or not isinstance(step.get("path"), str):
            raise Refused(400, f"Step {number} has no op and path.", issue="structure")
        if step.get("op") == "copy" and isinstance(step.get("from"), str):
            copied += _size(_get(found, _pointer(step["from"], number), number))
            if copied > MOST_COPIED:
                raise Refused(413, f"Step {number}: the patch copies too much.", issue="too-costly")
        found = _stepped(found, step, number)
    if not isinstance(found, dict):
        raise Refused(422, "What is left is no resource.", issue="structure")
    for name in ("resourceType", "id"):
        if found.get(name) != resource.get(name):
            raise Refused(422, f"{name} is not to be changed.", issue="business-rule", expression=name)
    return found


def _stepped(document: Any, step: dict[str, Any], number: int) -> Any:
    name, path = step.get("op"), _pointer(step["path"], number)
    if name in ("add", "replace", "test") and "value" not in step:
        raise Refused(400, f"Step {number} has no value.", issue="structure")
    if name == "test":
        if not _same(_get(document, path, number), step["value"]):
            raise Refused(422, f"Step {number}: the value is another one.", issue="conflict")
        return document
    if name == "add":
        return _added(document, path, copy.deepcopy(step["value"]), number)
    if name == "remove":
        return _removed(document, path, number)
    if name == "replace":
        if not path:
            return copy.deepcopy(step["value"])
        _get(document, path, number)
        return _added(_removed(document, path, number), path, copy.deepcopy(step["value"]), number)
    if name in ("move", "copy") and isinstance(step.get("from"), str):
        source = _pointer(step["from"], number)
        if name == "move" and path[: len(source)] == source and path != source:
            raise _wrong(number, "an element is not moved into itself")
        value = copy.deepcopy(_get(document, source, number))
        return _added(_removed(document, source, number) if name == "move" else document, path, value, number)
    raise Refused(400, f"Step {number} is no step of RFC 6902.", issue="structure")


def _size(value: Any) -> int:
    """How many elements it holds."""
    count, waiting = 0, [value]
    while waiting and count <= MOST_COPIED:
        one = waiting.pop()
        count += 1
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return count


def _same(left: Any, right: Any) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _pointer(path: str, number: int) -> list[str]:
    if path and not path.startswith("/"):
        raise Refused(400, f"Step {number}: a path begins with /.", issue="structure")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _wrong(number: int, words: str) -> Refused:
    return Refused(422, f"Step {number}: {words}.", issue="value")


def _index(container: list[Any], part: str, number: int, *, may_append: bool = False) -> int:
    if part == "-" and may_append:
        return len(container)
    if not part.isascii() or not part.isdigit() or (len(part) > 1 and part[0] == "0"):
        raise _wrong(number, "a list has numbers")
    place = int(part)
    if place > len(container) or (place == len(container) and not may_append):
        raise _wrong(number, "there is no such element")
    return place


def _get(document: Any, path: list[str], number: int) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part, number)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise _wrong(number, "there is no such element")
    return document


def _added(document: Any, path: list[str], value: Any, number: int) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1], number)
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], number, may_append=True), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise _wrong(number, "nothing can be put there")
    return document


def _removed(document: Any, path: list[str], number: int) -> Any:
    if not path:
        raise _wrong(number, "the whole is not removed")
    parent = _get(document, path[:-1], number)
    _get(parent, path[-1:], number)
    if isinstance(parent, list):
        del parent[_index(parent, path[-1], number)]
    else:
        del parent[path[-1]]
    return document
