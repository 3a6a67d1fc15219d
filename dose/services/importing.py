"""Dose reports read once, linked to their exam, and looked at when a single value is high."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from pydicom import Dataset

from dose import permissions as perms
from dose import rdsr
from dose.events import DoseReportImported, DoseReportLinked, DoseTriggered
from dose.levels import TRIGGERS, starter_levels
from dose.models import DoseReport, DoseTrigger, DoseTriggerStatus, IrradiationEvent, ReferenceLevel, TriggerLevel
from dose.quantities import QUANTITIES
from dose.rdsr import DoseEvent, ParsedDose
from orders.models import PatientIdentifier, RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData, NotKnown
from ris.core.ids import is_valid_uid
from ris.events.bus import publish
from worklist.models import ImagingInstance, ImagingStudy, ScheduledProcedureStep, Station

EVENT_FIELDS = (
    "event_type", "protocol", "target_region", "ctdi_vol", "ctdi_phantom", "dlp", "scanning_length", "pitch", "kvp",
    "tube_current", "exposure_time", "exposure", "dap", "dose_rp", "agd", "exposure_index", "target_exposure_index",
    "deviation_index", "ssde", "water_equivalent_diameter", "primary_angle", "secondary_angle", "source_to_detector",
    "compression_thickness", "compression_force", "activity", "half_life", "radionuclide", "laterality", "view",
    "plane", "filters", "is_repeated", "repeat_reason", "is_rejected", "more",
)  # fmt: skip
REPORT_FIELDS = (
    "study_instance_uid", "accession_number", "station_name", "manufacturer", "model_name", "modality",
    "patient_age_years", "patient_weight_kg", "patient_sex", "ctdi_vol_max", "dlp_total", "dap_total", "dose_rp_total",
    "agd_total", "fluoro_time", "administered_activity", "is_of_a_patient", "dap_fluoro", "dap_acquisition",
    "dose_rp_fluoro", "dose_rp_acquisition", "agd_left", "agd_right", "acquisition_time", "frame_count",
    "effective_dose", "patient_height_m", "procedure_name",
)  # fmt: skip
TOTALS = {
    "dlp_total": "dlp", "dap_total": "dap", "dose_rp_total": "dose_rp", "agd_total": "agd",
    "administered_activity": "activity",
}  # fmt: skip
#: Totals that no event carries: of a cumulative report only what it adds to the earlier ones
OF_THE_WHOLE = (
    "fluoro_time", "dap_fluoro", "dap_acquisition", "dose_rp_fluoro", "dose_rp_acquisition", "agd_left",
    "agd_right", "acquisition_time", "frame_count", "effective_dose",
)  # fmt: skip
FLUOROSCOPY_ROOMS = ("RF", "XA")


# --- import


def read_dataset(source: Dataset | bytes | str | Path) -> Dataset:
    """A data set, its bytes, or the path of its file. Raises InvalidData for what is no DICOM object."""
    if isinstance(source, Dataset):
        return source
    try:
        stream: Any = BytesIO(source) if isinstance(source, bytes) else source
        return pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    except Exception as failure:  # pydicom raises whatever a broken file makes its parts raise
        raise InvalidData(
            _("This is no DICOM object."),
            errors={"file": [_("It cannot be read: %(why)s.") % {"why": type(failure).__name__}]},
        ) from None


@service(perms.MANAGE_DOSE, action=Action.CREATE)
def import_dose_report(source: Dataset | bytes | str | Path, *, actor: Actor) -> DoseReport:
    """Store what a dose object says. The same object again changes nothing; events that an earlier report has brought
    (scanners send cumulative reports) count once: the later report keeps what is new.
    """
    parsed = rdsr.parse(read_dataset(source))
    _check(parsed)
    known = DoseReport.objects.filter(sop_instance_uid=parsed.sop_instance_uid).first()
    if known is not None:
        return known
    fresh = _without_known_events(parsed)
    report = DoseReport(
        sop_instance_uid=parsed.sop_instance_uid,
        source=parsed.kind if parsed.kind in rdsr.FALLBACKS else "rdsr",
        performed_at=_aware(parsed.started_at),
        event_count=len(fresh),
        warnings=parsed.warnings,
        **{name: getattr(parsed, name) for name in REPORT_FIELDS},
    )
    report.study = ImagingStudy.objects.filter(study_instance_uid=parsed.study_instance_uid).first()
    report.procedure = _procedure_of(parsed, report.study)
    report.station = _station_of(report)
    _settle_modality(report)
    try:
        with transaction.atomic():
            report.save_as(actor, _("Imported"))
            IrradiationEvent.objects.bulk_create(_row(report, event) for event in fresh)
    except IntegrityError:
        known = DoseReport.objects.filter(sop_instance_uid=parsed.sop_instance_uid).first()
        if known is None:
            raise
        return known
    publish(
        DoseReportImported(
            str(report.uuid), _accession(report), report.version, study_instance_uid=report.study_instance_uid
        ),
        actor=actor,
    )
    _pull_triggers(report, actor)
    return report


def _check(parsed: ParsedDose) -> None:
    wrong = {
        field: [_("This is no UID.")]
        for field in ("sop_instance_uid", "study_instance_uid")
        if not is_valid_uid(getattr(parsed, field))
    }
    if parsed.kind in rdsr.FALLBACKS and all(getattr(parsed, name) is None for name in (*TOTALS, "ctdi_vol_max")):
        wrong.setdefault("content", [_("It holds no dose.")])
    if wrong:
        raise InvalidData(_("This is no dose report that can be kept."), errors=wrong)


def _aware(moment: Any) -> Any:
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment)


def _row(report: DoseReport, event: DoseEvent) -> IrradiationEvent:
    fields = {name: getattr(event, name) for name in EVENT_FIELDS}
    fields["event_type"], fields["target_region"] = event.event_type[:64], event.target_region[:64]
    return IrradiationEvent(
        report=report,
        irradiation_event_uid=event.uid,
        position=event.position,
        started_at=_aware(event.started_at),
        **fields,
    )


def _without_known_events(parsed: ParsedDose) -> list[DoseEvent]:
    """The events that no earlier report has brought; with some known, the totals are those of the others."""
    known = set(
        IrradiationEvent.objects.filter(irradiation_event_uid__in=[event.uid for event in parsed.events]).values_list(
            "irradiation_event_uid", flat=True
        )
    )
    fresh = [event for event in parsed.events if event.uid not in known]
    if not known:
        return fresh
    parsed.warn(
        f"{len(known)} of {len(parsed.events)} events were reported before; the totals are those of the others."
    )
    for total, part in TOTALS.items():
        values = [value for event in fresh if (value := getattr(event, part)) is not None]
        setattr(parsed, total, sum(values) if values else None)
    earlier = DoseReport.objects.filter(events__irradiation_event_uid__in=known).distinct()
    counted = earlier.values(*OF_THE_WHOLE)
    for name in OF_THE_WHOLE:
        value = getattr(parsed, name)
        if value is not None:
            rest = value - sum(row[name] or 0 for row in counted)
            setattr(parsed, name, rest if fresh and rest > 0 else None)
    if not fresh:
        parsed.ctdi_vol_max = None
    return fresh


def _procedure_of(parsed: ParsedDose, study: ImagingStudy | None) -> RequestedProcedure | None:
    """By the study's own links, else by Study Instance UID, else by accession number, where the patient agrees."""
    if study is not None:
        linked = study.procedures.order_by("pk").first()
        if linked is not None:
            return linked
    candidates = RequestedProcedure.objects.select_related("order").order_by("pk")
    found = candidates.filter(study_instance_uid=parsed.study_instance_uid).first()
    if found is None and parsed.accession_number:
        found = candidates.filter(accession_number=parsed.accession_number).first()
    if found is None or not parsed.patient_id:
        return None
    numbers = PatientIdentifier.objects.filter(patient=found.order.patient_id, value=parsed.patient_id)
    if parsed.issuer_of_patient_id:
        numbers = numbers.filter(issuer=parsed.issuer_of_patient_id)
    return found if numbers.exists() else None


