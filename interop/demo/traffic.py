"""What the queue monitor shows in a house that runs: results delivered, one refused, two that wait for the pause."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from interop.demo.furniture import HOSPITAL
from interop.hl7 import acknowledgements as ack
from interop.hl7.messages import UNKNOWN_KEY, Location, peek
from interop.hl7.outbound.oru import build_report
from interop.hl7.outbound.queue import enqueue
from interop.models import Hl7Destination, OutboundAttempt, OutboundMessage, OutboundStatus
from reporting.models import ReportVersion, VersionKind
from ris.events.models import DeliveryStatus, OutboxEvent

SHOWN, WAITING, REFUSED, EVERY = 12, 2, 1, timedelta(minutes=19)
PROBLEM = ack.Problem(UNKNOWN_KEY, Location("PID", 1, 3, 4), "Unknown key identifier")


def ensure_traffic() -> None:
    """Of the newest final reports; once."""
    destination = Hl7Destination.objects.filter(name=HOSPITAL["name"]).first()
    if destination is None or destination.outbound_messages.exists():
        return
    finals = ReportVersion.objects.filter(kind=VersionKind.FINAL).select_related("report").order_by("-signed_at", "-pk")
    versions = list(reversed(finals[:SHOWN]))
    now = timezone.now()
    for place, version in enumerate(versions):
        row = _queued(destination, version)
        row.created_at = now - EVERY * (len(versions) - place)
        if place == REFUSED:
            _refuse(row)
        elif place < len(versions) - WAITING:
            row.status, row.attempts, row.sent_at = OutboundStatus.ACKNOWLEDGED, 1, row.created_at
            row.answered_in_ms = 90 + 7 * place
            row.acknowledged_at = row.created_at + timedelta(milliseconds=row.answered_in_ms)
            row.acknowledgement = ack.acknowledge(peek(bytes(row.body)), ack.ACCEPT)
        row.save()


def _queued(destination: Hl7Destination, version: ReportVersion) -> OutboundMessage:
    """Without its line in the ledger: nobody answers in the demo, and no exam is to wait for it."""
    rows = version.report.procedures.select_related("order__patient", "order__requester", "order__visit")
    procedures = list(rows.order_by("pk"))
    return enqueue(
        destination,
        "ORU^R01",
        lambda control_id: build_report(version, destination, control_id, procedures),
        dedupe_key=f"demo:{version.uuid}",
        patient=procedures[0].order.patient.uuid,
        accession_number=procedures[0].accession_number,
    )


def _refuse(row: OutboundMessage) -> None:
    answer = ack.acknowledge(peek(bytes(row.body)), ack.REJECT, problems=(PROBLEM,))
    row.status, row.attempts, row.sent_at, row.answered_in_ms = OutboundStatus.PARKED, 1, row.created_at, 112
    row.acknowledgement, row.last_error = answer, ack.read(answer).words
    OutboundAttempt.objects.create(message=row, number=1, at=row.created_at, code=ack.REJECT, error=row.last_error)


def wait_from_now() -> None:
    """Nobody has waited since last week for what was played as last week's: the monitor would tell of it as late."""
    OutboxEvent.objects.filter(deliveries__status=DeliveryStatus.PENDING).update(occurred_at=timezone.now())
