from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from orders.models import RequestedProcedure
from ris.core.actor import Actor


class DoseReportQuerySet(models.QuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Unlinked reports are for those who link them."""
        condition = Q(procedure__in=RequestedProcedure.objects.visible_to(actor).values("pk"))
        if actor.may("dose.manage_dose"):
            condition |= Q(procedure__isnull=True)
        return self.filter(condition)

    def counted(self) -> Self:
        """Without those that a better source has replaced."""
        return self.filter(replaced_by__isnull=True)
