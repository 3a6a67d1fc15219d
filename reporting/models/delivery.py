"""The delivery ledger: who gets which version of which report, by which way, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models.reports import Report, ReportVersion
from reporting.querysets import DeliveryAttemptQuerySet, ReportDeliveryQuerySet
from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import Lifecycle, PublicModel, Recorded


class DeliveryChannel(models.TextChoices):
    INBOX = "inbox", _("Results inbox")
    HL7 = "hl7", _("HL7 ORU")
    FHIR = "fhir", _("FHIR")
    EMAIL = "email", _("E-mail")
    PRINT = "print", _("Print")
    SMS = "sms", _("SMS")


class MailForm(models.TextChoices):
    LINK = "link", _("A link that asks who opens it")
    PDF = "pdf", _("The PDF, locked with the agreed password")


class DeliveryRule(Recorded):
    """To whom results go.

    ``destination`` names an endpoint of the interfaces, or a practice whose ``address`` stands here; without it e-mail
    and SMS go to each requester's own address.
    """

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
    includes_copies = models.BooleanField(_("copies too"), default=False)
    address = EncryptedTextField(_("address"), blank=True, default="")
    mail_form = models.CharField(_("carries"), max_length=8, choices=MailForm.choices, default=MailForm.LINK)
    password = EncryptedTextField(_("agreed password"), blank=True, default="")
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords(excluded_fields=["address", "password"])

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
    rule = models.ForeignKey(
        DeliveryRule, null=True, blank=True, on_delete=models.PROTECT, related_name="deliveries", editable=False
    )
    is_mandatory = models.BooleanField(default=True)
    code_tries = models.PositiveSmallIntegerField(default=0, editable=False)
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


class AttemptOutcome(models.TextChoices):
    ASKED = "asked", _("Sending asked for")
    RETRY = "retry", _("Not now, tried again")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")
    PRINTED = "printed", _("Printed")
    OPENED = "opened", _("Opened")
    WRONG_CODE = "wrong_code", _("Wrong code")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")


class DeliveryAttempt(PublicModel):
    """One thing that happened to a delivery. Never changed."""

    delivery = models.ForeignKey(ReportDelivery, on_delete=models.PROTECT, related_name="tries")
    at = models.DateTimeField(_("at"), default=timezone.now)
    outcome = models.CharField(_("outcome"), max_length=14, choices=AttemptOutcome.choices)
    error = models.CharField(_("error"), max_length=300, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("by"),
    )
    door = models.CharField(_("through"), max_length=60, blank=True)

    rows_are_append_only = True
    objects = DeliveryAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery attempt")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.outcome}"

    @property
    def audit_patient(self):
        return self.delivery.audit_patient
