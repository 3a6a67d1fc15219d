"""docs/examples/picha_client.py does what it says, against the interface itself."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from django.test import Client

from interop.webhooks.signing import headers, new_secret
from ris.accounts.services.keys import create_api_key
from ris.core.actor import SYSTEM
from tests.factories.accounts import PASSWORD, user_with_roles
from tests.factories.orders import make_catalogue

FILE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "picha_client.py"
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picha_client", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["picha_client"] = module
    spec.loader.exec_module(module)
    return module


class InProcess(httpx.BaseTransport):
    """The whole house, middleware and all, in this process and this transaction."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        told = {name: value for name, value in request.headers.items() if name not in ("host", "accept-encoding")}
        answer = Client(HTTP_HOST=request.url.host).generic(
            request.method,
            request.url.raw_path.decode(),
            request.read(),
            content_type=told.pop("content-type", ""),
            headers=told,
        )
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=content, request=request)


def opened(client: ModuleType, **options: Any) -> Any:
    return client.Picha("http://alpha.test", transport=InProcess(), **options)


def test_the_walk_of_its_first_page(client, alpha):
    make_catalogue("CTCHESTC")
    key = create_api_key(user_with_roles("clerk"), label="portal", scopes=["orders.*"], actor=SYSTEM)
    with opened(client, api_key=key.secret) as ris:
        patient = ris.patients.create({"family_name": "Wanjiru", "given_name": "Achieng", "sex": "F"}, key="one")
        assert (
            ris.patients.create({"family_name": "Wanjiru", "given_name": "Achieng", "sex": "F"}, key="one") == patient
        )
        order = ris.orders.create({"patient": patient["id"], "procedures": [{"code": "CTCHESTC"}]})
        (procedure,) = list(ris.procedures.all(patient=patient["id"]))
        assert procedure["order"] == order["id"] and procedure["life_cycle"] == "requested"
        changed = ris.patients.change(patient, given_name="Akinyi")
        assert changed["given_name"] == "Akinyi" and ris.patients.get(patient["id"]) == changed
        ris.etags[patient["id"]] = '"of another day"'
        with pytest.raises(client.Problem) as late:
            ris.patients.change(changed, given_name="Late")
        assert (late.value.status, late.value.kind) == (412, "precondition_failed") and late.value.request_id
        found = ris.patients.do_all("search", {"query": "wanjiru"})["results"]
        assert [row["id"] for row in found] == [patient["id"]]
        assert len(list(ris.patients.all(page_size=1))) == 1
        head, line = list(ris.patients.table())
        assert "family_name" in head and "Wanjiru" in line
        with pytest.raises(client.Problem, match="not_permitted"):
            list(ris.resource("users").all())
        with pytest.raises(client.Problem) as wrong:
            ris.orders.create({"patient": patient["id"], "procedures": []})
        assert "procedures" in wrong.value.errors


def test_people_sign_in_and_a_busy_house_is_asked_again(client, alpha, monkeypatch):
    user = user_with_roles("clerk")
    with opened(client) as ris:
        ris.sign_in(user.username, PASSWORD)
        assert list(ris.orders.all()) == []
    pauses: list[float] = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    answers = [
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503),
        httpx.Response(409, json={"type": "urn:picha:problem:request_in_progress"}, headers={"Retry-After": "1"}),
        httpx.Response(200, json={"results": [], "next": None, "previous": None}),
    ]
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("Idempotency-Key"))
        return answers.pop(0)

    with client.Picha("http://alpha.test", transport=httpx.MockTransport(answer)) as ris:
        ris.ask("POST", "/api/v1/orders/", body={})
    assert pauses == [7.0, 4.0, 1.0] and len(set(keys)) == 1  # the same request each time


def test_a_webhook_is_verified(client):
    secret, body, now = new_secret(), b'{"type":"report.finalized"}', int(time.time())
    told = headers([new_secret(), secret], "id-1", now, body)
    assert client.verify_webhook(secret, told, body)
    assert not client.verify_webhook(new_secret(), told, body)
    assert not client.verify_webhook(secret, told, body + b" ")
    assert not client.verify_webhook(secret, {**told, "webhook-id": "id-2"}, body)
    assert not client.verify_webhook(secret, {**told, "webhook-timestamp": str(now - 1)}, body)
    assert not client.verify_webhook(secret, headers([secret], "id-1", now - 400, body), body)
