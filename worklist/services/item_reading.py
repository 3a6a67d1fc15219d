"""A DICOM worklist file or DICOM JSON object, read as the item it plans. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from ris.core.errors import InvalidData
from worklist.data import WorklistItem
from worklist.services.images import parse_date, parse_time

PRIORITIES = {"STAT": "stat", "HIGH": "asap", "MEDIUM": "urgent", "ROUTINE": "routine", "LOW": "routine"}
NO_NAME = {"family_name": "", "given_name": "", "middle_name": "", "prefix": "", "suffix": ""}


def item_of_json(document: Any) -> WorklistItem:
    """One object of the DICOM JSON model (PS3.18 F)."""
    if not isinstance(document, dict):
        raise InvalidData(_("A worklist item is one object."), errors={"item": _("Not an object.")})
    try:
        return item_of_dataset(Dataset.from_json(document))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        words = _("This is not the DICOM JSON model.")
        raise InvalidData(words, errors={"item": f"{type(problem).__name__}"}) from None


def item_of_dataset(dataset: Dataset) -> WorklistItem:
    """The fields of Table K.6-1 that plan a step; keys we do not keep are left aside."""
    step = (dataset.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    name = dataset.get("PatientName")
    requester = _name(dataset.get("RequestingPhysician"))
    code = (dataset.get("RequestedProcedureCodeSequence") or [Dataset()])[0]
    born = _text(dataset, "PatientBirthDate")
    return WorklistItem(
        patient_id=_text(dataset, "PatientID"),
        issuer_of_patient_id=_text(dataset, "IssuerOfPatientID"),
        **_name(name),
        ideographic_name=str(getattr(name, "ideographic", "") or "")[:64],
        phonetic_name=str(getattr(name, "phonetic", "") or "")[:64],
        birth_date=parse_date(born) if born else None,
        sex=_text(dataset, "PatientSex") or "U",
        weight_kg=dataset.get("PatientWeight") or None,
        height_m=dataset.get("PatientSize") or None,
        accession_number=_text(dataset, "AccessionNumber"),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        requested_procedure_id=_text(dataset, "RequestedProcedureID"),
        scheduled_procedure_step_id=_text(step, "ScheduledProcedureStepID"),
        code=_text(code, "CodeValue") or _text(dataset, "RequestedProcedureID"),
        code_scheme=_text(code, "CodingSchemeDesignator"),
        description=(
            _text(dataset, "RequestedProcedureDescription")
            or _text(code, "CodeMeaning")
            or _text(step, "ScheduledProcedureStepDescription")
        )[:64],
        modality=_text(step, "Modality"),
        station_ae_title=_text(step, "ScheduledStationAETitle").split("\\")[0],
        starts_at=_moment(step),
        priority=PRIORITIES.get(_text(dataset, "RequestedProcedurePriority").upper(), "routine"),
        indication=_text(dataset, "ReasonForTheRequestedProcedure"),
        protocol=_text(step, "CommentsOnTheScheduledProcedureStep"),
        contrast=_text(step, "RequestedContrastAgent"),
        placer_order_number=_text(dataset, "PlacerOrderNumberImagingServiceRequest"),
        placer_issuer=_text(dataset, "RequestingService"),
        requester_family_name=requester["family_name"],
        requester_given_name=requester["given_name"],
        transport=_text(dataset, "PatientTransportArrangements"),
        location=_text(dataset, "CurrentPatientLocation"),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(part) for part in value)
    return str(value).strip()


def _name(name: PersonName | None) -> dict[str, str]:
    if not name:
        return dict(NO_NAME)
    return {
        "family_name": str(name.family_name)[:64],
        "given_name": str(name.given_name)[:64],
        "middle_name": str(name.middle_name)[:64],
        "prefix": str(name.name_prefix)[:32],
        "suffix": str(name.name_suffix)[:32],
    }


def _moment(step: Dataset) -> datetime | None:
    day = parse_date(_text(step, "ScheduledProcedureStepStartDate"))
    if day is None:
        return None
    clock = parse_time(_text(step, "ScheduledProcedureStepStartTime")) or datetime.min.time()
    return timezone.make_aware(datetime.combine(day, clock))
