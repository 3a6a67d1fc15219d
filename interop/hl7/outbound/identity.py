"""What was sent about a patient is sent again when it turns out to be about another one: merged, unmerged, identified.

A report's ORU says the patient as known when it is written (IHE PIR). One that waits is replaced; one that has left is
followed by the same version under the new identity.
"""

from __future__ import annotations

from uuid import UUID

from interop.hl7.outbound.replacing import otherwise_known, withdraw
from interop.hl7.outbound.reports import queue_report
from interop.models import OutboundMessage, OutboundStatus
from orders.events import PatientIdentified, PatientsMerged, PatientsUnmerged
from reporting.models import DeliveryChannel, DeliveryStatus, ReportDelivery
from ris.events.bus import subscribe


@subscribe(PatientIdentified, name="interop.resend_identified")
@subscribe(PatientsMerged, name="interop.resend_merged")
@subscribe(PatientsUnmerged, name="interop.resend_unmerged")
def send_under_new_identity(event: PatientIdentified | PatientsMerged | PatientsUnmerged) -> None:
    """Heard again it does nothing: the message's key names the version of the patient."""
    deliveries = (
        ReportDelivery.objects.filter(report__procedures__uuid__in=event.procedures, channel=DeliveryChannel.HL7)
        .exclude(status=DeliveryStatus.SUPERSEDED)
        .select_related("report_version__report")
        .order_by("pk")
        .distinct()
    )
    for delivery in deliveries:
        _send_again(delivery, f"{UUID(event.subject).hex}v{event.version}")


def _send_again(delivery: ReportDelivery, cause: str) -> None:
    sent = OutboundMessage.objects.filter(subject=str(delivery.uuid), protocol="hl7")
    sent = sent.exclude(status=OutboundStatus.CANCELLED)
    newest = {row.destination_id: row for row in sent.select_related("destination").order_by("pk")}
    withdraw(sent.exclude(dedupe_key__endswith=f":{cause}"), otherwise_known())
    for destination in (row.destination for row in newest.values()):
        if destination.is_active:
            queue_report(delivery, destination, cause)
