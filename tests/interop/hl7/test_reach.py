"""The test of a destination: what it says, what it tells of the answer; it says plainly when it has said nothing."""

from __future__ import annotations

import pytest

from interop.hl7 import services
from interop.hl7.outbound import reach
from interop.hl7.receiver import Receiver
from interop.models import OutboundMessage
from ris.accounts.outbound import HostNotAllowed, OutsideFailed
from ris.core.actor import SYSTEM


def add(port: int, **fields):
    services.allow_host("127.0.0.1", actor=SYSTEM)
    values = {"messages": ["ORU"], "ack_timeout_seconds": 2, **fields}
    return services.add_destination(name="his", host="127.0.0.1", port=port, actor=SYSTEM, **values)


def test_the_test_tells_what_was_tried_and_what_came_of_it(alpha):
    with Receiver(answers=["AA", "AR", "CA+AA", "drop"]) as receiver:
        add(receiver.port)
        assert "Only the connection was tried" in reach.probe("his") and receiver.received == []

        add(receiver.port, test_message="NMD^N02")
        assert reach.probe("his").startswith("his has taken NMD^N02 in ")
        clock = receiver.received[0].message
        assert clock.required("MSH").text(9, 3) == "NMD_N02" and clock.required("NCK").text(1)

        add(receiver.port, test_message="QRY^A19")
        assert "answers HL7" in (words := reach.probe("his")) and "does not take QRY^A19: AR" in words
        assert receiver.received[1].message.required("QRD").text(8) == reach.NOBODY

        add(receiver.port, test_message="NMD^N02", acknowledgement_mode="both")
        assert "AA" in reach.probe("his")
        with pytest.raises(OutsideFailed, match="without an answer"):
            reach.probe("his")
        assert len(receiver.received) == 4 and OutboundMessage.objects.count() == 0, "a test is in no queue"
    with pytest.raises(OutsideFailed, match="refused"):
        reach.probe("his")


def test_a_test_goes_where_the_facility_connects_to_and_nowhere_else(alpha):
    services.add_destination(
        name="his", host="192.0.2.1", port=2575, messages=["ORU"], test_message="NMD^N02", actor=SYSTEM
    )
    with pytest.raises(HostNotAllowed):
        reach.probe("his")


def test_a_clear_text_receiver_is_no_tls_receiver(alpha):
    with Receiver() as receiver:
        add(receiver.port, uses_tls=True)
        with pytest.raises(OutsideFailed):
            reach.probe("his")
        assert receiver.received == []
