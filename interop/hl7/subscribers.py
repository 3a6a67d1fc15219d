"""Loaded by every process: what the interfaces hear, and what falls due for them."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Min, Q
from django.utils import timezone

import interop.hl7.outbound.identity
import interop.hl7.outbound.subscribers  # noqa: F401
from interop.models import InboundMessage, MessageStatus
from ris.events.dispatcher import register_work

#: A message that was stored and never processed (its listener died) is taken up after so long.
LEFT_AFTER = timedelta(seconds=30)


def claim_to_send(limit: int) -> list[int]:
    from interop.hl7.outbound import sender

    return sender.claim(limit)


def send(pk: int) -> bool:
    from interop.hl7.outbound import sender

    return sender.run(pk)


def claim_left(limit: int) -> list[int]:
    """The oldest message of each sender that waits: what was only committed (enhanced mode), and what a listener left
    when it died. No claim is noted: who runs it takes a lock on the sender."""
    oldest = timezone.now() - LEFT_AFTER
    waits = Q(acknowledgement_code="CA") | Q(received_at__lt=oldest)
    left = InboundMessage.objects.filter(waits, status=MessageStatus.RECEIVED, protocol="hl7").order_by()
    first = left.values("sending_application", "sending_facility").annotate(first=Min("pk")).order_by("first")
    return [row["first"] for row in first[:limit]]


def process_left(pk: int) -> None:
    from interop.hl7.backlog import process_sender

    process_sender(pk)


register_work("interop.send_hl7", claim=claim_to_send, run=send)
register_work("interop.process_hl7", claim=claim_left, run=process_left)
