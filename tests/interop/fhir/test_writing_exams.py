"""Orders, appointments and steps written by FHIR, alone and together in a transaction."""

from __future__ import annotations

import base64
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from orders.models import Order, Patient, RequestedProcedure
from orders.services import create_order
from reporting.models import OutsideReport
from ris.core.actor import SYSTEM as HOUSE
from ris.core.permissions import CLERK, REFERRER
from tests.conftest import shared_start
from tests.factories.accounts import user_with_roles
from tests.factories.exam import ct1, ct_chest, ordered_exam
from tests.interop.fhir.house import everybody, refusal
from tests.interop.fhir.writer import Writer, body, bundle, entry, exam_request, issues, person
from worklist.models import Reservation, ScheduledProcedureStep


@pytest.fixture(scope="module", autouse=True)
def house(django_db_setup, django_db_blocker):
    with shared_start(django_db_blocker):
        ct_chest()
        ct1()
        yield


@pytest.fixture
def fhir(alpha):
    return Writer(everybody())


@pytest.fixture
def patient(fhir):
    return f"Patient/{body(fhir.send('POST', 'Patient', person()))['id']}"


@pytest.fixture
def exam(alpha):
    return ordered_exam().procedure


PRESENT = {"actor": {"display": "The patient"}, "status": "accepted"}


def tomorrow(hour=10):
    return timezone.localtime().replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=1)


def test_an_exam_is_ordered_once_under_its_placer_number(fhir, patient):
    made = fhir.send("POST", "ServiceRequest", exam_request(patient, number="W-1", note=[{"text": "Smoker"}]))
    assert made.status_code == 201, made.content
    row = RequestedProcedure.objects.get(uuid=body(made)["id"])
    order = row.order
    assert (row.code, row.accession_number != "", row.is_unmapped) == ("CTCHESTC", True, False)
    assert (order.priority, order.indication, order.clinical_information) == (
        "urgent",
        "Pulmonary embolism?",
        "Smoker",
    )
    assert (order.placer_order_number, order.placer_issuer, order.source) == ("W-1", "WARD", "fhir")
    again = fhir.send("POST", "ServiceRequest", exam_request(patient, number="W-1"))
    assert (again.status_code, body(again)["id"]) == (200, str(row.uuid))
    other = f"Patient/{body(fhir.send('POST', 'Patient', person('P-2')))['id']}"
    assert refusal(fhir.send("POST", "ServiceRequest", exam_request(other, number="W-1"))).status == 409
    assert Order.objects.count() == 1
    in_r5 = exam_request(patient, number="W-2", reason=[{"concept": {"text": "Cough"}}])
    del in_r5["reasonCode"]
    in_r5["code"] = {"concept": in_r5["code"]}
    fifth = fhir.r5.send("POST", "ServiceRequest", in_r5)
    assert fifth.status_code == 201, fifth.content
    assert RequestedProcedure.objects.get(uuid=body(fifth)["id"]).order.indication == "Cough"


def test_what_is_wrong_about_an_order_is_said_with_its_place(fhir, patient):
    wrong = {
        ("code-invalid", "ServiceRequest.code"): {"code": "NOPE"},
        ("business-rule", "ServiceRequest.intent"): {"intent": "proposal"},
        ("business-rule", "ServiceRequest.status"): {"status": "draft"},
        ("not-found", "ServiceRequest.subject"): {"subject": {"reference": f"Patient/{uuid4()}"}},
        ("invalid", "ServiceRequest.subject"): {"subject": {"reference": f"Device/{uuid4()}"}},
        ("not-found", "ServiceRequest.requester"): {"requester": {"reference": f"Practitioner/{uuid4()}"}},
    }
    for (code, place), change in wrong.items():
        answer = fhir.send("POST", "ServiceRequest", exam_request(patient, **change))
        assert answer.status_code == 422
        assert (code, place) in issues(answer), change
    assert not Order.objects.exists()
    unknown = exam_request(patient, code="NOPE")
    waits = fhir.send("POST", "ServiceRequest", unknown, Prefer="handling=lenient")
    assert waits.status_code == 201, waits.content
    assert RequestedProcedure.objects.get().is_unmapped, "it waits for a person, as HL7's do"


