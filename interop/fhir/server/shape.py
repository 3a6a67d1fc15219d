"""What elements a FHIR type has, in the order of its schema: read off fhir.resources' models, once per type."""

from __future__ import annotations

import datetime
import decimal
import functools
import importlib
import typing
from dataclasses import dataclass
from typing import Any

from interop.fhir.server.call import Version

#: Elements that XML writes as attributes
ATTRIBUTES = frozenset({("Extension", "url")})
BASIC = {bool: "boolean", int: "integer", float: "decimal", decimal.Decimal: "decimal"}


@dataclass(frozen=True)
class Element:
    """``kind``: boolean, integer, decimal, string, xhtml, resource (any of them), or complex (then ``type_name``)."""

    name: str
    kind: str
    is_list: bool
    type_name: str = ""
    codes: tuple[str, ...] = ()


@functools.cache
def model_of(version: Version, type_name: str) -> Any:
    """The pydantic model of a resource or data type. Raises ValueError when there is none."""
    return importlib.import_module(version.models).get_fhir_model_class(type_name)


@functools.cache
def is_resource(version: Version, type_name: str) -> bool:
    if not type_name.isidentifier():
        return False
    try:
        return bool(model_of(version, type_name).has_resource_base())
    except (ValueError, LookupError, AttributeError):
        return False


@functools.cache
def elements_of(version: Version, type_name: str) -> dict[str, Element]:
    return _elements(model_of(version, type_name), type_name)


@functools.cache
def summary_of(version: Version, type_name: str) -> frozenset[str]:
    """The elements that ``_summary=true`` keeps, and the mandatory ones."""
    model = model_of(version, type_name)
    return frozenset({*model.summary_elements_sequence(), *mandatory_of(version, type_name)})


@functools.cache
def mandatory_of(version: Version, type_name: str) -> frozenset[str]:
    fields = model_of(version, type_name).model_fields
    return frozenset(field.alias or name for name, field in fields.items() if _is_mandatory(field))


def _is_mandatory(field: Any) -> bool:
    """Complex elements are required of the model, primitive ones by a note: an extension may stand for the value."""
    return field.is_required() or bool((field.json_schema_extra or {}).get("element_required"))


def _elements(model: Any, type_name: str) -> dict[str, Element]:
    by_alias = {field.alias or name: field for name, field in model.model_fields.items()}
    return {name: _element(name, by_alias[name]) for name in model.elements_sequence() if name in by_alias}


def _element(name: str, field: Any) -> Element:
    inner, is_list = _without_optional(field.annotation), False
    if typing.get_origin(inner) is list:
        inner, is_list = _without_optional(typing.get_args(inner)[0]), True
    path = getattr(inner, "_model_klass", "")
    if not path and inner not in BASIC and "Type" in getattr(inner, "__name__", ""):
        path = getattr(inner, "__name__", "")
    if path:
        type_name = str(path).rsplit(".", 1)[-1]
        if type_name == "Resource":
            return Element(name, "resource", is_list)
        return Element(name, "complex", is_list, type_name)
    codes = tuple((field.json_schema_extra or {}).get("enum_values") or ())
    return Element(name, _primitive(inner), is_list, codes=codes)


def _without_optional(annotation: Any) -> Any:
    while True:
        options = [one for one in typing.get_args(annotation) if one is not type(None)]
        is_union = typing.get_origin(annotation) not in (None, list, typing.Annotated)
        if not is_union or len(options) != 1:
            return annotation
        annotation = options[0]


def _primitive(annotation: Any) -> str:
    basic, marks = annotation, ()
    if typing.get_origin(annotation) is typing.Annotated:
        basic, *marks = typing.get_args(annotation)
    if any(type(mark).__name__ == "Xhtml" for mark in marks):
        return "xhtml"
    if any(type(mark).__name__ == "Integer64" for mark in marks):
        return "string"  # JSON says these as strings (R5 2.1.28.0.1)
    if basic in (datetime.date, datetime.datetime, datetime.time):
        return "string"
    if any(type(mark).__name__ == "Decimal" for mark in marks):
        return "decimal"
    return BASIC.get(basic, "string")
