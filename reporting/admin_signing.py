"""Scales, recalls, co-signatures and the weights of the checks in the administration."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from reporting import permissions as perms
from reporting import services
from reporting.models import Assessment, CheckLevel, CheckSetting, CoSignature, ReportRecall
from reporting.services.checks import CHECKS
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin
from ris.core.actor import Actor


class CheckSettingForm(forms.ModelForm):
    code = forms.ChoiceField(label=_("check"), choices=[(code, kind.title) for code, kind in CHECKS.items()])
    level = forms.ChoiceField(label=_("what it does"), choices=CheckLevel.choices)

    class Meta:
        model = CheckSetting
        fields = ("code", "level")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        kind = CHECKS.get(data.get("code", ""))
        if kind is not None and data.get("level") not in kind.may_be:
            self.add_error("level", _("This check may not be weakened so far."))
        return data


@admin.register(CheckSetting)
class CheckSettingAdmin(FacilityModelAdmin):
    """How much each check weighs here; those without a row weigh what they do by themselves."""

    view_code = add_code = change_code = perms.MANAGE_CHECKS
    form = CheckSettingForm
    list_display = ("title", "level", "updated_at")

    @admin.display(description=_("check"))
    def title(self, row: CheckSetting) -> str:
        kind = CHECKS.get(row.code)
        return str(kind.title) if kind else row.code

    def service_create(self, data: dict[str, Any], actor: Actor) -> CheckSetting:
        return services.set_check_level(data["code"], level=data["level"], actor=actor)

    def service_change(self, row: CheckSetting, data: dict[str, Any], actor: Actor) -> CheckSetting:
        return services.set_check_level(row.code, level=data["level"], actor=actor)


@admin.register(Assessment)
class AssessmentAdmin(ReadOnlyAdmin):
    """Scales as they were applied; they are applied and withdrawn beside the report."""

    view_code = perms.VIEW_REPORT
    list_display = (
        "accession",
        "scheme",
        "scheme_version",
        "label",
        "category",
        "score",
        "assessed_by",
        "withdrawn_at",
    )
    list_filter = ("scheme", "category")
    search_fields = ("report__procedures__accession_number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assessment]:
        rows = super().get_queryset(request).select_related("report", "assessed_by")
        return rows.prefetch_related("report__procedures")

    @admin.display(description=_("exams"))
    def accession(self, row: Assessment) -> str:
        return "; ".join(exam.accession_number for exam in row.report.procedures.all())


class OfVersionAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_REPORT
    search_fields = ("report_version__report__procedures__accession_number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request).select_related("report_version__report")
        return rows.prefetch_related("report_version__report__procedures")

    @admin.display(description=_("exams"))
    def accession(self, row: Any) -> str:
        return "; ".join(exam.accession_number for exam in row.report_version.report.procedures.all())

    @admin.display(description=_("version"))
    def number(self, row: Any) -> int:
        return row.report_version.number


@admin.register(ReportRecall)
class ReportRecallAdmin(OfVersionAdmin):
    """Signatures that were taken back before delivery."""

    list_display = ("accession", "number", "recalled_by", "recalled_at", "reason")


@admin.register(CoSignature)
class CoSignatureAdmin(OfVersionAdmin):
    list_display = ("accession", "number", "signer_name", "signed_at", "is_of_these_words")

    @admin.display(description=_("content check"), boolean=True)
    def is_of_these_words(self, row: CoSignature) -> bool:
        return row.report_version.is_intact and row.content_hash == row.report_version.content_hash
