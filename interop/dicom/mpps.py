"""Modality Performed Procedure Step SCP (PS3.4 Annex F): lenient with what scanners send, strict in state.

What a scanner leaves out and we know as well (its title, the times, an identifier of the step) is filled in, with a
line in the log. What nobody but it can know is refused: the status (0x0120, 0x0121, 0x0106), and at the end the
Performed Series Sequence, which may be empty but not absent (Table F.7.2-1, requirement in the final state).
"""

from __future__ import annotations

from typing import Any

import structlog
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from interop.dicom.dimse import DimseError, Request, Status, n_create, n_get, n_set
from interop.dicom.values import moment_of, text_of
from ris.audit.service import record_read
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.core.ids import is_valid_uid, new_uid
from worklist.data import PerformedSeries, PerformedStepData, ScheduledStepReference
from worklist.models import PerformedProcedureStep, PPSStatus
from worklist.permissions import VIEW_STEP
from worklist.services import start_performed_step, update_performed_step

log = structlog.get_logger("interop.dicom.mpps")
PERFORMED_STEP, PERFORMED_STEP_RETRIEVE = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.3.1.2.3.4"
FINAL = (PPSStatus.COMPLETED, PPSStatus.DISCONTINUED)
#: Type 1 in N-CREATE, and filled in when a scanner does not send them.
FILLED_IN = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
)
#: N-SET must not change them (Table F.7.2-1: not allowed); sent all the same, they are not taken over.
FIXED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "Modality",
    "StudyID",
)


@n_create(PERFORMED_STEP, allowed_by="may_send_mpps", door="mpps")
def on_n_create(request: Request, actor: Actor) -> str:
    """The step begins. A scanner may leave it to us to name it (PS3.7 10.1.5.1.4)."""
    uid = request.sop_instance_uid or new_uid()
    if not is_valid_uid(uid):
        raise DimseError(Status.INVALID_INSTANCE, "The SOP Instance UID is not a UID.")
    attributes = request.dataset()
    if "PerformedProcedureStepStatus" not in attributes:
        raise DimseError(Status.MISSING_ATTRIBUTE, "(0040,0252) is missing.")
    if _status(attributes) != PPSStatus.IN_PROGRESS:
        raise DimseError(Status.INVALID_ATTRIBUTE_VALUE, "(0040,0252) must be IN PROGRESS in N-CREATE.")
    _check_series(attributes)
    _note("mpps_filled_in", actor, [keyword for keyword in FILLED_IN if not attributes.get(keyword)])
    start_performed_step(sop_instance_uid=uid, attributes=created(attributes, actor.ae_title), actor=actor)
    return uid


@n_set(PERFORMED_STEP, allowed_by="may_send_mpps", door="mpps")
def on_n_set(request: Request, actor: Actor) -> None:
    changes = request.dataset()
    status = _status(changes) if "PerformedProcedureStepStatus" in changes else ""
    _check_series(changes)
    if status in FINAL and "PerformedSeriesSequence" not in changes:
        _refuse_without_series(request.sop_instance_uid)
    _note("mpps_not_allowed_in_n_set", actor, [keyword for keyword in FIXED if keyword in changes])
    update_performed_step(sop_instance_uid=request.sop_instance_uid, changes=changed(changes), actor=actor)


def _status(attributes: Dataset) -> str:
    status = text_of(attributes, "PerformedProcedureStepStatus")
    if not status:
        raise DimseError(Status.MISSING_VALUE, "(0040,0252) has no value.")
    if status not in PPSStatus.values:
        raise DimseError(Status.INVALID_ATTRIBUTE_VALUE, "(0040,0252) has a value that PS3.3 does not know.")
    return status


def _check_series(attributes: Dataset) -> None:
    """Each item of (0040,0340) names its series."""
    for item in attributes.get("PerformedSeriesSequence") or ():
        if "SeriesInstanceUID" not in item:
            raise DimseError(Status.MISSING_ATTRIBUTE, "(0020,000E) is missing in (0040,0340).")
        uid = text_of(item, "SeriesInstanceUID")
        if not uid:
            raise DimseError(Status.MISSING_VALUE, "(0020,000E) has no value in (0040,0340).")
        if not is_valid_uid(uid):
            raise DimseError(Status.INVALID_ATTRIBUTE_VALUE, "(0020,000E) is not a UID in (0040,0340).")


def _refuse_without_series(sop_instance_uid: str) -> None:
    """A running step may end without the sequence only when an earlier N-SET has told its series."""
    known = PerformedProcedureStep.objects.filter(sop_instance_uid=sop_instance_uid, status=PPSStatus.IN_PROGRESS)
    if known.filter(series=[]).exists():
        raise DimseError(Status.MISSING_ATTRIBUTE, "(0040,0340) is missing: it may be empty at the end.")


