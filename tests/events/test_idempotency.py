"""The same write asked twice at the same moment happens once, and both are told the same."""

import threading

import pytest
from django.db import connection
from rest_framework.test import APIClient

from ris.accounts.models import User
from ris.audit.models import AuditEvent
from ris.events.models import IdempotencyRecord
from tests.factories.accounts import PASSWORD, user_with_roles

USERS = "/api/v1/users/"


def client_of(token):
    return APIClient(HTTP_HOST="alpha.test", HTTP_AUTHORIZATION=f"Bearer {token}")


def token_of(username):
    body = {"username": username, "password": PASSWORD}
    return APIClient(HTTP_HOST="alpha.test").post("/api/v1/auth/token", body).json()["access_token"]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_one(transactional_db, alpha):
    user_with_roles("it_admin", username="admin")
    token = token_of("admin")
    answers, start = [], threading.Barrier(6)

    def ask():
        try:
            start.wait(timeout=20)
            answer = client_of(token).post(USERS, {"username": "amina"}, HTTP_IDEMPOTENCY_KEY="the-same")
            answers.append((answer.status_code, answer.json().get("uuid"), answer.json().get("type")))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == 6
    done = {uuid for status, uuid, _kind in answers if status == 201}
    assert len(done) == 1  # who came while it was being done is told so, who came later has the same answer
    assert {kind for status, _uuid, kind in answers if status == 409} <= {"urn:picha:problem:request_in_progress"}
    assert {status for status, _uuid, _kind in answers} <= {201, 409}
    again = client_of(token).post(USERS, {"username": "amina"}, HTTP_IDEMPOTENCY_KEY="the-same")
    assert (again.status_code, again.json()["uuid"]) == (201, *done)
    assert User.objects.filter(username="amina").count() == 1
    assert AuditEvent.objects.filter(event_type="accounts.create_user").count() == 1


def test_a_refused_write_leaves_no_record_and_may_be_repeated(alpha):
    user_with_roles("it_admin", username="admin")
    client = client_of(token_of("admin"))
    refused = client.post(USERS, {"username": "amina", "roles": ["emperor"]}, HTTP_IDEMPOTENCY_KEY="k")
    assert refused.status_code == 400
    assert IdempotencyRecord.objects.count() == 0
    assert not User.objects.filter(username="amina").exists()
    assert client.post(USERS, {"username": "amina"}, HTTP_IDEMPOTENCY_KEY="k").status_code == 201


def test_a_key_belongs_to_its_principal_and_route(alpha):
    for name in ("one", "two"):
        user_with_roles("it_admin", username=name)
    first = client_of(token_of("one")).post(USERS, {"username": "amina"}, HTTP_IDEMPOTENCY_KEY="k")
    other_person = client_of(token_of("two")).post(USERS, {"username": "amina"}, HTTP_IDEMPOTENCY_KEY="k")
    assert (first.status_code, other_person.status_code) == (201, 409)
    other_route = client_of(token_of("one")).post("/api/v1/api-keys/", {"username": "x"}, HTTP_IDEMPOTENCY_KEY="k")
    assert other_route.status_code == 400
