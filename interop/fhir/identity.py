"""A DiagnosticReport that was put on a server is put again when it turns out to be about somebody else, or when the
name or number of whoever it is about was corrected.

What is put names the patient as known when it is written; its paper stays as it was signed. One that waits is replaced.
"""

from __future__ import annotations

import json
from uuid import UUID

from django.db.models import Q

from interop.fhir.diagnostic_report import subject_of
from interop.fhir.sending import queue_again
from interop.hl7.outbound.replacing import otherwise_known, withdraw
from interop.models import FhirServer, OutboundMessage, OutboundStatus
from orders.events import PatientIdentified, PatientsMerged, PatientsUnmerged, PatientUpdated
from reporting.models import DeliveryChannel, DeliveryStatus, ReportDelivery
from ris.events.bus import subscribe


@subscribe(PatientIdentified, name="interop.put_identified")
@subscribe(PatientsMerged, name="interop.put_merged")
@subscribe(PatientsUnmerged, name="interop.put_unmerged")
@subscribe(PatientUpdated, name="interop.put_corrected")
def put_under_new_identity(event: PatientIdentified | PatientsMerged | PatientsUnmerged | PatientUpdated) -> None:
    """Heard again, or of a change that reports do not show, it does nothing."""
    servers = {row.queue_id: row for row in FhirServer.objects.select_related("queue").filter(queue__is_active=True)}
    if not servers:
        return
    whose = Q(report__procedures__order__patient__uuid=event.subject)
    if not isinstance(event, PatientUpdated):
        whose = Q(report__procedures__uuid__in=event.procedures)
    deliveries = (
        ReportDelivery.objects.filter(whose, channel=DeliveryChannel.FHIR)
        .exclude(status=DeliveryStatus.SUPERSEDED)
        .select_related("report_version__report")
        .order_by("pk")
        .distinct()
    )
    for delivery in deliveries:
        _put_again(delivery, servers, f"{UUID(event.subject).hex}v{event.version}")


def _put_again(delivery: ReportDelivery, servers: dict[int, FhirServer], cause: str) -> None:
    sent = OutboundMessage.objects.filter(subject=str(delivery.uuid), protocol="fhir")
    sent = sent.exclude(status=OutboundStatus.CANCELLED)
    newest = {row.destination_id: row for row in sent.order_by("pk")}
    subject = subject_of(delivery.report_version.report.patient)
    for key, row in newest.items():
        if key in servers and json.loads(bytes(row.body)).get("subject") != subject:
            withdraw(sent.filter(destination=key), otherwise_known())
            queue_again(delivery, servers[key], cause)
