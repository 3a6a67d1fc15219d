"""What is to be sent is a row first; sending is the dispatcher's."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.utils.translation import gettext as _

from interop.hl7.acknowledgements import new_control_id
from interop.hl7.charsets import UTF8
from interop.hl7.messages import build
from interop.hl7.outbound.envelope import Segments
from interop.hl7.outbound.shaping import render
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from ris.accounts.memory import remembered


def destinations_for(message_type: str) -> list[Hl7Destination]:
    """Active HL7 destinations that take this type: ``ORU``, ``ORU^R01`` or ``*`` in their list."""
    kind = message_type.split("^")[0]
    rows = Hl7Destination.objects.filter(is_active=True, fhir_server__isnull=True).order_by("pk")
    found = remembered("hl7 destinations", lambda: list(rows))
    return [row for row in found if {kind, message_type, "*"} & {entry.strip().upper() for entry in row.messages}]


def enqueue(
    destination: Hl7Destination,
    message_type: str,
    write: Callable[[str], Segments],
    *,
    dedupe_key: str,
    patient: UUID | None,
    accession_number: str = "",
    subject: str = "",
) -> OutboundMessage:
    """Write ``write(control_id)`` into the queue, once per ``dedupe_key``; runs in the caller's transaction.

    What the destination's character set cannot write is parked, not mangled.
    """
    known = OutboundMessage.objects.filter(dedupe_key=dedupe_key).first()
    if known is not None:
        return known
    control_id = new_control_id()
    segments = write(control_id)
    status, error = OutboundStatus.PENDING, ""
    try:
        body = render(segments, destination, message_type)
    except UnicodeEncodeError as refusal:
        status = OutboundStatus.PARKED
        character = f"U+{ord(refusal.object[refusal.start]):04X}"
        error = _(
            "The character set %(set)s cannot write %(character)s. Give the destination another one, then send again."
        ) % {
            "set": destination.character_set,
            "character": character,
        }
        body = build(segments, charset=UTF8)
    return OutboundMessage.objects.create(
        destination=destination,
        message_type=message_type,
        control_id=control_id,
        body=body,
        ordering_key=str(patient or subject)[:64],
        patient=patient,
        accession_number=accession_number[:16],
        subject=subject[:64],
        dedupe_key=dedupe_key[:150],
        status=status,
        last_error=error[:500],
    )


def wake(destination: Hl7Destination) -> None:
    """It answers, or somebody wants it tried now."""
    if destination.rests_until is not None:
        Hl7Destination.objects.filter(pk=destination.pk).update(rests_until=None)
