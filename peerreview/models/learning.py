"""Peer learning: what a report teaches, without scores and without names; and the conferences that show it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from orders.models import Modality, Sex
from peerreview.querysets import ConferenceEntryQuerySet, LearningCaseQuerySet
from reporting.models import Report, ReportVersion, TeachingCase
from ris.core.lifecycle import Lifecycle, Recorded


class LearningKind(models.TextChoices):
    GREAT_CALL = "great_call", _("Great call")
    INTERESTING = "interesting", _("Interesting case")
    PERCEPTION = "perception", _("Perception")
    INTERPRETATION = "interpretation", _("Interpretation")
    COMMUNICATION = "communication", _("Communication")
    TECHNIQUE = "technique", _("Technique")


class LearningStatus(models.TextChoices):
    SUBMITTED = "submitted", pgettext_lazy("learning case", "Submitted")
    READY = "ready", pgettext_lazy("learning case", "Ready to show")
    SHOWN = "shown", pgettext_lazy("learning case", "Shown")
    DECLINED = "declined", pgettext_lazy("learning case", "Not taken")


L = LearningStatus


class LearningCase(Lifecycle):
    """Submitted by somebody whom no page names; made ready by the coordinator; its author alone gets the feedback."""

    transitions = {
        L.SUBMITTED: {L.READY, L.DECLINED},
        L.READY: {L.SHOWN, L.DECLINED},
        L.SHOWN: {L.READY},
    }

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="learning_cases")
    report_version = models.ForeignKey(ReportVersion, on_delete=models.PROTECT, related_name="+")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text=_("Who signed the report.")
    )
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(_("what it teaches"), max_length=14, choices=LearningKind.choices)
    note = models.CharField(_("note to the coordinator"), max_length=1000, blank=True)
    status = models.CharField(
        _("status"), max_length=9, choices=LearningStatus.choices, default=LearningStatus.SUBMITTED, editable=False
    )
    title = models.CharField(_("title"), max_length=120, blank=True)
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices)
    age_band = models.CharField(_("age"), max_length=8, blank=True, help_text=_("Years, in tens; 90+ from ninety on."))
    sex = models.CharField(_("sex"), max_length=1, choices=Sex.choices, default=Sex.UNKNOWN)
    question = models.TextField(_("question"), blank=True)
    text = models.TextField(_("report, de-identified"), blank=True)
    discussion = models.TextField(_("discussion"), blank=True)
    points = models.TextField(_("learning points"), blank=True, help_text=_("One on each line."))
    teaching = models.ForeignKey(
        TeachingCase, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    read_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    read_at = models.DateTimeField(_("read"), null=True, blank=True, editable=False)
    declined_reason = models.CharField(_("why it is not taken"), max_length=300, blank=True)
    feedback = models.TextField(_("feedback to the author"), blank=True)
    feedback_at = models.DateTimeField(null=True, blank=True, editable=False)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = LearningCaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("learning case")
        verbose_name_plural = _("learning cases")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["report_version", "submitted_by"], name="learning_case_once_each"),
            models.CheckConstraint(
                condition=~Q(status__in=["ready", "shown"]) | Q(read_at__isnull=False), name="learning_case_was_read"
            ),
            models.CheckConstraint(
                condition=~Q(status="declined") | ~Q(declined_reason=""), name="declined_learning_case_says_why"
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at__isnull=True) | Q(feedback_at__isnull=False),
                name="acknowledged_feedback_was_given",
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"learning case {self.pk}"

    @property
    def learning_points(self) -> list[str]:
        return [line.strip(" -\u2013\u2022") for line in self.points.splitlines() if line.strip(" -\u2013\u2022")]

    @property
    def audit_patient(self):
        return self.report.audit_patient


class ConferenceStatus(models.TextChoices):
    PLANNED = "planned", pgettext_lazy("conference", "Planned")
    HELD = "held", pgettext_lazy("conference", "Held")
    CANCELLED = "cancelled", pgettext_lazy("conference", "Cancelled")


class Conference(Lifecycle):
    """A meeting at which learning cases are shown, in an order."""

    transitions = {ConferenceStatus.PLANNED: {ConferenceStatus.HELD, ConferenceStatus.CANCELLED}}

    title = models.CharField(_("title"), max_length=100)
    held_on = models.DateField(_("day"))
    place = models.CharField(_("place"), max_length=100, blank=True)
    status = models.CharField(
        _("status"), max_length=9, choices=ConferenceStatus.choices, default=ConferenceStatus.PLANNED, editable=False
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("conference")
        ordering = ["-held_on", "-pk"]

    def __str__(self) -> str:
        return self.title


class ConferenceEntry(Recorded):
    """A case of a conference; ticked when it was shown."""

    conference = models.ForeignKey(Conference, on_delete=models.PROTECT, related_name="entries")
    case = models.ForeignKey(LearningCase, on_delete=models.PROTECT, related_name="entries")
    position = models.PositiveSmallIntegerField(_("position"))
    shown_at = models.DateTimeField(_("shown"), null=True, blank=True, editable=False)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = ConferenceEntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("case of a conference")
        verbose_name_plural = _("cases of conferences")
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["conference", "case"], condition=Q(removed_at__isnull=True), name="case_once_per_conference"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conference_id}/{self.position}"
