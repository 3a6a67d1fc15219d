"""Who may see a restricted patient: by a grant (django-guardian, direct foreign keys, in orders) or by break-glass."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ris.accounts.models import BreakGlass
from ris.core.actor import Actor
from ris.core.permissions import IT_ADMIN


def running_break_glasses(*, actor: Actor) -> QuerySet[BreakGlass]:
    """The emergency accesses that the actor holds at this moment."""
    if actor.user is None or actor.scopes is not None:
        return BreakGlass.objects.none()
    return actor.user.break_glasses.running()


def broken_glass_patients(*, actor: Actor) -> QuerySet[BreakGlass, dict[str, Any]]:
    """UUIDs of patients opened by break-glass, for ``Q(uuid__in=...)`` in ``visible_to``."""
    return running_break_glasses(actor=actor).filter(patient__isnull=False).values("patient")


def sees_clinical_content(*, actor: Actor) -> bool:
    """it_admin sees none, except while a break-glass without a patient runs; all others by their codes."""
    if actor.user is None or not actor.user.has_role(IT_ADMIN):
        return True
    return running_break_glasses(actor=actor).filter(patient__isnull=True).exists()


def has_broken_glass_for(patient: UUID, *, actor: Actor) -> bool:
    return running_break_glasses(actor=actor).filter(patient=patient).exists()
