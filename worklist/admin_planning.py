"""Shifts, closures, reserved time, the waiting list and series in the administration, over the same services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from orders.models import RequestedProcedure
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import (
    FacilityInline,
    FacilityModelAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    service_action,
    visible,
)
from ris.accounts.models import User
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist import services
from worklist.models import (
    AppointmentSeries,
    Closure,
    Reservation,
    ReservedTime,
    Shift,
    Skill,
    SkillRequirement,
    SlotOffer,
    StaffProfile,
    WaitingEntry,
)
from worklist.selectors import planning
from worklist.services.steps import BOOKABLE
from worklist.services.waiting import WISHES


class OptionalReasonForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=200, required=False)


# --- people


class SkillRequirementInline(FacilityInline):
    model = SkillRequirement
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    autocomplete_fields = ("catalogue",)


@admin.register(Skill)
class SkillAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_ROOMS
    list_display = ("name", "code")
    search_fields = ("name", "code")
    inlines = (SkillRequirementInline,)


class PeopleMixin:
    """Only people who work here can be chosen."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("user", "technologist"):
            kwargs["queryset"] = User.objects.filter(is_active=True, is_service=False)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(StaffProfile)
class StaffProfileAdmin(PeopleMixin, FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.PLAN_STAFF
    fields = ("user", "sex", "skills")
    list_display = ("user", "sex")
    list_filter = ("sex", "skills")
    list_select_related = ("user",)
    search_fields = ("user__family_name", "user__given_name", "user__username")
    filter_horizontal = ("skills",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if obj is None else (*fixed, "user")

    def service_create(self, data: dict[str, Any], actor: Actor) -> StaffProfile:
        return services.set_staff_profile(data["user"], sex=data["sex"], skills=data["skills"], actor=actor)

    def service_change(self, profile: StaffProfile, data: dict[str, Any], actor: Actor) -> StaffProfile:
        return services.set_staff_profile(profile.user, sex=data["sex"], skills=data["skills"], actor=actor)


@admin.register(Shift)
class ShiftAdmin(PeopleMixin, FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.PLAN_STAFF
    fields = ("technologist", "room", "station", "starts_at", "ends_at", "note")
    list_display = ("starts_at", "ends_at", "technologist", "room", "station", "withdrawn_at")
    list_filter = ("room", ("starts_at", admin.DateFieldListFilter), ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("technologist", "room", "station")
    search_fields = ("technologist__family_name", "technologist__given_name", "technologist__username")
    date_hierarchy = "starts_at"
    actions = (service_action(_("Withdraw"), services.withdraw_shift, form=OptionalReasonForm),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if obj is None else (*fixed, "technologist")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.withdrawn_at is not None:
            return False
        return super().has_change_permission(request, obj)

    def service_create(self, data: dict[str, Any], actor: Actor) -> Shift:
        return services.plan_shift(**data, actor=actor)

    def service_change(self, shift: Shift, data: dict[str, Any], actor: Actor) -> Shift:
        return services.change_shift(shift, **data, actor=actor)

    def save_model(self, request: HttpRequest, obj: Shift, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for warning in getattr(obj, "warnings", ()):
            self.message_user(request, warning, "WARNING")


# --- closed and kept time


class OnceOnlyMixin:
    """Made, looked at and withdrawn; what was agreed is not rewritten."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)


@admin.register(Closure)
class ClosureAdmin(OnceOnlyMixin, FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.CLOSE_ROOM
    fields = ("room", "site", "kind", "starts_at", "ends_at", "reason")
    list_display = ("starts_at", "ends_at", "place", "kind", "reason", "withdrawn_at")
    list_filter = ("kind", "room", "site", ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("room", "site")
    search_fields = ("reason",)
    date_hierarchy = "starts_at"
    actions = (service_action(_("Open again"), services.withdraw_closure, form=OptionalReasonForm),)

    def service_create(self, data: dict[str, Any], actor: Actor) -> Closure:
        return services.close_time(**data, actor=actor)

    def save_model(self, request: HttpRequest, obj: Closure, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if getattr(obj, "affected", 0):
            words = _("Appointments in that time that must be moved: %(n)d.") % {"n": obj.affected}
            self.message_user(request, words, "WARNING")


@admin.register(ReservedTime)
class ReservedTimeAdmin(OnceOnlyMixin, FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.CLOSE_ROOM
    fields = (
        "room",
        "weekday",
        "begins",
        "ends",
        "kept_for",
        "purpose",
        "opens_minutes_before",
        "valid_from",
        "valid_until",
    )
    list_display = ("room", "weekday_name", "begins", "ends", "kept_for", "purpose", "valid_until", "withdrawn_at")
    list_filter = ("room", "kept_for", ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("room",)
    actions = (service_action(_("Open to all again"), services.withdraw_reserved_time),)

    @admin.display(description=_("weekday"), ordering="weekday")
    def weekday_name(self, kept: ReservedTime) -> str:
        return str(WEEKDAYS[kept.weekday])

    def service_create(self, data: dict[str, Any], actor: Actor) -> ReservedTime:
        return services.reserve_time(data.pop("room"), **data, actor=actor)


# --- the waiting list


class WaitingForm(forms.ModelForm):
    weekdays = forms.TypedMultipleChoiceField(
        label=_("Weekdays"),
        choices=list(WEEKDAYS.items()),
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = WaitingEntry
        fields = ("procedure", *WISHES)


@admin.register(WaitingEntry)
class WaitingEntryAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_SCHEDULE
    add_code = change_code = perms.BOOK_APPOINTMENT
    form = WaitingForm
    list_display = ("procedure", "status", "priority", "earliest", "latest", "room", "keeps_appointment", "created_at")
    list_filter = ("status", "priority", "room")
    list_select_related = ("procedure", "room")
    search_fields = (
        "procedure__accession_number",
        "procedure__order__patient__family_name",
        "procedure__order__patient__given_name",
        "procedure__order__patient__identifiers__value",
    )
    autocomplete_fields = ("procedure",)
    actions = (service_action(_("Take from the list"), services.withdraw_waiting_entry, form=ReasonForm),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if obj is None else (*fixed, "procedure")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.status not in ("waiting", "offered"):
            return False
        return super().has_change_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "procedure":
            kwargs["queryset"] = visible(RequestedProcedure, actor_of(request)).filter(status__in=BOOKABLE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def service_create(self, data: dict[str, Any], actor: Actor) -> WaitingEntry:
        return services.add_to_waiting_list(data.pop("procedure"), **data, actor=actor)

    def service_change(self, entry: WaitingEntry, data: dict[str, Any], actor: Actor) -> WaitingEntry:
        stored = WaitingEntry.objects.get(pk=entry.pk)
        return services.change_waiting_entry(stored, **{name: data[name] for name in WISHES}, actor=actor)


@admin.register(SlotOffer)
class SlotOfferAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_SCHEDULE
    list_display = ("starts_at", "room", "entry", "status", "expires_at", "reason")
    list_filter = ("status", "room")
    list_select_related = ("room", "entry__procedure")
    search_fields = (
        "entry__procedure__accession_number",
        "entry__procedure__order__patient__family_name",
        "entry__procedure__order__patient__identifiers__value",
    )
    actions = (
        service_action(_("Accept"), services.accept_offer),
        service_action(_("Decline"), services.decline_offer, form=OptionalReasonForm),
    )


# --- series


class SeriesAppointmentInline(FacilityInline):
    model = Reservation
    verbose_name_plural = _("appointments")
    view_code = perms.VIEW_SCHEDULE
    fields = ("starts_at", "ends_at", "room", "procedure", "status")
    readonly_fields = fields


@admin.register(AppointmentSeries)
class AppointmentSeriesAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_SCHEDULE
    list_display = ("created_at", "kind", "wanted", "every_days", "gap_minutes")
    list_filter = ("kind",)
    inlines = (SeriesAppointmentInline,)
    actions = (service_action(_("Cancel what is to come"), services.cancel_series, form=ReasonForm),)

    def get_queryset(self, request: HttpRequest) -> Any:
        return planning.series(actor=actor_of(request))
