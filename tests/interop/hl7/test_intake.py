"""Messages over a real socket: taken once, stored before they are answered, refused with the place of the fault."""

from __future__ import annotations

import contextlib
import random
import socket
import time

import pytest
from django.db import OperationalError, connection

from interop.hl7 import intake, senders
from interop.hl7.messages import parse
from interop.hl7.mllp import frame
from interop.models import InboundMessage, MessageStatus
from orders.models import Patient, PatientIdentifier
from ris.audit.models import AuditEvent
from ris.tenants.context import use_facility
from ris.tenants.models import MLLPReceiver, RefusedConnection
from tests.interop.hl7.conftest import message, order, pid


def test_a_registration_is_stored_processed_and_accepted(mllp):
    raw = message("ADT^A04", pid())
    answer = mllp().ask(raw)
    assert (answer.code, answer.problem) == ("AA", "")
    stored = InboundMessage.objects.get()
    assert bytes(stored.raw) == raw
    assert (stored.status, stored.acknowledgement_code, stored.message_type) == ("processed", "AA", "ADT^A04")
    patient = Patient.objects.get()
    assert (patient.family_name, patient.given_name, str(patient.birth_date), patient.sex) == (
        "Achieng",
        "Wanjiru",
        "1990-02-03",
        "F",
    )
    assert stored.patient == patient.uuid
    assert AuditEvent.objects.filter(source="hl7", ae_title="HIS", address="127.0.0.1", patient=patient.uuid).exists()


def test_a_repeat_gets_the_stored_answer_and_has_no_second_effect(mllp):
    raw = message("ADT^A04", pid())
    listener = mllp()
    client = listener.connect()
    client.send(frame(raw))
    first = client.answer()
    client.send(frame(raw))
    again = listener.connect()
    again.send(frame(raw.replace(b"20260102030405", b"20260102030999")))
    assert client.answer() == first == again.answer()
    assert (InboundMessage.objects.count(), Patient.objects.count()) == (1, 1)


def test_a_used_control_id_with_another_content_is_refused_not_swallowed(mllp):
    listener = mllp()
    assert listener.ask(message("ADT^A04", pid("P1"), control_id="SAME")).code == "AA"
    answer = listener.ask(message("ADT^A04", pid("P2"), control_id="SAME"))
    assert answer.code == "AR" and "205" in answer.problem
    assert listener.ask(message("ADT^A04", pid("P1"), control_id="SAME")).code == "AA"
    assert InboundMessage.objects.filter(status=MessageStatus.REJECTED).count() == 1


def test_the_same_message_over_many_connections_at_once_has_one_effect(mllp):
    listener = mllp(workers=8)
    raw = message("ADT^A04", pid())
    clients = [listener.connect() for _number in range(8)]
    for client in clients:
        client.send(frame(raw))
    answers = {client.answer() for client in clients}
    assert len(answers) == 1 and None not in answers
    assert (InboundMessage.objects.count(), Patient.objects.count()) == (1, 1)


def test_split_and_joined_frames_are_answered_in_order(mllp):
    client = mllp().connect()
    raws = [message("ADT^A04", pid(f"P{number}"), control_id=f"C{number}") for number in range(3)]
    stream = frame(raws[0])
    for byte in range(0, len(stream), 17):
        client.send(stream[byte : byte + 17])
        time.sleep(0.002)
    client.send(frame(raws[1]) + frame(raws[2]))
    found = [parse(client.answer()).required("MSA").text(2) for _answer in range(3)]
    assert found == ["C0", "C1", "C2"]


FAULTS = [
    (message("ADT^A04"), "AE", "100 Segment PID is missing. PID^1"),
    (message("ADT^A04", "PID|1||||Achieng"), "AE", "PID^1^3"),
    (message("ADT^A04", "PID|1||P1||"), "AE", "PID^1^5^1^1"),
    (message("ADT^A04", pid(born="19901399")), "AE", "PID^1^7"),
    (message("ADT^A04", pid(born="tomorrow")), "AE", "PID^1^7"),
    (message("ADT^A04", pid(family="A" * 65)), "AE", "PID^1^5^1^1"),
    (message("ADT^A04", pid(family="A=B")), "AE", "PID^1^5"),
    (message("ADT^A99", pid()), "AR", "201"),
    (message("ZZZ^Z01", pid()), "AR", "200"),
    (message("ADT^A04", pid(), version="3.0"), "AR", "203"),
    (message("ADT^A04", pid()).replace(b"|P|2.5.1", b"|X|2.5.1"), "AR", "202"),
    (message("", pid()), "AR", "MSH^1^9"),
    (message("ADT^A04", pid(), charset="KLINGON"), "AR", "MSH^1^18"),
    (message("ADT^A04", pid(family="Ä"), codec="latin-1"), "AR", "MSH^1^18"),
    (message("ADT^A04", "what is this", pid()), "AE", "MSH^1"),
    (message("ADT^A04", pid() + "\x0b"), "AE", "PID^1^8"),
    (message("ADT^A04", pid() + "\x00"), "AE", "PID^1^8"),
    (message("ADT^A04", pid(), control_id="X" * 200), "AR", "MSH^1^10"),
]


