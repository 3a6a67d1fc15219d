"""Steps that another system has planned: made, or moved to where it says, several to one exam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orders.models import ProcedureStatus, RequestedProcedure
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.models import OFFERED, ScheduledProcedureStep, Station
from worklist.services.steps import check_bookable, make_step, offer, reopen, schedule_procedure, steps_of
from worklist.services.support import lock_procedure, now


@dataclass(frozen=True)
class PlannedStep:
    """``step_id``: the planner's own, where it gives one; ``starts_at``: None for now."""

    step_id: str = ""
    station: Station | None = None
    starts_at: datetime | None = None
    modality: str = ""


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def plan_steps(
    procedure: RequestedProcedure, plans: Sequence[PlannedStep], *, actor: Actor
) -> list[ScheduledProcedureStep]:
    """Each plan is a step: the one of its id, else the next that waits, else a new one. The same plan again moves it.

    Raises InvalidTransition when the exam cannot be scheduled as it is.
    """
    procedure = lock_procedure(procedure)
    waiting = {step.scheduled_procedure_step_id: step for step in steps_of(procedure, *OFFERED)}
    check_bookable(procedure)
    procedure = reopen(procedure, actor)
    named = {plan.step_id for plan in plans}
    spare = [step for step_id, step in waiting.items() if step_id not in named]
    planned = []
    for plan in plans:
        step = waiting.get(plan.step_id) or (spare.pop(0) if spare else None)
        planned.append(_set(step, procedure, plan, actor))
    if procedure.status == ProcedureStatus.ACCEPTED:
        schedule_procedure(procedure, actor)
    return [offer(step, actor) for step in planned]


def _set(
    step: ScheduledProcedureStep | None, procedure: RequestedProcedure, plan: PlannedStep, actor: Actor
) -> ScheduledProcedureStep:
    if step is None:
        taken = ScheduledProcedureStep.objects.filter(scheduled_procedure_step_id=plan.step_id).exists()
        starts_at, step_id = plan.starts_at or now(), "" if taken or "\\" in plan.step_id else plan.step_id
        step = make_step(procedure, station=plan.station, starts_at=starts_at, step_id=step_id)
    step.station = plan.station or step.station
    step.starts_at = plan.starts_at or step.starts_at
    step.modality = step.station.modality if step.station else plan.modality or step.modality
    step.save_as(actor, "Planned elsewhere")
    return step
