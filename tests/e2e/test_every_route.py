"""Every route of the OpenAPI document: nobody without credentials, nobody without the right, nobody from elsewhere."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from django.db import connection, models, transaction

from orders.models import Patient, RequestedProcedure
from reporting.models import Report
from ris.accounts.api.examples import UUID as EXAMPLE_UUID
from ris.accounts.bootstrap import ensure_roles
from ris.accounts.models import ApiKey, Role, User
from ris.core.permissions import IT_ADMIN, ROLES
from ris.tenants.context import use_facility
from tests.e2e.routes import Operation, example_body, operations
from tests.factories.exam import whole_exam

#: What everybody signed in may ask about themselves
ABOUT_ONESELF = {"/api/v1/auth/me", "/api/v1/auth/revoke", "/api/v1/auth/sign-out"}

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def routes(django_db_setup: None) -> list[Operation]:
    return operations()


def person(*roles: str) -> User:
    ensure_roles()
    user = User.objects.create(username=f"u-{uuid.uuid4().hex[:8]}")
    user.roles.set(Role.objects.filter(name__in=roles))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def bare_api(api, settings):
    """A client at the views alone. That the middleware lets nobody past it, the test without credentials says."""
    settings.MIDDLEWARE = []
    return api


def call(api, operation: Operation, value: object):
    return getattr(api, operation.method)(operation.url(value), {}, format="json")


def uuids_of(model: type[models.Model]) -> list[uuid.UUID]:
    return list(model._base_manager.values_list("uuid", flat=True)[:1])


def test_there_are_many_routes(routes):
    assert len(routes) >= 69
    wanted = (
        "patients orders procedures appointments steps studies reports report-templates critical-results deliveries "
        "charges dose-reports review-rounds audit-events messages worklist-items users"
    )
    assert {f"/api/v1/{name}/" for name in wanted.split()} <= {operation.path for operation in routes}


def test_without_credentials_every_route_answers_401(api, routes):
    for operation in routes:
        if operation.is_open:
            continue
        response = call(api, operation, uuid.uuid4())
        assert response.status_code == 401, f"{operation}: {response.status_code}"


def test_every_route_names_its_right(routes):
    nameless = {op.path for op in routes if not op.is_open and not op.permission}
    assert nameless == ABOUT_ONESELF


def test_who_lacks_the_right_gets_403_and_who_holds_it_does_not(bare_api, routes):
    """Each operation as one role that lacks its right and as one that holds it; which ones goes round the roles."""
    api, people, asked = bare_api, {role: person(role) for role in ROLES}, Counter()
    for number, operation in enumerate(routes):
        if operation.is_open or operation.permission is None:
            continue
        codes = (operation.permission, *operation.view.also_allowed)
        holding = [role for role, user in people.items() if any(user.may(code) for code in codes)]
        lacking = [role for role in people if role not in holding]
        for roles, is_let_in in ((holding, True), (lacking, False)):
            if not roles:
                continue
            role = roles[number % len(roles)]
            api.force_authenticate(people[role])
            status, told = call(api, operation, uuid.uuid4()).status_code, f"{role} {operation}"
            assert (status not in (401, 403) and status < 500) if is_let_in else status == 403, f"{told}: {status}"
            asked[role, is_let_in] += 1
    assert min(asked[role, False] for role in ROLES) > 20
    assert min(asked[role, True] for role in ROLES) > 3


def test_another_facilitys_identifiers_are_unknown_here(api, alpha, beta, routes):
    """S1: 404 for every object of beta asked for at alpha, and nothing of beta in any answer."""
    with use_facility(beta):
        exam = whole_exam(family_name="Onlyinbeta")
        foreign = {model: uuids_of(model) for model in exam.models()}
    assert connection.schema_name == "alpha"
    clinical, administrator = person(*(role for role in ROLES if role != IT_ADMIN)), person(IT_ADMIN)
    asked, told = 0, {}
    for operation in routes:
        if not operation.names_an_object:
            continue
        api.force_authenticate(clinical if clinical.may(operation.permission) else administrator)
        queryset = getattr(operation.view, "queryset", None)
        model = queryset.model if queryset is not None else None
        values = foreign.get(model) or foreign[exam.patient_model]
        for value in values:
            response = call(api, operation, value)
            asked += 1
            if response.status_code != 404:
                told[str(operation)] = response.status_code
            assert b"Onlyinbeta" not in response.content
    assert told == {}
    assert asked >= 40


def test_lists_show_nothing_of_another_facility(api, alpha, beta, routes):
    with use_facility(beta):
        whole_exam(family_name="Onlyinbeta")
    clinical, administrator = person(*(role for role in ROLES if role != IT_ADMIN)), person(IT_ADMIN)
    for operation in routes:
        if operation.method != "get" or operation.names_an_object:
            continue
        api.force_authenticate(administrator if administrator.may(operation.permission or "") else clinical)
        response = call(api, operation, "")
        assert response.status_code < 500, str(operation)
        assert b"Onlyinbeta" not in b"".join(response) if response.streaming else response.content


def test_a_credential_reaches_no_further_than_its_scopes(bare_api, routes):
    """Whoever holds every right, with a key for all of them but the one: 403 at each route that needs it."""
    api, held = bare_api, {}
    people = {"clinical": person(*(role for role in ROLES if role != IT_ADMIN)), "administrator": person(IT_ADMIN)}
    for operation in routes:
        if operation.is_open or operation.permission is None:
            continue
        needed = {operation.permission, *operation.view.also_allowed}
        user = next((one for one in people.values() if one.may(operation.permission)), None)
        assert user is not None, f"{operation}: no role holds {operation.permission}"
        scopes = sorted(user.permission_codes - needed)
        api.force_authenticate(user, token=ApiKey(user=user, scopes=scopes, requests_per_minute=0))
        response = call(api, operation, uuid.uuid4())
        assert response.status_code == 403, f"{operation}: {response.status_code}"
        held[operation.permission] = True
    assert len(held) > 60


def with_foreign_ids(body: object, foreign: list[str], counter: Iterator[int]) -> object:
    """The body with another facility's identifiers wherever it names something."""
    if isinstance(body, dict):
        return {name: with_foreign_ids(value, foreign, counter) for name, value in body.items()}
    if isinstance(body, list):
        return [with_foreign_ids(value, foreign, counter) for value in body]
    return foreign[next(counter) % len(foreign)] if body == EXAMPLE_UUID else body


