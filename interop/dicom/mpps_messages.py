"""A performed step as data sets of N-CREATE and N-SET (PS3.4 Table F.7.2-1), for whoever is told of it by us."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from pydicom import Dataset

from interop.dicom.sr_content import code_item
from ris.core.concepts import Code
from worklist.models import PerformedProcedureStep, PPSStatus

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
UTF8 = "ISO_IR 192"
#: Said once, in N-CREATE.
ONLY_CREATED = (
    "ScheduledStepAttributesSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
    "StudyID",
    "SpecificCharacterSet",
)
#: Said when the step goes on or ends; present without a value in N-CREATE.
ONLY_SET = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", "PerformedSeriesSequence")
#: Type 2 of N-CREATE.
MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "ProcedureCodeSequence",
    "StudyID",
    "PerformedProtocolCodeSequence",
)
REASON = "PerformedProcedureStepDiscontinuationReasonCodeSequence"


def created(step: PerformedProcedureStep) -> Dataset:
    """As the modality sent it, without what it has said since; of a step begun by a person what we know."""
    message = _as_sent(step)
    for keyword in (*ONLY_SET, REASON):
        if keyword in message:
            del message[keyword]
    message.SpecificCharacterSet = UTF8
    message.PerformedProcedureStepStatus = PPSStatus.IN_PROGRESS.value
    _fill(message, "PerformedProcedureStepID", step.performed_procedure_step_id)
    _fill(message, "PerformedStationAETitle", step.station_ae_title)
    _fill(message, "Modality", step.modality or "OT")
    _fill(message, "PatientName", step.patient_name)
    _fill(message, "PatientID", step.patient_id)
    _fill(message, "PatientBirthDate", step.patient_birth_date)
    _fill(message, "PatientSex", step.patient_sex)
    if not message.get("PerformedProcedureStepStartDate"):
        _set_moment(message, "PerformedProcedureStepStart", step.started_at)
    if not message.get("ScheduledStepAttributesSequence"):
        message.ScheduledStepAttributesSequence = _scheduled(step)
    for keyword in (*MAY_BE_EMPTY, *ONLY_SET):
        if keyword not in message:
            setattr(message, keyword, [] if keyword.endswith("Sequence") else "")
    return message


def changed(step: PerformedProcedureStep) -> Dataset:
    """Everything that N-SET may say, as it stands now."""
    message = _as_sent(step)
    for keyword in ONLY_CREATED:
        if keyword in message:
            del message[keyword]
    message.SpecificCharacterSet = UTF8
    message.PerformedProcedureStepStatus = step.status
    if step.is_final:
        if not message.get("PerformedProcedureStepEndDate"):
            _set_moment(message, "PerformedProcedureStepEnd", step.ended_at)
        if not message.get("PerformedSeriesSequence"):
            message.PerformedSeriesSequence = [_series(row) for row in step.series]
    if step.discontinuation_code and not message.get(REASON):
        reason = Code(step.discontinuation_code, "DCM", step.discontinuation_meaning or "Discontinued")
        setattr(message, REASON, [code_item(reason)])
    return message


def _as_sent(step: PerformedProcedureStep) -> Dataset:
    return Dataset.from_json(step.attributes) if step.attributes else Dataset()


def _fill(message: Dataset, keyword: str, value: str) -> None:
    if not message.get(keyword):
        setattr(message, keyword, value)


def _set_moment(message: Dataset, what: str, moment: datetime | None) -> None:
    local = timezone.localtime(moment)
    setattr(message, f"{what}Date", f"{local:%Y%m%d}")
    setattr(message, f"{what}Time", f"{local:%H%M%S}")


def _scheduled(step: PerformedProcedureStep) -> list[Dataset]:
    """The scheduled steps that it is linked to; at least one item (Type 1)."""
    items = []
    for row in step.scheduled_steps.select_related("procedure").order_by("pk"):
        items.append(
            _reference(
                row.procedure.study_instance_uid,
                row.procedure.accession_number,
                row.procedure.requested_procedure_id,
                row.scheduled_procedure_step_id,
            )
        )
    return items or [_reference(step.study_instance_uid, step.accession_number, "", "")]


def _reference(study_instance_uid: str, accession_number: str, procedure_id: str, step_id: str) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID, item.AccessionNumber = study_instance_uid, accession_number
    item.RequestedProcedureID, item.ScheduledProcedureStepID = procedure_id, step_id
    item.RequestedProcedureDescription = item.ScheduledProcedureStepDescription = ""
    item.ReferencedStudySequence, item.ScheduledProtocolCodeSequence = [], []
    return item


def _series(row: dict) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID, item.SeriesDescription = row.get("uid", ""), row.get("description", "")
    item.ProtocolName = row.get("protocol", "") or "unknown"
    item.OperatorsName, item.PerformingPhysicianName, item.RetrieveAETitle = row.get("operator", ""), "", ""
    item.ReferencedImageSequence, item.ReferencedNonImageCompositeSOPInstanceSequence = [], []
    return item