def test_an_order_is_changed_held_released_and_cancelled(fhir, exam):
    url = f"ServiceRequest/{exam.uuid}"
    changed = fhir.patch(url, ("replace", "/priority", "stat"), ("add", "/note", [{"text": "Now"}]))
    assert changed.status_code == 200, changed.content
    exam.order.refresh_from_db()
    assert (exam.order.priority, exam.order.clinical_information) == ("stat", "Now")
    assert fhir.patch(url, ("replace", "/status", "on-hold")).status_code == 200
    assert body(fhir.patch(url, ("replace", "/status", "active")))["status"] == "active"
    assert refusal(fhir.patch(url, ("replace", "/status", "completed"))).status == 422
    whole = fhir(url)
    whole["status"] = "revoked"
    done = fhir.send("PUT", url, whole)
    exam.refresh_from_db()
    assert (done.status_code, body(done)["status"]) == (200, "revoked")
    assert (exam.status, exam.reason_code) == ("cancelled", "110500")
    assert fhir.send("PUT", url, body(done)).status_code == 200, "said again it changes nothing"
    assert refusal(fhir.patch(url, ("replace", "/status", "active"))).status == 422


def test_an_order_is_replaced(fhir, exam):
    patient = f"Patient/{exam.order.patient.uuid}"
    new = exam_request(patient, replaces=[{"reference": f"ServiceRequest/{exam.uuid}"}])
    made = fhir.send("POST", "ServiceRequest", new)
    exam.refresh_from_db()
    assert (made.status_code, exam.status) == (201, "replaced")
    assert body(made)["replaces"] == [{"reference": f"ServiceRequest/{exam.uuid}"}]


def test_rights_are_those_of_the_pages(fhir, exam):
    patient = f"Patient/{exam.order.patient.uuid}"
    referrer = Writer(user_with_roles(REFERRER))
    assert refusal(referrer.send("POST", "Patient", person())).status == 403
    clerk = Writer(user_with_roles(CLERK))
    assert clerk.send("POST", "ServiceRequest", exam_request(patient)).status_code == 201
    nobody = Writer(None)
    assert nobody.send("POST", "ServiceRequest", exam_request(patient)).status_code == 401


def test_an_exam_is_booked_moved_and_called_off(fhir, exam):
    room = {"actor": {"reference": f"Location/{ct1().room.uuid}"}, "status": "accepted"}
    who = {"actor": {"reference": f"Patient/{exam.order.patient.uuid}"}, "status": "accepted"}
    wanted = {
        "resourceType": "Appointment",
        "status": "booked",
        "basedOn": [{"reference": f"ServiceRequest/{exam.uuid}"}],
        "start": tomorrow().isoformat(),
        "minutesDuration": 30,
        "participant": [who, room],
    }
    made = fhir.send("POST", "Appointment", wanted)
    assert made.status_code == 201, made.content
    row = Reservation.objects.get(uuid=body(made)["id"])
    assert (row.starts_at, row.duration_minutes, row.room) == (tomorrow(), 30, ct1().room)
    assert refusal(fhir.send("POST", "Appointment", wanted)).status == 409, "it has one"
    second = ordered_exam(family_name="Mutiso").procedure
    taken = {**wanted, "basedOn": [{"reference": f"ServiceRequest/{second.uuid}"}], "participant": [room]}
    assert refusal(fhir.send("POST", "Appointment", taken)).status == 409, "the room is taken"
    assert issues(fhir.send("POST", "Appointment", {**wanted, "basedOn": []}))
    url = f"Appointment/{row.uuid}"
    moved = {**body(made), "start": tomorrow(14).isoformat(), "end": tomorrow(15).isoformat()}
    moved.pop("minutesDuration")
    assert fhir.send("PUT", url, moved).status_code == 200
    row.refresh_from_db()
    assert (row.starts_at, row.duration_minutes) == (tomorrow(14), 60)
    task = fhir.found("Task", patient=str(exam.order.patient.uuid))[0]
    assert refusal(fhir.patch(f"Task/{task['id']}", ("replace", "/status", "completed"))).status == 422
    arrived = fhir.patch(url, ("replace", "/status", "arrived"))
    assert (arrived.status_code, body(arrived)["status"]) == (200, "arrived")
    assert body(fhir.patch(url, ("replace", "/status", "booked")))["status"] == "booked"
    off = fhir.patch(url, ("replace", "/status", "cancelled"), ("add", "/cancelationReason", {"text": "Called"}))
    assert body(off)["status"] == "cancelled", off.content
    exam.refresh_from_db()
    assert exam.status == "accepted"
    assert refusal(fhir.patch(url, ("replace", "/status", "booked"))).status == 422


