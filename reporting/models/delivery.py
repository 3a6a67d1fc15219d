"""The delivery ledger: who gets which version of which report, by which way, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models.reports import Report, ReportVersion
from reporting.querysets import ReportDeliveryQuerySet
from ris.core.lifecycle import Lifecycle, Recorded


class DeliveryChannel(models.TextChoices):
    INBOX = "inbox", _("Results inbox")
    HL7 = "hl7", _("HL7 ORU")
    FHIR = "fhir", _("FHIR")
    EMAIL = "email", _("E-mail")
    PRINT = "print", _("Print")


class DeliveryRule(Recorded):
    """To whom results go. ``destination`` names an endpoint of the interfaces; empty for people."""

    channel = models.CharField(_("channel"), max_length=8, choices=DeliveryChannel.choices)
    destination = models.CharField(_("destination"), max_length=64, blank=True)
    requester = models.ForeignKey(
        "accounts.Practitioner",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("only for this requester"),
    )
    includes_preliminary = models.BooleanField(_("preliminary reports too"), default=False)
    is_mandatory = models.BooleanField(_("must be acknowledged"), default=True)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("delivery rule")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "destination", "requester"], nulls_distinct=False, name="delivery_rule_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.destination}".strip()


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    SENT = "sent", _("Sent")
    OPENED = "opened", _("Opened")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    FAILED = "failed", _("Failed")
    SUPERSEDED = "superseded", _("Superseded by a newer version")


D = DeliveryStatus


class ReportDelivery(Lifecycle):
    """One version on its way to one recipient."""

    transitions = {
        D.PENDING: {D.SENT, D.OPENED, D.ACKNOWLEDGED, D.FAILED, D.SUPERSEDED},
        D.SENT: {D.OPENED, D.ACKNOWLEDGED, D.FAILED, D.SUPERSEDED},
        D.OPENED: {D.ACKNOWLEDGED, D.SUPERSEDED},
        D.FAILED: {D.PENDING, D.SENT, D.ACKNOWLEDGED, D.SUPERSEDED},
    }

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="deliveries")
    report_version = models.ForeignKey(ReportVersion, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.CharField(_("channel"), max_length=8, choices=DeliveryChannel.choices)
    destination = models.CharField(_("destination"), max_length=64, blank=True)
    recipient = models.ForeignKey(
        "accounts.Practitioner", null=True, blank=True, on_delete=models.PROTECT, related_name="result_deliveries"
    )
    is_mandatory = models.BooleanField(default=True)
    status = models.CharField(
        _("status"), max_length=14, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING, editable=False
    )
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)
    delegated_to = models.ForeignKey(
        "accounts.Practitioner",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        editable=False,
        verbose_name=_("passed on to"),
    )
    delegated_at = models.DateTimeField(null=True, blank=True, editable=False)
    delegation_note = models.CharField(max_length=200, blank=True, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    opened_at = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_at = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    history = HistoricalRecords()
    objects = ReportDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("report delivery")
        verbose_name_plural = _("report deliveries")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["report_version", "channel", "destination", "recipient"],
                nulls_distinct=False,
                name="delivery_once_per_version_and_recipient",
            ),
            models.CheckConstraint(
                condition=~Q(status="acknowledged") | Q(acknowledged_at__isnull=False),
                name="acknowledged_delivery_has_a_time",
            ),
        ]
        indexes = [models.Index(fields=["recipient", "status", "-id"], name="delivery_inbox")]

    def __str__(self) -> str:
        return f"{self.report_version} by {self.channel}"

    @property
    def accession_number(self) -> str:
        return self.report.accession_number

    @property
    def audit_patient(self):
        return self.report.audit_patient
