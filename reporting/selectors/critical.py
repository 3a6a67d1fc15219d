"""The board of critical results, and how many were told in time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from statistics import median

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from reporting.models import CriticalResult
from ris.core.actor import Actor

BOXES = ("open", "escalated", "mine", "closed")
MONTHS = 6


def critical_results(*, actor: Actor) -> QuerySet[CriticalResult]:
    return (
        CriticalResult.objects.visible_to(actor)
        .select_related(
            "procedure__order__patient", "procedure__order__requester__user", "raised_by", "acknowledged_by", "report"
        )
        .prefetch_related(
            "attempts__by", "procedure__order__patient__identifiers", "procedure__order__patient__alert_rows"
        )
    )


def _box(name: str, actor: Actor) -> Q:
    is_open = Q(status__in=("open", "communicated"))
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "open": is_open,
        "escalated": is_open & Q(escalation_level__gt=0),
        "mine": is_open & Q(raised_by=actor.user),
        "closed": Q(status__in=("acknowledged", "closed", "withdrawn"), status_changed_at__gte=today),
    }[name]


def critical_board(*, actor: Actor, box: str = "open") -> QuerySet[CriticalResult]:
    rows = critical_results(actor=actor).filter(_box(box if box in BOXES else "open", actor))
    return rows.order_by("due_at", "pk")


def board_counts(*, actor: Actor) -> dict[str, int]:
    counted = {name: Count("pk", filter=_box(name, actor)) for name in BOXES}
    counted["over"] = Count("pk", filter=Q(status="open", due_at__lt=timezone.now()))
    return CriticalResult.objects.visible_to(actor).aggregate(**counted)


def board_fingerprint(*, actor: Actor) -> str:
    """Changes when the board does; one query, for a poll's ETag."""
    state = CriticalResult.objects.visible_to(actor).aggregate(
        rows=Count("pk", distinct=True),
        changed=Max("updated_at"),
        tried=Max("attempts__pk"),
        over=Count("pk", filter=Q(status="open", due_at__lt=timezone.now()), distinct=True),
    )
    words = f"{getattr(actor.user, 'pk', '')}|{timezone.localdate()}|{sorted(state.items())}"
    return hashlib.sha256(words.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Month:
    first: date
    findings: int
    in_time: int
    median_minutes: float | None

    @property
    def late(self) -> int:
        return self.findings - self.in_time

    @property
    def share(self) -> int | None:
        return round(100 * self.in_time / self.findings) if self.findings else None


def compliance_by_month(*, actor: Actor, months: int = MONTHS) -> list[Month]:
    """Findings by the month they were found in, withdrawn ones left out: how many were told before they were due."""
    today = timezone.localdate()
    firsts = [_month_before(today.replace(day=1), back) for back in range(months - 1, -1, -1)]
    rows = (
        CriticalResult.objects.visible_to(actor)
        .exclude(status="withdrawn")
        .filter(found_at__date__gte=firsts[0])
        .values_list("found_at", "due_at", "communicated_at")
    )
    found: dict[date, list[tuple[bool, float | None]]] = {first: [] for first in firsts}
    now = timezone.now()
    for found_at, due_at, told_at in rows:
        month = timezone.localtime(found_at).date().replace(day=1)
        if told_at is None and due_at > now:
            continue  # still has time
        minutes = (told_at - found_at).total_seconds() / 60 if told_at else None
        found.setdefault(month, []).append((told_at is not None and told_at <= due_at, minutes))
    return [_month(first, found[first]) for first in firsts]


def _month_before(first: date, back: int) -> date:
    index = first.year * 12 + first.month - 1 - back
    return date(index // 12, index % 12 + 1, 1)


def _month(first: date, rows: list[tuple[bool, float | None]]) -> Month:
    told = [minutes for _in_time, minutes in rows if minutes is not None]
    return Month(first, len(rows), sum(in_time for in_time, _m in rows), median(told) if told else None)
