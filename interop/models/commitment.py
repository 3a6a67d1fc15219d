"""What others asked us to answer for: storage commitment requests, and how often we have tried to report."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from interop.models.peers import DicomPeer
from ris.core.lifecycle import PublicModel


class CommitmentStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    PARKED = "parked", _("Parked")


class StorageCommitment(PublicModel):
    """One transaction of PS3.4 Annex J: stored before its N-ACTION is answered, reported until somebody takes it."""

    peer = models.ForeignKey(DicomPeer, on_delete=models.PROTECT, related_name="commitments")
    transaction_uid = models.CharField(_("transaction UID"), max_length=64)
    calling_ae_title = models.CharField(_("asked by"), max_length=16)
    called_ae_title = models.CharField(max_length=16)
    references = models.JSONField(default=list, help_text="[[SOP class UID, SOP instance UID], ...]")
    failures = models.JSONField(default=list, help_text="[[SOP class UID, SOP instance UID, failure reason], ...]")
    status = models.CharField(
        _("status"), max_length=10, choices=CommitmentStatus.choices, default=CommitmentStatus.PENDING
    )
    requested_at = models.DateTimeField(_("asked at"), default=timezone.now)
    checked_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("storage commitment")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["calling_ae_title", "transaction_uid"], name="commitment_once_per_peer"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="commitment_due"),
        ]

    def __str__(self) -> str:
        return f"{self.calling_ae_title} {self.transaction_uid}"

    @property
    def asked_count(self) -> int:
        return len(self.references)

    @property
    def failed_count(self) -> int:
        return len(self.failures)
