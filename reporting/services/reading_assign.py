"""Whose exam it is, by hand: claimed, assigned, given back, made more urgent; one or many, each with its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import Priority, ProcedureStatus, RequestedProcedure
from reporting import permissions as perms
from reporting.models import ReadingGroup, ReadingItem
from reporting.reading_times import ON_THE_LIST
from reporting.services.locks import drop_locks, live_locks, lock_procedures, person, refuse_if_held
from reporting.services.notify import tell
from reporting.services.reading import locked_item, set_alarm
from reporting.services.reading_rules import may_see
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import Conflict, DomainError, InvalidData, InvalidTransition

AT_ONCE = 100


def _listed(procedure: RequestedProcedure, asked: str) -> ReadingItem:
    """The locked exam's place on the list; InvalidTransition when it is not there."""
    procedure = lock_procedures([procedure])[0]
    if procedure.status not in ON_THE_LIST:
        raise InvalidTransition(
            _("This exam is not on the reading list."),
            asked=asked,
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Look at the list again: somebody has moved it on."),
        )
    return locked_item(procedure)


def _give(item: ReadingItem, user: User | None, group: ReadingGroup | None, actor: Actor, reason: str) -> None:
    item.assigned_to, item.assigned_by = user, actor.user
    item.assigned_at = timezone.now() if user is not None else None
    item.assigned_until, item.is_by_hand = None, user is not None or group is not None
    if group is not None:
        item.group = group
    set_alarm(item)
    item.save_as(actor, reason)


@service(perms.ASSIGN_READING)
def assign_exam(
    procedure: RequestedProcedure,
    *,
    to: User | None = None,
    group: ReadingGroup | None = None,
    quiet: bool = False,
    actor: Actor,
) -> RequestedProcedure:
    """Give an exam to a person or to a group; neither takes it back. The person is told."""
    item = _listed(procedure, _("To assign an exam."))
    if to is not None and not (to.is_active and not to.is_service and to.may(perms.CLAIM_PROCEDURE)):
        words = _("%(who)s does not read exams.") % {"who": to.display_name}
        raise InvalidData(words, errors={"to": words})
    if to is not None and not may_see(to, item.procedure):
        words = _("%(who)s may not see this exam: another site, or a restricted patient.") % {"who": to.display_name}
        raise InvalidData(words, errors={"to": words})
    _give(item, to, group, actor, "Assigned" if to or group else "Assignment taken back")
    if to is not None and actor.user is not None and to.pk != actor.user.pk and not quiet:
        tell_assigned(to, [item.procedure])
    return item.procedure


def tell_assigned(user: User, procedures: list[RequestedProcedure]) -> None:
    first = procedures[0]
    tell(
        [user],
        "reporting.exams_assigned",
        url="/reading/?assigned=me" if len(procedures) > 1 else f"/reading/exams/{first.uuid}/",
        subject=str(first.uuid),
        context={"accession_number": first.accession_number, "count": len(procedures)},
    )


@service(perms.CLAIM_PROCEDURE)
def claim_exam(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Mine to read, later: on my list, and nobody else's next. Refused when another has it open or is to read it."""
    user = person(actor)
    item = _listed(procedure, _("To claim an exam."))
    refuse_if_held([item.procedure], user)
    holder = item.assigned_to
    if holder is not None and holder.pk != user.pk and not actor.may(perms.ASSIGN_READING):
        raise Conflict(
            _("%(who)s is to read this exam.") % {"who": holder.display_name},
            asked=_("To claim an exam."),
            found=_("It is assigned to %(who)s.") % {"who": holder.display_name},
            todo=_("Ask them, or whoever assigns exams."),
            errors={"assigned_to": holder.display_name},
        )
    _give(item, user, None, actor, "Claimed")
    return item.procedure


@service(perms.CLAIM_PROCEDURE)
def release_exam(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Give it back to the list: not open at me, not assigned to me any more. A draft stays."""
    user = person(actor)
    item = _listed(procedure, _("To release an exam."))
    refuse_if_held([item.procedure], user)
    if drop_locks([item.procedure], user) and item.procedure.status == ProcedureStatus.READING:
        orders.mark_reading_released(item.procedure, actor=actor)
    if item.assigned_to_id == user.pk:
        _give(item, None, None, actor, "Released")
    return item.procedure


@service(perms.CLAIM_PROCEDURE, action=Action.EXECUTE)
def ask_to_release(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Tell whoever has the exam open that somebody waits for it."""
    user = person(actor)
    locks = [lock for lock in live_locks([procedure]) if lock.user_id != user.pk]
    if not locks:
        raise InvalidTransition(
            _("Nobody else has this exam open."), asked=_("To ask for an exam."), todo=_("Open it yourself.")
        )
    tell(
        [locks[0].user],
        "reporting.release_asked",
        url=f"/reading/exams/{procedure.uuid}/",
        subject=str(procedure.uuid),
        context={"accession_number": procedure.accession_number, "who": user.display_name},
    )
    return procedure


def set_priority(procedure: RequestedProcedure, *, priority: str, actor: Actor) -> RequestedProcedure:
    """Of the exam's order; its due time follows."""
    if priority not in Priority.values:
        words = _("There is no such priority.")
        raise InvalidData(words, errors={"priority": words})
    orders.change_order(procedure.order, priority=priority, reason=_("Priority set on the reading list"), actor=actor)
    procedure.order.priority = priority
    return procedure


# --- many at once


@dataclass(frozen=True)
class Outcome:
    """What became of one of several exams; ``refusal`` in words, empty when it was done."""

    procedure: RequestedProcedure
    refusal: str = ""

    @property
    def is_done(self) -> bool:
        return not self.refusal


def _each(procedures: Iterable[RequestedProcedure], act: Callable[[RequestedProcedure], object]) -> list[Outcome]:
    """Each by itself: what is refused of one keeps none of the others."""
    found = []
    for procedure in procedures:
        try:
            with transaction.atomic():
                act(procedure)
            found.append(Outcome(procedure))
        except DomainError as refusal:
            found.append(Outcome(procedure, refusal.detail))
    return found


def batch(
    procedures: list[RequestedProcedure],
    *,
    verb: str,
    to: User | None = None,
    group: ReadingGroup | None = None,
    priority: str = "",
    actor: Actor,
) -> list[Outcome]:
    """``assign``, ``claim``, ``release`` or ``priority`` over several exams, with the outcome of each."""
    if not procedures or len(procedures) > AT_ONCE:
        words = _("Choose exams, %(count)d at most.") % {"count": AT_ONCE}
        raise InvalidData(words, errors={"procedures": words})
    acts: dict[str, Callable[[RequestedProcedure], object]] = {
        "assign": lambda row: assign_exam(row, to=to, group=group, quiet=True, actor=actor),
        "claim": lambda row: claim_exam(row, actor=actor),
        "release": lambda row: release_exam(row, actor=actor),
        "priority": lambda row: set_priority(row, priority=priority, actor=actor),
    }
    if verb not in acts:
        words = _("There is no such action.")
        raise InvalidData(words, errors={"verb": words})
    found = _each(procedures, acts[verb])
    done = [row.procedure for row in found if row.is_done]
    if verb == "assign" and to is not None and done and actor.user is not None and to.pk != actor.user.pk:
        tell_assigned(to, done)
    detail = {"verb": verb, "asked": len(found), "done": len(done)}
    record(actor, "reporting.reading_batch", Action.EXECUTE, detail=detail)
    return found
