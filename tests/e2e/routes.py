"""Every operation of the OpenAPI document, with the view, the action and the right behind it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")
#: What anybody may ask for (DESIGN 7.1): the way in, and the document itself
NOBODY = "00000000-0000-7000-8000-000000000000"
OPEN = ("/api/schema/", "/api/v1/auth/token")


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    view: type
    action: str

    @property
    def is_open(self) -> bool:
        return self.path.startswith(OPEN)

    @property
    def names_an_object(self) -> bool:
        return "{" in self.path

    @property
    def permission(self) -> str | None:
        codes = getattr(self.view, "permission_codes", {})
        return codes.get(self.action) or codes.get(self.method)

    def url(self, value: Any) -> str:
        return filled(self.path, value)

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def filled(path: str, value: Any) -> str:
    """The path with ``value`` where it names an object, and 1 where it counts."""
    return re.sub(r"\{([^}]+)\}", lambda match: "1" if match[1] == "number" else str(value), path)


def operations() -> list[Operation]:
    return list(_operations())


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document, made once per process. To be read, never changed."""
    return SchemaGenerator().get_schema(request=None, public=True)


def example_body(operation: Operation) -> Any:
    """The body that the document shows for this operation, if it takes JSON."""
    told = document()["paths"][operation.path][operation.method]
    entry = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" in entry:
        return entry["example"]
    for example in entry.get("examples", {}).values():
        name = example.get("$ref", "").rpartition("/")[2]
        return (document()["components"]["examples"][name] if name else example)["value"]
    return {}


def _operations() -> Iterator[Operation]:
    for path, methods in document()["paths"].items():
        match = resolve(filled(path, NOBODY))
        view = getattr(match.func, "cls", None) or getattr(match.func, "view_class", match.func)
        actions = getattr(match.func, "actions", None) or {}
        for method in METHODS:
            if method in methods:
                yield Operation(method, path, view, actions.get(method, method))
