"""Worklist items as data sets (worklist files, application/dicom+json), as what load_worklist_item takes."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.valuerep import PersonName

from interop.dicom.elements import Malformed
from interop.dicom.values import date_of, moment_of, text_of
from worklist.data import WorklistItem

MAX_FILE = 1024 * 1024
PRIORITIES = {"STAT": "stat", "HIGH": "asap", "MEDIUM": "urgent", "ROUTINE": "routine", "LOW": "routine"}


def read_worklist_file(path: Path) -> Dataset:
    """Raises Malformed for what is no worklist file."""
    if path.stat().st_size > MAX_FILE:
        raise Malformed("The file is too long for a worklist item.")
    try:
        dataset = dcmread(path, force=True)
        dataset.walk(lambda _dataset, _element: None)
    except Exception as wrong:
        raise Malformed(f"The file is no DICOM data set ({type(wrong).__name__}).") from None
    if "ScheduledProcedureStepSequence" not in dataset or not dataset.ScheduledProcedureStepSequence:
        raise Malformed("The file has no Scheduled Procedure Step Sequence.")
    return dataset


def item_from_dataset(dataset: Dataset) -> WorklistItem:
    """The identities of a worklist identifier (PS3.4 Table K.6-1)."""
    step = (dataset.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    codes = dataset.get("RequestedProcedureCodeSequence") or step.get("ScheduledProtocolCodeSequence") or [Dataset()]
    begins = moment_of(
        text_of(step, "ScheduledProcedureStepStartDate"),
        text_of(step, "ScheduledProcedureStepStartTime"),
        text_of(dataset, "TimezoneOffsetFromUTC"),
    )
    requester = _name(dataset, "RequestingPhysician") or _name(dataset, "ReferringPhysicianName")
    name = _name(dataset, "PatientName") or PersonName("")
    sex = text_of(dataset, "PatientSex", 1)
    return WorklistItem(
        patient_id=text_of(dataset, "PatientID", 64),
        issuer_of_patient_id=text_of(dataset, "IssuerOfPatientID", 64),
        family_name=name.family_name,
        given_name=name.given_name,
        middle_name=name.middle_name,
        prefix=name.name_prefix,
        suffix=name.name_suffix,
        ideographic_name=name.ideographic,
        phonetic_name=name.phonetic,
        birth_date=date_of(text_of(dataset, "PatientBirthDate")),
        sex=sex if sex in ("M", "F", "O") else "U",
        weight_kg=text_of(dataset, "PatientWeight") or None,
        height_m=text_of(dataset, "PatientSize") or None,
        accession_number=text_of(dataset, "AccessionNumber", 16),
        study_instance_uid=text_of(dataset, "StudyInstanceUID", 64),
        requested_procedure_id=text_of(dataset, "RequestedProcedureID", 16),
        scheduled_procedure_step_id=text_of(step, "ScheduledProcedureStepID", 16),
        code=text_of(codes[0], "CodeValue", 16) if codes else "",
        code_scheme=text_of(codes[0], "CodingSchemeDesignator", 16) if codes else "",
        description=text_of(dataset, "RequestedProcedureDescription", 64)
        or text_of(step, "ScheduledProcedureStepDescription", 64),
        modality=text_of(step, "Modality", 16),
        station_ae_title=text_of(step, "ScheduledStationAETitle").split("\\")[0],
        starts_at=begins,
        priority=PRIORITIES.get(text_of(dataset, "RequestedProcedurePriority"), "routine"),
        indication=text_of(dataset, "ReasonForTheRequestedProcedure", 200),
        contrast=text_of(step, "RequestedContrastAgent", 64),
        placer_order_number=text_of(dataset, "PlacerOrderNumberImagingServiceRequest", 64),
        requester_family_name=requester.family_name if requester else "",
        requester_given_name=requester.given_name if requester else "",
        transport=text_of(dataset, "PatientTransportArrangements", 64),
        location=text_of(dataset, "CurrentPatientLocation", 64),
    )


def _name(dataset: Dataset, keyword: str) -> PersonName | None:
    text = text_of(dataset, keyword)
    return PersonName(text) if text else None
