"""Between request and schedule: vetted, protocolled, held, asked about, rejected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.events import ProcedureChanged
from orders.models import ContrastDecision, Inquiry, ProcedureStatus, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.services import lifecycle
from orders.validation import Errors
from ris.accounts.models import User
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, DomainError, InvalidTransition
from ris.events.bus import publish

S = ProcedureStatus
HOLD_LASTS = timedelta(days=2)
REOPENED = frozenset({S.CANCELLED, S.REJECTED, S.NO_SHOW, S.DISCONTINUED})


@service(perms.VET_PROCEDURE)
def accept_procedure(procedure: RequestedProcedure, *, comments: str = "", actor: Actor) -> RequestedProcedure:
    """It is to be done; a code that the catalogue does not know is mapped first."""
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.is_unmapped:
        raise Conflict(
            _("This request has no exam of the catalogue yet."),
            asked=_("To accept the request."),
            found=_("The sender's code is not in the catalogue."),
            todo=_("Choose the exam that is meant, then accept it."),
        )
    if procedure.status == S.ACCEPTED:
        return procedure
    lifecycle.check_possible(procedure, S.ACCEPTED, _("To accept the request."))
    errors = Errors()
    comments = validation.long_text(comments, "comments", errors)
    errors.raise_if_any()
    kept = {"comments_to_technologist": comments} if comments else {}
    lifecycle.shift(procedure, S.ACCEPTED, actor=actor, reason=_("Accepted"), reason_code="", reason_text="", **kept)
    return procedure


@dataclass
class BatchResult:
    """What became of several requests that were to be accepted together."""

    accepted: list[RequestedProcedure] = field(default_factory=list)
    refused: list[tuple[RequestedProcedure, DomainError]] = field(default_factory=list)


def accept_procedures(procedures: Iterable[RequestedProcedure], *, actor: Actor) -> BatchResult:
    """Accept each that can be; what cannot stays where it is, with the reason. Each is a commit of its own."""
    result = BatchResult()
    for procedure in procedures:
        try:
            result.accepted.append(accept_procedure(procedure, actor=actor))
        except DomainError as refusal:
            result.refused.append((procedure, refusal))
    return result


def _hold(
    procedure: RequestedProcedure,
    status: str,
    *,
    asked: str,
    reason_code: str,
    reason_text: str,
    until: datetime | None,
    owner: User | None,
    actor: Actor,
) -> RequestedProcedure:
    """Every hold has an owner and an end."""
    errors = Errors()
    text = validation.short_string(reason_text, "reason_text", errors, length=200, required=not reason_code)
    code = validation.short_string(reason_code, "reason_code", errors, length=16)
    until = until or timezone.now() + HOLD_LASTS
    if until <= timezone.now():
        errors.add("until", _("This moment is over already."))
    if owner is not None and not (owner.is_active and owner.may(perms.HOLD_PROCEDURE)):
        errors.add("owner", _("This person cannot look after it."))
    errors.raise_if_any(_("This needs a reason, an owner and an end."))
    procedure = lifecycle.locked_procedure(procedure)
    lifecycle.check_possible(procedure, status, asked)
    lifecycle.shift(
        procedure,
        status,
        actor=actor,
        reason=text or code,
        held_by=owner or actor.user,
        held_until=until,
        reason_code=code,
        reason_text=text,
    )
    return procedure


@service(perms.HOLD_PROCEDURE)
def hold_procedure(
    procedure: RequestedProcedure,
    *,
    reason_code: str = "",
    reason_text: str = "",
    until: datetime | None = None,
    owner: User | None = None,
    actor: Actor,
) -> RequestedProcedure:
    """Put aside until somebody releases it; a time that it had is given back by whoever keeps the schedule.

    Without ``owner`` whoever holds it looks after it; without ``until`` for two days.
    """
    asked = _("To put the request on hold.")
    return _hold(
        procedure,
        S.ON_HOLD,
        asked=asked,
        reason_code=reason_code,
        reason_text=reason_text,
        until=until,
        owner=owner,
        actor=actor,
    )


@service(perms.HOLD_PROCEDURE)
def request_information(
    procedure: RequestedProcedure,
    *,
    reason_text: str,
    reason_code: str = "",
    until: datetime | None = None,
    owner: User | None = None,
    actor: Actor,
) -> RequestedProcedure:
    """Ask the requester; ``reason_text`` is the question, and who asks waits for the answer until ``until``."""
    held = _hold(
        procedure,
        S.INFO_REQUESTED,
        asked=_("To ask the requester."),
        reason_code=reason_code,
        reason_text=reason_text,
        until=until,
        owner=owner,
        actor=actor,
    )
    Inquiry(procedure=held, question=held.reason_text or held.reason_code, asked_by=actor.user).save_as(
        actor, _("Asked")
    )
    return held


@service(perms.ANSWER_INQUIRY)
def answer_information(procedure: RequestedProcedure, *, answer: str, actor: Actor) -> RequestedProcedure:
    """The requester's answer, or what the desk heard by telephone; the request goes back to where it was."""
    errors = Errors()
    answer = validation.long_text(answer, "answer", errors)
    if not answer and "answer" not in errors.found:
        errors.add("answer", _("This is needed."))
    errors.raise_if_any(_("The answer was not stored."))
    procedure = lifecycle.locked_procedure(procedure)
    inquiry = procedure.inquiries.select_for_update().filter(closed_at__isnull=True).first()
    if procedure.status != S.INFO_REQUESTED or inquiry is None:
        raise InvalidTransition(
            _("Nothing is asked about this request."),
            asked=_("To answer a question."),
            found=_("It is %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Write what is to be known into the order."),
        )
    inquiry.answer, inquiry.answered_by, inquiry.closed_at = answer, actor.user, timezone.now()
    inquiry.save_as(actor, _("Answered"))
    _go_on(procedure, actor=actor, reason=_("Answered"))
    return procedure


