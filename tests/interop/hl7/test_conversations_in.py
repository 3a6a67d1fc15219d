"""Every type of message over a real socket, and what it leaves behind."""

from __future__ import annotations

import base64
import datetime as dt

import pytest

from interop.hl7.messages import parse
from interop.hl7.processor import known_types
from interop.models import Hl7Sender, InboundMessage, UnmappedCode
from orders.models import Order, Patient, PatientIdentifier, RequestedProcedure, Visit
from orders.services import merge_patients
from reporting.models import OutsideReport
from reporting.selectors import outside_reports_of
from ris.core.actor import SYSTEM
from tests.factories.orders import make_catalogue, make_procedure
from tests.factories.worklist import at, make_station
from tests.interop.hl7.conftest import message, order, pid
from worklist.models import Reservation, ScheduledProcedureStep

PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n"


@pytest.fixture
def client(mllp, facility):
    make_catalogue("CT1", name="CT chest", modality="CT", duration_minutes=20)
    return mllp().connect()


def said(answer) -> tuple[str, str]:
    return answer.code, answer.problem


def adt(event: str, *, number: str = "P1", place: str = "WARD3^12^1", visit: str = "V1") -> bytes:
    stay = f"PV1|1|I|{place}" + "|" * 16 + visit
    return message(f"ADT^{event}", f"EVN|{event}|20260102080000", pid(number), stay)


def test_every_type_that_is_told_of_is_accepted_over_the_line(client):
    """One patient's way through them all; what each does is looked at below and in the orders' tests."""
    make_station("CT7", "CT", "room7")
    day, place = f"{at(10):%Y%m%d}", ("AIS|1||CT1^CT chest^L", "AIL|1||ROOM7")
    exam = "OBR|1|{0}^HIS||CT1^CT chest^L"
    sent = [
        *(adt(event) for event in ("A28", "A31", "A05", "A01", "A04", "A08", "A02", "A12", "A03", "A13", "A11", "A23")),
        *(adt("A04", number=number, visit="") for number in ("L1", "L2", "L3")),
        message("ADT^A18", pid(), "MRG|L1^^^CLINIC^MR"),
        message("ADT^A34", pid(), "MRG|L2^^^CLINIC^MR"),
        message("ADT^A40^ADT_A39", pid(), "MRG|L3^^^CLINIC^MR"),
        message("ADT^A47", pid("P0"), "MRG|P1^^^CLINIC^MR"),
        order("A1", patient=pid("P0")),
        message("OMG^O19", pid("P0"), "ORC|NW|A2^HIS", exam.format("A2")),
        message("OMI^O23", pid("P0"), "ORC|NW|A3^HIS|||SC", exam.format("A3"), f"IPC|{day}A3|RP3|1.2.3|S3|CT||||CT7"),
        siu("S12", "B1", f"{day}100000", *place, placer="A1", patient="P0"),
        siu("S13", "B1", f"{day}110000", *place, patient="P0"),
        siu("S14", "B1", f"{day}120000", *place, patient="P0"),
        siu("S15", "B1", patient="P0"),
        siu("S16", "B1", patient="P0"),
        siu("S17", "B1", patient="P0"),
        siu("S12", "B2", f"{day}140000", *place, placer="A2", patient="P0"),
        siu("S26", "B2", patient="P0"),
        message("ORU^R01", pid("P0"), "OBR|1||R1|MR1^MR brain^L" + "|" * 21 + "F", "OBX|1|TX|1^Text||Nothing.||||||F"),
        message("MDM^T02", pid("P0"), "TXA|1|RX^Outside|TX|20250401||20250402||||||D1^HIS|||||LA||AV",
                "OBX|1|TX|1^Text||Nothing.||||||F"),
    ]  # fmt: skip
    for raw in sent:
        assert said(client.ask(raw)) == ("AA", ""), raw
    kinds = {"^".join(parse(raw).header.message_type.split("^")[:2]) for raw in sent}
    assert kinds == set(known_types())
    (patient,) = Patient.objects.filter(merged_into__isnull=True)
    assert patient.primary_identifier.value == "P0" and Order.objects.filter(patient=patient).count() == 3


