"""Rounds: which reports get a second look, by whom, until when."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.models import Report
from ris.accounts.models import Site
from ris.core.lifecycle import Lifecycle, Recorded


class RoundStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    RUNNING = "running", _("Running")
    CLOSED = "closed", _("Closed")


class Mode(models.TextChoices):
    RANDOM = "random", _("Random, weighted")
    CONSECUTIVE = "consecutive", _("Consecutive")
    TARGETED = "targeted", _("Chosen reports")
    CONFERENCE = "conference", _("Conference")
    IMPORTED = "imported", _("Imported scores")


class Scale(models.TextChoices):
    RADPEER = "radpeer", _("RADPEER 2016")
    SITE = "site", _("This site's scale")


class Score(models.TextChoices):
    """RADPEER 2016 (J Am Coll Radiol 2017;14:1080)"""

    CONCUR = "1", _("1 · Concur")
    UNDERSTANDABLE_A = "2a", _("2a · Understandable miss, unlikely significant")
    UNDERSTANDABLE_B = "2b", _("2b · Understandable miss, likely significant")
    MOST_OF_TIME_A = "3a", _("3a · Should be made most of the time, unlikely significant")
    MOST_OF_TIME_B = "3b", _("3b · Should be made most of the time, likely significant")


class ScaleGrade(Recorded):
    """A grade of the site's own scale. What it stands for in RADPEER decides about comment, arbitration and numbers."""

    code = models.CharField(_("code"), max_length=8, unique=True)
    label = models.CharField(_("label"), max_length=80)
    radpeer = models.CharField(_("counts as"), max_length=2, choices=Score.choices)
    position = models.PositiveSmallIntegerField(_("position"), default=100)
    is_active = models.BooleanField(_("in use"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("grade of the site's scale")
        verbose_name_plural = _("grades of the site's scale")
        ordering = ["position", "code"]

    def __str__(self) -> str:
        return f"{self.code} · {self.label}"


class ReviewRound(Lifecycle):
    """A sample of final reports: same seed and data, same sample."""

    transitions = {RoundStatus.DRAFT: {RoundStatus.RUNNING}, RoundStatus.RUNNING: {RoundStatus.CLOSED}}

    name = models.CharField(_("name"), max_length=100, unique=True)
    mode = models.CharField(_("how cases are drawn"), max_length=12, choices=Mode.choices, default=Mode.RANDOM)
    modality = models.CharField(_("modality"), max_length=4, blank=True)
    body_region = models.CharField(_("body region"), max_length=40, blank=True, default="")
    site = models.ForeignKey(
        Site, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    signed_from = models.DateField(_("signed from"))
    signed_until = models.DateField(_("signed until"))
    percent = models.PositiveSmallIntegerField(_("percent per reader"), default=5)
    per_reader = models.PositiveSmallIntegerField(
        _("reports per reader"), null=True, blank=True, help_text=_("Instead of a percentage.")
    )
    weights = models.JSONField(
        _("weights"), default=dict, blank=True, help_text=_("{modality: how much likelier its reports are drawn}")
    )
    exclude_days = models.PositiveSmallIntegerField(
        _("not the last days"), default=0, help_text=_("Reports signed in so many days before the launch stay out.")
    )
    same_competence = models.BooleanField(
        _("reviewers of the same competence"),
        default=True,
        help_text=_("Only members of the reading group that the exam belongs to; anybody where none does."),
    )
    double_blind = models.BooleanField(
        _("double-blind"), default=False, help_text=_("The report is shown after the reviewer's own impression.")
    )
    scale = models.CharField(_("scale"), max_length=8, choices=Scale.choices, default=Scale.RADPEER)
    seed = models.PositiveIntegerField(_("seed"))
    due_on = models.DateField(_("due on"), null=True, blank=True)
    status = models.CharField(max_length=10, choices=RoundStatus.choices, default=RoundStatus.DRAFT, editable=False)
    reviewers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="review_rounds", verbose_name=_("reviewers")
    )
    readers = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="+",
        verbose_name=_("readers"),
        help_text=_("Whose reports are drawn; none chosen: everybody's."),
    )
    targets = models.ManyToManyField(Report, blank=True, related_name="+", verbose_name=_("chosen reports"))

    history = HistoricalRecords(m2m_fields=[reviewers, readers, targets])

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

    @property
    def is_past_due(self) -> bool:
        return self.due_on is not None and self.due_on < timezone.localdate()
