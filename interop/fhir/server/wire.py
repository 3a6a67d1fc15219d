"""JSON or XML, and how either is read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from interop.fhir.server import xml
from interop.fhir.server.call import Resource, Version
from interop.fhir.server.errors import Refused

JSON, XML = "application/fhir+json", "application/fhir+xml"
NAMES = {
    **dict.fromkeys(("json", "application/json", "text/json", JSON, "application/json+fhir"), JSON),
    **dict.fromkeys(("xml", "application/xml", "text/xml", XML, "application/xml+fhir"), XML),
}
ANYTHING = {"*/*": JSON, "application/*": JSON, "text/*": JSON}
#: A patch in JSON (RFC 6902)
PATCH = "application/json-patch+json"
LARGEST = 10 * 1024 * 1024
DEEPEST = 100
WEIGHT = re.compile(r"q\s*=\s*(\d(?:\.\d{0,3})?)$")


@dataclass(frozen=True)
class Form:
    """How an answer is written."""

    mime: str = JSON
    is_pretty: bool = False

    @property
    def content_type(self) -> str:
        return f"{self.mime}; charset=utf-8"


def form_of(params: Mapping[str, str], accept: str, version: Version) -> Form:
    """``_format`` before Accept (3.1.0.1.11). Raises Refused (406)."""
    is_pretty = params.get("_pretty") == "true"
    asked = params.get("_format", "").replace(" ", "+")
    if asked:
        mime = NAMES.get(_plain(asked, version))
        if mime is None:
            raise _not_acceptable(asked)
        return Form(mime, is_pretty)
    best: tuple[float, str] = (0.0, "")
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        weight = next((float(m[1]) for piece in part.split(";") if (m := WEIGHT.match(piece.strip()))), 1.0)
        kind = _plain(part, version)
        mime = NAMES.get(kind) or ANYTHING.get(kind)
        if mime and weight > best[0]:
            best = (weight, mime)
    if not best[1]:
        raise _not_acceptable(accept)
    return Form(best[1], is_pretty)


def _plain(media: str, version: Version) -> str:
    """The type without parameters; empty when it names another release of FHIR."""
    kind, *parameters = (piece.strip().lower() for piece in media.split(";"))
    for parameter in parameters:
        name, _sign, value = parameter.partition("=")
        if name == "fhirversion" and value.strip('"') != version.mime:
            return ""
        if name == "charset" and value.strip('"') != "utf-8":
            return ""
    return kind


def _not_acceptable(asked: str) -> Refused:
    return Refused(406, f"This server answers {JSON} and {XML} in UTF-8, not “{asked[:100]}”.")


def content_of(resource: Resource, form: Form, version: Version) -> bytes:
    if form.mime == XML:
        return xml.written(resource, version, pretty=form.is_pretty)
    return orjson.dumps(resource, default=_number, option=orjson.OPT_INDENT_2 if form.is_pretty else None)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)


def body_of(content: bytes, content_type: str, version: Version) -> Any:
    """A body as JSON says it. Raises Refused: 400 malformed or empty, 413 too large, 415 of another type."""
    if len(content) > LARGEST:
        raise Refused(413, f"The body is larger than {LARGEST} bytes.")
    kind = _plain(content_type, version)
    if kind not in NAMES and kind != PATCH:
        raise Refused(415, f"A body is {JSON} or {XML} of FHIR {version.mime} in UTF-8.")
    if not content.strip():
        raise Refused(400, "The body is empty.", issue="required")
    if NAMES.get(kind) == XML:
        return xml.parsed(content, version)
    try:
        made = json.loads(
            content.decode("utf-8-sig"), parse_float=Decimal, object_pairs_hook=_object, parse_constant=_constant
        )
    except (UnicodeDecodeError, RecursionError):
        raise Refused(400, "The body is not JSON in UTF-8.", issue="structure") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refused(400, f"The JSON is not well formed ({where}).", issue="structure") from None
    except ValueError:  # a number of thousands of digits
        raise Refused(400, "A number of the body is too long.", issue="value") from None
    _check_depth(made)
    if kind != PATCH and (not isinstance(made, dict) or not isinstance(made.get("resourceType"), str)):
        raise Refused(400, "The body is no resource: it has no resourceType.", issue="structure")
    return made


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Refused(400, "An element stands twice in one object.", issue="structure")
    return made


def _constant(name: str) -> None:
    raise Refused(400, f"{name} is no number.", issue="value")


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise Refused(400, "The elements are nested too deeply.", issue="too-long")
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [child for children in inner for child in children if isinstance(child, (dict, list))]