def test_each_fault_is_answered_with_its_place_and_leaves_no_patient(mllp):
    client = mllp().connect()
    for raw, code, words in FAULTS:
        answer = client.ask(raw)
        assert answer.code == code and words in answer.problem, (raw, answer)
    assert Patient.objects.count() == 0
    kept = InboundMessage.objects.filter(status=MessageStatus.REJECTED).order_by("pk")
    assert [bytes(row.raw) for row in kept] == [raw for raw, _code, _words in FAULTS]


def test_a_message_without_control_id_is_refused_with_its_place(mllp):
    raw = message("ADT^A04", pid(), control_id="GONE").replace(b"GONE", b"")
    client = mllp().connect()
    client.send(frame(raw))
    assert parse(client.answer()).required("ERR").raw(2) == "MSH^1^10"


def test_garbage_is_answered_or_closed_and_counted(mllp):
    listener = mllp()
    client = listener.connect()
    client.send(frame(b"\x80\x81garbage"))
    assert parse(client.answer()).required("MSA").text(1) == "AR"
    assert client.answer() is None
    web = listener.connect()
    web.send(b"GET / HTTP/1.1\r\nHost: x\r\n" * 200)
    assert web.answer() is None
    assert InboundMessage.objects.count() == 0
    assert set(RefusedConnection.objects.values_list("reason", flat=True)) == {"receiver_unknown", "not_mllp"}


def test_an_endless_line_is_refused_with_a_status(mllp):
    listener = mllp(message=1_000_000)
    client = listener.connect()
    head = message("ADT^A04", pid()).rstrip(b"\r")
    with contextlib.suppress(ConnectionError):
        client.send(b"\x0b" + head + b"A" * 5_000_000)
    answer = client.answer()
    assert answer is None or parse(answer).required("MSA").text(1) == "AR"
    refusals = RefusedConnection.objects.filter(reason="too_large")
    deadline = time.monotonic() + 5
    while not refusals.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert refusals.exists() and InboundMessage.objects.count() == 0


def test_a_frame_that_does_not_end_is_closed_in_time(mllp):
    client = mllp(inside_frame=0.3).connect()
    client.send(b"\x0bMSH|^~\\&|HIS")
    began = time.monotonic()
    assert client.answer() is None
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_mutated_frames_are_answered_or_closed_in_time_and_the_listener_lives(mllp):
    listener = mllp(inside_frame=0.2, workers=4)
    chance = random.Random(20260102)
    original = message("ADT^A04", pid("P{n}"))
    for number in range(250):
        raw = bytearray(frame(original.replace(b"{n}", str(number).encode())))
        for _change in range(chance.randint(1, 5)):
            position = chance.randrange(len(raw))
            raw[position : position + chance.randint(0, 2)] = bytes(
                chance.choice(b"|^~\\&\r\n\x0b\x1c\x00\xff\x80A") for _byte in range(chance.randint(0, 2))
            )
        client = listener.connect(timeout=5)
        client.send(bytes(raw))
        client.socket.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        client.answer()
        assert time.monotonic() - began < 5
        client.close()
    assert listener.ask(message("ADT^A04", pid("LAST"))).code == "AA"
    left = InboundMessage.objects.filter(status=MessageStatus.RECEIVED)
    assert not left.exclude(acknowledgement_code="CA").exists()


def test_a_dripping_sender_is_closed_in_time(mllp):
    client = mllp(inside_frame=0.5, whole_frame=1.0).connect()
    began = time.monotonic()
    client.send(b"\x0b")
    with pytest.raises(ConnectionError):
        while time.monotonic() - began < 6:
            client.send(b"x")
            time.sleep(0.1)
    assert time.monotonic() - began < 4


