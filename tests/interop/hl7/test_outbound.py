"""Reports on their way out: built, queued with the signature, sent in order, tried again, parked."""

from __future__ import annotations

import base64
import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from interop.hl7 import services
from interop.hl7.messages import parse
from interop.hl7.outbound import sender
from interop.hl7.receiver import DROP, SILENT, Receiver
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from orders.models import PatientIdentifier
from reporting import services as reporting
from reporting.models import DeliveryRule, ReportDelivery
from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, InvalidTransition, NotKnown, NotPermitted
from ris.core.permissions import IT_ADMIN, QA_LEAD, RADIOLOGIST, RESIDENT
from ris.events.models import Delivery, DeliveryStatus
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import drafted, make_patient, make_procedure, signed
from worklist.models import ImagingStudy


@pytest.fixture
def reader(alpha):
    return actor_with_roles(RADIOLOGIST, family_name="Kimani", given_name="Neema", prefix="Dr")


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


def add(receiver: Receiver | None, name: str = "his", **fields) -> Hl7Destination:
    services.allow_host("127.0.0.1", actor=SYSTEM)
    port = receiver.port if receiver else free_port()
    values = {"messages": ["ORU"], "ack_timeout_seconds": 2, **fields}
    return services.add_destination(name=name, host="127.0.0.1", port=port, actor=SYSTEM, **values)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_due() -> None:
    OutboundMessage.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1), claimed_until=None)
    Hl7Destination.objects.update(rests_until=None)


