"""The REST resources of patients, orders, procedures, charges and catalogue."""

from __future__ import annotations

import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from orders import services
from orders.models import Document, Order, Patient, PriceItem, RequestedProcedure
from ris.audit.models import AuditEvent
from ris.tenants.context import use_facility
from tests.factories.orders import (
    SYSTEM,
    make_catalogue,
    make_order,
    make_patient,
    make_practitioner,
    make_procedure,
    make_user,
)

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def clerk(api):
    user = make_user("clerk")
    api.force_authenticate(user)
    api.user = user
    return api


def post(client, path, body=None, expect=200, **headers):
    answer = client.post(f"{V1}/{path}", body or {}, format="json", **headers)
    assert answer.status_code == expect, answer.content
    return answer.json()


def test_a_clerk_registers_orders_and_cancels(clerk):
    make_catalogue("CTCHEST")
    person = {"family_name": "Achieng", "given_name": "Wanjiru", "birth_date": "1990-02-03", "sex": "F"}
    patient = post(clerk, "patients/", person, 201)
    assert patient["identifiers"][0]["type"] == "MR"
    body = {"patient": patient["id"], "priority": "urgent", "indication": "PE?", "procedures": [{"code": "CTCHEST"}]}
    order = post(clerk, "orders/", body, 201)
    procedure = order["procedures"][0]
    assert (procedure["status"], procedure["life_cycle"], procedure["priority"]) == ("accepted", "requested", "urgent")
    assert procedure["accession_number"] and procedure["study_instance_uid"]
    answer = post(clerk, f"procedures/{procedure['id']}/cancel/", {"reason_code": "110510"})
    assert (answer["status"], answer["life_cycle"]) == ("cancelled", "cancelled")
    refused = post(clerk, f"procedures/{procedure['id']}/hold/", {"reason_text": "x"}, 409)
    assert refused["type"].endswith("invalid_transition") and refused["todo"]
    timeline = clerk.get(f"{V1}/procedures/{procedure['id']}/timeline/").json()["results"]
    assert [entry["status"] for entry in timeline] == ["cancelled", "accepted"]
    assert {(entry["door"], entry["who"]) for entry in timeline} == {("api", clerk.user.display_name)}


def test_duplicates_and_search_go_by_post(clerk):
    make_patient(family_name="Achieng", given_name="Wanjiru", birth_date="1990-02-03", phone="0722000111")
    person = {"family_name": "Wanjiru", "given_name": "Achieng", "birth_date": "1990-02-03", "sex": "F"}
    best = post(clerk, "patients/duplicates/", person)["results"][0]
    assert best["score"] > 0.9 and best["reasons"] and best["matches"]["birth_date"] == "same"
    for query in (
        {"query": "wanj"},
        {"family_name": "Achieng"},
        {"query": "0722 000111"},
        {"birth_date": "1990-02-03"},
    ):
        assert len(post(clerk, "patients/search/", query)["results"]) == 1, query
    mrn = Patient.objects.get().primary_identifier.value
    assert post(clerk, "patients/search/", {"identifier": mrn})["results"]
    assert post(clerk, "patients/search/", {"identifier": "nobody"})["results"] == []
    read = AuditEvent.objects.filter(event_type="orders.find_duplicates").last()
    assert read.patients and "Achieng" not in str(read.detail)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("patients/", {}),
        ("patients/", {"family_name": "A^B"}),
        ("patients/", {"family_name": "A", "birth_date": "2999-01-01"}),
        ("patients/", {"family_name": "A", "birth_date": "yesterday"}),
        ("patients/", {"family_name": "A\u0000"}),
        ("patients/", {"family_name": "A", "identifiers": [{"value": "a b"}]}),
        ("patients/", {"family_name": "A", "identifiers": "none"}),
        ("patients/", [1, 2]),
        ("patients/", "text"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(clerk, path, body):
    answer = clerk.post(f"{V1}/{path}", body, format="json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"]
    assert Patient.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "expect"),
    [
        ({"procedures": []}, 400),
        ({"procedures": [{"code": "NONE"}]}, 400),
        ({"procedures": [{"code": "CTCHEST", "laterality": "L"}]}, 400),
        ({"procedures": [{"code": "CTCHEST", "laterality": "left"}]}, 400),
        ({"procedures": "CTCHEST"}, 400),
        ({"priority": "now"}, 400),
        ({"patient": "not-a-uuid"}, 400),
        ({"patient": str(uuid.uuid4())}, 404),
        ({"requester": str(uuid.uuid4())}, 404),
        ({"site": "nowhere"}, 404),
        ({"indication": "a\u0000b"}, 400),
    ],
)
def test_a_wrong_order_is_refused(clerk, change, expect):
    make_catalogue("CTCHEST")
    body = {"patient": str(make_patient().uuid), "procedures": [{"code": "CTCHEST"}]} | change
    answer = clerk.post(f"{V1}/orders/", body, format="json")
    assert answer.status_code == expect, answer.content
    assert answer.json()["errors"] and Order.objects.count() == 0


