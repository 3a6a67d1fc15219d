"""Codes of senders, agreements with them, and the trial of a message: pages, administration, and what they leave."""

from __future__ import annotations

import pytest

from interop.demo import senders
from interop.hl7 import agreements
from interop.hl7.intake import Door, receive
from interop.models import CodeAlias, Hl7Sender, InboundMessage, UnmappedCode
from orders.models import Order, Patient, RequestedProcedure
from reporting.models import OutsideReport
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, InvalidData
from ris.core.permissions import CLERK, IT_ADMIN, QA_LEAD
from ris.events.models import OutboxEvent
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_catalogue, make_patient
from tests.interop.hl7.conftest import message, order, pid

DOOR = Door(2575, "127.0.0.1")


def sign_in(client, *roles):
    client.force_login(user_with_roles(*roles), backend="ris.accounts.backends.PasswordBackend")
    return client


@pytest.fixture
def page(tclient, alpha):
    make_catalogue("CT1", name="CT chest", modality="CT")
    make_catalogue("KNEE", name="XR knee", modality="DX", has_laterality=True)
    return sign_in(tclient, IT_ADMIN)


def test_a_code_is_mapped_once_and_the_orders_go_on(page):
    for number in ("A1", "A2"):
        receive(order(number, "XR99^Odd view^99HIS", patient=pid(number)), DOOR)
    receive(order("A3", "K7^Knee^99HIS", patient=pid("A3")), DOOR)
    words = page.get("/integrations/hl7/codes/").content.decode()
    assert "XR99" in words and "Odd view" in words and "CT1 · CT chest" in words and "Achieng" not in words
    sent = {"application": "HIS", "facility": "CLINIC", "scheme": "99HIS", "code": "XR99"}
    refused = page.post("/integrations/hl7/codes/map/", {**sent, "exam": "NIL · Nothing"})
    assert refused.status_code == 409 and "does not know NIL" in refused.content.decode()
    answer = page.post("/integrations/hl7/codes/map/", {**sent, "exam": "CT1 · CT chest"}, follow=True)
    assert "2 orders go on." in answer.content.decode()
    mapped = RequestedProcedure.objects.filter(catalogue__code="CT1")
    assert mapped.count() == 2 and {row.status for row in mapped} == {"accepted"}
    assert set(InboundMessage.objects.values_list("status", flat=True)) == {"processed", "unmapped"}
    receive(order("A4", "XR99^Odd view^99HIS", patient=pid("A4")), DOOR)
    assert Order.objects.get(placer_order_number="A4").procedures.get().catalogue.code == "CT1"
    other = order("A5", "XR99^Odd view^99HIS", patient=pid("A5")).replace(b"|HIS|", b"|LIS|")
    receive(other, DOOR)
    assert UnmappedCode.objects.filter(sending_application="LIS").count() == 1
    knee = {**sent, "scheme": "99HIS", "code": "K7", "exam": "KNEE"}
    assert "1 still waits" in page.post("/integrations/hl7/codes/map/", knee, follow=True).content.decode()
    page.post("/integrations/hl7/codes/map/", {**knee, "laterality": "L"})
    exam = RequestedProcedure.objects.get(order__placer_order_number="A3")
    assert (exam.catalogue.code, exam.laterality, exam.code) == ("KNEE", "L", "KNEE")
    alias = CodeAlias.objects.get(code="XR99")
    page.post(f"/integrations/hl7/codes/{alias.uuid}/forget/")
    receive(order("A6", "XR99^Odd view^99HIS", patient=pid("A6")), DOOR)
    assert Order.objects.get(placer_order_number="A6").procedures.get().is_unmapped
    assert page.post(f"/integrations/hl7/codes/{alias.uuid}/forget/").status_code == 404


def test_the_demo_has_codes_that_wait_and_reports_from_elsewhere(alpha):
    people = [make_patient(family_name=f"Demo{number}") for number in range(3)]
    for _time in range(2):
        senders.ensure_messages(people)
    assert set(InboundMessage.objects.values_list("acknowledgement_code", "error")) == {("AA", "")}
    assert (InboundMessage.objects.count(), UnmappedCode.objects.count(), OutsideReport.objects.count()) == (4, 2, 2)
    assert set(Order.objects.values_list("indication", flat=True)) == {"Chronic cough, weight loss"}
    assert Patient.objects.count() == 3


def test_who_may_look_map_and_agree(tclient, alpha):
    clerk = sign_in(tclient, CLERK)
    for path in ("codes/", "senders/", "senders/new/", "try/"):
        assert clerk.get(f"/integrations/hl7/{path}").status_code == 403
    lead = sign_in(tclient, QA_LEAD)
    assert lead.get("/integrations/hl7/codes/").status_code == 200
    assert lead.get("/integrations/hl7/senders/").status_code == 403
    assert lead.post("/integrations/hl7/try/", {"message": "x"}).status_code == 403


