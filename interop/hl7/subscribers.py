"""Loaded by every process: what the interfaces hear, and what falls due for them."""

from __future__ import annotations

from datetime import timedelta

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
    """Messages whose processing never ended, oldest first. No claim is noted: processing locks the row."""
    oldest = timezone.now() - LEFT_AFTER
    left = InboundMessage.objects.filter(status=MessageStatus.RECEIVED, protocol="hl7", received_at__lt=oldest)
    return list(left.order_by("pk").values_list("pk", flat=True)[:limit])


def process_left(pk: int) -> None:
    from interop.hl7.intake import process_message
    from ris.core.actor import Actor

    row = InboundMessage.objects.get(pk=pk)
    process_message(pk, Actor("hl7", ae_title=row.sending_application[:16], address=row.address))


register_work("interop.send_hl7", claim=claim_to_send, run=send)
register_work("interop.process_hl7", claim=claim_left, run=process_left)
