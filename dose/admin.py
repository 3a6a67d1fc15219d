"""Dose in the administration: reports to read and link, levels to manage."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

import dose.admin_names  # noqa: F401  names, levels and alerts
from dose import investigations, selectors, services
from dose import permissions as perms
from dose.models import DoseInvestigation, DoseReport, DoseTrigger, IrradiationEvent, RejectTarget, TriggerLevel
from orders.models import RequestedProcedure
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityInline, FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor


class AccessionForm(forms.Form):
    accession_number = forms.CharField(label=_("Accession number"), max_length=16)


class ExplanationForm(forms.Form):
    explanation = forms.CharField(label=_("Why"), max_length=300, widget=forms.Textarea(attrs={"rows": 2}))


class InvestigationForm(forms.Form):
    cause = forms.CharField(label=_("Cause"), max_length=300, widget=forms.Textarea(attrs={"rows": 2}))
    action = forms.CharField(label=_("Action"), max_length=300, widget=forms.Textarea(attrs={"rows": 2}))
    measure_again_on = forms.DateField(label=_("Measure again on"), required=False)


def link(report: DoseReport, *, accession_number: str, actor: Actor) -> DoseReport:
    visible = RequestedProcedure.objects.visible_to(actor)
    procedure = services.procedure_by_accession(accession_number, visible)
    return services.link_dose_report(report, procedure=procedure, actor=actor)


class IrradiationEventInline(FacilityInline):
    model = IrradiationEvent
    view_code = perms.VIEW_DOSE
    fields = ["position", "started_at", "event_type", "protocol", "target_region", "ctdi_vol", "dlp", "dap", "kvp"]
    readonly_fields = fields
    show_change_link = False


@admin.register(DoseReport)
class DoseReportAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_DOSE
    list_display = [
        "performed_at", "modality", "accession_number", "station_name", "dlp_total", "dap_total", "event_count",
        "is_of_a_patient", "procedure",
    ]  # fmt: skip
    list_filter = ["modality", "is_of_a_patient", ("procedure", admin.EmptyFieldListFilter), "performed_at"]
    search_fields = ["accession_number", "study_instance_uid", "station_name"]
    inlines = [IrradiationEventInline]
    actions = [
        service_action(_("Link to an exam"), link, form=AccessionForm, permission=perms.MANAGE_DOSE),
        service_action(_("Undo the link"), services.unlink_dose_report, form=ReasonForm),
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return selectors.every_dose_report(actor=actor_of(request))


@admin.register(DoseTrigger)
class DoseTriggerAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_DOSE
    list_display = ["report", "kind", "quantity", "value", "limit", "unit", "status", "explanation"]
    list_filter = ["status", "kind", "quantity"]
    actions = [service_action(_("Explain"), services.explain_trigger, form=ExplanationForm)]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return selectors.triggers(actor=actor_of(request)).order_by("-pk")


@admin.register(DoseInvestigation)
class DoseInvestigationAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_DOSE
    list_display = ["exam_name", "room", "quantity", "median", "limit", "unit", "status", "measure_again_on"]
    list_filter = ["status", "quantity", "room"]
    actions = [
        service_action(_("Record the action"), investigations.record_action, form=InvestigationForm),
        service_action(_("Measure again"), investigations.measure_again),
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return selectors.investigations(actor=actor_of(request))


@admin.register(TriggerLevel)
class TriggerLevelAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_LEVELS, perms.MANAGE_LEVELS
    list_display = ["modality", "quantity", "limit", "unit", "kind", "weeks", "is_active"]
    list_filter = ["modality", "is_active"]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Quantities are those that a report is looked at for; the unit is the shown one."""
        from dose.quantities import QUANTITIES

        if db_field.name == "quantity":
            return forms.ChoiceField(label=_("Quantity"), choices=[(row.key, row.label) for row in QUANTITIES.values()])
        if db_field.name == "unit":
            units = sorted({row.unit for row in QUANTITIES.values()})
            return forms.ChoiceField(label=_("Unit"), choices=[(unit, unit) for unit in units])
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(RejectTarget)
class RejectTargetAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_LEVELS, perms.MANAGE_LEVELS
    list_display = ["tab", "low", "high"]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        from dose.quantities import TAB_LABELS

        if db_field.name == "tab":
            return forms.ChoiceField(label=_("Kind of exams"), choices=list(TAB_LABELS.items()))
        return super().formfield_for_dbfield(db_field, request, **kwargs)