def _station_of(report: DoseReport) -> Station | None:
    """Where the exam was done: by the step, else by the name that the device calls itself."""
    if report.procedure is not None:
        steps = ScheduledProcedureStep.objects.filter(procedure=report.procedure, station__isnull=False).order_by("pk")
        step = steps.select_related("station").first()
        if step is not None:
            return step.station
    if not report.station_name:
        return None
    return (
        Station.objects.filter(name=report.station_name).first()
        or Station.objects.filter(ae_title=report.station_name).first()
    )


def _settle_modality(report: DoseReport) -> None:
    """A projection report does not say what it was made in; the order does."""
    ordered = report.procedure.modality if report.procedure is not None else ""
    if not report.modality or (report.modality in ("DX", "RF") and ordered in ("DX", "CR", *FLUOROSCOPY_ROOMS)):
        report.modality = ordered or report.modality


def _accession(report: DoseReport) -> str:
    return report.procedure.accession_number if report.procedure is not None else report.accession_number


# --- links


def _link(report: DoseReport, procedure: RequestedProcedure | None, actor: Actor, reason: str) -> DoseReport:
    report.procedure = procedure
    if procedure is not None:
        report.station = report.station or _station_of(report)
        _settle_modality(report)
    report.save_as(actor, reason)
    linked = str(procedure.uuid) if procedure is not None else ""
    publish(DoseReportLinked(str(report.uuid), _accession(report), report.version, procedure=linked), actor=actor)
    return report


@service(perms.MANAGE_DOSE)
def link_dose_report(
    report: DoseReport, *, procedure: RequestedProcedure, reason: str = "", actor: Actor
) -> DoseReport:
    """A person says which exam it belongs to."""
    report = DoseReport.locked(report.pk)
    if report.procedure_id == procedure.pk:
        return report
    return _link(report, procedure, actor, reason.strip()[:150] or _("Linked by hand"))


@service(perms.MANAGE_DOSE)
def unlink_dose_report(report: DoseReport, *, reason: str, actor: Actor) -> DoseReport:
    """It does not belong to that exam; it waits again."""
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    report = DoseReport.locked(report.pk)
    return report if report.procedure_id is None else _link(report, None, actor, reason.strip()[:150])


