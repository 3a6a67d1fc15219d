"""The one writer of a procedure's status. Upper apps call these; each runs inside the audited service that called it.

Locks: order, then procedure. What has been reached already is left as it is, so a repeat changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.events import ProcedureCancelled, ProcedureStatusChanged
from orders.models import Order, ProcedureStatus, RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM, OPEN_BEFORE_EXAM
from orders.timeline import signed_by
from orders.validation import Errors, short_string
from ris.core.actor import Actor
from ris.core.concepts import DISCONTINUATION_REASONS
from ris.core.errors import InvalidTransition
from ris.core.text import stamp
from ris.events.bus import publish

S = ProcedureStatus
#: From the least to the furthest; an order stands where its slowest living procedure stands.
PROGRESS = (
    S.REQUESTED,
    S.VETTING,
    S.INFO_REQUESTED,
    S.ON_HOLD,
    S.ACCEPTED,
    S.SCHEDULED,
    S.ARRIVED,
    S.IN_PROGRESS,
    S.PERFORMED,
    S.READY_TO_READ,
    S.READING,
    S.PRELIMINARY,
    S.FINAL,
    S.AMENDED,
    S.DISTRIBUTED,
)
STOPPED = CLOSED_WITHOUT_EXAM | {S.DISCONTINUED}
#: What a person asked for who closes an exam.
STOP_ASKED = {
    S.CANCELLED: lambda: _("To cancel the exam."),
    S.REJECTED: lambda: _("To reject the request."),
    S.REPLACED: lambda: _("Another exam in its place."),
}
NOT_PERFORMED = (S.CANCELLED, S.REJECTED, S.REPLACED)
STAMPS = {
    S.ARRIVED: "arrived_at",
    S.IN_PROGRESS: "started_at",
    S.PERFORMED: "performed_at",
    S.FINAL: "verified_at",
    S.DISTRIBUTED: "distributed_at",
}
#: What is known of an exam's way from the door to the result.
PROGRESS_STAMPS = frozenset({*STAMPS.values(), "images_complete_at", "completed_by_technologist_at"})
HELD = frozenset({S.INFO_REQUESTED, S.ON_HOLD})
EARLY = frozenset({S.REQUESTED, S.VETTING, *HELD})


def locked_procedure(procedure: RequestedProcedure) -> RequestedProcedure:
    """The order and the procedure, locked in that order; ``procedure.order`` is the locked order."""
    order = Order.locked(procedure.order_id)
    locked = RequestedProcedure.locked(procedure.pk)
    locked.order = order
    return locked


def derived_status(statuses: list[str]) -> str:
    """An order's status from those of its procedures."""
    living = [status for status in statuses if status not in STOPPED]
    if living:
        return min(living, key=PROGRESS.index)
    if not statuses:
        return S.REQUESTED
    return statuses[0] if len(set(statuses)) == 1 else S.CANCELLED


def refresh_order(order: Order, *, actor: Actor) -> None:
    status = derived_status(list(order.procedures.values_list("status", flat=True)))
    if order.status != status:
        order.status = status
        order.save_as(actor, _("Follows its procedures"))


def check_reason(code: str, text: str) -> tuple[str, str]:
    """A coded reason (CID 9300/9301) with what there is to say about it."""
    errors = Errors()
    if code not in DISCONTINUATION_REASONS:
        errors.add("reason_code", _("Choose a reason from the list."))
    text = short_string(text, "reason_text", errors, length=200)
    errors.raise_if_any(_("This needs a reason."))
    return code, text


def _what_to_do(status: str) -> str:
    if status == S.IN_PROGRESS:
        return _("Ask the technologist in the room to discontinue the exam; then order what is right.")
    if status in (S.PERFORMED, S.READY_TO_READ, S.READING):
        return _("The images are there: tell the radiologist, who says so in the report.")
    if status in (S.PRELIMINARY, S.FINAL, S.AMENDED, S.DISTRIBUTED):
        return _("It is reported: ask the radiologist for an addendum, or order a new exam.")
    if status == S.REPLACED:
        return _("Look at the exam that took its place.")
    if status in STOPPED:
        return _("It is closed. Reopen it, or order the exam anew.")
    if status == S.ARRIVED:
        return _("The patient is here: undo the arrival first.")
    return _("Look at the exam again: somebody has moved it on.")


