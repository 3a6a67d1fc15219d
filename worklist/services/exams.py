"""The technologist's console: time-out, start, what was used and thrown away, complete, stop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ChargeStatus, ProcedureStatus, RequestedProcedure
from orders.permissions import MANAGE_CHARGE
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import InvalidData, InvalidTransition
from ris.core.lifecycle import signed
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.codes import IDENTIFIED_BY, NOTE_CHIPS, REJECT_REASONS, TIME_OUT_CHECKS
from worklist.events import ExamCompleted, StepStarted
from worklist.models import (
    OFFERED,
    ConsumableUse,
    ImagingStudy,
    PerformedProcedureStep,
    PPSStatus,
    RejectedExposure,
    SPSStatus,
    Station,
    TechnologistNote,
    TimeOut,
)
from worklist.services import completeness, performed, rendering
from worklist.services.screening import refuse_unsafe_start
from worklist.services.steps import make_step, move_steps, steps_of
from worklist.services.support import lock_procedure, now

BEFORE = (ProcedureStatus.ACCEPTED, ProcedureStatus.SCHEDULED, ProcedureStatus.ARRIVED)
NOT_TO_COMPLETE = (
    ProcedureStatus.REQUESTED,
    ProcedureStatus.VETTING,
    ProcedureStatus.INFO_REQUESTED,
    ProcedureStatus.ON_HOLD,
    ProcedureStatus.REJECTED,
    ProcedureStatus.CANCELLED,
    ProcedureStatus.NO_SHOW,
    ProcedureStatus.REPLACED,
    ProcedureStatus.DISCONTINUED,
)
IDENTIFIERS_NEEDED = 2


def sign(row: models.Model, actor: Actor, reason: str) -> None:
    row._history_user = actor.user  # type: ignore[attr-defined]
    row._change_reason = signed(reason, actor)  # type: ignore[attr-defined]
    row.save()


def _refuse(procedure: RequestedProcedure, asked: str, todo: str) -> InvalidTransition:
    return InvalidTransition(
        _("The exam is not where that is possible."),
        asked=asked,
        found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
        todo=todo,
    )


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_time_out(
    procedure: RequestedProcedure, *, identifiers: Iterable[str], checks: Iterable[str], actor: Actor
) -> TimeOut:
    """The last look: who it is by two identifiers, and that exam, side, safety and entry are right."""
    identifiers, checks = sorted(set(identifiers)), sorted(set(checks))
    errors: dict[str, str] = {}
    if not set(identifiers) <= IDENTIFIED_BY.keys() or len(identifiers) < IDENTIFIERS_NEEDED:
        errors["identifiers"] = _("Confirm two identifiers.")
    missing = [str(words) for key, words in TIME_OUT_CHECKS.items() if key not in checks]
    if missing or not set(checks) <= TIME_OUT_CHECKS.keys():
        errors["checks"] = _("Not confirmed: %(what)s.") % {"what": ", ".join(missing) or _("an unknown check")}
    if errors:
        raise InvalidData(_("The time-out is not complete."), errors=errors)
    row = TimeOut(procedure=procedure, identifiers=identifiers, checks=checks, done_by=actor.user)
    sign(row, actor, "Time-out")
    return row


def refuse_without_time_out(procedure: RequestedProcedure) -> None:
    if not procedure.time_outs.exists():
        raise InvalidTransition(
            _("The time-out has not been done."),
            asked=_("To start the exam."),
            found=_("Nobody has confirmed patient, exam and side."),
            todo=_("Do the time-out, then start."),
        )


@service(perms.PERFORM_STEP, action=Action.EXECUTE)
def start_exam(
    procedure: RequestedProcedure, *, station: Station | None = None, needs_time_out: bool = False, actor: Actor
) -> RequestedProcedure:
    """Start by hand, where the station sends no MPPS. Refused while safety answers block or lack.

    ``needs_time_out``: the console's own door, which also refuses a start without the last look.
    """
    procedure = lock_procedure(procedure)
    if procedure.status not in BEFORE:
        raise _refuse(procedure, _("To start the exam."), _("Only an accepted, planned or arrived exam starts."))
    refuse_unsafe_start(procedure)
    if needs_time_out:
        refuse_without_time_out(procedure)
    _start_by_hand(procedure, station, now(), actor)
    return lock_procedure(procedure)


def _start_by_hand(
    procedure: RequestedProcedure, station: Station | None, moment: datetime, actor: Actor
) -> PerformedProcedureStep:
    scheduled = steps_of(procedure, *OFFERED)[:1]
    if not scheduled:
        made = make_step(procedure, station=station, starts_at=moment)
        made.save_as(actor, "Made for what is performed")
        scheduled = rendering.renderable(pk=made.pk)
    station = station or scheduled[0].station
    patient = procedure.order.patient
    identifier = patient.primary_identifier
    step = PerformedProcedureStep(
        performed_procedure_step_id=performed.mint_performed_step_id(),
        station=station,
        station_ae_title=station.ae_title if station else "",
        modality=procedure.modality,
        study_instance_uid=procedure.study_instance_uid,
        accession_number=procedure.accession_number,
        patient_id=identifier.value if identifier else "",
        patient_name=patient.dicom_name[:200],
        patient_birth_date=f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "",
        patient_sex=patient.sex if patient.sex != "U" else "",
        started_at=moment,
        performed_by=actor.user,
        is_manual=True,
    )
    step.save_as(actor, "Started on the console")
    performed.link(step, scheduled, actor=actor)
    publish(
        StepStarted(
            str(step.uuid),
            accession_number=procedure.accession_number,
            version=step.version,
            procedures=(str(procedure.uuid),),
        ),
        actor=actor,
    )
    return step


@service(perms.PERFORM_STEP, action=Action.EXECUTE)
def complete_exam(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """The technologist has done all there is to do. Ends what runs, also where no MPPS came; images here count."""
    procedure = lock_procedure(procedure)
    has_images = ImagingStudy.objects.filter(procedures=procedure, instance_count__gt=0).exists()
    if procedure.status in NOT_TO_COMPLETE or (procedure.status in BEFORE and not has_images):
        raise _refuse(procedure, _("To complete the exam."), _("Start it first."))
    if procedure.completed_by_technologist_at is not None:
        raise _refuse(procedure, _("To complete the exam."), _("It was completed before."))
    if procedure.status in BEFORE:
        _start_by_hand(procedure, None, now(), actor)
        procedure = lock_procedure(procedure)
    _end_steps(procedure, actor)
    performed.finish_procedure(lock_procedure(procedure), now(), actor)
    orders.mark_completed_by_technologist(procedure, actor=actor)
    _confirm_charges(procedure, actor)
    for study in procedure.studies.all():
        completeness.note_images_complete(study, actor=actor)
    procedure = lock_procedure(procedure)
    publish(
        ExamCompleted(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return procedure


def _end_steps(procedure: RequestedProcedure, actor: Actor) -> None:
    """Steps started by hand end now; a scanner's own step stays open for its own last word."""
    for step in _running(procedure).filter(is_manual=True):
        performed.end(step, PPSStatus.COMPLETED, rendering.renderable(performed_steps=step), actor)
    move_steps(steps_of(procedure, *OFFERED), SPSStatus.STARTED, actor, "Completed on the console")
    move_steps(steps_of(procedure, SPSStatus.STARTED), SPSStatus.COMPLETED, actor, "Completed on the console")


