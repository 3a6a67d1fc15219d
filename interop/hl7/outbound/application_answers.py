"""Application acknowledgements of the enhanced mode as messages of their own, where a sender wants them elsewhere."""

from __future__ import annotations

from typing import Any

from interop.hl7 import acknowledgements as ack
from interop.hl7.messages import Header
from interop.models import Hl7Sender, InboundMessage, OutboundMessage


def goes_elsewhere(sender: Hl7Sender, header: Header | None, code: str) -> bool:
    """Whether the answer travels on a connection of ours, and is wanted."""
    if sender.answers_to is None or header is None or not header.is_enhanced:
        return False
    return ack.wants(header.application_acknowledgement, success=code == ack.ACCEPT)


def queue_answer(row: InboundMessage, sender: Hl7Sender, header: Header, code: str, **said: Any) -> None:
    """In the transaction that processes the message: its effect and its answer exist together."""
    assert sender.answers_to is not None and row.processed_at is not None
    control_id = ack.new_control_id()
    OutboundMessage.objects.create(
        destination=sender.answers_to,
        message_type="ACK",
        control_id=control_id,
        body=ack.acknowledge(header, code, control_id=control_id, **said),
        ordering_key=f"ack:{sender.application}"[:64],
        patient=row.patient,
        accession_number=row.accession_number,
        subject=str(row.uuid),
        dedupe_key=f"ack:{row.uuid}:{row.processed_at.timestamp()}"[:150],
    )
