"""A performed step was discontinued (PS3.4 Annex F): its reason, a code of CID 9300/9301, decides what comes next.

| Reason | What follows |
|---|---|
| wrong worklist entry | the exam is on the worklist again; whose the evidence is, a person says |
| did not arrive | no-show |
| equipment failure or change | the step is over, another one is offered to every machine |
| called off by who asked for it, nothing was made | the exam is cancelled |
| any other | the exam is discontinued; what there is of images may still be read |
"""

from __future__ import annotations

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from ris.core.actor import Actor
from ris.events.bus import publish
from worklist.events import ExamDiscontinued
from worklist.models import (
    ExceptionKind,
    ImagingStudy,
    PerformedProcedureStep,
    ReservationStatus,
    ScheduledProcedureStep,
    SPSStatus,
)
from worklist.services import completeness, rendering
from worklist.services.arrival import release_no_show
from worklist.services.steps import make_step, move_steps, offer
from worklist.services.support import now, raise_exception, tell_unlinked

UNSPECIFIED, WRONG_ENTRY, DID_NOT_ARRIVE = "110513", "110514", "110507"
TRY_AGAIN = frozenset({"110501", "110516"})
#: Doctor, ward, or the order was there already: nobody waits for this exam.
CALLED_OFF = frozenset({"110500", "110510", "110511"})
#: A reaction, a death, a pregnancy, the wrong side: somebody must hear of it now.
ALARMING = frozenset({"110503", "110504", "110508", "110512"})


def follow(step: PerformedProcedureStep, steps: list[ScheduledProcedureStep], actor: Actor) -> None:
    """``steps``: locked, linked, with their procedures as the database has them."""
    from worklist.services.performed import others_run

    code = step.discontinuation_code or UNSPECIFIED
    for procedure in {row.procedure_id: row.procedure for row in steps}.values():
        own = [row for row in steps if row.procedure_id == procedure.pk and not others_run(row, step)]
        if not own:
            continue
        if code == WRONG_ENTRY:
            _take_back(step, procedure, own, actor)
        else:
            _stop(step, procedure, own, code, actor)


def _started(rows: list[ScheduledProcedureStep]) -> list[ScheduledProcedureStep]:
    return [row for row in rows if row.status == SPSStatus.STARTED]


def _has_completed(procedure: RequestedProcedure) -> bool:
    return procedure.steps.filter(status=SPSStatus.COMPLETED).exists()


def _take_back(
    step: PerformedProcedureStep, procedure: RequestedProcedure, rows: list[ScheduledProcedureStep], actor: Actor
) -> None:
    """Somebody chose the wrong entry: the exam waits again, what was done is another one's."""
    from worklist.services.performed import reservation_to

    if procedure.status == ProcedureStatus.IN_PROGRESS and not _has_completed(procedure):
        orders.mark_scheduled(procedure, actor=actor)
        reservation_to(procedure, ReservationStatus.BOOKED, "Wrong worklist entry", actor)
    offered_again = rendering.renderable(pk__in=[row.pk for row in _started(rows)])
    move_steps(offered_again, SPSStatus.SCHEDULED, actor, "Wrong worklist entry")
    step.scheduled_steps.remove(*rows)
    raise_exception(
        ExceptionKind.WRONG_ENTRY,
        performed_step=step,
        study=_take_images(step, procedure, actor),
        procedure=procedure,
        station=step.station,
        actor=actor,
        detail={"scheduled_procedure_step_ids": [row.scheduled_procedure_step_id for row in rows]},
    )


def _take_images(step: PerformedProcedureStep, procedure: RequestedProcedure, actor: Actor) -> ImagingStudy | None:
    """What was made under the wrong entry is not this exam's; it waits with the step."""
    taken = None
    if _has_completed(procedure):
        return taken
    for study in completeness.studies_of(step):
        if study.procedures.filter(pk=procedure.pk).exists():
            taken = ImagingStudy.locked(study.pk)
            taken.procedures.remove(procedure)
            taken.save_as(actor, "Wrong worklist entry")
            tell_unlinked(taken, procedure, actor)
    return taken


def _stop(
    step: PerformedProcedureStep,
    procedure: RequestedProcedure,
    rows: list[ScheduledProcedureStep],
    code: str,
    actor: Actor,
) -> None:
    from worklist.services.performed import finish_procedure

    move_steps(_started(rows), SPSStatus.DISCONTINUED, actor, f"Discontinued: {code}")
    if procedure.status == ProcedureStatus.IN_PROGRESS and not _has_completed(procedure):
        _stop_procedure(step, procedure, code, actor)
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


def _stop_procedure(step: PerformedProcedureStep, procedure: RequestedProcedure, code: str, actor: Actor) -> None:
    from worklist.services.performed import reservation_to

    if code == DID_NOT_ARRIVE:
        orders.mark_scheduled(procedure, actor=actor)
        release_no_show(procedure, actor)
        orders.mark_no_show(procedure, actor=actor)
    elif code in TRY_AGAIN:
        orders.mark_scheduled(procedure, actor=actor)
        reservation_to(procedure, ReservationStatus.CANCELLED, "To be done on another machine", actor)
        again = make_step(procedure, station=None, starts_at=now())
        again.save_as(actor, "To be done on another machine")
        offer(again, actor)
    elif code in CALLED_OFF and not step.instance_count:
        orders.mark_called_off(procedure, code=code, text=step.discontinuation_meaning, actor=actor)
    else:
        orders.mark_discontinued(procedure, code=code, text=step.discontinuation_meaning, actor=actor)
        reservation_to(procedure, ReservationStatus.FULFILLED, "Exam discontinued", actor)
