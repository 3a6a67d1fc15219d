"""What goes out by itself: performed steps, availability, rejection notes and images, each to the peers flagged for it.

The work is queued in the transaction that causes it (``plan_...``) and done by the queue's workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from pydicom import Dataset
from pynetdicom.association import Association

from interop.dicom import scu
from interop.dicom.availability import AVAILABILITY, notification, uid_of
from interop.dicom.mpps_messages import PERFORMED_STEP, changed, created
from interop.dicom.outgoing_queue import FOR_GOOD, Refused, enqueue, note_progress, peers_that, worker
from interop.dicom.retrieve import WARNINGS
from interop.dicom.sending import CANNOT_SEND, Shipped, association_with, send, shipped, untouched
from interop.models import DicomPeer, OutgoingDicom, OutgoingKind, OutgoingStatus
from ris.audit.service import record_read
from ris.core.actor import Actor
from ris.tenants.context import require_facility
from worklist.models import ImageRejection, ImagingInstance, ImagingStudy, PerformedProcedureStep
from worklist.permissions import VIEW_STUDY

#: Success, and its warnings (PS3.7 Annex C).
DELIVERED = frozenset({0x0000, 0x0001, 0x0107, 0x0116})
DUPLICATE_INSTANCE, PROCESSING_FAILURE, NO_LONGER_UPDATED = 0x0111, 0x0110, 0xA710
PROGRESS_EVERY = 25


# --- planning


def plan_step(step: PerformedProcedureStep, kind: OutgoingKind) -> list[OutgoingDicom]:
    """N-CREATE once; N-SET per change, unless one waits that will say it all."""
    planned = []
    for peer in peers_that(forward_mpps=True):
        if kind == OutgoingKind.MPPS_SET and _says_it_later(step, peer):
            continue
        key = step.sop_instance_uid if kind == OutgoingKind.MPPS_CREATE else f"{step.sop_instance_uid}:{step.version}"
        planned.append(
            enqueue(
                kind,
                peer,
                subject=step.uuid,
                ordering_key=step.sop_instance_uid,
                dedupe_key=key,
                patient=step.audit_patient,
                accession_number=step.accession_number,
            )
        )
    return planned


def _says_it_later(step: PerformedProcedureStep, peer: DicomPeer) -> bool:
    """Locked, so that it has not begun to speak before this change commits."""
    waiting = OutgoingDicom.objects.select_for_update(of=("self",)).filter(
        subject=step.uuid, peer=peer, kind=OutgoingKind.MPPS_SET, status=OutgoingStatus.PENDING
    )
    return any(row.claimed_until is None for row in waiting)


def plan_availability(study: ImagingStudy, cause: str, instances: list[str] | None = None) -> list[OutgoingDicom]:
    """``cause``: what makes this notification another one than the last."""
    detail: dict[str, Any] = {} if instances is None else {"instances": instances}
    peers = peers_that(receives_availability=True)
    return [_plan_study(OutgoingKind.AVAILABILITY, peer, study, cause, detail) for peer in peers]


def plan_images(study: ImagingStudy, cause: str, instances: list[str] | None = None) -> list[OutgoingDicom]:
    """All that the peer was not sent yet; with ``instances`` these, whether or not it was."""
    detail: dict[str, Any] = {} if instances is None else {"left": instances}
    return [_plan_study(OutgoingKind.IMAGES, peer, study, cause, detail) for peer in peers_that(forward_images=True)]


def plan_rejection_note(rejection: ImageRejection) -> list[OutgoingDicom]:
    """After the images that it speaks of, where these wait for the same peer; never back to who sent it."""
    return [
        enqueue(
            OutgoingKind.REJECTION_NOTE,
            peer,
            subject=rejection.uuid,
            ordering_key=rejection.study.study_instance_uid,
            dedupe_key=str(rejection.uuid),
            patient=rejection.audit_patient,
            accession_number=rejection.study.accession_number,
        )
        for peer in peers_that(receives_rejections=True)
        if peer.ae_title != rejection.received_from
    ]


def _plan_study(
    kind: OutgoingKind, peer: DicomPeer, study: ImagingStudy, cause: str, detail: dict[str, Any]
) -> OutgoingDicom:
    return enqueue(
        kind,
        peer,
        subject=study.uuid,
        ordering_key=study.study_instance_uid,
        dedupe_key=f"{study.uuid}:{cause}",
        patient=study.audit_patient,
        accession_number=study.accession_number,
        detail=detail,
    )


# --- doing


@worker(OutgoingKind.MPPS_CREATE)
def create_step(row: OutgoingDicom) -> None:
    step = PerformedProcedureStep.objects.get(uuid=row.subject)
    _create(row.peer, created(step), PERFORMED_STEP, step.sop_instance_uid)


@worker(OutgoingKind.MPPS_SET)
def set_step(row: OutgoingDicom) -> None:
    step = PerformedProcedureStep.objects.get(uuid=row.subject)
    said = OutgoingDicom.objects.filter(
        subject=row.subject, peer=row.peer, kind=OutgoingKind.MPPS_SET, status=OutgoingStatus.DONE
    )
    if any(other.detail.get("said", -1) >= step.version for other in said):
        return
    with _association(row.peer, PERFORMED_STEP) as line:
        answer, _attributes = line.send_n_set(changed(step), PERFORMED_STEP, step.sop_instance_uid)
        status = scu.status_of(answer)
    has_ended = status == PROCESSING_FAILURE and answer.get("ErrorID") == NO_LONGER_UPDATED
    if status not in DELIVERED and not has_ended:
        raise _refusal(status, answer)
    row.detail = {**row.detail, "said": step.version}


@worker(OutgoingKind.AVAILABILITY)
def notify_availability(row: OutgoingDicom) -> None:
    study = ImagingStudy.objects.get(uuid=row.subject)
    told = notification(study, require_facility().ae_title, instances=row.detail.get("instances"))
    if told is not None:
        _create(row.peer, told, AVAILABILITY, uid_of(row.uuid))


@worker(OutgoingKind.REJECTION_NOTE)
def send_rejection_note(row: OutgoingDicom) -> None:
    rejection = ImageRejection.objects.get(uuid=row.subject)
    notes = untouched(ImagingInstance.objects.filter(sop_instance_uid=rejection.note_sop_instance_uid))
    for _note, status in _sent(notes, row.peer):
        if status not in DELIVERED | WARNINGS:
            raise Refused(f"Status {status:04X}.", for_good=_is_for_good(status))


@worker(OutgoingKind.IMAGES)
def send_images(row: OutgoingDicom) -> None:
    """What is left of it; what has arrived is not sent again on the next try."""
    study = ImagingStudy.objects.get(uuid=row.subject)
    rows = shipped(_to_send(row, study), as_sent=row.peer.receives_as_sent)
    if not rows:
        return
    actor = Actor("dicom", ae_title=row.peer.ae_title)
    detail = {"page": "forward", "instances": len(rows), "destination": row.peer.ae_title}
    record_read(actor, VIEW_STUDY, entity=study, detail=detail)
    left = {one.sop_instance_uid: CANNOT_SEND for one in rows}
    row.detail = {"left": list(left), "up_to": max([row.detail.get("up_to", 0), *(one.pk for one in rows)])}
    try:
        for number, (one, status) in enumerate(_sent(rows, row.peer), 1):
            left[one.sop_instance_uid] = status
            if status in DELIVERED | WARNINGS:
                del left[one.sop_instance_uid]
            if number % PROGRESS_EVERY == 0:
                row.detail["left"] = list(left)
                note_progress(row)
    finally:
        row.detail["left"] = list(left)
    if left:
        statuses = ", ".join(sorted({f"{status:04X}" for status in left.values()}))
        is_final = all(_is_for_good(status) for status in left.values())
        facts = {"left": len(left), "all": len(rows), "statuses": statuses}
        raise Refused(_("%(left)d of %(all)d images were not taken: %(statuses)s.") % facts, for_good=is_final)


def _to_send(row: OutgoingDicom, study: ImagingStudy) -> QuerySet[ImagingInstance]:
    """Never back to where it came from."""
    found = ImagingInstance.objects.visible().filter(series__study=study).exclude(received_from=row.peer.ae_title)
    if "left" in row.detail:
        return found.filter(sop_instance_uid__in=row.detail["left"])
    earlier = OutgoingDicom.objects.filter(subject=row.subject, peer=row.peer, kind=row.kind).exclude(pk=row.pk)
    done = max((other.detail.get("up_to", 0) for other in earlier.filter(status=OutgoingStatus.DONE)), default=0)
    return found.filter(pk__gt=done)


def _sent(rows: list[Shipped], peer: DicomPeer) -> Iterator[tuple[Shipped, int]]:
    try:
        yield from send(rows, peer)
    except scu.NotTaken as refusal:
        raise Refused(str(refusal)) from None


@contextlib.contextmanager
def _association(peer: DicomPeer, sop_class_uid: str) -> Iterator[Association]:
    try:
        with association_with(peer, scu.contexts_for([sop_class_uid])) as line:
            yield line
    except scu.NotTaken as refusal:
        raise Refused(str(refusal)) from None


def _create(peer: DicomPeer, message: Dataset, sop_class_uid: str, sop_instance_uid: str) -> None:
    """An N-CREATE; a peer that has the instance already has got it on an earlier try."""
    with _association(peer, sop_class_uid) as line:
        answer, _attributes = line.send_n_create(message, sop_class_uid, sop_instance_uid)
        status = scu.status_of(answer)
    if status not in DELIVERED and status != DUPLICATE_INSTANCE:
        raise _refusal(status, answer)


def _refusal(status: int, answer: Dataset) -> Refused:
    words = f"Status {status:04X}. {answer.get('ErrorComment', '')}".strip()
    return Refused(words, for_good=status in FOR_GOOD)


def _is_for_good(status: int) -> bool:
    """Not understood, another class than it says, or one of PS3.7's; lack of room may pass (PS3.4 B.2.3)."""
    return status in FOR_GOOD or 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF
