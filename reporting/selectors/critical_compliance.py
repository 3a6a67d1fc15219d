"""How many critical results were told in time, by month, category, site and department; and how long it took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from reporting.models import ContactAttempt, CriticalCategory, CriticalResult
from ris.core.actor import Actor
from ris.core.clock import database_now

MONTHS = 6
GROUPS = ("month", "category", "site", "department")


@dataclass(frozen=True)
class Finding:
    """One alert as it counts: whether in time, and the minutes until told and acknowledged."""

    month: date
    category: str
    site: str
    department: str
    severity: int
    in_time: bool
    told: float | None
    acknowledged: float | None
    read_back: bool


@dataclass(frozen=True)
class Group:
    """A line of the table. ``first`` is the first day of a month, for months only."""

    label: str
    findings: int
    in_time: int
    median_minutes: float | None
    median_first: float | None
    median_acknowledged: float | None
    read_back: int | None
    first: date | None = None

    @property
    def late(self) -> int:
        return self.findings - self.in_time

    @property
    def share(self) -> int | None:
        return round(100 * self.in_time / self.findings) if self.findings else None


def findings(*, actor: Actor, months: int = MONTHS) -> list[Finding]:
    """Alerts by when they were found, withdrawn ones and those that still have time left out; one query."""
    now = database_now()
    start = _month_before(timezone.localtime(now).date().replace(day=1), months - 1)
    read_back = ContactAttempt.objects.filter(critical_result=OuterRef("pk"), outcome="reached", read_back=True)
    rows = (
        CriticalResult.objects.visible_to(actor)
        .exclude(status="withdrawn")
        .filter(found_at__date__gte=start)
        .annotate(was_read_back=Exists(read_back))
        .values_list(
            "found_at",
            "due_at",
            "communicated_at",
            "acknowledged_at",
            "category",
            "alert_category__name",
            "procedure__order__site__name",
            "procedure__order__requester__organisation",
            "procedure__order__location",
            "was_read_back",
        )
    )
    names = dict(CriticalCategory.choices)
    found = []
    for found_at, due_at, told_at, known_at, severity, own, site, practice, place, was_read_back in rows:
        if told_at is None and due_at > now:
            continue
        found.append(
            Finding(
                month=timezone.localtime(found_at).date().replace(day=1),
                category=own or str(names[severity]),
                site=site or _("No site named"),
                department=practice or place or _("No department named"),
                severity=severity,
                in_time=told_at is not None and told_at <= due_at,
                told=_minutes(found_at, told_at),
                acknowledged=_minutes(found_at, known_at),
                read_back=was_read_back,
            )
        )
    return found


def compliance(*, actor: Actor, by: str = "month", months: int = MONTHS) -> list[Group]:
    """The table's lines: months in their order, all others by how many there were."""
    rows = findings(actor=actor, months=months)
    if by not in GROUPS or by == "month":
        return months_of(rows, months=months)
    groups: dict[str, list[Finding]] = {}
    for row in rows:
        groups.setdefault(getattr(row, by), []).append(row)
    return [_group(label, of) for label, of in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))]


def compliance_by_month(*, actor: Actor, months: int = MONTHS) -> list[Group]:
    return months_of(findings(actor=actor, months=months), months=months)


def months_of(rows: Iterable[Finding], *, months: int) -> list[Group]:
    this = timezone.localdate().replace(day=1)
    groups: dict[date, list[Finding]] = {_month_before(this, back): [] for back in range(months - 1, -1, -1)}
    for row in rows:
        groups.setdefault(row.month, []).append(row)
    return [_group(f"{first:%Y-%m}", of, first=first) for first, of in groups.items()]


def _month_before(first: date, back: int) -> date:
    index = first.year * 12 + first.month - 1 - back
    return date(index // 12, index % 12 + 1, 1)


def _minutes(start: datetime, end: datetime | None) -> float | None:
    return (end - start).total_seconds() / 60 if end is not None else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _group(label: str, rows: list[Finding], first: date | None = None) -> Group:
    told = [row for row in rows if row.told is not None]
    return Group(
        label=label,
        findings=len(rows),
        in_time=sum(row.in_time for row in rows),
        median_minutes=_median(row.told for row in rows),
        median_first=_median(row.told for row in rows if row.severity == CriticalCategory.MINUTES),
        median_acknowledged=_median(row.acknowledged for row in rows),
        read_back=round(100 * sum(row.read_back for row in told) / len(told)) if told else None,
        first=first,
    )