def test_a_free_slot_is_booked_once(fhir, exam):
    free = fhir.found("Slot", status="free", schedule=f"Schedule/{ct1().room.uuid}", duration="20", _count="1")[0]
    wanted = {
        "resourceType": "Appointment",
        "status": "booked",
        "basedOn": [{"reference": f"ServiceRequest/{exam.uuid}"}],
        "slot": [{"reference": f"Slot/{free['id']}"}],
        "participant": [
            {"actor": {"reference": f"Patient/{exam.order.patient.uuid}"}, "status": "accepted"},
        ],
    }
    made = body(fhir.send("POST", "Appointment", wanted))
    assert (made["start"], made["minutesDuration"]) == (free["start"], 20)
    assert fhir(f"Slot/{free['id']}")["status"] == "busy"
    second = ordered_exam(family_name="Mutiso").procedure
    late = {**wanted, "basedOn": [{"reference": f"ServiceRequest/{second.uuid}"}], "participant": [PRESENT]}
    assert refusal(fhir.send("POST", "Appointment", late)).status == 409
    nowhere = {**late, "slot": [{"reference": "Slot/nonsense"}]}
    assert ("not-found", "Appointment.slot[0]") in issues(fhir.send("POST", "Appointment", nowhere))


def test_a_paper_is_kept_with_its_order_and_withdrawn(fhir, exam):
    pdf = base64.b64encode(b"%PDF-1.4 outside report").decode()
    paper = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "57133-1"}]},
        "subject": {"reference": f"Patient/{exam.order.patient.uuid}"},
        "content": [{"attachment": {"contentType": "application/pdf", "data": pdf, "title": "Referral"}}],
        "context": {"related": [{"reference": f"ServiceRequest/{exam.uuid}"}]},
    }
    made = fhir.send("POST", "DocumentReference", paper)
    assert made.status_code == 201, made.content
    row = exam.order.documents.get()
    assert (row.kind, row.title, str(row.uuid)) == ("request_form", "Referral", body(made)["id"])
    off = fhir.patch(f"DocumentReference/{row.uuid}", ("replace", "/status", "entered-in-error"))
    row.refresh_from_db()
    assert off.status_code == 200 and row.withdrawn_at is not None
    text = {**paper, "content": [{"attachment": {"data": base64.b64encode(b"hello").decode(), "title": "x"}}]}
    assert refusal(fhir.send("POST", "DocumentReference", text)).status == 400, "no paper that is kept"
    away = {**paper, "content": [{"attachment": {"url": "https://x.example/1"}}]}
    assert issues(fhir.send("POST", "DocumentReference", away))[0] == (
        "required",
        "DocumentReference.content[0].attachment.data",
    )


def test_a_report_from_elsewhere_is_kept_as_a_prior(fhir, exam):
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "identifier": [{"system": "urn:picha:issuer:KILIMA", "value": "R-77"}],
        "code": {"text": "MR knee"},
        "subject": {"reference": f"Patient/{exam.order.patient.uuid}"},
        "effectiveDateTime": "2024-02-03",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>Torn &lt; meniscus</p></div>',
        },
        "conclusion": "Surgery",
        "presentedForm": [{"contentType": "application/pdf", "data": base64.b64encode(b"%PDF-1.4 knee").decode()}],
    }
    made = fhir.send("POST", "DiagnosticReport", report)
    assert made.status_code == 201, made.content
    row = OutsideReport.objects.get()
    assert (row.source, row.number, row.text, row.title) == ("KILIMA", "R-77", "Torn < meniscus\nSurgery", "MR knee")
    assert row.document.kind == "outside_report"
    again = fhir.send("POST", "DiagnosticReport", {**report, "status": "corrected", "conclusion": "None needed"})
    assert (again.status_code, body(again)["status"]) == (200, "corrected")
    assert [one["id"] for one in fhir.found("DiagnosticReport", patient=str(exam.order.patient.uuid))] == [
        str(row.uuid)
    ]
    off = fhir.patch(f"DiagnosticReport/{row.uuid}", ("replace", "/status", "entered-in-error"))
    assert body(off)["status"] == "entered-in-error", off.content
    assert issues(fhir.send("POST", "DiagnosticReport", {**report, "identifier": []}))[0][0] == "required"


def test_what_was_written_says_by_whom(fhir, patient, exam):
    fhir.patch(f"ServiceRequest/{exam.uuid}", ("replace", "/status", "revoked"))
    mine = fhir.found("Provenance", target=f"ServiceRequest/{exam.uuid}")
    assert [one["activity"]["coding"][0]["code"] for one in mine] == ["UPDATE"]
    assert mine[0]["agent"][0]["who"]["display"] == fhir.user.username
    assert fhir.found("Provenance", target=patient)[0]["activity"]["coding"][0]["code"] == "CREATE"
    other = Writer(user_with_roles(REFERRER))
    assert other.found("Provenance", target=patient) == [], "one's own, without the right to the audit trail"


