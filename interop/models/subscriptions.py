"""FHIR subscriptions and their notifications. Bodies are made when they are sent; here are identifiers only."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from interop.models.smart import SmartClient
from ris.accounts.encryption import EncryptedTextField
from ris.accounts.models import ApiKey, User
from ris.core.lifecycle import PublicModel, Recorded


class FhirRelease(models.TextChoices):
    R4 = "r4", _("R4")
    R5 = "r5", _("R5")


class SubscriptionStatus(models.TextChoices):
    """http://hl7.org/fhir/subscription-status; R5 names the same four."""

    REQUESTED = "requested", _("Asked for")
    ACTIVE = "active", _("Active")
    ERROR = "error", _("In error")
    OFF = "off", _("Switched off")


class PayloadContent(models.TextChoices):
    """http://hl7.org/fhir/subscription-payload-content"""

    EMPTY = "empty", _("nothing but that something happened")
    ID_ONLY = "id-only", _("identifiers only")
    FULL_RESOURCE = "full-resource", _("the resource itself")


class FhirSubscription(Recorded):
    """Who is told of what, where, and in whose right: ``owner`` is who asked, and nobody hears more than they may see.

    R4 says what by ``criteria`` (``DiagnosticReport?status=final``), R5 by ``topic`` and ``filters``.
    """

    release = models.CharField(_("release"), max_length=2, choices=FhirRelease.choices)
    reason = models.CharField(_("reason"), max_length=200)
    status = models.CharField(
        _("status"), max_length=10, choices=SubscriptionStatus.choices, default=SubscriptionStatus.REQUESTED
    )
    topic = models.CharField(_("topic"), max_length=32)
    criteria = models.CharField(_("criteria"), max_length=1000, blank=True)
    filters = models.JSONField(_("filters"), default=list, blank=True, help_text="[[resource type, parameter, value]]")
    endpoint = models.URLField(_("address"), max_length=500)
    headers = EncryptedTextField(_("headers"), blank=True, default="", help_text=_("One per line; kept encrypted."))
    secret = EncryptedTextField(
        _("secret for signatures"), blank=True, default="", help_text=_("whsec_ and base64. Empty: not signed.")
    )
    content = models.CharField(
        _("what is sent"), max_length=14, choices=PayloadContent.choices, default=PayloadContent.ID_ONLY
    )
    content_type = models.CharField(_("content type"), max_length=60, default="application/fhir+json")
    heartbeat_seconds = models.PositiveIntegerField(_("sign of life after (seconds)"), default=0)
    timeout_seconds = models.PositiveSmallIntegerField(
        _("waits for the answer (seconds)"), default=10, validators=[MinValueValidator(1), MaxValueValidator(30)]
    )
    max_count = models.PositiveSmallIntegerField(_("events per notification"), default=1)
    contacts = models.JSONField(default=list, blank=True)
    ends_at = models.DateTimeField(_("ends at"), null=True, blank=True)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("asked for by"))
    owner_scopes = ArrayField(models.CharField(max_length=100), null=True, blank=True, editable=False)
    api_key = models.ForeignKey(
        ApiKey, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        verbose_name=_("asked for with the key"), help_text=_("It ends with this key."),
    )  # fmt: skip
    smart_client = models.ForeignKey(
        SmartClient, null=True, blank=True, on_delete=models.PROTECT, related_name="+",
        verbose_name=_("asked for by the program"), help_text=_("It ends with this program."),
    )  # fmt: skip
    is_paused = models.BooleanField(_("paused"), default=False)
    events_since_start = models.PositiveBigIntegerField(default=0, editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    last_error = models.CharField(_("last error"), max_length=500, blank=True, editable=False)
    error_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(_("last delivered"), null=True, blank=True, editable=False)
    next_heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords(
        excluded_fields=[
            "headers", "secret", "events_since_start", "failures", "last_error", "error_since", "last_tried_at",
            "last_success_at", "next_heartbeat_at",
        ]
    )  # fmt: skip

    class Meta:
        verbose_name = _("FHIR subscription")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["topic"], condition=Q(status__in=("active", "error")), name="fhir_sub_topic"),
            models.Index(fields=["next_heartbeat_at"], condition=Q(status="active"), name="fhir_sub_heartbeat"),
        ]

    def __str__(self) -> str:
        return self.reason


class NotificationKind(models.TextChoices):
    """http://hl7.org/fhir/subscription-notification-type"""

    HANDSHAKE = "handshake", _("Handshake")
    HEARTBEAT = "heartbeat", _("Sign of life")
    EVENT = "event-notification", _("Event")


class NotificationStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    PARKED = "parked", _("Parked")
    CANCELLED = "cancelled", _("Cancelled")


class FhirNotification(PublicModel):
    """One thing to tell one subscriber: in order, the same number on every try."""

    subscription = models.ForeignKey(FhirSubscription, on_delete=models.PROTECT, related_name="notifications")
    kind = models.CharField(_("kind"), max_length=20, choices=NotificationKind.choices)
    number = models.PositiveBigIntegerField(_("event number"), default=0)
    resource_type = models.CharField(_("resource"), max_length=32, blank=True)
    resource = models.UUIDField(null=True, blank=True)
    patient = models.UUIDField(null=True, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=NotificationStatus.choices, default=NotificationStatus.PENDING
    )
    occurred_at = models.DateTimeField(_("time"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=500, blank=True)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("FHIR notification")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="fhir_note_due"),
            models.Index(fields=["subscription", "id"], condition=Q(status="pending"), name="fhir_note_order"),
            models.Index(fields=["subscription", "-id"], name="fhir_note_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.number}"

    @property
    def audit_patient(self):
        return self.patient
