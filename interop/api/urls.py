from rest_framework.routers import BaseRouter

from interop.api.agreements import AliasViewSet, SenderViewSet, UnmappedCodeViewSet
from interop.api.archive import ArchiveViewSet
from interop.api.commitments import CommitmentViewSet
from interop.api.fhir import FhirServerViewSet, FhirSubscriptionViewSet, SmartClientViewSet
from interop.api.messages import MessageViewSet
from interop.api.network import ReadinessViewSet, WorklistPreviewViewSet
from interop.api.outgoing import OutgoingViewSet
from interop.api.peers import PeerViewSet
from interop.api.report_versions import ReportVersionViewSet
from interop.api.sources import SourceRowViewSet, SourceViewSet
from interop.api.teaching_export import TeachingExportViewSet
from interop.api.views import DestinationViewSet, ReceiverViewSet
from interop.api.webhooks import WebhookDeliveryViewSet, WebhookViewSet


def register(router: BaseRouter) -> None:
    router.register("storage-commitments", CommitmentViewSet, basename="storage-commitment")
    router.register("archive", ArchiveViewSet, basename="archive")
    router.register("outgoing-dicom", OutgoingViewSet, basename="outgoing-dicom")
    router.register("worklist-preview", WorklistPreviewViewSet, basename="worklist-preview")
    router.register("dicom-readiness", ReadinessViewSet, basename="dicom-readiness")
    router.register("reports", ReportVersionViewSet, basename="report-version")
    router.register("teaching-cases", TeachingExportViewSet, basename="teaching-case-export")
    router.register("messages", MessageViewSet, basename="message")
    router.register("hl7-destinations", DestinationViewSet, basename="hl7-destination")
    router.register("hl7-receivers", ReceiverViewSet, basename="hl7-receiver")
    router.register("hl7-senders", SenderViewSet, basename="hl7-sender")
    router.register("hl7-code-aliases", AliasViewSet, basename="hl7-code-alias")
    router.register("hl7-unmapped-codes", UnmappedCodeViewSet, basename="hl7-unmapped-code")
    router.register("sources", SourceViewSet, basename="source")
    router.register("source-rows", SourceRowViewSet, basename="source-row")
    router.register("fhir-servers", FhirServerViewSet, basename="fhir-server")
    router.register("fhir-subscriptions", FhirSubscriptionViewSet, basename="fhir-subscription")
    router.register("smart-clients", SmartClientViewSet, basename="smart-client")
    router.register("webhooks", WebhookViewSet, basename="webhook")
    router.register("webhook-deliveries", WebhookDeliveryViewSet, basename="webhook-delivery")
    router.register("dicom-peers", PeerViewSet, basename="dicom-peer")
