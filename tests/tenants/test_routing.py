"""Who is let in at which door: host names, called AE titles, MSH-5 and MSH-6."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from ris.tenants.models import CalledAETitle, MLLPReceiver, RefusedConnection
from ris.tenants.routing import (
    HTTP,
    NAMES_PER_ADDRESS,
    address_is_in,
    facility_for_called_ae,
    facility_for_host,
    facility_for_mllp,
    record_refusal,
)

HOME = "127.0.0.1"
FINGERPRINT = "ab" * 32


def refusals() -> list[tuple[str, str, int]]:
    return list(RefusedConnection.objects.order_by("pk").values_list("called", "reason", "count"))


def test_a_registered_title_from_a_registered_address(db):
    facility = facility_for_called_ae("ALPHA", HOME)
    assert facility is not None
    assert facility.schema_name == "alpha"
    assert refusals() == []


def test_padding_means_nothing_in_an_ae_title(db):
    facility = facility_for_called_ae("  BETA          ", HOME)
    assert facility is not None
    assert facility.schema_name == "beta"


@pytest.mark.parametrize(
    "called",
    [
        "alpha",
        "public",
        "template_facility",
        "../ALPHA",
        "ALPHA'",
        'ALPHA"; drop schema alpha',
        "AL\\PHA",
        "",
        "%",
        "ALPHA\0",
    ],
)
def test_a_hostile_title_finds_no_facility_and_is_counted(db, called):
    assert facility_for_called_ae(called, HOME) is None
    assert facility_for_called_ae(called, HOME) is None
    [(_called, reason, count)] = refusals()
    assert (reason, count) == ("called_ae_unknown", 2)


def test_a_facilitys_title_from_elsewhere_is_refused(db):
    assert facility_for_called_ae("ALPHA", "10.0.0.9", calling_ae="CT1") is None
    row = RefusedConnection.objects.get()
    assert (row.kind, row.called, row.calling, row.address) == ("dicom", "ALPHA", "CT1", "10.0.0.9")
    assert row.reason == "address_not_registered"


def test_a_certificate_is_let_in_from_anywhere(db):
    CalledAETitle.objects.filter(ae_title="ALPHA").update(certificate_fingerprints=[FINGERPRINT])
    assert facility_for_called_ae("ALPHA", "10.0.0.9", FINGERPRINT.upper()) is not None
    assert facility_for_called_ae("ALPHA", "10.0.0.9", "cd" * 32) is None
    assert facility_for_called_ae("BETA", "10.0.0.9", FINGERPRINT) is None


def test_a_title_for_tls_only_is_refused_in_the_clear(db):
    CalledAETitle.objects.filter(ae_title="ALPHA").update(require_tls=True)
    assert facility_for_called_ae("ALPHA", HOME) is None
    assert facility_for_called_ae("ALPHA", HOME, tls=True) is not None


def test_a_door_that_names_nobody_lets_nobody_in(db):
    CalledAETitle.objects.filter(ae_title="ALPHA").update(allowed_addresses=[])
    assert facility_for_called_ae("ALPHA", HOME) is None


def test_an_inactive_door_is_closed(db):
    CalledAETitle.objects.filter(ae_title="ALPHA").update(is_active=False)
    assert facility_for_called_ae("ALPHA", HOME) is None


@pytest.mark.parametrize(("msh5", "msh6", "schema"), [("RIS", "ALPHA", "alpha"), ("RIS^1.2^ISO", "BETA^3^ISO", "beta")])
def test_a_message_finds_its_facility_by_its_receiver(db, msh5, msh6, schema):
    facility = facility_for_mllp(2575, msh5, msh6, HOME)
    assert facility is not None
    assert facility.schema_name == schema


@pytest.mark.parametrize(("msh5", "msh6"), [("RIS", "alpha"), ("", ""), ("RIS", "ALPHA' or 1=1"), ("OTHER", "ALPHA")])
def test_a_message_for_nobody_is_refused_and_counted(db, msh5, msh6):
    assert facility_for_mllp(2575, msh5, msh6, HOME) is None
    assert [reason for _called, reason, _count in refusals()] == ["receiver_unknown"]


def test_a_port_of_its_own_decides_alone(db, beta):
    MLLPReceiver.objects.create(facility=beta, port=2600, allowed_addresses=["127.0.0.0/8"])
    facility = facility_for_mllp(2600, "RIS", "ALPHA", HOME)
    assert facility is not None
    assert facility.schema_name == "beta"


def test_a_flood_of_one_kind_is_one_row(db):
    for _knock in range(20):
        record_refusal(HTTP, called="evil.example", address="10.9.9.9", reason="host_unknown")
    assert refusals() == [("evil.example", "host_unknown", 20)]


def test_a_flood_of_many_names_is_few_rows(db):
    for number in range(NAMES_PER_ADDRESS + 30):
        record_refusal(HTTP, called=f"x{number}", address="10.9.9.9", reason="host_unknown")
    assert RefusedConnection.objects.count() == NAMES_PER_ADDRESS + 1
    assert RefusedConnection.objects.get(called="*").count == 30


def test_what_is_kept_of_a_knock_is_short_and_printable(db):
    record_refusal(HTTP, called="a\x1b[31m" + "b" * 500, address="10.9.9.9", reason="host_unknown")
    row = RefusedConnection.objects.get()
    assert row.called.startswith("a?[31m")
    assert len(row.called) == 80


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("10.1.2.3", ["10.1.0.0/16"], True),
        ("10.2.2.3", ["10.1.0.0/16"], False),
        ("::ffff:10.1.2.3", ["10.1.0.0/16"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("not an address", ["0.0.0.0/0"], False),
        ("10.1.2.3", [], False),
    ],
)
def test_addresses_in_networks(address, networks, expected):
    assert address_is_in(address, networks) is expected


def test_an_unknown_host_is_refused_in_plain_words_and_counted(client, db):
    for host in ("evil.example", "public", "alpha", "alpha.test.evil.example"):
        answer = client.get("/admin/", HTTP_HOST=host)
        assert answer.status_code == 404
        assert answer["Content-Type"].startswith("text/plain")
    assert {reason for _called, reason, _count in refusals()} == {"host_unknown"}


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_HOST", "HTTP_X_TENANT", "HTTP_X_FACILITY"])
def test_no_header_chooses_a_facility(client, db, header):
    answer = client.get("/api/schema/", HTTP_HOST="evil.example", **{header: "alpha.test"})
    assert answer.status_code == 404


def test_host_names_are_found_in_any_case_and_with_a_port(client, db):
    assert client.get("/api/schema/", HTTP_HOST="Alpha.TEST:8000").status_code == 200
    assert connection.schema_name == "alpha"


def test_health_answers_whoever_probes_by_address(client, db):
    assert client.get("/health/live", HTTP_HOST="10.0.0.1").json() == {"status": "ok"}
    ready = client.get("/health/ready", HTTP_HOST="10.0.0.1")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")


def test_metrics_are_for_who_holds_the_token(client, db):
    assert client.get("/metrics", HTTP_HOST="x").status_code == 401
    answer = client.get("/metrics", HTTP_HOST="x", HTTP_AUTHORIZATION="Bearer metrics-token-of-the-tests")
    assert answer.status_code == 200
    assert b"picha_refused_connections" in answer.content


def test_a_database_that_does_not_answer_is_a_refusal_to_repeat(client, db, monkeypatch):
    def no_answer(*_args: object) -> None:
        raise OperationalError

    monkeypatch.setattr("ris.tenants.middleware.facility_for_host", no_answer)
    monkeypatch.setattr("ris.tenants.middleware.connection.close", lambda: None)
    answer = client.get("/sign-in/", HTTP_HOST="alpha.test")
    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert client.get("/api/v1/patients/", HTTP_HOST="alpha.test", HTTP_ACCEPT="application/json").status_code == 503


def test_a_database_that_goes_away_behind_the_door_is_a_refusal_to_repeat_too(alpha, client, monkeypatch):
    """The host was known already: the first to ask the database is who reads the session."""

    def no_answer(*_args: object) -> None:
        raise OperationalError

    monkeypatch.setattr("ris.accounts.middleware.SessionLockMiddleware.__call__", no_answer)
    client.raise_request_exception = False
    answer = client.get("/", HTTP_HOST="alpha.test")
    assert answer.status_code == 503 and answer["Retry-After"]


def test_whose_host_it_is_is_asked_once_and_again_after_a_change(db, client, django_assert_num_queries):
    assert facility_for_host("Beta.test").schema_name == "beta"
    with django_assert_num_queries(0):
        known = facility_for_host("beta.test")
        assert known.name == "Beta Hospital"
        known.name = "written into a form"
        assert facility_for_host("beta.test").name == "Beta Hospital"
        assert connection.schema_name == "public"
    known.name = "Beta General"
    known.save()
    assert facility_for_host("beta.test").name == "Beta General"
    known.is_active = False
    known.save()
    assert facility_for_host("beta.test") is None
