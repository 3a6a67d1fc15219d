"""Storage Commitment (PS3.4 Annex J.3.3): look at what is stored, and report it until the requester has taken it.

The rows are the queue; the dispatcher hands them out, to one process at a time. Nothing is locked in the database
while files are read or the network is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, LiteralString

import structlog
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from pydicom import Dataset
from pynetdicom import build_role

from interop.dicom import scu
from interop.dicom.elements import Malformed
from interop.dicom.fingerprint import Fingerprint
from interop.dicom.headers import read_file_start
from interop.dicom.storage_commitment import PUSH_INSTANCE, PUSH_MODEL
from interop.dicom.store import is_local, open_instance
from interop.models import CommitmentStatus, StorageCommitment
from interop.permissions import MANAGE_INTERFACES
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidTransition
from ris.tenants.context import require_facility, require_schema
from worklist.models import ImagingInstance
from worklist.services import note_images_committed

log = structlog.get_logger("interop.dicom.commitment")
COMMITMENT = Actor("commitment")

PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119
ALL_COMMITTED, SOME_FAILED = 1, 2
CLAIM_FOR = timedelta(seconds=120)
LONGEST_WAIT = timedelta(minutes=1)
#: After so long a person has to look why nobody takes the report.
PARKED_AFTER = timedelta(days=7)
#: A silent requester holds up one pair of hands for so long at most.
SECONDS = 20.0
CHUNK = 1024 * 1024
AT_ONCE = 2000

CLAIM: LiteralString = """
update interop_storagecommitment set claimed_until = clock_timestamp() + %(claim)s
where id in (
    select id from interop_storagecommitment
    where status = 'pending' and next_attempt_at <= clock_timestamp()
      and (claimed_until is null or claimed_until < clock_timestamp())
    order by next_attempt_at limit %(limit)s for update skip locked)
