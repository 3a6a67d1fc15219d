"""Reports, versions, templates, critical results and deliveries in the administration: the services do the writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from orders.models import RequestedProcedure
from reporting import (
    admin_critical,  # noqa: F401  registers itself
    admin_delivery,  # noqa: F401  registers itself
    admin_followups,  # noqa: F401  registers itself
    admin_outside,  # noqa: F401  registers itself
    admin_reading,  # noqa: F401  registers itself
    admin_signing,  # noqa: F401  registers itself
    admin_teaching,  # noqa: F401  registers itself
    admin_templates,  # noqa: F401  registers itself
    services,
)
from reporting import permissions as perms
from reporting.admin_sections import SECTION_FIELDS, SectionsFormMixin, section_fields, sections_of
from reporting.models import (
    SECTIONS,
    DeliveryRule,
    ExternalViewer,
    ReadingLock,
    Report,
    ReportDelivery,
    ReportStatus,
    ReportVersion,
    ViewerLaunch,
)
from reporting.services.delivery_rules import save_delivery_rule
from reporting.services.launch import revoke_launch
from reporting.services.writing import READABLE
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import (
    FacilityInline,
    FacilityModelAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    sentences,
    service_action,
)
from ris.accounts.services.sign_in import require_recent_authentication
from ris.core.actor import Actor
from ris.core.errors import DomainError


class ProofForm(forms.Form):
    """Who signs says who they are, when their sign-in is too long ago."""

    password = forms.CharField(
        label=_("Your password"),
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text=_("Needed when you signed in too long ago."),
    )
    otp_token = forms.CharField(label=_("or the code of your authenticator"), required=False, max_length=8)


class AddendumForm(ProofForm):
    text = forms.CharField(label=_("Addendum"), widget=forms.Textarea(attrs={"rows": 6}))
    field_order = ("text", "password", "otp_token")


class RetractForm(ProofForm):
    reason = forms.CharField(label=_("Reason"), max_length=400)
    field_order = ("reason", "password", "otp_token")


class CorrectForm(ProofForm):
    section = forms.ChoiceField(label=_("Section"), choices=[(key, label) for key, (_l, label) in SECTIONS.items()])
    text = forms.CharField(label=_("Its new text"), widget=forms.Textarea(attrs={"rows": 6}))
    reason = forms.CharField(label=_("Reason"), max_length=400)
    field_order = ("section", "text", "reason", "password", "otp_token")


def correct_section(report: Report, *, section: str, text: str, reason: str, actor: Actor) -> Report:
    return services.correct_report(report, sections={section: text}, reason=reason, actor=actor)


def signing_action(
    label: Any, service: Callable[..., Any], *, form: type[ProofForm] = ProofForm, permission: str = perms.SIGN_REPORT
) -> Callable[..., HttpResponse | None]:
    """An action that signs: asks who is there before it calls the service."""

    def signs(report: Report, *, actor: Actor, password: str = "", otp_token: str = "", **data: Any) -> Any:
        return service(report, actor=actor, **data)

    signs.__name__ = getattr(service, "__name__", "sign")
    act = service_action(label, signs, form=form, permission=permission)

    def action(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Report]) -> HttpResponse | None:
        if "_confirmed" in request.POST:
            try:
                require_recent_authentication(
                    request, password=request.POST.get("password", ""), otp_token=request.POST.get("otp_token", "")
                )
            except DomainError as refusal:
                modeladmin.message_user(request, sentences(refusal), messages.ERROR)
                return None
        return act(modeladmin, request, queryset)

    action.__name__ = act.__name__
    action.short_description = label
    action.permission_code = permission
    return action


ReportWriteForm = type(
    "ReportWriteForm",
    (SectionsFormMixin,),
    {
        **section_fields(),
        "revision": forms.IntegerField(widget=forms.HiddenInput, required=False),
        "Meta": type("Meta", (), {"model": Report, "fields": ()}),
    },
)
ReportOpenForm = type(
    "ReportOpenForm",
    (SectionsFormMixin,),
    {**section_fields(), "Meta": type("Meta", (), {"model": Report, "fields": ("procedures",)})},
)


class ExamsField(forms.ModelMultipleChoiceField):
    """Exams named with their patient: two identifiers before anything is done."""

    def label_from_instance(self, obj: RequestedProcedure) -> str:
        return f"{obj.order.patient.display_name} · {obj.description_with_side} · {obj.accession_number}"


class VersionInline(FacilityInline):
    model = ReportVersion
    view_code = perms.VIEW_REPORT
    fields = readonly_fields = ("number", "kind", "signer_name", "signed_at", "addendum", "reason", "content_hash")
    ordering = ("number",)


class DeliveryInline(FacilityInline):
    model = ReportDelivery
    view_code = perms.VIEW_RESULT
    fields = readonly_fields = ("report_version", "channel", "destination", "recipient", "is_mandatory", "status")


@admin.register(Report)
class ReportAdmin(FacilityModelAdmin):
    """Opened, written and signed by the services; what is signed is read-only here as everywhere."""

    view_code, add_code, change_code = perms.VIEW_REPORT, perms.CLAIM_PROCEDURE, perms.WRITE_REPORT
    list_display = ("exams", "patient_name", "status", "author", "signed_by", "signed_at", "paper")
    list_filter = ("status", "language")
    search_fields = ("procedures__accession_number",)
    inlines = (VersionInline, DeliveryInline)
    actions = (
        service_action(_("Sign preliminary"), services.sign_preliminary),
        signing_action(_("Sign final"), services.sign_report),
        signing_action(_("Add an addendum"), services.add_addendum, form=AddendumForm),
        signing_action(_("Correct a section"), correct_section, form=CorrectForm),
        signing_action(_("Entered in error"), services.retract_report, form=RetractForm),
        service_action(_("Recall before delivery"), services.recall_report, form=ReasonForm),
        service_action(_("Deliver now"), services.release_now),
        signing_action(_("Co-sign"), services.co_sign),
        service_action(_("Release"), services.release_report),
        service_action(_("Take over"), services.take_over, form=ReasonForm),
        service_action(_("Discard the draft"), services.discard_report, form=ReasonForm),
    )
    shown = ("exams", "patient_name", "status", "author", "preliminary_by", "signed_by", "signed_at", "paper")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        return super().get_queryset(request).for_display()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_write = obj is None or obj.is_draft or obj.status == ReportStatus.PRELIMINARY
        return may_write and super().has_change_permission(request, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"], kwargs["fields"] = ReportOpenForm, None
        elif self.has_change_permission(request, obj):
            kwargs["form"], kwargs["fields"] = ReportWriteForm, None
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        names = tuple(SECTION_FIELDS.values())
        if obj is None:
            return ((None, {"fields": ("procedures",)}), (_("Report"), {"fields": names}))
        if self.has_change_permission(request, obj):
            return ((None, {"fields": self.shown}), (_("Report"), {"fields": (*names, "revision")}))
        return ((None, {"fields": self.shown}), (_("Report"), {"fields": ("whole_text",)}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else (*self.shown, "whole_text")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "procedures":
            readable = RequestedProcedure.objects.visible_to(actor_of(request)).filter(status__in=READABLE)
            kwargs["queryset"] = readable.select_related("order__patient").order_by("-pk")
            kwargs["form_class"] = ExamsField
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Report:
        data = dict(cleaned)
        sections = sections_of(data, filled_only=True)
        report = services.open_report(data["procedures"], actor=actor)
        if sections:
            report = services.save_report(report, sections=sections, revision=report.revision, actor=actor)
        return report

    def service_change(self, report: Report, cleaned: dict[str, Any], actor: Actor) -> Report:
        data = dict(cleaned)
        return services.save_report(report, sections=sections_of(data), revision=data.get("revision"), actor=actor)

    @admin.display(description=_("exams"))
    def exams(self, report: Report) -> str:
        return "; ".join(str(row) for row in report.procedures.all())

    @admin.display(description=_("patient"))
    def patient_name(self, report: Report) -> str:
        return report.patient.display_name if report.procedures.all() else ""

    @admin.display(description=_("text"))
    def whole_text(self, report: Report) -> str:
        words = [
            f"{label}\n{report.sections[key]}" for key, (_l, label) in SECTIONS.items() if report.sections.get(key)
        ]
        return "\n\n".join(words)

    @admin.display(description=_("paper"))
    def paper(self, report: Report) -> str:
        if not report.standing_versions:
            return "–"
        return format_html('<a href="{}">PDF</a>', reverse("report_pdf", args=[report.uuid]))


@admin.register(ReportVersion)
class ReportVersionAdmin(ReadOnlyAdmin):
    """What was signed, word for word."""

    view_code = perms.VIEW_REPORT
    list_display = ("exams", "number", "kind", "signer_name", "signed_at", "is_intact")
    list_filter = ("kind",)
    search_fields = ("report__procedures__accession_number", "content_hash")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportVersion]:
        rows = super().get_queryset(request).select_related("report", "signed_by")
        return rows.prefetch_related("report__procedures")

    @admin.display(description=_("exams"))
    def exams(self, version: ReportVersion) -> str:
        return "; ".join(row.accession_number for row in version.report.procedures.all())

    @admin.display(description=_("content check"), boolean=True)
    def is_intact(self, version: ReportVersion) -> bool:
        return version.compute_hash() == version.content_hash


@admin.register(ReportDelivery)
class ReportDeliveryAdmin(ReadOnlyAdmin):
    """The ledger."""

    view_code = perms.VIEW_RESULT
    list_display = (
        "exams",
        "version_number",
        "channel",
        "destination",
        "recipient",
        "is_mandatory",
        "status",
        "sent_at",
    )
    list_filter = ("status", "channel", "is_mandatory")
    search_fields = ("report__procedures__accession_number", "destination")
    actions = (
        service_action(_("Send again"), services.send_delivery_again),
        service_action(_("The recipient knows"), services.mark_delivery_acknowledged),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportDelivery]:
        rows = super().get_queryset(request).select_related("report", "report_version", "recipient")
        return rows.prefetch_related("report__procedures")

    @admin.display(description=_("exams"))
    def exams(self, line: ReportDelivery) -> str:
        return "; ".join(row.accession_number for row in line.report.procedures.all())

    @admin.display(description=_("version"))
    def version_number(self, line: ReportDelivery) -> int:
        return line.report_version.number


@admin.register(DeliveryRule)
class DeliveryRuleAdmin(FacilityModelAdmin):
    view_code = add_code = change_code = perms.MANAGE_DELIVERY_RULES
    list_display = ("channel", "destination", "requester", "includes_preliminary", "is_mandatory", "is_active")
    list_filter = ("channel", "is_active")
    list_select_related = ("requester",)
    fields = (
        "channel", "destination", "requester", "address", "mail_form", "password", "includes_copies",
        "includes_preliminary", "is_mandatory", "is_active",
    )  # fmt: skip

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Secrets are typed, never shown; empty keeps them."""
        if db_field.name in ("address", "password"):
            kwargs["widget"] = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        if db_field.name == "mail_form":  # of e-mails only; a link where nothing is said
            kwargs["required"] = False
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> DeliveryRule:
        return save_delivery_rule(**cleaned, actor=actor)

    def service_change(self, rule: DeliveryRule, cleaned: dict[str, Any], actor: Actor) -> DeliveryRule:
        return save_delivery_rule(DeliveryRule.objects.get(pk=rule.pk), **cleaned, actor=actor)


@admin.register(ExternalViewer)
class ExternalViewerAdmin(FacilityModelAdmin):
    """Links to OHIF, Weasis and others; the page /viewer/links/ shows what each would open."""

    view_code = add_code = change_code = perms.MANAGE_VIEWERS
    list_display = ("name", "url_template", "minutes", "position", "is_active")


@admin.register(ViewerLaunch)
class ViewerLaunchAdmin(ReadOnlyAdmin):
    """Who opened which study elsewhere, until when."""

    view_code = perms.MANAGE_VIEWERS
    list_display = ("viewer", "user", "launched_at", "expires_at", "revoked_at", "revoked_by")
    list_filter = ("viewer", "expires_at", "revoked_at")
    list_select_related = ("viewer", "user", "revoked_by")
    actions = (service_action(_("Revoke"), revoke_launch),)


@admin.register(ReadingLock)
class ReadingLockAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_READING_LIST
    list_display = ("procedure", "user", "claimed_at", "heartbeat_at")
    list_select_related = ("procedure", "user")