def _note(event: str, actor: Actor, keywords: list[str]) -> None:
    if keywords:
        log.warning(event, ae_title=actor.ae_title, attributes=keywords)


@n_get(PERFORMED_STEP_RETRIEVE, allowed_by="may_send_mpps", door="mpps")
def on_n_get(request: Request, actor: Actor) -> bytes:
    """Modality Performed Procedure Step Retrieve (F.8): what the step says now."""
    step = PerformedProcedureStep.objects.filter(sop_instance_uid=request.sop_instance_uid).first()
    if step is None:
        raise NotKnown("There is no such performed step.")
    record_read(actor, VIEW_STEP, entity=step)
    known = Dataset.from_json(step.attributes)
    asked = request.attribute_tags
    chosen = Dataset()
    for element in known:
        if not asked or element.tag in asked:
            chosen.add(element)
    return request.encoded(chosen)


def created(attributes: Dataset, calling_ae_title: str) -> PerformedStepData:
    """N-CREATE's attributes (PS3.4 Table F.7.2-1)."""
    return PerformedStepData(
        scheduled_steps=tuple(_reference(item) for item in attributes.get("ScheduledStepAttributesSequence") or ()),
        patient_name=text_of(attributes, "PatientName", 200),
        patient_id=text_of(attributes, "PatientID", 64),
        issuer_of_patient_id=text_of(attributes, "IssuerOfPatientID", 64),
        patient_birth_date=text_of(attributes, "PatientBirthDate", 8),
        patient_sex=text_of(attributes, "PatientSex", 1),
        performed_procedure_step_id=text_of(attributes, "PerformedProcedureStepID", 16),
        station_ae_title=text_of(attributes, "PerformedStationAETitle", 16) or calling_ae_title,
        station_name=text_of(attributes, "PerformedStationName", 16),
        modality=text_of(attributes, "Modality", 16),
        started_at=_moment(attributes, "PerformedProcedureStepStart"),
        **_common(attributes),
    )


def changed(attributes: Dataset) -> PerformedStepData:
    """N-SET's changes. What may not be set any more (patient, scheduled steps, start) is not taken over."""
    kept = Dataset()
    fixed = {tag_for_keyword(keyword) for keyword in FIXED}
    for element in attributes:
        if int(element.tag) not in fixed:
            kept.add(element)
    return PerformedStepData(**_common(kept))


def _common(attributes: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {"attributes": attributes.to_json_dict(suppress_invalid_tags=True)}
    if "PerformedProcedureStepStatus" in attributes:
        found["status"] = text_of(attributes, "PerformedProcedureStepStatus")
    if "PerformedProcedureStepDescription" in attributes:
        found["description"] = text_of(attributes, "PerformedProcedureStepDescription", 64)
    if "PerformedSeriesSequence" in attributes:
        found["series"] = tuple(_series(item) for item in attributes.PerformedSeriesSequence or ())
    found["ended_at"] = _moment(attributes, "PerformedProcedureStepEnd")
    for reason in attributes.get("PerformedProcedureStepDiscontinuationReasonCodeSequence") or ():
        found["discontinuation_code"] = text_of(reason, "CodeValue", 16)
        found["discontinuation_meaning"] = text_of(reason, "CodeMeaning", 64)
        break
    return found


def _moment(attributes: Dataset, what: str) -> Any:
    offset = text_of(attributes, "TimezoneOffsetFromUTC")
    return moment_of(text_of(attributes, f"{what}Date"), text_of(attributes, f"{what}Time"), offset)


def _reference(item: Dataset) -> ScheduledStepReference:
    return ScheduledStepReference(
        scheduled_procedure_step_id=text_of(item, "ScheduledProcedureStepID", 16),
        requested_procedure_id=text_of(item, "RequestedProcedureID", 16),
        accession_number=text_of(item, "AccessionNumber", 16),
        study_instance_uid=text_of(item, "StudyInstanceUID", 64),
    )


def _series(item: Dataset) -> PerformedSeries:
    references = [
        text_of(reference, "ReferencedSOPInstanceUID", 64)
        for sequence in ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
        for reference in item.get(sequence) or ()
    ]
    return PerformedSeries(
        series_instance_uid=text_of(item, "SeriesInstanceUID", 64),
        description=text_of(item, "SeriesDescription", 64),
        protocol=text_of(item, "ProtocolName", 64),
        operator=text_of(item, "OperatorsName", 200),
        instances=tuple(reference for reference in references if reference),
    )
