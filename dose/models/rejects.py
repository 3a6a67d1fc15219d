"""Between which rates of rejected exposures a facility wants to be."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import Recorded


class RejectTarget(Recorded):
    """The facility's band for one kind of exams (a tab of the dashboard), in percent. A rate below it is looked at as
    one above it: who never rejects an image may not be writing rejects down (AAPM report 305)."""

    tab = models.CharField(_("kind of exams"), max_length=4, unique=True)
    low = models.FloatField(_("lowest"), help_text=_("Percent."))
    high = models.FloatField(_("highest"), help_text=_("Percent."))

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("target of the reject rate")
        ordering = ["tab"]
        constraints = [
            models.CheckConstraint(
                condition=Q(low__gte=0) & Q(low__lt=F("high")) & Q(high__lte=100), name="reject_target_is_a_band"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tab}: {self.low:g}-{self.high:g} %"
