"""Where a device sends no dose report: the headers of the stored images and the performed step make the events.

A dose report that comes later takes their place; they stay, and count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydicom
import structlog
from django.core.files.storage import storages
from django.db.models import Max, Sum
from django.utils.translation import gettext as _
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from dose import rdsr
from dose.models import DoseReport, IrradiationEvent
from dose.rdsr import ParsedDose
from dose.rdsr.parsed import MPPS_SOP_CLASS
from dose.services.importing import RANKS, TOTALS, better_report, event_row, store
from dose.services.naming import classify
from dose.services.triggers import pull_triggers
from ris.core.actor import Actor
from worklist.models import ImagingInstance, ImagingStudy, PerformedProcedureStep, PPSStatus

log = structlog.get_logger(__name__)

#: Whose headers say what each exposure was; of the last two every slice repeats the administration
HEADERS = ("DX", "CR", "MG", "PX", "IO", "NM", "PT")
ONE_PER_SERIES = ("NM", "PT")
SECONDARY_CAPTURE = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4")
MOST_OBJECTS = 200
OF_THE_STEP = ("dlp_total", "dap_total", "fluoro_time", "frame_count")


def import_study_headers(study: ImagingStudy, *, actor: Actor) -> DoseReport | None:
    """One report of the study's images; None when a better source has told, or nothing says a dose."""
    procedure = study.procedures.order_by("pk").first()
    if better_report(study.study_instance_uid, procedure, rdsr.IMAGE) is not None:
        return None
    found = list(_read(study))
    steps = _steps_of(study)
    if not found:
        return next((made for step in steps if (made := import_step(step, actor=actor)) is not None), None)
    parsed = _together(study, found)
    for step in steps:
        told = _parsed_step(step)
        for name in OF_THE_STEP:
            if getattr(parsed, name) is None:
                setattr(parsed, name, getattr(told, name))
    known = DoseReport.objects.filter(sop_instance_uid=parsed.sop_instance_uid).first()
    if known is not None:
        return _add_events(known, parsed, actor)
    return store(parsed, source=parsed.kind, actor=actor)


def _read(study: ImagingStudy) -> Iterator[tuple[ImagingInstance, ParsedDose]]:
    """The objects that may say a dose, and what they say."""
    rows = ImagingInstance.objects.filter(series__study=study).select_related("series").order_by("series", "number")
    seen: set[int] = set()
    read = 0
    for row in rows.iterator(chunk_size=200):
        modality = row.series.modality
        is_header = modality in HEADERS
        if not is_header and not (modality in ("CT", "OT", "SC") and row.sop_class_uid in SECONDARY_CAPTURE):
            continue
        if modality in ONE_PER_SERIES and row.series_id in seen:
            continue
        seen.add(row.series_id)
        read += 1
        if read > MOST_OBJECTS:
            return
        parsed = _parsed_file(row)
        if parsed is not None and (parsed.events or parsed.dlp_total is not None):
            yield row, parsed


def _parsed_file(row: ImagingInstance) -> ParsedDose | None:
    try:
        with storages["instances"].open(row.path) as stored:
            return rdsr.parse(pydicom.dcmread(stored, stop_before_pixels=True, force=True))
    except (OSError, InvalidDicomError, ValueError, EOFError) as failure:
        log.warning("dose_header_unreadable", sop_instance_uid=row.sop_instance_uid, why=type(failure).__name__)
        return None


def _together(study: ImagingStudy, found: list[tuple[ImagingInstance, ParsedDose]]) -> ParsedDose:
    """One for all: each exposure once, the totals their sums, its key always the same."""
    whole = found[0][1]
    events = {}
    for row, parsed in found:
        for event in parsed.events:
            event.is_rejected = event.is_rejected or row.is_rejected
            events.setdefault(event.uid, event)
        for words in parsed.warnings:
            whole.warn(words)
    whole.kind = rdsr.SCREEN if any(parsed.kind == rdsr.SCREEN for _row, parsed in found) else rdsr.IMAGE
    whole.sop_instance_uid = rdsr.derived_uid(f"{study.study_instance_uid}:headers", 0)
    whole.study_instance_uid = study.study_instance_uid
    whole.events = list(events.values())
    for position, event in enumerate(whole.events, 1):
        event.position = position
    for total, part in TOTALS.items():
        values = [value for event in whole.events if (value := getattr(event, part)) is not None]
        said = [value for _row, parsed in found if (value := getattr(parsed, total)) is not None]
        setattr(whole, total, sum(values) if values else max(said, default=None))
    whole.ctdi_vol_max = max(
        (parsed.ctdi_vol_max for _row, parsed in found if parsed.ctdi_vol_max is not None), default=None
    )
    return whole


def _add_events(report: DoseReport, parsed: ParsedDose, actor: Actor) -> DoseReport | None:
    """More images came: their exposures are added, and the sums follow."""
    if report.replaced_by_id is not None:
        return None
    report = DoseReport.locked(report.pk)
    uids = [event.uid for event in parsed.events]
    known = set(
        IrradiationEvent.objects.filter(irradiation_event_uid__in=uids, is_replaced=False).values_list(
            "irradiation_event_uid", flat=True
        )
    )
    fresh = [event for event in parsed.events if event.uid not in known]
    if not fresh:
        return report
    last = report.events.aggregate(last=Max("position"))["last"] or 0
    for position, event in enumerate(fresh, last + 1):
        event.position = position
    IrradiationEvent.objects.bulk_create(event_row(report, event) for event in fresh)
    sums = report.events.aggregate(**{total: Sum(part) for total, part in TOTALS.items()})
    for total, value in sums.items():
        if value is not None:
            setattr(report, total, value)
    report.event_count = report.events.count()
    classify(report)
    report.save_as(actor, _("More images came"))
    pull_triggers(report, actor)
    return report


# --- the performed step


def _steps_of(study: ImagingStudy) -> list[PerformedProcedureStep]:
    rows = PerformedProcedureStep.objects.filter(
        study_instance_uid=study.study_instance_uid, status=PPSStatus.COMPLETED, is_manual=False
    )
    return list(rows.order_by("pk"))


def _parsed_step(step: PerformedProcedureStep) -> ParsedDose:
    dataset = Dataset.from_json(step.attributes)
    values: dict[str, Any] = {"SOPClassUID": MPPS_SOP_CLASS, "SOPInstanceUID": step.sop_instance_uid}
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    parsed = rdsr.parse(dataset)
    parsed.study_instance_uid = parsed.study_instance_uid or step.study_instance_uid
    parsed.modality = parsed.modality or step.modality[:4]
    parsed.started_at = step.started_at
    return parsed


def import_step(step: PerformedProcedureStep, *, actor: Actor) -> DoseReport | None:
    """What the scanner said of the dose when it ended the step; None where it said nothing or something better has."""
    if step.is_manual or not step.attributes:
        return None
    parsed = _parsed_step(step)
    tells = any(getattr(parsed, name) is not None for name in (*TOTALS, "ctdi_vol_max", "fluoro_time"))
    if not tells or not parsed.study_instance_uid:
        return None
    same = DoseReport.objects.counted().filter(
        study_instance_uid=parsed.study_instance_uid, source__in=[name for name in RANKS if name != rdsr.MPPS]
    )
    return None if same.exists() else store(parsed, source=rdsr.MPPS, actor=actor)
