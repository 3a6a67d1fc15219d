"""A facility with one of everything that FHIR tells, made once for a module, and a client that speaks FHIR."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from rest_framework.test import APIClient

from ris.core.permissions import IT_ADMIN, ROLES
from tests.factories.accounts import user_with_roles

JSON, XML = "application/fhir+json", "application/fhir+xml"
EVERYBODY = tuple(role for role in ROLES if role != IT_ADMIN)


@dataclass
class Fhir:
    """``fhir("Patient", family="Wanjiru")`` asks; ``fhir.r5`` is the same at the other release."""

    user: Any
    release: str = "r4"
    client: APIClient = field(default_factory=lambda: APIClient(HTTP_HOST="alpha.test"))

    def __post_init__(self) -> None:
        if self.user is not None:
            self.client.force_authenticate(self.user)

    @property
    def r5(self) -> Fhir:
        return Fhir(self.user, "r5", self.client)

    def url(self, path: str) -> str:
        return path.removeprefix("http://alpha.test") if "://" in path else f"/fhir/{self.release}/{path}"

    def get(self, path: str, params: Any = None, **headers: str) -> Any:
        return self.client.get(self.url(path), params or {}, headers=headers)

    def __call__(self, path: str, **params: Any) -> Any:
        response = self.get(path, {key.replace("__", ":"): value for key, value in params.items()})
        assert response.status_code == 200, response.content
        return json.loads(response.content)

    def found(self, path: str, **params: Any) -> list[Any]:
        return [entry["resource"] for entry in self(path, **params).get("entry", [])]

    def post(self, path: str, form: Any, **headers: str) -> Any:
        body = "&".join(f"{key}={value}" for key, value in form.items())
        kind = "application/x-www-form-urlencoded"
        return self.client.generic("POST", self.url(path), body, content_type=kind, headers=headers)


def refusal(response: Any) -> SimpleNamespace:
    """Status and first issue of an OperationOutcome."""
    resource = json.loads(response.content)
    assert resource["resourceType"] == "OperationOutcome", resource
    first = resource["issue"][0]
    return SimpleNamespace(status=response.status_code, code=first["code"], text=first["details"]["text"])


def everybody() -> Any:
    """Who holds every clinical right."""
    return user_with_roles(*EVERYBODY)
