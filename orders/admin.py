"""Patients, orders, catalogue, charges and documents in the administration: the services do the writing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

import orders.admin_billing
import orders.admin_downtime  # noqa: F401
from orders import permissions as perms
from orders import selectors, services
from orders.admin_identity import IDENTITY_ACTIONS, EmergencyMixin
from orders.models import (
    AccessionNumber,
    CatalogueProcedure,
    Document,
    IdentifierType,
    Inquiry,
    Laterality,
    Order,
    Patient,
    PatientAlert,
    PatientIdentifier,
    PatientMerge,
    PatientUserObjectPermission,
    Preparation,
    ProcedureCode,
    RequestedProcedure,
    Visit,
)
from orders.services import ProcedureRequest
from orders.validation import Errors, short_string
from orders.web.actions import replace_exam
from orders.web.forms import (
    AcceptForm,
    AnswerForm,
    AskForm,
    ChangeExamForm,
    CodedReasonForm,
    HoldForm,
    ProtocolForm,
    ReleaseForm,
    ReopenForm,
    ReplaceForm,
    ReturnForm,
)
from orders.web.patient_forms import BirthDateField, WithBirthDate
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import (
    FacilityInline,
    FacilityModelAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    service_action,
)
from ris.accounts.models import User
from ris.core.actor import Actor

EXAM_LINES = 4
DEMOGRAPHICS = (
    "family_name",
    "given_name",
    "middle_name",
    "prefix",
    "suffix",
    "ideographic_name",
    "phonetic_name",
    "birth_date",
    "birth_date_is_estimated",
    "sex",
    "phone",
    "email",
    "address",
    "language",
    "next_of_kin",
    "weight_kg",
    "height_m",
    "identity_is_unverified",
    "is_deceased",
)


class PatientAdminForm(WithBirthDate, forms.ModelForm):
    birth_date = BirthDateField()
    new_identifier = forms.CharField(label=_("Another number"), max_length=64, required=False)
    new_identifier_type = forms.ChoiceField(label=_("Kind"), choices=IdentifierType.choices, required=False)
    new_identifier_issuer = forms.CharField(label=_("Issued by"), max_length=64, required=False)

    class Meta:
        model = Patient
        fields = DEMOGRAPHICS


class GrantForm(forms.Form):
    user = forms.ModelChoiceField(label=_("Person"), queryset=User.objects.filter(is_active=True, is_service=False))


class IdentifierInline(FacilityInline):
    model = PatientIdentifier
    view_code = perms.VIEW_PATIENT
    fields = readonly_fields = ("value", "issuer", "type", "use")


class AlertInline(FacilityInline):
    model = PatientAlert
    view_code = perms.VIEW_PATIENT
    fields = readonly_fields = ("kind", "text", "is_active", "noted_at")


@admin.register(Patient)
class PatientAdmin(EmergencyMixin, FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_PATIENT, perms.REGISTER_PATIENT, perms.UPDATE_PATIENT
    form = PatientAdminForm
    list_display = ("display_name", "number", "birth_date", "sex", "phone", "is_restricted", "merged_into")
    list_filter = ("sex", "is_restricted", "identity_is_unverified")
    list_select_related = ("merged_into",)
    search_fields = ("family_name", "identifiers__value")
    search_help_text = _("Parts of the name, a phone number or any number")
    readonly_fields = ("is_restricted", "merged_into", "merged_at", "created_at")
    inlines = (IdentifierInline, AlertInline)
    actions = (
        service_action(_("Restrict"), services.set_restricted, form=ReasonForm, is_restricted=True),
        service_action(_("Open again for all"), services.set_restricted, form=ReasonForm, is_restricted=False),
        service_action(_("Give a person access"), services.grant_access, form=GrantForm),
        service_action(_("Take a person's access away"), services.withdraw_access, form=GrantForm),
        *IDENTITY_ACTIONS,
    )
    fieldsets = (
        (None, {"fields": DEMOGRAPHICS[:10]}),
        (_("Reached by"), {"fields": DEMOGRAPHICS[10:15]}),
        (_("Numbers"), {"fields": ("new_identifier", "new_identifier_type", "new_identifier_issuer")}),
        (_("Other"), {"fields": (*DEMOGRAPHICS[15:], "is_restricted", "merged_into", "merged_at", "created_at")}),
    )

    @admin.display(description=_("number"))
    def number(self, patient: Patient) -> str:
        return str(patient.primary_identifier or "")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patient]:
        return super().get_queryset(request).prefetch_related("identifiers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Patient], search_term: str
    ) -> tuple[QuerySet[Patient], bool]:
        if not search_term.strip():
            return queryset, False
        found = selectors.search_patients(search_term, actor=actor_of(request))
        return queryset.filter(pk__in=found.values("pk")), False

    @staticmethod
    def _fields(cleaned: dict[str, Any]) -> dict[str, Any]:
        data = dict(cleaned)
        number, kind, issuer = (data.pop(f"new_identifier{part}", "") for part in ("", "_type", "_issuer"))
        data.pop("is_restricted", None)
        if number:
            data["identifiers"] = [{"value": number, "type": kind, "issuer": issuer}]
        return data

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Patient:
        fields = self._fields(cleaned)
        is_deceased = fields.pop("is_deceased", False)
        patient = services.register_patient(**fields, actor=actor)
        return services.update_patient(patient, is_deceased=True, actor=actor) if is_deceased else patient

    def service_change(self, patient: Patient, cleaned: dict[str, Any], actor: Actor) -> Patient:
        return services.update_patient(patient, **self._fields(cleaned), actor=actor)


class OrderAdminForm(forms.ModelForm):
    class Meta:
        model = Order
        fields = (
            "patient",
            "priority",
            "patient_class",
            "indication",
            "clinical_information",
            "requester",
            "copies_to",
            "site",
            "transport",
            "isolation",
            "location",
        )


def _add_form() -> type[OrderAdminForm]:
    """The form of a new order: with lines for the exams."""
    lines: dict[str, Any] = {}
    for number in range(1, EXAM_LINES + 1):
        lines[f"exam_{number}"] = forms.ModelChoiceField(
            label=_("Exam %(number)d") % {"number": number},
            queryset=CatalogueProcedure.objects.filter(is_active=True),
            required=number == 1,
        )
        lines[f"side_{number}"] = forms.ChoiceField(label=_("Side"), choices=Laterality.choices, required=False)
    return type("NewOrderAdminForm", (OrderAdminForm,), lines)


class ProcedureInline(FacilityInline):
    model = RequestedProcedure
    view_code = perms.VIEW_ORDER
    fields = readonly_fields = ("accession_number", "description", "laterality", "status", "protocol")


@admin.register(Order)
class OrderAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_ORDER, perms.CREATE_ORDER, perms.CHANGE_ORDER
    form = OrderAdminForm
    list_display = ("filler_order_number", "patient", "priority", "status", "requester", "site", "ordered_at")
    list_filter = ("status", "priority", "patient_class", "site")
    list_select_related = ("patient", "requester", "site")
    date_hierarchy = "ordered_at"
    search_fields = ("filler_order_number", "placer_order_number", "procedures__accession_number")
    autocomplete_fields = ("patient",)
    readonly_fields = ("status", "filler_order_number", "placer_order_number", "placer_issuer", "ordered_at", "source")
    inlines = (ProcedureInline,)
    actions = (service_action(_("Cancel the orders"), services.cancel_order, form=CodedReasonForm),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = _add_form()
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = OrderAdminForm.Meta.fields
        if obj is not None:
            return ((None, {"fields": (*fields, *self.readonly_fields)}),)
        lines = tuple((f"exam_{number}", f"side_{number}") for number in range(1, EXAM_LINES + 1))
        return ((None, {"fields": ("patient",)}), (_("Exams"), {"fields": lines}), (None, {"fields": fields[1:]}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        readonly = super().get_readonly_fields(request, obj)
        return (*readonly, "patient") if obj is not None else readonly

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    @staticmethod
    def _fields(cleaned: dict[str, Any]) -> dict[str, Any]:
        data = dict(cleaned)
        data["copies_to"] = list(data.get("copies_to") or ())
        return data

    def service_create(self, cleaned: dict[str, Any], actor: Actor) -> Order:
        data = self._fields(cleaned)
        lines = [(data.pop(f"exam_{n}", None), data.pop(f"side_{n}", "")) for n in range(1, EXAM_LINES + 1)]
        requests = [ProcedureRequest(exam.code, laterality=side) for exam, side in lines if exam is not None]
        return services.create_order(procedures=requests, **data, actor=actor)

    def service_change(self, order: Order, cleaned: dict[str, Any], actor: Actor) -> Order:
        data = self._fields(cleaned)
        data.pop("patient", None)
        return services.change_order(order, **data, actor=actor)


@admin.register(RequestedProcedure)
class ProcedureAdmin(ReadOnlyAdmin):
    """Read here; moved by the actions, which call the services."""

    view_code = perms.VIEW_ORDER
    list_display = ("accession_number", "patient_name", "description", "laterality", "status", "created_at")
    list_filter = ("status", "modality", "is_unmapped", "order__priority")
    list_select_related = ("order__patient",)
    search_fields = ("accession_number", "study_instance_uid", "description")
    exclude = ("version",)
    actions = (
        service_action(_("Accept"), services.accept_procedure, form=AcceptForm),
        service_action(_("Protocol"), services.protocol_procedure, form=ProtocolForm),
        service_action(_("Hold"), services.hold_procedure, form=HoldForm),
        service_action(_("Ask the requester"), services.request_information, form=AskForm),
        service_action(_("Answer"), services.answer_information, form=AnswerForm),
        service_action(_("Release"), services.release_procedure, form=ReleaseForm),
        service_action(_("Vet again"), services.return_to_vetting, form=ReturnForm),
        service_action(_("Change"), services.change_procedure, form=ChangeExamForm),
        service_action(_("Replace"), replace_exam, form=ReplaceForm, permission=perms.CHANGE_ORDER),
        service_action(_("Reopen"), services.reopen_procedure, form=ReopenForm),
        service_action(_("Reject"), services.reject_procedure, form=CodedReasonForm),
        service_action(_("Cancel"), services.cancel_procedure, form=CodedReasonForm),
    )

    @admin.display(description=_("patient"), ordering="order__patient__family_name")
    def patient_name(self, row: RequestedProcedure) -> str:
        return row.order.patient.display_name


@admin.register(Inquiry)
class InquiryAdmin(ReadOnlyAdmin):
    """Questions to requesters and their answers."""

    view_code = perms.VIEW_ORDER
    list_display = ("question", "procedure", "asked_by", "created_at", "answered_by", "closed_at")
    list_select_related = ("procedure__order__patient", "asked_by", "answered_by")
    search_fields = ("procedure__accession_number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = RequestedProcedure.objects.visible_to(actor_of(request))
        return super().get_queryset(request).filter(procedure__in=seen.values("pk"))


class OfVisiblePatients(ReadOnlyAdmin):
    """Rows that belong to a patient, as far as the patient may be seen."""

    patient_field = "patient"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = Patient.objects.visible_to(actor_of(request))
        return super().get_queryset(request).filter(**{f"{self.patient_field}__in": seen.values("pk")})


@admin.register(PatientIdentifier)
class PatientIdentifierAdmin(OfVisiblePatients):
    view_code = perms.VIEW_PATIENT
    list_display = ("value", "issuer", "type", "use", "patient")
    list_filter = ("type", "use")
    list_select_related = ("patient",)
    search_fields = ("value__iexact",)
    actions = (service_action(_("Retire"), services.retire_identifier),)


@admin.register(PatientAlert)
class PatientAlertAdmin(OfVisiblePatients):
    view_code = perms.VIEW_PATIENT
    list_display = ("kind", "text", "patient", "is_active", "noted_at")
    list_filter = ("kind", "is_active")
    list_select_related = ("patient",)
    actions = (service_action(_("End"), services.end_alert, form=ReasonForm),)


@admin.register(PatientMerge)
class PatientMergeAdmin(OfVisiblePatients):
    patient_field = "survivor"
    view_code = perms.MERGE_PATIENTS
    list_display = ("survivor", "loser", "reason", "merged_at", "undone_at")
    list_select_related = ("survivor", "loser")
    list_filter = ("source",)
    actions = (service_action(_("Undo the merge"), services.unmerge_patients, form=ReasonForm),)


@admin.register(Visit)
class VisitAdmin(OfVisiblePatients):
    view_code = perms.VIEW_PATIENT
    list_display = ("visit_number", "issuer", "patient", "patient_class", "location", "admitted_at")
    list_filter = ("patient_class",)
    list_select_related = ("patient",)
    search_fields = ("visit_number",)


@admin.register(Document)
class DocumentAdmin(OfVisiblePatients):
    view_code = perms.VIEW_DOCUMENT
    list_display = ("title", "kind", "patient", "content_type", "size", "added_at", "withdrawn_at")
    list_filter = ("kind",)
    list_select_related = ("patient",)
    search_fields = ("title",)
    exclude = ("file",)
    actions = (service_action(_("Withdraw"), services.withdraw_document, form=ReasonForm),)


@admin.register(PatientUserObjectPermission)
class GrantAdmin(OfVisiblePatients):
    """Who may see which restricted patient."""

    patient_field = "content_object"
    view_code = perms.RESTRICT_PATIENT
    list_display = ("user", "content_object", "permission")
    list_select_related = ("user", "content_object", "permission__content_type")
    search_fields = ("user__username",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return ReadOnlyAdmin.get_queryset(self, request)


@admin.register(AccessionNumber)
class AccessionNumberAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_ORDER
    list_display = ("value", "order", "reserved_for", "created_at")
    list_select_related = ("order",)
    search_fields = ("value", "reserved_for")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = Order.objects.visible_to(actor_of(request))
        rows = super().get_queryset(request)
        return rows.filter(order__in=seen.values("pk")) | rows.filter(order__isnull=True)


class CodeInline(FacilityInline):
    model = ProcedureCode
    view_code, add_code, change_code = perms.VIEW_CATALOGUE, perms.MANAGE_CATALOGUE, perms.MANAGE_CATALOGUE
    fields = ("scheme", "value", "meaning")
    extra = 1
    show_change_link = False


class PreparationInline(FacilityInline):
    model = Preparation
    view_code, add_code, change_code = perms.VIEW_CATALOGUE, perms.MANAGE_CATALOGUE, perms.MANAGE_CATALOGUE
    fields = ("language", "text")
    extra = 1
    show_change_link = False


class CatalogueForm(forms.ModelForm):
    class Meta:
        model = CatalogueProcedure
        fields = (
            "code",
            "name",
            "name_sw",
            "modality",
            "body_region",
            "has_laterality",
            "uses_contrast",
            "duration_minutes",
            "default_protocol",
            "needs_vetting",
            "needs_protocol",
            "needs_completion_before_reading",
            "needs_consent",
            "rvu",
            "is_active",
        )

    def clean(self) -> dict[str, Any]:
        """What goes to scanners fits DICOM: no backslash, no control character."""
        cleaned = super().clean() or {}
        errors = Errors()
        for name, length in (("code", 16), ("name", 64), ("name_sw", 64), ("body_region", 40)):
            cleaned[name] = short_string(cleaned.get(name), name, errors, length=length)
        for name, found in errors.found.items():
            self.add_error(name, found)
        return cleaned


@admin.register(CatalogueProcedure)
class CatalogueAdmin(FacilityModelAdmin):
    form = CatalogueForm
    view_code, add_code, change_code = perms.VIEW_CATALOGUE, perms.MANAGE_CATALOGUE, perms.MANAGE_CATALOGUE
    list_display = ("code", "name", "modality", "body_region", "has_laterality", "uses_contrast", "is_active")
    list_filter = ("modality", "body_region", "has_laterality", "uses_contrast", "needs_vetting", "is_active")
    search_fields = ("code", "name", "name_sw", "codes__value")
    inlines = (CodeInline, PreparationInline)
