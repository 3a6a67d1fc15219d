"""The de-identified images of a shared teaching case to take along: DICOM files, and a Key Object Selection (PS3.3
A.35.4, TID 2010, titled For Teaching) that names them in their order.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from io import BytesIO
from itertools import groupby
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

import structlog
from django.http import FileResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.sr_content import code_item
from interop.dicom.store import local_path
from interop.imaging.deidentify import EMPTIED, renewed_uid
from reporting.models import TeachingCase, TeachingImage, TeachingStatus
from reporting.permissions import VIEW_TEACHING
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.actor import Actor
from ris.core.concepts import Code
from ris.core.errors import InvalidTransition, NotKnown

log = structlog.get_logger("interop.teaching")
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
FOR_TEACHING = Code("113004", "DCM", "For Teaching")
DESCRIPTION = Code("113012", "DCM", "Key Object Description")
SERIES_NUMBER = 9901


def exported(case: TeachingCase, *, actor: Actor) -> IO[bytes]:
    """A zip, open at its beginning: ``IM0001.dcm`` and on, ``KO0001.dcm``.

    Only of a shared case: its words were read by a person. Raises InvalidTransition, NotKnown when no image is there.
    """
    if case.status != TeachingStatus.SHARED:
        raise InvalidTransition(
            _("Only shared cases are taken along."),
            found=_("It is: %(status)s.") % {"status": case.get_status_display()},
            todo=_("Share it first: then a person has read it."),
        )
    images = list(TeachingImage.objects.visible_to(actor).shown().filter(case=case))
    with ExitStack() as opened:
        target = opened.enter_context(TemporaryFile())
        headers = _pack(target, case, images)
        opened.pop_all()  # whoever sends it closes it
    record(actor, VIEW_TEACHING, Action.READ, entity=case, detail={"export": True, "images": len(headers)})
    target.seek(0)
    return target


def _pack(target: IO[bytes], case: TeachingCase, images: list[TeachingImage]) -> list[Dataset]:
    headers: list[Dataset] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for image in images:
            try:
                with local_path(image.path) as path:
                    headers.append(dcmread(path, stop_before_pixels=True))
                    archive.write(path, f"IM{len(headers):04}.dcm")
            except FileNotFoundError:
                log.error("teaching_copy_missing", image=image.pk)
        if not headers:
            raise NotKnown(_("This case has no images."), todo=_("Add some from the report's studies."))
        selection = BytesIO()
        dcmwrite(selection, key_objects(case, headers), enforce_file_format=True)
        archive.writestr("KO0001.dcm", selection.getvalue())
    return headers


def key_objects(case: TeachingCase, headers: list[Dataset]) -> Dataset:
    """Of the case's copies, whose headers these are. Whoever makes it again gets the same."""
    note = Dataset()
    note.SpecificCharacterSet = "ISO_IR 192"
    note.SOPClassUID, note.SOPInstanceUID = KEY_OBJECTS, _uid(case, f"selection {case.version}")
    for keyword in EMPTIED:
        setattr(note, keyword, "")
    note.PatientSex, note.PatientIdentityRemoved = headers[0].get("PatientSex", ""), "YES"
    note.DeidentificationMethodCodeSequence = headers[0].DeidentificationMethodCodeSequence
    note.StudyInstanceUID, note.SeriesInstanceUID = headers[0].StudyInstanceUID, _uid(case, "series")
    note.Modality, note.SeriesNumber, note.InstanceNumber = "KO", SERIES_NUMBER, 1
    note.Manufacturer, note.ReferencedPerformedProcedureStepSequence = "Picha", []
    moment = timezone.localtime(case.reviewed_at)  # when a person read it: no day of the patient
    note.ContentDate, note.ContentTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    _add_content(note, case, headers)
    note.CurrentRequestedProcedureEvidenceSequence = [
        _evidence(study, list(rows)) for study, rows in _grouped(headers, "StudyInstanceUID")
    ]
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    note.file_meta.MediaStorageSOPClassUID = note.SOPClassUID
    note.file_meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID
    return note


def _uid(case: TeachingCase, what: str) -> str:
    return renewed_uid(what, str(case.uuid))


def _add_content(note: Dataset, case: TeachingCase, headers: list[Dataset]) -> None:
    note.ValueType, note.ContinuityOfContent = "CONTAINER", "SEPARATE"
    note.ConceptNameCodeSequence = [code_item(FOR_TEACHING)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    note.ContentTemplateSequence = [template]
    words = Dataset()
    words.RelationshipType, words.ValueType = "CONTAINS", "TEXT"
    words.TextValue = "\r\n".join(filter(None, (case.title, case.diagnosis)))
    words.ConceptNameCodeSequence = [code_item(DESCRIPTION)]
    pointers = []
    for row in headers:
        item = Dataset()
        item.RelationshipType, item.ValueType, item.ReferencedSOPSequence = "CONTAINS", "IMAGE", [_reference(row)]
        pointers.append(item)
    note.ContentSequence = [words, *pointers]


def _reference(row: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = row.SOPClassUID, row.SOPInstanceUID
    return item


def _grouped(rows: list[Dataset], keyword: str) -> Iterable[tuple[str, Iterable[Dataset]]]:
    return groupby(sorted(rows, key=lambda row: str(row[keyword].value)), key=lambda row: str(row[keyword].value))


def _evidence(study: str, rows: list[Dataset]) -> Dataset:
    evidence = Dataset()
    evidence.StudyInstanceUID, evidence.ReferencedSeriesSequence = study, []
    for uid, group in _grouped(rows, "SeriesInstanceUID"):
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = uid, [_reference(row) for row in group]
        evidence.ReferencedSeriesSequence.append(series)
    return evidence


def answer(case: TeachingCase, *, actor: Actor) -> FileResponse:
    name = f"teaching-{case.uuid}.zip"
    return FileResponse(exported(case, actor=actor), as_attachment=True, filename=name, content_type="application/zip")


@page(VIEW_TEACHING)
def teaching_export(request: ActorRequest, case: UUID) -> FileResponse:
    """The images of a shared case with a Key Object Selection, as a zip of DICOM files."""
    row = TeachingCase.objects.visible_to(request.actor).filter(uuid=case).first()
    if row is None:
        raise NotKnown(_("There is no such case."))
    return answer(row, actor=request.actor)
