"""What holds for every REST resource: repeats, versions, order, export, limits, other origins, refusals, headers."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from orders.models import Order, Patient
from ris.accounts import limits
from ris.accounts.models import AccessToken
from ris.accounts.selectors import facility_settings
from ris.accounts.services.keys import create_api_key
from ris.accounts.tokens import digest, new_token
from ris.audit.models import AuditEvent
from ris.core import api_csv
from ris.core.actor import SYSTEM
from ris.core.ids import uuid7
from ris.events.models import IdempotencyRecord
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from tests.factories.exam import ct1
from tests.factories.orders import make_catalogue, make_order, make_patient

PATIENTS, ORDERS = "/api/v1/patients/", "/api/v1/orders/"
PROBLEM = "application/problem+json"
pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk(api, alpha):
    user = user_with_roles("clerk")
    api.force_authenticate(user)
    api.user = user
    return api


def bearer(user: Any) -> dict[str, str]:
    secret = new_token()
    AccessToken.objects.create(user=user, digest=digest(secret), expires_at=timezone.now() + timedelta(hours=1))
    return {"Authorization": f"Bearer {secret}"}


# --- Idempotency-Key


def test_a_repeat_gets_the_first_answer_and_does_nothing(clerk):
    key, body = {"Idempotency-Key": "k-1"}, {"family_name": "Amina", "given_name": "Juma"}
    first = clerk.post(PATIENTS, body, headers=key)
    second = clerk.post(PATIENTS, {"given_name": "Juma", "family_name": "Amina"}, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json() and second["Location"] == first["Location"] and second["ETag"] == first["ETag"]
    assert second["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first
    assert Patient.objects.filter(family_name="Amina").count() == 1
    other = clerk.post(PATIENTS, {"family_name": "Baraka"}, headers=key)
    assert other.status_code == 422 and other.json()["type"].endswith("idempotency_key_reused")
    assert IdempotencyRecord.objects.get().created_at > timezone.now() - timedelta(minutes=5)
    clerk.force_authenticate(user_with_roles("clerk"))
    assert clerk.post(PATIENTS, {"family_name": "Baraka"}, headers=key).status_code == 201  # somebody else's key
    assert clerk.post(ORDERS, {}, headers=key).status_code == 400  # the same key at another address
    assert clerk.post(PATIENTS, body, headers={"Idempotency-Key": "k" * 256}).status_code == 400


def test_what_was_refused_may_be_asked_again_under_the_same_key(clerk):
    key = {"Idempotency-Key": "k-2"}
    assert clerk.post(PATIENTS, {"family_name": ""}, headers=key).status_code == 400
    assert not IdempotencyRecord.objects.exists()
    assert clerk.post(PATIENTS, {"family_name": "Chebet"}, headers=key).status_code == 201


def test_the_second_of_two_at_once_is_told_to_wait(clerk):
    name = f"alpha:{clerk.user.uuid}:POST {PATIENTS}:k-3"
    values = connection.settings_dict
    with psycopg.connect(
        host=values["HOST"],
        port=values["PORT"],
        dbname=values["NAME"],
        user=values["USER"],
        password=values["PASSWORD"],
    ) as first:
        first.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        second = clerk.post(PATIENTS, {"family_name": "Otieno"}, headers={"Idempotency-Key": "k-3"})
        assert second.status_code == 409 and second["Retry-After"] == "1"
        assert second.json()["type"].endswith("request_in_progress")
        assert not Patient.objects.filter(family_name="Otieno").exists()
    assert clerk.post(PATIENTS, {"family_name": "Otieno"}, headers={"Idempotency-Key": "k-3"}).status_code == 201


# --- versions


def test_etags_answer_304_412_and_428(clerk):
    patient = make_patient()
    address = f"{PATIENTS}{patient.uuid}/"
    tag = clerk.get(address)["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        unchanged = clerk.get(address, headers={"If-None-Match": known})
        assert unchanged.status_code == 304 and unchanged.content == b"" and unchanged["ETag"] == tag
    assert clerk.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    assert clerk.patch(address, {"given_name": "New"}, headers={"If-Match": tag}).status_code == 200
    late = clerk.patch(address, {"given_name": "Late"}, headers={"If-Match": tag})
    assert late.status_code == 412 and late["Content-Type"] == PROBLEM
    page = clerk.get(PATIENTS)
    assert page["ETag"].startswith('W/"') and page["Cache-Control"] == "private, no-cache"
    assert clerk.get(PATIENTS, headers={"If-None-Match": page["ETag"]}).status_code == 304
    make_patient()
    assert clerk.get(PATIENTS, headers={"If-None-Match": page["ETag"]}).status_code == 200


def test_settings_are_changed_in_the_version_that_was_read(api, alpha):
    api.force_authenticate(user_with_roles("it_admin"))
    address = "/api/v1/facility-settings/"
    read = api.get(address)
    assert read.status_code == 200 and "sms_gateway_token" not in read.json()
    assert api.patch(address, {"idle_minutes": 20}).status_code == 428
    changed = api.patch(address, {"idle_minutes": 20}, headers={"If-Match": read["ETag"]})
    assert changed.status_code == 200 and facility_settings().idle_minutes == 20
    assert api.patch(address, {"idle_minutes": 5}, headers={"If-Match": read["ETag"]}).status_code == 412
    wrong = api.patch(address, {"currency": "TOO LONG"}, headers={"If-Match": changed["ETag"]})
    assert wrong.status_code == 400 and "currency" in wrong.json()["errors"]
    api.force_authenticate(user_with_roles("radiologist"))
    assert api.get(address).status_code == 403


# --- order, pages, export


def test_lists_are_sorted_as_asked_page_after_page(clerk):
    made = [str(make_patient().uuid) for _number in range(5)]
    for ordering, wanted in (("id", made), ("-created_at", made[::-1])):
        seen, address = [], f"{PATIENTS}?ordering={ordering}&page_size=2"
        while address:
            page = clerk.get(address).json()
            seen += [row["id"] for row in page["results"]]
            address = page["next"]
        assert seen == wanted
    wrong = clerk.get(f"{PATIENTS}?ordering=family_name")
    assert wrong.status_code == 400 and "ordering" in wrong.json()["errors"]


def test_a_list_is_a_table_whole_guarded_and_recorded(clerk, monkeypatch):
    monkeypatch.setattr(api_csv, "PORTION", 2)
    names = ["=cmd|' /C calc'!A0", "@SUM(A1)", "Ndegwa, Mary", 'Quo"te', "Ōtāhuhu"]
    for name in names:  # as another system may have sent them: our own forms refuse some
        Patient.objects.filter(pk=make_patient().pk).update(family_name=name)
    before = AuditEvent.objects.filter(event_type="orders.view_patient").count()
    answer = clerk.get(PATIENTS, headers={"Accept": "text/csv"})
    assert answer.status_code == 200 and answer.streaming
    assert answer["Content-Type"].startswith("text/csv") and "patients.csv" in answer["Content-Disposition"]
    content = b"".join(answer.streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["family_name"] for row in rows][::-1] == [f"'{names[0]}", f"'{names[1]}", *names[2:]]
    assert {"id", "birth_date", "identifiers"} <= set(rows[0])
    recorded = AuditEvent.objects.filter(event_type="orders.view_patient").order_by("-pk")[:3]
    assert AuditEvent.objects.filter(event_type="orders.view_patient").count() == before + 3
    assert sorted(len(event.patients) for event in recorded) == [1, 2, 2]
    assert {event.detail["format"] for event in recorded} == {"csv"}
    same = clerk.get(f"{PATIENTS}?format=csv&ordering=id")
    assert b"".join(same.streaming_content).decode("utf-8-sig").splitlines()[1:] == content.splitlines()[:0:-1]
    refused = clerk.get(f"{PATIENTS}?ordering=nothing", headers={"Accept": "text/csv"})
    assert refused.status_code == 400 and refused["Content-Type"] == PROBLEM and refused.json()["errors"]
    for form in ("json", "csv"):  # a zone that Python knows and PostgreSQL does not
        odd = clerk.get(PATIENTS, {"created_after": "2026-10-01T18:35:38-22:52", "format": form})
        assert (odd.status_code, odd["Content-Type"]) == (400, PROBLEM)


@pytest.mark.parametrize(
    "path", ["reports/{}/pdf/", "reports/{}/versions/1/dicom/", "reports/{}/form/", "teaching-cases/{}/export/"]
)
def test_what_gives_a_file_refuses_in_json(api, path):
    api.force_authenticate(user_with_roles("radiologist"))
    refused = api.get(f"/api/v1/{path.format(uuid7())}")
    assert (refused.status_code, refused["Content-Type"], refused.json()["status"]) == (404, PROBLEM, 404)


# --- limits


def test_a_key_asks_as_often_as_it_may(api, alpha):
    key = create_api_key(user_with_roles("clerk"), label="x", scopes=["*"], requests_per_minute=3, actor=SYSTEM)
    shown = {"Authorization": f"Api-Key {key.secret}"}
    left = []
    for _number in range(3):
        answer = api.get(PATIENTS, headers=shown)
        assert answer.status_code == 200 and answer["RateLimit-Limit"] == "3"
        left.append(answer["RateLimit-Remaining"])
        assert 1 <= int(answer["RateLimit-Reset"]) <= 60
    assert left in (["2", "1", "0"], ["2", "1", "2"], ["2", "2", "1"])  # a minute may end meanwhile
    answers = [api.get(PATIENTS, headers=shown) for _number in range(4)]
    refused = [one for one in answers if one.status_code == 429]
    assert refused and refused[0]["Content-Type"] == PROBLEM
    assert 1 <= int(refused[0]["Retry-After"]) <= 60 and refused[0]["RateLimit-Remaining"] == "0"
    other = bearer(user_with_roles("clerk"))
    assert api.get(PATIENTS, headers=other)["RateLimit-Limit"] == "6000"
    row = facility_settings()
    row.api_requests_per_minute = 0
    row.save()
    limits.cache.clear()
    assert "RateLimit-Limit" not in api.get(PATIENTS, headers=other)


def test_without_redis_each_process_counts_for_itself(api, alpha, settings, monkeypatch):
    """Nobody is refused because a counter is missing, and the limit still holds here."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(limits, "_client", None)
    monkeypatch.setattr(limits, "_rests_until", 0.0)
    alone = limits.COUNTED_ALONE._value.get()
    key = create_api_key(user_with_roles("clerk"), label="x", scopes=["*"], requests_per_minute=1, actor=SYSTEM)
    shown = {"Authorization": f"Api-Key {key.secret}"}
    codes = [api.get(PATIENTS, headers=shown).status_code for _number in range(4)]
    assert codes[0] == 200 and 429 in codes
    assert limits.COUNTED_ALONE._value.get() == alone + 4
    assert limits._rests_until > 0


