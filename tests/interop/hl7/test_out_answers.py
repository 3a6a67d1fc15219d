"""How messages leave: every answer and failure over real sockets, kept connections, parked ones, edits, replays."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from interop.hl7 import services
from interop.hl7.messages import parse
from interop.hl7.outbound import connections
from interop.hl7.outbound import services as outbound
from interop.hl7.outbound.queue import enqueue
from interop.hl7.receiver import BOTH, DROP, SILENT, WRONG, Receiver
from interop.models import Hl7Destination, OutboundAttempt, OutboundMessage, OutboundOriginal
from orders.models import Patient
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData, NotKnown, NotPermitted
from ris.core.ids import uuid7
from ris.core.permissions import IT_ADMIN, QA_LEAD
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_patient


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def calm(receiver):
    receiver.received.clear()
    receiver.answers[:], receiver.choose, receiver.delay = [], None, 0.0
    connections.close_all()
    yield
    connections.close_all()


@pytest.fixture
def destination(alpha, receiver) -> Hl7Destination:
    return add(receiver)


def add(receiver: Receiver, name: str = "his", **fields) -> Hl7Destination:
    services.allow_host("127.0.0.1", actor=SYSTEM)
    values = {"messages": ["ADT"], "ack_timeout_seconds": 1, **fields}
    return services.add_destination(name=name, host="127.0.0.1", port=receiver.port, actor=SYSTEM, **values)


def put(destination: Hl7Destination, patient: Patient | None = None, text: str = "") -> OutboundMessage:
    """A small message, as any of them waits."""
    from interop.hl7.outbound.envelope import evn, msh

    number = uuid7()
    return enqueue(
        destination,
        "ADT^A08",
        lambda control_id: [
            msh(destination, ("ADT", "A08", "ADT_A01"), control_id), evn("A08"), ("PID", ["1", None, None, None, text]),
        ],
        dedupe_key=str(number),
        patient=patient.uuid if patient else number,
    )  # fmt: skip


def due() -> None:
    OutboundMessage.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1), claimed_until=None)
    Hl7Destination.objects.update(rests_until=None)


def refresh(*rows: OutboundMessage) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [row.status for row in rows]


def test_each_answer_has_its_consequence_and_a_retry_its_control_id(destination, receiver, dispatch):
    for answer, status, words in (
        ("AA", "acknowledged", ""),
        ("CA", "acknowledged", ""),
        ("AE", "pending", "AE: 207 As this receiver was told"),
        ("CE", "pending", "CE"),
        ("AR", "parked", "AR: 207 As this receiver was told"),
        ("CR", "parked", "CR"),
        (WRONG, "pending", "No answer in 1 seconds."),
        (SILENT, "pending", "No answer in 1 seconds."),
        (DROP, "pending", "closed the connection without an answer"),
    ):
        receiver.received.clear()
        receiver.answers[:] = [answer]
        row = put(destination)
        dispatch()
        assert refresh(row) == [status] and words in row.last_error, answer
        tried = list(OutboundAttempt.objects.filter(message=row).values_list("number", "code"))
        assert tried == ([] if not words else [(1, answer if len(answer) == 2 else "")])
        if status == "pending":
            due()
            dispatch()
            first, second = receiver.wait_for(2)
            assert first.raw == second.raw and refresh(row) == ["acknowledged"]
            assert row.attempts == 2 and row.answered_in_ms is not None


def test_enhanced_mode_waits_for_what_it_asked_for(alpha, receiver, dispatch):
    commit, both = (
        add(receiver, "commit", acknowledgement_mode="commit"),
        add(receiver, "both", acknowledgement_mode="both"),
    )
    receiver.answers[:] = ["CA", BOTH, "CA"]
    first, second, third = put(commit), put(both), put(both)
    dispatch()
    assert refresh(first, second, third) == ["acknowledged", "acknowledged", "pending"]
    assert "No answer" in third.last_error, "a receipt alone is not the application's answer"
    headers = [parse(bytes(row.body)).header for row in (first, second)]
    assert [(h.accept_acknowledgement, h.application_acknowledgement) for h in headers] == [("AL", "NE"), ("AL", "AL")]


def test_one_connection_carries_many_and_a_dead_one_is_replaced(destination, receiver, dispatch):
    before = receiver.connections
    for _number in range(5):
        put(destination)
    dispatch()
    assert len(receiver.received) == 5 and receiver.connections == before + 1
    for peer in list(receiver._open):
        peer.shutdown(socket.SHUT_RDWR)
    row = put(destination)
    dispatch()
    assert refresh(row) == ["acknowledged"] and row.attempts == 1 and receiver.connections == before + 2
    destination.keeps_connection = False
    destination.save_as(SYSTEM, "test")
    connections.close_all()
    for _number in range(2):
        put(destination)
    dispatch()
    assert receiver.connections == before + 4


def test_a_slow_answer_in_time_counts_and_a_late_one_does_not_answer_the_next(destination, receiver, dispatch):
    receiver.delay = 0.3
    row = put(destination)
    dispatch()
    assert refresh(row) == ["acknowledged"] and row.answered_in_ms >= 300
    receiver.delay = 1.3
    late = put(destination)
    dispatch()
    assert refresh(late) == ["pending"]
    receiver.delay, receiver.answers[:] = 0.0, ["AR"]
    due()
    dispatch()
    assert refresh(late) == ["parked"], "not the late AA to the first try"


def test_nobody_listens_then_somebody_does(alpha, receiver, dispatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    destination = add(receiver)
    destination.port = free
    destination.save_as(SYSTEM, "test")
    rows = [put(destination) for _number in range(3)]
    dispatch()
    refresh(*rows)
    assert "refused" in rows[0].last_error and sum(row.attempts for row in rows) == 1, "the others wait, unharmed"
    destination.port = receiver.port
    destination.save_as(SYSTEM, "test")
    due()
    dispatch()
    assert refresh(*rows) == ["acknowledged"] * 3 and len(receiver.received) == 3


@pytest.mark.parametrize("holds", [False, True])
def test_a_parked_message_holds_only_its_patient_and_only_where_that_is_wanted(alpha, receiver, dispatch, holds):
    destination = add(receiver, holds_behind_parked=holds)
    patient, other = make_patient("ONE"), make_patient("TWO")
    receiver.choose = lambda message: "AR" if message.required("PID").text(5) == "poison" else None
    parked, behind, elsewhere = put(destination, patient, "poison"), put(destination, patient), put(destination, other)
    dispatch()
    assert refresh(parked, behind, elsewhere) == ["parked", "pending" if holds else "acknowledged", "acknowledged"]
    receiver.choose = None
    assert outbound.send_from_here(parked, actor=SYSTEM) == 1
    dispatch()
    assert refresh(parked, behind) == ["acknowledged", "acknowledged"]
    assert [row.answer for row in receiver.received if row.control_id == parked.control_id] == ["AA"], "a new MSH-10"


def test_an_edited_message_keeps_its_place_and_its_original(destination, receiver, dispatch):
    patient = make_patient("ONE")
    receiver.choose = lambda message: "AR" if message.required("PID").text(5) == "wrong" else None
    row = put(destination, patient, "wrong")
    dispatch()
    text = parse(bytes(row.body)).text.replace("wrong", "right").replace("\r", "\n")
    it, reader = actor_with_roles(IT_ADMIN), actor_with_roles(QA_LEAD)
    with pytest.raises(NotPermitted):
        outbound.edit_and_send(row, text=text, reason="typed wrongly", actor=it)
    for broken, words in (
        ("", "MSH"),
        (text.replace("ADT^A08", "ADT^A40"), "ADT^A08"),
        (text.replace("UNICODE UTF-8", "ASCII") + "ZZZ|№", "U+2116"),
    ):
        with pytest.raises(InvalidData) as refused:
            outbound.edit_and_send(row, text=broken, reason="x", actor=reader)
        assert words in str(refused.value.errors["text"])
    with pytest.raises(InvalidData):
        outbound.edit_and_send(row, text=text, reason=" ", actor=reader)
    old = row.control_id
    outbound.edit_and_send(row, text=text, reason="typed wrongly", actor=reader)
    dispatch()
    assert refresh(row) == ["acknowledged"] and row.control_id != old
    assert (row.origin, row.reason, row.made_by) == ("edit", "typed wrongly", reader.user.display_name)
    original = OutboundOriginal.objects.get()
    assert original.control_id == old and b"wrong" in bytes(original.body) and original.acknowledgement is not None
    assert AuditEvent.objects.filter(event_type="interop.edit_message", patient=patient.uuid).exists()

    again = outbound.edit_and_send(row, text=text.replace("right", "better"), reason="again", actor=reader)
    dispatch()
    assert refresh(row, again) == ["acknowledged", "acknowledged"] and again.copy_of == row
    patient.is_restricted = True
    patient.save_as(SYSTEM, "test")
    with pytest.raises(NotKnown):
        outbound.edit_and_send(again, text=text, reason="x", actor=reader)


def test_a_range_is_sent_again_when_its_number_was_confirmed(destination, receiver, dispatch):
    receiver.choose = lambda message: "AR" if message.required("PID").text(5) == "parked" else None
    rows = [put(destination, text=text) for text in ("one", "parked", "two")]
    dispatch()
    receiver.choose = None
    receiver.received.clear()
    span = {"since": timezone.now() - timedelta(hours=1), "until": timezone.now() + timedelta(hours=1)}
    count = outbound.range_to_replay(destination, **span).count()
    with pytest.raises(Conflict) as refused:
        outbound.replay_range(destination, **span, expected=count - 1, reason="migrated", actor=SYSTEM)
    assert "3" in refused.value.found
    assert outbound.replay_range(destination, **span, expected=count, reason="migrated", actor=SYSTEM) == 3
    dispatch()
    texts = [row.message.required("PID").text(5) for row in receiver.received]
    assert sorted(texts) == ["one", "parked", "two"] and refresh(*rows) == ["acknowledged"] * 3
    copies = OutboundMessage.objects.filter(copy_of__isnull=False)
    assert copies.count() == 2 and {row.origin for row in copies} == {"replay"}
    assert outbound.range_to_replay(destination, **span).count() == 3, "copies are not copied"
    assert outbound.range_to_replay(destination, **span, message_types=["ORU^R01"]).count() == 0
    with pytest.raises(InvalidData):
        outbound.replay_range(
            destination, since=span["until"], until=span["since"], expected=0, reason="x", actor=SYSTEM
        )


def test_paused_nothing_leaves_and_resumed_all_does_in_order(destination, receiver, dispatch):
    patient = make_patient("ONE")
    services.pause_destination(destination, reason="new server", actor=SYSTEM)
    rows = [put(destination, patient, str(number)) for number in range(4)]
    dispatch()
    assert receiver.received == [] and refresh(*rows) == ["pending"] * 4
    services.resume_destination(destination, actor=SYSTEM)
    dispatch()
    assert [row.message.required("PID").text(5) for row in receiver.received] == ["0", "1", "2", "3"]
