"""A published scale applied to a finding: coded answers, what follows from them, and under which version."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from reporting.assessments import SCHEMES
from reporting.models.reports import Report
from reporting.querysets import AssessmentQuerySet
from ris.core.lifecycle import Recorded


class Assessment(Recorded):
    """One application of a scale in a report; a signature freezes it with the text."""

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="assessments", verbose_name=_("report"))
    scheme = models.SlugField(_("scale"), max_length=20)
    scheme_version = models.CharField(_("version of the scale"), max_length=20)
    label = models.CharField(_("finding"), max_length=80, blank=True)
    inputs = models.JSONField(_("answers"), default=dict, help_text=_("Keys and codes of the scale's definition."))
    category = models.CharField(_("category"), max_length=24)
    title = models.CharField(_("meaning"), max_length=200)
    management = models.TextField(_("what to do"), blank=True)
    score = models.SmallIntegerField(_("points"), null=True, blank=True)
    assessed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("assessed by")
    )
    withdrawn_at = models.DateTimeField(_("withdrawn at"), null=True, blank=True, editable=False)

    history = HistoricalRecords()
    objects = AssessmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("assessment")
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=~Q(category=""), name="assessment_has_a_category")]

    def __str__(self) -> str:
        return f"{self.scheme} {self.category}"

    def as_data(self) -> dict[str, Any]:
        """What a signature freezes, and what REST shows."""
        return {
            "id": str(self.uuid),
            "scheme": self.scheme,
            "name": SCHEMES[self.scheme].name if self.scheme in SCHEMES else self.scheme,
            "version": self.scheme_version,
            "label": self.label,
            "inputs": self.inputs,
            "category": self.category,
            "title": self.title,
            "management": self.management,
            "score": self.score,
        }

    @property
    def accession_number(self) -> str:
        return self.report.accession_number

    @property
    def audit_patient(self):
        return self.report.audit_patient
