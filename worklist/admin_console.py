"""What the technologist writes down, in the administration: read by exam, changed by the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orders.models import RequestedProcedure
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, service_action, visible
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist import services
from worklist.codes import REJECT_REASONS
from worklist.models import (
    AdverseEvent,
    ConsumableUse,
    ExamCompletion,
    Exposure,
    ImageCount,
    Product,
    RejectedExposure,
    TechnologistNote,
    TimeOut,
)

PATIENT_SEARCH = (
    "procedure__accession_number",
    "procedure__order__patient__family_name",
    "procedure__order__patient__given_name",
    "procedure__order__patient__identifiers__value",
)


class OfExamAdmin(FacilityModelAdmin):
    """A row that hangs on an exam: visible as far as the exam is; written where ``typed`` names its fields."""

    view_code = perms.VIEW_STEP
    search_fields = PATIENT_SEARCH
    list_select_related = ("procedure",)
    typed: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        exams = visible(RequestedProcedure, actor_of(request)).values("pk")
        return super().get_queryset(request).filter(procedure__in=exams)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return ["procedure", *self.typed]
        return [field.name for field in self.model._meta.fields if field.name not in ("id", "uuid", "version")]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return super().get_readonly_fields(request, obj)
        return tuple(name for name in self.get_fields(request, obj) if name not in self.typed or not self.change_code)

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("procedure",)


def _typed(data: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: data[name] for name in names if name in data}


class Written(OfExamAdmin):
    """Typed here as on the console, by the same services."""

    add_code = change_code = perms.PERFORM_STEP
    recorded: Any
    changed: Any

    def service_create(self, data: dict[str, Any], actor: Actor) -> Any:
        return type(self).recorded(data["procedure"], **_typed(data, self.typed), actor=actor)

    def service_change(self, row: Any, data: dict[str, Any], actor: Actor) -> Any:
        stored = self.model._default_manager.get(pk=row.pk)
        return type(self).changed(stored, **_typed(data, self.typed), actor=actor)


@admin.register(ConsumableUse)
class ConsumableUseAdmin(Written):
    list_display = ("procedure", "label", "kind", "quantity", "unit", "lot", "expires_on", "used_at", "withdrawn_at")
    list_filter = ("kind", "has_extravasated", "used_at")
    typed = (
        "product", "label", "kind", "quantity", "unit", "rate", "lot", "expires_on", "route", "given_by",
        "has_extravasated", "used_at",
    )  # fmt: skip
    recorded = staticmethod(services.record_consumable)
    changed = staticmethod(services.correct_consumable)
    actions = (service_action(_("Cross out"), services.withdraw_consumable),)


@admin.register(Exposure)
class ExposureAdmin(Written):
    list_display = ("procedure", "view", "count", "kvp", "mas", "dap", "recorded_at", "withdrawn_at")
    list_filter = ("station", "recorded_at")
    typed = ("view", "laterality", "count", "kvp", "mas", "dap", "fluoroscopy_seconds")
    recorded = staticmethod(services.record_exposure)
    changed = staticmethod(services.change_exposure)
    actions = (service_action(_("Cross out"), services.withdraw_exposure),)


@admin.register(AdverseEvent)
class AdverseEventAdmin(Written):
    list_display = ("procedure", "kind", "severity", "outcome", "happened_at", "withdrawn_at")
    list_filter = ("kind", "severity", "outcome")
    typed = ("kind", "severity", "description", "treatment", "outcome", "happened_at")
    recorded = staticmethod(services.record_adverse_event)
    changed = staticmethod(services.change_adverse_event)
    actions = (service_action(_("Cross out"), services.withdraw_adverse_event),)


class RejectForm(forms.ModelForm):
    reason_code = forms.ChoiceField(label=_("reason"), choices=list(REJECT_REASONS.items()))


@admin.register(RejectedExposure)
class RejectedExposureAdmin(OfExamAdmin):
    add_code = perms.PERFORM_STEP
    form = RejectForm
    list_display = ("procedure", "station", "reason_code", "view", "count", "is_repeated", "made_by", "recorded_at")
    list_filter = ("reason_code", "station", "is_repeated")
    typed = ("reason_code", "view", "count", "is_repeated", "made_by", "note")
    actions = (service_action(_("Cross out"), services.withdraw_reject, permission=perms.PERFORM_STEP),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else tuple(self.get_fields(request, obj))

    def service_create(self, data: dict[str, Any], actor: Actor) -> RejectedExposure:
        return services.record_reject(data["procedure"], **_typed(data, self.typed), actor=actor)


@admin.register(ImageCount)
class ImageCountAdmin(OfExamAdmin):
    add_code = perms.PERFORM_STEP
    list_display = ("procedure", "count", "recorded_at", "recorded_by")
    typed = ("count",)

    def service_create(self, data: dict[str, Any], actor: Actor) -> ImageCount:
        return services.count_images(data["procedure"], count=data["count"], actor=actor)


@admin.register(ExamCompletion)
class ExamCompletionAdmin(OfExamAdmin):
    list_display = ("procedure", "recorded_at", "recorded_by", "missing", "explanation")


@admin.register(TimeOut)
class TimeOutAdmin(OfExamAdmin):
    list_display = ("procedure", "done_at", "done_by", "is_wristband_verified")
    list_filter = ("is_wristband_verified", "done_at")


@admin.register(TechnologistNote)
class TechnologistNoteAdmin(OfExamAdmin):
    list_display = ("procedure", "is_as_protocolled", "deviation_reason", "written_at", "written_by")
    list_filter = ("is_as_protocolled", "deviation_reason")


@admin.register(Product)
class ProductAdmin(FacilityModelAdmin):
    view_code = perms.VIEW_ROOM
    add_code = change_code = perms.MANAGE_PRODUCTS
    list_display = ("name", "code", "kind", "gtin", "unit", "is_active")
    list_filter = ("kind", "is_active")
    search_fields = ("name", "code", "gtin")

    def service_create(self, data: dict[str, Any], actor: Actor) -> Product:
        return services.save_product(None, **data, actor=actor)

    def service_change(self, product: Product, data: dict[str, Any], actor: Actor) -> Product:
        return services.save_product(Product.objects.get(pk=product.pk), **data, actor=actor)
