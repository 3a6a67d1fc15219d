"""The second door: with /admin/ alone a clerk registers a patient and orders an exam; the services do the writing."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse

from orders import services
from orders.models import Order, Patient, PriceItem, RequestedProcedure
from ris.audit.models import AuditEvent
from ris.tenants.context import use_facility
from tests.factories.orders import SYSTEM, make_catalogue, make_patient, make_procedure, make_user

pytestmark = pytest.mark.django_db
OURS = [model for model in admin.site._registry if model._meta.app_label == "orders"]


@pytest.fixture
def browser(tclient):
    def sign_in(*roles: str):
        user = make_user(*roles)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        tclient.user = user
        return tclient

    return sign_in


def at(model, page, *args):
    return reverse(f"admin:orders_{model}_{page}", args=args)


PERSON = {
    "family_name": "Achieng",
    "given_name": "Wanjiru",
    "birth_date": "1990-02-03",
    "sex": "F",
    "new_identifier": "12345",
    "new_identifier_type": "NI",
    "new_identifier_issuer": "KE",
    "identifiers-TOTAL_FORMS": "0",
    "identifiers-INITIAL_FORMS": "0",
    "alert_rows-TOTAL_FORMS": "0",
    "alert_rows-INITIAL_FORMS": "0",
}


def test_a_clerk_registers_and_orders_with_the_admin_alone(browser):
    client = browser("clerk")
    exam = make_catalogue("XRHAND", has_laterality=True, modality="DX", name="X-ray hand")
    answer = client.post(at("patient", "add"), PERSON)
    assert answer.status_code == 302, answer.content.decode()[:3000]
    patient = Patient.objects.get()
    assert {row.type for row in patient.identifiers.all()} == {"MR", "NI"}
    assert patient.history.first().history_change_reason.endswith(f"[admin:{client.user.username}]")
    assert AuditEvent.objects.filter(event_type="orders.register_patient", source="admin").count() == 1

    body = {"patient": patient.pk, "exam_1": exam.pk, "side_1": "", "priority": "urgent", "patient_class": "O"}
    refused = client.post(at("order", "add"), body)
    assert refused.status_code == 400 and "Choose the side" in refused.content.decode()
    assert Order.objects.count() == 0
    placed = client.post(at("order", "add"), {**body, "side_1": "L", "indication": "Fell"})
    assert placed.status_code == 302, placed.content.decode()[:3000]
    procedure = RequestedProcedure.objects.get()
    assert (procedure.laterality, procedure.order.source, procedure.status) == ("L", "admin", "accepted")


def test_a_change_goes_through_the_service(browser):
    client = browser("clerk")
    patient = make_patient()
    answer = client.post(at("patient", "change", patient.pk), {**PERSON, "new_identifier": "", "given_name": "Achol"})
    assert answer.status_code == 302
    assert AuditEvent.objects.filter(event_type="orders.update_patient").exists()
    refused = client.post(at("patient", "change", patient.pk), {**PERSON, "new_identifier": "", "family_name": "A^B"})
    assert refused.status_code == 400 and "A^B" in refused.content.decode()
    order = make_procedure().order
    body = {"priority": "stat", "patient_class": "I", "indication": "Worse", "status": "final"}
    body |= {"procedures-TOTAL_FORMS": "0", "procedures-INITIAL_FORMS": "0"}
    assert client.post(at("order", "change", order.pk), body).status_code == 302
    order.refresh_from_db()
    assert (order.priority, order.status, order.patient_class) == ("stat", "accepted", "I")


@pytest.mark.parametrize(
    ("role", "action", "before", "data", "after"),
    [
        ("radiologist", "do_accept_procedure", "vetting", {"comments": ""}, "accepted"),
        ("clerk", "do_hold_procedure", "accepted", {"reason_text": "Fever"}, "on_hold"),
        ("clerk", "do_cancel_procedure", "scheduled", {"reason_code": "110505"}, "cancelled"),
        ("clerk", "do_cancel_procedure", "in_progress", {"reason_code": "110505"}, "in_progress"),
        ("technologist", "do_cancel_procedure", "scheduled", {"reason_code": "110505"}, "scheduled"),
    ],
)
def test_actions_call_the_services(browser, role, action, before, data, after):
    procedure = make_procedure(status=before)
    client = browser(role)
    body = {"action": action, "_selected_action": [procedure.pk], "_confirmed": "1", **data}
    client.post(at("requestedprocedure", "changelist"), body)
    assert RequestedProcedure.objects.get(pk=procedure.pk).status == after


def test_every_table_is_listed_and_nothing_is_deleted(browser):
    row = make_catalogue("P")
    PriceItem(code="P", label="x", catalogue=row, amount=1).save_as(SYSTEM, "test")
    procedure = make_procedure(codes=["P"])
    services.draft_charges(procedure, actor=SYSTEM)
    services.add_alert(procedure.order.patient, kind="other", text="x", actor=SYSTEM)
    client = browser("clerk", "qa_lead")
    for model in OURS:
        name = model._meta.model_name
        answer = client.get(at(name, "changelist"))
        assert answer.status_code == 200, name
        held = model._default_manager.first()
        if held is not None:
            assert client.get(at(name, "change", held.pk)).status_code == 200, name
            assert client.get(at(name, "delete", held.pk)).status_code == 403, name


def test_all_tables_of_the_app_are_there():
    from django.apps import apps

    inline = {"ProcedureCode", "Preparation", "NamePart", "InvoiceLine", "PaymentAllocation"}
    models = {model.__name__ for model in apps.get_app_config("orders").get_models()}
    domain = {name for name in models if not name.startswith("Historical")} - inline
    assert domain == {model.__name__ for model in OURS}


def test_the_admin_shows_what_may_be_seen(browser, beta):
    hidden, seen = make_patient(is_restricted=True), make_patient()
    with use_facility(beta):
        foreign = make_patient(family_name="Foreign")
    client = browser("clerk")
    page = client.get(at("patient", "changelist")).content.decode()
    assert seen.display_name in page and hidden.display_name not in page and foreign.display_name not in page
    assert client.get(at("patient", "change", hidden.pk)).status_code == 302
    numbers = client.get(at("patientidentifier", "changelist")).content.decode()
    assert hidden.primary_identifier.value not in numbers
    look_up = reverse("admin:autocomplete")
    query = {"app_label": "orders", "model_name": "order", "field_name": "patient", "term": "Achieng"}
    found = client.post(look_up, query).json()["results"]
    assert [row["id"] for row in found] == [str(seen.pk)]
    assert seen.primary_identifier.value in found[0]["text"], "two identifiers tell people apart"


def test_an_it_admin_manages_the_catalogue_and_sees_no_patient(browser):
    client = browser("it_admin")
    assert client.get(at("patient", "changelist")).status_code == 403
    body = {
        "code": "NEW",
        "name": "CT new",
        "modality": "CT",
        "duration_minutes": "20",
        "rvu": "1",
        "codes-TOTAL_FORMS": "0",
        "codes-INITIAL_FORMS": "0",
        "preparations-TOTAL_FORMS": "1",
        "preparations-INITIAL_FORMS": "0",
        "preparations-0-language": "en",
        "preparations-0-text": "Come early.",
    }
    answer = client.post(at("catalogueprocedure", "add"), body)
    assert answer.status_code == 302, answer.content.decode()[:3000]


def test_a_quality_lead_restricts_and_grants(browser):
    patient, friend = make_patient(), make_user("clerk")
    client = browser("qa_lead")
    selected = {"_selected_action": [patient.pk], "_confirmed": "1"}
    client.post(at("patient", "changelist"), {**selected, "action": "do_grant_access", "user": friend.pk})
    client.post(at("patient", "changelist"), {**selected, "action": "do_set_restricted_True", "reason": "Staff"})
    assert Patient.objects.get().is_restricted
    from ris.core.actor import Actor

    assert Patient.objects.visible_to(Actor("web", friend)).exists()
    assert not Patient.objects.visible_to(Actor("web", make_user("clerk"))).exists()


def test_a_made_up_key_in_a_picker_is_refused_on_the_form(browser):
    answer = browser("clerk").post(at("order", "add"), {"patient": "zz", "exam_1": "zz"})
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