def test_a_signed_report_leaves_once_with_its_studies_and_any_text_and_is_acknowledged(
    alpha, reader, receiver, dispatch
):
    add(receiver)
    studies = ["1.2.840.1.1", "1.2.840.1.2"]
    procedure = make_procedure()
    for uid in studies:
        ImagingStudy.objects.create(study_instance_uid=uid).procedures.add(procedure)
    words = "Size 3 | 4 & 5 ^ 6 ~ 7 \\ 8\nSecond line\n\nFourth \x0b\x1c line. Ñandú 王小明 №≥"
    report = signed(procedure, actor=reader, findings=words)
    dispatch()
    Delivery.objects.filter(subscriber="interop.send_oru").update(status=DeliveryStatus.PENDING)
    dispatch()
    (came,) = receiver.wait_for(1)
    message = came.message
    assert message.header.message_type == "ORU^R01"
    assert (message.header.raw(3), message.header.raw(4), message.header.charset) == ("RIS", "ALPHA", "UNICODE UTF-8")
    procedure = report.first_procedure
    pid, obr = message.required("PID"), message.required("OBR")
    number = procedure.order.patient.primary_identifier
    assert (pid.text(3), pid.text(3, 4), pid.text(3, 5)) == (number.value, "TEST", "MR")
    assert (pid.text(5), pid.text(5, 2), pid.text(7), pid.text(8)) == ("OTIENO", "Achieng", "19900314", "F")
    assert (obr.text(4), obr.text(4, 2), obr.text(18), obr.text(25)) == (
        "CTCHEST",
        "CT chest",
        procedure.accession_number,
        "F",
    )
    assert obr.text(32, 1, 2) == "Kimani"
    texts = {obx.text(3): obx.text(5) for obx in message.all("OBX")}
    assert texts["19005-8"] == "No acute abnormality." and texts["59776-5"] == words.replace("\x0b", "\n")
    rows = message.all("OBX")
    assert [obx.text(5) for obx in rows if obx.text(3) == "113014"] == studies
    assert [obx.text(1) for obx in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert {obx.text(11) for obx in message.all("OBX")} == {"F"}
    row = OutboundMessage.objects.get()
    assert (row.status, row.attempts, row.control_id) == ("acknowledged", 1, came.control_id)
    assert ReportDelivery.objects.get(channel="hl7").status == "acknowledged"
    procedure.refresh_from_db()
    assert procedure.status == "distributed"


def test_preliminary_addendum_correction_and_retraction_say_so(alpha, receiver, dispatch, reader):
    add(receiver)
    rule = DeliveryRule.objects.get(channel="hl7")
    rule.includes_preliminary = True
    rule.save_as(SYSTEM, "test")
    resident = actor_with_roles(RESIDENT)
    procedure = make_procedure()
    report = drafted(procedure, actor=resident)
    reporting.sign_preliminary(report, actor=resident)
    dispatch()
    report.refresh_from_db()
    report = reporting.sign_report(report, actor=reader)
    dispatch()
    report = reporting.add_addendum(report, text="Compared | with 2019 ^ outside.", actor=reader)
    dispatch()
    report = reporting.correct_report(
        report, sections={"impression": "Left ≥ 5 mm nodule."}, reason="side", actor=reader
    )
    dispatch()
    reporting.retract_report(report, reason="wrong patient", actor=reader)
    dispatch()
    came = [row.message for row in receiver.wait_for(5)]
    assert [message.required("OBR").text(25) for message in came] == ["P", "F", "F", "C", "X"]
    assert [message.all("OBX")[-1].text(11) for message in came] == ["P", "F", "F", "C", "W"]
    addendum = next(obx for obx in came[2].all("OBX") if obx.text(3) == "55107-7")
    assert addendum.text(5) == "Compared | with 2019 ^ outside."
    assert any("≥ 5 mm" in obx.text(5) for obx in came[3].all("OBX"))


def test_a_group_report_has_one_obr_for_each_exam_and_the_pdf_comes_along(alpha, reader, receiver, dispatch):
    add(receiver, includes_pdf=True)
    patient = make_patient()
    procedures = [make_procedure(patient=patient, description=f"CT {part}") for part in ("neck", "chest")]
    report = reporting.open_report(procedures, actor=reader)
    text = {"findings": "Both.", "impression": "Nothing."}
    reporting.sign_report(report, sections=text, revision=report.revision, actor=reader)
    dispatch()
    (came,) = receiver.wait_for(1)
    assert [obr.text(18) for obr in came.message.all("OBR")] == [row.accession_number for row in procedures]
    files = [obx for obx in came.message.all("OBX") if obx.text(2) == "ED"]
    assert len(files) == 2 and base64.b64decode(files[0].text(5, 5)).startswith(b"%PDF")


def test_it_is_tried_again_under_the_same_control_id(alpha, reader, dispatch):
    with Receiver(answers=["AE", DROP, SILENT, "AE"]) as receiver:
        add(receiver, ack_timeout_seconds=1)
        signed(actor=reader)
        errors = []
        for _try in range(5):
            dispatch()
            errors.append(OutboundMessage.objects.get().last_error)
            make_due()
        came = receiver.wait_for(5)
    assert len({row.control_id for row in came}) == 1
    assert "AE" in errors[0] and "closed" in errors[1] and "1 seconds" in errors[2] and errors[4] == ""
    row = OutboundMessage.objects.get()
    assert (row.status, row.attempts) == ("acknowledged", 5)


def test_a_late_answer_to_another_message_is_not_taken_for_this_one(alpha, reader, dispatch):
    import interop.hl7.acknowledgements as ack

    with Receiver() as receiver:
        add(receiver, ack_timeout_seconds=1)
        signed(actor=reader)
        original = receiver.take
        receiver.take = lambda raw: original(raw) and ack.acknowledge(None, "AA")
        dispatch()
        assert OutboundMessage.objects.get().status == "pending"
        receiver.take = original
        make_due()
        dispatch()
        assert OutboundMessage.objects.get().status == "acknowledged"


def test_a_kill_between_sending_and_recording_repeats_the_control_id(alpha, reader, receiver, dispatch, monkeypatch):
    add(receiver)
    signed(actor=reader)

    class Killed(BaseException):
        pass

    def dies(*_arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(sender, "_record", dies)
        with pytest.raises(Killed):
            dispatch()
    dispatch()
    assert OutboundMessage.objects.get().status == "pending" and len(receiver.received) == 1
    make_due()
    dispatch()
    first, second = receiver.wait_for(2)
    assert first.control_id == second.control_id and first.raw == second.raw
    assert OutboundMessage.objects.get().status == "acknowledged"


def test_order_holds_for_a_patient_and_a_refusal_blocks_nobody(alpha, reader, dispatch):
    poison, other = make_patient("POISON"), make_patient("OTHER")
    plan = iter(["AE", "AE"])

    def choose(message):
        return next(plan, "AA") if message.required("PID").text(5) == "POISON" else "AA"

    with Receiver(choose=choose) as receiver:
        add(receiver)
        for number in range(2):
            signed(make_procedure(patient=poison), actor=reader, findings=f"poison {number}")
            signed(make_procedure(patient=other), actor=reader, findings=f"other {number}")
        dispatch()
        assert [row.message.required("PID").text(5) for row in receiver.received].count("OTHER") == 2
        for _try in range(3):
            make_due()
            dispatch()
        texts = [
            next(obx.text(5) for obx in row.message.all("OBX") if obx.text(3) == "59776-5")
            for row in receiver.received
            if row.answer == "AA"
        ]
    for name in ("poison", "other"):
        assert [text for text in texts if text.startswith(name)] == [f"{name} {number}" for number in range(2)]


def test_a_rejected_message_is_parked_and_those_behind_it_go_on(alpha, reader, dispatch):
    patient = make_patient()
    with Receiver(answers=["AR"]) as receiver:
        add(receiver)
        signed(make_procedure(patient=patient), actor=reader)
        signed(make_procedure(patient=patient), actor=reader)
        dispatch()
        first, second = OutboundMessage.objects.order_by("pk")
        assert (first.status, second.status) == ("parked", "acknowledged")
        assert first.last_error.startswith("AR") and "207" in first.last_error
        failed = ReportDelivery.objects.get(uuid=first.subject)
        assert failed.status == "failed" and "AR" in failed.last_error
        control_id = first.control_id
        services.send_again(first, actor=actor_with_roles(IT_ADMIN))
        dispatch()
        first.refresh_from_db()
        assert first.status == "acknowledged" and first.control_id != control_id
        assert receiver.received[-1].control_id == first.control_id
        failed.refresh_from_db()
        assert failed.status == "acknowledged"


def test_a_destination_that_is_away_rests_as_a_whole_and_everything_arrives_later(alpha, reader, dispatch, monkeypatch):
    monkeypatch.setattr(sender, "back_off", lambda *_told: timedelta(minutes=1))  # a slow machine tries once as well
    destination = add(None)
    for _number in range(3):
        signed(actor=reader)
    dispatch()
    destination.refresh_from_db()
    assert destination.rests_until > timezone.now()
    signed(actor=reader)
    dispatch()
    rows = list(OutboundMessage.objects.order_by("pk"))
    assert sum(row.attempts for row in rows) == 1, "what waits and what is queued meanwhile is not tried"
    assert {row.status for row in rows} == {"pending"} and "refused" in rows[0].last_error
    OutboundMessage.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1), claimed_until=None)
    Hl7Destination.objects.update(rests_until=timezone.now() - timedelta(seconds=1))
    dispatch()
    rows = list(OutboundMessage.objects.order_by("pk"))
    assert sum(row.attempts for row in rows) == 2, "after the rest one goes first"
    with Receiver(port=destination.port) as receiver:
        services.send_again(rows[3], actor=actor_with_roles(IT_ADMIN))
        dispatch()
        destination.refresh_from_db()
        assert destination.rests_until is None, "who sends again wants it tried, and what is answered ends the rest"
        make_due()
        dispatch()
        assert len(receiver.received) == 4 and len({row.control_id for row in receiver.received}) == 4
    assert OutboundMessage.objects.filter(status=OutboundStatus.ACKNOWLEDGED).count() == 4


