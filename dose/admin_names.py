"""Names, levels and alerts in the administration: every table saves through its service."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from dose import alert_lists, services
from dose import permissions as perms
from dose.models import (
    DoseAlertRule,
    ExamRule,
    LevelAlert,
    NotPatientRule,
    ReferenceLevel,
    SkinFinding,
    SkinFollowUp,
    StandardExam,
)
from dose.services.drl import UNITS
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor


@admin.register(StandardExam)
class StandardExamAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_NAMES, perms.MANAGE_NAMES
    list_display = ["name", "code", "modality", "body_region", "indication", "is_active"]
    list_filter = ["modality", "is_active"]
    search_fields = ["name", "code"]

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> StandardExam:
        return services.save_standard_exam(**cleaned, actor=actor)

    def service_change(self, exam: StandardExam, cleaned: dict[str, Any], actor: Actor) -> StandardExam:
        return services.save_standard_exam(exam, **cleaned, actor=actor)


@admin.register(ExamRule)
class ExamRuleAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_NAMES, perms.MANAGE_NAMES
    list_display = ["position", "field", "match", "pattern", "modality", "exam", "is_active"]
    list_filter = ["modality", "field", "is_active"]
    list_select_related = ["exam"]
    search_fields = ["pattern"]

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> ExamRule:
        return services.save_rule(**cleaned, actor=actor)

    def service_change(self, rule: ExamRule, cleaned: dict[str, Any], actor: Actor) -> ExamRule:
        return services.save_rule(rule, **cleaned, actor=actor)


@admin.register(NotPatientRule)
class NotPatientRuleAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_NAMES, perms.MANAGE_NAMES
    list_display = ["field", "match", "pattern", "is_active"]
    list_filter = ["field", "is_active"]

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> NotPatientRule:
        return services.save_not_patient_rule(**cleaned, actor=actor)

    def service_change(self, rule: NotPatientRule, cleaned: dict[str, Any], actor: Actor) -> NotPatientRule:
        return services.save_not_patient_rule(rule, **cleaned, actor=actor)


class LevelForm(forms.ModelForm):
    quantity = forms.ChoiceField(label=_("Quantity"), choices=[(key, f"{key}, {unit}") for key, unit in UNITS.items()])
    unit = forms.ChoiceField(label=_("Unit"), choices=[(unit, unit) for unit in sorted(set(UNITS.values()))])
    reason = forms.CharField(label=_("Why it changes"), max_length=100, required=False)

    class Meta:
        model = ReferenceLevel
        fields = (
            "authority", "year", "exam", "modality", "quantity", "value", "unit", "indication", "band", "age_from",
            "age_below", "weight_from", "weight_below", "source", "certainty", "standard_exam", "is_watched",
        )  # fmt: skip


@admin.register(ReferenceLevel)
class ReferenceLevelAdmin(FacilityModelAdmin):
    """A change makes a new edition; the row that was opened stays as it was."""

    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_LEVELS, perms.MANAGE_LEVELS
    form = LevelForm
    list_display = [
        "authority", "year", "modality", "exam", "band", "quantity", "value", "unit", "edition", "certainty",
        "is_active",
    ]  # fmt: skip
    list_filter = ["is_active", "modality", "authority", "quantity", "is_watched"]
    search_fields = ["exam", "authority"]
    actions = [service_action(_("Withdraw"), services.withdraw_level, form=ReasonForm)]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return alert_lists.all_levels(actor=actor_of(request)).order_by("modality", "exam", "-edition")

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> ReferenceLevel:
        cleaned.pop("reason", None)
        return services.add_level(**cleaned, actor=actor)

    def service_change(self, level: ReferenceLevel, cleaned: dict[str, Any], actor: Actor) -> ReferenceLevel:
        return services.revise_level(level, **cleaned, actor=actor)


@admin.register(DoseAlertRule)
class DoseAlertRuleAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_DOSE, perms.MANAGE_ALERTS, perms.MANAGE_ALERTS
    list_display = ["kind", "modality", "role", "channel", "is_active"]
    list_filter = ["kind", "is_active"]

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> DoseAlertRule:
        return services.save_alert_rule(**cleaned, actor=actor)

    def service_change(self, rule: DoseAlertRule, cleaned: dict[str, Any], actor: Actor) -> DoseAlertRule:
        return services.save_alert_rule(rule, **cleaned, actor=actor)


@admin.register(LevelAlert)
class LevelAlertAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_DOSE
    list_display = ["created_at", "exam", "room", "quantity", "median", "limit", "unit", "patient_count", "period"]
    list_filter = ["period", "quantity"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return alert_lists.level_alerts(actor=actor_of(request))


class TellForm(forms.Form):
    told_how = forms.CharField(label=_("How the patient was told"), max_length=200)
    look_on = forms.DateField(label=_("Look at the skin on"), required=False)


class FindingForm(forms.Form):
    finding = forms.ChoiceField(label=_("What was seen"), choices=SkinFinding.choices)
    note = forms.CharField(label=_("Note"), max_length=300, required=False)


@admin.register(SkinFollowUp)
class SkinFollowUpAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_DOSE
    list_display = ["created_at", "report", "status", "told_at", "look_on", "finding"]
    list_filter = ["status", "finding"]
    actions = [
        service_action(_("Patient told"), services.tell_patient, form=TellForm),
        service_action(_("Skin looked at"), services.close_skin_follow_up, form=FindingForm),
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        return alert_lists.skin_follow_ups(actor=actor_of(request)).order_by("-pk")
