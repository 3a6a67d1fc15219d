"""The words of signed reports, for searching, and searches that people keep."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils.translation import gettext_lazy as _

from orders.models import Patient
from reporting.models.reports import Report
from reporting.querysets import ReportTextQuerySet, SavedSearchQuerySet
from ris.core.lifecycle import PublicModel


class ReportText(models.Model):
    """What the newest signed version says, and its addenda, with what a search narrows by, so that it joins nothing.

    Derived: ``index_report`` writes it with the signature, ``follow_place`` when patient, exam or site change.
    """

    report = models.OneToOneField(Report, primary_key=True, on_delete=models.PROTECT, related_name="text")
    version = models.PositiveSmallIntegerField()
    words = SearchVectorField()
    signed_at = models.DateTimeField()
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(Patient, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    facets = ArrayField(models.TextField(), default=list, help_text="As modality:CT, region:chest, exam:CTPA.")
    sites = ArrayField(models.BigIntegerField(), default=list, help_text="Keys of its orders' sites; 0: of none.")

    objects = ReportTextQuerySet.as_manager()

    class Meta:
        verbose_name = _("words of a report")
        verbose_name_plural = _("words of reports")
        ordering = ["-signed_at", "-report_id"]
        indexes = [
            GinIndex(fields=["words", "facets"], name="report_words_facets", fastupdate=False),
            models.Index(fields=["-signed_at", "-report"], name="report_text_newest"),
            models.Index(fields=["patient", "-signed_at"], name="report_text_of_patient"),
        ]

    def __str__(self) -> str:
        return f"words of report {self.report_id}"


class SavedSearch(PublicModel):
    """A question to all reports that is asked again: a register of cases. Words are kept here and never in a URL."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_searches")
    name = models.CharField(_("name"), max_length=60)
    query = models.JSONField(default=dict, help_text="The form's fields, as they were typed.")
    is_shared = models.BooleanField(_("shared"), default=False, help_text=_("With everybody who sees reports."))
    opened_at = models.DateTimeField(null=True, blank=True, help_text="When its owner last looked: newer ones are new.")

    rows_may_be_deleted = True
    objects = SavedSearchQuerySet.as_manager()

    class Meta:
        verbose_name = _("saved search")
        verbose_name_plural = _("saved searches")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="saved_search_once_per_owner")]

    def __str__(self) -> str:
        return self.name