# --- other origins


def test_other_origins_are_shut_out_but_for_those_on_the_list(clerk):
    preflight = {"Origin": "https://portal.example.org", "Access-Control-Request-Method": "GET"}
    closed = clerk.options(PATIENTS, headers=preflight)
    assert "Access-Control-Allow-Origin" not in closed
    assert "Access-Control-Allow-Origin" not in clerk.get(PATIENTS, headers=preflight)
    row = facility_settings()
    row.api_origins = ["https://portal.example.org"]
    row.save()
    opened = clerk.options(PATIENTS, headers=preflight)
    assert opened.status_code == 204 and "If-Match" in opened["Access-Control-Allow-Headers"]
    answer = clerk.get(PATIENTS, headers=preflight)
    assert answer["Access-Control-Allow-Origin"] == "https://portal.example.org" and "Origin" in answer["Vary"]
    assert "ETag" in answer["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer
    for origin in ("https://portal.example.org.evil.example", "http://portal.example.org", "null"):
        assert "Access-Control-Allow-Origin" not in clerk.get(PATIENTS, headers={"Origin": origin})


# --- refusals and headers


def test_every_refusal_is_a_problem_document(clerk):
    refusals = {
        404: clerk.get("/api/v1/nothing-here/"),
        405: clerk.delete(PATIENTS),
        406: clerk.get(f"{PATIENTS}{make_patient().uuid}/", headers={"Accept": "image/png"}),
        415: clerk.post(PATIENTS, "<a/>", content_type="application/xml"),
        400: clerk.post(PATIENTS, "{", content_type="application/json"),
        403: clerk.get("/api/v1/users/"),
    }
    clerk.force_authenticate(None)
    refusals[401] = clerk.get(PATIENTS)
    for status, answer in refusals.items():
        assert answer.status_code == status
        assert answer["Content-Type"] == PROBLEM, status
        told = answer.json()
        assert {"type", "title", "status", "detail", "instance", "correlation_id"} <= set(told), status
        assert told["status"] == status and told["correlation_id"] == answer["X-Request-ID"]
    unknown = clerk.get(PATIENTS, HTTP_HOST="nowhere.example")
    assert unknown.status_code == 404 and unknown["Content-Type"] == PROBLEM


def test_versions_names_of_requests_and_notices(clerk):
    answer = clerk.get(PATIENTS, headers={"X-Request-ID": "my-request-0001"})
    assert answer["X-Request-ID"] == answer["X-Correlation-ID"] == "my-request-0001"
    assert answer["API-Version"] == "1" and "Deprecation" not in answer
    clerk.force_authenticate(user_with_roles("radiologist"))
    old = clerk.post(f"/api/v1/follow-ups/{make_patient().uuid}/change/", {})
    assert old["Deprecation"].startswith("@") and old["Sunset"].endswith("GMT") and "successor-version" in old["Link"]


# --- doors that came with this


def test_orders_in_numbers_their_history_and_several_at_once(clerk, alpha):
    make_catalogue("A")
    number = clerk.get(f"{ORDERS}next-accession-number/").json()["accession_number"]
    with use_facility(alpha):  # its day, not the test's
        one, two = make_order(codes=["A"]), make_order(codes=["A"])
    assert one.procedures.get().accession_number == number  # it was only shown, and the first took it
    assert clerk.get(f"{ORDERS}next-accession-number/").json()["accession_number"] > number
    stats = clerk.get(f"{ORDERS}stats/").json()
    assert (stats["orders"], stats["procedures"]) == (2, 2) and sum(stats["by_life_cycle"].values()) == 2
    later = {"since": (timezone.now() + timedelta(days=1)).isoformat()}
    assert clerk.get(f"{ORDERS}stats/", later).json()["orders"] == 0
    body = {"orders": [str(one.uuid), str(two.uuid)], "reason_code": "110513"}
    done = clerk.post(f"{ORDERS}cancel-many/", body)
    assert done.status_code == 200 and len(done.json()["cancelled"]) == 2, done.json()
    again = clerk.post(f"{ORDERS}cancel-many/", body).json()
    assert len(again["cancelled"]) + len(again["refused"]) == 2  # told one by one, and no error
    history = clerk.get(f"{ORDERS}{one.uuid}/history/").json()["results"]
    assert [row["version"] for row in history] == sorted((row["version"] for row in history), reverse=True)
    assert clerk.post(f"{ORDERS}cancel-many/", {**body, "orders": [str(make_patient().uuid)]}).status_code == 404
    assert Order.objects.count() == 2


def test_a_patients_record_over_rest(clerk):
    patient = make_patient()
    address = f"{PATIENTS}{patient.uuid}/"
    alert = clerk.post(f"{address}add-alert/", {"kind": "allergy", "text": "Iodine"}).json()
    assert clerk.post(f"{address}end-alert/", {"alert": alert["id"], "reason": "wrong"}).json()["is_active"] is False
    visit = {"visit_number": "V-1", "location": "Ward 3", "patient_class": "I"}
    made = clerk.post(f"{address}record-visit/", visit)
    assert made.status_code == 201 and clerk.post(f"{address}record-visit/", visit).json()["id"] == made.json()["id"]
    assert [row["visit_number"] for row in clerk.get(f"{address}visits/").json()["results"]] == ["V-1"]
    assert clerk.post(f"{address}end-alert/", {"alert": made.json()["id"]}).status_code == 404


def test_blocks_are_set_together_or_not_at_all(api, alpha):
    room = ct1().room
    api.force_authenticate(user_with_roles("clerk", "technologist"))
    start = timezone.now().replace(microsecond=0) + timedelta(days=3)

    def block(hour: int) -> dict[str, str]:
        begins = start + timedelta(hours=hour)
        ends = begins + timedelta(minutes=30)
        return {"room": room.code, "starts_at": begins.isoformat(), "ends_at": ends.isoformat(), "reason": "Service"}

    many = "/api/v1/appointments/block-many/"
    made = api.post(many, {"blocks": [block(0), block(1)]})
    assert made.status_code == 201 and len(made.json()["results"]) == 2
    clash = api.post(many, {"blocks": [block(2), block(1)]})
    assert clash.status_code == 409
    assert api.post(many, {"blocks": [block(2)]}).status_code == 201  # nothing of the refused ones stayed


def test_peers_and_the_outbox_for_administrators(api, alpha, dispatch):
    api.force_authenticate(user_with_roles("it_admin"))
    made = api.post("/api/v1/dicom-peers/", {"ae_title": "CT9", "allowed_addresses": ["10.0.0.9"], "may": ["worklist"]})
    assert made.status_code == 201 and made.json()["may_query_worklist"] is True and made.json()["may_store"] is False
    assert api.post("/api/v1/dicom-peers/", {"ae_title": "CT9"}).status_code == 400
    address = f"/api/v1/dicom-peers/{made.json()['id']}/"
    assert api.patch(address, {"is_active": False}, headers={"If-Match": made["ETag"]}).json()["is_active"] is False
    assert api.post("/api/v1/dicom-peers/", {"ae_title": "CT8", "allowed_addresses": ["x"]}).status_code == 400
    make_order()
    rows = api.get("/api/v1/outbox-deliveries/?status=pending").json()["results"]
    assert api.post(f"/api/v1/outbox-deliveries/{rows[0]['id']}/again/").json()["status"] == "pending"
    assert api.post("/api/v1/outbox-deliveries/0/again/").status_code == 404


def test_json_nested_without_end_is_the_senders_mistake(api):
    for address in ("/api/v1/auth/token", PATIENTS):
        answer = api.post(address, b"[" * 200_000, content_type="application/json")
        assert answer.status_code in (400, 401) and answer.headers["Content-Type"] == PROBLEM, address
