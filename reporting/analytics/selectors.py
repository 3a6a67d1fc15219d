"""Numbers of the department. They count exams, never people, and name no patient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median, quantiles
from typing import Any

from django.db.models import Count, F, Max, Min, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.models import Priority, ProcedureStatus, RequestedProcedure
from reporting.selectors.reading import SLA_MINUTES
from ris.core.actor import Actor
from ris.core.permissions import IT_ADMIN

S = ProcedureStatus
DAYS = (7, 14, 30, 90)


def _procedures(actor: Actor) -> Any:
    """Counts are not clinical content: an it_admin who sees no patient still sees the department's numbers."""
    if actor.user is not None and actor.user.has_role(IT_ADMIN):
        return RequestedProcedure.objects.all()
    return RequestedProcedure.objects.visible_to(actor)


@dataclass(frozen=True)
class Volume:
    modality: str
    by_day: list[int]

    @property
    def total(self) -> int:
        return sum(self.by_day)


@dataclass(frozen=True)
class Turnaround:
    """Minutes between two times of an exam; ``share`` is the percentage within the goal."""

    key: str
    label: Any
    count: int
    median_minutes: float | None
    p90_minutes: float | None
    goal_minutes: int | None = None
    share: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "step": self.key,
            "count": self.count,
            "median_minutes": self.median_minutes,
            "p90_minutes": self.p90_minutes,
            "goal_minutes": self.goal_minutes,
            "percent_within_goal": self.share,
        }


@dataclass(frozen=True)
class Backlog:
    status: str
    label: Any
    count: int
    oldest: Any


def days_back(days: int) -> list[date]:
    today = timezone.localdate()
    return [today - timedelta(days=back) for back in range(days - 1, -1, -1)]


def volumes(*, actor: Actor, days: int = 14) -> tuple[list[date], list[Volume]]:
    """Exams performed per day and modality."""
    shown = days_back(days)
    index = {day: place for place, day in enumerate(shown)}
    rows = (
        _procedures(actor)
        .filter(performed_at__date__gte=shown[0])
        .order_by()
        .values_list("modality", "performed_at__date")
        .annotate(n=Count("pk"))
    )
    found: dict[str, list[int]] = {}
    for modality, day, number in rows:
        if day in index:
            found.setdefault(modality or "?", [0] * days)[index[day]] += number
    return shown, sorted((Volume(key, numbers) for key, numbers in found.items()), key=lambda row: -row.total)


def _turnaround(key: str, label: Any, minutes: list[float], goal: int | None = None) -> Turnaround:
    if not minutes:
        return Turnaround(key, label, 0, None, None, goal, None)
    p90 = quantiles(minutes, n=10, method="inclusive")[-1] if len(minutes) > 1 else minutes[0]
    share = round(100 * sum(value <= goal for value in minutes) / len(minutes)) if goal else None
    return Turnaround(key, label, len(minutes), round(median(minutes), 1), round(p90, 1), goal, share)


def turnaround(*, actor: Actor, days: int = 30) -> list[Turnaround]:
    """Each step of the way, then image to report by priority against its goal, for exams verified in these days."""
    since = timezone.now() - timedelta(days=days)
    rows = list(
        _procedures(actor)
        .filter(verified_at__gte=since)
        .values(
            "arrived_at", "started_at", "performed_at", "images_complete_at", "verified_at", "distributed_at",
            ordered_at=F("order__ordered_at"), priority=F("order__priority"),
        )
    )  # fmt: skip
    steps = (
        ("order_to_exam", _("Request to exam"), "ordered_at", "started_at"),
        ("arrival_to_exam", _("Arrival to exam"), "arrived_at", "started_at"),
        ("exam", _("Exam"), "started_at", "performed_at"),
        ("images_to_report", _("Images complete to report"), "images_complete_at", "verified_at"),
        ("report_to_acknowledged", _("Report to acknowledged"), "verified_at", "distributed_at"),
        ("order_to_report", _("Request to report"), "ordered_at", "verified_at"),
    )
    found = [_turnaround(key, label, _minutes(rows, start, end)) for key, label, start, end in steps]
    for priority in Priority:
        own = [row for row in rows if row["priority"] == priority]
        minutes = _minutes(own, "images_complete_at", "verified_at")
        label = Priority(priority).label
        found.append(_turnaround(f"images_to_report_{priority}", label, minutes, SLA_MINUTES[priority]))
    return found


def _minutes(rows: list[dict[str, Any]], start: str, end: str) -> list[float]:
    """Where both times are known and in their order."""
    return [
        (row[end] - row[start]).total_seconds() / 60
        for row in rows
        if row[start] is not None and row[end] is not None and row[end] >= row[start]
    ]


def backlog(*, actor: Actor) -> list[Backlog]:
    """What waits now, by where it waits."""
    waiting = (
        S.REQUESTED, S.VETTING, S.ACCEPTED, S.SCHEDULED, S.ARRIVED, S.IN_PROGRESS, S.PERFORMED,
        S.READY_TO_READ, S.READING, S.PRELIMINARY, S.FINAL, S.AMENDED,
    )  # fmt: skip
    rows = (
        _procedures(actor)
        .filter(status__in=waiting)
        .order_by()
        .values("status")
        .annotate(n=Count("pk"), oldest=Min("status_changed_at"))
    )
    known = {row["status"]: row for row in rows}
    return [
        Backlog(str(status), S(status).label, known[status]["n"], known[status]["oldest"])
        for status in waiting
        if status in known
    ]


def figures(*, actor: Actor) -> dict[str, Any]:
    """The numbers on top: today, and what is open."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    counted = _procedures(actor).aggregate(
        performed=Count("pk", filter=Q(performed_at__gte=midnight)),
        verified=Count("pk", filter=Q(verified_at__gte=midnight)),
        unread=Count("pk", filter=Q(status__in=(S.READY_TO_READ, S.READING, S.PRELIMINARY))),
        unacknowledged=Count("pk", filter=Q(status__in=(S.FINAL, S.AMENDED))),
        newest=Max("verified_at"),
    )
    return counted
