"""What goes out besides reports: orders, appointments, patients, charges; each as its destination wants it."""

from __future__ import annotations

import base64
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from interop.hl7 import services
from interop.hl7.messages import Message, parse
from interop.hl7.receiver import Receiver
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from orders import services as orders
from orders.services.emergency import identify_patient, register_emergency
from reporting import services as reporting
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData
from ris.core.permissions import RADIOLOGIST
from tests.factories.accounts import actor_with_roles
from tests.factories.billing import charged_exam
from tests.factories.orders import make_catalogue, make_order
from tests.factories.orders import make_patient as registered
from tests.factories.reporting import make_patient, make_procedure, signed
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist import services as worklist


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_came(receiver):
    receiver.received.clear()


def add(receiver: Receiver, name: str = "pacs", messages: str = "ORM", **fields) -> Hl7Destination:
    services.allow_host("127.0.0.1", actor=SYSTEM)
    values = {"receiving_application": name.upper(), "ack_timeout_seconds": 3, **fields}
    return services.add_destination(
        name=name, host="127.0.0.1", port=receiver.port, messages=messages.split(), actor=SYSTEM, **values
    )


def went(name: str = "pacs") -> list[Message]:
    rows = OutboundMessage.objects.filter(destination__name=name).order_by("pk")
    return [parse(bytes(row.body)) for row in rows]


def local(moment) -> str:
    return f"{moment.astimezone(ZoneInfo('Africa/Nairobi')):%Y%m%d%H%M}"


def codes(messages: list[Message]) -> list[str]:
    return [f"{row.required('ORC').text(1)}^{row.required('ORC').text(5)}" for row in messages]


def test_an_order_is_followed_from_its_time_to_its_end_by_archive_broker_and_placer(alpha, receiver, dispatch):
    add(receiver, "pacs", "ORM")
    add(receiver, "broker", "OMI", filters={"modality": ["CT"]}, order_states={"arrived": "", "performed": "XO^CM"})
    add(receiver, "mr-broker", "OMI", filters={"modality": ["MR"]})
    add(receiver, "his", "OMG ORR")
    procedure = ct_procedure(priority="stat", indication="PE?", clinical_information="Asthma\nsince 2010")
    dispatch()
    reservation = booked(procedure, starts_at=at(10))
    dispatch()
    worklist.reschedule_appointment(reservation, station=make_station(), starts_at=at(11), reason="later", actor=SYSTEM)
    dispatch()
    worklist.arrive_patient(procedure, actor=SYSTEM)
    dispatch()
    orders.mark_started(procedure, actor=SYSTEM)
    dispatch()
    orders.mark_performed(procedure, actor=SYSTEM)
    dispatch()
    assert codes(went("pacs")) == ["NW^SC", "XO^SC", "XO^SC", "SC^SC", "SC^IP", "SC^CM"]
    assert codes(went("broker")) == ["NW^SC", "XO^SC", "XO^SC", "SC^IP", "XO^CM"]
    assert codes(went("his")) == ["SN^SC", "SC^SC", "XX^SC", "SC^SC", "SC^IP", "SC^A"] and went("mr-broker") == []
    assert not OutboundMessage.objects.exclude(status=OutboundStatus.ACKNOWLEDGED).exists()

    orm, omi, omg = went("pacs")[2], went("broker")[2], went("his")[2]
    procedure.refresh_from_db()
    step = procedure.steps.get()
    obr = orm.required("OBR")
    assert (obr.text(4), obr.text(18), obr.text(19), obr.text(24), obr.text(25)) == (
        "CTHEAD", procedure.accession_number, procedure.requested_procedure_id, "CT", "S",
    )  # fmt: skip
    assert (obr.text(20), obr.text(21), obr.text(13)) == (step.scheduled_procedure_step_id, "CT1", "PE?")
    assert obr.text(36).startswith(local(at(11))) and obr.text(27, 6) == "S"
    assert orm.required("ZDS").text(1) == procedure.study_instance_uid
    assert orm.required("NTE").text(3) == "Asthma\nsince 2010"
    ipc = omi.required("IPC")
    assert (ipc.text(1), ipc.text(3), ipc.text(4), ipc.text(5), ipc.text(9)) == (
        procedure.accession_number, procedure.study_instance_uid, step.scheduled_procedure_step_id, "CT", "CT1",
    )  # fmt: skip
    assert omi.header.message_type == "OMI^O23" and omi.header.text(9, 3) == "OMI_O23"
    assert omi.required("TQ1").text(9) == "S" and omg.header.message_type == "OMG^O19" and omg.first("ZDS") is not None


