"""Batches, the quick lane of the enhanced mode, application acknowledgements as messages of their own."""

from __future__ import annotations

import pytest

from interop.hl7 import batches
from interop.hl7.messages import Hl7Error, parse
from interop.hl7.mllp import frame
from interop.models import Hl7Destination, Hl7Sender, InboundMessage, OutboundMessage
from orders.models import Order, Patient
from ris.core.actor import SYSTEM
from tests.factories.orders import make_catalogue
from tests.interop.hl7.conftest import message, order, pid

HEAD = "|^~\\&|HIS|CLINIC|RIS|ALPHA|20260102030405|||"


def batch(*messages: bytes, count: object = None, control_id: str = "B1", file: bool = True) -> bytes:
    told = len(messages) if count is None else count
    parts = [f"BHS{HEAD}|{control_id}\r".encode(), *messages, f"BTS|{told}\r".encode()]
    if file:
        parts = [f"FHS{HEAD}|F-{control_id}\r".encode(), *parts, b"FTS|1\r"]
    return b"".join(parts)


def codes(raw: bytes) -> list[str]:
    return [parse(part).required("MSA").text(1) for part in batches.split(raw).messages]


def test_a_batch_is_answered_by_a_batch_and_its_repeat_by_the_same(mllp, facility, dispatch):
    make_catalogue("CT1", name="CT chest", modality="CT")
    client = mllp().connect()
    inside = [message("ADT^A04", pid("P1")), order("A1"), message("ADT^A99", pid("P1")), message("ADT^A04", "PID|1")]
    client.send(frame(batch(*inside)))
    answer = client.answer()
    assert codes(answer) == ["AA", "AA", "AR", "AE"]
    lines = answer.decode().split("\r")
    assert lines[0].startswith("FHS|^~\\&|RIS|ALPHA|HIS|CLINIC|") and lines[0].split("|")[11] == "F-B1"
    assert "BTS|4" in lines and "FTS|1" in lines and lines[1].split("|")[11] == "B1"
    client.send(frame(batch(*inside)))
    assert client.answer() == answer
    client.send(frame(batch(*inside, control_id="B2", file=False)))
    assert codes(client.answer()) == ["AA", "AA", "AR", "AE"]
    assert (Patient.objects.count(), Order.objects.count()) == (1, 1)
    kept = InboundMessage.objects.get(control_id="BATCH F-B1")
    assert (kept.message_type, kept.status, kept.parts.count()) == ("BATCH", "processed", 4)
    elsewhere = message("ADT^A04", pid("P8"), to="RIS|BETA")
    client.send(frame(batch(elsewhere, message("ADT^A04", pid("P9"), modes="AL|AL"), control_id="B3")))
    assert codes(client.answer()) == ["AR", "CA", "AA"]
    assert Patient.objects.count() == 2
    left = InboundMessage(raw=batch(message("ADT^A04", pid("P10")), control_id="B4"), message_type="BATCH")
    left.acknowledgement_code = "CA"
    left.save()
    dispatch()
    left.refresh_from_db()
    assert left.status == "processed" and Patient.objects.count() == 3
    client.send(frame(batch(message("ADT^A04", pid("P11")), count=2, control_id="B5")))
    refused = client.answer()
    assert codes(refused) == ["AR"] and b"BTS^1^1" in refused and Patient.objects.count() == 3
    said = parse(batches.split(refused).messages[0])
    assert said.header.version == "2.5.1" and said.header.text(9) == "ACK", "a BHS has no version"
    assert said.required("MSA").text(2) == "F-B5"


