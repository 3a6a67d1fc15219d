"""What stands around a signature: what the facility checks first, what the viewer shows, recalls, co-signatures."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models.reports import ReportVersion
from reporting.querysets import OfVersionQuerySet
from ris.core.lifecycle import PublicModel, Recorded


class CheckLevel(models.TextChoices):
    BLOCK = "block", _("Stops signing")
    WARN = "warn", _("Warns")
    OFF = "off", _("Is not looked at")


class CheckSetting(Recorded):
    """How much one check before signing weighs in this facility; without a row it weighs what it does by itself."""

    code = models.SlugField(_("check"), max_length=32, unique=True)
    level = models.CharField(_("what it does"), max_length=5, choices=CheckLevel.choices)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("check before signing")
        verbose_name_plural = _("checks before signing")
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code}: {self.level}"


class ViewerContext(models.Model):
    """The study that a person's viewer shows now; the viewer tells it, and tells it again while it is open."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    study_instance_uid = models.CharField(max_length=64, blank=True)
    told_at = models.DateTimeField(default=timezone.now)

    rows_may_be_deleted = True

    class Meta:
        verbose_name = _("viewer's study")
        verbose_name_plural = _("viewer's studies")

    def __str__(self) -> str:
        return f"{self.user_id}"


class ReportRecall(PublicModel):
    """A signature taken back before anything was delivered. The version stays readable for those who write."""

    report_version = models.OneToOneField(ReportVersion, on_delete=models.PROTECT, related_name="recall")
    recalled_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    recalled_at = models.DateTimeField(default=timezone.now)
    reason = models.CharField(max_length=200)

    rows_are_append_only = True
    objects = OfVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("recall")
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="recall_has_a_reason")]

    def __str__(self) -> str:
        return f"recall of {self.report_version_id}"

    @property
    def accession_number(self) -> str:
        return self.report_version.accession_number

    @property
    def audit_patient(self):
        return self.report_version.audit_patient


class CoSignature(PublicModel):
    """A second radiologist stands by a signed version; ``content_hash`` says which words."""

    report_version = models.ForeignKey(ReportVersion, on_delete=models.PROTECT, related_name="co_signatures")
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    signer_name = models.CharField(max_length=200)
    signed_at = models.DateTimeField(default=timezone.now)
    content_hash = models.CharField(max_length=64)

    rows_are_append_only = True
    objects = OfVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("co-signature")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["report_version", "signed_by"], name="co_signed_once_per_person"),
        ]

    def __str__(self) -> str:
        return f"{self.signer_name}"

    @property
    def accession_number(self) -> str:
        return self.report_version.accession_number

    @property
    def audit_patient(self):
        return self.report_version.audit_patient
