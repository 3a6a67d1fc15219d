"""What is asked between request and exam, and what was answered."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.orders import RequestedProcedure
from ris.core.lifecycle import Recorded


class Inquiry(Recorded):
    """A question to whoever requested the exam. It is open until it is answered or the request goes on without."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="inquiries")
    question = models.CharField(_("question"), max_length=200)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    answer = models.TextField(_("answer"), blank=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("question to the requester")
        verbose_name_plural = _("questions to the requester")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["procedure"], condition=Q(closed_at__isnull=True), name="one_open_inquiry_per_procedure"
            ),
        ]

    def __str__(self) -> str:
        return self.question

    @property
    def audit_patient(self):
        return self.procedure.audit_patient
