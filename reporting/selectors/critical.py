"""The board of critical results: what is open, where each one stands, who is told next."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Max, Prefetch, Q, QuerySet
from django.utils import timezone

from reporting.models import AlertCategory, CriticalResult, EscalationStep
from reporting.selectors.critical_compliance import compliance_by_month
from reporting.services.critical_chain import Contacts, contacts_at, next_at
from ris.core.actor import Actor
from ris.core.clock import database_now

__all__ = ["compliance_by_month"]

BOXES = ("open", "escalated", "trouble", "mine", "closed")
LEVELS_SHOWN = 3


def critical_results(*, actor: Actor) -> QuerySet[CriticalResult]:
    return (
        CriticalResult.objects.visible_to(actor)
        .select_related(
            "procedure__order__patient",
            "procedure__order__requester__user",
            "procedure__order__site",
            "alert_category",
            "raised_by",
            "acknowledged_by",
            "report",
        )
        .prefetch_related(
            "attempts__by",
            Prefetch("steps", queryset=EscalationStep.objects.order_by("round", "level")),
            "procedure__order__patient__identifiers",
            "procedure__order__patient__alert_rows",
        )
    )


def _box(name: str, actor: Actor) -> Q:
    is_open = Q(status__in=("open", "communicated")) | Q(retell_since__isnull=False)
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "open": is_open,
        "escalated": Q(status="open", escalation_level__gt=0),
        "trouble": Q(unreached_since__isnull=False) | Q(retell_since__isnull=False),
        "mine": is_open & Q(raised_by=actor.user),
        "closed": Q(status__in=("acknowledged", "closed", "withdrawn"), status_changed_at__gte=today),
    }[name]


def critical_board(*, actor: Actor, box: str = "open", category: str = "") -> QuerySet[CriticalResult]:
    rows = critical_results(actor=actor).filter(_box(box if box in BOXES else "open", actor))
    if category:
        rows = rows.filter(alert_category__code=category)
    return rows.order_by("due_at", "pk")


def wall_rows() -> QuerySet[CriticalResult]:
    """What a display shows: open alerts of the facility, what waits longest first. Without patients."""
    return (
        CriticalResult.objects.filter(status="open")
        .select_related("alert_category", "procedure__order__site", "raised_by")
        .prefetch_related(Prefetch("steps", queryset=EscalationStep.objects.order_by("round", "level")))
        .order_by("due_at", "pk")
    )


def board_counts(*, actor: Actor) -> dict[str, int]:
    counted = {name: Count("pk", filter=_box(name, actor)) for name in BOXES}
    counted["over"] = Count("pk", filter=Q(status="open", due_at__lt=database_now()))
    return CriticalResult.objects.visible_to(actor).aggregate(**counted)


def fingerprint(rows: QuerySet[CriticalResult], *, salt: str = "") -> str:
    """Changes when what these rows show does; one query, for a poll's ETag."""
    state = rows.order_by().aggregate(
        rows=Count("pk", distinct=True),
        changed=Max("updated_at"),
        tried=Max("attempts__pk"),
        climbed=Max("steps__pk"),
        over=Count("pk", filter=Q(status="open", due_at__lt=timezone.now()), distinct=True),
    )
    words = f"{salt}|{timezone.localdate()}|{sorted(state.items())}"
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def board_fingerprint(*, actor: Actor) -> str:
    return fingerprint(CriticalResult.objects.visible_to(actor), salt=str(getattr(actor.user, "pk", "")))


def categories(*, with_chain: bool = True) -> list[AlertCategory]:
    """Those in use, with their findings and chains; three queries, or two."""
    beside = ("findings", "chain") if with_chain else ("findings",)
    return list(AlertCategory.objects.filter(is_active=True).prefetch_related(*beside))


@dataclass
class Shown:
    """What a row of the board says besides its columns."""

    minutes_left: int
    minutes_total: int
    tries: int
    contact: str
    state: str
    at: datetime | None


def shown(critical: CriticalResult, now: datetime) -> Shown:
    """From the rows that were fetched with it; no query."""
    attempts = [row for row in critical.attempts.all() if row.round == critical.round]
    by_people = [row for row in attempts if row.by_id is not None]
    steps = [row for row in critical.steps.all() if row.round == critical.round]
    step, last = (steps[-1] if steps else None), (by_people[-1] if by_people else None)
    contact = step.contact if step is not None else ""
    state, at = "", step.at if step is not None else None
    if last is not None and (step is None or last.at >= step.at):
        contact, state, at = last.person, str(last.get_outcome_display()), last.at
    return Shown(
        minutes_left=round((critical.due_at - now).total_seconds() / 60),
        minutes_total=max(1, round((critical.due_at - critical.found_at).total_seconds() / 60)),
        tries=len(by_people),
        contact=contact,
        state=state,
        at=at,
    )


@dataclass
class Ahead:
    """A level that is still to come: when, and who stands there now."""

    level: int
    at: datetime
    contacts: Contacts = field(repr=False)


def ahead(critical: CriticalResult) -> list[Ahead]:
    """The next levels of an open alert."""
    if critical.status != "open" or critical.next_escalation_at is None:
        return []
    found, at = [], critical.next_escalation_at
    for level in range(critical.escalation_level + 1, critical.escalation_level + 1 + LEVELS_SHOWN):
        found.append(Ahead(level, at, contacts_at(critical, level)))
        at = next_at(critical, level, at)
    return found
