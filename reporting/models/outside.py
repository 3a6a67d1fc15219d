"""Reports that were written elsewhere and came with the patient (HL7 ORU^R01, MDM^T02): priors, never ours to sign."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import Patient
from ris.core.actor import Actor
from ris.core.lifecycle import Recorded


class OutsideReportStatus(models.TextChoices):
    """FHIR diagnostic-report-status"""

    PRELIMINARY = "preliminary", _("Preliminary")
    FINAL = "final", _("Final")
    CORRECTED = "corrected", _("Corrected")
    WITHDRAWN = "entered-in-error", _("Withdrawn")


class OutsideReportQuerySet(models.QuerySet["OutsideReport"]):
    def visible_to(self, actor: Actor) -> OutsideReportQuerySet:
        """Of patients whom the actor may see."""
        return self.filter(patient__in=Patient.objects.visible_to(actor).values("uuid"))


class OutsideReport(Recorded):
    """The patient is a UUID, so that a merge needs nothing here: reading looks at all records of the person."""

    patient = models.UUIDField(_("patient"), db_index=True)
    source = models.CharField(_("from"), max_length=200)
    number = models.CharField(_("number there"), max_length=199)
    title = models.CharField(_("exam"), max_length=200)
    code = models.CharField(_("code"), max_length=64, blank=True)
    modality = models.CharField(_("modality"), max_length=16, blank=True)
    accession_number = models.CharField(_("accession number there"), max_length=64, blank=True)
    performed_at = models.DateTimeField(_("performed"), null=True, blank=True)
    reported_at = models.DateTimeField(_("reported"), null=True, blank=True)
    author = models.CharField(_("author"), max_length=200, blank=True)
    text = models.TextField(_("text"), blank=True)
    document = models.ForeignKey(
        "orders.Document",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("document"),
    )
    status = models.CharField(
        _("status"), max_length=16, choices=OutsideReportStatus.choices, default=OutsideReportStatus.FINAL
    )
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)

    history = HistoricalRecords()
    objects = OutsideReportQuerySet.as_manager()

    class Meta:
        verbose_name = _("outside report")
        verbose_name_plural = _("outside reports")
        ordering = ["-performed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["source", "number"], name="outside_report_once_per_source"),
            models.CheckConstraint(
                condition=~models.Q(text="") | models.Q(document__isnull=False) | models.Q(status="entered-in-error"),
                name="outside_report_says_something",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def audit_patient(self):
        return self.patient
