"""Who we speak with, and every message."""

from interop.models.commitment import CommitmentStatus, StorageCommitment
from interop.models.hl7_in import (
    CodeAlias,
    Hl7Sender,
    RetiredIdentifier,
    ReversedMerge,
    SenderAppointment,
    TakenResults,
    UnknownSurvivor,
    UnmappedCode,
)
from interop.models.messages import (
    AcknowledgementMode,
    FhirServer,
    Hl7Destination,
    InboundMessage,
    MessageStatus,
    OutboundMessage,
    OutboundOrigin,
    OutboundStatus,
)
from interop.models.outbound import InterfaceAlert, OutboundAttempt, OutboundOriginal
from interop.models.outgoing import OutgoingDicom, OutgoingKind, OutgoingStatus
from interop.models.peers import AssociationLog, DicomPeer, NameGroups
from interop.models.smart import SmartAssertion, SmartClient, SmartGrant
from interop.models.sources import RowState, RunState, RunTrigger, Source, SourceRow, SourceRun
from interop.models.subscriptions import (
    FhirNotification,
    FhirRelease,
    FhirSubscription,
    NotificationKind,
    NotificationStatus,
    PayloadContent,
    SubscriptionStatus,
)
from interop.models.webhooks import Webhook, WebhookAttempt, WebhookDelivery, WebhookDeliveryStatus

__all__ = [
    "AcknowledgementMode",
    "AssociationLog",
    "CodeAlias",
    "CommitmentStatus",
    "DicomPeer",
    "FhirNotification",
    "FhirRelease",
    "FhirServer",
    "FhirSubscription",
    "Hl7Destination",
    "Hl7Sender",
    "InboundMessage",
    "InterfaceAlert",
    "MessageStatus",
    "NameGroups",
    "NotificationKind",
    "NotificationStatus",
    "OutboundAttempt",
    "OutboundMessage",
    "OutboundOrigin",
    "OutboundOriginal",
    "OutboundStatus",
    "OutgoingDicom",
    "OutgoingKind",
    "OutgoingStatus",
    "PayloadContent",
    "RetiredIdentifier",
    "ReversedMerge",
    "RowState",
    "RunState",
    "RunTrigger",
    "SenderAppointment",
    "SmartAssertion",
    "SmartClient",
    "SmartGrant",
    "Source",
    "SourceRow",
    "SourceRun",
    "StorageCommitment",
    "SubscriptionStatus",
    "TakenResults",
    "UnknownSurvivor",
    "UnmappedCode",
    "Webhook",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookDeliveryStatus",
]
