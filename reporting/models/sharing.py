"""A report shown to a patient, or to whom they choose, by a link and a code, until it ends; and who looked."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models.reports import Report
from reporting.querysets import ShareAccessQuerySet, ShareLinkQuerySet
from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import PublicModel, Recorded


class ShareLink(Recorded):
    """Opens one report, always in its newest version. The code is told apart from the link."""

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="share_links")
    recipient = models.CharField(_("for"), max_length=120)
    send_to = EncryptedTextField(_("sent to"), blank=True)
    channel = models.CharField(_("by"), max_length=8, blank=True)
    code_digest = models.CharField(max_length=64, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    opens_at = models.DateTimeField(_("opens"), default=timezone.now)
    expires_at = models.DateTimeField(_("ends"))
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_reason = models.CharField(max_length=200, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["code_digest", "send_to"])
    objects = ShareLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("share link")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) | ~Q(revoked_reason=""), name="revoked_link_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report_id}: {self.expires_at:%Y-%m-%d}"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()

    @property
    def accession_number(self) -> str:
        return self.report.accession_number

    @property
    def audit_patient(self):
        return self.report.audit_patient


class ShareOutcome(models.TextChoices):
    OPENED = "opened", _("Opened")
    PRINTED = "printed", _("PDF taken")
    WRONG_CODE = "wrong_code", _("Wrong code")
    REFUSED = "refused", _("Refused")


class ShareAccess(PublicModel):
    """One visit. Never changed."""

    link = models.ForeignKey(ShareLink, on_delete=models.PROTECT, related_name="visits")
    at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=12, choices=ShareOutcome.choices)
    address = models.CharField(max_length=64, blank=True)
    version = models.PositiveSmallIntegerField(null=True, blank=True)

    rows_are_append_only = True
    objects = ShareAccessQuerySet.as_manager()

    class Meta:
        verbose_name = _("visit of a share link")
        verbose_name_plural = _("visits of share links")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.link_id} {self.outcome}"

    @property
    def audit_patient(self):
        return self.link.audit_patient
