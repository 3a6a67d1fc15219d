"""Critical results in the administration: alerts with their log, the site's categories and chains, its displays."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from reporting import permissions as perms
from reporting import services
from reporting.models import (
    AlertCategory,
    AnswerLink,
    ContactAttempt,
    CriticalResult,
    EscalationRule,
    EscalationStep,
    FindingChoice,
    WallDisplay,
)
from reporting.services.critical_setup import prepare_display, revoke_display, save_category
from reporting.web.forms import CHANNELS
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityInline, FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor
from ris.notifications.models import Channel


class ContactForm(forms.Form):
    person = forms.CharField(label=_("Who"), max_length=120)
    channel = forms.ChoiceField(label=_("How"), choices=CHANNELS)
    outcome = forms.ChoiceField(
        label=_("Outcome"),
        choices=[
            ("reached", _("Reached")),
            ("no_answer", _("No answer")),
            ("busy", _("Busy")),
            ("message", _("Left a message")),
        ],
    )
    read_back = forms.BooleanField(label=_("Read back and correct"), required=False)
    acknowledges = forms.BooleanField(label=_("Acknowledges it and acts on it"), required=False)
    note = forms.CharField(label=_("Note"), max_length=200, required=False)


class AttemptInline(FacilityInline):
    model = ContactAttempt
    view_code = perms.VIEW_CRITICAL
    fields = readonly_fields = (
        "at", "channel", "person", "duty", "outcome", "read_back", "acknowledges", "note", "level", "by",
    )  # fmt: skip


class StepInline(FacilityInline):
    model = EscalationStep
    view_code = perms.VIEW_CRITICAL
    fields = readonly_fields = ("round", "level", "contact", "cause", "people", "messages", "problem", "due_at", "at")


@admin.register(CriticalResult)
class CriticalResultAdmin(FacilityModelAdmin):
    view_code, add_code = perms.VIEW_CRITICAL, perms.RAISE_CRITICAL
    list_display = (
        "accession_number", "patient_name", "category_name", "finding", "status", "due_at", "escalation_level",
    )  # fmt: skip
    list_filter = ("status", "category", "alert_category")
    list_select_related = ("procedure__order__patient", "alert_category")
    search_fields = ("procedure__accession_number",)
    fields = ("procedure", "category", "finding")
    autocomplete_fields = ("procedure",)
    inlines = (StepInline, AttemptInline)
    actions = (
        service_action(_("Log a contact"), services.log_contact, form=ContactForm),
        service_action(_("Acknowledge"), services.acknowledge_critical),
        service_action(_("Escalate now"), services.escalate, permission=perms.COMMUNICATE_CRITICAL, at_once=True),
        service_action(_("Withdraw"), services.withdraw_critical, form=ReasonForm),
        service_action(_("Open again"), services.reopen_critical, form=ReasonForm),
        service_action(_("Close"), services.close_critical),
    )
    shown = (
        "procedure", "report", "category", "alert_category", "finding", "status", "found_at", "due_at", "raised_by",
        "communicated_at", "round", "escalation_level", "next_escalation_at", "unreached_since", "retell_since",
        "acknowledged_by", "acknowledged_name", "acknowledged_via", "acknowledged_at", "withdrawn_reason",
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ((None, {"fields": self.fields if obj is None else self.shown}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.shown

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> CriticalResult:
        return services.raise_critical_result(**cleaned, actor=actor)

    @admin.display(description=_("patient"))
    def patient_name(self, critical: CriticalResult) -> str:
        return critical.procedure.order.patient.display_name

    @admin.display(description=_("category"), ordering="category")
    def category_name(self, critical: CriticalResult) -> str:
        return critical.category_name


@admin.register(ContactAttempt)
class ContactAttemptAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_CRITICAL
    list_display = ("at", "critical_result", "channel", "person", "outcome", "read_back", "by")
    list_filter = ("outcome", "channel")
    list_select_related = ("critical_result__alert_category", "by")


@admin.register(EscalationStep)
class EscalationStepAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_CRITICAL
    list_display = ("at", "critical_result", "level", "contact", "cause", "people", "messages", "problem")
    list_filter = ("cause", "problem")
    list_select_related = ("critical_result__alert_category",)
    date_hierarchy = "at"


@admin.register(AnswerLink)
class AnswerLinkAdmin(ReadOnlyAdmin):
    """Who was sent a link, and whether it was opened and used; the link itself is nowhere to be read."""

    view_code = perms.VIEW_CRITICAL
    list_display = ("created_at", "critical_result", "recipient_name", "level", "opened_at", "used_at", "expires_at")
    list_select_related = ("critical_result__alert_category",)
    fields = readonly_fields = (
        "critical_result", "recipient", "recipient_name", "round", "level", "code_channel", "codes_sent", "created_at",
        "expires_at", "opened_at", "used_at",
    )  # fmt: skip


class FindingInline(FacilityInline):
    model = FindingChoice
    view_code = perms.VIEW_CRITICAL
    add_code = change_code = perms.MANAGE_CRITICAL
    fields = ("text", "modality", "position", "is_active")
    show_change_link = False


class RuleForm(forms.ModelForm):
    channels = forms.MultipleChoiceField(
        label=_("channels"), choices=Channel.choices, widget=forms.CheckboxSelectMultiple, initial=list(Channel.values)
    )

    class Meta:
        model = EscalationRule
        fields = ("level", "contact", "wait_minutes", "channels", "is_active")


class RuleInline(FacilityInline):
    model = EscalationRule
    form = RuleForm
    view_code = perms.VIEW_CRITICAL
    add_code = change_code = perms.MANAGE_CRITICAL
    show_change_link = False


@admin.register(AlertCategory)
class AlertCategoryAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_CRITICAL, perms.MANAGE_CRITICAL, perms.MANAGE_CRITICAL
    list_display = ("name", "code", "severity", "minutes", "needs_read_back", "is_active")
    list_filter = ("is_active", "severity")
    fields = (
        "code", "name", "severity", "minutes", "needs_read_back", "tone", "icon", "is_solid", "position", "is_active",
    )  # fmt: skip
    inlines = (RuleInline, FindingInline)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> AlertCategory:
        return save_category(actor=actor, **cleaned)

    def service_change(self, category: AlertCategory, cleaned: dict[str, Any], actor: Actor) -> AlertCategory:
        return save_category(category, actor=actor, **cleaned)


@admin.register(WallDisplay)
class WallDisplayAdmin(FacilityModelAdmin):
    view_code = add_code = perms.MANAGE_DISPLAYS
    list_display = ("label", "seen_at", "expires_at", "revoked_at", "made_by")
    list_select_related = ("made_by",)
    fields = ("label",)
    actions = (service_action(_("Revoke"), revoke_display),)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:
        display, code = prepare_display(label=form.cleaned_data["label"], actor=actor_of(request))
        obj.__dict__.update(display.__dict__)
        request.saved_by_service = True
        words = _t("Type %(code)s on the screen at /sign-in/display/, within 15 minutes.") % {"code": code}
        self.message_user(request, words, messages.SUCCESS)