def test_a_stay_is_moved_ended_reopened_and_taken_back(client):
    assert said(client.ask(adt("A01"))) == ("AA", "")
    assert client.ask(order("A1")).code == "AA"
    visit = Visit.objects.get(visit_number="V1")
    raw = message("ORM^O01", pid(), "PV1|1|I|WARD3^12^1" + "|" * 16 + "V1", "ORC|NW|A2^HIS", "OBR|1|A2^HIS||CT1^^L")
    assert client.ask(raw).code == "AA"
    assert client.ask(adt("A02", place="ICU^1")).code == "AA"
    visit.refresh_from_db()
    assert visit.location == "ICU, 1" and Order.objects.get(placer_order_number="A2").location == "ICU, 1"
    assert Order.objects.get(placer_order_number="A1").location == "WARD3, 12, 1"
    assert client.ask(adt("A12")).code == "AA"
    visit.refresh_from_db()
    assert visit.location == "WARD3, 12, 1"
    assert client.ask(adt("A03")).code == "AA"
    visit.refresh_from_db()
    assert visit.discharged_at is not None and visit.cancelled_at is None
    assert client.ask(adt("A13")).code == "AA"
    visit.refresh_from_db()
    assert visit.discharged_at is None
    for event in ("A11", "A23"):
        assert client.ask(adt(event)).code == "AA"
        visit.refresh_from_db()
        assert visit.cancelled_at is not None and Order.objects.count() == 2
    assert client.ask(adt("A11", number="NOBODY")).text.startswith("The patient is not known")
    assert client.ask(adt("A05", number="P9", visit="V9")).code == client.ask(adt("A31", number="P9")).code == "AA"
    assert Patient.objects.count() == 2 and Visit.objects.count() == 2
    assert client.ask(adt("A03", number="P7", visit="")).text.startswith("No visit")


def test_numbers_change_and_records_merge_as_agreed_with_the_sender(client):
    for number in ("P1", "P2", "P3"):
        assert client.ask(message("ADT^A04", pid(number))).code == "AA"
    renumbered = ("ADT^A47", pid("N1"), "MRG|P1^^^CLINIC^MR")
    assert [client.ask(message(*renumbered)).code for _time in range(2)] == ["AA", "AA"]
    uses = dict(PatientIdentifier.objects.filter(value__in=("P1", "N1")).values_list("value", "use"))
    assert uses == {"P1": "old", "N1": "usual"}
    taken = client.ask(message("ADT^A47", pid("P2"), "MRG|N1^^^CLINIC^MR"))
    assert taken.code == "AE" and "205" in taken.problem
    assert "204" in client.ask(message("ADT^A47", pid("X2"), "MRG|X1^^^CLINIC^MR")).problem
    assert client.ask(message("ADT^A18", pid("P2"), "MRG|P3^^^CLINIC^MR")).code == "AA"
    assert Patient.objects.filter(merged_into__isnull=False).count() == 1
    reverse = ("ADT^A40", pid("P3"), "MRG|P2^^^CLINIC^MR")
    assert client.ask(message(*reverse)).code == "AR"
    Hl7Sender(
        application="HIS", reversed_merge="ignore", unknown_survivor="refuse", retired_identifier="refuse"
    ).save_as(SYSTEM, "Agreed")
    assert client.ask(message(*reverse)).code == "AA"
    assert "204" in client.ask(message("ADT^A40", pid("NEW"), "MRG|P2^^^CLINIC^MR")).problem
    answer = client.ask(message("ADT^A08", pid("P3")))
    assert answer.code == "AE" and "204" in answer.problem and "PID^1^3" in answer.problem
    assert "MRG" in client.ask(message("ADT^A47", pid("Q"))).problem


def test_an_order_is_replaced_by_its_own_obr_or_by_the_ro_that_follows(client):
    make_catalogue("CT2", name="CT abdomen", modality="CT")
    client.ask(order("A1"))
    assert client.ask(order("A1", "CT2^CT abdomen^L", control="RP")).code == "AA"
    first, second = RequestedProcedure.objects.order_by("pk")
    assert (first.status, second.code, first.replaced_by) == ("replaced", "CT2", second)
    assert first.accession_number != second.accession_number and second.order_id == first.order_id
    raw = message(
        "ORM^O01", pid(), "ORC|RP|A1^HIS", "OBR|1|A1^HIS||CT2^CT^L", "ORC|RO|A2^HIS", "OBR|2|A2^HIS||CT1^CT^L"
    )
    assert said(client.ask(raw)) == ("AA", "")
    second.refresh_from_db()
    new = RequestedProcedure.objects.get(order__placer_order_number="A2")
    assert (second.status, second.replaced_by, new.status) == ("replaced", new, "accepted")
    assert client.ask(raw.replace(b"|T", b"|U")).text.startswith("Known already")
    assert RequestedProcedure.objects.count() == 3
    assert "103" in client.ask(order("A2", "NIL^?^L", control="RP")).problem


