"""Modality performed procedure steps (PS3.4 Annex F): kept for what they say, linked only to whom they agree with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from orders.permissions import MANAGE_CHARGE
from ris.accounts.sequences import next_value
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotKnown
from ris.core.ids import is_valid_uid
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.data import PerformedStepData, ScheduledStepReference
from worklist.events import ExamDiscontinued, ExamPerformed, StepStarted
from worklist.models import (
    OFFERED,
    ExceptionKind,
    PerformedProcedureStep,
    PPSStatus,
    ReservationStatus,
    ScheduledProcedureStep,
    SPSStatus,
)
from worklist.services import completeness, rendering
from worklist.services.arrival import open_appointment, release_no_show
from worklist.services.matching import Agreement, Sent, agreement, differences
from worklist.services.steps import make_step, move_steps, offer
from worklist.services.support import lock_procedures, now, raise_exception, station_of

WRONG_ENTRY, DID_NOT_ARRIVE = "110514", "110507"
TRY_AGAIN = ("110501", "110516")
STARTABLE = (
    ProcedureStatus.REQUESTED,
    ProcedureStatus.VETTING,
    ProcedureStatus.INFO_REQUESTED,
    ProcedureStatus.ON_HOLD,
    ProcedureStatus.ACCEPTED,
    ProcedureStatus.SCHEDULED,
    ProcedureStatus.ARRIVED,
    ProcedureStatus.PERFORMED,
    ProcedureStatus.READY_TO_READ,
)
CALLED_OFF = (SPSStatus.CANCELED, SPSStatus.DISCONTINUED)


class StepIsFinal(InvalidTransition):
    """0x0110 with Error ID 0xA710: performed procedure step may no longer be updated."""

    code = "step_is_final"


@service(perms.PERFORM_STEP, action=Action.CREATE)
def start_performed_step(
    *, sop_instance_uid: str, attributes: PerformedStepData, actor: Actor
) -> PerformedProcedureStep:
    """N-CREATE. Raises AlreadyExists (0x0111), InvalidData (0x0106). Whatever it cannot be matched to, it is kept."""
    data = attributes
    if not is_valid_uid(sop_instance_uid):
        raise InvalidData(_("That is no UID."), errors={"sop_instance_uid": _("That is no UID.")})
    if data.status != PPSStatus.IN_PROGRESS:
        words = _("A performed step is created IN PROGRESS.")
        raise InvalidData(words, errors={"status": words})
    if PerformedProcedureStep.objects.filter(sop_instance_uid=sop_instance_uid).exists():
        raise _already_there()
    found = _find_steps(data.scheduled_steps or ())
    procedures = lock_procedures(step.procedure_id for step in found)
    step = _new_step(sop_instance_uid, data, actor)
    try:
        with transaction.atomic():
            step.save_as(actor, "Started by the modality")
    except IntegrityError:
        raise _already_there() from None
    agreeing = _who_agrees(step, procedures, _sent(data), actor)
    matched = [row for row in found if row.procedure_id in {procedure.pk for procedure in agreeing}]
    if matched:
        link(step, matched, actor=actor)
    elif not found:
        raise_exception(
            ExceptionKind.UNSCHEDULED_STEP,
            performed_step=step,
            station=step.station,
            actor=actor,
            detail={"sop_instance_uid": sop_instance_uid},
        )
    _tell_started(step, agreeing, actor)
    return step


def _already_there() -> AlreadyExists:
    return AlreadyExists(_("There is a performed step of that UID."), errors={"sop_instance_uid": _("It exists.")})


def _sent(data: PerformedStepData) -> Sent:
    return Sent(
        data.patient_id or "",
        data.issuer_of_patient_id or "",
        data.patient_name or "",
        data.patient_birth_date or "",
        data.patient_sex or "",
    )


def _new_step(sop_instance_uid: str, data: PerformedStepData, actor: Actor) -> PerformedProcedureStep:
    first = (data.scheduled_steps or (ScheduledStepReference(),))[0]
    station = station_of(actor, data.station_ae_title or "")
    step = PerformedProcedureStep(
        sop_instance_uid=sop_instance_uid,
        performed_procedure_step_id=(data.performed_procedure_step_id or "")[:16] or mint_performed_step_id(),
        station=station,
        station_ae_title=(data.station_ae_title or actor.ae_title)[:16],
        modality=(data.modality or (station.modality if station else ""))[:16],
        study_instance_uid=first.study_instance_uid[:64],
        accession_number=first.accession_number[:16],
        patient_id=(data.patient_id or "")[:64],
        patient_name=(data.patient_name or "")[:200],
        patient_birth_date=(data.patient_birth_date or "")[:8],
        patient_sex=(data.patient_sex or "")[:1],
        started_at=data.started_at or now(),
    )
    _apply(step, data)
    return step


def mint_performed_step_id() -> str:
    return f"P{next_value('performed_procedure_step'):08}"


def _apply(step: PerformedProcedureStep, data: PerformedStepData) -> None:
    """What N-CREATE and N-SET have in common."""
    if data.description is not None:
        step.description = data.description[:64]
    if data.ended_at is not None:
        step.ended_at = data.ended_at
    if data.discontinuation_code:
        known = DISCONTINUATION_REASONS.get(data.discontinuation_code)
        step.discontinuation_code = data.discontinuation_code[:16]
        step.discontinuation_meaning = (data.discontinuation_meaning or (known.meaning if known else ""))[:64]
    if data.series is not None:
        step.series = [row.as_dict() for row in data.series]
    if data.attributes:
        step.attributes = {**step.attributes, **data.attributes}


# --- matching


def _find_steps(references: Iterable[ScheduledStepReference]) -> list[ScheduledProcedureStep]:
    """Scheduled steps that the message means: by step id, then by study, then by accession number."""
    found: dict[int, ScheduledProcedureStep] = {}
    for reference in references:
        for step in _steps_meant(reference):
            found[step.pk] = step
    return list(found.values())


def _steps_meant(reference: ScheduledStepReference) -> list[ScheduledProcedureStep]:
    steps = ScheduledProcedureStep.objects.select_related("procedure").order_by("pk")
    if reference.scheduled_procedure_step_id:
        step = steps.filter(scheduled_procedure_step_id=reference.scheduled_procedure_step_id).first()
        if step is not None and not _contradicts(step.procedure, reference):
            return [step]
    for condition in (
        Q(procedure__study_instance_uid=reference.study_instance_uid) if reference.study_instance_uid else None,
        Q(procedure__accession_number=reference.accession_number) if reference.accession_number else None,
    ):
        if condition is None:
            continue
        rows = steps.filter(condition)
        if reference.requested_procedure_id and rows.filter(
            procedure__requested_procedure_id=reference.requested_procedure_id
        ):
            rows = rows.filter(procedure__requested_procedure_id=reference.requested_procedure_id)
        if rows:
            return _best_per_procedure(rows)
    return []


def _contradicts(procedure: RequestedProcedure, reference: ScheduledStepReference) -> bool:
    """A step id that another system gave out too: neither study nor accession number is this procedure's."""
    study, accession = reference.study_instance_uid, reference.accession_number
    other_study = bool(study) and study != procedure.study_instance_uid
    other_accession = bool(accession) and accession != procedure.accession_number
    return other_accession and (other_study or not study)