def test_cancelled_discontinued_replaced_and_never_told(alpha, receiver, dispatch):
    add(receiver, "pacs", "ORM")
    add(receiver, "his", "ORM ORR")
    first, second, third = (ct_procedure() for _number in range(3))
    vetted = make_order(codes=[make_catalogue("CTV", needs_vetting=True).code]).procedures.get()
    dispatch()
    booked(first)
    orders.cancel_procedure(first, reason_code="110500", actor=SYSTEM)
    orders.cancel_procedure(vetted, reason_code="110500", actor=SYSTEM)
    new = orders.replace_procedure(
        second, by=orders.ProcedureRequest(make_catalogue("CT9").code), reason_code="110500", actor=SYSTEM
    )
    orders.mark_started(third, actor=SYSTEM)
    orders.mark_discontinued(third, code="110501", actor=SYSTEM)
    dispatch()
    by_exam = {
        row.accession_number: [
            code for m in went("pacs") if m.required("OBR").text(18) == row.accession_number for code in codes([m])
        ]
        for row in (first, second, third, new, vetted)
    }
    assert by_exam[first.accession_number][-1] == "CA^CA" and by_exam[second.accession_number] == ["NW^SC", "CA^CA"]
    assert by_exam[new.accession_number] == ["NW^SC"] and by_exam[vetted.accession_number] == []
    assert by_exam[third.accession_number] == ["NW^SC", "SC^IP", "DC^CA"]
    assert {"OC^CA", "RU^CA", "OD^DC"} <= set(codes(went("his")))
    reason = next(m for m in went("pacs") if codes([m]) == ["CA^CA"]).required("ORC")
    assert reason.text(16) == "110500"


def test_who_told_us_is_not_told(alpha, receiver, dispatch):
    add(receiver, "his", "ORM ADT SIU")
    add(receiver, "pacs", "ORM ADT")
    his = Actor("hl7", ae_title="HIS")
    patient = registered(actor=his)
    orders.update_patient(patient, given_name="Other", actor=his)
    order = make_order(his, patient=patient, placer_order_number="A1", placer_issuer="HIS")
    orders.change_order(order, priority="urgent", actor=his)
    dispatch()
    kinds = sorted(m.header.message_type for m in went("pacs"))
    assert went("his") == [] and kinds == ["ADT^A04", "ADT^A08", "ORM^O01"], (
        "created and changed at once is one message"
    )
    orders.mark_started(order.procedures.get(), actor=SYSTEM)
    dispatch()
    assert codes(went("his")) == ["SC^IP"], "its own order is nothing new to the placer"


def test_appointments_are_told_by_what_happened_to_them(alpha, receiver, dispatch):
    add(receiver, "his", "SIU")
    add(receiver, "portal", "SIU^S12 SIU^S15", hl7_version="2.3")
    procedure, other = ct_procedure(), ct_procedure()
    reservation = booked(procedure, starts_at=at(10))
    dispatch()
    moved = worklist.reschedule_appointment(
        reservation, station=make_station(), starts_at=at(12), reason="later", actor=SYSTEM
    )
    dispatch()
    worklist.cancel_appointment(moved, reason="ill", actor=SYSTEM)
    again = booked(procedure, starts_at=at(14))
    dispatch()
    booked(other, starts_at=at(9))
    worklist.mark_no_show(other, actor=SYSTEM)
    dispatch()
    kinds = [m.header.message_type for m in went("his")]
    assert kinds[:4] == ["SIU^S12", "SIU^S13", "SIU^S15", "SIU^S12"]
    assert went("portal")[0].header.raw(9) == "SIU^S12" and went("portal")[1].header.raw(9) == "SIU^S15"
    first, second, third = went("his")[:3]
    sch = second.required("SCH")
    assert (sch.text(2), sch.text(25), sch.text(6)) == (str(reservation.uuid), "Booked", "MOVED")
    assert sch.text(11, 4).startswith(local(at(12))) and third.required("SCH").text(25) == "Cancelled"
    ais, ail, aig = (second.required(name) for name in ("AIS", "AIL", "AIG"))
    assert (ais.text(3), ais.text(7), ail.text(3, 2), aig.text(3)) == ("CTHEAD", "20", "ct1", "CT1")
    assert str(again.uuid) == went("his")[3].required("SCH").text(2)
    assert [segment.name for segment in first.segments] == [
        "MSH", "SCH", "PID", "PV1", "RGS", "AIS", "AIG", "AIL",
    ]  # fmt: skip


