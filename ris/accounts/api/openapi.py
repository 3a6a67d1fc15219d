"""What the OpenAPI document says of every operation: how one authenticates, what a refusal looks like, our headers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiParameter

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
    },
}
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class HouseAutoSchema(AutoSchema):
    """Every operation with its refusals; writes with Idempotency-Key, writes to one object with If-Match."""

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
            if "{" in self.path:
                found["412"] = "If-Match names a version that is no longer the current one."
        found["default"] = "Any other refusal, such as 405, 415, 429 or 503."
        return found

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        if self.method in WRITES and isinstance(self.view, IdempotencyMixin):
            parameters.append(
                OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Repeats run once.")
            )
            if "{" in self.path:
                parameters.append(
                    OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The ETag that was read.")
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