def _best_per_procedure(rows: Iterable[ScheduledProcedureStep]) -> list[ScheduledProcedureStep]:
    order = (*OFFERED, SPSStatus.STARTED, SPSStatus.DEPARTED, SPSStatus.COMPLETED)
    best: dict[int, ScheduledProcedureStep] = {}
    for row in rows:
        known = best.get(row.procedure_id)
        if known is None or _rank(row, order) < _rank(known, order):
            best[row.procedure_id] = row
    return list(best.values())


def _rank(row: ScheduledProcedureStep, order: tuple) -> int:
    return order.index(row.status) if row.status in order else len(order)


def _who_agrees(
    step: PerformedProcedureStep, procedures: list[RequestedProcedure], sent: Sent, actor: Actor
) -> list[RequestedProcedure]:
    """Those whose patient is not contradicted; each other one is put before a person."""
    agreeing = []
    for procedure in procedures:
        if agreement(procedure.order.patient, sent) is not Agreement.DIFFERS:
            agreeing.append(procedure)
            continue
        raise_exception(
            ExceptionKind.STEP_PATIENT_DIFFERS,
            performed_step=step,
            procedure=procedure,
            station=step.station,
            actor=actor,
            detail={"differs": differences(procedure.order.patient, sent)},
        )
    return agreeing


def _tell_started(step: PerformedProcedureStep, procedures: list[RequestedProcedure], actor: Actor) -> None:
    publish(
        StepStarted(
            str(step.uuid),
            accession_number=procedures[0].accession_number if procedures else "",
            version=step.version,
            procedures=tuple(str(row.uuid) for row in procedures),
        ),
        actor=actor,
    )


# --- what a step means for its procedures; the procedures are locked