def _running(procedure: RequestedProcedure) -> models.QuerySet[PerformedProcedureStep]:
    linked = PerformedProcedureStep.objects.filter(
        scheduled_steps__procedure=procedure, status=PPSStatus.IN_PROGRESS
    ).values("pk")
    return PerformedProcedureStep.objects.select_for_update().filter(pk__in=linked).order_by("pk")


def _confirm_charges(procedure: RequestedProcedure, actor: Actor) -> None:
    if actor.may(MANAGE_CHARGE):
        for charge in procedure.charges.filter(status=ChargeStatus.PLANNED):
            orders.confirm_charge(charge, actor=actor)


@service(perms.PERFORM_STEP, action=Action.EXECUTE)
def discontinue_exam(procedure: RequestedProcedure, *, code: str, text: str = "", actor: Actor) -> RequestedProcedure:
    """Stop a running exam with a coded reason (CID 9300/9301); the reason decides what comes next."""
    if code not in DISCONTINUATION_REASONS:
        words = _("Choose a reason from the list.")
        raise InvalidData(words, errors={"code": words})
    procedure = lock_procedure(procedure)
    if procedure.status != ProcedureStatus.IN_PROGRESS:
        raise _refuse(procedure, _("To stop the exam."), _("Only a running exam is stopped; cancel it instead."))
    running = list(_running(procedure)) or [_start_record(procedure, actor)]
    for step in running:
        step.discontinuation_code = code
        step.discontinuation_meaning = (text.strip() or DISCONTINUATION_REASONS[code].meaning)[:64]
        performed.end(step, PPSStatus.DISCONTINUED, rendering.renderable(performed_steps=step), actor)
    return lock_procedure(procedure)