def test_another_facilitys_identifiers_in_a_body_are_unknown_here(api, alpha, beta, routes):
    """Whatever a body of alpha names of beta's: refused, or found by nobody; never shown, never a failure."""
    with use_facility(beta):
        exam = whole_exam(family_name="Onlyinbeta")
        foreign = [str(value) for model in exam.models() for value in uuids_of(model)]
        versions = {model: rows_of(model) for model in (Patient, RequestedProcedure, Report)}
    own = {model: uuids_of(model) for model in whole_exam(family_name="Ofalpha").models()}
    clinical, administrator = person(*(role for role in ROLES if role != IT_ADMIN)), person(IT_ADMIN)
    counter, named, told = itertools.count(), 0, {}
    for operation in routes:
        body = example_body(operation) if operation.method in ("post", "put", "patch") else {}
        if EXAMPLE_UUID not in str(body) or operation.path.startswith("/dicomweb/"):
            continue
        named += 1
        api.force_authenticate(clinical if clinical.may(operation.permission or "") else administrator)
        queryset = getattr(operation.view, "queryset", None)
        ids = own.get(queryset.model, []) if queryset is not None else []
        with transaction.atomic():
            response = getattr(api, operation.method)(
                operation.url(ids[0] if ids else uuid.uuid4()),
                with_foreign_ids(body, foreign, counter),
                format="json",
            )
            transaction.set_rollback(True)
        content = b"".join(response) if response.streaming else response.content
        if response.status_code >= 500 or b"Onlyinbeta" in content:
            told[str(operation)] = response.status_code
    assert told == {}
    assert named >= 40
    with use_facility(beta):
        assert {model: rows_of(model) for model in versions} == versions


def rows_of(model: type[models.Model]) -> list[tuple[object, ...]]:
    return list(model._base_manager.order_by("pk").values_list("uuid", "version"))