def test_another_facility_s_ids_are_unknown(clerk, beta):
    with use_facility(beta):
        make_catalogue("CTCHEST")
        foreign = make_procedure(codes=["CTCHEST"])
        ids = {"orders": foreign.order.uuid, "procedures": foreign.uuid, "patients": foreign.order.patient.uuid}
    for resource, key in ids.items():
        assert clerk.get(f"{V1}/{resource}/{key}/").status_code == 404
        assert clerk.patch(f"{V1}/{resource}/{key}/", {}, format="json").status_code == 404
    post(clerk, f"procedures/{ids['procedures']}/cancel/", {"reason_code": "110510"}, 404)
    make_catalogue("CTCHEST")
    post(clerk, "orders/", {"patient": str(ids["patients"]), "procedures": [{"code": "CTCHEST"}]}, 404)
    assert clerk.get(f"{V1}/procedures/").json()["results"] == []


def test_an_idempotency_key_places_one_order(clerk):
    make_catalogue("CTCHEST")
    body = {"patient": str(make_patient().uuid), "procedures": [{"code": "CTCHEST"}]}
    first = post(clerk, "orders/", body, 201, HTTP_IDEMPOTENCY_KEY="k1")
    second = post(clerk, "orders/", body, 201, HTTP_IDEMPOTENCY_KEY="k1")
    assert first == second and Order.objects.count() == 1
    post(clerk, "orders/", body | {"priority": "stat"}, 422, HTTP_IDEMPOTENCY_KEY="k1")
    wrong = body | {"procedures": [{"code": "NONE"}]}
    post(clerk, "orders/", wrong, 400, HTTP_IDEMPOTENCY_KEY="k2")
    post(clerk, "orders/", body, 201, HTTP_IDEMPOTENCY_KEY="k2")


def test_a_change_names_the_version_it_read(clerk):
    patient = make_patient()
    address = f"{V1}/patients/{patient.uuid}/"
    tag = clerk.get(address)["ETag"]
    changed = clerk.patch(address, {"given_name": "Achol"}, format="json", HTTP_IF_MATCH=tag)
    assert changed.status_code == 200 and changed["ETag"] != tag
    late = clerk.patch(address, {"given_name": "Late"}, format="json", HTTP_IF_MATCH=tag)
    assert late.status_code == 412
    assert Patient.objects.get().given_name == "Achol"
    assert clerk.get(address, HTTP_IF_NONE_MATCH=changed["ETag"]).status_code == 304


