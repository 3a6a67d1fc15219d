"""Who is let in: the facility by the called AE title, exactly; the peer by the calling AE title and the address.

The rule for peers: the row with exactly this title decides, and when it is not active or not allowed from this
address, nobody else's row does. Without one, the most specific active row with wildcards (``*``, ``?``) that fits.
Stations have no rights of their own: a scanner calls under a DicomPeer row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from interop.dicom import extensions
from interop.dicom.dimse import Caller, handler_for, served, syntaxes_of
from interop.dicom.messages import Field
from interop.dicom.pdu import (
    APPLICATION_CONTEXT,
    AssociateRequest,
    ContextAnswer,
    ProposedContext,
    Rejection,
)
from interop.models import DicomPeer
from ris.tenants.context import use_facility
from ris.tenants.routing import DICOM, address_is_in, facility_for_called_ae, record_refusal

ABSTRACT_SYNTAX_UNKNOWN, NO_TRANSFER_SYNTAX = 3, 4
TITLE = re.compile(r"[\x20-\x5B\x5D-\x7E]{1,16}")


@dataclass(frozen=True)
class Refusal:
    rejection: Rejection


def admit(
    request: AssociateRequest, address: str, *, certificate: str | None = None, tls: bool = False
) -> Caller | Refusal:
    """Decide on an association request; a refusal has been counted. Works in `public`, then in the facility."""
    malformed = why_malformed(request)
    if malformed is not None:
        return Refusal(malformed)
    called, calling = request.called_ae_title.strip(" "), request.calling_ae_title.strip(" ")
    facility = facility_for_called_ae(called, address, certificate, tls=tls, calling_ae=calling)
    if facility is None:
        return Refusal(Rejection.CALLED_AE_TITLE)
    with use_facility(facility):
        peer = peer_of(calling, address) if TITLE.fullmatch(calling) else None
    if peer is None:
        record_refusal(DICOM, called=called, calling=calling, address=address, reason="calling_ae_not_allowed")
        return Refusal(Rejection.CALLING_AE_TITLE)
    return Caller(facility, peer, calling, called, address)


def why_malformed(request: AssociateRequest) -> Rejection | None:
    """What is wrong with a request whoever it comes from."""
    if not request.protocol_version & 1:
        return Rejection.PROTOCOL_VERSION
    return None if request.application_context == APPLICATION_CONTEXT else Rejection.APPLICATION_CONTEXT


def peer_of(calling_ae_title: str, address: str) -> DicomPeer | None:
    """The row that says what this caller may do in the current facility, or None."""
    rows = list(DicomPeer.objects.filter(ae_title=calling_ae_title))
    if not rows:
        wild = DicomPeer.objects.filter(is_active=True, ae_title__regex=r"[*?]")
        rows = sorted((row for row in wild if fits(row.ae_title, calling_ae_title)), key=specificity)
        rows = [row for row in rows if _may_come_from(row, address)]
    peer = rows[0] if rows else None
    return peer if peer is not None and peer.is_active and _may_come_from(peer, address) else None


def fits(pattern: str, title: str) -> bool:
    return _pattern(pattern).fullmatch(title) is not None


@lru_cache(256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))


def specificity(peer: DicomPeer) -> tuple[int, str]:
    """Most letters that are no wildcard first."""
    return -sum(letter not in "*?" for letter in peer.ae_title), peer.ae_title


def _may_come_from(peer: DicomPeer, address: str) -> bool:
    try:
        return not peer.allowed_addresses or address_is_in(address, peer.allowed_addresses)
    except ValueError:  # an entry that is no network admits nobody
        return False


def negotiate(request: AssociateRequest) -> list[ContextAnswer]:
    """Of each context the first transfer syntax that we take, in the requestor's order."""
    return [_answer(context, served_as(request, context.abstract_syntax)) for context in request.contexts]


def served_as(request: AssociateRequest, sop_class_uid: str) -> str:
    """The class itself; for one that nobody serves here, the storage class that its requestor says it is a kind of."""
    if syntaxes_of(sop_class_uid):
        return sop_class_uid
    return extensions.general_class(request.common, sop_class_uid, is_stored) or sop_class_uid


def is_stored(sop_class_uid: str) -> bool:
    return handler_for(Field.C_STORE, sop_class_uid) is not None


def extended(request: AssociateRequest) -> dict[str, bytes]:
    """What is agreed upon of the extensions that were asked for, by SOP class."""
    return {
        uid: extensions.agreed(uid, asked, is_stored=is_stored(served_as(request, uid)))
        for uid, asked in request.extended.items()
    }


@lru_cache(1)
def sent_back() -> frozenset[str]:
    """The SOP classes whose objects go back to a requestor that is their SCP: what is stored, where C-GET is served."""
    handlers = served()
    if not any(handler.field == Field.C_GET for handler in handlers):
        return frozenset()
    stored = [handler.sop_classes for handler in handlers if handler.field == Field.C_STORE]
    return frozenset().union(*stored)


def _answer(context: ProposedContext, served_as: str) -> ContextAnswer:
    known = syntaxes_of(served_as)
    if not known:
        return ContextAnswer(context.id, ABSTRACT_SYNTAX_UNKNOWN, context.abstract_syntax)
    for syntax in context.transfer_syntaxes:
        if syntax in known:
            return ContextAnswer(context.id, 0, context.abstract_syntax, syntax)
    return ContextAnswer(context.id, NO_TRANSFER_SYNTAX, context.abstract_syntax)
