"""Who is told of what, which medians were told of, and whose skin is looked at after much fluoroscopy."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from dose.models.mapping import StandardExam
from dose.models.reports import DoseInvestigation, DoseReport, ReferenceLevel
from orders.models import Modality
from ris.core.lifecycle import Lifecycle, PublicModel, Recorded
from ris.core.permissions import ROLES
from ris.notifications.models import Channel


class AlertKind(models.TextChoices):
    DRL = "drl", _("A room's median above a reference level")
    TRIGGER = "trigger", _("One exam above its trigger")
    SKIN = "skin", _("Skin dose to follow up")
    PREGNANCY = "pregnancy", _("Dose to a pregnant patient")


class DoseAlertRule(Recorded):
    """People of a role who are told of one kind of alert, by one channel."""

    kind = models.CharField(_("alert"), max_length=10, choices=AlertKind.choices)
    modality = models.CharField(
        _("only of modality"), max_length=4, blank=True, choices=Modality.choices, help_text=_("Empty: of any.")
    )
    role = models.CharField(_("role"), max_length=32, choices=[(name, name) for name in ROLES])
    channel = models.CharField(_("by"), max_length=8, choices=Channel.choices, default=Channel.IN_APP)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("dose alert rule")
        ordering = ["kind", "role"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "modality", "role", "channel"], name="dose_alert_rule_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.role}"


class LevelAlert(PublicModel):
    """A room's median passed a level, told of once: room, exam, quantity, the level's edition, the quarter."""

    room = models.CharField(_("room"), max_length=100)
    exam = models.ForeignKey(StandardExam, on_delete=models.PROTECT, related_name="alerts")
    level = models.ForeignKey(ReferenceLevel, on_delete=models.PROTECT, related_name="alerts")
    quantity = models.CharField(_("quantity"), max_length=16)
    period = models.CharField(_("quarter"), max_length=7)
    median = models.FloatField(_("median"))
    limit = models.FloatField(_("reference level"))
    unit = models.CharField(_("unit"), max_length=16)
    patient_count = models.PositiveIntegerField(_("patients"))
    investigation = models.ForeignKey(
        DoseInvestigation, null=True, blank=True, on_delete=models.PROTECT, related_name="alerts"
    )
    created_at = models.DateTimeField(_("found at"), default=timezone.now)

    class Meta:
        verbose_name = _("level alert")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["room", "exam", "quantity", "level", "period"], name="level_alert_once_per_cause"
            )
        ]

    def __str__(self) -> str:
        return f"{self.room} {self.quantity} {self.period}"


class LevelCheck(PublicModel):
    """One look at all medians; each day brings one."""

    day = models.DateField(_("day"), unique=True)
    compared = models.PositiveIntegerField(_("comparisons"), default=0)
    above = models.PositiveIntegerField(_("above"), default=0)
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name, verbose_name_plural = _("check of the medians"), _("checks of the medians")
        ordering = ["-day"]

    def __str__(self) -> str:
        return str(self.day)


class SkinFollowUpStatus(models.TextChoices):
    OPEN = "open", _("Patient not told yet")
    TOLD = "told", _("Patient told")
    CLOSED = "closed", _("Skin looked at")


class SkinFinding(models.TextChoices):
    NONE = "none", _("No change")
    ERYTHEMA = "erythema", _("Redness")
    EPILATION = "epilation", _("Loss of hair")
    DESQUAMATION = "desquamation", _("Peeling")
    ULCER = "ulcer", _("Ulcer")
    NOT_SEEN = "not_seen", _("Patient not reached")


class SkinFollowUp(Lifecycle):
    """A fluoroscopy after which a patient's skin is looked at (NCRP 168: substantial dose)."""

    transitions = {
        SkinFollowUpStatus.OPEN: {SkinFollowUpStatus.TOLD, SkinFollowUpStatus.CLOSED},
        SkinFollowUpStatus.TOLD: {SkinFollowUpStatus.CLOSED},
    }

    report = models.OneToOneField(DoseReport, on_delete=models.PROTECT, related_name="skin_follow_up")
    reasons = models.JSONField(default=list, help_text="[{quantity, value, limit, unit, weeks}]; SI is shown units.")
    status = models.CharField(
        max_length=10, choices=SkinFollowUpStatus.choices, default=SkinFollowUpStatus.OPEN, editable=False
    )
    told_how = models.CharField(_("how the patient was told"), max_length=200, blank=True)
    told_at = models.DateTimeField(_("told at"), null=True, blank=True)
    look_on = models.DateField(_("look at the skin on"), null=True, blank=True)
    finding = models.CharField(_("what was seen"), max_length=16, choices=SkinFinding.choices, blank=True)
    note = models.CharField(_("note"), max_length=300, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("skin follow-up")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(status="closed") | ~Q(finding=""), name="closed_skin_follow_up_saw")
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.look_on or ''}".strip()

    @property
    def audit_patient(self):
        return self.report.audit_patient
