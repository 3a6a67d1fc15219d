"""Rejection notes (IHE IOCM, RAD-66): Key Object Selections that tell which instances are out of use; both ways."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple
from uuid import uuid5

import structlog
from django.utils import timezone
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from interop.dicom.availability import uid_of
from interop.dicom.elements import Malformed
from interop.dicom.peers import rejects_for_others
from interop.dicom.sr_content import code_item
from interop.dicom.store import IncomingFile
from interop.dicomweb.objects import opened
from interop.dicomweb.transcoding import header_of
from ris.core.actor import Actor
from ris.core.concepts import Code
from ris.tenants.context import require_facility
from worklist.data import StoredInstance
from worklist.models import ImageRejection, ImagingInstance, RejectionReason
from worklist.services import keep_rejection_note, obey_rejection_note

log = structlog.get_logger("interop.dicom")

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
EXPLICIT = "1.2.840.10008.1.2.1"
#: PS3.16 CID 7010
TITLES = {
    RejectionReason.QUALITY: "Rejected for Quality Reasons",
    RejectionReason.SAFETY: "Rejected for Patient Safety Reasons",
    RejectionReason.WRONG_ENTRY: "Incorrect Modality Worklist Entry",
    RejectionReason.RETENTION: "Data Retention Policy Expired",
}
DESCRIPTION = Code("113012", "DCM", "Key Object Description")
SERIES_NUMBER = 9900


def write_note(rejection: ImageRejection, *, actor: Actor) -> ImageRejection:
    """Write the note into the store and the index; once, whoever calls again. Raises OSError."""
    if rejection.note_sop_instance_uid:
        return rejection
    note = rejection_note(rejection)
    file = IncomingFile(KEY_OBJECTS, note.SOPInstanceUID, EXPLICIT, require_facility().ae_title)
    try:
        file.write(_encoded(note))
        stored = file.keep(note.StudyInstanceUID)
    except BaseException:
        file.discard()
        raise
    file.close()
    told = StoredInstance(
        study_instance_uid=note.StudyInstanceUID,
        series_instance_uid=note.SeriesInstanceUID,
        sop_instance_uid=note.SOPInstanceUID,
        sop_class_uid=KEY_OBJECTS,
        transfer_syntax_uid=EXPLICIT,
        path=stored.path,
        size=stored.size,
        fingerprint=stored.fingerprint,
        modality="KO",
        series_number=SERIES_NUMBER,
        series_description=note.SeriesDescription,
        manufacturer=note.Manufacturer,
        instance_number=1,
    )
    return keep_rejection_note(rejection, note=told, actor=actor)


def rejection_note(rejection: ImageRejection) -> Dataset:
    """TID 2010 with the instances under the study that their objects name. The same bytes whenever it is made."""
    study, moment = rejection.study, timezone.localtime(rejection.rejected_at)
    rows = list(
        ImagingInstance.objects.filter(series__study=study, sop_instance_uid__in=rejection.instances)
        .select_related("series")
        .order_by("series__acquired_study_instance_uid", "series__series_instance_uid", "number", "pk")
    )
    acquired = [row.series.acquired_study_instance_uid or study.study_instance_uid for row in rows]
    note = Dataset()
    note.SpecificCharacterSet = "ISO_IR 192"
    note.SOPClassUID, note.SOPInstanceUID = KEY_OBJECTS, uid_of(rejection.uuid)
    note.PatientName, note.PatientID, note.PatientBirthDate, note.PatientSex = (
        study.patient_name,
        study.patient_id,
        study.patient_birth_date,
        study.patient_sex,
    )
    if study.issuer_of_patient_id:
        note.IssuerOfPatientID = study.issuer_of_patient_id
    note.StudyInstanceUID = acquired[0] if acquired else study.study_instance_uid
    note.StudyDate = f"{study.study_date:%Y%m%d}" if study.study_date else ""
    note.StudyTime = f"{study.study_time:%H%M%S}" if study.study_time else ""
    note.AccessionNumber, note.StudyID = study.accession_number, study.study_id
    note.ReferringPhysicianName, note.StudyDescription = study.referring_physician, study.description
    note.Modality, note.SeriesNumber, note.InstanceNumber = "KO", SERIES_NUMBER, 1
    note.SeriesInstanceUID = f"2.25.{uuid5(rejection.uuid, 'series').int}"
    note.SeriesDescription = TITLES[RejectionReason(rejection.code)][:64]
    note.ReferencedPerformedProcedureStepSequence = []
    note.Manufacturer = "Picha"
    note.ContentDate, note.ContentTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    _add_content(note, rejection, rows)
    note.CurrentRequestedProcedureEvidenceSequence = [
        _evidence(uid, [row for row, _uid in group])
        for uid, group in groupby(zip(rows, acquired, strict=True), key=lambda pair: pair[1])
    ]
    return note


# --- notes of others


class ToldNote(NamedTuple):
    """What a note says: its title, the instances, and why in words."""

    code: str
    instances: frozenset[str]
    reason: str


def read_note(document: Dataset) -> ToldNote | None:
    """None for a key object selection that rejects nothing."""
    title = next(iter(document.get("ConceptNameCodeSequence") or ()), Dataset())
    code = str(title.get("CodeValue", ""))
    if title.get("CodingSchemeDesignator") != "DCM" or code not in TITLES:
        return None
    named = frozenset(
        str(reference.get("ReferencedSOPInstanceUID", ""))
        for study in document.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for reference in series.get("ReferencedSOPSequence") or ()
    )
    texts = (item.get("TextValue") for item in document.get("ContentSequence") or () if item.get("ValueType") == "TEXT")
    return ToldNote(code, named - {""}, str(next(texts, None) or ""))


def obey(sop_instance_uid: str) -> None:
    """Take a stored note at its word. What is none, or cannot be read, is left as any other object."""
    row = ImagingInstance.objects.select_related("series").get(sop_instance_uid=sop_instance_uid)
    actor = Actor("storage", ae_title=row.received_from)
    try:
        with opened(row) as stored:
            document = header_of(stored)
            document.decode()
        told = read_note(document)
    except (Malformed, LookupError, ValueError) as error:
        log.warning("key_objects_unreadable", instance=row.pk, error=type(error).__name__)
        return
    if told is not None:
        is_own_only = bool(row.received_from) and not rejects_for_others(row.received_from)
        obey_rejection_note(
            row,
            code=told.code,
            instances=told.instances,
            reason=told.reason,
            is_own_only=is_own_only,
            actor=actor,
        )


# --- our own notes in detail


def _add_content(note: Dataset, rejection: ImageRejection, rows: Iterable[ImagingInstance]) -> None:
    title = Code(rejection.code, "DCM", TITLES[RejectionReason(rejection.code)])
    note.ValueType, note.ContinuityOfContent = "CONTAINER", "SEPARATE"
    note.ConceptNameCodeSequence = [code_item(title)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    note.ContentTemplateSequence = [template]
    words = Dataset()
    words.RelationshipType, words.ValueType, words.TextValue = "CONTAINS", "TEXT", rejection.reason
    words.ConceptNameCodeSequence = [code_item(DESCRIPTION)]
    note.ContentSequence = [words, *(_pointer(row) for row in rows)]


def _pointer(row: ImagingInstance) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE" if row.rows else "COMPOSITE"
    item.ReferencedSOPSequence = [_reference(row)]
    return item


def _reference(row: ImagingInstance) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = row.sop_class_uid, row.sop_instance_uid
    return item


def _evidence(study_instance_uid: str, rows: list[ImagingInstance]) -> Dataset:
    evidence = Dataset()
    evidence.StudyInstanceUID = study_instance_uid
    evidence.ReferencedSeriesSequence = []
    for uid, group in groupby(rows, key=lambda row: row.series.series_instance_uid):
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = uid, [_reference(row) for row in group]
        evidence.ReferencedSeriesSequence.append(series)
    return evidence


def _encoded(note: Dataset) -> bytes:
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, False
    write_dataset(target, note)
    return target.getvalue()
