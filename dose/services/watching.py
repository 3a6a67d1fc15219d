"""The medians are looked at each night, or when asked: a room above a level alerts once, and an investigation opens."""

from __future__ import annotations

import datetime as dt

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.compliance import Comparison, compare, quarter_of
from dose.events import DoseInvestigationOpened, DRLExceeded
from dose.models import DoseInvestigation, DoseInvestigationStatus, DoseReport, LevelAlert, LevelCheck
from ris.audit.service import service
from ris.core.actor import SYSTEM, Actor
from ris.events.bus import publish


@service(perms.MANAGE_LEVELS)
def check_medians(*, actor: Actor) -> LevelCheck:
    """Compare every room and exam with the levels that are watched; once a day it counts as the day's check."""
    rows = [row for row in compare(actor=actor) if row.level.is_watched]
    above = [row for row in rows if row.verdict == "above"]
    for row in above:
        _alert(row, actor)
    today = timezone.localdate()
    check, _made = LevelCheck.objects.update_or_create(
        day=today,
        defaults={
            "compared": sum(row.is_enough for row in rows), "above": len(above), "checked_at": timezone.now(),
        },
    )  # fmt: skip
    return check


def _alert(row: Comparison, actor: Actor) -> LevelAlert | None:
    """None when this cause was told before: the room, exam, quantity, edition of the level and quarter."""
    cause = {
        "room": row.room[:100],
        "exam": row.exam,
        "quantity": row.quantity.key,
        "level": row.level,
        "period": quarter_of(timezone.localdate()),
    }
    if LevelAlert.objects.filter(**cause).exists():
        return None
    try:
        with transaction.atomic():
            alert = LevelAlert.objects.create(
                median=row.median, limit=row.level.value, unit=row.level.unit, patient_count=row.patients, **cause
            )
    except IntegrityError:
        return None
    alert.investigation = open_from(row, actor)
    alert.save(update_fields=["investigation"])
    publish(
        DRLExceeded(str(alert.uuid), quantity=row.quantity.key, level=str(row.level.uuid), period=alert.period),
        actor=actor,
    )
    return alert


def open_from(row: Comparison, actor: Actor) -> DoseInvestigation:
    """The open investigation of this room, exam and level, or a new one."""
    same = {"standard_exam": row.exam, "room": row.room[:100], "quantity": row.quantity.key, "level": row.level}
    known = DoseInvestigation.objects.filter(**same).exclude(status=DoseInvestigationStatus.CLOSED).first()
    if known is not None:
        return known
    made = DoseInvestigation(
        unit=row.level.unit, limit=row.level.value, median=row.median, exam_count=row.exams, **same
    )
    made.save_as(actor, _("Median above the level"))
    publish(DoseInvestigationOpened(str(made.uuid), "", made.version, quantity=made.quantity), actor=actor)
    return made


# --- each night


def claim_day(limit: int = 50) -> list[int]:
    """Today, unless its check was made, or there are no doses to check."""
    today = timezone.localdate()
    if LevelCheck.objects.filter(day=today).exists() or not DoseReport.objects.exists():
        return []
    return [today.toordinal()]


def check_day(ordinal: int) -> bool:
    """The day's check; a second hand finds it made."""
    if LevelCheck.objects.filter(day=dt.date.fromordinal(ordinal)).exists():
        return False
    check_medians(actor=SYSTEM)
    return True
