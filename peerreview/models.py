"""Second looks: rounds of sampled reports, scored blind (RADPEER 2016)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from peerreview.querysets import ReviewCaseQuerySet
from reporting.models import Report, ReportVersion
from ris.core.lifecycle import Lifecycle


class RoundStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    RUNNING = "running", _("Running")
    CLOSED = "closed", _("Closed")


class ReviewRound(Lifecycle):
    """A sample of final reports: same seed and data, same sample."""

    transitions = {RoundStatus.DRAFT: {RoundStatus.RUNNING}, RoundStatus.RUNNING: {RoundStatus.CLOSED}}

    name = models.CharField(_("name"), max_length=100, unique=True)
    modality = models.CharField(_("modality"), max_length=4, blank=True)
    signed_from = models.DateField(_("signed from"))
    signed_until = models.DateField(_("signed until"))
    percent = models.PositiveSmallIntegerField(_("percent per reader"), default=5)
    seed = models.PositiveIntegerField(_("seed"))
    due_on = models.DateField(_("due on"), null=True, blank=True)
    status = models.CharField(max_length=10, choices=RoundStatus.choices, default=RoundStatus.DRAFT, editable=False)
    reviewers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="review_rounds", verbose_name=_("reviewers")
    )

    history = HistoricalRecords(m2m_fields=[reviewers])

    class Meta:
        verbose_name = _("review round")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(percent__gte=1, percent__lte=100), name="percent_is_a_percentage"),
            models.CheckConstraint(
                condition=Q(signed_until__gte=models.F("signed_from")), name="round_ends_after_it_starts"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CaseStatus(models.TextChoices):
    ASSIGNED = "assigned", _("Assigned")
    SCORED = "scored", _("Scored")
    ARBITRATION = "arbitration", _("Arbitration")
    CLOSED = "closed", _("Closed")


class Score(models.TextChoices):
    """RADPEER 2016 (J Am Coll Radiol 2017;14:1080)"""

    CONCUR = "1", _("1 · Concur")
    UNDERSTANDABLE_A = "2a", _("2a · Understandable miss, unlikely significant")
    UNDERSTANDABLE_B = "2b", _("2b · Understandable miss, likely significant")
    MOST_OF_TIME_A = "3a", _("3a · Should be made most of the time, unlikely significant")
    MOST_OF_TIME_B = "3b", _("3b · Should be made most of the time, likely significant")


class ReviewCase(Lifecycle):
    transitions = {
        CaseStatus.ASSIGNED: {CaseStatus.SCORED, CaseStatus.ARBITRATION},
        CaseStatus.ARBITRATION: {CaseStatus.CLOSED},
        CaseStatus.SCORED: {CaseStatus.CLOSED},
    }

    round = models.ForeignKey(ReviewRound, on_delete=models.PROTECT, related_name="cases")
    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="review_cases")
    report_version = models.ForeignKey(ReportVersion, on_delete=models.PROTECT, related_name="+")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="review_cases")
    status = models.CharField(max_length=12, choices=CaseStatus.choices, default=CaseStatus.ASSIGNED, editable=False)
    score = models.CharField(_("score"), max_length=2, choices=Score.choices, blank=True)
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
            models.CheckConstraint(
                condition=~Q(score__in=["2b", "3a", "3b"]) | ~Q(comment=""), name="discrepancy_has_a_comment"
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.pk} of {self.round}"

    @property
    def audit_patient(self):
        return self.report.audit_patient
