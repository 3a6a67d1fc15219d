"""The levels an alert has climbed, the links it can be answered by, and the displays that show the board."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models.critical import CriticalResult
from reporting.querysets import OfCriticalQuerySet
from ris.accounts.encryption import EncryptedTextField
from ris.core.lifecycle import PublicModel, Recorded


class StepCause(models.TextChoices):
    RAISED = "raised", _("Raised")
    CLOCK = "clock", _("Time was up")
    PERSON = "person", _("By hand")
    UNREACHED = "unreached", _("Nobody could be reached")


class StepProblem(models.TextChoices):
    NONE = "", _("None")
    NOBODY = "nobody", _("Nobody is on duty")
    NO_CHANNEL = "no_channel", _("No channel works")


class EscalationStep(PublicModel):
    """A level that was alarmed: once per round, whoever claimed it. Written with its messages, or not at all."""

    critical_result = models.ForeignKey(CriticalResult, on_delete=models.PROTECT, related_name="steps")
    round = models.PositiveSmallIntegerField(_("round"), default=1)
    level = models.PositiveSmallIntegerField(_("level"))
    contact = models.CharField(_("contact"), max_length=80, blank=True)
    cause = models.CharField(_("cause"), max_length=10, choices=StepCause.choices)
    people = models.PositiveSmallIntegerField(_("people"), default=0)
    messages = models.PositiveSmallIntegerField(_("messages"), default=0)
    problem = models.CharField(_("problem"), max_length=10, choices=StepProblem.choices, blank=True, default="")
    due_at = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField()

    objects = OfCriticalQuerySet.as_manager()

    class Meta:
        verbose_name = _("escalation")
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["critical_result", "round", "level"], name="level_is_alarmed_once")
        ]

    def __str__(self) -> str:
        return f"{self.critical_result_id}: {self.level}"

    @property
    def audit_patient(self):
        return self.critical_result.audit_patient


class AnswerLink(PublicModel):
    """A way to acknowledge one alert from a message: signed, for one person, for one purpose, until it expires."""

    critical_result = models.ForeignKey(CriticalResult, on_delete=models.PROTECT, related_name="links")
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    recipient_name = models.CharField(max_length=120)
    round = models.PositiveSmallIntegerField(default=1)
    level = models.PositiveSmallIntegerField(default=0)
    code_address = EncryptedTextField(blank=True)
    code_channel = models.CharField(max_length=8, blank=True)
    code_digest = models.CharField(max_length=64, blank=True)
    code_expires_at = models.DateTimeField(null=True, blank=True)
    codes_sent = models.PositiveSmallIntegerField(default=0)
    code_tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    objects = OfCriticalQuerySet.as_manager()

    class Meta:
        verbose_name = _("link to answer by")
        verbose_name_plural = _("links to answer by")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["critical_result", "round", "level", "recipient"],
                condition=Q(recipient__isnull=False),
                name="one_link_per_level_and_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.critical_result_id}: {self.recipient_name}"

    @property
    def audit_patient(self):
        return self.critical_result.audit_patient


class WallDisplay(Recorded):
    """A screen on a wall that shows the board without names and signs itself in again, until it is revoked."""

    label = models.CharField(_("where it hangs"), max_length=80)
    pairing_digest = models.CharField(max_length=64, blank=True, editable=False)
    pairing_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    pairing_tries = models.PositiveSmallIntegerField(default=0, editable=False)
    digest = models.CharField(max_length=64, blank=True, editable=False, db_index=True)
    expires_at = models.DateTimeField(_("until"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    seen_at = models.DateTimeField(_("last seen"), null=True, blank=True, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )

    history = HistoricalRecords(excluded_fields=["pairing_digest", "digest", "seen_at", "pairing_tries"])

    class Meta:
        verbose_name = _("wall display")
        ordering = ["label"]

    def __str__(self) -> str:
        return self.label