def test_omi_with_several_ipc_plans_several_steps_and_exams(client):
    station = make_station("CT7", "CT")
    raw = message(
        "OMI^O23^OMI_O23", pid(), "ORC|NW|A1^HIS|||SC", "TQ1|1||||||20991231080000||S", "OBR|1|A1^HIS||CT1^CT^L",
        "IPC|ACC1|RP1|1.2.9|S1|CT||||CT7", "IPC|ACC1|RP1|1.2.9|S2|CT||||CT7", "IPC|ACC2|RP2|1.2.10|S3|CT||||CT7",
    )  # fmt: skip
    assert said(client.ask(raw)) == ("AA", "")
    first, second = RequestedProcedure.objects.order_by("pk")
    assert (first.accession_number, first.study_instance_uid, second.accession_number) == ("ACC1", "1.2.9", "ACC2")
    steps = ScheduledProcedureStep.objects.order_by("scheduled_procedure_step_id")
    assert [(row.scheduled_procedure_step_id, row.procedure, row.station) for row in steps] == [
        ("S1", first, station), ("S2", first, station), ("S3", second, station)
    ]  # fmt: skip
    assert {row.starts_at.year for row in steps} == {2099} and first.status == second.status == "scheduled"
    moved = raw.replace(b"ORC|NW|", b"ORC|XO|").replace(b"20991231", b"20991230").replace(b"|T", b"|U")
    assert said(client.ask(moved)) == ("AA", "")
    assert {row.starts_at.day for row in steps.all()} == {30} and steps.count() == 3
    unknown = raw.replace(b"A1^HIS", b"A2^HIS").replace(b"CT7", b"CT8").replace(b"|T", b"|V")
    assert "204" in client.ask(unknown).problem and "IPC" in client.ask(unknown.replace(b"|V", b"|W")).problem


def siu(event: str, number: str, start: str = "", *more: str, placer: str = "", patient: str = "P1") -> bytes:
    sch = f"SCH|{number}^HIS||||||||20|min|^^20^{start}" + "|" * 15 + f"{placer}^HIS"
    return message(f"SIU^{event}", sch, pid(patient), "RGS|1", *more)


def test_appointments_are_booked_moved_cancelled_and_missed(client, facility):
    make_station("CT7", "CT", "room7")
    day = f"{at(10):%Y%m%d}"
    client.ask(order("A1"))
    ais = ("AIS|1||CT1^CT chest^L", "AIL|1||ROOM7")
    assert said(client.ask(siu("S12", "B1", f"{day}100000", *ais, placer="A1"))) == ("AA", "")
    booked = Reservation.objects.get()
    assert (booked.procedure.order.placer_order_number, booked.duration_minutes) == ("A1", 20)
    assert booked.procedure.status == "scheduled" and booked.station.ae_title == "CT7"
    assert client.ask(siu("S12", "B1", f"{day}100000", *ais, placer="A1")).text.startswith("Known already")
    clash = client.ask(siu("S12", "B2", f"{day}101000", *ais, patient="P2"))
    assert clash.code == "AE" and "SCH^1^11" in clash.problem and Patient.objects.count() == 1
    for event, hour in (("S13", 11), ("S14", 12)):
        assert client.ask(siu(event, "B1", f"{day}{hour}0000", *ais)).code == "AA"
        booked.refresh_from_db()
        assert booked.starts_at.astimezone(facility.zone).hour == hour
    assert client.ask(siu("S14", "B1", f"{day}120000", *ais)).text.startswith("Known already")
    assert said(client.ask(siu("S12", "B2", f"{day}140000", *ais, patient="P2"))) == ("AA", "")
    made = Order.objects.get(placer_order_number="B2")
    assert made.procedures.get().status == "scheduled"
    assert client.ask(siu("S26", "B2", patient="P2")).code == client.ask(siu("S26", "B2", patient="P2")).code == "AA"
    assert made.procedures.get().status == "no_show"
    for event in ("S15", "S16", "S17"):
        assert client.ask(siu(event, "B1")).code == "AA"
    booked.refresh_from_db()
    assert booked.status == "cancelled" and booked.procedure.status == "accepted"
    for event in ("S15", "S16", "S17", "S26"):
        assert "204" in client.ask(siu(event, "B9")).problem
    assert "AIL" in client.ask(siu("S12", "B5", f"{day}150000", "AIS|1||CT1^^L", "AIL|1||NOWHERE")).problem
    assert "101" in client.ask(siu("S12", "B5", "", *ais)).problem
    Hl7Sender(application="HIS", may_overbook=True).save_as(SYSTEM, "Agreed")
    for number in ("B6", "B7"):
        assert client.ask(siu("S12", number, f"{day}160000", "AIS|1||ODD^Odd^99HIS", *ais[1:])).code == "AE"
        assert said(client.ask(siu("S12", number, f"{day}160000", *ais, patient=number))) == ("AA", "")


def oru(*observations: str, status: str = "F", service: str = "CT", number: str = "R1") -> bytes:
    obr = (
        f"OBR|1|A7|{number}|CT9^CT elsewhere^99X|||20250301101500|||||||||||ACC7||||20250301120000||{service}|{status}"
    )
    return message("ORU^R01", pid(), obr + "|||||||12&Kamau&Njeri", *observations)


