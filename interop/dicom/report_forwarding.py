"""Signed reports as documents for archives: each version to every peer that gets the images."""

from __future__ import annotations

from interop.dicom import scu
from interop.dicom.forwarding import DELIVERED
from interop.dicom.outgoing_queue import FOR_GOOD, Refused, enqueue, peers_that, worker
from interop.dicom.retrieve import WARNINGS
from interop.dicom.sending import send, untouched
from interop.models import OutgoingDicom, OutgoingKind
from worklist.models import ImagingInstance, ImagingStudy


def plan_document(study: ImagingStudy, document: ImagingInstance) -> list[OutgoingDicom]:
    """After the images of the study, where these wait for the same peer."""
    return [
        enqueue(
            OutgoingKind.REPORT,
            peer,
            subject=study.uuid,
            ordering_key=study.study_instance_uid,
            dedupe_key=document.sop_instance_uid,
            patient=study.audit_patient,
            accession_number=study.accession_number,
            detail={"instance": document.sop_instance_uid},
        )
        for peer in peers_that(forward_images=True)
    ]


@worker(OutgoingKind.REPORT)
def send_document(row: OutgoingDicom) -> None:
    documents = untouched(ImagingInstance.objects.filter(sop_instance_uid=row.detail["instance"]))
    try:
        for _document, status in send(documents, row.peer):
            if status not in DELIVERED | WARNINGS:
                raise Refused(f"Status {status:04X}.", for_good=status in FOR_GOOD)
    except scu.NotTaken as refusal:
        raise Refused(str(refusal)) from None
