"""Teaching cases: what an exam teaches, without whose it was. The way back is a column that only few may follow."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from orders.models import Modality, Sex
from reporting.models.reports import Report
from reporting.querysets import TeachingCaseQuerySet, TeachingImageQuerySet
from ris.core.lifecycle import Lifecycle, PublicModel
from worklist.models import ImagingInstance


class TeachingStatus(models.TextChoices):
    DRAFT = "draft", pgettext_lazy("teaching case", "Private")
    SHARED = "shared", pgettext_lazy("teaching case", "Shared")
    WITHDRAWN = "withdrawn", pgettext_lazy("teaching case", "Withdrawn")


T = TeachingStatus


class TeachingCase(Lifecycle):
    """Kept from a report; private to its owner until a person has read it and shares it with the department."""

    transitions = {T.DRAFT: {T.SHARED, T.WITHDRAWN}, T.SHARED: {T.WITHDRAWN}, T.WITHDRAWN: set()}

    report = models.ForeignKey(
        Report, on_delete=models.PROTECT, related_name="teaching_cases", verbose_name=_("kept from")
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(
        _("status"), max_length=10, choices=TeachingStatus.choices, default=TeachingStatus.DRAFT, editable=False
    )
    title = models.CharField(_("title"), max_length=120)
    diagnosis = models.CharField(_("diagnosis"), max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=30), default=list, blank=True, verbose_name=_("tags"))
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices)
    body_region = models.CharField(_("body region"), max_length=40, blank=True)
    age_band = models.CharField(_("age"), max_length=8, blank=True, help_text=_("Years, in tens; 90+ from ninety on."))
    sex = models.CharField(_("sex"), max_length=1, choices=Sex.choices, default=Sex.UNKNOWN)
    text = models.TextField(_("report, de-identified"), blank=True)
    question = models.TextField(_("question"), blank=True)
    answer = models.TextField(_("answer and discussion"), blank=True)
    words = SearchVectorField(null=True, editable=False)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_at = models.DateTimeField(_("read"), null=True, blank=True, editable=False)
    offered_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("Its owner asks a radiologist to share it.")
    )
    shared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    withdrawn_reason = models.CharField(max_length=300, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["words"])
    objects = TeachingCaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("teaching case")
        verbose_name_plural = _("teaching cases")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="shared") | Q(reviewed_at__isnull=False, shared_by__isnull=False),
                name="shared_teaching_case_was_read",
            ),
            models.CheckConstraint(
                condition=~Q(status="withdrawn") | ~Q(withdrawn_reason=""), name="withdrawn_teaching_case_says_why"
            ),
            models.UniqueConstraint(
                fields=["report", "owner"], condition=~Q(status="withdrawn"), name="one_teaching_case_per_owner"
            ),
        ]
        indexes = [
            GinIndex(fields=["words"], name="teaching_words"),
            GinIndex(fields=["tags"], name="teaching_tags"),
            models.Index(fields=["status", "modality", "-id"], name="teaching_list"),
        ]

    def __str__(self) -> str:
        return self.title


class CopyState(models.TextChoices):
    WAITING = "waiting", _("Being copied")
    COPIED = "copied", _("Copied")
    LOOK = "look", _("Somebody must look")  # words may be burned into the picture
    REFUSED = "refused", _("Cannot be copied")


class TeachingImage(PublicModel):
    """An image that was chosen, and its de-identified copy, which no index of studies knows."""

    case = models.ForeignKey(TeachingCase, on_delete=models.PROTECT, related_name="images")
    original = models.ForeignKey(ImagingInstance, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveSmallIntegerField(default=1)
    state = models.CharField(max_length=8, choices=CopyState.choices, default=CopyState.WAITING, editable=False)
    problem = models.CharField(max_length=200, blank=True, editable=False)
    looked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    looked_at = models.DateTimeField(null=True, blank=True, editable=False)
    path = models.CharField(max_length=255, blank=True, editable=False)
    frames = models.PositiveIntegerField(default=1, editable=False)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = TeachingImageQuerySet.as_manager()

    class Meta:
        verbose_name = _("teaching image")
        verbose_name_plural = _("teaching images")
        ordering = ["number", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["case", "original"], condition=Q(removed_at__isnull=True), name="teaching_image_once"
            ),
            models.CheckConstraint(condition=~Q(state="copied") | ~Q(path=""), name="copied_teaching_image_has_file"),
        ]

    def __str__(self) -> str:
        return f"{self.case_id}/{self.number}"

    @property
    def middle_frame(self) -> int:
        return max(1, (self.frames + 1) // 2)
