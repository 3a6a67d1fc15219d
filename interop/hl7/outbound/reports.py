"""A line of the delivery ledger becomes messages: one per destination, or one per exam where it is wanted so."""

from __future__ import annotations

from django.utils import timezone

from interop.hl7.outbound.queue import destinations_for, enqueue
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from orders.models import RequestedProcedure
from reporting.models import ReportDelivery

TYPE = "ORU^R01"


def destinations_named(name: str) -> list[Hl7Destination]:
    """That of this name, or all that take reports."""
    if name:
        return list(Hl7Destination.objects.filter(name=name, is_active=True, fhir_server__isnull=True))
    return destinations_for(TYPE)


def queue_report(delivery: ReportDelivery, destination: Hl7Destination, cause: str = "") -> list[OutboundMessage]:
    """Once per delivery and ``cause``; what is known goes out once more."""
    procedures = _exams(delivery)
    parts = [[row] for row in procedures] if destination.one_message_per_exam else [procedures]
    return [_queue(delivery, destination, part, cause, len(parts) > 1) for part in parts]


def _exams(delivery: ReportDelivery) -> list[RequestedProcedure]:
    rows = delivery.report_version.report.procedures
    return list(rows.select_related("order__patient", "order__requester", "order__visit").order_by("pk"))


def _queue(
    delivery: ReportDelivery, destination: Hl7Destination, part: list[RequestedProcedure], cause: str, is_part: bool
) -> OutboundMessage:
    from interop.hl7.outbound.oru import build_report

    key = f"{delivery.uuid}:{destination.pk}"
    if is_part:
        key = f"{key}:{part[0].accession_number}"
    if cause:
        key = f"{key}:{cause}"
    known = OutboundMessage.objects.select_for_update(of=("self",)).filter(dedupe_key=key).first()
    if known is not None:
        from interop.hl7.services import requeue

        return known if cause or known.status == OutboundStatus.PENDING else requeue(known, at=timezone.now())
    return enqueue(
        destination,
        TYPE,
        lambda control_id: build_report(delivery.report_version, destination, control_id, part),
        dedupe_key=key,
        patient=delivery.audit_patient,
        accession_number=part[0].accession_number if is_part else delivery.accession_number,
        subject=str(delivery.uuid),
    )


def others_on_their_way(row: OutboundMessage) -> bool:
    """Whether parts of the same delivery to the same destination are still to be acknowledged."""
    same = OutboundMessage.objects.filter(destination=row.destination_id, subject=row.subject).exclude(pk=row.pk)
    return same.filter(status__in=(OutboundStatus.PENDING, OutboundStatus.PARKED), copy_of__isnull=True).exists()