ONE = message("ADT^A04", pid())


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (batch(ONE, count=7), "BTS^1^1"),
        (batch(ONE, count="x"), "BTS^1^1"),
        (batch(ONE, count="1" * 5000), "BTS^1^1"),
        (batch(ONE).replace(b"FTS|1", b"FTS|3"), "FTS^1^1"),
        (batch(ONE).replace(b"FTS|1\r", b""), "FTS^1"),
        (batch(ONE, file=False).replace(b"BTS|1\r", b""), "BTS^1"),
        (batch(ONE, file=False) + b"FTS|1\r", "FTS^1"),
        (batch(ONE) + ONE, "MSH^1"),
        (batch(b"PID|1\r"), "PID^1"),
        (batch(batch(ONE, file=False)), "BHS^1"),
        (b"BTS|1\r" + ONE, ""),
        (batch(ONE).replace(b"FHS|^~", b"FHS|^^"), "MSH^1^2"),
        (batch(ONE, file=False) + batch(ONE, control_id="B2"), "FHS^1"),
    ],
)
def test_a_batch_whose_parts_do_not_fit_is_refused_as_a_whole(raw, place):
    if not place:
        assert not batches.is_batch(raw)
        return
    with pytest.raises(Hl7Error) as refusal:
        batches.split(raw)
    assert str(refusal.value.location) == place and refusal.value.fatal


def test_batches_without_counts_headers_or_with_several_groups_are_understood():
    two = batch(ONE, ONE, count="", file=False)
    assert len(batches.split(two).messages) == 2
    several = b"FHS" + HEAD.encode() + b"|F\r" + two + batch(ONE, file=False) + b"FTS|2\r"
    found = batches.split(several.replace(b"\r", b"\r\n"))
    assert [len(group) for group in found.groups] == [2, 1] and found.control_id == "F"
    assert len(batches.split(b"FHS" + HEAD.encode() + b"\r" + ONE + ONE + b"FTS|1\r").messages) == 2


def test_the_quick_lane_stores_many_at_once_and_the_dispatcher_processes_them_in_order(mllp, facility, dispatch):
    client = mllp().connect()
    sent = [message("ADT^A08", pid("P1", given=f"G{number}"), modes="AL|NE") for number in range(40)]
    client.send(frame(sent[0]))
    assert parse(client.answer()).required("MSA").text(1) == "CA"
    odd = [sent[3], message("ADT^A08", "broken", modes="AL|NE"), message("ADT^A04", pid("P2"))]
    client.send(b"".join(frame(raw) for raw in [*sent[1:20], *odd, *sent[20:], sent[5]]))
    answers = [parse(client.answer()).required("MSA") for _number in range(43)]
    assert [row.text(1) for row in answers] == ["CA"] * 20 + ["CE", "AA"] + ["CA"] * 21
    wanted = [*sent[1:20], *odd, *sent[20:], sent[5]]
    assert [row.text(2) for row in answers] == [parse(raw).header.control_id if b"broken" not in raw else
                                                raw.split(b"|")[9].decode() for raw in wanted]  # fmt: skip
    waiting = InboundMessage.objects.filter(status="received")
    assert set(waiting.values_list("acknowledgement_code", "message_type")) == {("CA", "ADT^A08")}
    dispatch()
    assert not waiting.exists() and InboundMessage.objects.count() == 42
    assert Patient.objects.get(identifiers__value="P1").given_name == "G39"


def test_application_acknowledgements_go_where_the_sender_wants_them(mllp, facility, dispatch):
    his = Hl7Destination(name="his", host="127.0.0.1", port=1, messages=["ACK"], is_paused=True)
    his.save_as(SYSTEM, "Set")
    Hl7Sender(application="HIS", answers_to=his).save_as(SYSTEM, "Agreed")
    client = mllp().connect()
    for number, modes in (("P1", "AL|AL"), ("P2", "AL|NE"), ("P3", "AL|ER")):
        client.send(frame(message("ADT^A04", pid(number), modes=modes)))
        assert parse(client.answer()).required("MSA").text(1) == "CA"
    client.send(frame(message("ADT^A99", pid("P4"), modes="AL|ER")))
    assert parse(client.answer()).required("MSA").text(1) == "CA"
    assert client.ask(message("ADT^A04", pid("P5"))).code == "AA"
    dispatch()
    queued = OutboundMessage.objects.order_by("pk")
    said = [parse(bytes(row.body)) for row in queued]
    assert [row.required("MSA").text(1) for row in said] == ["AA", "AR"]
    assert [row.header.control_id for row in said] == [row.control_id for row in queued]
    assert {row.destination for row in queued} == {his}
