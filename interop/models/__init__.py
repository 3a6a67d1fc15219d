"""Who we speak with, and every message."""

from interop.models.commitment import CommitmentStatus, StorageCommitment
from interop.models.messages import (
    FhirServer,
    Hl7Destination,
    InboundMessage,
    MessageStatus,
    OutboundMessage,
    OutboundStatus,
)
from interop.models.outgoing import OutgoingDicom, OutgoingKind, OutgoingStatus
from interop.models.peers import AssociationLog, DicomPeer, NameGroups

__all__ = [
    "AssociationLog",
    "CommitmentStatus",
    "DicomPeer",
    "FhirServer",
    "Hl7Destination",
    "InboundMessage",
    "MessageStatus",
    "NameGroups",
    "OutboundMessage",
    "OutboundStatus",
    "OutgoingDicom",
    "OutgoingKind",
    "OutgoingStatus",
    "StorageCommitment",
]
