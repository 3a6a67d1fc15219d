"""DICOM work that goes out by itself: written down first, done by the dispatcher until the other side has it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from interop.models.peers import DicomPeer
from ris.core.lifecycle import PublicModel


class OutgoingKind(models.TextChoices):
    MPPS_CREATE = "mpps_create", _("Performed step begins (MPPS N-CREATE)")
    MPPS_SET = "mpps_set", _("Performed step changes (MPPS N-SET)")
    AVAILABILITY = "availability", _("Images available or withdrawn")
    REJECTION_NOTE = "rejection_note", _("Rejection note")
    IMAGES = "images", _("Images")
    REPORT = "report", _("Structured report")
    FETCH = "fetch", _("Study fetched from an archive")


class OutgoingStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    DONE = "done", _("Delivered")
    PARKED = "parked", _("Parked")
    CANCELLED = "cancelled", _("Cancelled")


class OutgoingDicom(PublicModel):
    """One piece of work for one peer. Payloads are made when it is done; here are identifiers only."""

    kind = models.CharField(_("kind"), max_length=16, choices=OutgoingKind.choices)
    peer = models.ForeignKey(DicomPeer, on_delete=models.PROTECT, related_name="outgoing", verbose_name=_("peer"))
    subject = models.UUIDField(_("subject"), help_text=_("The performed step, study, rejection or patient."))
    ordering_key = models.CharField(max_length=64, help_text=_("What has this in common goes out in order."))
    detail = models.JSONField(default=dict, help_text=_("UIDs, keys and counts."))
    dedupe_key = models.CharField(max_length=200, unique=True)
    patient = models.UUIDField(null=True, blank=True)
    accession_number = models.CharField(_("accession number"), max_length=16, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=OutgoingStatus.choices, default=OutgoingStatus.PENDING
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(default=timezone.now)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("outgoing DICOM work")
        verbose_name_plural = _("outgoing DICOM work")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="outgoing_dicom_due"),
            models.Index(
                fields=["peer", "ordering_key", "id"], condition=Q(status="pending"), name="outgoing_dicom_order"
            ),
            models.Index(fields=["subject", "kind"], name="outgoing_dicom_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def audit_patient(self):
        return self.patient
