"""Who is told of what by HTTP: webhooks, what is to be told, and every try. Bodies hold identifiers and links only."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import PublicModel, Recorded


class Webhook(Recorded):
    """A program of somebody else's that wants to hear. ``events``: types, or patterns like ``report.*``."""

    name = models.CharField(_("name"), max_length=64, unique=True)
    url = models.URLField(_("address"), max_length=500)
    events = ArrayField(models.CharField(max_length=60), verbose_name=_("events"))
    secret = EncryptedTextField(_("secret"), editable=False)
    earlier_secret = EncryptedTextField(blank=True, default="", editable=False)
    earlier_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    is_paused = models.BooleanField(_("paused"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    rests_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    last_success_at = models.DateTimeField(_("last delivered"), null=True, blank=True, editable=False)

    history = HistoricalRecords(
        excluded_fields=["secret", "earlier_secret", "failures", "rests_until", "last_error", "last_success_at"]
    )

    class Meta:
        verbose_name = _("webhook")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WebhookDeliveryStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    PARKED = "parked", _("Parked")
    CANCELLED = "cancelled", _("Cancelled")


class WebhookDelivery(PublicModel):
    """One thing to tell one webhook. Its UUID is the ``webhook-id``: the same on every try."""

    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, related_name="deliveries", verbose_name=_("webhook"))
    event = models.CharField(_("event"), max_length=60)
    subject = models.CharField(max_length=64, blank=True, help_text="UUID of what it is about.")
    body = models.JSONField(_("body"))
    status = models.CharField(
        _("status"), max_length=10, choices=WebhookDeliveryStatus.choices, default=WebhookDeliveryStatus.PENDING
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="webhook_due"),
            models.Index(fields=["webhook", "subject", "id"], condition=Q(status="pending"), name="webhook_order"),
            models.Index(fields=["webhook", "-id"], name="webhook_latest"),
            models.Index(fields=["created_at"], name="webhook_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.uuid}"


class WebhookAttempt(PublicModel):
    """One try: when, how long, and what the other side said."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="tries")
    started_at = models.DateTimeField(_("time"), default=timezone.now)
    milliseconds = models.PositiveIntegerField(_("milliseconds"), default=0)
    http_status = models.PositiveSmallIntegerField(_("answer"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=300, blank=True)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("webhook attempt")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S} {self.http_status or self.error}"
