"""Reports and what hangs on them, as far as an actor may see them."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from orders.models import RequestedProcedure
from orders.querysets import is_bound_to_own_orders
from ris.core.actor import Actor


def _procedures(actor: Actor) -> models.QuerySet:
    return RequestedProcedure.objects.visible_to(actor).values("pk")


class ReportQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Referring physicians see what was signed, never a draft."""
        reports = self.filter(procedures__in=_procedures(actor)).distinct()
        if actor.user is not None and is_bound_to_own_orders(actor.user):
            reports = reports.filter(versions__isnull=False)
        return reports

    def for_display(self) -> Self:
        return self.select_related("signed_by", "preliminary_by", "author").prefetch_related(
            "procedures__order__patient__identifiers",
            "procedures__order__patient__alert_rows",
            "procedures__order__requester",
            "procedures__catalogue",
            "versions",
        )


class CriticalResultQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        return self.filter(procedure__in=_procedures(actor))

    def open(self) -> Self:
        return self.filter(status__in=("open", "communicated"))

    def overdue(self) -> Self:
        return self.filter(status="open", due_at__lt=timezone.now())


class ReportDeliveryQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        rows = self.filter(report__procedures__in=_procedures(actor)).distinct()
        if actor.user is not None and is_bound_to_own_orders(actor.user):
            rows = rows.filter(recipient__user=actor.user)
        return rows

    def unread(self) -> Self:
        return self.filter(Q(status="pending") | Q(status="sent") | Q(status="opened"))