def test_a_step_is_begun_and_ended_where_no_scanner_says_so(fhir, exam):
    from tests.factories.exam import book_appointment

    book_appointment(exam, station=ct1(), starts_at=tomorrow(), actor=HOUSE)
    step = ScheduledProcedureStep.objects.get(procedure=exam)
    url = f"Task/{step.uuid}"
    begun = fhir.patch(url, ("replace", "/status", "in-progress"))
    assert (begun.status_code, body(begun)["status"]) == (200, "in-progress"), begun.content
    ended = fhir.patch(url, ("replace", "/status", "completed"))
    assert body(ended)["status"] == "completed"
    exam.refresh_from_db()
    assert exam.performed_at is not None
    assert refusal(fhir.send("POST", "Task", {"resourceType": "Task"})).status == 405


# --- together


def test_a_transaction_stands_or_falls_as_one(fhir):
    who, what = f"urn:uuid:{uuid4()}", f"urn:uuid:{uuid4()}"
    booking = {
        "resourceType": "Appointment",
        "status": "booked",
        "basedOn": [{"reference": what}],
        "start": tomorrow().isoformat(),
        "participant": [{"actor": {"reference": f"Location?name={ct1().room.name}"}, "status": "accepted"}],
    }
    entries = [
        entry("GET", "Patient?family=Njeri"),
        entry("POST", "Appointment", booking, f"urn:uuid:{uuid4()}"),
        entry("POST", "ServiceRequest", exam_request(who), what),
        entry("POST", "Patient", person(family="Njeri"), who, ifNoneExist="identifier=P-1"),
    ]
    answer = fhir.send("POST", "", bundle("transaction", *entries))
    told = body(answer)
    assert (answer.status_code, told.get("type")) == (200, "transaction-response"), answer.content
    assert [row["response"]["status"][:3] for row in told["entry"]] == ["200", "201", "201", "201"]
    assert told["entry"][0]["resource"]["total"] == 1, "what is asked is answered last"
    exam = RequestedProcedure.objects.get()
    assert (exam.order.patient.family_name, exam.status) == ("Njeri", "scheduled")
    assert told["entry"][2]["response"]["location"].startswith(f"http://alpha.test/fhir/r4/ServiceRequest/{exam.uuid}/")
    before = (Patient.objects.count(), Order.objects.count())
    falls = fhir.send(
        "POST",
        "",
        bundle(
            "transaction",
            entry("POST", "Patient", person("P-7"), who),
            entry("POST", "ServiceRequest", exam_request(who, code="NOPE"), what),
        ),
    )
    assert falls.status_code == 422
    assert ("code-invalid", "Bundle.entry[1].resource.ServiceRequest.code") in issues(falls)
    assert (Patient.objects.count(), Order.objects.count()) == before


def test_what_a_transaction_cannot_resolve(fhir, patient):
    one, two = f"urn:uuid:{uuid4()}", f"urn:uuid:{uuid4()}"
    nowhere = bundle("transaction", entry("POST", "ServiceRequest", exam_request(one), two))
    assert refusal(fhir.send("POST", "", nowhere)).status == 400
    circle = bundle(
        "transaction",
        entry("POST", "ServiceRequest", exam_request(patient, replaces=[{"reference": two}]), one),
        entry("POST", "ServiceRequest", exam_request(patient, replaces=[{"reference": one}]), two),
    )
    assert refusal(fhir.send("POST", "", circle)).status == 400
    conditional = exam_request("Patient?identifier=nobody")
    assert (
        refusal(fhir.send("POST", "", bundle("transaction", entry("POST", "ServiceRequest", conditional)))).status
        == 412
    )
    twice = bundle("transaction", *[entry("PUT", patient, person(id=patient[8:]))] * 2)
    assert refusal(fhir.send("POST", "", twice)).status == 400
    assert not Order.objects.exists()


def test_several_exams_of_one_order_are_changed_one_by_one(fhir):
    patient = ordered_exam().patient
    from orders.services import ProcedureRequest

    order = create_order(patient=patient, procedures=[ProcedureRequest(code="CTCHESTC")] * 2, actor=HOUSE)
    first, second = order.procedures.order_by("pk")
    assert fhir.patch(f"ServiceRequest/{first.uuid}", ("replace", "/status", "revoked")).status_code == 200
    second.refresh_from_db()
    assert second.status == "accepted"
