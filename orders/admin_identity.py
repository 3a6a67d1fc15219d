"""Identity in the administration: the unidentified, merges and links by number, issuers with their syntax."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders import permissions as perms
from orders import selectors, services
from orders.models import IdentifierIssuer, Patient, PatientLink, PatientMerge, Sex
from orders.validation import CHECK_DIGITS
from orders.web.patient_forms import BirthDateField, WithBirthDate
from ris.accounts.actors import actor_of
from ris.accounts.admin_base import FacilityModelAdmin, ReadOnlyAdmin, ReasonForm, service_action
from ris.core.actor import Actor
from ris.core.errors import NotKnown


class IdentifyActionForm(WithBirthDate):
    family_name = forms.CharField(label=gettext_lazy("Family name"), max_length=64)
    given_name = forms.CharField(label=gettext_lazy("Given name"), max_length=64, required=False)
    birth_date = BirthDateField()
    sex = forms.ChoiceField(label=gettext_lazy("Sex"), choices=Sex.choices, initial=Sex.UNKNOWN)
    reason = forms.CharField(label=gettext_lazy("How was it found out?"), max_length=150)


class OtherRecordForm(forms.Form):
    number = forms.CharField(label=gettext_lazy("A number of the other record"), max_length=64)
    reason = forms.CharField(label=gettext_lazy("Why are they the same person?"), max_length=200)


def _by_number(number: str, actor: Actor) -> Patient:
    found = selectors.patient_by_identifier(number.strip(), actor=actor)
    if found is None:
        raise NotKnown(_("There is no such patient."), todo=_("Search for the other record and copy its number."))
    return found


def merge_into(patient: Patient, *, number: str, reason: str, actor: Actor) -> PatientMerge:
    """The chosen record goes into the one that has the number."""
    return services.merge_patients(survivor=_by_number(number, actor), loser=patient, reason=reason, actor=actor)


def link_with(patient: Patient, *, number: str, reason: str, actor: Actor) -> PatientLink:
    return services.link_patients(patient=patient, other=_by_number(number, actor), reason=reason, actor=actor)


IDENTITY_ACTIONS = (
    service_action(gettext_lazy("Identify"), services.identify_patient, form=IdentifyActionForm),
    service_action(
        gettext_lazy("Merge into another record"), merge_into, form=OtherRecordForm, permission=perms.MERGE_PATIENTS
    ),
    service_action(
        gettext_lazy("Link with another record"), link_with, form=OtherRecordForm, permission=perms.MERGE_PATIENTS
    ),
)


class EmergencyMixin:
    """A button above the list of patients: registered at once under an alias."""

    change_list_template = "orders/admin_patient_list.html"

    def get_urls(self: Any) -> list[Any]:
        view = self.admin_site.admin_view(self.emergency_view)
        return [path("emergency/", view, name="orders_patient_emergency"), *super().get_urls()]

    def emergency_view(self: Any, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_add_permission(request):
            raise PermissionDenied
        patient = services.register_emergency(actor=actor_of(request))
        self.message_user(request, _("Registered under an alias. Say who it is when you know."), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:orders_patient_change", args=[patient.pk]))


class IssuerForm(forms.ModelForm):
    class Meta:
        model = IdentifierIssuer
        fields = ("name", "issuer", "type", "syntax", "check_digit", "example", "is_active")

    def clean_syntax(self) -> str:
        syntax = self.cleaned_data["syntax"]
        try:
            re.compile(syntax)
        except re.error as exc:
            raise ValidationError(_("Not a regular expression: %(why)s"), params={"why": str(exc)}) from None
        return syntax

    def clean(self) -> dict[str, Any]:
        """The example is one: people copy what they see."""
        cleaned = super().clean() or {}
        example, syntax, digit = (cleaned.get(name) or "" for name in ("example", "syntax", "check_digit"))
        if example and syntax and not re.fullmatch(syntax, example):
            self.add_error("example", _("It is not what it should look like."))
        elif example and digit and not CHECK_DIGITS[digit](example):
            self.add_error("example", _("Its check digit is wrong."))
        return cleaned


@admin.register(IdentifierIssuer)
class IssuerAdmin(FacilityModelAdmin):
    view_code, add_code, change_code = perms.VIEW_PATIENT, perms.MANAGE_ISSUERS, perms.MANAGE_ISSUERS
    form = IssuerForm
    list_display = ("name", "issuer", "type", "syntax", "check_digit", "example", "is_active")
    list_filter = ("type", "is_active")
    search_fields = ("name", "issuer")


@admin.register(PatientLink)
class PatientLinkAdmin(ReadOnlyAdmin):
    view_code = perms.MERGE_PATIENTS
    list_display = ("first", "second", "reason", "linked_at", "ended_at")
    list_filter = ("source",)
    actions = (service_action(gettext_lazy("End the link"), services.unlink_patients, form=ReasonForm),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PatientLink]:
        return (
            super()
            .get_queryset(request)
            .filter(pk__in=selectors.links(actor=actor_of(request)).values("pk"))
            .select_related("first", "second")
        )
