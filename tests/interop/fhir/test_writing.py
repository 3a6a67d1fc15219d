"""Writes: through the same services as the pages, checked, conditional, versioned, all or nothing in a transaction."""

from __future__ import annotations

import base64
import json
from uuid import uuid4

import pytest
from django.test import override_settings

from orders.models import Order, Patient
from ris.audit.models import AuditEvent
from tests.conftest import shared_start
from tests.interop.fhir.house import everybody, refusal
from tests.interop.fhir.writer import SYSTEM, Writer, body, bundle, entry, issues, person


@pytest.fixture(scope="module", autouse=True)
def house(django_db_setup, django_db_blocker):
    with shared_start(django_db_blocker):
        yield


@pytest.fixture
def fhir(alpha):
    return Writer(everybody())


def test_a_patient_is_registered_read_and_corrected(fhir):
    made = fhir.send("POST", "Patient", person())
    told = body(made)
    assert made.status_code == 201
    assert made["Location"] == f"http://alpha.test/fhir/r4/Patient/{told['id']}/_history/{told['meta']['versionId']}"
    assert made["ETag"] == f'W/"{told["meta"]["versionId"]}"'
    row = Patient.objects.get(uuid=told["id"])
    assert (row.family_name, row.given_name, row.middle_name, row.sex) == ("Wanjiru", "Achieng", "Faith", "F")
    assert {i["type"]["coding"][0]["code"] for i in told["identifier"]} == {"MR", "PE"}, "a number of ours beside it"
    told["telecom"] = []
    told["name"][0]["family"] = "Wanjiku"
    put = fhir.send("PUT", f"Patient/{row.uuid}", told, If_Match=made["ETag"])
    assert put.status_code == 200, put.content
    row.refresh_from_db()
    assert (row.family_name, row.phone) == ("Wanjiku", "")
    assert len(body(put)["identifier"]) == 2
    late = fhir.send("PUT", f"Patient/{row.uuid}", told, If_Match=made["ETag"])
    assert refusal(late).status == 412
    with override_settings(RIS_FHIR_REQUIRE_IF_MATCH=True):
        assert refusal(fhir.send("PUT", f"Patient/{row.uuid}", told)).status == 428
    event = AuditEvent.objects.filter(event_type="orders.register_patient").get()
    assert (event.source, event.patient) == ("fhir", row.uuid)


