"""Messages that are stored and not processed yet: of each sender in the order in which they came, by one process at a
time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from interop.hl7 import batches
from interop.hl7.door import Door
from interop.hl7.intake import process_message, take_batch
from interop.hl7.senders import STANDING
from interop.models import InboundMessage, MessageStatus
from ris.accounts.memory import remembering
from ris.core.actor import Actor
from ris.tenants.context import require_schema

AT_ONCE = 200


@contextmanager
def _alone(sender: str) -> Iterator[bool]:
    """Whether this process has the sender for itself; a process that dies gives it back."""
    digest = hashlib.sha256(f"{require_schema()} hl7 {sender}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s)", [key])
        has_it = bool(cursor.fetchone()[0])
    try:
        yield has_it
    finally:
        if has_it:
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s)", [key])


def process_sender(pk: int) -> int:
    """The messages of this one's sender, beginning with it; answers how many."""
    first = InboundMessage.objects.get(pk=pk)
    names = {"sending_application": first.sending_application, "sending_facility": first.sending_facility}
    with _alone("|".join(names.values())) as has_it:
        if not has_it:
            return 0
        rows = InboundMessage.objects.filter(**names, status=MessageStatus.RECEIVED, protocol="hl7", pk__gte=pk)
        numbers = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        for number in numbers:
            with remembering(STANDING):
                _process(number)
        return len(numbers)


def _process(pk: int) -> None:
    row = InboundMessage.objects.get(pk=pk)
    if row.message_type == batches.BATCH:
        take_batch(row, batches.split(bytes(row.raw)), Door(0, row.address))
        return
    process_message(pk, Actor("hl7", ae_title=row.sending_application[:16], address=row.address))