def test_a_message_that_silences_the_other_side_does_not_hold_up_the_others(alpha, reader, dispatch):
    poison = make_patient("POISON")

    def choose(message):
        return SILENT if message.required("PID").text(5) == "POISON" else None

    with Receiver(choose=choose) as receiver:
        add(receiver, ack_timeout_seconds=1)
        signed(make_procedure(patient=poison), actor=reader)
        for _number in range(2):
            signed(actor=reader)
        dispatch()
        stuck, *others = OutboundMessage.objects.order_by("pk")
        assert all(stuck.next_attempt_at > row.next_attempt_at for row in others)
        Hl7Destination.objects.update(rests_until=None)
        dispatch()
        assert OutboundMessage.objects.filter(status="acknowledged").count() == 2
        assert len({row.control_id for row in receiver.received}) == 3


def test_pauses_grow_and_are_capped():
    assert [sender.back_off(n).total_seconds() for n in (1, 2, 3, 9, 60)] == [1, 2, 4, 256, 300]
    assert sender.back_off(60, sender.LONGEST_REST).total_seconds() == 60


def test_hosts_that_are_not_on_the_list_are_not_connected_to(alpha, reader, receiver, dispatch):
    add(receiver)
    row = facility_settings()
    row.allowed_hosts = ["10.0.0.0/8", "his.example.org"]
    row.save_as(SYSTEM, "test")
    signed(actor=reader)
    dispatch()
    message = OutboundMessage.objects.get()
    assert (
        message.status == "pending"
        and "not one that this facility connects to" in message.last_error
        and receiver.received == []
    )


