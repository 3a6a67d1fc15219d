"""The outbox: facts that committed together with the rows they speak of, and who is still to hear of them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ris.core.ids import uuid7


class OutboxEvent(models.Model):
    """No foreign keys: an event outlives what it describes. The payload holds identifiers, never names or text."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    name = models.CharField(max_length=100)
    payload = models.JSONField()
    ordering_key = models.CharField(max_length=64, blank=True, help_text="Accession number, or the subject's UUID.")
    subject = models.CharField(max_length=64, blank=True)
    subject_version = models.PositiveIntegerField(null=True, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    occurred_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("event")
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["name", "id"], name="outboxevent_name"),
            models.Index(fields=["ordering_key", "id"], name="outboxevent_ordering_key"),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    DELIVERED = "delivered", _("Delivered")
    OVERTAKEN = "overtaken", _("Overtaken by a newer version")
    PARKED = "parked", _("Parked")


class Delivery(models.Model):
    """One subscriber's copy of an event; unique, so a redelivery is a no-op."""

    event = models.ForeignKey(OutboxEvent, on_delete=models.PROTECT, related_name="deliveries")
    subscriber = models.CharField(max_length=100)
    ordering_key = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["event", "subscriber"], name="one_delivery_per_subscriber"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="delivery_due"),
            models.Index(
                fields=["subscriber", "ordering_key", "id"], condition=Q(status="pending"), name="delivery_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} -> {self.subscriber}"


class IdempotencyRecord(models.Model):
    """The answer that a write with an Idempotency-Key got, for whoever asks again."""

    principal = models.CharField(max_length=100)
    route = models.CharField(max_length=300)
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("idempotency record")
        constraints = [
            models.UniqueConstraint(fields=["principal", "route", "key"], name="idempotency_key_once"),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_age")]

    def __str__(self) -> str:
        return f"{self.route} {self.created_at:%Y-%m-%d %H:%M}"
