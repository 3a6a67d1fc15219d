"""Text that is ready: templates by procedure, macros by short code."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from orders.models import CatalogueProcedure, Modality
from ris.core.lifecycle import Recorded


class ReportTemplate(Recorded):
    name = models.CharField(_("name"), max_length=100)
    language = models.CharField(_("language"), max_length=8, default="en")
    modality = models.CharField(_("modality"), max_length=4, choices=Modality.choices, blank=True)
    body_region = models.CharField(
        _("body region"), max_length=200, blank=True, help_text=_("One or several, with commas.")
    )
    catalogue = models.ManyToManyField(
        CatalogueProcedure, blank=True, related_name="report_templates", verbose_name=_("exams")
    )
    sections = models.JSONField(_("sections"), default=dict)
    is_default = models.BooleanField(_("chosen by itself"), default=False)
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords(m2m_fields=[catalogue])

    class Meta:
        verbose_name = _("report template")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "language"], condition=Q(is_active=True), name="template_name_once_per_language"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Macro(Recorded):
    code = models.SlugField(_("short code"), max_length=24)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="macros"
    )
    text = models.TextField(_("text"))
    language = models.CharField(_("language"), max_length=8, default="en")
    is_active = models.BooleanField(_("active"), default=True)

    history = HistoricalRecords()

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
