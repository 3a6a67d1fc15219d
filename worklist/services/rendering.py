"""The worklist item: the full identifier of PS3.4 Table K.6-1, rendered in the transaction that changes what it says.

The bytes are implicit VR little endian in UTF-8; beside them stand the columns that queries match. ``refresh_item``
is the only writer of ``is_on_worklist``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from orders.models import Order, Patient, PatientAlert, Priority, ProcedureStatus, RequestedProcedure
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.core.actor import Actor
from ris.core.lifecycle import signed
from worklist.models import OFFERED, ScheduledProcedureStep, ScreeningAnswer, Station

PRIORITIES = {Priority.STAT: "STAT", Priority.ASAP: "HIGH", Priority.URGENT: "MEDIUM", Priority.ROUTINE: "ROUTINE"}
LIVE_PROCEDURES = frozenset(
    {
        ProcedureStatus.ACCEPTED,
        ProcedureStatus.SCHEDULED,
        ProcedureStatus.ARRIVED,
        ProcedureStatus.IN_PROGRESS,
        ProcedureStatus.PERFORMED,
        ProcedureStatus.READY_TO_READ,
        ProcedureStatus.READING,
        ProcedureStatus.PRELIMINARY,
    }
)
PREGNANCY_NO, PREGNANCY_POSSIBLE, PREGNANCY_YES, PREGNANCY_UNKNOWN = 1, 2, 3, 4
ALPHABETIC_CHARACTERS = "ISO_IR 192"


def lo(text: object) -> str:
    """A value of VR LO or SH: one line, no backslash, at most 64 characters."""
    return " ".join(str(text or "").replace("\\", "/").split())[:64]


def person(who: Practitioner | None) -> str:
    if who is None:
        return ""
    parts = [who.family_name, who.given_name, "", who.prefix, who.suffix]
    return "^".join(lo(part).replace("^", " ") for part in parts).rstrip("^")


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = lo(value)[:16]
    item.CodingSchemeDesignator = lo(scheme)[:16]
    item.CodeMeaning = lo(meaning or value)
    return item


def encode(dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, True
    write_dataset(stream, dataset)
    return stream.getvalue()


def render_step(step: ScheduledProcedureStep) -> bytes:
    """The step as a scanner may ask for it: every Type 1 and 2 key, whoever asks gets a selection of it."""
    return encode(item_of(step))


def item_of(step: ScheduledProcedureStep) -> Dataset:
    procedure: RequestedProcedure = step.procedure
    order: Order = procedure.order
    item = Dataset()
    item.SpecificCharacterSet = ALPHABETIC_CHARACTERS
    _patient_keys(item, order.patient)
    _safety_keys(item, order, procedure)
    _order_keys(item, order)
    _procedure_keys(item, procedure)
    item.ScheduledProcedureStepSequence = [_step_item(step, procedure)]
    return item


def _patient_keys(item: Dataset, patient: Patient) -> None:
    primary = patient.primary_identifier
    item.PatientName = patient.dicom_name
    item.PatientID = lo(primary.value) if primary else str(patient.uuid)
    item.IssuerOfPatientID = lo(primary.issuer) if primary else ""
    item.OtherPatientIDsSequence = [_other_identifier(row) for row in patient.identifiers.all() if row != primary]
    item.PatientBirthDate = f"{patient.birth_date:%Y%m%d}" if patient.birth_date else ""
    item.PatientSex = patient.sex if patient.sex in ("M", "F", "O") else ""
    item.PatientWeight = f"{patient.weight_kg:.2f}".rstrip("0").rstrip(".") if patient.weight_kg else None
    item.PatientSize = f"{patient.height_m:.2f}" if patient.height_m else None
    item.ConfidentialityConstraintOnPatientDataDescription = "RESTRICTED" if patient.is_restricted else ""
    item.ReferencedPatientSequence = []


def _other_identifier(row: Any) -> Dataset:
    other = Dataset()
    other.PatientID = lo(row.value)
    other.IssuerOfPatientID = lo(row.issuer)
    other.TypeOfPatientID = "TEXT"
    return other


def _safety_keys(item: Dataset, order: Order, procedure: RequestedProcedure) -> None:
    kinds = PatientAlert.Kind
    alerts = [row for row in order.patient.alert_rows.all() if row.is_active]
    told = [lo(row.text) for row in alerts if row.kind not in (kinds.ALLERGY, kinds.ISOLATION, kinds.PREGNANCY)]
    needs = [lo(row.text) for row in alerts if row.kind == kinds.ISOLATION] + [lo(order.isolation), lo(order.transport)]
    item.PatientState = lo(order.clinical_information)
    item.PregnancyStatus = pregnancy_status(order.patient, procedure, alerts)
    item.MedicalAlerts = told
    item.Allergies = [lo(row.text) for row in alerts if row.kind == kinds.ALLERGY]
    item.SpecialNeeds = lo("; ".join(dict.fromkeys(need for need in needs if need)))


def pregnancy_status(patient: Patient, procedure: RequestedProcedure, alerts: Iterable[PatientAlert]) -> int | None:
    """(0010,21C0): what the newest questionnaire says, else an alert, else unknown; empty for men."""
    if patient.sex == "M":
        return None
    for screening in _screenings(procedure):
        answer = screening.answers.get("pregnant")
        if answer is not None:
            return {"no": PREGNANCY_NO, "yes": PREGNANCY_POSSIBLE}.get(str(answer).lower(), PREGNANCY_UNKNOWN)
    if any(row.kind == PatientAlert.Kind.PREGNANCY for row in alerts):
        return PREGNANCY_YES
    return PREGNANCY_UNKNOWN


def _screenings(procedure: RequestedProcedure) -> list[ScreeningAnswer]:
    rows = [row for row in procedure.screenings.all() if row.superseded_at is None]
    return sorted(rows, key=lambda row: row.pk, reverse=True)


def _order_keys(item: Dataset, order: Order) -> None:
    visit = order.visit
    item.AccessionNumber = ""
    item.ReferringPhysicianName = person(order.requester)
    item.RequestingPhysician = person(order.requester)
    item.RequestingService = lo(order.requester.organisation) if order.requester else ""
    item.AdmissionID = lo(visit.visit_number) if visit else ""
    item.CurrentPatientLocation = lo(order.location or (visit.location if visit else ""))
    item.PlacerOrderNumberImagingServiceRequest = lo(order.placer_order_number)
    item.FillerOrderNumberImagingServiceRequest = lo(order.filler_order_number)
    item.PatientTransportArrangements = lo(order.transport)
    item.RequestedProcedurePriority = PRIORITIES.get(order.priority, "ROUTINE")
    item.ReasonForTheRequestedProcedure = lo(order.indication)
    item.IssueDateOfImagingServiceRequest = f"{timezone.localtime(order.ordered_at):%Y%m%d}"


def _procedure_keys(item: Dataset, procedure: RequestedProcedure) -> None:
    described = procedure.description_with_side
    item.AccessionNumber = procedure.accession_number
    item.StudyInstanceUID = procedure.study_instance_uid
    item.ReferencedStudySequence = []
    item.RequestedProcedureID = procedure.requested_procedure_id
    item.RequestedProcedureDescription = lo(described)
    item.RequestedProcedureCodeSequence = [code_item(procedure.code, procedure.code_scheme, procedure.description)]
    item.RequestedProcedureComments = lo(procedure.comments_to_technologist)


def _step_item(step: ScheduledProcedureStep, procedure: RequestedProcedure) -> Dataset:
    begins = timezone.localtime(step.starts_at)
    item = Dataset()
    item.ScheduledStationAETitle = stations_of(step)
    item.ScheduledStationName = lo(step.station.name)[:16] if step.station else ""
    item.ScheduledProcedureStepLocation = lo(step.station.room.code)[:16] if step.station else ""
    item.ScheduledProcedureStepStartDate = f"{begins:%Y%m%d}"
    item.ScheduledProcedureStepStartTime = f"{begins:%H%M%S}"
    item.Modality = step.modality
    item.ScheduledPerformingPhysicianName = person(step.performing_physician)
    item.ScheduledProcedureStepDescription = lo(step.description or procedure.description_with_side)
    value, scheme = step.protocol_code or procedure.code, step.protocol_scheme or procedure.code_scheme
    meaning = step.protocol_meaning or procedure.protocol or procedure.description
    item.ScheduledProtocolCodeSequence = [code_item(value, scheme, meaning)]
    item.PreMedication = lo(step.pre_medication)
    item.RequestedContrastAgent = lo(procedure.contrast)
    item.ScheduledProcedureStepID = step.scheduled_procedure_step_id
    item.ScheduledProcedureStepStatus = step.status
    item.CommentsOnTheScheduledProcedureStep = lo(procedure.protocol)
    return item


def stations_of(step: ScheduledProcedureStep) -> list[str]:
    """Its station, or all of the modality when any of them may take it (VM of (0040,0001) is 1-n)."""
    if step.station is not None:
        return [step.station.ae_title]
    return list(Station.objects.filter(modality=step.modality, is_active=True).values_list("ae_title", flat=True))


def belongs_on_worklist(step: ScheduledProcedureStep) -> bool:
    if step.status not in OFFERED or step.starts_at is None or not step.modality:
        return False
    if step.procedure.status not in LIVE_PROCEDURES:
        return False
    if step.is_blocked and facility_settings().withhold_blocked_steps:
        return False
    return bool(stations_of(step))


def refresh_item(step: ScheduledProcedureStep) -> None:
    """Render onto the unsaved step and set its key columns; the caller saves it."""
    procedure = step.procedure
    patient = procedure.order.patient
    step.is_on_worklist = belongs_on_worklist(step)
    if not step.is_on_worklist:
        step.item = None
        return
    rendered = item_of(step)
    begins = timezone.localtime(step.starts_at)
    step.item = encode(rendered)
    step.item_version += 1
    step.item_patient_version = patient.version
    step.item_procedure_version = procedure.version
    step.key_station_ae = step.station.ae_title if step.station else ""
    step.key_date, step.key_time = begins.date(), begins.time().replace(microsecond=0)
    step.key_patient = patient.uuid
    step.key_patient_id = rendered.PatientID
    step.key_patient_name = patient.dicom_name.upper()[:200]
    step.key_accession_number = procedure.accession_number
    step.key_study_instance_uid = procedure.study_instance_uid
    step.key_requested_procedure_id = procedure.requested_procedure_id
    step.key_performing_physician = person(step.performing_physician).upper()[:200]


ITEM_FIELDS = (
    "item",
    "item_version",
    "item_patient_version",
    "item_procedure_version",
    "is_on_worklist",
    "is_blocked",
    "key_station_ae",
    "key_date",
    "key_time",
    "key_patient",
    "key_patient_id",
    "key_patient_name",
    "key_accession_number",
    "key_study_instance_uid",
    "key_requested_procedure_id",
    "key_performing_physician",
)


def renderable(**conditions: Any) -> list[ScheduledProcedureStep]:
    """Locked steps with all that rendering reads, fresh from the database."""
    return list(
        ScheduledProcedureStep.objects.select_for_update(of=("self",))
        .filter(**conditions)
        .select_related(
            "procedure__order__patient",
            "procedure__order__requester",
            "procedure__order__visit",
            "procedure__catalogue",
            "station__room",
            "performing_physician",
        )
        .prefetch_related(
            "procedure__order__patient__identifiers",
            "procedure__order__patient__alert_rows",
            "procedure__screenings",
        )
        .order_by("pk")
    )


def refresh_steps(actor: Actor, why: str, **conditions: Any) -> int:
    """Render again what is offered to scanners, in the caller's transaction; answers how many were looked at.

    Rendered columns are derived and have no history; a step that appears or vanishes is saved with its history row.
    """
    steps = renderable(status__in=OFFERED, **conditions)
    for step in steps:
        was_offered = step.is_on_worklist
        refresh_item(step)
        if was_offered != step.is_on_worklist:
            step._history_user = actor.user
            step._change_reason = signed(why, actor)
            step.save(update_fields=ITEM_FIELDS)
        elif was_offered:
            values = {name: getattr(step, name) for name in ITEM_FIELDS}
            ScheduledProcedureStep.objects.filter(pk=step.pk).update(**values)
    return len(steps)


def refresh_patients(patients: Iterable[Any], actor: Actor, why: str) -> int:
    return refresh_steps(actor, why, procedure__order__patient__uuid__in=list(patients))


def fill_in_patients() -> int:
    """The patients of offered steps that were rendered before there was ``key_patient``; answers how many."""
    of_step = Patient.objects.filter(orders__procedures__steps=OuterRef("pk")).values("uuid")[:1]
    offered = ScheduledProcedureStep.objects.filter(is_on_worklist=True, key_patient__isnull=True)
    return offered.update(key_patient=Subquery(of_step))


def save_step(step: ScheduledProcedureStep, actor: Actor, reason: str) -> ScheduledProcedureStep:
    """Save a changed step, and with it the item that scanners see."""
    refresh_item(step)
    step.save_as(actor, reason)
    return step


__all__ = [
    "belongs_on_worklist",
    "fill_in_patients",
    "item_of",
    "refresh_item",
    "refresh_patients",
    "refresh_steps",
    "render_step",
    "renderable",
    "save_step",
]