def test_an_agreement_is_made_and_changed_on_its_page(page):
    receive(order("A1"), DOOR)
    assert "HIS|CLINIC" in page.get("/integrations/hl7/senders/").content.decode()
    new = page.get("/integrations/hl7/senders/new/?application=HIS&facility=CLINIC").content.decode()
    assert 'value="CLINIC"' in new and "IPC-1 OBR-18" in new
    sent = {
        "application": "HIS", "facility_name": "CLINIC", "action:XO|CM": "change", "action:NW|": "new",
        "new_control": "xo", "new_status": "", "new_action": "change", "field:accession_number": "obr-18, IPC-1",
        "field:indication": "OBR-31.2 OBR-31.1", "values:sex": "W=F\nM=M", "taken_results": "all", "may_overbook": "on",
    }  # fmt: skip
    assert page.post("/integrations/hl7/senders/new/", sent).status_code == 302
    row = Hl7Sender.objects.get()
    assert row.order_actions == {"XO|CM": "change", "XO|": "change"}
    assert row.field_sources == {"accession_number": ["OBR-18", "IPC-1"]} and row.value_maps == {"sex": {"W": "F"}}
    assert (row.taken_results, row.may_overbook, row.unknown_survivor) == ("all", True, "register")
    assert page.post("/integrations/hl7/senders/new/", sent).status_code == 409
    wrong = page.post(f"/integrations/hl7/senders/{row.uuid}/", {**sent, "field:accession_number": "OBR18"})
    assert wrong.status_code == 409 and "OBR18 is no place" in wrong.content.decode()
    assert "OBR18" in wrong.content.decode()
    page.post(f"/integrations/hl7/senders/{row.uuid}/", {**sent, "values:sex": "", "action:XO|": "refuse"})
    row.refresh_from_db()
    assert row.value_maps == {} and row.history.count() == 2
    edited = page.get(f"/integrations/hl7/senders/{row.uuid}/").content.decode()
    assert "OBR-18 IPC-1" in edited and "differs" in edited
    assert page.get(f"/admin/interop/hl7sender/{row.pk}/change/").status_code == 200


def test_tables_that_make_no_sense_are_refused(alpha):
    for fields, where in (
        ({"order_actions": {"XO": "change"}}, "order_actions"),
        ({"order_actions": {"XO|SC": "dance"}}, "order_actions"),
        ({"order_actions": ["XO"]}, "order_actions"),
        ({"field_sources": {"accession": ["OBR-18"]}}, "field_sources"),
        ({"field_sources": {"accession_number": ["OBR-0"]}}, "field_sources"),
        ({"value_maps": {"colour": {"1": "red"}}}, "value_maps"),
        ({"value_maps": {"sex": {"W": "woman"}}}, "value_maps"),
        ({"colour": "red"}, "colour"),
        ({"taken_results": "some"}, "taken_results"),
    ):
        with pytest.raises(InvalidData) as refusal:
            agreements.save_sender(application="HIS", actor=SYSTEM, **fields)
        assert where in refusal.value.errors and not Hl7Sender.objects.exists()


def test_one_sender_has_one_agreement(alpha):
    agreements.save_sender(application="HIS", actor=SYSTEM)
    with pytest.raises(AlreadyExists):
        agreements.save_sender(application="HIS", actor=SYSTEM)


def test_a_trial_tells_what_would_happen_and_leaves_nothing(page):
    rows = (Patient, Order, InboundMessage, OutboxEvent)
    before = [model.objects.count() for model in rows]
    text = order("A1", patient=pid("T-1", family="Njambi")).decode().replace("\r", "\r\n")
    words = page.post("/integrations/hl7/try/", {"message": text}).content.decode()
    assert "It would be accepted" in words and "MSA|AA" in words and "Requested procedure" in words
    assert "CT chest" in words and "ORC-2" in words and "Placer order number" in words
    waiting = page.post("/integrations/hl7/try/", {"message": text.replace("CT1^", "QQ^")}).content.decode()
    assert "wait for a code" in waiting
    refused = page.post("/integrations/hl7/try/", {"message": text.replace("ORC|NW", "ORC|ZZ")}).content.decode()
    assert "It would be refused: AR" in refused and "ORC^1^1" in refused
    broken = page.post("/integrations/hl7/try/", {"message": "PID|1||x"}).content.decode()
    assert "It would be refused" in broken
    latin = message("ADT^A04", pid("T-2", family="Müller"), charset="8859/1").decode()
    assert "It would be accepted" in page.post("/integrations/hl7/try/", {"message": latin}).content.decode()
    pdf = message("MDM^T02", pid(), "TXA|1|R||||||||||D1", "OBX|1|ED|P||^application^pdf^Base64^JVBERi0xLjQK").decode()
    assert "Outside report" in page.post("/integrations/hl7/try/", {"message": pdf}).content.decode()
    assert page.post("/integrations/hl7/try/", {"message": " "}).status_code == 409
    assert [model.objects.count() for model in rows] == before
    assert not AuditEvent.objects.filter(event_type="orders.create_order").exists()
    assert AuditEvent.objects.filter(event_type="interop.manage_interfaces").exists()