def test_what_the_character_set_cannot_write_is_parked_and_told(alpha, reader, receiver, dispatch):
    destination = add(receiver, character_set="8859/1")
    signed(actor=reader, findings="Nodule ≥ 5 mm")
    signed(actor=reader, findings="Größe 5 mm")
    dispatch()
    parked = OutboundMessage.objects.get(status="parked")
    assert "8859/1" in parked.last_error and "U+2265" in parked.last_error
    assert ReportDelivery.objects.get(uuid=parked.subject).status == "failed"
    assert receiver.received[0].message.codec == "iso8859_1" and destination.character_set == "8859/1"


def test_a_destination_that_does_not_exist_fails_the_delivery(alpha, reader, dispatch):
    DeliveryRule(channel="hl7", destination="nowhere").save_as(SYSTEM, "test")
    signed(actor=reader)
    dispatch()
    assert ReportDelivery.objects.get(channel="hl7").status == "failed"


def test_other_facilities_queues_are_their_own_and_the_patient_is_the_one_known_now(
    alpha, beta, reader, receiver, dispatch
):
    add(receiver)
    patient = signed(actor=reader).patient
    patient.family_name = "NJERI"
    patient.save_as(SYSTEM, "test")
    with use_facility(beta):
        assert OutboundMessage.objects.count() == 0 and sender.claim(10) == []
        dispatch()
    assert receiver.received == []
    dispatch()
    assert [row.message.required("PID").text(5) for row in receiver.received] == ["NJERI"]


def test_parking_skipping_and_copies(alpha, reader, receiver, dispatch):
    admin = actor_with_roles(IT_ADMIN)
    destination = services.pause_destination(add(receiver), actor=admin)
    signed(actor=reader)
    signed(actor=reader)
    dispatch()
    assert receiver.received == [], "a paused destination keeps its queue"
    first, second = OutboundMessage.objects.order_by("pk")
    with pytest.raises(NotPermitted):
        services.park(first, actor=reader)
    services.park(first, reason="looked at", actor=admin)
    with pytest.raises(InvalidData):
        services.skip(second, reason=" ", actor=admin)
    services.skip(second, reason="sent by paper", actor=admin)
    with pytest.raises(InvalidTransition):
        services.park(OutboundMessage.objects.get(pk=second.pk), actor=admin)
    assert ReportDelivery.objects.get(uuid=second.subject).status == "failed"
    services.resume_destination(destination, actor=admin)
    control_id = first.control_id
    services.send_again(first, actor=admin)
    dispatch()
    first.refresh_from_db()
    assert first.status == "acknowledged" and first.control_id == control_id
    copy = services.send_again(first, actor=admin)
    dispatch()
    assert copy.pk != first.pk and [row.control_id for row in receiver.received] == [control_id, copy.control_id]
    assert parse(receiver.received[0].raw).text.split("\r")[1:] == parse(receiver.received[1].raw).text.split("\r")[1:]


def test_opening_a_message_needs_the_right_and_the_patient(alpha, reader, receiver, dispatch):
    add(receiver)
    report = signed(actor=reader)
    dispatch()
    row = OutboundMessage.objects.get()
    with pytest.raises(NotPermitted):
        services.open_message(row, actor=actor_with_roles(IT_ADMIN))
    lead = actor_with_roles(QA_LEAD)
    assert services.open_message(row, actor=lead) == row
    patient = report.patient
    patient.is_restricted = True
    patient.save_as(SYSTEM, "test")
    with pytest.raises(NotKnown):
        services.open_message(row, actor=lead)
    assert PatientIdentifier.objects.filter(patient=patient).exists()
