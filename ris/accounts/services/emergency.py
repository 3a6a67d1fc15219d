"""Break-glass: access taken in an emergency, with a reason, for a while, told to those who watch over it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from ris.accounts.events import GlassBroken
from ris.accounts.models import BreakGlass
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotPermitted
from ris.core.permissions import IT_ADMIN
from ris.events.bus import publish

LASTS = timedelta(hours=1)
SHORTEST_REASON = 10


@service("accounts.break_glass", action=Action.EXECUTE)
def break_glass(*, patient: UUID | None, reason: str, actor: Actor) -> BreakGlass:
    """Let the actor see one restricted patient, or (it_admin, without a patient) clinical content, for an hour.

    Seeing only: nobody signs or edits by it. Quality leads and administrators are told at once.
    """
    if actor.user is None or actor.scopes is not None:
        raise NotPermitted(_("Only a person who is signed in may do this."))
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise InvalidData(
            _("Say why, so that others understand it."),
            errors={"reason": _("At least %(count)d characters.") % {"count": SHORTEST_REASON}},
        )
    if patient is None and not actor.user.has_role(IT_ADMIN):
        raise InvalidData(_("Say for which patient."), errors={"patient": _("Needed.")})
    now = timezone.now()
    row = BreakGlass(user=actor.user, patient=patient, reason=reason[:500], started_at=now, expires_at=now + LASTS)
    row._history_user = actor.user
    row.save()
    detail = {"until": row.expires_at.isoformat()}
    record(
        actor,
        "accounts.break_glass_reason",
        Action.EXECUTE,
        entity=row,
        patients=[patient] if patient else (),
        reason=reason,
        detail=detail,
    )
    publish(GlassBroken(str(row.uuid)), actor=actor)
    actor.user.__dict__.pop("breaks_glass", None)
    return row


@service("accounts.break_glass", action=Action.UPDATE)
def end_break_glass(row: BreakGlass, *, actor: Actor) -> BreakGlass:
    """Give it back before the hour is over; one's own, or anybody's for those who watch."""
    own = actor.user is not None and row.user_id == actor.user.pk
    if not own:
        actor.require("accounts.view_break_glass")
    row = BreakGlass.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if row.ended_at is None:
        row.ended_at = timezone.now()
        row._history_user = actor.user
        row.save()
    return row