def test_the_names_of_no_facility_or_a_wrong_address_are_refused_without_payload(mllp):
    listener = mllp()
    for to in ("RIS|NOWHERE", "OTHER|ALPHA", "|", "public|public"):
        client = listener.connect()
        client.send(frame(message("ADT^A04", pid(), to=to)))
        answer = parse(client.answer())
        assert answer.required("MSA").text(1) == "AR" and client.answer() is None
    MLLPReceiver.objects.filter(receiving_facility="ALPHA").update(allowed_addresses=["10.0.0.0/8"])
    assert listener.ask(message("ADT^A04", pid())).code == "AR"
    assert InboundMessage.objects.count() == Patient.objects.count() == 0
    refused = RefusedConnection.objects.all()
    assert {row.reason for row in refused} == {"receiver_unknown", "address_not_registered"}
    assert not any("Achieng" in f"{row.called}{row.calling}" for row in refused)


def test_each_facility_gets_its_own_and_never_sees_the_other(mllp, facility):
    listener = mllp()
    client = listener.connect()
    for number in range(6):
        assert client.ask(message("ADT^A04", pid(f"P{number}"), to=f"RIS|{['ALPHA', 'BETA'][number % 2]}")).code == "AA"
    assert set(PatientIdentifier.objects.filter(issuer="CLINIC").values_list("value", flat=True)) == {"P0", "P2", "P4"}
    with use_facility("beta"):
        values = PatientIdentifier.objects.filter(issuer="CLINIC").values_list("value", flat=True)
        assert set(values) == {"P1", "P3", "P5"}
    assert client.ask(message("ADT^A40", pid("P0"), "MRG|P1^^^CLINIC^MR")).code == "AE"


def test_a_port_of_its_own_decides_alone(mllp, facility):
    listener = mllp()
    MLLPReceiver.objects.create(facility=facility, port=listener.port, allowed_addresses=["127.0.0.0/8"])
    assert listener.ask(message("ADT^A04", pid(), to="WHAT|EVER")).code == "AA"
    assert Patient.objects.count() == 1


def test_enhanced_mode_commits_first_and_answers_as_asked(mllp, dispatch):
    client = mllp().connect()
    client.send(frame(message("ADT^A04", pid("P1"), modes="AL|AL")))
    assert [parse(client.answer()).required("MSA").text(1) for _number in range(2)] == ["CA", "AA"]
    client.send(frame(message("ADT^A04", pid("P2"), modes="AL|")))
    client.send(frame(message("ADT^A04", pid("P3"), modes="NE|NE")))
    client.send(frame(message("ADT^A04", pid("P4"), modes="NE|AL")))
    assert [parse(client.answer()).required("MSA").text(1) for _number in range(2)] == ["CA", "AA"]
    client.send(frame(message("ADT^A04", "PID|1||P9", modes="AL|ER")))
    assert [parse(client.answer()).required("MSA").text(1) for _number in range(2)] == ["CA", "AE"]
    assert Patient.objects.count() == 2
    dispatch()
    assert Patient.objects.count() == 4


def test_enhanced_mode_refuses_with_cr(mllp):
    answer = mllp().ask(message("ADT^A04", "no segment", modes="AL|NE"))
    assert answer.code == "CE"
    assert mllp().ask(message("ADT^A04", pid(), to="RIS|NOWHERE", modes="AL|NE")).code == "CR"


def test_character_sets_arrive_right_and_are_answered_in_kind(mllp):
    client = mllp().connect()
    sent = [("8859/1", "latin-1", "Müller-Çelik"), ("UNICODE UTF-8", "utf-8", "Nguyễn"), ("", "utf-8", "Łukasz")]
    for number, (charset, codec, family) in enumerate(sent):
        client.send(frame(message("ADT^A04", pid(f"P{number}", family=family), charset=charset, codec=codec)))
        answer = parse(client.answer())
        assert answer.required("MSA").text(1) == "AA" and answer.header.charset in (charset, "UNICODE UTF-8", "")
    assert [row.family_name for row in Patient.objects.order_by("pk")] == [family for *_set, family in sent]


def test_without_database_the_connection_closes_and_the_repeat_is_taken(mllp, monkeypatch):
    listener = mllp()

    def away(*_arguments, **_words):
        raise OperationalError("the connection is lost")

    raw = message("ADT^A04", pid())
    with monkeypatch.context() as patched:
        patched.setattr(intake, "facility_of", away)
        client = listener.connect()
        client.send(frame(raw))
        assert client.answer() is None
        client = listener.connect()
        client.send(frame(message("ADT^A04", pid("P9"), modes="AL|AL")))
        assert parse(client.answer()).required("MSA").text(1) == "CE"
        assert client.answer() is None
    assert InboundMessage.objects.count() == 0
    assert listener.ask(raw).code == "AA"


