"""Every operation of the REST interface names its right and asks for credentials."""

import re
from uuid import uuid4

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from ris.accounts.api.base import FacilityViewMixin
from ris.audit.models import AuditEvent, Outcome
from ris.core.permissions import permissions

NOWHERE = str(uuid4())
#: Open by design (DESIGN 7.1): the token itself. Signed-in people, whatever their rights: themselves.
WITHOUT_CREDENTIALS = {"auth-token"}
FOR_EVERYBODY = {"auth-revoke", "auth-sign-out", "auth-me"}


def routes(patterns, prefix=""):
    for entry in patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, path)
        elif isinstance(entry, URLPattern):
            yield path, entry


def stand_in(match):
    """What an address is tried with: a number where only digits fit, else a UUID that nobody has."""
    if match[1]:
        return NOWHERE if re.fullmatch(match[1], NOWHERE) else "1"
    return "1" if match[2] == "int" else NOWHERE


def operations():
    """(name, method, concrete path, view class, action) of everything under /api/v1/."""
    found = {}
    for path, entry in routes(get_resolver("ris.urls").url_patterns):
        if not path.startswith("api/v1/") or "format" in path:
            continue
        view = entry.callback
        cls = getattr(view, "cls", getattr(view, "view_class", None))
        concrete = re.sub(r"\(\?P<\w+>([^)]*)\)|<(?:(\w+):)?\w+>", stand_in, path)
        concrete = "/" + re.sub(r"[\^$]|\\[AZz]", "", concrete).replace("/?", "").replace("\\.", ".")
        actions = getattr(view, "actions", None) or {
            method: method for method in ("get", "post", "put", "patch", "delete") if hasattr(cls, method)
        }
        for method, action in actions.items():
            if method != "head":
                found[(entry.name, method)] = (concrete, cls, action)
    return [(name, method, *rest) for (name, method), rest in sorted(found.items())]


OPERATIONS = operations()


@pytest.fixture
def client(alpha):
    return APIClient(HTTP_HOST="alpha.test")


def test_there_are_operations():
    assert len(OPERATIONS) > 15


def test_every_operation_names_a_right_that_is_declared():
    """Roles against rights: tests/e2e."""
    for name, method, _path, cls, action in OPERATIONS:
        if name not in WITHOUT_CREDENTIALS | FOR_EVERYBODY:
            assert issubclass(cls, FacilityViewMixin), f"{cls} does not stand on ris.accounts.api.base"
            assert cls.permission_codes.get(action) in permissions(), f"{method}: {cls.__name__}.{action}"


def test_without_credentials_everything_is_401_and_recorded(client):
    answers = {}
    for name, method, path, _cls, _action in OPERATIONS:
        if name not in WITHOUT_CREDENTIALS:
            response = getattr(client, method)(path, {} if method != "get" else None)
            answers[(name, method)] = response.status_code
            assert response.headers.get("WWW-Authenticate"), (name, method)
    assert {key: status for key, status in answers.items() if status != 401} == {}
    assert AuditEvent.objects.filter(outcome=Outcome.REFUSED).count() == len(answers)
