"""What a report recommends to be done later, as data: an exam by a day, for a reason, until it has happened."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Modality, RequestedProcedure
from reporting.models.reports import Report
from reporting.querysets import FollowUpQuerySet
from ris.core.lifecycle import Lifecycle


class FollowUpStatus(models.TextChoices):
    PLANNED = "planned", _("Planned")  # with a draft; it counts when the report is signed
    DUE = "due", _("Due")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")


F = FollowUpStatus


class FollowUp(Lifecycle):
    """A recommended exam. It closes by itself when that exam is performed."""

    transitions = {
        F.PLANNED: {F.DUE, F.CANCELLED},
        F.DUE: {F.DONE, F.CANCELLED},
        F.DONE: {F.DUE},
        F.CANCELLED: {F.DUE},
    }

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="follow_ups")
    procedure = models.ForeignKey(
        RequestedProcedure, on_delete=models.PROTECT, related_name="follow_ups", verbose_name=_("after the exam")
    )
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices)
    body_region = models.CharField(_("body region"), max_length=40, blank=True)
    catalogue = models.ForeignKey(
        CatalogueProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("exam")
    )
    due_on = models.DateField(_("by"))
    reason = models.CharField(_("reason"), max_length=300)
    status = models.CharField(
        _("status"), max_length=10, choices=FollowUpStatus.choices, default=FollowUpStatus.PLANNED, editable=False
    )
    recommended_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    closed_by_exam = models.ForeignKey(
        RequestedProcedure, null=True, blank=True, on_delete=models.PROTECT, related_name="closes_follow_ups"
    )
    closed_reason = models.CharField(max_length=300, blank=True, editable=False)
    reminded_at = models.DateTimeField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    letter_printed_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["claimed_until"])
    objects = FollowUpQuerySet.as_manager()

    class Meta:
        verbose_name = _("recommended exam")
        verbose_name_plural = _("recommended exams")
        ordering = ["due_on", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="done") | Q(closed_by_exam__isnull=False) | ~Q(closed_reason=""),
                name="done_follow_up_says_how",
            ),
            models.CheckConstraint(
                condition=~Q(status="cancelled") | ~Q(closed_reason=""), name="cancelled_follow_up_says_why"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "due_on", "id"], name="follow_up_due"),
            models.Index(fields=["due_on"], condition=Q(status="due", reminded_at__isnull=True), name="follow_up_late"),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.due_on:%Y-%m-%d}"

    @property
    def what(self) -> str:
        if self.catalogue is not None:
            return self.catalogue.name
        return f"{self.get_modality_display()} {self.body_region}".strip()

    @property
    def sentence(self) -> str:
        """The same in words, for the report's recommendation."""
        day = date_format(self.due_on, "DATE_FORMAT")
        return gettext("%(exam)s by %(day)s: %(reason)s") % {"exam": self.what, "day": day, "reason": self.reason}

    @property
    def accession_number(self) -> str:
        return self.procedure.accession_number

    @property
    def audit_patient(self):
        return self.procedure.audit_patient
