"""What is asked about alerts: medians above a level, skins to look at, exams of pregnant patients, who is told."""

from __future__ import annotations

from django.db.models import Case, QuerySet, When

from dose import permissions as perms
from dose import selectors
from dose.models import (
    DoseAlertRule,
    DoseTrigger,
    LevelAlert,
    LevelCheck,
    ReferenceLevel,
    SkinFollowUp,
    SkinFollowUpStatus,
    TriggerKind,
)
from ris.core.actor import Actor


def level_alerts(*, actor: Actor) -> QuerySet[LevelAlert]:
    found = LevelAlert.objects.select_related("exam", "level", "investigation").order_by("-pk")
    return found if actor.may(perms.VIEW_DOSE) else found.none()


def last_check(*, actor: Actor) -> LevelCheck | None:
    return LevelCheck.objects.order_by("-day").first() if actor.may(perms.VIEW_DOSE) else None


def skin_follow_ups(*, actor: Actor) -> QuerySet[SkinFollowUp]:
    """Those that wait first, the newest of them on top."""
    reports = selectors.dose_reports(actor=actor).order_by().values("pk")
    return (
        SkinFollowUp.objects.filter(report__in=reports)
        .select_related("report__procedure__order__patient", "report__station__room")
        .order_by(Case(When(status=SkinFollowUpStatus.CLOSED, then=1), default=0), "-pk")
    )


def pregnancies(*, actor: Actor) -> QuerySet[DoseTrigger]:
    return selectors.triggers(actor=actor).filter(kind=TriggerKind.PREGNANCY)


def alert_rules(*, actor: Actor) -> QuerySet[DoseAlertRule]:
    return DoseAlertRule.objects.all() if actor.may(perms.VIEW_DOSE) else DoseAlertRule.objects.none()


def all_levels(*, actor: Actor) -> QuerySet[ReferenceLevel]:
    """With earlier editions and those that were withdrawn."""
    found = ReferenceLevel.objects.select_related("standard_exam", "replaces")
    return found if actor.may(perms.VIEW_DOSE) else found.none()
