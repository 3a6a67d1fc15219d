"""A dose that no device sends, copied by a person from the machine: in the units shown there, held against limits."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.compliance import tab_of
from dose.events import DoseEntered
from dose.models import DoseReport
from dose.quantities import QUANTITIES, TABS, Shown
from dose.services.importing import MANUAL, better_report, put_aside
from dose.services.linking import station_of
from dose.services.naming import classify
from dose.services.triggers import pull_triggers
from orders.models import RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.core.ids import new_uid
from ris.events.bus import publish

#: Shown units: what no patient ever receives is refused, what few do is asked about: (least, most, asked above)
LIMITS = {
    "ctdi_vol": (0.05, 1000, 150), "dlp": (0.5, 50_000, 5_000), "dap": (0.0001, 10_000, 500),
    "dose_rp": (0.001, 50_000, 5_000), "agd": (0.05, 200, 20), "fluoro_time": (1, 86_400, 5_400),
    "activity": (0.01, 50_000, 8_000),
}  # fmt: skip
#: Radiography's own: what is much for a chest is little for an angiography
ASKED_ABOVE = {("DX", "dap"): 50.0, ("CR", "dap"): 50.0, ("PX", "dap"): 5.0, ("IO", "dap"): 1.0, ("MG", "dap"): 20.0}


def quantities_of(modality: str) -> list[Shown]:
    """What is entered for an exam of this modality; empty where there is no radiation."""
    if not any(modality in modalities for modalities, _keys, _needed in TABS.values()) and modality not in ("PX", "IO"):
        return []
    keys = TABS["DX" if modality in ("PX", "IO") else tab_of(modality)][1]
    return [QUANTITIES[key] for key in keys]


def from_the_console(procedure: RequestedProcedure) -> dict[str, float]:
    """What was noted of its exposures at the console, summed, in shown units."""
    rows = procedure.exposures.filter(withdrawn_at__isnull=True)
    sums = rows.aggregate(dap=Sum("dap"), fluoro_time=Sum("fluoroscopy_seconds"))
    return {name: float(value) for name, value in sums.items() if value is not None}


def _checked(modality: str, values: dict[str, Any], is_confirmed: bool) -> dict[str, float | None]:
    """Field of the report -> kept value."""
    found: dict[str, float | None] = {}
    errors: dict[str, list[str]] = {}
    offered = quantities_of(modality)
    if not offered:
        raise InvalidData(_("This exam uses no radiation."), errors={"exam": [_("There is no dose of such an exam.")]})
    for shown in offered:
        raw = values.get(shown.key)
        if raw is None or str(raw).strip() == "":
            found[shown.field] = None
            continue
        try:
            value = float(str(raw).strip().replace(",", "."))
        except ValueError:
            errors[shown.key] = [_("This is no number.")]
            continue
        least, most, asked = LIMITS[shown.key]
        asked = ASKED_ABOVE.get((modality, shown.key), asked)
        limits = {"least": f"{least:g}", "most": f"{most:g}", "unit": shown.words, "asked": f"{asked:g}"}
        if not least <= value <= most:
            errors[shown.key] = [_("From %(least)s to %(most)s %(unit)s.") % limits]
        elif value > asked and not is_confirmed:
            errors[shown.key] = [_("More than %(asked)s %(unit)s is rare: look at the unit, or confirm it.") % limits]
        found[shown.field] = value / shown.factor
    if not errors and all(value is None for value in found.values()):
        errors[offered[0].key] = [_("Give at least one value.")]
    if errors:
        raise InvalidData(_("The dose is not kept."), errors=errors)
    return found


def _reason(words: str) -> str:
    reason = words.strip()
    if not reason or len(reason) > 200:
        why = _("At most 200 characters.") if reason else _("This is needed.")
        raise InvalidData(_("Say why."), errors={"reason": [why]})
    return reason


@service(perms.ENTER_DOSE, action=Action.CREATE)
def enter_dose(
    procedure: RequestedProcedure, *, reason: str, is_confirmed: bool = False, actor: Actor, **values: Any
) -> DoseReport:
    """``values``: quantity -> value in its shown unit; ``weight_kg`` besides. Refused where a device has told."""
    procedure = RequestedProcedure.locked(procedure.pk)
    why = _reason(reason)
    found = _checked(procedure.modality, values, is_confirmed)
    known = DoseReport.objects.counted().filter(procedure=procedure, source=MANUAL).exists()
    if known or better_report(procedure.study_instance_uid, procedure, MANUAL) is not None:
        words = _("Its dose was entered before; correct that.") if known else _("The device has sent a dose report.")
        raise InvalidData(words, errors={"exam": [words]})
    worse = put_aside(procedure.study_instance_uid, procedure, MANUAL)
    patient = procedure.order.patient
    number = patient.primary_identifier
    report = DoseReport(
        sop_instance_uid=new_uid(),
        study_instance_uid=procedure.study_instance_uid,
        accession_number=procedure.accession_number,
        study=procedure.studies.order_by("pk").first(),
        procedure=procedure,
        modality=procedure.modality,
        source=MANUAL,
        performed_at=procedure.performed_at or timezone.now(),
        patient_sex=patient.sex if patient.sex in ("M", "F", "O") else "",
        patient_id=number.value if number is not None else "",
        patient_weight_kg=_weight(values),
        entered_by=actor.user,
        entry_reason=why,
        **found,
    )
    report.station = station_of(report)
    classify(report, events=())
    report.save_as(actor, why)
    for row in worse:
        row.replaced_by = report
        row.save_as(actor, _("Replaced by a better source"))
    _told(report, actor)
    return report


@service(perms.ENTER_DOSE)
def correct_dose(
    report: DoseReport, *, reason: str, is_confirmed: bool = False, actor: Actor, **values: Any
) -> DoseReport:
    """What was copied wrongly; the history keeps what stood there. Only of what a person entered."""
    report = DoseReport.locked(report.pk)
    why = _reason(reason)
    if report.source != MANUAL or report.replaced_by_id is not None:
        words = _("Only a dose that was entered by hand, and not replaced since, is corrected.")
        raise InvalidData(words, errors={"report": [words]})
    for name, value in _checked(report.modality, values, is_confirmed).items():
        setattr(report, name, value)
    if "weight_kg" in values:
        report.patient_weight_kg = _weight(values)
    report.entry_reason, report.entered_by = why, actor.user
    classify(report, events=())
    report.save_as(actor, why)
    _told(report, actor)
    return report


def _weight(values: dict[str, Any]) -> float | None:
    raw = str(values.get("weight_kg") or "").strip().replace(",", ".")
    if not raw:
        return None
    try:
        weight = float(raw)
    except ValueError:
        weight = 0.0
    if not 0.2 <= weight <= 700:
        words = _("Kilograms, 0.2 to 700.")
        raise InvalidData(_("The dose is not kept."), errors={"weight_kg": [words]})
    return weight


def _told(report: DoseReport, actor: Actor) -> None:
    number = report.procedure.accession_number if report.procedure is not None else ""
    procedure = str(report.procedure.uuid) if report.procedure is not None else ""
    publish(DoseEntered(str(report.uuid), number, report.version, procedure=procedure), actor=actor)
    pull_triggers(report, actor)
