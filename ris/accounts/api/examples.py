"""Examples for the OpenAPI document: every body and every answer shows one, made from its schema.

They are kept once each under ``components/examples`` and named from the operations. Values are what the names of the
fields suggest, and always valid: a test checks each against its schema.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

JSON = "application/json"
PROBLEM = "application/problem+json"
SCHEMA_PREFIX, EXAMPLE_PREFIX = "#/components/schemas/", "#/components/examples/"
DEEPEST = 6
UUID = "01982f6e-4a3b-7c1d-9e2f-5a6b7c8d9e0f"
FORMATS: dict[str, Any] = {
    "uuid": UUID,
    "date-time": "2026-11-24T09:30:00+03:00",
    "date": "2026-11-24",
    "time": "09:30:00",
    "email": "a.otieno@example.org",
    "uri": "https://ris.example.org/api/v1/",
    "binary": "",
    "duration": "00:20:00",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
}
#: What a field of this name holds; used where its schema allows it.
WORDS: dict[str, Any] = {
    "family_name": "Wanjiru",
    "given_name": "Achieng",
    "middle_name": "",
    "prefix": "Dr",
    "birth_date": "1984-02-17",
    "sex": "F",
    "username": "portal",
    "user_name": "A. Otieno",
    "password": "correct-horse-battery",
    "given_by": "A. Otieno",
    "phone": "+254 700 000 001",
    "accession_number": "26328-000042",
    "study_instance_uid": "2.25.329800735698586629295641978511506172918",
    "series_instance_uid": "2.25.329800735698586629295641978511506172919",
    "sop_instance_uid": "2.25.329800735698586629295641978511506172920",
    "code": "CTCHESTC",
    "code_scheme": "LOCAL",
    "description": "CT chest with contrast",
    "exam": "CTCHESTC",
    "modality": "CT",
    "laterality": "",
    "priority": "routine",
    "indication": "Cough for six weeks, weight loss.",
    "issuer": "FACILITY",
    "type": "MR",
    "value": "MRN0000042",
    "room": "CT-1",
    "station": "CT1",
    "ae_title": "CT1",
    "site": "main",
    "reason": "The patient has asked for another day.",
    "reason_text": "The patient has asked for another day.",
    "reason_code": "110513",
    "currency": "KES",
    "events": ["report.finalized", "critical_result.*"],
    "scopes": ["orders.*", "worklist.view_schedule"],
    "allowed_addresses": ["192.0.2.0/24"],
    "url": "https://portal.example.org/hooks/picha",
    "next": "https://ris.example.org/api/v1/orders/?cursor=cD0xMjM%3D",
    "previous": None,
    "sections": {"findings": "No focal lesion.", "impression": "Normal chest."},
    "duration_minutes": 30,
    "starts_at": "2026-11-24T09:30:00+03:00",
    "ends_at": "2026-11-24T10:00:00+03:00",
    "language": "en",
    "status": "requested",
}
MONEY = ("amount", "price", "total", "balance", "paid", "unit_price", "limit")
#: Code to the problem that it usually is.
PROBLEMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "400": (
        "invalid",
        "The request holds values that cannot be accepted: see errors.",
        {"priority": ["Not a choice."]},
    ),
    "401": ("not_authenticated", "Authentication credentials were not provided.", {}),
    "403": ("not_permitted", "This needs the right orders.create_order.", {}),
    "404": ("not_known", "There is no such object in this facility.", {}),
    "409": ("invalid_transition", "A procedure that is final cannot become cancelled.", {}),
    "412": ("precondition_failed", "Somebody has changed this since you read it.", {}),
    "422": ("idempotency_key_reused", "This Idempotency-Key was used for another body.", {}),
    "428": ("precondition_required", "Say which version you have read.", {}),
    "429": ("throttled", "Request was throttled. Expected available in 12 seconds.", {}),
    "default": ("unavailable", "The database does not answer. Nothing was stored; ask again.", {}),
}


class Inventor:
    """Makes one value for a schema of the document."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self.schemas = schemas

    def of(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        if "$ref" in schema:
            return self.of(self.schemas[schema["$ref"].removeprefix(SCHEMA_PREFIX)], name, depth)
        if "example" in schema:
            return schema["example"]
        for key in ("allOf", "oneOf", "anyOf"):
            if key in schema:
                return self._of_several(schema[key], name, depth)
        if "enum" in schema:
            return self._of_choices(schema["enum"], name)
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            return self._object(schema, name, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        return self._plain(schema, kind, name)

    def _of_several(self, parts: list[Any], name: str, depth: int) -> Any:
        values = [self.of(part, name, depth) for part in parts]
        if len(values) > 1 and all(isinstance(value, dict) for value in values):
            return {key: one for value in values for key, one in value.items()}
        return values[0]

    @staticmethod
    def _of_choices(choices: list[Any], name: str) -> Any:
        wish = WORDS.get(name)
        if wish in choices and not isinstance(wish, list | dict):
            return wish
        return next((choice for choice in choices if choice not in ("", None)), choices[0])

    def _object(self, schema: Any, name: str, depth: int) -> Any:
        wish = WORDS.get(name)
        if isinstance(wish, dict) and "properties" not in schema:
            return wish
        needed = set(schema.get("required", ()))
        found = {}
        for key, inner in schema.get("properties", {}).items():
            if depth < DEEPEST or key in needed:
                found[key] = self.of(inner, key, depth + 1)
        return found

    def _array(self, schema: Any, name: str, depth: int) -> Any:
        items, wish = schema.get("items", {}), WORDS.get(name)
        if isinstance(wish, list) and items.get("type") == "string" and "enum" not in items:
            return wish
        if depth >= DEEPEST and not schema.get("minItems"):
            return []
        one = self.of(items, name.rstrip("s"), depth + 1)
        return [one] * max(1, schema.get("minItems", 1))

    def _plain(self, schema: Any, kind: str | None, name: str) -> Any:
        if kind == "boolean":
            return schema.get("default", not name.startswith(("is_retired", "is_paused")))
        if kind in ("integer", "number"):
            return self._number(schema, WORDS.get(name))
        if kind is None:
            return WORDS.get(name, {} if name == "body" else "…")
        return self._word(schema, name)

    @staticmethod
    def _number(schema: Any, wish: Any) -> Any:
        value = wish if isinstance(wish, int) else schema.get("default")
        if not isinstance(value, int | float):
            value = 1
        low, high = schema.get("minimum"), schema.get("maximum")
        value = value if low is None or value >= low else low
        return value if high is None or value <= high else high

    @staticmethod
    def _word(schema: Any, name: str) -> Any:
        wish = WORDS.get(name)
        if schema.get("format") == "decimal":
            return _matching(schema.get("pattern", ""), "1500.00" if name in MONEY else "1.70")
        if schema.get("format") in FORMATS and not (name == "birth_date" or schema["format"] == "uri"):
            return FORMATS[schema["format"]]
        if schema.get("format") == "uri":
            return wish if isinstance(wish, str) and wish.startswith("https") else FORMATS["uri"]
        if not isinstance(wish, str):
            wish = schema.get("default") if isinstance(schema.get("default"), str) else name.replace("_", " ")
        if schema.get("pattern"):
            return _matching(schema["pattern"], wish)
        longest, shortest = schema.get("maxLength", len(wish)), schema.get("minLength", 0)
        return wish[:longest].ljust(shortest, "x")


def _matching(pattern: str, wish: str) -> str:
    """A word that the pattern takes, of those that our patterns are about."""
    known = (wish, "1500.00", "1", "09:30", "main", "CT1", "2.25.1", "26328-000042", "chest-ct", "KES", "")
    return next((word for word in known if re.search(pattern, word)), wish)


def add_examples(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A hook of drf-spectacular, after the enumerations have their names."""
    components = result.setdefault("components", {})
    inventor, examples = Inventor(components.get("schemas", {})), components.setdefault("examples", {})
    for code, (kind, detail, errors) in PROBLEMS.items():
        examples[f"Problem{code.capitalize()}"] = {"value": _problem(code, kind, detail, errors)}
    for path, methods in result["paths"].items():
        if not path.startswith("/api/"):
            continue
        for operation in methods.values():
            bodies = [operation.get("requestBody", {}), *operation.get("responses", {}).values()]
            for body in bodies:
                _illustrate(body.get("content", {}), inventor, examples)
    for name, response in components.get("responses", {}).items():
        if name in examples:
            response["content"][PROBLEM]["examples"] = _named(name)
    return result


def _illustrate(content: dict[str, Any], inventor: Inventor, examples: dict[str, Any]) -> None:
    for media_type, entry in content.items():
        schema = entry.get("schema")
        if media_type != JSON or not schema or "example" in entry or "examples" in entry:
            continue
        name = schema.get("$ref", "").removeprefix(SCHEMA_PREFIX)
        if not name:
            entry["example"] = inventor.of(schema)
            continue
        if name not in examples:
            examples[name] = {"value": copy.deepcopy(inventor.of(schema))}
        entry["examples"] = _named(name)


def _named(name: str) -> dict[str, Any]:
    return {"example": {"$ref": EXAMPLE_PREFIX + name}}


def _problem(code: str, kind: str, detail: str, errors: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": f"urn:picha:problem:{kind}",
        "title": kind.replace("_", " ").capitalize(),
        "status": int(code) if code.isdigit() else 503,
        "detail": detail,
        "instance": "/api/v1/orders/",
        "errors": errors,
        "correlation_id": "0198c0ffee7c4d0e9f11",
    }
