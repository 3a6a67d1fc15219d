"""The technologist's console: start, complete, stop."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ChargeStatus, ProcedureStatus, RequestedProcedure
from orders.permissions import MANAGE_CHARGE
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import InvalidData, InvalidTransition
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import ExamCompleted, StepStarted
from worklist.models import (
    OFFERED,
    ImagingStudy,
    PerformedProcedureStep,
    PPSStatus,
    SPSStatus,
    Station,
)
from worklist.services import completeness, performed, rendering
from worklist.services.completion import missing_of, note_completion, refuse_incomplete
from worklist.services.screening import refuse_unsafe_start
from worklist.services.steps import make_step, move_steps, steps_of
from worklist.services.support import lock_procedure, now
from worklist.services.time_out import refuse_without_time_out

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


def _refuse(procedure: RequestedProcedure, asked: str, todo: str) -> InvalidTransition:
    return InvalidTransition(
        _("The exam is not where that is possible."),
        asked=asked,
        found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
        todo=todo,
    )


@service(perms.PERFORM_STEP, action=Action.EXECUTE)
def start_exam(
    procedure: RequestedProcedure, *, station: Station | None = None, needs_time_out: bool = False, actor: Actor
) -> RequestedProcedure:
    """Start by hand, where the station sends no MPPS. Refused while safety answers block or lack.

    ``needs_time_out``: the doors of people, which also refuse a start without the last look where the facility asks
    for it.
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
def complete_exam(
    procedure: RequestedProcedure, *, explanation: str = "", asks_for_all: bool = False, actor: Actor
) -> RequestedProcedure:
    """The technologist has done all there is to do. Ends what runs, also where no MPPS came; images here count.

    ``asks_for_all``: the doors of people, where what is missing is named, and completed all the same only with an
    explanation.
    """
    procedure = lock_procedure(procedure)
    has_images = ImagingStudy.objects.filter(procedures=procedure, instance_count__gt=0).exists()
    if procedure.status in NOT_TO_COMPLETE or (procedure.status in BEFORE and not has_images):
        raise _refuse(procedure, _("To complete the exam."), _("Start it first."))
    if procedure.completed_by_technologist_at is not None:
        raise _refuse(procedure, _("To complete the exam."), _("It was completed before."))
    missing = missing_of(procedure)
    if asks_for_all:
        refuse_incomplete(missing, explanation)
    if procedure.status in BEFORE:
        _start_by_hand(procedure, None, now(), actor)
        procedure = lock_procedure(procedure)
    _end_steps(procedure, actor)
    performed.finish_procedure(lock_procedure(procedure), now(), actor)
    orders.mark_completed_by_technologist(procedure, actor=actor)
    note_completion(procedure, missing, explanation, actor)
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
