"""Dose objects read once; what several sources tell of one dose counts once."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from pydicom import Dataset

from dose import permissions as perms
from dose import rdsr
from dose.events import DoseReportImported
from dose.models import DoseReport, IrradiationEvent
from dose.rdsr import DoseEvent, ParsedDose, quick
from dose.services.linking import accession_of, procedure_of, settle_modality, station_of
from dose.services.naming import classify
from dose.services.triggers import pull_triggers
from orders.models import RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.ids import is_valid_uid
from ris.events.bus import publish
from worklist.models import ImagingStudy

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
    "effective_dose", "patient_height_m", "procedure_name", "patient_id", "patient_name", "study_description",
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
#: Sources of the same dose, the one that is believed most last. A person copies what no device told.
MANUAL, RDSR = "manual", "rdsr"
RANKS = {rdsr.MPPS: 1, rdsr.IMAGE: 2, rdsr.SCREEN: 3, MANUAL: 4, RDSR: 5}


def read_dataset(source: Dataset | bytes | str | Path) -> Dataset | quick.Item:
    """A data set, its bytes, or the path of its file. Raises InvalidData for what is no DICOM object."""
    if isinstance(source, Dataset):
        return source
    if isinstance(source, bytes) and (found := quick.read(source)) is not None:
        return found
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
    return store(parsed, source=parsed.kind if parsed.kind in rdsr.FALLBACKS else RDSR, actor=actor)


def store(parsed: ParsedDose, *, source: str, actor: Actor) -> DoseReport:
    """Once per object. What a better source has told already is not stored; what a worse one told is replaced."""
    known = DoseReport.objects.filter(sop_instance_uid=parsed.sop_instance_uid).first()
    if known is not None:
        return known
    study = ImagingStudy.objects.filter(study_instance_uid=parsed.study_instance_uid).first()
    procedure = procedure_of(parsed, study)
    better = better_report(parsed.study_instance_uid, procedure, source)
    if better is not None:
        return better
    worse = put_aside(parsed.study_instance_uid, procedure, source)
    fresh = _without_known_events(parsed)
    report = DoseReport(
        sop_instance_uid=parsed.sop_instance_uid,
        source=source,
        performed_at=_aware(parsed.started_at),
        event_count=len(fresh),
        warnings=parsed.warnings,
        study=study,
        procedure=procedure,
        **{name: getattr(parsed, name) for name in REPORT_FIELDS},
    )
    report.station = station_of(report)
    settle_modality(report)
    rows = [event_row(report, event) for event in fresh]
    classify(report, events=rows)
    try:
        with transaction.atomic():
            report.save_as(actor, _("Imported"))
            IrradiationEvent.objects.bulk_create(rows)
    except IntegrityError:
        known = DoseReport.objects.filter(sop_instance_uid=parsed.sop_instance_uid).first()
        if known is None:
            raise
        return known
    for row in worse:
        row.replaced_by = report
        row.save_as(actor, _("Replaced by a better source"))
    publish(
        DoseReportImported(
            str(report.uuid), accession_of(report), report.version, study_instance_uid=report.study_instance_uid
        ),
        actor=actor,
    )
    pull_triggers(report, actor)
    return report


def _of_the_same(study_instance_uid: str, procedure: RequestedProcedure | None) -> QuerySet[DoseReport]:
    """Reports of this dose: of the study; by hand, of the exam."""
    same = Q(study_instance_uid=study_instance_uid)
    if procedure is not None:
        same |= Q(procedure=procedure, source=MANUAL)
    return DoseReport.objects.counted().filter(same)


def better_report(study_instance_uid: str, procedure: RequestedProcedure | None, source: str) -> DoseReport | None:
    """A report of the same dose from a source that is believed more."""
    better = [name for name, rank in RANKS.items() if rank > RANKS[source]]
    return _of_the_same(study_instance_uid, procedure).filter(source__in=better).order_by("pk").first()


def put_aside(study_instance_uid: str, procedure: RequestedProcedure | None, source: str) -> list[DoseReport]:
    """The reports that this one replaces; their events make room for those with the same UIDs."""
    worse = [name for name, rank in RANKS.items() if rank < RANKS[source]]
    found = list(_of_the_same(study_instance_uid, procedure).filter(source__in=worse).select_for_update(of=("self",)))
    if found:
        IrradiationEvent.objects.filter(report__in=found).update(is_replaced=True)
    return found


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


def event_row(report: DoseReport, event: DoseEvent) -> IrradiationEvent:
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
        IrradiationEvent.objects.filter(
            irradiation_event_uid__in=[event.uid for event in parsed.events], is_replaced=False
        ).values_list("irradiation_event_uid", flat=True)
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
    earlier = DoseReport.objects.counted().filter(events__irradiation_event_uid__in=known).distinct()
    counted = earlier.values(*OF_THE_WHOLE)
    for name in OF_THE_WHOLE:
        value = getattr(parsed, name)
        if value is not None:
            rest = value - sum(row[name] or 0 for row in counted)
            setattr(parsed, name, rest if fresh and rest > 0 else None)
    if not fresh:
        parsed.ctdi_vol_max = None
    return fresh
