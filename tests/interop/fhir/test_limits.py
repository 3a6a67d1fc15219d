"""Keys, tokens and addresses are counted at FHIR's doors as at REST's, by all processes together."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from django.core.cache import cache

from interop.fhir.smart import views as smart_views
from ris.accounts import limits
from ris.accounts.models import AccessToken
from ris.accounts.services.keys import create_api_key
from ris.core.actor import SYSTEM
from tests.interop.fhir.house import everybody, refusal
from tests.interop.fhir.writer import Writer, body

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_minute_that_does_not_end(monkeypatch):
    monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: 1_800_000_042.0, monotonic=time.monotonic))
    cache.clear()
    yield
    cache.clear()


def test_a_key_that_asks_too_often_is_told_when_to_come_again(alpha):
    key = create_api_key(everybody(), label="Portal", scopes=["*"], requests_per_minute=2, actor=SYSTEM)
    fhir = Writer(None)
    header = {"Authorization": f"Api-Key {key.secret}"}
    first = fhir.get("Patient", **header)
    assert (first.status_code, first["RateLimit-Limit"], first["RateLimit-Remaining"]) == (200, "2", "1")
    assert fhir.client.get("/api/v1/patients/", headers=header)["RateLimit-Remaining"] == "0", (
        "one count for both doors"
    )
    over = fhir.get("Patient", **header)
    told = refusal(over)
    assert (told.status, told.code, over["Retry-After"]) == (429, "throttled", over["RateLimit-Reset"])
    assert over["Content-Type"].startswith("application/fhir+json")
    xml = fhir.get("Patient?_format=xml", **header)
    assert xml.status_code == 429 and xml.content.startswith(b"<?xml")


def test_the_tokens_of_a_program_share_one_count(alpha):
    user = everybody()
    one, two = (AccessToken(pk=number, user=user, scopes=["system/Patient.rs"]) for number in (1, 2))
    three = AccessToken(pk=3, user=user, scopes=["orders.*"])
    assert [limits.count(token).used for token in (one, two, three)] == [1, 2, 1]


def test_an_address_that_fails_too_often_waits_for_all_processes(alpha, client, monkeypatch):
    counted: dict[str, int] = {}

    def by_all(key: str, by: int) -> int:
        counted[key] = counted.get(key, 0) + by
        return counted[key]

    monkeypatch.setattr(limits, "_used_by_all", by_all)
    monkeypatch.setattr(limits.settings, "REDIS_URL", "redis://shared")

    def ask():
        return client.post("/fhir/auth/token", {"grant_type": "password"}, headers={"Host": "alpha.test"})

    assert {ask().status_code for _try in range(smart_views.FAILURES)} == {400}
    over = ask()
    assert (over.status_code, body(over)["error"]) == (429, "temporarily_unavailable")
    assert over["Retry-After"] == str(limits.resets_in()) and over["Cache-Control"] == "no-store"
    assert any(key.startswith(f"{alpha.schema_name}:smart:failures:127.0.0.1") for key in counted)