def _start_record(procedure: RequestedProcedure, actor: Actor) -> PerformedProcedureStep:
    """An exam that runs without any performed step: what is stopped gets its record."""
    step = PerformedProcedureStep(
        performed_procedure_step_id=performed.mint_performed_step_id(),
        modality=procedure.modality,
        study_instance_uid=procedure.study_instance_uid,
        accession_number=procedure.accession_number,
        started_at=procedure.started_at or now(),
        performed_by=actor.user,
        is_manual=True,
    )
    step.save_as(actor, "Recorded on the console")
    step.scheduled_steps.add(*steps_of(procedure, SPSStatus.STARTED))
    return step


# --- what was used, thrown away, and is to be told


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_consumable(
    procedure: RequestedProcedure,
    *,
    label: str,
    quantity: Any,
    unit: str = "mL",
    lot: str = "",
    route: str = "",
    code: str = "",
    has_extravasated: bool = False,
    used_at: datetime | None = None,
    actor: Actor,
) -> ConsumableUse:
    amount = _amount(quantity)
    if not label.strip():
        words = _("Say what was used.")
        raise InvalidData(words, errors={"label": words})
    procedure = lock_procedure(procedure)
    row = ConsumableUse(
        procedure=procedure,
        label=label.strip()[:100],
        code=code[:32],
        quantity=amount,
        unit=unit.strip()[:16] or "mL",
        lot=lot.strip()[:40],
        route=route.strip()[:40],
        has_extravasated=has_extravasated,
        used_at=used_at or now(),
        recorded_by=actor.user,
    )
    sign(row, actor, "Recorded")
    orders.draft_supply(
        procedure,
        source=row.uuid,
        label=row.label,
        code=row.code,
        quantity=row.quantity,
        unit=row.unit,
        actor=_charging(actor),
    )
    return row


def _charging(actor: Actor) -> Actor:
    """Charges follow what was done, whether or not who did it may touch money."""
    return actor if actor.may(MANAGE_CHARGE) else SYSTEM


def _amount(quantity: Any) -> Decimal:
    words = _("Give an amount above zero.")
    try:
        amount = Decimal(str(quantity).replace(",", "."))
    except ArithmeticError:
        raise InvalidData(words, errors={"quantity": words}) from None
    if not amount.is_finite() or not 0 < amount < 1_000_000:
        raise InvalidData(words, errors={"quantity": words})
    return amount.quantize(Decimal("0.01"))


@service(perms.PERFORM_STEP)
def withdraw_consumable(use: ConsumableUse, *, actor: Actor) -> ConsumableUse:
    """Written down by mistake: it stays, crossed out."""
    procedure = lock_procedure(use.procedure)
    if use.withdrawn_at is None:
        use.withdrawn_at = now()
        sign(use, actor, "Withdrawn")
        orders.void_supply(procedure, source=use.uuid, actor=_charging(actor))
    return use


@service(perms.PERFORM_STEP, action=Action.CREATE)
def record_reject(
    procedure: RequestedProcedure,
    *,
    reason_code: str,
    count: int = 1,
    view: str = "",
    note: str = "",
    station: Station | None = None,
    actor: Actor,
) -> RejectedExposure:
    """An exposure that was thrown away (CID 7011)."""
    errors: dict[str, str] = {}
    if reason_code not in REJECT_REASONS:
        errors["reason_code"] = _("Choose a reason from the list.")
    if not 1 <= count <= 999:
        errors["count"] = _("Give a count of 1 to 999.")
    if errors:
        raise InvalidData(_("The reject was not recorded."), errors=errors)
    if station is None:
        step = procedure.steps.filter(station__isnull=False).select_related("station").order_by("-pk").first()
        station = step.station if step else None
    row = RejectedExposure(
        procedure=procedure,
        station=station,
        view=view.strip()[:64],
        reason_code=reason_code,
        note=note.strip()[:200],
        count=count,
        recorded_by=actor.user,
    )
    sign(row, actor, "Recorded")
    return row


@service(perms.PERFORM_STEP, action=Action.CREATE)
def write_note(
    procedure: RequestedProcedure,
    *,
    text: str = "",
    chips: Iterable[str] = (),
    is_as_protocolled: bool = True,
    deviation: str = "",
    actor: Actor,
) -> TechnologistNote:
    """The note to the radiologist; the newest one counts."""
    deviation = deviation.strip()
    if not is_as_protocolled and not deviation:
        words = _("Say what was changed, and why.")
        raise InvalidData(words, errors={"deviation": words})
    row = TechnologistNote(
        procedure=procedure,
        text=text.strip()[:4000],
        chips=sorted(set(chips) & NOTE_CHIPS.keys()),
        is_as_protocolled=is_as_protocolled,
        deviation=deviation[:200],
        written_by=actor.user,
    )
    sign(row, actor, "Written")
    return row