def test_merge_and_undo(clerk):
    survivor, loser = make_patient(), make_patient()
    order = make_order(patient=loser)
    body = {"loser": str(loser.uuid), "reason": "Same person"}
    merge = post(clerk, f"patients/{survivor.uuid}/merge/", body)
    assert merge["moved"]["orders.order"] == 1
    assert post(clerk, f"patients/{survivor.uuid}/merge/", body)["id"] == merge["id"]
    assert clerk.get(f"{V1}/patients/{loser.uuid}/").json()["merged_into"] == str(survivor.uuid)
    assert clerk.get(f"{V1}/orders/{order.uuid}/").json()["patient"] == str(survivor.uuid)
    post(clerk, f"patients/{survivor.uuid}/merge/", {"loser": str(survivor.uuid), "reason": "x"}, 400)
    assert post(clerk, f"patient-merges/{merge['id']}/undo/")["undone_at"]
    assert clerk.get(f"{V1}/orders/{order.uuid}/").json()["patient"] == str(loser.uuid)


def test_lists_filter_by_codes_and_page_by_cursor(clerk):
    first, second = make_procedure(status="scheduled"), make_procedure(status="final")
    get = lambda query: clerk.get(f"{V1}/procedures/?{query}").json()  # noqa: E731
    assert [row["id"] for row in get("status=scheduled")["results"]] == [str(first.uuid)]
    assert [row["id"] for row in get("life_cycle=verified")["results"]] == [str(second.uuid)]
    assert [row["id"] for row in get(f"accession_number={first.accession_number}")["results"]] == [str(first.uuid)]
    page = get("page_size=1&ordering=created_at")
    assert page["results"][0]["id"] == str(first.uuid) and page["next"] and "count" not in page
    assert clerk.get(page["next"]).json()["results"][0]["id"] == str(second.uuid)
    assert clerk.get(f"{V1}/procedures/?status=nonsense").status_code == 400
    assert len(clerk.get(f"{V1}/orders/?patient={first.order.patient.uuid}").json()["results"]) == 1


def test_a_list_costs_the_same_however_long(clerk):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def fill():
        row = make_catalogue()
        PriceItem(code=row.code, label="x", catalogue=row, amount=1).save_as(SYSTEM, "test")
        procedure = make_procedure(codes=[row.code], requester=make_practitioner())
        services.draft_charges(procedure, actor=SYSTEM)
        services.add_alert(procedure.order.patient, kind="other", text="x", actor=SYSTEM)

    def cost(path, rows):
        with CaptureQueriesContext(connection) as queries:
            assert len(clerk.get(f"{V1}/{path}").json()["results"]) >= rows, path
        return len(queries)

    paths = ("patients/", "orders/", "procedures/", "charges/", "catalogue/", "practitioners/")
    fill()
    for path in paths:
        clerk.get(f"{V1}/{path}")
    one = {path: cost(path, 1) for path in paths}
    for _number in range(4):
        fill()
    for path in paths:
        assert cost(path, 5) <= one[path], path


@pytest.mark.parametrize(
    ("role", "path", "body", "expect"),
    [
        ("it_admin", "patients/", None, 403),
        ("radiologist", "patients/", {"family_name": "A"}, 403),
        ("referring_physician", "patients/", {"family_name": "A"}, 403),
        ("medical_physicist", "orders/", {}, 403),
        ("clerk", "procedures/{id}/accept/", {}, 403),
        ("clerk", "procedures/{id}/protocol/", {"protocol": "x"}, 403),
        ("technologist", "procedures/{id}/cancel/", {"reason_code": "110500"}, 403),
        ("radiologist", "procedures/{id}/accept/", {}, 200),
        ("radiologist", "procedures/{id}/protocol/", {"protocol": "CTPA"}, 200),
        ("radiologist", "procedures/{id}/reject/", {"reason_code": "110510"}, 200),
        ("resident", "procedures/{id}/request-information/", {"reason_text": "Which side?"}, 200),
        ("clerk", "catalogue/load/", {"csv": "code,name,modality\nA,B,CT"}, 403),
        ("it_admin", "catalogue/load/", {"csv": "code,name,modality\nA,B,CT"}, 200),
    ],
)
def test_rights_decide(api, role, path, body, expect):
    procedure = make_procedure(status="vetting")
    api.force_authenticate(make_user(role))
    address = f"{V1}/{path.format(id=procedure.uuid)}"
    answer = api.get(address) if body is None else api.post(address, body, format="json")
    assert answer.status_code == expect, answer.content