def test_what_was_stored_and_not_processed_is_processed_when_repeated(mllp, monkeypatch):
    listener = mllp()
    raw = message("ADT^A04", pid())

    def dies(*_arguments, **_words):
        raise OperationalError("killed in between")

    with monkeypatch.context() as patched:
        patched.setattr(intake, "process_new", lambda *_arguments: None)
        patched.setattr(intake, "process_message", dies)
        client = listener.connect()
        client.send(frame(raw))
        assert client.answer() is None
    assert InboundMessage.objects.get().status == MessageStatus.RECEIVED and Patient.objects.count() == 0
    assert listener.ask(raw).code == "AA"
    assert (InboundMessage.objects.count(), Patient.objects.count()) == (1, 1)


def test_what_was_stored_and_not_processed_is_taken_up_by_the_dispatcher(mllp, monkeypatch, dispatch):
    from datetime import timedelta

    from django.utils import timezone

    raw = message("ADT^A04", pid(), modes="AL|AL")
    with monkeypatch.context() as patched:
        patched.setattr(intake, "finish", lambda reception: (_ for _ in ()).throw(OperationalError("killed")))
        client = mllp().connect()
        client.send(frame(raw))
        assert parse(client.answer()).required("MSA").text(1) == "CA"
        assert client.answer() is None, "closed: what was to follow is lost"
    InboundMessage.objects.update(received_at=timezone.now())
    assert dispatch() == 0 and Patient.objects.count() == 0, "whoever stored it may still be at it"
    InboundMessage.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    dispatch()
    assert InboundMessage.objects.get().status == MessageStatus.PROCESSED and Patient.objects.count() == 1


def test_in_original_mode_a_message_its_effect_and_its_answer_are_one_commit_and_few_queries(facility):
    from django.test.utils import CaptureQueriesContext

    from interop.hl7.door import Door
    from interop.models import Hl7Sender
    from orders.models import Order
    from ris.accounts.memory import remembering

    def taken(raw: bytes) -> list[str]:
        with use_facility(facility), CaptureQueriesContext(connection) as asked, remembering(senders.STANDING):
            reception = intake._receive(raw, intake.peek(raw), Door(0, "127.0.0.1"))
        assert b"|AA|" in reception.replies[0]
        return [row["sql"] for row in asked.captured_queries]

    person = pid("Q1")
    taken(message("ADT^A08", person))
    unchanged = taken(message("ADT^A08", person))
    assert len(unchanged) <= 12 and unchanged.count("COMMIT") == 1
    changed = taken(message("ADT^A08", pid("Q1", given="Another")))
    assert len(changed) <= 18 and Patient.objects.get().given_name == "Another"
    placed = taken(order(patient=person))
    assert len(placed) <= 40 and placed.count("COMMIT") == 1 and Order.objects.count() == 1
    # what is agreed with a sender holds for the very next message
    Hl7Sender.objects.create(application="HIS", issuer="ELSEWHERE", retired_identifier="refuse")
    with use_facility(facility), remembering(senders.STANDING):
        assert senders.sender_of("HIS", "CLINIC").issuer == "ELSEWHERE"


def test_a_refusal_is_told_once_though_it_was_tried_twice(facility):
    from ris.audit.models import AuditEvent, Outcome

    with use_facility(facility):
        before = AuditEvent.objects.filter(outcome=Outcome.REFUSED).count()
        raw = message("ADT^A40", pid("P2"), "MRG|NOBODY^^^CLINIC^MR")
        (answer,) = intake.receive_here(raw, intake.Door(0, "127.0.0.1"))
        assert b"|AE|" in answer and AuditEvent.objects.filter(outcome=Outcome.REFUSED).count() == before + 1
        assert InboundMessage.objects.get().status == MessageStatus.REJECTED and Patient.objects.count() == 0


def test_a_bug_is_answered_ae_and_the_repeat_may_succeed(mllp, monkeypatch):
    import interop.hl7.inbound.adt as adt

    listener, raw = mllp(), message("ADT^A04", pid())
    with monkeypatch.context() as patched:
        patched.setattr(adt, "resolve", lambda *_arguments: 1 / 0)
        answer = listener.ask(raw)
        assert answer.code == "AE" and "207" in answer.problem
    assert Patient.objects.count() == 0
    assert listener.ask(raw).code == "AA"
    assert Patient.objects.count() == 1


def test_too_many_connections_from_one_address_are_closed(mllp):
    listener = mllp(connections_per_address=3)
    clients = [listener.connect() for _number in range(5)]
    time.sleep(0.3)
    assert sum(_is_closed(client) for client in clients) == 2
    open_one = next(client for client in clients if not _is_closed(client))
    assert open_one.ask(message("ADT^A04", pid())).code == "AA"


def _is_closed(client) -> bool:
    client.socket.settimeout(0.1)
    try:
        return client.socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    finally:
        client.socket.settimeout(10)
