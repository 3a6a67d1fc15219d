"""Packs, sheets and downtimes in the administration: made, declared and moved by the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orders import permissions as perms
from orders import services
from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, DowntimePlan
from orders.web.downtime_forms import PlanForm, pack_words
from ris.accounts.admin_base import FacilityInline, FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor


class SheetInline(FacilityInline):
    model = DowntimeForm
    view_code = perms.VIEW_DOWNTIME
    fields = readonly_fields = ("number", "accession_number", "status", "period", "void_reason")
    show_change_link = True


class PackAdminForm(forms.ModelForm):
    class Meta:
        model = DowntimePack
        fields = ("form_count", "site", "room", "language")


@admin.register(DowntimePack)
class DowntimePackAdmin(FacilityModelAdmin):
    view_code, add_code = perms.VIEW_DOWNTIME, perms.PRINT_DOWNTIME
    form = PackAdminForm
    list_display = ("code", "site", "room", "language", "form_count", "is_nightly", "print_count", "created_at")
    list_filter = ("is_nightly", "language", "site")
    list_select_related = ("site",)
    search_fields = ("number", "room")
    inlines = (SheetInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> tuple[Any, ...]:
        return self.inlines if obj is not None else ()

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> DowntimePack:
        count = cleaned.pop("form_count")
        return services.make_downtime_pack(**cleaned, count=count, actor=actor)


@admin.register(DowntimeForm)
class DowntimeFormAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_DOWNTIME
    list_display = ("label", "accession_number", "status", "period", "arrived_at", "entered_at", "entered_by")
    list_filter = ("status", "outcome")
    list_select_related = ("pack", "period", "entered_by", "procedure__order__patient")
    search_fields = ("accession_number", "study_instance_uid", "pack__number")
    actions = (
        service_action(_("Make void"), services.void_downtime_form, form=ReasonForm),
        service_action(_("Take back: it turned up"), services.restore_downtime_form),
        service_action(_("Came back blank"), services.return_blank_form),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DowntimeForm]:
        return super().get_queryset(request).select_related("pack", "procedure__order__patient")


class DeclareAdminForm(forms.ModelForm):
    packs = forms.ModelMultipleChoiceField(
        label=_("Packs that were taken out"), queryset=DowntimePack.objects.all(), required=False
    )

    class Meta:
        model = DowntimePeriod
        fields = ("reason", "started_at", "site")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "packs" in self.fields:
            self.fields["packs"].label_from_instance = pack_words


@admin.register(DowntimePeriod)
class DowntimePeriodAdmin(FacilityModelAdmin):
    view_code, add_code = perms.VIEW_DOWNTIME, perms.DECLARE_DOWNTIME
    list_display = ("reason", "site", "status", "started_at", "ended_at", "closed_at", "declared_by")
    list_filter = ("status", "site")
    list_select_related = ("site", "declared_by")
    search_fields = ("reason",)
    readonly_fields = ("status", "ended_at", "closed_at", "declared_by", "closed_by", "blank_count")
    actions = (
        service_action(_("It works again"), services.end_downtime),
        service_action(_("It is down again"), services.resume_downtime),
        service_action(_("Close"), services.close_downtime),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = DeclareAdminForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return super().get_readonly_fields(request, obj) if obj is not None else ("status",)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> DowntimePeriod:
        packs = DowntimePack.objects.visible_to(actor).filter(pk__in=[pack.pk for pack in cleaned.pop("packs")])
        return services.declare_downtime(**cleaned, packs=packs, actor=actor)


@admin.register(DowntimePlan)
class DowntimePlanAdmin(FacilityModelAdmin):
    view_code, change_code = perms.VIEW_DOWNTIME, perms.DECLARE_DOWNTIME
    form = PlanForm
    list_display = ("__str__", "forms_per_pack", "language", "is_nightly", "night_hour", "last_night_at")
    readonly_fields = ("last_night_at", "last_night_folder")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DowntimePlan]:
        services.downtime_plan()
        return super().get_queryset(request)

    def service_change(self, plan: DowntimePlan, cleaned: dict[str, Any], actor: Actor) -> DowntimePlan:
        return services.change_downtime_plan(**cleaned, actor=actor)