@service(perms.HOLD_PROCEDURE)
def release_procedure(procedure: RequestedProcedure, *, reason_text: str = "", actor: Actor) -> RequestedProcedure:
    """End a hold or a question: back to vetting where the exam is vetted, else accepted."""
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.status not in lifecycle.HELD:
        raise InvalidTransition(
            _("This request is not on hold."),
            asked=_("To release it."),
            found=_("It is %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Nothing is left to do here."),
        )
    _go_on(procedure, actor=actor, reason=reason_text[:150] or _("Released"))
    return procedure


def needs_vetting(procedure: RequestedProcedure) -> bool:
    """What the catalogue does not know is looked at as well."""
    return procedure.catalogue is None or procedure.catalogue.needs_vetting


def _go_on(procedure: RequestedProcedure, *, actor: Actor, reason: str) -> None:
    target = S.VETTING if needs_vetting(procedure) else S.ACCEPTED
    lifecycle.shift(procedure, target, actor=actor, reason=reason, reason_code="", reason_text="")


@service(perms.CHANGE_ORDER)
def reopen_procedure(procedure: RequestedProcedure, *, reason_text: str, actor: Actor) -> RequestedProcedure:
    """What was cancelled, rejected, missed or stopped is to be done after all, under the numbers that it has.

    Refused when a sender was told that it will not be done: only a new order makes both sides agree again.
    """
    errors = Errors()
    reason = validation.short_string(reason_text, "reason_text", errors, length=150, required=True)
    errors.raise_if_any(_("This needs a reason."))
    procedure = lifecycle.locked_procedure(procedure)
    asked = _("To reopen the exam.")
    if procedure.status not in REOPENED:
        raise lifecycle.too_far(procedure, asked)
    if procedure.order.placer_order_number and procedure.status in (S.CANCELLED, S.REJECTED):
        raise Conflict(
            _("The sender was told that this exam will not be done."),
            asked=asked,
            found=_("The order came from another system, which holds it for cancelled."),
            todo=_("Order the exam anew, or ask the sender to do so."),
        )
    cleared = {"reason_code": "", "reason_text": "", "arrived_at": None}
    if procedure.status in (S.NO_SHOW, S.DISCONTINUED):
        lifecycle.shift(procedure, S.ACCEPTED, actor=actor, reason=reason, **cleared)
        return procedure
    lifecycle.shift(procedure, S.VETTING, actor=actor, reason=reason, **cleared)
    if not needs_vetting(procedure):
        lifecycle.shift(procedure, S.ACCEPTED, actor=actor, reason=_("Needs no vetting"))
    return procedure


@service(perms.VET_PROCEDURE)
def reject_procedure(
    procedure: RequestedProcedure, *, reason_code: str, reason_text: str = "", actor: Actor
) -> RequestedProcedure:
    """It is not to be done; the requester hears why."""
    return lifecycle.stop(procedure, S.REJECTED, reason_code=reason_code, reason_text=reason_text, actor=actor)


@service(perms.VET_PROCEDURE)
def return_to_vetting(procedure: RequestedProcedure, *, reason_text: str = "", actor: Actor) -> RequestedProcedure:
    """What was accepted is to be looked at again."""
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.status not in OPEN_BEFORE_EXAM or not procedure.can_move_to(S.VETTING):
        raise lifecycle.too_far(procedure, _("To look at the request again."))
    lifecycle.shift(
        procedure,
        S.VETTING,
        actor=actor,
        reason=reason_text[:150] or _("To be vetted again"),
        reason_code="",
        reason_text="",
    )
    return procedure


@service(perms.VET_PROCEDURE)
def protocol_procedure(
    procedure: RequestedProcedure,
    *,
    protocol: str = "",
    contrast_decision: str = "",
    contrast: str = "",
    comments: str = "",
    actor: Actor,
) -> RequestedProcedure:
    """How the exam is to be done; seen on the worklist (0040,0007) and by the technologist.

    ``contrast_decision``: "with" names the agent in ``contrast``, "without" names none; an agent alone means "with".
    """
    errors = Errors()
    protocol = validation.long_text(protocol, "protocol", errors)
    contrast = validation.short_string(contrast, "contrast", errors, length=64)
    comments = validation.long_text(comments, "comments", errors)
    decision = validation.choice(contrast_decision, ContrastDecision, "contrast_decision", errors)
    if contrast and decision == ContrastDecision.OPEN:
        decision = ContrastDecision.WITH
    if contrast and decision == ContrastDecision.WITHOUT:
        errors.add("contrast", _("You decided for no contrast: leave this empty."))
    if decision == ContrastDecision.WITH and not contrast and "contrast" not in errors.found:
        errors.add("contrast", _("Say which agent and how much."))
    if not protocol and not contrast and decision == ContrastDecision.OPEN:
        errors.add("protocol", _("This is needed."))
    errors.raise_if_any(_("The protocol was not saved."))
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.status not in OPEN_BEFORE_EXAM:
        refusal = lifecycle.too_far(procedure, _("Another protocol."))
        refusal.todo = _("Tell the technologist directly.")
        raise refusal
    procedure.protocol, procedure.contrast, procedure.contrast_decision = protocol, contrast, decision
    procedure.comments_to_technologist = comments
    procedure.protocolled_at, procedure.protocolled_by = timezone.now(), actor.user
    procedure.save_as(actor, _("Protocolled"))
    publish(
        ProcedureChanged(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return procedure
