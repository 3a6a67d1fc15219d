"""Text that is ready: templates by procedure and person, forms (MRRT), macros by short code."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Modality
from reporting.querysets import OwnOrSharedQuerySet
from ris.core.lifecycle import Recorded


class TemplateSex(models.TextChoices):
    FEMALE = "F", _("Female")
    MALE = "M", _("Male")


class ReportTemplate(Recorded):
    """What a report begins with. An empty condition fits everybody; without an owner it is the facility's.

    ``mrrt`` holds the cleaned HTML5 of an imported form (IHE RAD, Management of Radiology Report Templates); what its
    fields begin with is in ``sections`` then.
    """

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True, default="")
    language = models.CharField(_("language"), max_length=8, default="en")
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices, blank=True)
    body_region = models.CharField(
        _("body region"), max_length=200, blank=True, help_text=_("One or several, with commas.")
    )
    catalogue = models.ManyToManyField(
        CatalogueProcedure, blank=True, related_name="report_templates", verbose_name=_("exams")
    )
    sex = models.CharField(_("sex"), max_length=1, choices=TemplateSex.choices, blank=True, default="")
    age_from = models.PositiveSmallIntegerField(_("from age (years)"), null=True, blank=True)
    age_to = models.PositiveSmallIntegerField(_("to age (years)"), null=True, blank=True)
    site = models.ForeignKey(
        "accounts.Site", null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("site")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="report_templates",
        verbose_name=_("owner"),
        help_text=_("Empty: shared by everybody."),
    )
    sections = models.JSONField(_("sections"), default=dict)
    mrrt = models.TextField(_("form"), blank=True, default="", editable=False)
    is_default = models.BooleanField(_("chosen by itself"), default=False)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords(m2m_fields=[catalogue])
    objects = OwnOrSharedQuerySet.as_manager()

    class Meta:
        verbose_name = _("report template")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "language", "owner"],
                condition=Q(is_active=True),
                nulls_distinct=False,
                name="template_name_once_per_owner",
            ),
            models.CheckConstraint(
                condition=Q(age_from__isnull=True) | Q(age_to__isnull=True) | Q(age_from__lte=F("age_to")),
                name="template_ages_in_order",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_form(self) -> bool:
        return bool(self.mrrt)


class Macro(Recorded):
    code = models.SlugField(_("short code"), max_length=24)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="macros"
    )
    text = models.TextField(_("text"))
    language = models.CharField(_("language"), max_length=8, default="en")
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()
    objects = OwnOrSharedQuerySet.as_manager()

    class Meta:
        verbose_name = _("macro")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "owner", "language"],
                condition=Q(is_active=True),
                nulls_distinct=False,
                name="macro_code_once_per_owner",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class FilledForm(Recorded):
    """The answers that a report's form was given, coded where the template codes them; its text is in the report."""

    report = models.OneToOneField("reporting.Report", on_delete=models.PROTECT, related_name="filled_form")
    template = models.ForeignKey(ReportTemplate, on_delete=models.PROTECT, related_name="+")
    answers = models.JSONField(default=dict, help_text="{field id: value, or a list of them}")
    coded = models.JSONField(
        default=list, help_text="[{field, label, value, meaning, codes: [{value, scheme, meaning}]}]"
    )
    written = models.JSONField(default=dict, help_text="{section: the text that these answers put there}")

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("filled form")

    def __str__(self) -> str:
        return f"form of {self.report_id}"

    @property
    def audit_patient(self):
        return self.report.audit_patient