def test_what_the_answer_to_a_write_says_is_asked_for(fhir):
    nothing = fhir.send("POST", "Patient", person("P-1"), Prefer="return=minimal")
    assert (nothing.status_code, nothing.content) == (201, b"")
    assert "Location" in nothing
    outcome = fhir.send("POST", "Patient", person("P-2"), Prefer="return=OperationOutcome")
    assert body(outcome)["resourceType"] == "OperationOutcome"
    xml = fhir.send("POST", "Patient?_format=xml", person("P-3"))
    assert xml.content.startswith(b"<?xml")


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        ({"gender": "woman"}, "code-invalid", "Patient.gender"),
        ({"name": []}, "required", "Patient.name"),
        ({"nonsense": 1}, "structure", "Patient.nonsense"),
        ({"birthDate": "soon"}, "structure", "Patient.birthDate"),
        ({"identifier": [{"value": "1"}]}, "required", "Patient.identifier[0].system"),
        ({"active": False}, "business-rule", "Patient.active"),
        ({"telecom": [{"system": "drum", "value": "1"}]}, "code-invalid", "Patient.telecom[0].system"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(fhir, change, code, place):
    answer = fhir.send("POST", "Patient", person(**change))
    assert answer.status_code == 422, answer.content
    assert (code, place) in issues(answer)
    tried = fhir.send("POST", "Patient/$validate", person(**change))
    assert (tried.status_code, issues(tried)) == (200, issues(answer)), "and $validate says the same"
    assert not Patient.objects.exists()


def test_validate_knows_its_parameters_modes_and_versions(fhir):
    made = fhir.send("POST", "Patient", person())
    key = body(made)["id"]
    told = {**body(made), "telecom": []}
    here = f"Patient/{key}/$validate"
    assert body(fhir.send("POST", here, told, If_Match=made["ETag"]))["issue"][0]["severity"] == "information"
    late = fhir.send("POST", here, told, If_Match='W/"999"')
    assert (late.status_code, issues(late)[0][0]) == (200, "conflict"), "as the update would be refused"
    base = "http://hl7.org/fhir/StructureDefinition/"

    def parameters(**named):
        rows = [{"name": name, "valueCode": value} for name, value in named.items()]
        return {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": told}, *rows]}

    alone = fhir.send("POST", "Patient/$validate", parameters(mode="profile", profile=f"{base}Patient"))
    assert body(alone)["issue"][0]["severity"] == "information", "nothing but the resource is looked at"
    gone = fhir.send("POST", here, parameters(mode="delete"))
    assert (gone.status_code, issues(gone)[0][0]) == (200, "not-supported")
    for refused in (
        parameters(mode="profile"), parameters(mode="delete"), parameters(mode="update"), parameters(mode="other"),
        parameters(profile=f"{base}vitalsigns"), parameters(strictness="high"),
    ):  # fmt: skip
        assert refusal(fhir.send("POST", "Patient/$validate", refused)).status == 400, refused["parameter"][1:]
    assert refusal(fhir.send("POST", "Patient/$validate?mood=create", told)).status == 400
    assert Patient.objects.count() == 1


def test_validate_stores_nothing(fhir):
    good = fhir.send("POST", "Patient/$validate", person())
    assert (good.status_code, body(good)["issue"][0]["severity"]) == (200, "information")
    assert not Patient.objects.exists()
    key = body(fhir.send("POST", "Patient", person()))["id"]
    again = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": person("P-1")}]}
    assert issues(fhir.send("POST", "Patient/$validate", again))[0][0] == "duplicate"
    other = person("P-1", family="Njeri", id=key)
    assert body(fhir.send("POST", f"Patient/{key}/$validate", other))["issue"][0]["severity"] == "information"
    assert Patient.objects.get().family_name == "Wanjiru"


def test_create_and_update_under_a_condition(fhir):
    condition = f"identifier={SYSTEM}|P-1"
    made = fhir.send("POST", "Patient", person(), If_None_Exist=condition)
    again = fhir.send("POST", "Patient", person(family="Another"), If_None_Exist=condition)
    assert (made.status_code, again.status_code) == (201, 200)
    assert body(again)["id"] == body(made)["id"] and body(again)["name"][0]["family"] == "Wanjiru"
    assert refusal(fhir.send("POST", "Patient", person())).status == 409, "without it, a conflict"
    fhir.send("POST", "Patient", person("P-2"))
    several = fhir.send("POST", "Patient", person("P-3"), If_None_Exist="family=Wanjiru")
    assert refusal(several).status == 412
    put = fhir.send("PUT", f"Patient?{condition}", person(family="Njeri"))
    assert (put.status_code, body(put)["name"][0]["family"]) == (200, "Njeri")
    new = fhir.send("PUT", f"Patient?identifier={SYSTEM}|P-9", person("P-9"))
    assert new.status_code == 201
    assert refusal(fhir.send("PUT", "Patient?family=Wanjiru&nonsense=1", person())).status == 400
    assert refusal(fhir.send("PUT", f"Patient/{uuid4()}", person())).status in (400, 404)
    assert Patient.objects.count() == 3


def test_a_patch_is_checked_like_an_update(fhir):
    key = body(fhir.send("POST", "Patient", person()))["id"]
    kind = "application/json-patch+json"
    steps = [
        {"op": "test", "path": "/gender", "value": "female"},
        {"op": "replace", "path": "/name/0/family", "value": "Njeri"},
        {"op": "add", "path": "/telecom/-", "value": {"system": "email", "value": "n@example.org"}},
    ]
    done = fhir.send("PATCH", f"Patient/{key}", steps, kind)
    assert done.status_code == 200, done.content
    assert Patient.objects.get().email == "n@example.org"
    wrong = {
        "a list": {"op": "add"},
        "no such element": [{"op": "remove", "path": "/photo"}],
        "test": [{"op": "test", "path": "/gender", "value": "male"}],
        "id": [{"op": "replace", "path": "/id", "value": str(uuid4())}],
        "code": [{"op": "replace", "path": "/gender", "value": "woman"}],
        "number": [{"op": "remove", "path": "/name/7"}],
        "op": [{"op": "burn", "path": "/name"}],
    }
    for why, patch in wrong.items():
        assert refusal(fhir.send("PATCH", f"Patient/{key}", patch, kind)).status in (400, 422), why
    assert Patient.objects.get().family_name == "Njeri"


def test_nothing_is_deleted(fhir):
    key = body(fhir.send("POST", "Patient", person()))["id"]
    answer = fhir.send("DELETE", f"Patient/{key}", "")
    assert refusal(answer).status == 405
    assert "DELETE" not in answer["Allow"] and "PUT" in answer["Allow"]


# --- bundles


def test_the_entries_of_a_batch_stand_alone(fhir):
    patch = [{"op": "replace", "path": "/gender", "value": "male"}]
    first = body(fhir.send("POST", "Patient", person("P-0")))["id"]
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(json.dumps(patch).encode()).decode(),
    }
    answer = fhir.send(
        "POST",
        "",
        bundle(
            "batch",
            entry("POST", "Patient", person("P-1")),
            entry("POST", "Patient", person("P-1")),
            entry("POST", "Patient", person("P-1"), ifNoneExist=f"identifier={SYSTEM}|P-1"),
            entry("PATCH", f"Patient/{first}", binary),
            entry("GET", "Patient?gender=male"),
            entry("DELETE", f"Patient/{first}"),
            {"resource": person()},
            entry("GET", "https://elsewhere.example.org/Patient/1"),
        ),
    )
    told = body(answer)
    assert (answer.status_code, told["type"]) == (200, "batch-response")
    statuses = [row["response"]["status"][:3] for row in told["entry"]]
    assert statuses == ["201", "409", "200", "200", "200", "405", "400", "400"]
    assert told["entry"][1]["response"]["outcome"]["issue"][0]["code"] == "duplicate"
    assert told["entry"][4]["resource"]["total"] == 1
    assert Patient.objects.count() == 2


def test_a_bundle_that_is_none_is_refused(fhir):
    assert refusal(fhir.send("POST", "", person())).status == 400
    assert refusal(fhir.send("POST", "", bundle("history"))).status == 422
    many = [entry("GET", "Patient")] * 201
    assert refusal(fhir.send("POST", "", bundle("batch", *many))).status == 413
    assert body(fhir.send("POST", "", bundle("batch")))["type"] == "batch-response"
    twice = [entry("PUT", "Patient/1", person(), full="urn:uuid:1")] * 2
    assert refusal(fhir.send("POST", "", bundle("transaction", *twice))).status == 400
    assert not Order.objects.exists()
