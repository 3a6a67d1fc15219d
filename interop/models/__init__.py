"""Who we speak with, and every message."""

from interop.models.messages import Hl7Destination, InboundMessage, MessageStatus, OutboundMessage, OutboundStatus
from interop.models.peers import AssociationLog, DicomPeer, NameGroups

__all__ = [
    "AssociationLog",
    "DicomPeer",
    "Hl7Destination",
    "InboundMessage",
    "MessageStatus",
    "NameGroups",
    "OutboundMessage",
    "OutboundStatus",
]