def link(step: PerformedProcedureStep, scheduled: list[ScheduledProcedureStep], *, actor: Actor) -> None:
    """Tie a performed step to the scheduled ones, and let them follow its status."""
    step.scheduled_steps.add(*scheduled)
    steps = rendering.renderable(pk__in=[row.pk for row in scheduled])
    for row in steps:
        if row.is_blocked and not step.is_manual:
            raise_exception(
                ExceptionKind.BLOCKED_STARTED,
                performed_step=step,
                procedure=row.procedure,
                station=step.station,
                actor=actor,
                detail={"scheduled_procedure_step_id": row.scheduled_procedure_step_id},
            )
        if row.status in CALLED_OFF or row.procedure.status not in (*STARTABLE, ProcedureStatus.IN_PROGRESS):
            _alarm_called_off(step, row, actor)
    _start_steps(step, steps, actor)
    if step.status == PPSStatus.COMPLETED:
        _complete_steps(step, steps, actor)
    completeness.link_studies_of(step, actor=actor)


def _alarm_called_off(step: PerformedProcedureStep, row: ScheduledProcedureStep, actor: Actor) -> None:
    """It ran although it was called off, or long over: true, and to be looked at."""
    if row.status == SPSStatus.COMPLETED:
        return
    raise_exception(
        ExceptionKind.UNSCHEDULED_STEP,
        performed_step=step,
        procedure=row.procedure,
        station=step.station,
        actor=actor,
        detail={"scheduled_procedure_step_id": row.scheduled_procedure_step_id, "status": row.status},
    )


