"""The pages of patients and orders: who sees them, what they do, what they refuse."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orders import services
from orders.models import Order, Patient, PatientMerge, RequestedProcedure
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


@pytest.fixture
def browser(tclient):
    def sign_in(*roles: str):
        user = make_user(*roles)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        tclient.user = user
        return tclient

    return sign_in


def at(name, *args):
    return reverse(name, args=args)


def test_each_role_sees_what_it_may(browser):
    order = make_procedure().order
    pages = [
        at("patient_list"),
        at("order_list"),
        at("order_list") + "?view=all&modality=CT&priority=routine&status=accepted",
        at("order_detail", order.uuid),
        at("patient_detail", order.patient.uuid),
    ]
    for role, sees in (
        ("clerk", True),
        ("technologist", True),
        ("radiologist", True),
        ("resident", True),
        ("qa_lead", True),
        ("medical_physicist", True),
        ("it_admin", False),
    ):
        client = browser(role)
        for address in pages:
            answer = client.get(address)
            assert answer.status_code == (200 if sees else 403), (role, address)
            assert order.patient.family_name not in address
        assert client.get("/").status_code == 200


def test_a_referrer_sees_their_patients_only(browser):
    client = browser("referring_physician")
    own = make_order(requester=make_practitioner(client.user))
    other = make_order()
    assert client.get(at("patient_detail", own.patient.uuid)).status_code == 200
    assert client.get(at("patient_detail", other.patient.uuid)).status_code == 404
    assert client.get(at("order_detail", other.uuid)).status_code == 404
    assert own.patient.family_name.upper() in client.get("/").content.decode()


def test_the_signed_out_are_sent_to_the_door(tclient, alpha):
    assert tclient.get(at("patient_list"))["Location"].startswith("/sign-in/")


PERSON = {
    "family_name": "Achieng",
    "given_name": "Wanjiru",
    "birth_date": "3 Feb 1990",
    "sex": "F",
    "phone": "0722000111",
}


def test_a_clerk_searches_registers_and_goes_on_to_the_order(browser):
    client = browser("clerk")
    page = client.post(at("patient_list"), {"q": "wanjiru achieng"}).content.decode()
    assert 'value="Achieng"' in page and 'value="Wanjiru"' in page
    answer = client.post(at("patient_create"), {**PERSON, "and_order": "1"})
    patient = Patient.objects.get()
    assert answer["Location"] == at("order_create", patient.uuid)
    assert patient.birth_date.isoformat() == "1990-02-03"
    assert patient.display_name in client.post(at("patient_list"), {"q": "achieng"}).content.decode()


def test_who_looks_like_somebody_is_created_only_by_a_recorded_click(browser):
    make_patient(**{**PERSON, "birth_date": "1990-03-02"})
    client = browser("clerk")
    shown = client.post(at("patient_create"), PERSON)
    assert shown.status_code == 409 and Patient.objects.count() == 1
    assert "Create anyway" in shown.content.decode() and 'value="Wanjiru"' in shown.content.decode()
    assert client.post(at("patient_create"), {**PERSON, "anyway": "1"}).status_code == 302
    assert Patient.objects.count() == 2
    row = AuditEvent.objects.get(event_type="orders.create_anyway")
    assert row.user == client.user.uuid and len(row.detail["candidates"]) == 1


def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(browser):
    client = browser("clerk")
    answer = client.post(at("patient_create"), {**PERSON, "birth_date": "2999-01-01", "given_name": "Wan^jiru"})
    page = answer.content.decode()
    assert answer.status_code == 422 and Patient.objects.count() == 0
    assert 'id="id_birth_date_error"' in page and 'id="id_given_name_error"' in page and "Wan^jiru" in page


def test_an_order_is_written_without_javascript(browser):
    client = browser("clerk")
    patient = make_patient()
    services.load_starter_catalogue(actor=SYSTEM)
    address = at("order_create", patient.uuid)
    found = client.post(address, {"exam": "hand", "find": "1", "indication": "Fell on it"}).content.decode()
    assert 'value="XRHAND"' in found and "Fell on it" in found
    picked = client.post(address, {"add": "XRHAND", "indication": "Fell on it", "priority": "urgent"}).content.decode()
    assert re.search(r'name="code" value="XRHAND"', picked) and Order.objects.count() == 0
    assert 'class="error"' not in picked
    body = {"code": ["XRHAND"], "indication": "Fell on it", "priority": "urgent", "patient_class": "E", "place": "1"}
    refused = client.post(address, body)
    assert refused.status_code == 422 and "Choose the side" in refused.content.decode()
    placed = client.post(address, {**body, "side-XRHAND": "L"})
    order = Order.objects.get()
    assert placed["Location"] == at("order_detail", order.uuid)
    procedure = order.procedures.get()
    assert (procedure.laterality, order.priority, order.patient_class, order.source) == ("L", "urgent", "E", "web")
    again = client.post(address, {"add": "XRHAND"}).content.decode()
    assert "The same exam" in again and procedure.accession_number in again
    assert client.post(address, {"code": ["XRHAND"], "remove": "XRHAND"}).content.decode().count('name="code"') == 0
    assert client.post(at("exam_search"), {"exam": "ct chest"}).content.decode().count('name="add"') >= 2


def test_an_order_without_exam_or_question_is_refused(browser):
    client = browser("clerk")
    patient = make_patient()
    answer = client.post(at("order_create", patient.uuid), {"place": "1", "priority": "routine", "patient_class": "O"})
    assert answer.status_code == 422 and Order.objects.count() == 0


@pytest.mark.parametrize(
    ("role", "verb", "before", "body", "after"),
    [
        ("radiologist", "accept", "vetting", {"comments": "Supine"}, "accepted"),
        ("radiologist", "protocol", "accepted", {"protocol": "CTPA", "contrast": "70 ml"}, "accepted"),
        ("radiologist", "reject", "vetting", {"reason_code": "110510"}, "rejected"),
        ("clerk", "hold", "accepted", {"reason_text": "Pre-authorisation"}, "on_hold"),
        ("clerk", "ask", "vetting", {"reason_text": "Which side?"}, "info_requested"),
        ("clerk", "release", "on_hold", {}, "accepted"),
        ("clerk", "cancel", "scheduled", {"reason_code": "110505"}, "cancelled"),
    ],
)
def test_a_button_moves_the_exam(browser, role, verb, before, body, after):
    procedure = make_procedure(status=before)
    client = browser(role)
    page = client.get(at("order_detail", procedure.order.uuid)).content.decode()
    assert at("procedure_action", procedure.uuid, verb) in page
    answer = client.post(at("procedure_action", procedure.uuid, verb), body)
    assert answer.status_code == 302, answer.content.decode()[:2000]
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == after
    page = client.get(at("order_detail", procedure.order.uuid)).content.decode()
    assert client.user.display_name in page and ">web<" in page


def test_a_button_that_is_too_late_is_refused_in_words(browser):
    procedure = make_procedure(status="in_progress")
    client = browser("clerk")
    assert (
        at("procedure_action", procedure.uuid, "cancel")
        not in client.get(at("order_detail", procedure.order.uuid)).content.decode()
    )
    answer = client.post(at("procedure_action", procedure.uuid, "cancel"), {"reason_code": "110500"})
    assert answer.status_code == 409 and "It is: In progress, since" in answer.content.decode()
    assert client.post(at("procedure_action", procedure.uuid, "accept"), {}).status_code == 403
    assert client.post(at("procedure_action", procedure.uuid, "cancel"), {"reason_code": "x"}).status_code == 400
    assert client.post(at("procedure_action", procedure.uuid, "explode"), {}).status_code == 404


def test_the_whole_order_is_cancelled(browser):
    make_catalogue("A"), make_catalogue("B")
    order = make_order(codes=["A", "B"])
    client = browser("clerk")
    assert client.post(at("order_cancel", order.uuid), {"reason_code": "110500"}).status_code == 302
    assert Order.objects.get().status == "cancelled"


def test_the_search_box_finds_an_accession_number_and_a_name(browser):
    procedure = make_procedure()
    client = browser("clerk")
    answer = client.post(at("search"), {"q": procedure.accession_number})
    assert answer["Location"] == at("order_detail", procedure.order.uuid)
    page = client.post(at("search"), {"q": procedure.order.patient.family_name})
    assert procedure.order.patient.display_name in page.content.decode()


def test_a_restricted_patient_offers_an_emergency_and_names_nobody(browser):
    patient = make_patient(is_restricted=True)
    client = browser("clerk")
    answer = client.get(at("patient_detail", patient.uuid))
    page = answer.content.decode()
    assert answer.status_code == 403 and "/break-glass/?patient=" in page
    assert patient.family_name.upper() not in page and patient.primary_identifier.value not in page
    assert client.post("/break-glass/", {"patient": patient.uuid, "reason": "Collapsed in the hall"}).status_code == 302
    assert client.get(at("patient_detail", patient.uuid)).status_code == 200


def test_two_records_are_merged_and_given_back(browser):
    survivor, loser = make_patient(family_name="Stays"), make_patient(family_name="Goes")
    order = make_order(patient=loser)
    client = browser("clerk")
    address = at("patient_merge", survivor.uuid)
    assert "GOES" in client.post(address, {"q": "goes"}).content.decode()
    preview = client.post(address, {"loser": str(loser.uuid)}).content.decode()
    assert "STAYS" in preview and "GOES" in preview and PatientMerge.objects.count() == 0
    assert client.post(address, {"loser": str(loser.uuid), "confirm": "1", "reason": ""}).status_code == 422
    done = client.post(address, {"loser": str(loser.uuid), "confirm": "1", "reason": "Same person"})
    assert done.status_code == 302 and Order.objects.get().patient == survivor
    assert client.get(at("patient_detail", loser.uuid))["Location"] == at("patient_detail", survivor.uuid)
    client.post(at("merge_undo", PatientMerge.objects.get().uuid), {"reason": "Two people"})
    order.refresh_from_db()
    assert order.patient == loser


def test_a_patient_is_corrected_warned_of_and_documented(browser):
    patient = make_patient()
    client = browser("clerk")
    assert client.get(at("patient_edit", patient.uuid)).status_code == 200
    body = {**PERSON, "family_name": "Anyango", "reason": "Spelling"}
    assert client.post(at("patient_edit", patient.uuid), body).status_code == 302
    assert Patient.objects.get().history.first().history_change_reason.startswith("Spelling")
    client.post(at("alert_add", patient.uuid), {"kind": "allergy", "text": "Iodine"})
    client.post(at("identifier_add", patient.uuid), {"type": "NI", "value": "123", "issuer": "KE"})
    pdf = SimpleUploadedFile("a.pdf", b"%PDF-1.4 x", content_type="application/pdf")
    client.post(at("document_add", patient.uuid), {"kind": "consent", "title": "Consent", "file": pdf})
    page = client.get(at("patient_detail", patient.uuid)).content.decode()
    assert "Iodine" in page and "123" in page and "Consent" in page and "ANYANGO" in page
    document = patient.documents.get()
    assert client.get(at("document_content", document.uuid))["X-Content-Type-Options"] == "nosniff"
    client.post(at("alert_end", patient.uuid, patient.alert_rows.get().uuid))
    assert not patient.alert_rows.get().is_active


def test_another_facility_s_pages_are_unknown(browser, beta):
    client = browser("clerk")
    with use_facility(beta):
        foreign = make_procedure()
        addresses = [at("patient_detail", foreign.order.patient.uuid), at("order_detail", foreign.order.uuid)]
        action = at("procedure_action", foreign.uuid, "cancel")
    for address in addresses:
        assert client.get(address).status_code == 404
    assert client.post(action, {"reason_code": "110500"}).status_code == 404


@pytest.mark.parametrize("name", ["order_list", "home"])
def test_a_page_costs_the_same_however_long(browser, name):
    client = browser("clerk")
    make_procedure(requester=make_practitioner())
    client.get(at(name))
    with CaptureQueriesContext(connection) as one:
        client.get(at(name))
    for _number in range(6):
        make_procedure(requester=make_practitioner())
    with CaptureQueriesContext(connection) as many:
        assert client.get(at(name)).status_code == 200
    assert len(many) <= len(one)


def test_the_list_pages_by_cursor(browser, monkeypatch):
    import orders.web.support as support

    monkeypatch.setattr(support.cursor_page, "__kwdefaults__", {"per_page": 2})
    rows = [make_procedure() for _number in range(5)]
    client = browser("clerk")
    seen, address = [], at("order_list")
    while True:
        page = client.get(address).content.decode()
        seen += re.findall(r'tr id="exam-([0-9a-f-]+)"', page)
        later = re.search(r'rel="next" href="([^"]+)"', page)
        if later is None:
            break
        address = at("order_list") + later[1].replace("&amp;", "&")
    assert seen == [str(row.uuid) for row in reversed(rows)]
    earlier = re.search(r'rel="prev" href="([^"]+)"', page)
    back = client.get(at("order_list") + earlier[1].replace("&amp;", "&")).content.decode()
    assert re.findall(r'tr id="exam-([0-9a-f-]+)"', back) == [str(rows[2].uuid), str(rows[1].uuid)]


def test_a_form_sent_twice_does_its_work_once(browser):
    client = browser("clerk")
    make_catalogue("CTCHEST")
    body = {**PERSON, "once": "a"}
    first, second = client.post(at("patient_create"), body), client.post(at("patient_create"), body)
    assert first["Location"] == second["Location"] and Patient.objects.count() == 1
    order = {
        "code": ["CTCHEST"],
        "indication": "x",
        "priority": "stat",
        "patient_class": "O",
        "place": "1",
        "once": "b",
    }
    address = at("order_create", Patient.objects.get().uuid)
    assert client.post(address, {**order, "code": ["NONE"]}).status_code == 422
    assert client.post(address, order)["Location"] == client.post(address, order)["Location"]
    assert Order.objects.count() == 1


def test_who_watches_over_access_sees_the_record_of_an_order(browser):
    procedure = make_procedure()
    client = browser("qa_lead")
    client.get(at("order_detail", procedure.order.uuid))
    page = client.get(at("order_detail", procedure.order.uuid)).content.decode()
    assert "orders.create_order" in page and "orders.view_order" in page
    page = browser("clerk").get(at("order_detail", procedure.order.uuid)).content.decode()
    assert "orders.create_order" not in page
