"""What the OpenAPI document says of every operation: how one authenticates, what a refusal looks like, our headers."""

from __future__ import annotations

from typing import Any

from django.utils.text import capfirst
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import AllowAny
from rest_framework.relations import RelatedField

from ris.events.idempotency import IdempotencyMixin

PROBLEM = "application/problem+json"
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457, with our three sentences: what was asked, what was found, what to do.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "asked": {"type": "string"},
        "found": {"type": "string"},
        "todo": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": True, "description": "Field to messages."},
        "correlation_id": {"type": "string", "description": "Names this request in our logs and in the audit trail."},
    },
}
WRITES = ("POST", "PUT", "PATCH", "DELETE")
LONGEST_SUMMARY = 90
#: What the mixins of ``ris.accounts.api.base`` do, said of the resource.
USUAL = {
    "list": "List {many}",
    "retrieve": "Read one {one}",
    "create": "Create {a_one}",
    "partial_update": "Change {a_one}",
    "destroy": "Remove {a_one}",
}
NEVER_PLURAL = ("series", "staff", "access")
#: Headers of answers, told once.
HEADERS = {
    "ETag": "Names this version: send it back in If-Match or If-None-Match.",
    "X-Request-ID": "The request's name in our logs: yours when you sent one.",
    "API-Version": "The version of this interface.",
    "RateLimit-Limit": "Requests per window of this key or token; absent for browser sessions.",
    "RateLimit-Remaining": "What is left of them.",
    "RateLimit-Reset": "Seconds until the window ends.",
}
OF_EVERY_ANSWER = ("X-Request-ID", "API-Version", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def singular(words: str) -> str:
    """``deliveries`` -> ``delivery``; the names of our resources need no more."""
    if words.endswith(NEVER_PLURAL):
        return words
    if words.endswith("ies"):
        return words[:-3] + "y"
    return words[:-1] if words.endswith("s") else words


def with_article(words: str) -> str:
    return f"{'an' if words[:1] in 'aeiou' and not words.startswith(('user', 'uni')) else 'a'} {words}"


def first_sentence(words: str) -> str:
    """Without the full stop; cut at a word where it is long."""
    line = " ".join(words.split("\n\n")[0].split())
    for mark in (". ", ": ", "; "):
        line = line.partition(mark)[0] if len(line) > LONGEST_SUMMARY or mark == ". " else line
    if len(line) > LONGEST_SUMMARY:
        line = line[:LONGEST_SUMMARY].rpartition(" ")[0] + " …"
    return capfirst(line.rstrip("."))


def _column_of(field: Any) -> Any:
    """The model's field that a serializer's field shows, if it shows one."""
    model = getattr(getattr(field.parent, "Meta", None), "model", None)
    names = {one.name: one for one in model._meta.fields} if model is not None else {}
    return names.get(field.source or "")


def _or_blank(schema: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in schema.items() if name not in ("format", "pattern")}
    if "enum" in told and "" not in told["enum"]:
        told["enum"] = [*told["enum"], ""]
    return told


class HouseAutoSchema(AutoSchema):
    """Every operation with its refusals; writes with Idempotency-Key, writes to one object with If-Match."""

    def get_summary(self) -> str:
        """What is said of it, else what its name says."""
        action = getattr(self.view, "action", None) or self.method.lower()
        parts = [part for part in self.path.removeprefix("/api/v1").split("/") if part and not part.startswith("{")]
        method = getattr(self.view, action, None)
        own_words = getattr(method, "__doc__", None) or ""
        if own_words and not getattr(method, "__module__", "").endswith("api.base"):
            return first_sentence(own_words)
        many = (parts[0] if parts else "root").replace("-", " ")
        one = singular(many)
        if action in USUAL:
            return USUAL[action].format(many=many, one=one, a_one=with_article(one))
        if len(parts) > 1:
            return capfirst(f"{' '.join(parts[1:])} of {with_article(one)}".replace("-", " ").replace("_", " "))
        return first_sentence(self.view.__doc__ or many)

    @property
    def _needs_if_match(self) -> bool:
        action = getattr(self.view, "action", None) or self.method.lower()
        return action in getattr(self.view, "requires_if_match", ())

    def is_deprecated(self) -> bool:
        return (getattr(self.view, "action", None) or "") in getattr(self.view, "deprecated", {})

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        content = ((operation or {}).get("responses", {}).get("200") or {}).get("content", {})
        if "text/csv" in content:
            content["text/csv"] = {"schema": {"type": "string", "description": "All rows, a head line first."}}
            for parameter in (operation or {}).get("parameters", ()):
                if parameter["name"] == "format":
                    parameter["description"] = "csv: all rows as a table, streamed; the same as Accept: text/csv."
        return operation

    def _map_serializer_field(self, field: Any, direction: str, *args: Any, **kwargs: Any) -> Any:
        """What may be empty in a row may be empty in an answer, whatever is asked of who writes it."""
        schema = super()._map_serializer_field(field, direction, *args, **kwargs)
        if direction == "response" and isinstance(schema, dict):
            kept = _column_of(field)
            if kept is not None and kept.null and isinstance(field, RelatedField) and "$ref" not in schema:
                return {**schema, "nullable": True}
        return schema

    def _map_basic_serializer(self, serializer: Any, direction: str) -> Any:
        """Validators speak to who writes; spectacular adds them after a field is mapped."""
        schema = super()._map_basic_serializer(serializer, direction)
        if direction == "response":
            for name, field in serializer.fields.items():
                told, kept = schema["properties"].get(name, {}), _column_of(field)
                if kept is not None and kept.blank and told.get("type") == "string":
                    schema["properties"][name] = _or_blank(told)
        return schema

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        problem = {"content": {PROBLEM: {"schema": self._problem().ref}}}
        for code, words in self._refusals().items():
            bodies.setdefault(code, {**problem, "description": words})
        return bodies

    def _problem(self) -> ResolvedComponent:
        component = ResolvedComponent(
            name="Problem", type=ResolvedComponent.SCHEMA, object="Problem", schema=PROBLEM_SCHEMA
        )
        self.registry.register_on_missing(component)
        return component

    def _refusals(self) -> dict[str, str]:
        found = {"400": "A value cannot be accepted: see errors.", "401": "No credential, or one that is not accepted."}
        if getattr(self.view, "permission_codes", None):
            found["403"] = "The caller lacks the right."
        if "{" in self.path:
            found["404"] = "No such object in this facility, or none that the caller may know of."
        if self.method in WRITES:
            found["409"] = "Refused: it contradicts what is stored, or the transition is not in the table."
            if isinstance(self.view, IdempotencyMixin):
                found["422"] = "The Idempotency-Key was used for another body."
            if "{" in self.path or self._needs_if_match:
                found["412"] = "If-Match names a version that is no longer the current one."
            if self._needs_if_match:
                found["428"] = "If-Match is missing."
        if self.path.startswith("/api/v1") and self.view.permission_classes != (AllowAny,):
            found["429"] = "More requests in this minute than this key or token may make: see Retry-After."
        found["default"] = "Any other refusal, such as 405, 415 or 503."
        return found

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if self.method in WRITES and isinstance(self.view, IdempotencyMixin):
            parameters.append(
                OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Repeats run once.")
            )
            if "{" in self.path or self._needs_if_match:
                parameters.append(
                    OpenApiParameter(
                        "If-Match",
                        str,
                        OpenApiParameter.HEADER,
                        required=self._needs_if_match,
                        description="The ETag that was read.",
                    )
                )
        return parameters


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "ris.accounts.authentication.BearerTokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "From POST /api/v1/auth/token."}


class LaunchScheme(OpenApiAuthenticationExtension):
    target_class = "interop.dicomweb.launches.LaunchAuthentication"
    name = "launch"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "One study for some minutes, from a viewer link."}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "ris.accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Api-Key <key>`"}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "ris.accounts.authentication.SessionAuthentication"
    name = "session"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "ris_session", "description": "With X-CSRFToken on writes."}


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A hook of drf-spectacular: headers of what succeeds; what is refused is told once for all operations."""
    components = result.setdefault("components", {})
    headers, shared = components.setdefault("headers", {}), components.setdefault("responses", {})
    for name, words in HEADERS.items():
        kind = "integer" if name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset") else "string"
        headers[name] = {"description": words, "schema": {"type": kind}}
    for path, methods in result["paths"].items():
        if path.startswith("/api/v1"):
            for operation in methods.values():
                operation["responses"] = {
                    code: _shared(code, answer, shared)
                    if PROBLEM in answer.get("content", {})
                    else _headed(code, answer)
                    for code, answer in operation.get("responses", {}).items()
                }
    return result


def _shared(code: str, answer: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """A reference to the refusal, or itself where an operation says something of its own."""
    name = f"Problem{code.capitalize()}"
    if shared.setdefault(name, answer) != answer:
        return answer
    return {"$ref": f"#/components/responses/{name}"}


def _headed(code: str, answer: dict[str, Any]) -> dict[str, Any]:
    names = (*OF_EVERY_ANSWER, "ETag") if code in ("200", "201") else OF_EVERY_ANSWER
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {**answer, "headers": {**told, **answer.get("headers", {})}}
