"""Cases: one report before one reviewer, and what became of a discrepancy."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from peerreview.models.rounds import ReviewRound, ScaleGrade, Score
from peerreview.querysets import DiscrepancyQuerySet, ReviewCaseQuerySet
from reporting.models import CriticalCategory, CriticalResult, Report, ReportVersion
from ris.core.lifecycle import Lifecycle


class CaseStatus(models.TextChoices):
    ASSIGNED = "assigned", _("Assigned")
    SCORED = "scored", _("Scored")
    ARBITRATION = "arbitration", _("Arbitration")
    CLOSED = "closed", _("Closed")
    LAPSED = "lapsed", _("Not reviewed in time")


class Category(models.TextChoices):
    PERCEPTUAL = "perceptual", _("Perceptual")
    INTERPRETIVE = "interpretive", _("Interpretive")
    COMMUNICATION = "communication", _("Communication")
    PROCEDURAL = "procedural", _("Procedural")


class ReviewCase(Lifecycle):
    transitions = {
        CaseStatus.ASSIGNED: {CaseStatus.SCORED, CaseStatus.ARBITRATION, CaseStatus.LAPSED},
        CaseStatus.ARBITRATION: {CaseStatus.CLOSED},
        CaseStatus.SCORED: {CaseStatus.CLOSED},
    }

    round = models.ForeignKey(
        ReviewRound, null=True, blank=True, on_delete=models.PROTECT, related_name="cases", verbose_name=_("round")
    )
    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="review_cases")
    report_version = models.ForeignKey(ReportVersion, on_delete=models.PROTECT, related_name="+")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="review_cases")
    status = models.CharField(max_length=12, choices=CaseStatus.choices, default=CaseStatus.ASSIGNED, editable=False)
    score = models.CharField(_("score"), max_length=2, choices=Score.choices, blank=True)
    grade = models.ForeignKey(
        ScaleGrade, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("grade")
    )
    category = models.CharField(_("kind"), max_length=14, choices=Category.choices, blank=True, default="")
    own_impression = models.TextField(_("reviewer's own impression"), blank=True, default="")
    impression_at = models.DateTimeField(null=True, blank=True, editable=False)
    passed_on_reason = models.CharField(_("why it was passed on"), max_length=200, blank=True, default="")
    swapped_reason = models.CharField(_("why it was swapped"), max_length=200, blank=True, default="")
    reminded_at = models.DateTimeField(null=True, blank=True, editable=False)
    position = models.PositiveSmallIntegerField(
        null=True, blank=True, editable=False, help_text=_("In the order of a conference.")
    )
    discussed_at = models.DateTimeField(_("discussed"), null=True, blank=True, editable=False)
    comment = models.TextField(_("comment"), blank=True)
    scored_at = models.DateTimeField(null=True, blank=True, editable=False)
    arbiter = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    arbitrated_score = models.CharField(_("score after arbitration"), max_length=2, choices=Score.choices, blank=True)
    arbitration_comment = models.TextField(blank=True)

    history = HistoricalRecords()
    objects = ReviewCaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("review case")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["round", "report"], name="report_once_per_round"),
            models.UniqueConstraint(
                fields=["reviewer", "report_version"], condition=Q(round__isnull=True), name="one_ad_hoc_review_each"
            ),
            models.CheckConstraint(
                condition=~Q(score__in=["2b", "3a", "3b"]) | ~Q(comment=""), name="discrepancy_has_a_comment"
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.pk} of {self.round}" if self.round_id else f"case {self.pk}"

    @property
    def hides_report(self) -> bool:
        """Double-blind, and the reviewer has not yet said what they see."""
        return self.round is not None and self.round.double_blind and self.impression_at is None

    @property
    def final_score(self) -> str:
        return self.arbitrated_score or self.score

    @property
    def audit_patient(self):
        return self.report.audit_patient


class Severity(models.TextChoices):
    MINOR = "minor", _("Minor")
    MODERATE = "moderate", _("Moderate")
    MAJOR = "major", _("Major")


class Impact(models.TextChoices):
    UNKNOWN = "unknown", _("Not known yet")
    NONE = "none", _("None")
    DELAYED = "delayed", _("Care delayed")
    CHANGED = "changed", _("Care changed")
    HARM = "harm", _("Harm")


class DiscrepancyStatus(models.TextChoices):
    OPEN = "open", _("The author is asked")
    ADDENDED = "addended", _("Addendum written")
    DECLINED = "declined", _("No addendum, with a reason")
    RESOLVED = "resolved", _("Resolved")


class Discrepancy(Lifecycle):
    """Upheld by an arbiter. The author writes an addendum or says why not; the lead notes how it ended."""

    transitions = {
        DiscrepancyStatus.OPEN: {
            DiscrepancyStatus.ADDENDED,
            DiscrepancyStatus.DECLINED,
            DiscrepancyStatus.RESOLVED,
        },
        DiscrepancyStatus.ADDENDED: {DiscrepancyStatus.RESOLVED},
        DiscrepancyStatus.DECLINED: {DiscrepancyStatus.ADDENDED, DiscrepancyStatus.RESOLVED},
    }

    case = models.OneToOneField(ReviewCase, on_delete=models.PROTECT, related_name="discrepancy")
    severity = models.CharField(_("severity"), max_length=8, choices=Severity.choices)
    category = models.CharField(_("kind"), max_length=14, choices=Category.choices)
    impact = models.CharField(_("clinical impact"), max_length=8, choices=Impact.choices, default=Impact.UNKNOWN)
    critical_category = models.PositiveSmallIntegerField(
        _("alert with the addendum"), choices=CriticalCategory.choices, null=True, blank=True
    )
    status = models.CharField(
        _("status"), max_length=8, choices=DiscrepancyStatus.choices, default=DiscrepancyStatus.OPEN, editable=False
    )
    declined_reason = models.CharField(_("why no addendum"), max_length=500, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True, editable=False)
    addendum = models.ForeignKey(
        ReportVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("addendum")
    )
    critical_result = models.ForeignKey(
        CriticalResult, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resolution = models.CharField(_("resolution"), max_length=500, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    history = HistoricalRecords()
    objects = DiscrepancyQuerySet.as_manager()

    class Meta:
        verbose_name = _("discrepancy")
        verbose_name_plural = _("discrepancies")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="declined") | ~Q(declined_reason=""), name="declined_discrepancy_says_why"
            ),
            models.CheckConstraint(
                condition=~Q(status="addended") | Q(addendum__isnull=False), name="addended_discrepancy_has_it"
            ),
        ]

    def __str__(self) -> str:
        return f"discrepancy {self.pk}"

    @property
    def audit_patient(self):
        return self.case.audit_patient
