"""Images taken out of use (IHE IOCM): hidden from everybody who looks, never deleted, and shown again when undone."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import Recorded
from worklist.models.images import ImagingStudy


class RejectionReason(models.TextChoices):
    """The document titles of a rejection note (PS3.16 CID 7010; IHE RAD TF-3 4.66)."""

    QUALITY = "113001", _("Rejected for quality")
    SAFETY = "113037", _("Rejected for patient safety")
    WRONG_ENTRY = "113038", _("Incorrect worklist entry")
    RETENTION = "113039", _("Retention period expired")


class ImageRejection(Recorded):
    """One act of rejecting instances of a study, and its undoing."""

    study = models.ForeignKey(ImagingStudy, on_delete=models.PROTECT, related_name="rejections")
    code = models.CharField(_("reason"), max_length=16, choices=RejectionReason.choices)
    reason = models.CharField(_("in words"), max_length=200)
    instances = ArrayField(models.CharField(max_length=64), help_text=_("SOP Instance UIDs."))
    rejected_at = models.DateTimeField(default=timezone.now)
    rejected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    received_from = models.CharField(
        _("sent by"), max_length=16, blank=True, help_text=_("The AE title that sent the rejection note; empty: ours.")
    )
    is_hidden = models.BooleanField(
        default=True, help_text=_("No: only archives are told; here the images were put under the right exam.")
    )
    is_own_only = models.BooleanField(
        default=False, editable=False, help_text=_("Hides only what its sender has sent itself.")
    )
    note_sop_instance_uid = models.CharField(
        max_length=64, blank=True, help_text=_("The rejection note, once it is written.")
    )
    restored_at = models.DateTimeField(null=True, blank=True)
    restored_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    restored_reason = models.CharField(max_length=200, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("rejection of images")
        verbose_name_plural = _("rejections of images")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(restored_at__isnull=True) | ~Q(restored_reason=""), name="restored_rejection_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} ({len(self.instances)})"

    @property
    def audit_patient(self):
        return self.study.audit_patient