def test_patients_are_told_merges_keep_their_place_and_the_unknown_gets_a_name(alpha, receiver, dispatch):
    add(receiver, "pacs", "ADT")
    add(receiver, "registry", "ADT^A28 ADT^A31")
    survivor, loser = registered(phone="0700 1", address="Hill\nRoad 5"), registered()
    dispatch()
    services.pause_destination(Hl7Destination.objects.get(name="pacs"), reason="upgrade", actor=SYSTEM)
    orders.update_patient(loser, given_name="Typed wrongly", actor=SYSTEM)
    dispatch()
    number = loser.primary_identifier.value
    merge = orders.merge_patients(survivor=survivor, loser=loser, reason="same", actor=SYSTEM)
    dispatch()
    last = list(OutboundMessage.objects.filter(destination__name="pacs").order_by("-pk")[:2])
    assert {row.ordering_key for row in last} == {str(survivor.uuid)}, "the loser's messages go before the merge"
    a40 = parse(bytes(last[0].body))
    assert (a40.header.message_type, a40.required("MRG").text(1)) == ("ADT^A40", number)
    assert a40.required("PID").text(3) == survivor.primary_identifier.value
    assert a40.required("PID").text(11) == "Hill Road 5" and a40.required("PID").text(13) == "0700 1"
    orders.unmerge_patients(merge, reason="two people", actor=SYSTEM)
    dispatch()
    assert [m.header.message_type for m in went("pacs")[-2:]] == ["ADT^A08", "ADT^A08"]

    unknown = register_emergency(actor=SYSTEM)
    temporary = unknown.primary_identifier.value
    dispatch()
    identify_patient(unknown, family_name="Wanjiru", given_name="Achieng", reason="papers", actor=SYSTEM)
    dispatch()
    a47, a08 = went("pacs")[-2:]
    assert (a47.header.message_type, a47.required("MRG").text(1)) == ("ADT^A47", temporary)
    assert a08.header.message_type == "ADT^A08" and a08.required("PID").text(5) == "Wanjiru"
    assert {m.header.message_type for m in went("registry")} == {"ADT^A28", "ADT^A31"}
    paused = Hl7Destination.objects.get(name="pacs")
    assert (paused.paused_reason, paused.is_paused) == ("upgrade", True) and paused.paused_at is not None


def test_charges_go_when_confirmed_and_are_taken_back_once(alpha, receiver, dispatch):
    add(receiver, "insurer", "DFT")
    procedure = charged_exam("1500.50", confirmed=False)
    dispatch()
    assert went("insurer") == []
    charge = procedure.charges.get()
    orders.confirm_charge(charge, actor=SYSTEM)
    orders.confirm_charge(charge, actor=SYSTEM)
    dispatch()
    orders.void_charge(charge, reason="wrong patient", actor=SYSTEM)
    dispatch()
    charged, credited = (m.required("FT1") for m in went("insurer"))
    assert (charged.text(6), charged.text(7), charged.text(10)) == ("CG", charge.code, "1")
    assert (charged.text(11, 1, 1), charged.text(11, 1, 2)) == ("1500.50", charge.currency)
    assert (credited.text(6), credited.text(2)) == ("CR", f"{charge.uuid.hex}CR")
    assert charged.text(25) == procedure.code