def test_reports_from_elsewhere_become_priors_and_laboratory_values_do_not(client):
    text = "OBX|1|FT|18782-3^Findings^LN||No focal lesion.\\.br\\Old scar \\T\\ fibrosis.||||||F"
    more = "OBX|2|TX|19005-8^Impression^LN||Normal."
    assert said(client.ask(oru(text, more))) == ("AA", "")
    report = OutsideReport.objects.get()
    assert report.text == "Findings\nNo focal lesion.\nOld scar & fibrosis.\n\nImpression\nNormal."
    found = (report.title, report.number, report.modality, report.accession_number, report.author, report.status)
    assert found == ("CT elsewhere", "R1", "CT", "ACC7", "Njeri Kamau", "final")
    pdf = f"OBX|1|ED|PDF^Report||^application^pdf^Base64^{base64.b64encode(PDF).decode()}||||||F"
    assert said(client.ask(oru(text, pdf, status="C"))) == ("AA", "")
    report.refresh_from_db()
    assert report.status == "corrected" and report.document.file.read() == PDF
    assert client.ask(oru("OBX|1|NM|1^Creatinine||98|umol/L|49-92|H|||F", service="", number="L1")).text.startswith(
        "Laboratory"
    )
    assert client.ask(oru("OBX|1|TX|1^Text||x||||||F", service="LAB", number="L2")).code == "AA"
    assert "OBX" in client.ask(oru("OBX|1|ED|PDF||^application^pdf^Base64^!!||||||F", number="R2")).problem
    assert client.ask(oru(number="R3")).code == "AE" and OutsideReport.objects.count() == 1
    mdm = message(
        "MDM^T02", pid(), "TXA|1|RX^Outside MR|TX|20250401|7^Odhiambo^Peter|20250402||||||DOC1^HIS|||||LA||AV",
        "OBX|1|TX|1^MR knee||Meniscus torn.",
    )  # fmt: skip
    assert said(client.ask(mdm)) == ("AA", "")
    assert OutsideReport.objects.get(number="DOC1").title == "Outside MR"
    patient = Patient.objects.get()
    exam = make_procedure(patient=patient)
    shown = outside_reports_of([exam], actor=SYSTEM)
    assert [row.number for row in shown] == ["DOC1", "R1"]
    other = Patient.objects.get(pk=make_procedure().order.patient_id)
    assert outside_reports_of([make_procedure(patient=other)], actor=SYSTEM) == []
    merge_patients(survivor=other, loser=patient, reason="Same", actor=SYSTEM)
    assert len(outside_reports_of([make_procedure(patient=other)], actor=SYSTEM)) == 2
    assert client.ask(oru(text, status="X")).code == "AA"
    assert [row.number for row in outside_reports_of([make_procedure(patient=other)], actor=SYSTEM)] == ["DOC1"]
    Hl7Sender(application="HIS", taken_results="none").save_as(SYSTEM, "Agreed")
    assert client.ask(oru(text, number="R9")).text.startswith("Results of this sender")


def test_what_is_agreed_with_a_sender_holds_for_its_orders(client):
    agreed = Hl7Sender(
        application="HIS",
        order_actions={"XO|": "change", "NW|CM": "new", "SC|SC": "refuse"},
        field_sources={"accession_number": ["ZBR-2", "OBR-18"], "indication": ["OBR-13"]},
        value_maps={"priority": {"1": "stat"}, "sex": {"W": "F"}},
    )
    agreed.save_as(SYSTEM, "Agreed")
    raw = message(
        "ORM^O01", pid().replace("|F", "|W"), "ORC|NW|A1^HIS|||CM||^^^^^1",
        "OBR|1|A1^HIS||CT1^CT^L|||||||||Cough", "ZBR|x|ACC-Z",
    )  # fmt: skip
    assert said(client.ask(raw)) == ("AA", "")
    made = Order.objects.get()
    assert (made.priority, made.indication, made.patient.sex) == ("stat", "Cough", "F")
    assert made.procedures.get().accession_number == "ACC-Z"
    assert client.ask(order("A1", control="XO", status="")).code == "AA"
    assert client.ask(order("A1", control="SC", status="SC")).code == "AR"
    assert client.ask(raw.replace(b"|HIS|", b"|LIS|").replace(b"|T", b"|X")).code == "AR"
    assert not UnmappedCode.objects.exists() and InboundMessage.objects.count() == 4


def test_sent_times_are_the_facilitys(client):
    client.ask(oru("OBX|1|TX|1^T||Text"))
    report = OutsideReport.objects.get()
    assert report.performed_at.astimezone(dt.timezone(dt.timedelta(hours=3))).hour == 10
    assert parse(bytes(InboundMessage.objects.get().acknowledgement)).first("MSA").text(1) == "AA"
