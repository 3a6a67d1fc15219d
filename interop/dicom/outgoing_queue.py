"""The queue of outgoing DICOM work: written in the transaction that causes it, worked by the dispatcher.

In order per peer and subject, until the other side has it. A peer that cannot be reached rests as a whole; what it
refuses for good is parked for a person, and what waits behind goes on. No transaction is open while the network is
used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from interop.dicom.scu import CallFailed
from interop.hl7.outbound.sender import alone, back_off
from interop.models import DicomPeer, OutgoingDicom, OutgoingKind, OutgoingStatus

log = structlog.get_logger("interop.dicom")
CLAIM_FOR = timedelta(seconds=60)
LONGEST_WAIT, LONGEST_REST = timedelta(minutes=15), timedelta(minutes=2)
#: Statuses that another try would only repeat (PS3.7 Annex C).
FOR_GOOD = frozenset({0x0105, 0x0106, 0x0112, 0x0117, 0x0118, 0x0119, 0x0120, 0x0121, 0x0122, 0x0124, 0x0211, 0x0212})

CLAIM: LiteralString = """
update interop_outgoingdicom set claimed_until = clock_timestamp() + %(claim)s
where id in (
    select o.id from interop_outgoingdicom o
    join interop_dicompeer p on p.id = o.peer_id
    where o.status = 'pending' and o.next_attempt_at <= clock_timestamp()
      and (o.claimed_until is null or o.claimed_until < clock_timestamp())
      and p.is_active
      and not exists (
          select 1 from interop_outgoingdicom e
          where e.peer_id = o.peer_id and e.ordering_key = o.ordering_key and e.status = 'pending' and e.id < o.id)
    order by o.id limit %(limit)s for update of o skip locked)
returning id
"""


class Refused(Exception):
    """The other side has answered that it will not take this; ``for_good``: nor would it next time."""

    def __init__(self, words: str, *, for_good: bool = True) -> None:
        super().__init__(words)
        self.for_good = for_good


#: What is to be done for each kind: ``work(row)`` may raise CallFailed, Refused, OSError. It may change ``row.detail``.
_workers: dict[str, Callable[[OutgoingDicom], None]] = {}


def worker(kind: OutgoingKind) -> Callable[[Callable[[OutgoingDicom], None]], Callable[[OutgoingDicom], None]]:
    def register(function: Callable[[OutgoingDicom], None]) -> Callable[[OutgoingDicom], None]:
        _workers[kind.value] = function
        return function

    return register


def peers_that(**flags: bool) -> list[DicomPeer]:
    """Active peers with these flags that can be called."""
    rows = DicomPeer.objects.filter(is_active=True, port__isnull=False, **flags).exclude(host="").order_by("pk")
    return [row for row in rows if not set("*?") & set(row.ae_title)]


def enqueue(
    kind: OutgoingKind,
    peer: DicomPeer,
    *,
    subject: UUID,
    ordering_key: str,
    dedupe_key: str,
    patient: UUID | None = None,
    accession_number: str = "",
    detail: dict[str, Any] | None = None,
) -> OutgoingDicom:
    """Once per ``dedupe_key``; in the caller's transaction."""
    row, _made = OutgoingDicom.objects.get_or_create(
        dedupe_key=f"{kind.value}:{dedupe_key}:{peer.pk}"[:200],
        defaults={
            "kind": kind.value,
            "peer": peer,
            "subject": subject,
            "ordering_key": ordering_key[:64],
            "patient": patient,
            "accession_number": accession_number[:16],
            "detail": detail or {},
        },
    )
    return row


# --- the dispatcher's part


def claim(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run(pk: int) -> bool:
    """One try; True when it is delivered. Safe to call twice at once: the second does nothing."""
    key = OutgoingDicom.objects.filter(pk=pk).values_list("peer_id", "ordering_key").first()
    if key is None:
        return False
    with alone(f"dicom:{key[0]}:{key[1]}") as is_alone:
        row = _begin(pk) if is_alone else None
        if row is None:
            return False
        return _try(row)


def _try(row: OutgoingDicom) -> bool:
    try:
        _workers[row.kind](row)
    except Refused as refusal:
        if refusal.for_good:
            _finish(row, OutgoingStatus.PARKED, str(refusal))
        else:
            _postpone(row, str(refusal), rests=False)
        return False
    except CallFailed as failure:
        _postpone(row, str(failure), rests=True)
        return False
    except OSError as failure:
        _postpone(row, failure.strerror or type(failure).__name__, rests=False)
        return False
    return _finish(row, OutgoingStatus.DONE)


@transaction.atomic
def _begin(pk: int) -> OutgoingDicom | None:
    """Count the try before it is made; None when there is nothing to do (any more, or yet)."""
    row = OutgoingDicom.objects.select_for_update(of=("self",)).select_related("peer").get(pk=pk)
    now = timezone.now()
    if row.status != OutgoingStatus.PENDING or row.next_attempt_at > now or not row.peer.is_active:
        return None
    same = OutgoingDicom.objects.filter(peer=row.peer, ordering_key=row.ordering_key, status=OutgoingStatus.PENDING)
    if same.filter(pk__lt=pk).exists():
        return None
    row.attempts += 1
    row.tried_at, row.claimed_until = now, now + CLAIM_FOR
    row.save(update_fields=["attempts", "tried_at", "claimed_until"])
    return row


def _still_waiting(row: OutgoingDicom) -> OutgoingDicom | None:
    """The row as it is now, locked; None when a person has parked or cancelled it meanwhile."""
    found = OutgoingDicom.objects.select_for_update().get(pk=row.pk)
    return found if found.status == OutgoingStatus.PENDING else None


@transaction.atomic
def _finish(row: OutgoingDicom, status: OutgoingStatus, error: str = "") -> bool:
    found = _still_waiting(row)
    if found is None:
        return False
    found.status, found.detail, found.claimed_until, found.last_error = status, row.detail, None, error[:500]
    found.done_at = timezone.now() if status == OutgoingStatus.DONE else None
    found.save()
    if status == OutgoingStatus.PARKED:
        log.warning("dicom_parked", peer=row.peer.ae_title, kind=row.kind)
    return status == OutgoingStatus.DONE


@transaction.atomic
def _postpone(row: OutgoingDicom, error: str, *, rests: bool) -> None:
    """``rests``: the peer cannot be reached, so its other work waits as well."""
    found = _still_waiting(row)
    if found is None:
        return
    waiting = OutgoingDicom.objects.filter(peer=row.peer, status=OutgoingStatus.PENDING)
    attempts = found.attempts
    if rests:
        attempts = waiting.aggregate(most=Max("attempts"))["most"] or attempts
    due = timezone.now() + back_off(attempts, LONGEST_REST if rests else LONGEST_WAIT)
    found.next_attempt_at, found.claimed_until, found.detail = due, None, row.detail
    found.last_error = error[:500]
    found.save()
    if rests:
        waiting.filter(next_attempt_at__lt=due).exclude(pk=row.pk).update(next_attempt_at=due, claimed_until=None)
    log.warning("dicom_not_sent", peer=row.peer.ae_title, kind=row.kind, attempts=found.attempts, rests=rests)


def note_progress(row: OutgoingDicom) -> None:
    """Keep what is done of a long piece of work, and the claim on it."""
    until = timezone.now() + CLAIM_FOR
    OutgoingDicom.objects.filter(pk=row.pk).update(detail=row.detail, claimed_until=until)
