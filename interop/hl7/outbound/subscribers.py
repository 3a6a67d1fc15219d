"""Planned deliveries by HL7 become messages in the queue."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from interop.hl7.outbound.queue import destinations_for, enqueue
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from reporting.events import DeliveryPlanned
from ris.core.actor import Actor
from ris.events.bus import subscribe

CHANNEL = "hl7"
TYPE = "ORU^R01"


@subscribe(DeliveryPlanned, name="interop.send_oru")
def send_oru(event: DeliveryPlanned) -> None:
    """One message per destination; heard again (somebody wants it sent again) it goes out once more."""
    from reporting import services as reporting
    from reporting.models import DeliveryStatus, ReportDelivery

    if event.channel != CHANNEL:
        return
    delivery = ReportDelivery.objects.select_related("report_version__report").get(uuid=event.delivery)
    if delivery.status in (DeliveryStatus.SUPERSEDED, DeliveryStatus.ACKNOWLEDGED):
        return
    destinations = _destinations(event.destination)
    actor = Actor("hl7", ae_title=(event.destination or "RIS")[:16])
    if not destinations:
        error = _("No active HL7 destination of this name takes reports.")
        reporting.mark_delivery_failed(delivery, error=error, actor=actor)
        return
    rows = [_queue(delivery, destination) for destination in destinations]
    for row in rows:
        if row.status == OutboundStatus.PARKED:
            reporting.mark_delivery_failed(delivery, error=row.last_error, actor=actor)


def _destinations(name: str) -> list[Hl7Destination]:
    if name:
        return list(Hl7Destination.objects.filter(name=name, is_active=True))
    return destinations_for(TYPE)


def _queue(delivery, destination: Hl7Destination) -> OutboundMessage:
    from interop.hl7.outbound.oru import build_report

    version = delivery.report_version
    key = f"{delivery.uuid}:{destination.pk}"
    known = OutboundMessage.objects.select_for_update(of=("self",)).filter(dedupe_key=key).first()
    if known is not None:
        from interop.hl7.services import requeue

        return known if known.status == OutboundStatus.PENDING else requeue(known, at=timezone.now())
    return enqueue(
        destination,
        TYPE,
        lambda control_id: build_report(version, destination, control_id),
        dedupe_key=key,
        patient=delivery.audit_patient,
        accession_number=delivery.accession_number,
        subject=str(delivery.uuid),
    )
