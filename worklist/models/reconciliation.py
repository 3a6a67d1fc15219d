"""What people (or a clear match) decided about evidence, written down so that it can be undone."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import RequestedProcedure
from ris.core.lifecycle import Recorded
from worklist.models.images import ImagingStudy
from worklist.models.performed import PerformedProcedureStep
from worklist.querysets import ReconciliationQuerySet


class ReconciliationKind(models.TextChoices):
    LINK = "link", _("Linked")
    UNLINK = "unlink", _("Unlinked")
    MOVE = "move", _("Moved to another exam")
    SPLIT = "split", _("Study split")
    MERGE = "merge", _("Studies merged")


class Reconciliation(Recorded):
    """One act, who did it and why, and its undoing. ``changes`` holds UUIDs, statuses and times, never names."""

    kind = models.CharField(_("what"), max_length=8, choices=ReconciliationKind.choices)
    study = models.ForeignKey(
        ImagingStudy, null=True, blank=True, on_delete=models.PROTECT, related_name="reconciliations"
    )
    performed_step = models.ForeignKey(
        PerformedProcedureStep, null=True, blank=True, on_delete=models.PROTECT, related_name="reconciliations"
    )
    source = models.ForeignKey(
        RequestedProcedure,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="evidence_lost",
        verbose_name=_("from exam"),
    )
    target = models.ForeignKey(
        RequestedProcedure,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="evidence_gained",
        verbose_name=_("to exam"),
    )
    reason = models.CharField(_("reason"), max_length=200)
    score = models.DecimalField(
        _("score"), max_digits=3, decimal_places=2, null=True, blank=True, help_text=_("Of a link made by itself.")
    )
    changes = models.JSONField(default=dict)
    done_at = models.DateTimeField(_("done at"), default=timezone.now)
    done_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    undone_at = models.DateTimeField(_("undone at"), null=True, blank=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    undo_reason = models.CharField(_("why it was undone"), max_length=200, blank=True)

    history = HistoricalRecords(excluded_fields=["changes"])
    objects = ReconciliationQuerySet.as_manager()

    class Meta:
        verbose_name = _("reconciliation")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(undone_at__isnull=True) | ~Q(undo_reason=""), name="undone_reconciliation_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"

    @property
    def is_automatic(self) -> bool:
        return self.score is not None

    @property
    def audit_patient(self):
        procedure = self.target or self.source
        return procedure.audit_patient if procedure else None