def link_waiting(study: ImagingStudy, procedure: RequestedProcedure, *, actor: Actor = SYSTEM) -> int:
    """The study was matched: its dose reports that wait belong to the same exam."""
    count = 0
    with transaction.atomic():
        waiting = DoseReport.objects.select_for_update(of=("self",)).filter(
            study_instance_uid=study.study_instance_uid, procedure__isnull=True
        )
        for report in waiting:
            report.study = study
            _link(report, procedure, actor, _("Study matched"))
            count += 1
    return count


def unlink_study(study_instance_uid: str, procedure: RequestedProcedure, *, actor: Actor = SYSTEM) -> int:
    """The study was taken from the exam: its dose goes with it."""
    count = 0
    with transaction.atomic():
        linked = DoseReport.objects.select_for_update(of=("self",)).filter(
            study_instance_uid=study_instance_uid, procedure=procedure
        )
        for report in linked:
            _link(report, None, actor, _("Study taken from the exam"))
            count += 1
    return count


def follow_study(study: ImagingStudy, *, actor: Actor = SYSTEM) -> int:
    """The dose reports among its objects belong to the exam that its images belong to now, or to none."""
    count = 0
    with transaction.atomic():
        exams = list(study.procedures.order_by("pk"))
        objects = ImagingInstance.objects.filter(series__study=study).values("sop_instance_uid")
        for report in DoseReport.objects.select_for_update(of=("self",)).filter(sop_instance_uid__in=objects):
            is_right = report.procedure_id in {exam.pk for exam in exams} or (not exams and report.procedure_id is None)
            if is_right and report.study_id == study.pk:
                continue
            report.study = study
            _link(report, exams[0] if exams else None, actor, _("Follows its images"))
            count += 1
    return count


# --- triggers


def _pull_triggers(report: DoseReport, actor: Actor) -> None:
    """One row per value above the facility's level; nobody is stopped, somebody is asked."""
    if not report.is_of_a_patient:
        return
    for level in TriggerLevel.objects.filter(modality=report.modality, is_active=True):
        shown = QUANTITIES.get(level.quantity)
        value = shown.of(report) if shown is not None and shown.unit == level.unit else None
        if shown is None or value is None or value <= level.limit:
            continue
        trigger = DoseTrigger(report=report, quantity=level.quantity, value=value, limit=level.limit, unit=level.unit)
        trigger.save_as(actor, _("Above the trigger level"))
        publish(
            DoseTriggered(str(trigger.uuid), _accession(report), trigger.version, quantity=level.quantity), actor=actor
        )


@service(perms.EXPLAIN_TRIGGER)
def explain_trigger(trigger: DoseTrigger, *, explanation: str, actor: Actor) -> DoseTrigger:
    """Why the dose was what it was: size of the patient, a repeat, several phases. The first words stand."""
    words = explanation.strip()
    if not words:
        raise InvalidData(_("Say why."), errors={"explanation": [_("This is needed.")]})
    if len(words) > 300:
        raise InvalidData(_("That is too long."), errors={"explanation": [_("At most 300 characters.")]})
    trigger = DoseTrigger.locked(trigger.pk)
    trigger.move_to(DoseTriggerStatus.EXPLAINED)
    trigger.explanation = words
    trigger.save_as(actor, _("Explained"))
    return trigger


# --- levels


def ensure_reference_levels() -> int:
    """The levels that a facility starts with; those it has are left as they are. Answers how many were made."""
    known = set(ReferenceLevel.objects.values_list("authority", "year", "exam", "quantity", "band"))
    made = 0
    for level in starter_levels():
        if (level.authority, level.year, level.exam, level.quantity, "adult") in known:
            continue
        row = ReferenceLevel(
            authority=level.authority,
            year=level.year,
            exam=level.exam,
            modality=level.modality,
            quantity=level.quantity,
            value=level.value,
            unit=level.unit,
            source=level.source,
            certainty=level.certainty,
        )
        row.save_as(SYSTEM, "Starter levels")
        made += 1
    return made


def ensure_trigger_levels() -> int:
    """Fluoroscopy's, until the physicist sets the facility's own."""
    made = 0
    for modality, quantity, limit, unit in TRIGGERS:
        if not TriggerLevel.objects.filter(modality=modality, quantity=quantity).exists():
            row = TriggerLevel(modality=modality, quantity=quantity, limit=limit, unit=unit)
            row._change_reason = "Starter levels"
            row.save()
            made += 1
    return made


def procedure_by_accession(accession_number: str, procedures: Iterable[RequestedProcedure] | Any) -> RequestedProcedure:
    """The one exam of this accession number among those that may be seen. Raises NotKnown, InvalidData when several."""
    found = list(procedures.filter(accession_number=accession_number.strip())[:2])
    if not found:
        raise NotKnown(_("There is no exam with this accession number."))
    if len(found) > 1:
        raise InvalidData(
            _("Several exams share this accession number."),
            errors={"accession_number": [_("Choose the exam in the order instead.")]},
        )
    return found[0]
