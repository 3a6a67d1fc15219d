"""Papers that came with the patient: request forms, consents, outside reports."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models.orders import Order
from orders.models.patients import Patient
from ris.core.lifecycle import PublicModel


class DocumentKind(models.TextChoices):
    REQUEST_FORM = "request_form", _("Request form")
    CONSENT = "consent", _("Consent")
    PRIOR_REPORT = "prior_report", _("Prior report")
    OUTSIDE_REPORT = "outside_report", _("Outside report")
    OTHER = "other", _("Other")


def document_path(instance: Document, filename: str) -> str:
    return f"documents/{instance.uuid}"


class Document(PublicModel):
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="documents")
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.PROTECT, related_name="documents")
    kind = models.CharField(_("kind"), max_length=16, choices=DocumentKind.choices)
    title = models.CharField(_("title"), max_length=120)
    file = models.FileField(upload_to=document_path)
    content_type = models.CharField(max_length=60)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords(excluded_fields=["file"])

    class Meta:
        verbose_name = _("document")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.title

    @property
    def audit_patient(self):
        return self.patient.uuid
