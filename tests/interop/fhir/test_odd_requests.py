"""What nobody means seriously is refused in words: no 5xx, and no work without end."""

from __future__ import annotations

import base64
import json

import pytest
from django.test import Client, override_settings

from orders.models import Document, Patient
from tests.conftest import files_in, shared_start
from tests.interop.fhir.house import everybody, refusal
from tests.interop.fhir.writer import JSON_PATCH, Writer, body, bundle, entry, person


@pytest.fixture(scope="module", autouse=True)
def house(django_db_setup, django_db_blocker):
    with shared_start(django_db_blocker):
        yield


@pytest.fixture
def fhir(alpha):
    return Writer(everybody())


def test_patches_that_grow_without_end_or_leave_no_resource_are_refused(fhir):
    where = f"Patient/{body(fhir.send('POST', 'Patient', person()))['id']}"
    doubled = [{"op": "copy", "from": "/name", "path": "/name/-"}] * 100
    assert refusal(fhir.send("PATCH", where, doubled, JSON_PATCH)).status == 413
    for left in ([1], "x", None):
        whole = [{"op": "replace", "path": "", "value": left}]
        assert refusal(fhir.send("PATCH", where, whole, JSON_PATCH)).status == 422
    deep = base64.b64encode(b"[" * 60_000 + b"]" * 60_000).decode()
    binary = {"resourceType": "Binary", "contentType": JSON_PATCH, "data": deep}
    assert refusal(fhir.send("POST", "", bundle("transaction", entry("PATCH", where, binary)))).status == 400


def test_numbers_and_dates_out_of_this_world_are_refused(fhir):
    for query in (
        "_count=%C2%B2", "_count=" + "1" * 400, "_count=-1", "birthdate=ap0001", "_lastUpdated=ap9998",
        "_lastUpdated=ap0001-01-01T00:00:00%2B14:00",
    ):  # fmt: skip
        assert refusal(fhir.get(f"Patient?{query}")).status == 400, query
        assert refusal(fhir.send("POST", "Patient", person(), If_None_Exist=query)).status in (400, 412), query
    assert not Patient.objects.exists()
    long = '{"resourceType":"Patient","multipleBirthInteger":' + "1" * 5000 + "}"
    assert refusal(fhir.send("POST", "Patient", long)).status == 400
    where = f"Patient/{body(fhir.send('POST', 'Patient', person()))['id']}"
    for count in ("%C2%B2", "0", "1" * 400):
        assert refusal(fhir.get(f"{where}/_history?_count={count}")).status == 400, count
    odd = {"resourceType": "Parameters", "parameter": 5}
    assert refusal(fhir.send("POST", "Patient/$validate", odd)).status == 400


def test_a_condition_that_names_nothing_finds_nobody(fhir):
    """One patient is here: nobody may become them for want of a number."""
    there = body(fhir.send("POST", "Patient", person("P-1")))
    for nothing in ("identifier=", "_count=1", "_format=json"):
        assert refusal(fhir.send("POST", "Patient", person("P-2"), If_None_Exist=nothing)).status == 412, nothing
        assert refusal(fhir.send("PUT", f"Patient?{nothing}", person("P-2", "Otieno"))).status == 412, nothing
    assert Patient.objects.get().family_name == there["name"][0]["family"]


def test_a_parameter_is_not_said_a_thousand_times(fhir):
    many = ",".join(f"ServiceRequest:subject{number}" for number in range(100))
    assert refusal(fhir.get(f"ServiceRequest?_include={many}")).status == 400
    names = ",".join(f"x{number}" for number in range(100))
    assert refusal(fhir.get(f"Patient?_sort={names}")).status == 400


def test_a_stranger_who_writes_nonsense_into_an_assertion_is_told_no_more_than_any(alpha):
    http = Client(HTTP_HOST="alpha.test")

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    head = part(json.dumps({"alg": "ES384", "kid": "x"}).encode())
    for said in (
        b'{"iss":"\\u0000","sub":"\\u0000"}', b'{"iss":"\\ud800","sub":"\\ud800"}', b"[" * 2900 + b"]" * 2900, b"[]",
        b'{"iss":' + b"1" * 5000 + b"}",
    ):  # fmt: skip
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": f"{head}.{part(said)}.{part(b'signature')}",
        }
        answer = http.post("/fhir/auth/token", form)
        assert answer.status_code == 401 and answer.json()["error"] == "invalid_client", said[:30]


def test_a_paper_of_what_was_undone_leaves_no_file(fhir, tmp_path):
    where = f"Patient/{body(fhir.send('POST', 'Patient', person()))['id']}"
    content = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()
    paper = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": where},
        "content": [{"attachment": {"contentType": "application/pdf", "title": "Letter", "data": content}}],
    }

    def files() -> list[str]:
        return [path.name for path in tmp_path.rglob("*") if path.is_file()]

    with override_settings(**files_in(tmp_path)):
        assert fhir.send("POST", "DocumentReference/$validate", paper).status_code == 200
        assert files() == [] and not Document.objects.exists()
        wrong = entry("PUT", "Patient/5", person())
        add = entry("POST", "DocumentReference", paper)
        assert refusal(fhir.send("POST", "", bundle("transaction", add, wrong))).status == 400
        assert files() == [] and not Document.objects.exists()
        told = body(fhir.send("POST", "", bundle("batch", add, wrong)))
        assert [row["response"]["status"][:3] for row in told["entry"]] == ["201", "400"]
        assert len(files()) == 1 == Document.objects.count(), "what stands keeps its file"
