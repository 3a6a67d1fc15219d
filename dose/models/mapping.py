"""What an exam is called everywhere, by which rules the names of sites and devices lead to it; what is no patient."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from simple_history.models import HistoricalRecords

from orders.models import Modality
from ris.core.lifecycle import Recorded


class StandardExam(Recorded):
    """One exam under one name, whatever site, protocol and device call it; levels and medians speak of it."""

    code = models.SlugField(_("code"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=64)
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices)
    body_region = models.CharField(_("body region"), max_length=40, blank=True)
    indication = models.CharField(
        _("indication"), max_length=100, blank=True, help_text=_("Where levels differ by the clinical question.")
    )
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("standard exam")
        ordering = ["modality", "name"]

    def __str__(self) -> str:
        return self.name


class MatchField(models.TextChoices):
    PROCEDURE_CODE = "procedure_code", _("Code of the site's exam")
    DESCRIPTION = "description", _("Name of the site's exam")
    PROTOCOL = "protocol", _("Protocol")
    STUDY_DESCRIPTION = "study_description", _("Study description")
    SERIES_DESCRIPTION = "series_description", _("Series description")
    BODY_PART = "body_part", _("Body part")
    INDICATION = "indication", _("Clinical question")


class MatchKind(models.TextChoices):
    EQUALS = "equals", pgettext_lazy("comparison", "is")
    CONTAINS = "contains", pgettext_lazy("comparison", "contains")
    WILDCARD = "wildcard", pgettext_lazy("comparison", "is like (* and ?)")


class ExamRule(Recorded):
    """The first active rule that fits names the exam. Letters' case and runs of blanks do not matter."""

    position = models.PositiveIntegerField(_("position"), default=0, help_text=_("The lowest that fits decides."))
    field = models.CharField(_("what is looked at"), max_length=24, choices=MatchField.choices)
    match = models.CharField(_("how"), max_length=10, choices=MatchKind.choices, default=MatchKind.CONTAINS)
    pattern = models.CharField(_("text"), max_length=128)
    modality = models.CharField(
        _("only of modality"), max_length=4, blank=True, choices=Modality.choices, help_text=_("Empty: of any.")
    )
    also_field = models.CharField(_("and besides"), max_length=24, blank=True, choices=MatchField.choices)
    also_pattern = models.CharField(_("contains"), max_length=128, blank=True)
    exam = models.ForeignKey(
        StandardExam, on_delete=models.PROTECT, related_name="rules", verbose_name=_("standard exam")
    )
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("exam rule")
        ordering = ["position", "pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(pattern=""), name="exam_rule_has_a_pattern"),
            models.CheckConstraint(
                condition=Q(also_field="", also_pattern="") | ~Q(also_field="") & ~Q(also_pattern=""),
                name="exam_rule_second_part_is_whole",
            ),
            models.UniqueConstraint(
                fields=["field", "match", "pattern", "modality", "also_field", "also_pattern"],
                condition=Q(is_active=True),
                name="exam_rule_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.field} {self.match} {self.pattern}"


class NotPatientField(models.TextChoices):
    IDENTIFIER = "patient_id", _("Patient ID")
    NAME = "patient_name", _("Patient name")


class NotPatientRule(Recorded):
    """Phantoms, tests and quality control: exposures whose identifier or name fits leave every statistic."""

    field = models.CharField(_("what is looked at"), max_length=16, choices=NotPatientField.choices)
    match = models.CharField(_("how"), max_length=10, choices=MatchKind.choices, default=MatchKind.WILDCARD)
    pattern = models.CharField(_("text"), max_length=64)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("not-a-patient rule")
        ordering = ["field", "pattern"]
        constraints = [
            models.CheckConstraint(condition=~Q(pattern=""), name="not_patient_rule_has_a_pattern"),
            models.UniqueConstraint(fields=["field", "match", "pattern"], name="not_patient_rule_once"),
        ]

    def __str__(self) -> str:
        return f"{self.field} {self.match} {self.pattern}"
