"""Doses for others: the original object, its events as a table, and a registry's rows without a name.

Registry rows are one per irradiation event. Exams and devices are named by the first 16 hex digits of an HMAC-SHA-256
under a key that is made for the one export and kept nowhere, so that rows of one file belong together and rows of two
files do not. Days become months, ages whole years (90 and more are 90), weights and heights multiples of five; UIDs,
accession numbers, protocols and all other words that a person may have typed stay here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any

from django.core.files.storage import storages
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.dashboards.question import Question, reports_of
from dose.effective import estimate
from dose.models import DoseReport, IrradiationEvent
from ris.audit.models import Action
from ris.audit.service import record
from ris.core import spreadsheet
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotKnown
from ris.tenants.context import require_schema, use_facility
from worklist.models import ImagingInstance

FORMATS = ("csv", "json", "xlsx")
#: Rows that a workbook is made of; CSV and JSON stream any number
MOST_IN_A_WORKBOOK = 50_000
PORTION = 2000
OLDEST = 90
CELL = 5.0

EVENT_NUMBERS = (
    "ctdi_vol", "dlp", "ssde", "ssde_computed", "water_equivalent_diameter", "scanning_length", "pitch", "kvp",
    "tube_current", "exposure_time", "exposure", "dap", "dose_rp", "agd", "exposure_index", "target_exposure_index",
    "deviation_index", "compression_thickness", "compression_force", "activity",
)  # fmt: skip
OF_EVENT = ("position", "event_type", "target_region", "laterality", "view", "ctdi_phantom", "radionuclide",
            *EVENT_NUMBERS, "is_repeated", "is_rejected")  # fmt: skip


@dataclass(frozen=True)
class RegistryRow:
    """SI as it is kept: docs/dose.md names each unit."""

    exam: str
    device: str
    manufacturer: str
    model_name: str
    modality: str
    source: str
    standard_exam: str
    month: str
    age_years: int | None
    sex: str
    weight_kg: float | None
    height_cm: float | None
    event: tuple[Any, ...]
    exam_dlp_mgycm: float | None
    effective_dose_msv_estimate: float | None
    coefficients: str

    def cells(self) -> list[Any]:
        cells: list[Any] = []
        for one in fields(self):
            value = getattr(self, one.name)
            cells += value if one.name == "event" else [value]
        return cells


def heads() -> list[str]:
    found: list[str] = []
    for one in fields(RegistryRow):
        found += OF_EVENT if one.name == "event" else [one.name]
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else CELL * round(value / CELL)


def _events(question: Question, actor: Actor) -> QuerySet[IrradiationEvent]:
    reports = reports_of(question, actor=actor).values("pk")
    return (
        IrradiationEvent.objects.filter(report__in=reports)
        .select_related("report__standard_exam", "report__procedure__catalogue")
        .order_by("pk")
    )


def _row(event: IrradiationEvent, key: bytes) -> RegistryRow:
    def alias(kind: str, value: object) -> str:
        return hmac.new(key, f"{kind} {value}".encode(), hashlib.sha256).hexdigest()[:16]

    report: DoseReport = event.report
    exam = report.standard_exam or (report.procedure.catalogue if report.procedure is not None else None)
    age, height = report.patient_age_years, report.patient_height_m
    guess = estimate(exam.body_region if exam is not None else "", report.dlp_total, age, report.modality)
    return RegistryRow(
        exam=alias("exam", report.procedure_id),
        device=alias("device", report.station_id or report.station_name),
        manufacturer=report.manufacturer,
        model_name=report.model_name,
        modality=report.modality,
        source=report.source,
        standard_exam=report.standard_exam.code if report.standard_exam is not None else "",
        month=f"{report.performed_at:%Y-%m}" if report.performed_at is not None else "",
        age_years=None if age is None else min(int(age), OLDEST),
        sex=report.patient_sex,
        weight_kg=_rounded(report.patient_weight_kg),
        height_cm=_rounded(None if height is None else 100 * height),
        event=tuple(getattr(event, name) for name in OF_EVENT),
        exam_dlp_mgycm=report.dlp_total,
        effective_dose_msv_estimate=None if guess is None else round(guess.value, 3),
        coefficients="" if guess is None else guess.coefficients,
    )


def registry(question: Question, kind: str, *, actor: Actor) -> Iterator[bytes]:
    """The file, portion by portion; recorded with what was asked for. ``kind``: one of FORMATS."""
    actor.require(perms.MANAGE_DOSE)
    if kind not in FORMATS:
        raise NotKnown(_("There is no such file."), todo=_("One of: %(all)s.") % {"all": ", ".join(FORMATS)})
    events = _events(question, actor)
    count = events.count()
    if kind == "xlsx" and count > MOST_IN_A_WORKBOOK:
        words = _("%(count)d rows; a workbook holds %(most)d.") % {"count": count, "most": MOST_IN_A_WORKBOOK}
        raise InvalidData(_("This is too much for a workbook."), errors={"days": [words, _("Take CSV or JSON.")]})
    detail = {**question.params(), "export": f"registry {kind}", "rows": count}
    record(actor, perms.MANAGE_DOSE, Action.EXECUTE, detail=detail)
    return _written(events, kind, require_schema())


def _written(events: QuerySet[IrradiationEvent], kind: str, schema: str) -> Iterator[bytes]:
    """In the facility that was asked: what streams runs after the request has left it."""
    key = secrets.token_bytes(32)
    with use_facility(schema):
        rows = (_row(event, key) for event in events.iterator(chunk_size=PORTION))
        yield from {"csv": _as_csv, "json": _as_json, "xlsx": _as_xlsx}[kind](rows)


def _as_csv(rows: Iterator[RegistryRow]) -> Iterator[bytes]:
    yield spreadsheet.as_csv(heads(), [])
    for row in rows:
        yield spreadsheet.as_csv(row.cells(), []).removeprefix(b"\xef\xbb\xbf")


def _as_json(rows: Iterator[RegistryRow]) -> Iterator[bytes]:
    names = heads()
    yield b'{"rows": [\n'
    for number, row in enumerate(rows):
        yield (b",\n" if number else b"") + json.dumps(dict(zip(names, row.cells(), strict=True))).encode()
    yield b"\n]}\n"


def _as_xlsx(rows: Iterator[RegistryRow]) -> Iterator[bytes]:
    yield spreadsheet.as_xlsx(_("Doses"), heads(), [row.cells() for row in rows])


CONTENT_TYPES = {"csv": spreadsheet.CSV, "json": "application/json", "xlsx": spreadsheet.XLSX}


def original(report: DoseReport) -> bytes:
    """The object as it came. Raises NotKnown for what a person wrote down, and for what is no longer kept."""
    instance = ImagingInstance.objects.filter(sop_instance_uid=report.sop_instance_uid).first()
    if instance is None or not storages["instances"].exists(instance.path):
        raise NotKnown(
            _("There is no original of this dose report."), todo=_("It was entered by hand, or is kept elsewhere.")
        )
    with storages["instances"].open(instance.path) as stored:
        return BytesIO(stored.read()).getvalue()


EVENT_HEADS = ("irradiation_event_uid", "started_at", "protocol", *OF_EVENT, "repeat_reason")


def event_table(report: DoseReport) -> list[list[Any]]:
    """The events of one report, in SI."""
    return [
        [getattr(event, name) if name != "started_at" else (event.started_at and event.started_at.isoformat())
         for name in EVENT_HEADS]
        for event in report.events.order_by("position")
    ]  # fmt: skip