def too_far(procedure: RequestedProcedure, asked: str) -> InvalidTransition:
    """Why this cannot be done any more: where the exam stands, since when, by whom, and what is to be done."""
    moved = procedure.history.filter(status_changed_at=procedure.status_changed_at).order_by("history_id").first()
    facts = {
        "status": procedure.get_status_display(),
        "when": stamp(procedure.status_changed_at),
        "who": signed_by(moved)[2] if moved is not None else "",
    }
    found = _("It is: %(status)s, since %(when)s, by %(who)s.") if facts["who"] else _("It is: %(status)s, %(when)s.")
    return InvalidTransition(
        _("The exam has gone too far for that."), asked=asked, found=found % facts, todo=_what_to_do(procedure.status)
    )


def check_possible(procedure: RequestedProcedure, status: str, asked: str) -> None:
    """Raises InvalidTransition when a locked procedure cannot become ``status``; ``asked`` is what a person wanted."""
    if not procedure.can_move_to(status):
        raise too_far(procedure, asked)


def _close_inquiry(procedure: RequestedProcedure, actor: Actor) -> None:
    """A request that goes on no longer waits for an answer."""
    for inquiry in procedure.inquiries.select_for_update().filter(closed_at__isnull=True):
        inquiry.closed_at = timezone.now()
        inquiry.save_as(actor, _("The request went on"))


def shift(procedure: RequestedProcedure, status: str, *, actor: Actor, reason: str, **changes: Any) -> None:
    """Move a locked procedure, save it with its history, let its order follow, tell the house."""
    previous = procedure.status
    procedure.move_to(status)
    if previous in HELD and status not in HELD:
        changes = {"held_by": None, "held_until": None, **changes}
    if previous == S.INFO_REQUESTED:
        _close_inquiry(procedure, actor)
    stamp = STAMPS.get(S(status))
    if stamp and getattr(procedure, stamp) is None:
        setattr(procedure, stamp, timezone.now())
    for name, value in changes.items():
        setattr(procedure, name, value)
    procedure.save_as(actor, reason)
    refresh_order(procedure.order, actor=actor)
    common = {"accession_number": procedure.accession_number, "version": procedure.version, "status": procedure.status}
    publish(ProcedureStatusChanged(str(procedure.uuid), previous=previous, **common), actor=actor)
    if status in NOT_PERFORMED:
        replaced_by = str(procedure.replaced_by.uuid) if procedure.replaced_by else ""
        publish(
            ProcedureCancelled(
                str(procedure.uuid), reason_code=procedure.reason_code, replaced_by=replaced_by, **common
            ),
            actor=actor,
        )


def _reach(
    procedure: RequestedProcedure, status: str, *, actor: Actor, reason: str, **changes: Any
) -> RequestedProcedure:
    procedure = locked_procedure(procedure)
    if procedure.status != status:
        shift(procedure, status, actor=actor, reason=reason, **changes)
    return procedure


def _accept_if_early(procedure: RequestedProcedure, actor: Actor, reason: str) -> None:
    """What is done in fact needs no acceptance on paper any more."""
    if procedure.status in EARLY:
        shift(procedure, S.ACCEPTED, actor=actor, reason=reason)


