"""Scheduled steps: made, found, moved together with their procedure."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from ris.accounts.sequences import next_value
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition
from worklist import permissions as perms
from worklist.models import OFFERED, ScheduledProcedureStep, SPSStatus, Station
from worklist.services import rendering
from worklist.services.support import lock_procedure, now

BOOKABLE = (ProcedureStatus.ACCEPTED, ProcedureStatus.SCHEDULED, ProcedureStatus.NO_SHOW, ProcedureStatus.DISCONTINUED)


def mint_step_id() -> str:
    """At most 16 characters (VR SH)."""
    return f"S{next_value('scheduled_procedure_step'):08}"


def check_step_id(value: str) -> str:
    value = value.strip()
    if len(value) > 16 or "\\" in value or not value.isprintable():
        words = _("A scheduled procedure step ID has at most 16 characters and no backslash.")
        raise InvalidData(words, errors={"scheduled_procedure_step_id": words})
    if ScheduledProcedureStep.objects.filter(scheduled_procedure_step_id=value).exists():
        words = _("That scheduled procedure step ID is in use.")
        raise AlreadyExists(words, errors={"scheduled_procedure_step_id": words})
    return value


def steps_of(procedure: RequestedProcedure, *statuses: str) -> list[ScheduledProcedureStep]:
    """Locked, in these statuses, with the procedure as the database has it now."""
    return rendering.renderable(procedure=procedure, status__in=statuses)


def offered_step(procedure: RequestedProcedure) -> ScheduledProcedureStep | None:
    """The step that waits to be done, locked."""
    steps = steps_of(procedure, *OFFERED)
    return steps[0] if steps else None


def make_step(
    procedure: RequestedProcedure, *, station: Station | None, starts_at: datetime, step_id: str = ""
) -> ScheduledProcedureStep:
    """A new, unsaved step of a procedure."""
    return ScheduledProcedureStep(
        procedure=procedure,
        scheduled_procedure_step_id=check_step_id(step_id) if step_id else mint_step_id(),
        station=station,
        modality=station.modality if station else procedure.modality,
        starts_at=starts_at,
        description=procedure.description_with_side[:64],
    )


def check_bookable(procedure: RequestedProcedure) -> None:
    if procedure.status not in BOOKABLE:
        raise InvalidTransition(
            _("This exam cannot be scheduled as it is."),
            asked=_("A time for the exam."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("It must be accepted first, and not yet be under way."),
        )


def reopen(procedure: RequestedProcedure, actor: Actor) -> RequestedProcedure:
    """A no-show or stopped exam that gets a new time is accepted again first."""
    if procedure.status in (ProcedureStatus.NO_SHOW, ProcedureStatus.DISCONTINUED):
        orders.mark_unscheduled(procedure, actor=actor)
        return lock_procedure(procedure)
    return procedure


def schedule_procedure(procedure: RequestedProcedure, actor: Actor) -> RequestedProcedure:
    if procedure.status != ProcedureStatus.SCHEDULED:
        orders.mark_scheduled(procedure, actor=actor)
    return lock_procedure(procedure)


@service(perms.BOOK_APPOINTMENT, action=Action.CREATE)
def ensure_step(
    procedure: RequestedProcedure,
    *,
    station: Station | None = None,
    starts_at: datetime | None = None,
    step_id: str = "",
    actor: Actor,
) -> ScheduledProcedureStep:
    """A step without a reservation: walk-ins, and what another system has planned. Asked again, it moves the step.

    Without a station every station of the modality is offered it; without a time it is for now.
    """
    procedure = lock_procedure(procedure)
    step = offered_step(procedure)
    if step is None:
        check_bookable(procedure)
        procedure = reopen(procedure, actor)
        step = make_step(procedure, station=station, starts_at=starts_at or now(), step_id=step_id)
        reason = "Step planned"
    else:
        step.station = station or step.station
        step.modality = step.station.modality if step.station else step.modality
        step.starts_at = starts_at or step.starts_at or now()
        reason = "Step planned anew"
    if not step.modality:
        words = _("The exam has no modality yet: map its code, or choose a station.")
        raise InvalidData(words, errors={"station": words})
    step.save_as(actor, reason)
    if procedure.status == ProcedureStatus.ACCEPTED:
        schedule_procedure(procedure, actor)
    return offer(step, actor)


def offer(step: ScheduledProcedureStep, actor: Actor) -> ScheduledProcedureStep:
    """Render a saved step from the procedure as it is now."""
    rendering.refresh_steps(actor, "Offered to scanners", pk=step.pk)
    return rendering.renderable(pk=step.pk)[0]


def move_steps(steps: list[ScheduledProcedureStep], status: str, actor: Actor, reason: str) -> None:
    for step in steps:
        if step.status != status:
            step.move_to(status)
            rendering.save_step(step, actor, reason)


def cancel_steps(procedure: RequestedProcedure, actor: Actor, reason: str) -> None:
    move_steps(steps_of(procedure, *OFFERED), SPSStatus.CANCELED, actor, reason)