def test_nobody_is_let_in_without_a_credential(api):
    assert api.get(f"{V1}/patients/").status_code == 401
    assert api.post(f"{V1}/orders/", {}, format="json").status_code == 401


def test_a_referrer_orders_in_their_own_name_for_their_own_patients(api):
    user = make_user("referring_physician")
    own = make_practitioner(user)
    mine, foreign = make_order(requester=own).patient, make_patient()
    make_catalogue("CTCHEST")
    api.force_authenticate(user)
    body = {"patient": str(mine.uuid), "procedures": [{"code": "CTCHEST"}], "requester": str(make_practitioner().uuid)}
    assert post(api, "orders/", body, 201)["requester"] == str(own.uuid)
    post(api, "orders/", body | {"patient": str(foreign.uuid)}, 404)
    assert [row["id"] for row in api.get(f"{V1}/patients/").json()["results"]] == [str(mine.uuid)]


def test_a_document_is_known_by_its_content(clerk):
    patient = make_patient()
    fields = {"patient": str(patient.uuid), "kind": "consent", "title": "Consent"}
    pdf = SimpleUploadedFile("../../evil.html", b"%PDF-1.7 consent", content_type="text/html")
    created = clerk.post(f"{V1}/documents/", {**fields, "file": pdf}, format="multipart")
    assert created.status_code == 201, created.content
    assert created.json()["content_type"] == "application/pdf"
    assert "evil" not in Document.objects.get().file.name
    content = clerk.get(f"{V1}/documents/{created.json()['id']}/content/")
    assert b"".join(content.streaming_content) == b"%PDF-1.7 consent"
    html = SimpleUploadedFile("a.pdf", b"<html>", content_type="application/pdf")
    assert clerk.post(f"{V1}/documents/", {**fields, "file": html}, format="multipart").status_code == 400
    post(clerk, f"documents/{created.json()['id']}/withdraw/", {"reason": "Wrong patient"})
    assert clerk.get(f"{V1}/documents/").json()["results"] == []


def test_charges_over_rest(clerk):
    row = make_catalogue()
    PriceItem(code="P", label="CT", catalogue=row, amount=10).save_as(SYSTEM, "test")
    services.draft_charges(make_procedure(codes=[row.code]), actor=SYSTEM)
    charge = clerk.get(f"{V1}/charges/").json()["results"][0]
    assert post(clerk, f"charges/{charge['id']}/confirm/")["status"] == "billable"
    assert post(clerk, f"charges/{charge['id']}/void/", {"reason": "Free"})["status"] == "aborted"
    post(clerk, f"charges/{charge['id']}/bill/", {}, 409)


def test_status_cannot_be_written(clerk):
    procedure = make_procedure()
    clerk.patch(f"{V1}/procedures/{procedure.uuid}/", {"status": "final", "accession_number": "X"}, format="json")
    stored = RequestedProcedure.objects.get(pk=procedure.pk)
    assert (stored.status, stored.accession_number) == ("accepted", procedure.accession_number)


def test_an_order_is_changed_and_cancelled_over_rest(clerk):
    order = make_order()
    changed = clerk.patch(f"{V1}/orders/{order.uuid}/", {"priority": "stat", "indication": "Worse"}, format="json")
    assert (changed.status_code, changed.json()["priority"], changed.json()["patient_class"]) == (200, "stat", "O")
    assert post(clerk, f"orders/{order.uuid}/cancel/", {"reason_code": "110500"})["status"] == "cancelled"
    late = clerk.patch(f"{V1}/orders/{order.uuid}/", {"priority": "routine"}, format="json")
    assert late.status_code == 409