returning id
"""


def claim(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run(pk: int) -> bool:
    """Check once, try once; True when the report is delivered. Safe to call twice at once: the second does nothing."""
    with _alone(f"commitment:{pk}") as is_alone:
        row = _begin(pk) if is_alone else None
        if row is None:
            return False
        if row.checked_at is None:
            _check(row)
        try:
            _report(row)
        except scu.CallFailed as failed:
            _postpone(row, str(failed))
            return False
        _delivered(row)
        return True


@contextmanager
def _alone(name: str) -> Iterator[bool]:
    """A lock of this session (never of a transaction)."""
    arguments = [f"{require_schema()}:{name}"]
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", arguments)
        (got,) = cursor.fetchone()
    try:
        yield got
    finally:
        if got:
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", arguments)


@transaction.atomic
def _begin(pk: int) -> StorageCommitment | None:
    """Count the try before it is made; None when there is nothing to do (any more, or yet)."""
    row = StorageCommitment.objects.select_for_update(of=("self",)).select_related("peer").get(pk=pk)
    now = timezone.now()
    if row.status != CommitmentStatus.PENDING or row.next_attempt_at > now:
        return None
    row.attempts += 1
    row.claimed_until = now + CLAIM_FOR
    row.save(update_fields=["attempts", "claimed_until"])
    return row


# --- what is stored


def _check(row: StorageCommitment) -> None:
    """Write down what cannot be answered for. What can is on the disk from now on, whatever was left for later."""
    failures: list[list[Any]] = []
    for at in range(0, len(row.references), AT_ONCE):
        some = row.references[at : at + AT_ONCE]
        uids = [uid for _class, uid in some]
        found = {one.sop_instance_uid: one for one in ImagingInstance.objects.filter(sop_instance_uid__in=uids)}
        for sop_class, uid in some:
            if reason := _failure_reason(found.get(uid), sop_class):
                failures.append([sop_class, uid, reason])
    row.failures, row.checked_at = failures, timezone.now()
    row.save(update_fields=["failures", "checked_at"])
    failed = {uid for _class, uid, _reason in failures}
    note_images_committed({uid for _class, uid in row.references} - failed, actor=COMMITMENT)


def _failure_reason(instance: ImagingInstance | None, sop_class: str) -> int:
    """A failure reason of PS3.4 Table J.3.3.1.1-1; 0 when the file holds what was received."""
    if instance is None:
        return NO_SUCH_INSTANCE
    if instance.sop_class_uid != sop_class:
        return CLASS_CONFLICT
    try:
        is_good = is_whole(instance)
    except (OSError, Malformed) as error:
        log.error("instance_not_readable", instance=instance.pk, error=type(error).__name__)
        return PROCESSING_FAILURE
    if not is_good:
        log.error("instance_damaged", instance=instance.pk)
        return PROCESSING_FAILURE
    return 0


def is_whole(instance: ImagingInstance) -> bool:
    """The file holds what was received, and is on the disk from now on. Raises OSError, Malformed."""
    found, size = Fingerprint(), 0
    with open_instance(instance.path) as source:
        chunk = source.read(CHUNK)
        offset = read_file_start(chunk).offset
        while chunk:
            found.update(memoryview(chunk)[offset:])
            size, offset = size + len(chunk), 0
            chunk = source.read(CHUNK)
        if is_local():
            os.fsync(source.fileno())
    return size == instance.size and instance.fingerprint in ("", found.hexdigest())


# --- N-EVENT-REPORT


def report_of(row: StorageCommitment) -> tuple[int, Dataset]:
    """(event type, event information) of PS3.4 Table J.3.3-1"""
    failed = {uid: reason for _class, uid, reason in row.failures}
    told = Dataset()
    told.TransactionUID = row.transaction_uid
    told.RetrieveAETitle = require_facility().ae_title
    good = [_item(*pair) for pair in row.references if pair[1] not in failed]
    if good:
        told.ReferencedSOPSequence = good
    if not failed:
        return ALL_COMMITTED, told
    told.FailedSOPSequence = [_item(sop_class, uid, reason) for sop_class, uid, reason in row.failures]
    return SOME_FAILED, told


def _item(sop_class: str, uid: str, reason: int = 0) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    if reason:
        item.FailureReason = reason
    return item


def _report(row: StorageCommitment) -> None:
    """Raises CallFailed unless the requester has taken it."""
    peer = row.peer
    if not (peer.host and peer.port):
        raise scu.CallFailed(_("The peer has no address to call: set its host and port."))
    event_type, told = report_of(row)
    with scu.association(
        host=peer.host,
        port=peer.port,
        called_ae_title=row.calling_ae_title,
        calling_ae_title=row.called_ae_title,
        contexts=scu.contexts_for([PUSH_MODEL]),
        roles=[build_role(PUSH_MODEL, scp_role=True)],
        tls=scu.client_tls() if peer.uses_tls else None,
        seconds=SECONDS,
    ) as line:
        for context in line.accepted_contexts:
            context._as_scp = True  # many requesters take the report and do not answer the role selection
        try:
            answer, _reply = line.send_n_event_report(told, event_type, PUSH_MODEL, PUSH_INSTANCE)
        except (ValueError, RuntimeError) as error:
            raise scu.CallFailed(str(error)) from None
        status = scu.status_of(answer)
    if status >= 0x0100 and status & 0xF000 != 0xB000 and status not in (0x0107, 0x0116):
        raise scu.CallFailed(_("It answers with status %(status)04X.") % {"status": status})


# --- what became of it


def back_off(attempts: int) -> timedelta:
    """1, 2, 4 ... seconds, capped."""
    return min(timedelta(seconds=2 ** min(max(attempts - 1, 0), 12)), LONGEST_WAIT)


def _delivered(row: StorageCommitment) -> None:
    StorageCommitment.objects.filter(pk=row.pk, status=CommitmentStatus.PENDING).update(
        status=CommitmentStatus.DELIVERED, delivered_at=timezone.now(), claimed_until=None, last_error=""
    )


def _postpone(row: StorageCommitment, error: str) -> None:
    now = timezone.now()
    is_hopeless = now - row.requested_at > PARKED_AFTER
    StorageCommitment.objects.filter(pk=row.pk, status=CommitmentStatus.PENDING).update(
        status=CommitmentStatus.PARKED if is_hopeless else CommitmentStatus.PENDING,
        next_attempt_at=now + back_off(row.attempts),
        claimed_until=None,
        last_error=error[:500],
    )
    log.warning("commitment_not_reported", peer=row.calling_ae_title, attempts=row.attempts)


@service(MANAGE_INTERFACES, action=Action.UPDATE)
def report_again(row: StorageCommitment, *, actor: Actor) -> StorageCommitment:
    """Look again at what is stored, and report it now, whatever became of it before."""
    row = StorageCommitment.objects.select_for_update(of=("self",)).get(pk=row.pk)
    row.status, row.next_attempt_at, row.requested_at = CommitmentStatus.PENDING, timezone.now(), timezone.now()
    row.checked_at = row.delivered_at = row.claimed_until = None
    row.attempts, row.last_error = 0, ""
    row.save()
    return row


@service(MANAGE_INTERFACES, action=Action.UPDATE)
def park_report(row: StorageCommitment, *, actor: Actor) -> StorageCommitment:
    """Stop trying."""
    row = StorageCommitment.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if row.status != CommitmentStatus.PENDING:
        raise InvalidTransition(_("Only what waits can be parked."), found=row.get_status_display())
    row.status = CommitmentStatus.PARKED
    row.save(update_fields=["status"])
    return row
