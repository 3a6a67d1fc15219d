"""Between request and schedule: vetted, protocolled, held, asked about, rejected."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from orders import permissions as perms
from orders import validation
from orders.events import ProcedureChanged
from orders.models import ProcedureStatus, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.services import lifecycle
from orders.validation import Errors
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidTransition
from ris.events.bus import publish

S = ProcedureStatus
HOLD_LASTS = timedelta(days=2)


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
    errors = Errors()
    comments = validation.long_text(comments, "comments", errors)
    errors.raise_if_any()
    kept = {"comments_to_technologist": comments} if comments else {}
    lifecycle.shift(procedure, S.ACCEPTED, actor=actor, reason=_("Accepted"), held_by=None, held_until=None, **kept)
    return procedure


def _hold(
    procedure: RequestedProcedure,
    status: str,
    *,
    reason_code: str,
    reason_text: str,
    until: datetime | None,
    actor: Actor,
) -> RequestedProcedure:
    """Every hold has an owner and an end."""
    errors = Errors()
    text = validation.short_string(reason_text, "reason_text", errors, length=200, required=not reason_code)
    code = validation.short_string(reason_code, "reason_code", errors, length=16)
    until = until or timezone.now() + HOLD_LASTS
    if until <= timezone.now():
        errors.add("until", _("This moment is over already."))
    errors.raise_if_any(_("This needs a reason."))
    procedure = lifecycle.locked_procedure(procedure)
    lifecycle.shift(
        procedure,
        status,
        actor=actor,
        reason=text or code,
        held_by=actor.user,
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
    actor: Actor,
) -> RequestedProcedure:
    """Put aside until somebody releases it; a time that it had is given back by whoever keeps the schedule."""
    return _hold(procedure, S.ON_HOLD, reason_code=reason_code, reason_text=reason_text, until=until, actor=actor)


@service(perms.HOLD_PROCEDURE)
def request_information(
    procedure: RequestedProcedure,
    *,
    reason_code: str = "",
    reason_text: str = "",
    until: datetime | None = None,
    actor: Actor,
) -> RequestedProcedure:
    """Ask the requester; ``reason_text`` is the question."""
    return _hold(
        procedure, S.INFO_REQUESTED, reason_code=reason_code, reason_text=reason_text, until=until, actor=actor
    )


@service(perms.HOLD_PROCEDURE)
def release_procedure(procedure: RequestedProcedure, *, reason_text: str = "", actor: Actor) -> RequestedProcedure:
    """End a hold or a question: back to vetting where the exam is vetted, else accepted."""
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.status not in (S.ON_HOLD, S.INFO_REQUESTED):
        raise InvalidTransition(
            _("This request is not on hold."),
            asked=_("To release it."),
            found=_("It is %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Nothing is left to do here."),
        )
    needs_vetting = procedure.catalogue is None or procedure.catalogue.needs_vetting
    target = S.VETTING if needs_vetting else S.ACCEPTED
    reason = reason_text[:150] or _("Released")
    lifecycle.shift(
        procedure, target, actor=actor, reason=reason, held_by=None, held_until=None, reason_code="", reason_text=""
    )
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
    lifecycle.shift(procedure, S.VETTING, actor=actor, reason=reason_text[:150] or _("To be vetted again"))
    return procedure


@service(perms.VET_PROCEDURE)
def protocol_procedure(
    procedure: RequestedProcedure, *, protocol: str, contrast: str = "", comments: str = "", actor: Actor
) -> RequestedProcedure:
    """How the exam is to be done; seen on the worklist (0040,0007) and by the technologist."""
    errors = Errors()
    protocol = validation.long_text(protocol, "protocol", errors)
    contrast = validation.short_string(contrast, "contrast", errors, length=64)
    comments = validation.long_text(comments, "comments", errors)
    if not protocol and not contrast:
        errors.add("protocol", _("This is needed."))
    errors.raise_if_any(_("The protocol was not saved."))
    procedure = lifecycle.locked_procedure(procedure)
    if procedure.status not in OPEN_BEFORE_EXAM:
        raise InvalidTransition(
            _("The exam has begun already."),
            asked=_("Another protocol."),
            found=_("It is %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Tell the technologist directly."),
        )
    procedure.protocol, procedure.contrast = protocol, contrast
    procedure.comments_to_technologist = comments
    procedure.save_as(actor, _("Protocolled"))
    publish(
        ProcedureChanged(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return procedure
