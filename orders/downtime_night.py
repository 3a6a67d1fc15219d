"""Every night the dispatcher makes the pack and the read-only copy; when it is due stands in the database.

A facility that has never been asked is planned on the first tick. What goes wrong is claimed again when its time has
run out, so that a full disk at one o'clock is tried again until the morning.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from orders.models import DowntimePlan
from orders.services.downtime import downtime_plan
from orders.services.downtime_files import make_downtime_night
from ris.core.actor import Actor
from ris.events.dispatcher import register_work

BEAT = Actor("beat")
CLAIM_FOR = timedelta(minutes=20)


def next_night(after: datetime, hour: int) -> datetime:
    """The next time that the facility's clock shows the full hour."""
    local = timezone.localtime(after)
    night = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    return night if night > local else night + timedelta(days=1)


def claim_nights(limit: int = 1) -> list[int]:
    """The plan, when its night is due and nobody else is at it."""
    now = timezone.now()
    row = DowntimePlan.objects.filter(pk=1).values("next_night_at", "claimed_until", "is_nightly", "night_hour").first()
    if row is None or row["next_night_at"] is None:
        hour = downtime_plan().night_hour if row is None else row["night_hour"]
        planned = DowntimePlan.objects.filter(pk=1, next_night_at__isnull=True)
        planned.update(next_night_at=next_night(now, hour))
        return []
    if not row["is_nightly"] or row["next_night_at"] > now:
        return []
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    due = DowntimePlan.objects.filter(free, pk=1, next_night_at__lte=now)
    return [1] if due.update(claimed_until=now + CLAIM_FOR) else []


def run_night(pk: int) -> None:
    """Make it, unless it has been made meanwhile; then plan the next."""
    plan = DowntimePlan.objects.get(pk=pk)
    now = timezone.now()
    if plan.next_night_at is None or plan.next_night_at > now:
        return
    make_downtime_night(actor=BEAT)
    DowntimePlan.objects.filter(pk=pk).update(next_night_at=next_night(now, plan.night_hour), claimed_until=None)


register_work("orders.downtime_night", claim=claim_nights, run=run_night)
