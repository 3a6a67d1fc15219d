"""schemathesis against the whole REST interface, in this process: no 5xx, and nothing that the document does not say.

``make check-api`` asks much of every operation, tests/core/api/test_fuzzing.py a little. Every call is undone.
"""

from __future__ import annotations

import copy
import random
import traceback
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from django.apps import apps
from django.db import models, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ris.accounts.models import AccessToken, User
from ris.accounts.selectors import facility_settings
from ris.accounts.tokens import digest, new_token
from ris.core.permissions import IT_ADMIN, ROLES
from tests.e2e import routes
from tests.e2e.routes import Operation, operations
from tests.factories.accounts import user_with_roles
from tests.factories.exam import booked_exam, ordered_exam, performed_exam, whole_exam

HOST = "alpha.test"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: Headers that the test client writes itself, or that would only pack the answer
OURS = ("content-length", "host", "accept-encoding")
#: An operation with so many things to say gets all examples; one with nothing to say as many as FEWEST
MANY, FEWEST = 8, 4
#: Ends the credential that all the others need
ENDS_THE_SESSION = ("/api/v1/auth/revoke", "/api/v1/auth/sign-out")


@dataclass
class Result:
    calls: int = 0
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    findings: dict[str, str] = field(default_factory=dict)


@dataclass
class House:
    """A seeded facility, the credentials of who may, and the names of what is there."""

    tokens: dict[str, str]
    users: dict[str, User]
    known: dict[str, list[str]]
    routes: dict[tuple[str, str], Operation]

    def token_for(self, route: Operation) -> str:
        codes = (route.permission or "", *getattr(route.view, "also_allowed", ()))
        return self.tokens["admin" if any(self.users["admin"].may(code) for code in codes) else "clinical"]

    def ids_for(self, route: Operation) -> list[str]:
        queryset = getattr(route.view, "queryset", None)
        return self.known.get(queryset.model._meta.label, []) if queryset is not None else []


def seeded() -> House:
    """Exams in four states, and somebody for each right."""
    ordered_exam(), whole_exam(), performed_exam(hour=2), booked_exam(hour=4)
    row = facility_settings()
    row.api_requests_per_minute, row.allowed_hosts = 0, ["127.0.0.1"]
    row.save()
    users = {
        "clinical": user_with_roles(*(role for role in ROLES if role != IT_ADMIN)),
        "admin": user_with_roles(IT_ADMIN),
    }
    known: dict[str, list[str]] = {}
    for model in ordered_models():
        rows = [str(value) for value in model._base_manager.values_list("uuid", flat=True)[:5]]
        if rows:
            known[model._meta.label] = rows
    tokens = {name: new_token() for name in users}
    end = timezone.now() + timedelta(hours=2)
    for name, user in users.items():
        AccessToken.objects.create(user=user, digest=digest(tokens[name]), expires_at=end)
    return House(tokens, users, known, {(one.method.upper(), one.path): one for one in operations()})


def ordered_models() -> Iterator[type[models.Model]]:
    for model in apps.get_models():
        names = {one.name for one in model._meta.fields}
        if "uuid" in names and "history_id" not in names and model._meta.app_label != "tenants":
            yield model


def asked(case: Any, house: House, route: Operation, real: str | None) -> tuple[schemathesis.Response, str]:
    """The case as a request of our own test client; the answer as schemathesis reads it, and what broke."""
    if real is not None and "uuid" in (case.path_parameters or {}):
        case.path_parameters["uuid"] = real
    kwargs = case.as_transport_kwargs(base_url=f"http://{HOST}")
    made = requests.Request(
        **{
            name: kwargs.get(name)
            for name in ("method", "url", "headers", "params", "data", "json", "cookies", "files")
        }
    ).prepare()
    target = urlsplit(str(made.url))
    headers = {name: value for name, value in made.headers.items() if name.lower() not in OURS}
    headers["Authorization"] = f"Bearer {house.token_for(route)}"
    client = Client(raise_request_exception=False, HTTP_HOST=HOST)
    body = made.body.encode() if isinstance(made.body, str) else made.body or b""
    broke = ""
    with transaction.atomic():
        answer = client.generic(
            made.method or "GET",
            target.path + (f"?{target.query}" if target.query else ""),
            body,
            content_type=headers.pop("Content-Type", "application/json"),
            headers=headers,
        )
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        if answer.status_code >= 500 and getattr(answer, "exc_info", None):
            broke = "".join(traceback.format_exception(*answer.exc_info)[-6:])
        transaction.set_rollback(True)
    told = {name.lower(): [value] for name, value in answer.headers.items()}
    return schemathesis.Response(answer.status_code, told, content, made, elapsed=0.0, verify=True), broke


def fuzz(house: House, *, examples: int, only: Callable[[str], bool] = lambda _label: True, start: int = 1) -> Result:
    """Ask every operation with values that the document allows, and as often with others.

    ``examples`` of either kind where there is much to say, fewer where there is little. One example is one of either
    kind: half of the operations get a good one, the others a bad one.
    """
    document = copy.deepcopy(routes.document())
    document["paths"] = {
        path: methods
        for path, methods in document["paths"].items()
        if path.startswith("/api/v1/") and path not in ENDS_THE_SESSION
    }
    _without_credentials(document)
    everything = sorted({one for rows in house.known.values() for one in rows})
    schemathesis.openapi.format("uuid", st.sampled_from(everything) | st.uuids().map(str))
    result, modes = Result(), (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        if only(operation.label):
            chosen = modes if examples > 1 else (modes[zlib.crc32(operation.label.encode()) % 2],)
            told = document["paths"][operation.path][operation.method.lower()]
            worth = min(examples, max(FEWEST, examples * _choices(told, document) // MANY))
            for mode in chosen:
                _fuzz_one(operation, mode, house, result, worth, start)
    return result


def _choices(told: dict[str, Any], document: dict[str, Any]) -> int:
    """How many things a caller may say: parameters of the query, and fields of the body."""
    count = sum(one.get("in") == "query" for one in told.get("parameters", ()))
    for content in told.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return count + max(1, len(schema.get("properties", ())))
    return count


def _without_credentials(document: dict[str, Any]) -> None:
    """Made-up ones would be turned away before anything is read; test_every_route asks everything without any."""
    document.pop("security", None)
    document["components"].pop("securitySchemes", None)
    for methods in document["paths"].values():
        for told in methods.values():
            told.pop("security", None)


def _fuzz_one(operation: Any, mode: GenerationMode, house: House, result: Result, examples: int, start: int) -> None:
    route = house.routes[(operation.method.upper(), operation.path)]
    ids, chance = house.ids_for(route), random.Random(f"{operation.label}{mode}{start}")

    @seed(start)
    @settings(
        max_examples=examples, database=None, deadline=None, phases=(Phase.generate,), verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def once(case: Any) -> None:
        real = chance.choice(ids) if ids and chance.random() < 0.8 else None
        response, broke = asked(case, house, route, real)
        result.calls += 1
        result.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            body = str(response.request.body or b"")[:300]
            inner = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
            words = " | ".join(f"{one.title}: {getattr(one, 'message', '')}"[:400] for one in inner)
            told = f"{response.status_code} {words}\n  {response.request.url} {body}\n{broke}"
            result.findings.setdefault(operation.label, told)

    try:
        once()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:  # a question without any words cannot be asked wrongly
            result.findings.setdefault(operation.label, "not asked: nothing that the document allows was found")
    except Exception as failure:  # what cannot be generated at all says so, and hides no other finding
        result.findings.setdefault(operation.label, f"not asked: {type(failure).__name__}: {str(failure)[:300]}")
