"""What people do with outgoing DICOM work, and what is asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.dicom.outgoing_queue import peers_that
from interop.dicom.peers import SERVED
from interop.models import DicomPeer, OutgoingDicom, OutgoingStatus
from interop.permissions import REPLAY_MESSAGE, VIEW_INTERFACES
from ris.accounts.memory import remembered
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition


@service(REPLAY_MESSAGE, action=Action.EXECUTE)
def retry_outgoing(row: OutgoingDicom, *, actor: Actor) -> OutgoingDicom:
    """What waits goes at once, with all that rests for the same peer; what was parked or cancelled goes back."""
    row = _locked(row)
    if row.status == OutgoingStatus.DONE:
        raise InvalidTransition(
            _("This was delivered already."),
            found=_("It is: %(status)s.") % {"status": row.get_status_display()},
            todo=_("Nothing is left to do here."),
        )
    now = timezone.now()
    row.status, row.next_attempt_at, row.claimed_until, row.attempts = OutgoingStatus.PENDING, now, None, 0
    row.save()
    waiting = OutgoingDicom.objects.filter(peer=row.peer, status=OutgoingStatus.PENDING)
    waiting.filter(next_attempt_at__gt=now).update(next_attempt_at=now)
    return row


@service(REPLAY_MESSAGE, action=Action.EXECUTE)
def park_outgoing(row: OutgoingDicom, *, reason: str = "", actor: Actor) -> OutgoingDicom:
    """Taken out of the queue, so that what waits behind it goes on."""
    row = _locked(row)
    if row.status == OutgoingStatus.PARKED:
        return row
    _refuse_unless(row, OutgoingStatus.PENDING)
    row.status, row.claimed_until = OutgoingStatus.PARKED, None
    row.last_error = reason.strip()[:500] or _("Parked by %(name)s") % {"name": actor.name}
    row.save()
    return row


@service(REPLAY_MESSAGE, action=Action.EXECUTE)
def cancel_outgoing(row: OutgoingDicom, *, reason: str, actor: Actor) -> OutgoingDicom:
    """Never to be sent, and why."""
    row = _locked(row)
    if not reason.strip():
        raise InvalidData(_("Say why it is not to be sent."), errors={"reason": [_("This is needed.")]})
    _refuse_unless(row, OutgoingStatus.PENDING, OutgoingStatus.PARKED)
    row.status, row.claimed_until, row.last_error = OutgoingStatus.CANCELLED, None, reason.strip()[:500]
    row.save()
    return row


def _locked(row: OutgoingDicom) -> OutgoingDicom:
    return OutgoingDicom.objects.select_for_update(of=("self",)).select_related("peer").get(pk=row.pk)


def _refuse_unless(row: OutgoingDicom, *statuses: str) -> None:
    if row.status not in statuses:
        raise InvalidTransition(
            _("Only what waits or is parked can be taken out of the queue."),
            found=_("It is: %(status)s.") % {"status": row.get_status_display()},
            todo=_("Nothing is left to do here."),
        )


def outgoing(*, actor: Actor, status: str = "", peer: str = "") -> QuerySet[OutgoingDicom]:
    """Newest first."""
    found = OutgoingDicom.objects.select_related("peer").order_by("-pk")
    if not actor.may(VIEW_INTERFACES):
        return found.none()
    if status:
        found = found.filter(status=status)
    return found.filter(peer__ae_title=peer) if peer else found


@dataclass(frozen=True)
class PeerQueue:
    """One peer that is sent something, with the state of its queue."""

    peer: DicomPeer
    waiting: int
    parked: int
    oldest: datetime | None
    last: datetime | None
    attempts: int

    @property
    def served(self) -> list[str]:
        return [name for name, flag in SERVED.items() if getattr(self.peer, flag)]


def peer_queues() -> list[PeerQueue]:
    """Peers with a flag or with work, in a fixed number of queries; asked once for a page."""
    return remembered("dicom.peer_queues", _peer_queues)


def _peer_queues() -> list[PeerQueue]:
    pending = Q(status=OutgoingStatus.PENDING)
    figures: dict[int, dict[str, Any]] = {
        row["peer"]: row
        for row in OutgoingDicom.objects.order_by("peer")
        .values("peer")
        .annotate(
            waiting=Count("pk", filter=pending),
            parked=Count("pk", filter=Q(status=OutgoingStatus.PARKED)),
            oldest=Min("created_at", filter=pending),
            last=Max("done_at"),
            attempts=Max("attempts", filter=pending),
        )
    }
    flagged = [row for row in peers_that() if any(getattr(row, flag) for flag in SERVED.values())]
    with_work = DicomPeer.objects.filter(pk__in=figures).exclude(pk__in=[row.pk for row in flagged])
    queues = []
    for peer in sorted([*flagged, *with_work], key=lambda row: row.ae_title):
        row = figures.get(peer.pk, {})
        queues.append(
            PeerQueue(
                peer,
                row.get("waiting") or 0,
                row.get("parked") or 0,
                row.get("oldest"),
                row.get("last"),
                row.get("attempts") or 0,
            )
        )
    return queues


def parked_work() -> int:
    """For the menu: work that waits for a person."""
    return OutgoingDicom.objects.filter(status=OutgoingStatus.PARKED).count()