def _start_steps(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    for row in steps:
        if row.procedure.status in STARTABLE and row.status not in CALLED_OFF:
            orders.mark_started(row.procedure, at=step.started_at, actor=actor)
            _reservation_to(row.procedure, ReservationStatus.ARRIVED, "Exam started", actor)
    pks = [row.pk for row in steps if row.status in OFFERED or row.status == SPSStatus.COMPLETED]
    move_steps(rendering.renderable(pk__in=pks), SPSStatus.STARTED, actor, "Started")


@service(perms.PERFORM_STEP)
def update_performed_step(*, sop_instance_uid: str, changes: PerformedStepData, actor: Actor) -> PerformedProcedureStep:
    """N-SET. Raises NotKnown (0x0112), StepIsFinal (0x0110 with A710), InvalidData (0x0106)."""
    known = PerformedProcedureStep.objects.filter(sop_instance_uid=sop_instance_uid).first()
    if known is None:
        raise NotKnown(_("There is no performed step of that UID."))
    linked = list(known.scheduled_steps.values_list("pk", "procedure_id"))
    lock_procedures(procedure for _step, procedure in linked)
    steps = rendering.renderable(pk__in=[pk for pk, _procedure in linked])
    step = PerformedProcedureStep.locked(known.pk)
    status = changes.status or step.status
    if step.is_final:
        raise StepIsFinal(
            _("This performed step has ended and may no longer be updated."),
            asked=f"{step.status} -> {status}",
            found=_("It is: %(status)s.") % {"status": step.get_status_display()},
            todo=_("Begin a new step."),
        )
    if status not in PPSStatus.values:
        words = _("Such a status does not exist.")
        raise InvalidData(words, errors={"status": words})
    _apply(step, changes)
    end(step, status, steps, actor)
    return step


def end(step: PerformedProcedureStep, status: str, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    """Move a locked performed step, and its scheduled steps and procedures with it."""
    step.move_to(status)
    if step.is_final and step.ended_at is None:
        step.ended_at = now()
    step.save_as(actor, f"Set to {status}")
    if status == PPSStatus.COMPLETED:
        _complete_steps(step, steps, actor)
    elif status == PPSStatus.DISCONTINUED:
        _discontinue_steps(step, steps, actor)
    if step.is_final and steps:
        completeness.expect_images(step, actor=actor)


def _others_run(row: ScheduledProcedureStep, step: PerformedProcedureStep) -> bool:
    return row.performed_steps.filter(status=PPSStatus.IN_PROGRESS).exclude(pk=step.pk).exists()


def _complete_steps(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    done = [row for row in steps if not _others_run(row, step)]
    move_steps(
        rendering.renderable(pk__in=[row.pk for row in done], status=SPSStatus.STARTED),
        SPSStatus.COMPLETED,
        actor,
        "Completed",
    )
    for procedure in _procedures_of(done):
        finish_procedure(procedure, step.ended_at, actor)


def _procedures_of(steps: Iterable[ScheduledProcedureStep]) -> list[RequestedProcedure]:
    """Fresh from the database, each once; they are locked by the caller."""
    return lock_procedures(row.procedure_id for row in steps)


def finish_procedure(procedure: RequestedProcedure, ended_at: Any, actor: Actor) -> bool:
    """Performed, once nothing of it runs or waits any more."""
    if procedure.status != ProcedureStatus.IN_PROGRESS:
        return False
    if procedure.steps.filter(status__in=(*OFFERED, SPSStatus.STARTED, SPSStatus.DEPARTED)).exists():
        return False
    orders.mark_performed(procedure, at=ended_at, actor=actor)
    orders.draft_charges(procedure, actor=actor if actor.may(MANAGE_CHARGE) else SYSTEM)
    _reservation_to(procedure, ReservationStatus.FULFILLED, "Exam performed", actor)
    publish(
        ExamPerformed(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return True


# --- discontinued: the reason decides (CID 9300/9301)


def _discontinue_steps(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    code = step.discontinuation_code or "110513"
    if not steps:
        return
    for procedure in _procedures_of(steps):
        own = [row for row in steps if row.procedure_id == procedure.pk and not _others_run(row, step)]
        if not own:
            continue
        if code == WRONG_ENTRY:
            _take_back(step, procedure, own, actor)
        else:
            _stop(step, procedure, own, code, actor)


def _started(rows: list[ScheduledProcedureStep]) -> list[ScheduledProcedureStep]:
    return rendering.renderable(pk__in=[row.pk for row in rows], status=SPSStatus.STARTED)


def _take_back(
    step: PerformedProcedureStep, procedure: RequestedProcedure, rows: list[ScheduledProcedureStep], actor: Actor
) -> None:
    """Somebody chose the wrong entry: the exam waits again, what was done is another one's."""
    if procedure.status == ProcedureStatus.IN_PROGRESS and not _has_completed(procedure):
        orders.mark_scheduled(procedure, actor=actor)
        _reservation_to(procedure, ReservationStatus.BOOKED, "Wrong worklist entry", actor)
    move_steps(_started(rows), SPSStatus.SCHEDULED, actor, "Wrong worklist entry")
    step.scheduled_steps.remove(*rows)
    raise_exception(
        ExceptionKind.WRONG_ENTRY,
        performed_step=step,
        procedure=procedure,
        station=step.station,
        actor=actor,
        detail={"scheduled_procedure_step_ids": [row.scheduled_procedure_step_id for row in rows]},
    )


def _has_completed(procedure: RequestedProcedure) -> bool:
    return procedure.steps.filter(status=SPSStatus.COMPLETED).exists()


def _stop(
    step: PerformedProcedureStep,
    procedure: RequestedProcedure,
    rows: list[ScheduledProcedureStep],
    code: str,
    actor: Actor,
) -> None:
    move_steps(_started(rows), SPSStatus.DISCONTINUED, actor, f"Discontinued: {code}")
    if procedure.status == ProcedureStatus.IN_PROGRESS and not _has_completed(procedure):
        _stop_procedure(step, procedure, rows, code, actor)
    elif procedure.status == ProcedureStatus.IN_PROGRESS:
        finish_procedure(procedure, step.ended_at, actor)
    raise_exception(
        ExceptionKind.DISCONTINUED,
        performed_step=step,
        procedure=procedure,
        station=step.station,
        actor=actor,
        detail={"code": code, "instances": step.instance_count},
    )
    publish(
        ExamDiscontinued(
            str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version, code=code
        ),
        actor=actor,
    )


def _stop_procedure(
    step: PerformedProcedureStep,
    procedure: RequestedProcedure,
    rows: list[ScheduledProcedureStep],
    code: str,
    actor: Actor,
) -> None:
    if code == DID_NOT_ARRIVE:
        orders.mark_scheduled(procedure, actor=actor)
        release_no_show(procedure, actor)
        orders.mark_no_show(procedure, actor=actor)
        return
    if code in TRY_AGAIN:
        orders.mark_scheduled(procedure, actor=actor)
        _reservation_to(procedure, ReservationStatus.CANCELLED, "To be done on another machine", actor)
        again = make_step(_procedures_of(rows)[0], station=None, starts_at=now())
        again.save_as(actor, "To be done on another machine")
        offer(again, actor)
        return
    orders.mark_discontinued(procedure, code=code, text=step.discontinuation_meaning, actor=actor)
    _reservation_to(procedure, ReservationStatus.FULFILLED, "Exam discontinued", actor)


def _reservation_to(procedure: RequestedProcedure, status: str, reason: str, actor: Actor) -> None:
    """The open appointment, when it has not got there yet."""
    reservation = open_appointment(procedure)
    if reservation is not None and reservation.status != status:
        reservation.move_to(status)
        reservation.save_as(actor, reason)
