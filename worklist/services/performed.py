"""Modality performed procedure steps (PS3.4 Annex F): kept for what they say, linked only to whom they agree with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError
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
from worklist.events import ExamPerformed, StepStarted, StepUpdated
from worklist.models import (
    OFFERED,
    ExceptionKind,
    PerformedProcedureStep,
    PPSStatus,
    ReservationStatus,
    ScheduledProcedureStep,
    SPSStatus,
)
from worklist.services import completeness, discontinued, rendering
from worklist.services.arrival import open_appointment
from worklist.services.matching import Agreement, Sent, agreement, differences
from worklist.services.steps import move_steps
from worklist.services.support import lock_procedures, now, raise_exception, station_of

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
    found = _find_steps(data.scheduled_steps or ())
    rows = _locked_with_procedures(found)
    step = _new_step(sop_instance_uid, data, actor)
    agreeing, differing = _who_agrees(rows, _sent(data))
    _insert(step, agreeing, actor)
    _tell_who_differs(step, differing, _sent(data), actor)
    if agreeing:
        _follow(step, agreeing, actor=actor)
    elif not found:
        raise_exception(
            ExceptionKind.UNSCHEDULED_STEP,
            performed_step=step,
            station=step.station,
            actor=actor,
            detail={"sop_instance_uid": sop_instance_uid},
        )
    _tell_started(step, list({row.procedure_id: row.procedure for row in agreeing}.values()), actor)
    return step


def _locked_with_procedures(found: list[ScheduledProcedureStep]) -> list[ScheduledProcedureStep]:
    """Orders and procedures first, then the steps, with all that rendering and matching read."""
    if not found:
        return []
    lock_procedures(row.procedure_id for row in found)
    return rendering.renderable(pk__in=[row.pk for row in found])


def _insert(step: PerformedProcedureStep, scheduled: list[ScheduledProcedureStep], actor: Actor) -> None:
    """The row and its links, with one row of history that knows both. Raises AlreadyExists."""
    step.skip_history_when_saving = True
    try:
        step.save()
    except IntegrityError:
        raise _already_there() from None
    del step.skip_history_when_saving
    _link_rows(step, scheduled)
    step.write_history("+", actor, "Started by the modality")


def _link_rows(step: PerformedProcedureStep, scheduled: list[ScheduledProcedureStep]) -> None:
    through = PerformedProcedureStep.scheduled_steps.through
    links = [through(performedprocedurestep=step, scheduledprocedurestep=row) for row in scheduled]
    through.objects.bulk_create(links, ignore_conflicts=True)


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
    rows: list[ScheduledProcedureStep], sent: Sent
) -> tuple[list[ScheduledProcedureStep], list[RequestedProcedure]]:
    """The steps whose patient is not contradicted, and the procedures of the others."""
    verdicts: dict[int, bool] = {}
    for row in rows:
        if row.procedure_id not in verdicts:
            verdicts[row.procedure_id] = agreement(row.procedure.order.patient, sent) is not Agreement.DIFFERS
    differing = {row.procedure_id: row.procedure for row in rows if not verdicts[row.procedure_id]}
    return [row for row in rows if verdicts[row.procedure_id]], list(differing.values())


def _tell_who_differs(
    step: PerformedProcedureStep, procedures: list[RequestedProcedure], sent: Sent, actor: Actor
) -> None:
    """Each exam whose patient is another one is put before a person."""
    for procedure in procedures:
        raise_exception(
            ExceptionKind.STEP_PATIENT_DIFFERS,
            performed_step=step,
            procedure=procedure,
            station=step.station,
            actor=actor,
            detail={"differs": differences(procedure.order.patient, sent)},
        )


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
    _follow(step, rendering.renderable(pk__in=[row.pk for row in scheduled]), actor=actor)


def _follow(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], *, actor: Actor) -> None:
    """``steps``: locked and linked."""
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
        _complete_steps(step, rendering.renderable(pk__in=[row.pk for row in steps]), actor)
    elif step.status == PPSStatus.DISCONTINUED:
        _follow_discontinued(step, rendering.renderable(pk__in=[row.pk for row in steps]), actor)
    completeness.link_studies_of(step, actor=actor)


def _follow_discontinued(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    """Linked after its end. Ended because the entry was wrong: of the right one it was done."""
    if step.discontinuation_code == discontinued.WRONG_ENTRY:
        _complete_steps(step, steps, actor)
    else:
        discontinued.follow(step, steps, actor)


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
    """The steps first, so that what follows the procedure finds them off the worklist already."""
    begins = {
        row.procedure_id: row.procedure
        for row in steps
        if row.procedure.status in STARTABLE and row.status not in CALLED_OFF
    }
    runs = [row for row in steps if row.status in OFFERED or row.status == SPSStatus.COMPLETED]
    move_steps(runs, SPSStatus.STARTED, actor, "Started")
    for procedure in begins.values():
        orders.mark_started(procedure, at=step.started_at, actor=actor)
        reservation_to(procedure, ReservationStatus.ARRIVED, "Exam started", actor)


@service(perms.PERFORM_STEP)
def update_performed_step(*, sop_instance_uid: str, changes: PerformedStepData, actor: Actor) -> PerformedProcedureStep:
    """N-SET. Raises NotKnown (0x0112), StepIsFinal (0x0110 with A710), InvalidData (0x0106)."""
    pk = PerformedProcedureStep.objects.filter(sop_instance_uid=sop_instance_uid).values_list("pk", flat=True).first()
    if pk is None:
        raise NotKnown(_("There is no performed step of that UID."))
    steps = _locked_with_procedures(list(ScheduledProcedureStep.objects.filter(performed_steps=pk)))
    step = PerformedProcedureStep.locked(pk)
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
    publish(
        StepUpdated(str(step.uuid), accession_number=step.accession_number, version=step.version, status=status),
        actor=actor,
    )
    if status == PPSStatus.COMPLETED:
        _complete_steps(step, steps, actor)
    elif status == PPSStatus.DISCONTINUED:
        discontinued.follow(step, steps, actor)
    if step.is_final and steps:
        completeness.expect_images(step, actor=actor)


def others_run(row: ScheduledProcedureStep, step: PerformedProcedureStep) -> bool:
    return row.performed_steps.filter(status=PPSStatus.IN_PROGRESS).exclude(pk=step.pk).exists()


def _complete_steps(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    """``steps``: locked, and their procedures as the database has them now."""
    done = [row for row in steps if not others_run(row, step)]
    move_steps([row for row in done if row.status == SPSStatus.STARTED], SPSStatus.COMPLETED, actor, "Completed")
    for procedure in {row.procedure_id: row.procedure for row in done}.values():
        finish_procedure(procedure, step.ended_at, actor)


def finish_procedure(procedure: RequestedProcedure, ended_at: Any, actor: Actor) -> bool:
    """Performed, once nothing of it runs or waits any more."""
    if procedure.status != ProcedureStatus.IN_PROGRESS:
        return False
    if procedure.steps.filter(status__in=(*OFFERED, SPSStatus.STARTED, SPSStatus.DEPARTED)).exists():
        return False
    orders.mark_performed(procedure, at=ended_at, actor=actor)
    orders.draft_charges(procedure, actor=actor if actor.may(MANAGE_CHARGE) else SYSTEM)
    reservation_to(procedure, ReservationStatus.FULFILLED, "Exam performed", actor)
    publish(
        ExamPerformed(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return True


def reservation_to(procedure: RequestedProcedure, status: str, reason: str, actor: Actor) -> None:
    """The open appointment, when it has not got there yet."""
    reservation = open_appointment(procedure)
    if reservation is not None and reservation.status != status:
        reservation.move_to(status)
        reservation.save_as(actor, reason)
