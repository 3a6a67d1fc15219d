"""Payers, prices, coverage, authorisations, charges, codes, invoices and payments in the administration."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from orders import permissions as perms
from orders import services
from orders.models import (
    BillingCode,
    Charge,
    Coverage,
    Invoice,
    InvoiceLine,
    PayerScheme,
    Payment,
    PaymentAllocation,
    PaymentMethod,
    PreAuthorisation,
    PriceItem,
)
from ris.accounts.admin_base import (
    FacilityInline,
    FacilityModelAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    service_action,
)
from ris.core.actor import Actor


class LastDayForm(forms.Form):
    on = forms.DateField(label=_("The last day"), required=False, help_text=_("Empty: today."))


class EndForm(ReasonForm):
    on = forms.DateField(label=_("The last day"), required=False, help_text=_("Empty: today."))


class CreditForm(ReasonForm):
    is_rebilled = forms.BooleanField(label=_("Its charges are to be invoiced anew"), required=False)


class RefundForm(ReasonForm):
    amount = forms.DecimalField(label=_("Amount"), max_digits=12, decimal_places=2)
    method = forms.ChoiceField(label=_("Method"), choices=PaymentMethod.choices)
    reference = forms.CharField(label=_("Reference"), max_length=64, required=False)


@admin.register(PayerScheme)
class PayerSchemeAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_CHARGE, perms.MANAGE_PRICES, perms.MANAGE_PRICES
    list_display = ("code", "name", "kind", "default_share", "needs_preauthorisation", "terms_days", "is_active")
    list_filter = ("kind", "needs_preauthorisation", "is_active")
    search_fields = ("code", "name")
    fields = (
        "code",
        "name",
        "kind",
        "default_share",
        "needs_preauthorisation",
        "terms_days",
        "address",
        "is_active",
    )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or self._may(request, perms.MANAGE_PRICES)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> PayerScheme:
        return services.save_scheme(**cleaned, actor=actor)

    def service_change(self, scheme: PayerScheme, cleaned: dict[str, Any], actor: Actor) -> PayerScheme:
        return services.save_scheme(scheme, **cleaned, actor=actor)


class PriceForm(forms.ModelForm):
    class Meta:
        model = PriceItem
        fields = (
            "code",
            "label",
            "kind",
            "catalogue",
            "consumable_code",
            "unit",
            "scheme",
            "amount",
            "valid_from",
            "valid_to",
        )

    def _get_validation_exclusions(self) -> set[str]:
        """The price before may have to end first: the service makes room, so overlaps are its word."""
        return {*super()._get_validation_exclusions(), "scheme"}


@admin.register(PriceItem)
class PriceItemAdmin(FacilityModelAdmin):
    """A price is set for a time; another one is another row."""

    view_code, add_code, change_code = perms.VIEW_CHARGE, perms.MANAGE_PRICES, ""
    list_display = ("code", "label", "kind", "scheme", "catalogue", "amount", "currency", "valid_from", "valid_to")
    list_filter = ("kind", "scheme", "currency", "is_active")
    list_select_related = ("catalogue", "scheme")
    search_fields = ("code", "label")
    autocomplete_fields = ("catalogue",)
    form = PriceForm
    actions = (service_action(_("End"), services.end_price, form=LastDayForm),)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or self._may(request, perms.MANAGE_PRICES)

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> PriceItem:
        return services.set_price(**cleaned, actor=actor)


@admin.register(Coverage)
class CoverageAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.MANAGE_COVERAGE, perms.MANAGE_COVERAGE, ""
    list_display = ("patient", "scheme", "member_number", "share", "rank", "valid_from", "valid_to", "withdrawn_at")
    list_filter = ("scheme",)
    list_select_related = ("patient", "scheme")
    search_fields = ("member_number__iexact",)
    autocomplete_fields = ("patient",)
    fields = ("patient", "scheme", "member_number", "holder_name", "share", "rank", "valid_from", "valid_to")
    actions = (
        service_action(_("End"), services.end_coverage, form=EndForm),
        service_action(_("Recorded by mistake"), services.withdraw_coverage, form=ReasonForm),
    )

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Coverage:
        return services.add_coverage(cleaned.pop("patient"), **cleaned, actor=actor)


@admin.register(PreAuthorisation)
class PreAuthorisationAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.MANAGE_COVERAGE, perms.MANAGE_COVERAGE, ""
    list_display = ("procedure", "coverage", "number", "amount", "expires_on", "status")
    list_filter = ("status", "coverage__scheme")
    list_select_related = ("procedure__order__patient", "coverage__scheme")
    search_fields = ("number", "procedure__accession_number")
    autocomplete_fields = ("procedure", "coverage")
    fields = ("procedure", "coverage", "number", "amount", "expires_on")
    actions = (
        service_action(_("The payer refused"), services.refuse_authorisation, form=ReasonForm),
        service_action(_("Withdraw"), services.withdraw_authorisation, form=ReasonForm),
    )

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> PreAuthorisation:
        return services.record_authorisation(cleaned.pop("procedure"), **cleaned, actor=actor)


@admin.register(Charge)
class ChargeAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_CHARGE
    list_display = ("code", "label", "procedure", "quantity", "amount", "currency", "status", "created_at")
    list_filter = ("status", "kind", "currency")
    list_select_related = ("procedure__order__patient",)
    search_fields = ("code", "label", "procedure__accession_number")
    actions = (
        service_action(_("Confirm"), services.confirm_charge),
        service_action(_("Mark as billed elsewhere"), services.bill_charge),
        service_action(_("Void"), services.void_charge, form=ReasonForm),
    )


@admin.register(BillingCode)
class BillingCodeAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_CHARGE
    list_display = ("code", "text", "system", "procedure", "position", "withdrawn_at")
    list_filter = ("system",)
    list_select_related = ("procedure__order__patient",)
    search_fields = ("code", "text", "procedure__accession_number")


class LineInline(FacilityInline):
    model = InvoiceLine
    view_code = perms.VIEW_INVOICE
    fields = readonly_fields = ("position", "charge", "amount")


class AllocationInline(FacilityInline):
    model = PaymentAllocation
    view_code = perms.VIEW_INVOICE
    fields = readonly_fields = ("payment", "invoice", "amount")


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    """Never changed; corrected by a credit note."""

    view_code = perms.VIEW_INVOICE
    list_display = ("number", "kind", "patient_name", "scheme", "total", "paid", "credited", "currency", "status")
    list_filter = ("kind", "status", "scheme")
    list_select_related = ("order__patient", "scheme")
    date_hierarchy = "issued_at"
    search_fields = ("number", "order__filler_order_number")
    inlines = (LineInline, AllocationInline)
    actions = (
        service_action(_("Take back by a credit note"), services.credit_invoice, form=CreditForm),
        service_action(_("Give money back"), services.refund_payment, form=RefundForm),
    )

    @admin.display(description=_("patient"))
    def patient_name(self, row: Invoice) -> str:
        return row.order.patient.display_name


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_INVOICE
    list_display = ("number", "kind", "method", "amount", "currency", "reference", "received_at", "received_by")
    list_filter = ("kind", "method")
    list_select_related = ("received_by",)
    date_hierarchy = "received_at"
    search_fields = ("number", "reference__iexact")
    inlines = (AllocationInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        return super().get_queryset(request).prefetch_related("allocations__invoice__order__patient")
