"""Recommended exams, as far as an actor may see them: what is due first on top."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from orders.models import Modality
from reporting import permissions as perms
from reporting.models import FollowUp, FollowUpStatus, Report
from ris.core.actor import Actor

F = FollowUpStatus
BOXES = ("late", "soon", "open", "done", "cancelled")
SOON = timedelta(days=30)


def _box(name: str) -> Q:
    today, is_open = timezone.localdate(), Q(status=F.DUE)
    return {
        "late": is_open & Q(due_on__lt=today),
        "soon": is_open & Q(due_on__gte=today, due_on__lte=today + SOON),
        "open": is_open,
        "done": Q(status=F.DONE),
        "cancelled": Q(status=F.CANCELLED),
    }[name]


def follow_ups(*, actor: Actor, box: str = "open", modality: str = "") -> QuerySet[FollowUp]:
    rows = FollowUp.objects.visible_to(actor).filter(_box(box if box in BOXES else "open"))
    if modality:
        rows = rows.filter(modality=modality)
    order = ("-status_changed_at", "-pk") if box in ("done", "cancelled") else ("due_on", "pk")
    return (
        rows.select_related(
            "catalogue", "report", "recommended_by", "procedure__order__requester", "procedure__catalogue",
            "closed_by_exam", "procedure__order__patient",
        )
        .prefetch_related("procedure__order__patient__identifiers", "procedure__order__patient__alert_rows")
        .order_by(*order)
    )  # fmt: skip


def beside_report(report: Report, *, actor: Actor) -> dict[str, Any]:
    """What the card beside a report shows."""
    rows = FollowUp.objects.visible_to(actor).filter(report=report).select_related("catalogue", "closed_by_exam")
    return {
        "follow_ups": [(row, row.sentence) for row in rows.order_by("due_on", "pk")],
        "may_recommend": actor.may(perms.RECOMMEND),
        "modalities": Modality.choices,
    }


def follow_up_counts(*, actor: Actor) -> dict[str, int]:
    return FollowUp.objects.visible_to(actor).aggregate(**{name: Count("pk", filter=_box(name)) for name in BOXES})
