"""Safety questions before an exam: pregnancy, contrast, kidneys, MR. Answers block, warn or note."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Modality, RequestedProcedure
from ris.core.lifecycle import PublicModel, Recorded


class Effect(models.TextChoices):
    NOTE = "note", _("Note")
    WARN = "warn", _("Warn")
    BLOCK = "block", _("Block")


class OverrideBy(models.TextChoices):
    """Who may allow an exam that the answers block."""

    RADIOLOGIST = "radiologist", _("A radiologist")
    TECHNOLOGIST = "technologist", _("A technologist too")
    NOBODY = "nobody", _("Nobody: other answers are needed")


class Questionnaire(Recorded):
    """One edition of a form. What has been answered is not changed: a new edition takes its place."""

    name = models.CharField(_("name"), max_length=64)
    name_sw = models.CharField(_("name in Swahili"), max_length=64, blank=True)
    edition = models.PositiveSmallIntegerField(_("edition"), default=1)
    is_active = models.BooleanField(_("active"), default=True)
    override_by = models.CharField(
        _("a block is lifted by"), max_length=12, choices=OverrideBy.choices, default=OverrideBy.RADIOLOGIST
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("questionnaire")
        ordering = ["name", "-edition"]
        constraints = [models.UniqueConstraint(fields=["name", "edition"], name="questionnaire_edition_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.edition})"


class Question(PublicModel):
    class Kind(models.TextChoices):
        YES_NO = "yes_no", _("Yes or no")
        NUMBER = "number", _("Number")
        TEXT = "text", _("Text")
        DATE = "date", _("Date")

    questionnaire = models.ForeignKey(Questionnaire, on_delete=models.CASCADE, related_name="questions")
    key = models.SlugField(_("key"), max_length=40)
    text = models.CharField(_("question"), max_length=200)
    text_sw = models.CharField(_("question in Swahili"), max_length=200, blank=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.YES_NO)
    unit = models.CharField(_("unit"), max_length=24, blank=True)
    is_required = models.BooleanField(_("must be answered"), default=True)
    position = models.PositiveSmallIntegerField(default=0)
    effect = models.CharField(_("effect"), max_length=8, choices=Effect.choices, default=Effect.NOTE)
    when_answer = models.CharField(
        _("when the answer is"), max_length=16, blank=True, help_text=_("yes, no, or a number")
    )
    when_below = models.DecimalField(_("when below"), max_digits=8, decimal_places=2, null=True, blank=True)
    when_above = models.DecimalField(_("when above"), max_digits=8, decimal_places=2, null=True, blank=True)
    when_older_days = models.PositiveSmallIntegerField(_("when older than (days)"), null=True, blank=True)

    class Meta:
        verbose_name = _("question")
        ordering = ["position", "pk"]
        constraints = [models.UniqueConstraint(fields=["questionnaire", "key"], name="question_key_once")]

    def __str__(self) -> str:
        return self.text


class QuestionnaireAssignment(PublicModel):
    """Which exams need it: one catalogue procedure, or all of a modality, or all with contrast."""

    questionnaire = models.ForeignKey(Questionnaire, on_delete=models.CASCADE, related_name="assignments")
    catalogue = models.ForeignKey(
        CatalogueProcedure, null=True, blank=True, on_delete=models.CASCADE, related_name="questionnaires"
    )
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices, blank=True)
    only_with_contrast = models.BooleanField(_("only with contrast"), default=False)
    only_sex = models.CharField(_("only for"), max_length=1, choices=[("F", _("Female")), ("M", _("Male"))], blank=True)
    from_age = models.PositiveSmallIntegerField(_("from the age of"), null=True, blank=True)
    to_age = models.PositiveSmallIntegerField(_("to the age of"), null=True, blank=True)

    class Meta:
        verbose_name = _("assignment")

    def __str__(self) -> str:
        return f"{self.questionnaire}: {self.catalogue or self.modality or _('all')}"


class ScreeningAnswer(PublicModel):
    """One filled questionnaire of one exam. Newer answers supersede, none is changed."""

    procedure = models.ForeignKey(RequestedProcedure, on_delete=models.PROTECT, related_name="screenings")
    questionnaire = models.ForeignKey(Questionnaire, on_delete=models.PROTECT, related_name="answers")
    answers = models.JSONField(default=dict, help_text="{question key: answer}")
    effect = models.CharField(max_length=8, choices=Effect.choices, default=Effect.NOTE)
    findings = models.JSONField(default=list, help_text="[{key, effect}] that the answers raised.")
    answered_at = models.DateTimeField(default=timezone.now)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    overridden_at = models.DateTimeField(null=True, blank=True)
    override_reason = models.CharField(max_length=200, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("screening")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.questionnaire} {self.answered_at:%Y-%m-%d %H:%M}"

    @property
    def audit_patient(self):
        return self.procedure.audit_patient