def test_a_report_in_parts_in_an_old_version_and_an_old_character_set(alpha, receiver, dispatch):
    reader = actor_with_roles(RADIOLOGIST, family_name="Müller")
    add(
        receiver, "old", "ORU", one_message_per_exam=True, hl7_version="2.3", character_set="8859/1", includes_pdf=True,
    )  # fmt: skip
    patient = make_patient("ÅKE")
    exams = [make_procedure(patient=patient, description=f"CT {part}") for part in ("neck", "chest")]
    report = reporting.open_report(exams, actor=reader)
    text = {"findings": "Größe 5 mm.", "impression": "Nothing."}
    reporting.sign_report(report, sections=text, revision=report.revision, actor=reader)
    receiver.answers[:] = ["AA", "AE"]
    dispatch()
    line = report.deliveries.get(channel="hl7")
    assert line.status != "acknowledged", "the second part has not arrived"
    OutboundMessage.objects.update(next_attempt_at=line.created_at - timedelta(days=1))
    dispatch()
    line.refresh_from_db()
    assert line.status == "acknowledged"
    parts = went("old")
    assert [[obr.text(18) for obr in m.all("OBR")] for m in parts] == [[row.accession_number] for row in exams]
    assert parts[0].header.raw(9) == "ORU^R01" and parts[0].codec == "iso8859_1"
    assert "CT neck:\nGröße 5 mm." in [obx.text(5) for obx in parts[0].all("OBX")]
    pdf = next(obx for obx in parts[1].all("OBX") if obx.text(2) == "ED")
    assert base64.b64decode(pdf.text(5, 5)).startswith(b"%PDF")


def test_filters_keep_reports_away_and_the_map_rewrites_what_goes(alpha, receiver, dispatch):
    reader = actor_with_roles(RADIOLOGIST)
    rules = [
        {"field": "PID-3.4", "from": "TEST", "to": "KILI&MA"},
        {"field": "OBR-3", "copy": "OBR-18", "messages": ["ORU"]},
        {"field": "MSH-11", "set": "T"},
        {"field": "OBR-13", "drop": True},
        {"field": "PV1", "drop": True},
        {"field": "PID-8", "from": "F", "to": "W"},
    ]
    add(receiver, "his", "ORU", field_map=rules)
    add(receiver, "mr-only", "ORU", filters={"modality": ["MR"]})
    report = signed(actor=reader)
    dispatch()
    (message,) = went("his")
    pid, obr = message.required("PID"), message.required("OBR")
    assert (pid.text(3, 4), pid.text(8), obr.text(3), obr.text(13)) == (
        "KILI&MA", "W", report.first_procedure.accession_number, "",
    )  # fmt: skip
    assert message.first("PV1") is None and message.header.text(11) == "T" and went("mr-only") == []
    assert not report.deliveries.filter(destination="mr-only").exists()


def test_what_a_destination_cannot_be_is_named(alpha, receiver):
    for field, value in (
        ("field_map", {"field": "PID-3"}),
        ("field_map", [{"field": "PID-3", "from": "a"}]),
        ("field_map", [{"field": "MSH-10", "set": "1"}]),
        ("field_map", [{"field": "PID", "set": "1"}]),
        ("field_map", [{"field": "pid-3", "drop": True}]),
        ("field_map", [{"field": "PID-3", "copy": "OBR"}]),
        ("field_map", [{"field": "PID-3", "set": "1", "drop": True}]),
        ("field_map", [{"field": "PID-3", "set": "1", "why": "x"}]),
        ("field_map", [{"field": "PID-3", "set": 1}]),
        ("field_map", [{"field": "PID-3", "set": "1", "messages": "ORU"}]),
        ("field_map", ["PID-3"]),
        ("filters", {"modality": "CT"}),
        ("filters", {"name": ["x"]}),
        ("filters", ["CT"]),
        ("order_states", {"performed": "done"}),
        ("order_states", {"reading": "SC^IP"}),
        ("alert_after_minutes", 30_000),
        ("acknowledgement_mode", "never"),
    ):
        with pytest.raises(InvalidData) as refused:
            add(receiver, **{field: value})
        assert field in refused.value.errors and not Hl7Destination.objects.exists(), (field, value)
