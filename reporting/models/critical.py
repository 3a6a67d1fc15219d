"""A finding somebody must be told of, and the proof that they were (ACR actionable findings)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from orders.models import RequestedProcedure
from reporting.models.reports import Report
from reporting.querysets import ContactAttemptQuerySet, CriticalResultQuerySet
from ris.core.lifecycle import Lifecycle, PublicModel
from ris.core.vocabulary import CATEGORY, Look


class CriticalCategory(models.IntegerChoices):
    """ACR Actionable Reporting Work Group, 2014"""

    MINUTES = 1, _("Cat 1 · minutes")
    HOURS = 2, _("Cat 2 · hours")
    DAYS = 3, _("Cat 3 · days")


class CriticalStatus(models.TextChoices):
    OPEN = "open", pgettext_lazy("state", "Open")
    COMMUNICATED = "communicated", _("Communicated")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    CLOSED = "closed", _("Closed")
    WITHDRAWN = "withdrawn", _("Withdrawn")


C = CriticalStatus


class CriticalResult(Lifecycle):
    transitions = {
        C.OPEN: {C.COMMUNICATED, C.ACKNOWLEDGED, C.WITHDRAWN},
        C.COMMUNICATED: {C.ACKNOWLEDGED, C.CLOSED, C.WITHDRAWN, C.OPEN},
        C.ACKNOWLEDGED: {C.CLOSED, C.OPEN},
        C.CLOSED: {C.OPEN},
        C.WITHDRAWN: {C.OPEN},
    }

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="critical_results")
    report = models.ForeignKey(Report, null=True, blank=True, on_delete=models.PROTECT, related_name="critical_results")
    category = models.PositiveSmallIntegerField(_("category"), choices=CriticalCategory.choices)
    alert_category = models.ForeignKey(
        "reporting.AlertCategory",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="critical_results",
        verbose_name=_("category of the site"),
    )
    finding = models.CharField(_("finding"), max_length=300)
    status = models.CharField(
        _("status"), max_length=14, choices=CriticalStatus.choices, default=CriticalStatus.OPEN, editable=False
    )
    found_at = models.DateTimeField(_("found at"), default=timezone.now)
    due_at = models.DateTimeField(_("due at"))
    raised_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    communicated_at = models.DateTimeField(null=True, blank=True, editable=False)
    escalation_level = models.PositiveSmallIntegerField(default=0, editable=False)
    next_escalation_at = models.DateTimeField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_name = models.CharField(_("acknowledged by, without an account"), max_length=120, blank=True)
    acknowledged_via = models.CharField(_("acknowledged through"), max_length=12, blank=True, editable=False)
    withdrawn_reason = models.CharField(max_length=200, blank=True)
    round = models.PositiveSmallIntegerField(
        _("round"), default=1, editable=False, help_text=_("Counts reopenings; each begins the chain anew.")
    )
    timer_set_at = models.DateTimeField(null=True, blank=True, editable=False)
    unreached_since = models.DateTimeField(null=True, blank=True, editable=False)
    retell_since = models.DateTimeField(null=True, blank=True, editable=False)
    retell_version = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["claimed_until"])
    objects = CriticalResultQuerySet.as_manager()

    class Meta:
        verbose_name = _("critical result")
        ordering = ["due_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="acknowledged") | Q(acknowledged_at__isnull=False),
                name="acknowledged_critical_result_has_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="withdrawn") | ~Q(withdrawn_reason=""), name="withdrawal_has_a_reason"
            ),
            models.CheckConstraint(
                condition=~Q(status="communicated") | Q(communicated_at__isnull=False),
                name="communicated_critical_result_has_a_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_escalation_at"], condition=Q(next_escalation_at__isnull=False), name="critical_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.category_name} #{self.pk}"

    @property
    def category_name(self) -> str:
        """As the site calls it, else as the ACR does."""
        return self.alert_category.name if self.alert_category is not None else self.get_category_display()

    @property
    def look(self) -> Look:
        """Colour, icon and words of its category."""
        if self.alert_category is not None:
            return self.alert_category.look
        return CATEGORY[str(self.category)]

    @property
    def reference(self) -> str:
        """What messages outside the house call it: no number of a patient or an exam."""
        return str(self.uuid).replace("-", "")[-6:].upper()

    @property
    def needs_read_back(self) -> bool:
        if self.alert_category is not None:
            return self.alert_category.needs_read_back
        return self.category != CriticalCategory.DAYS

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.audit_patient


class ContactAttempt(PublicModel):
    """One try to reach somebody about it."""

    critical_result = models.ForeignKey(CriticalResult, on_delete=models.PROTECT, related_name="attempts")
    channel = models.CharField(_("channel"), max_length=16)
    person = models.CharField(_("person"), max_length=120)
    outcome = models.CharField(
        _("outcome"),
        max_length=12,
        choices=[
            ("reached", _("Reached")),
            ("no_answer", _("No answer")),
            ("busy", _("Busy")),
            ("message", _("Left a message")),
            ("sent", _("Sent")),
            ("failed", _("Could not be sent")),
        ],
    )
    read_back = models.BooleanField(_("read back"), default=False)
    note = models.CharField(_("note"), max_length=200, blank=True)
    level = models.PositiveSmallIntegerField(default=0)
    round = models.PositiveSmallIntegerField(default=1)
    duty = models.CharField(_("as"), max_length=80, blank=True)
    acknowledges = models.BooleanField(_("acknowledged it"), default=False)
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    history = HistoricalRecords()
    objects = ContactAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("contact attempt")
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.channel} {self.at:%H:%M}"

    @property
    def audit_patient(self):
        return self.critical_result.audit_patient
