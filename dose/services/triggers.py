"""One exam that somebody looks at: above its trigger, much on one patient's skin, or of a pregnant patient."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.events import DoseTriggered, SkinFollowUpOpened
from dose.models import (
    DoseReport,
    DoseTrigger,
    DoseTriggerStatus,
    SkinFinding,
    SkinFollowUp,
    SkinFollowUpStatus,
    TriggerKind,
    TriggerLevel,
)
from dose.quantities import QUANTITIES, lines_of
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.events.bus import publish


def pull_triggers(report: DoseReport, actor: Actor) -> None:
    """One row per value above the facility's level; nobody is stopped, somebody is asked. Safe to call again."""
    if not report.is_of_a_patient or report.replaced_by_id is not None:
        return
    levels = list(TriggerLevel.objects.filter(modality=report.modality, is_active=True).order_by("weeks", "pk"))
    known = set(report.triggers.values_list("quantity", "kind"))
    over: list[dict[str, Any]] = []
    for level in levels:
        value = _value(report, level)
        if value is None or value <= level.limit:
            continue
        if level.kind == TriggerKind.SKIN:
            over.append(
                {
                    "quantity": level.quantity,
                    "value": value,
                    "limit": level.limit,
                    "unit": level.unit,
                    "weeks": level.weeks,
                }
            )
        elif (level.quantity, level.kind) not in known:
            known.add((level.quantity, level.kind))
            _pull(
                report,
                actor,
                kind=level.kind,
                quantity=level.quantity,
                value=value,
                limit=level.limit,
                unit=level.unit,
                weeks=level.weeks,
            )
    if over:
        _follow_skin(report, over, actor)
    if report.is_pregnant and not any(kind == TriggerKind.PREGNANCY for _quantity, kind in known):
        lines = lines_of(report)
        if lines:
            shown, value = lines[-1] if lines[0][0].key == "ctdi_vol" and len(lines) > 1 else lines[0]
            _pull(report, actor, kind=TriggerKind.PREGNANCY, quantity=shown.key, value=value, limit=0, unit=shown.unit)


def _value(report: DoseReport, level: TriggerLevel) -> float | None:
    """In shown units; with weeks, the sum of the patient's exams so far before this one and of this one."""
    shown = QUANTITIES.get(level.quantity)
    if shown is None or shown.unit != level.unit:
        return None
    value = shown.of(report)
    if value is None or not level.weeks:
        return value
    if report.procedure is None or report.performed_at is None or not shown.sums:
        return None
    before = (
        DoseReport.objects.counted()
        .filter(
            procedure__order__patient=report.procedure.order.patient_id,
            modality=report.modality,
            is_of_a_patient=True,
            performed_at__gt=report.performed_at - timedelta(weeks=level.weeks),
            performed_at__lte=report.performed_at,
        )
        .exclude(pk=report.pk)
        .aggregate(sum=Sum(shown.field))["sum"]
    )
    return value + (before or 0) * shown.factor


def _pull(report: DoseReport, actor: Actor, **fields: Any) -> None:
    trigger = DoseTrigger(report=report, **fields)
    trigger.save_as(actor, _("Above the trigger level"))
    number = report.procedure.accession_number if report.procedure is not None else report.accession_number
    publish(
        DoseTriggered(str(trigger.uuid), number, trigger.version, quantity=trigger.quantity, kind=trigger.kind),
        actor=actor,
    )


def _follow_skin(report: DoseReport, reasons: list[dict[str, Any]], actor: Actor) -> None:
    if SkinFollowUp.objects.filter(report=report).exists():
        return
    row = SkinFollowUp(report=report, reasons=reasons)
    row.save_as(actor, _("Substantial skin dose"))
    number = report.procedure.accession_number if report.procedure is not None else report.accession_number
    publish(SkinFollowUpOpened(str(row.uuid), number, row.version), actor=actor)


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


@service(perms.FOLLOW_SKIN)
def tell_patient(follow_up: SkinFollowUp, *, told_how: str, look_on: Any = None, actor: Actor) -> SkinFollowUp:
    """The patient knows what to watch for, and when the skin is looked at."""
    words = told_how.strip()
    if not words or len(words) > 200:
        why = _("At most 200 characters.") if words else _("This is needed.")
        raise InvalidData(_("Say how the patient was told."), errors={"told_how": [why]})
    follow_up = SkinFollowUp.locked(follow_up.pk)
    follow_up.move_to(SkinFollowUpStatus.TOLD)
    follow_up.told_how, follow_up.told_at, follow_up.look_on = words, timezone.now(), look_on
    follow_up.save_as(actor, _("Patient told"))
    return follow_up


@service(perms.FOLLOW_SKIN)
def close_skin_follow_up(follow_up: SkinFollowUp, *, finding: str, note: str = "", actor: Actor) -> SkinFollowUp:
    """What was seen of the skin, or that the patient was not reached."""
    if finding not in SkinFinding.values:
        raise InvalidData(_("Say what was seen."), errors={"finding": [_("This is needed.")]})
    if len(note.strip()) > 300:
        raise InvalidData(_("That is too long."), errors={"note": [_("At most 300 characters.")]})
    follow_up = SkinFollowUp.locked(follow_up.pk)
    follow_up.move_to(SkinFollowUpStatus.CLOSED)
    follow_up.finding, follow_up.note = finding, note.strip()
    follow_up.save_as(actor, _("Skin looked at"))
    return follow_up