@transaction.atomic
def mark_scheduled(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """It has a time and a place. A request that waited for its code alone is accepted by that."""
    procedure = locked_procedure(procedure)
    if procedure.status == S.REQUESTED or (procedure.status == S.VETTING and actor.is_system):
        shift(procedure, S.ACCEPTED, actor=actor, reason=_("Accepted by scheduling"))
    if procedure.status != S.SCHEDULED:
        shift(procedure, S.SCHEDULED, actor=actor, reason=_("Scheduled"))
    return procedure


@transaction.atomic
def mark_unscheduled(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Back to the list of what is to be scheduled."""
    return _reach(procedure, S.ACCEPTED, actor=actor, reason=_("Unscheduled"), arrived_at=None)


@transaction.atomic
def mark_arrived(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    return _reach(procedure, S.ARRIVED, actor=actor, reason=_("Arrived"))


@transaction.atomic
def undo_arrival(procedure: RequestedProcedure, *, is_scheduled: bool = True, actor: Actor) -> RequestedProcedure:
    """Back to scheduled, or to accepted when it never had a time."""
    target = S.SCHEDULED if is_scheduled else S.ACCEPTED
    return _reach(procedure, target, actor=actor, reason=_("Arrival undone"), arrived_at=None)


@transaction.atomic
def mark_started(procedure: RequestedProcedure, *, at: datetime | None = None, actor: Actor) -> RequestedProcedure:
    """The exam runs. A scanner says what is so: it also starts what was never accepted (the upper app alarms)."""
    procedure = locked_procedure(procedure)
    if actor.is_system:
        _accept_if_early(procedure, actor, _("Accepted by starting"))
    if procedure.status != S.IN_PROGRESS:
        started = at or procedure.started_at or timezone.now()
        shift(procedure, S.IN_PROGRESS, actor=actor, reason=_("Started"), started_at=started)
    return procedure


@transaction.atomic
def mark_performed(procedure: RequestedProcedure, *, at: datetime | None = None, actor: Actor) -> RequestedProcedure:
    """All steps are done; when the images were complete before, reading opens now."""
    procedure = locked_procedure(procedure)
    if procedure.status != S.PERFORMED:
        performed = at or procedure.performed_at or timezone.now()
        shift(procedure, S.PERFORMED, actor=actor, reason=_("Performed"), performed_at=performed)
    _open_reading(procedure, actor)
    return procedure


def _open_reading(procedure: RequestedProcedure, actor: Actor) -> None:
    waits = (
        procedure.catalogue is not None
        and procedure.catalogue.needs_completion_before_reading
        and procedure.completed_by_technologist_at is None
    )
    if procedure.images_complete_at and not waits and procedure.status in (S.PERFORMED, S.IN_PROGRESS):
        shift(procedure, S.READY_TO_READ, actor=actor, reason=_("Images complete"))


@transaction.atomic
def mark_images_complete(
    procedure: RequestedProcedure, *, at: datetime | None = None, actor: Actor
) -> RequestedProcedure:
    """Images complete opens reading, unless the technologist must complete the exam first.

    Images of an exam that nobody started say that it was performed.
    """
    procedure = locked_procedure(procedure)
    if procedure.status in OPEN_BEFORE_EXAM:
        _accept_if_early(procedure, actor, _("Accepted: images have come"))
        shift(procedure, S.IN_PROGRESS, actor=actor, reason=_("Started: images have come"))
    if procedure.images_complete_at is None:
        procedure.images_complete_at = at or timezone.now()
        procedure.save_as(actor, _("Images complete"))
    _open_reading(procedure, actor)
    return procedure


@transaction.atomic
def mark_completed_by_technologist(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    procedure = locked_procedure(procedure)
    if procedure.completed_by_technologist_at is not None:
        return procedure
    procedure.completed_by_technologist_at = timezone.now()
    if procedure.status == S.IN_PROGRESS:
        shift(procedure, S.PERFORMED, actor=actor, reason=_("Completed by the technologist"))
    else:
        procedure.save_as(actor, _("Completed by the technologist"))
    _open_reading(procedure, actor)
    return procedure


@transaction.atomic
def mark_reading(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    return _reach(procedure, S.READING, actor=actor, reason=_("Reading"))


@transaction.atomic
def mark_reading_released(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """The reader let go of it without a word signed."""
    procedure = locked_procedure(procedure)
    if procedure.status == S.READING:
        target = S.READY_TO_READ if procedure.images_complete_at else S.PERFORMED
        shift(procedure, target, actor=actor, reason=_("Reading released"))
    return procedure


@transaction.atomic
def mark_sent_back(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Whoever was to read it cannot: it stands on the technologist's list again until it is completed anew."""
    procedure = locked_procedure(procedure)
    check_possible(procedure, S.PERFORMED, _("To send the exam back to the technologist."))
    shift(procedure, S.PERFORMED, actor=actor, reason=_("Sent back"), completed_by_technologist_at=None)
    return procedure


@transaction.atomic
def mark_preliminary(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    return _reach(procedure, S.PRELIMINARY, actor=actor, reason=_("Preliminary report"))


@transaction.atomic
def mark_verified(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    return _reach(procedure, S.FINAL, actor=actor, reason=_("Report signed"))


@transaction.atomic
def mark_amended(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Every addendum and correction counts: also one after another."""
    procedure = locked_procedure(procedure)
    shift(procedure, S.AMENDED, actor=actor, reason=_("Report amended"), distributed_at=None)
    return procedure


@transaction.atomic
def mark_distributed(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    return _reach(procedure, S.DISTRIBUTED, actor=actor, reason=_("Result acknowledged"))


@transaction.atomic
def mark_discontinued(
    procedure: RequestedProcedure, *, code: str = "110513", text: str = "", actor: Actor
) -> RequestedProcedure:
    """Begun and not ended. A scanner may send a reason that is not ours: then the unspecified one, and its words."""
    if code not in DISCONTINUATION_REASONS:
        code, text = "110513", text or code
    return _reach(
        procedure, S.DISCONTINUED, actor=actor, reason=_("Discontinued"), reason_code=code, reason_text=text[:200]
    )


@transaction.atomic
def mark_no_show(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    return _reach(procedure, S.NO_SHOW, actor=actor, reason=_("Did not come"), reason_code="110507")


@transaction.atomic
def mark_called_off(procedure: RequestedProcedure, *, code: str, text: str = "", actor: Actor) -> RequestedProcedure:
    """Begun by mistake, nothing was made: who asked for it no longer wants it, or it was ordered twice."""
    procedure = locked_procedure(procedure)
    shift(procedure, S.SCHEDULED, actor=actor, reason=_("Not begun after all"), started_at=None)
    shift(procedure, S.CANCELLED, actor=actor, reason=_("Called off"), reason_code=code, reason_text=text[:200])
    return procedure


@transaction.atomic
def mark_limited(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Discontinued, yet there are images to be read."""
    at = procedure.images_complete_at or timezone.now()
    return _reach(procedure, S.READY_TO_READ, actor=actor, reason=_("Limited study to be read"), images_complete_at=at)


@transaction.atomic
def put_back(
    procedure: RequestedProcedure, *, status: str, stamps: dict[str, datetime | None], reason: str, actor: Actor
) -> RequestedProcedure:
    """What was done turned out to be another exam's, or not: the status and times that are true again.

    The only move outside the table of transitions; for reconciliation, which records what was before.
    """
    procedure = locked_procedure(procedure)
    previous = procedure.status
    procedure.status, procedure.status_changed_at = str(status), timezone.now()
    for name in sorted(set(stamps) & PROGRESS_STAMPS):
        setattr(procedure, name, stamps[name])
    procedure.save_as(actor, reason)
    refresh_order(procedure.order, actor=actor)
    publish(
        ProcedureStatusChanged(
            str(procedure.uuid),
            accession_number=procedure.accession_number,
            version=procedure.version,
            status=procedure.status,
            previous=previous,
        ),
        actor=actor,
    )
    return procedure


@transaction.atomic
def mark_report_withdrawn(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """Its signed report was retracted as entered in error: it is to be read anew, if its images are still its own."""
    if procedure.status in OPEN_BEFORE_EXAM:
        return procedure
    return _reach(procedure, S.READY_TO_READ, actor=actor, reason=_("Report retracted"), verified_at=None)


def stop(
    procedure: RequestedProcedure,
    status: str,
    *,
    reason_code: str,
    reason_text: str,
    actor: Actor,
    replaced_by: RequestedProcedure | None = None,
) -> RequestedProcedure:
    """Close a procedure that will not be performed."""
    code, text = check_reason(reason_code, reason_text)
    procedure = locked_procedure(procedure)
    if procedure.status == status:
        return procedure
    check_possible(procedure, status, STOP_ASKED[S(status)]())
    words = DISCONTINUATION_REASONS[code].meaning
    changes: dict[str, Any] = {"reason_code": code, "reason_text": text}
    if replaced_by is not None:
        changes["replaced_by"] = replaced_by
    shift(procedure, status, actor=actor, reason=words, **changes)
    return procedure
