"""Who may see a patient's record: restricted or open, and to whom it is open when it is restricted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import services
from orders.models import Patient, PatientUserObjectPermission
from orders.web.patients import patient_page
from ris.accounts.models import User
from ris.audit.service import record_read
from ris.core.errors import NotKnown


class RestrictForm(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200)


class PersonForm(forms.Form):
    person = forms.ChoiceField(label=gettext_lazy("Person"))

    def __init__(self, data: Any = None, *, people: dict[str, User]) -> None:
        super().__init__(data)
        choices = [("", _("Choose")), *((key, row.display_name) for key, row in people.items())]
        self.fields["person"].choices = choices


def _grants(patient: Patient) -> list[PatientUserObjectPermission]:
    rows = PatientUserObjectPermission.objects.filter(content_object=patient).select_related("user")
    return list(rows.order_by("user__family_name", "user__given_name", "pk"))


def _people(patient: Patient) -> dict[str, User]:
    """Who works here and has no access yet."""
    has = PatientUserObjectPermission.objects.filter(content_object=patient).values("user")
    rows = User.objects.filter(is_active=True, is_service=False).exclude(pk__in=has)
    return {str(row.uuid): row for row in rows.order_by("family_name", "given_name", "pk")}


def _page(request: HttpRequest, patient: Patient, *, status: int = 200, **sent: Any) -> HttpResponse:
    people = _people(patient)
    context = {
        "nav": "patients",
        "patient": patient,
        "grants": _grants(patient),
        "restrict_form": sent.get("restrict_form") or RestrictForm(),
        "person_form": sent.get("person_form") or PersonForm(people=people),
    }
    return render(request, "orders/patient_access.html", context, status=status)


@patient_page(perms.RESTRICT_PATIENT)
def patient_access(request: HttpRequest, patient: Patient) -> HttpResponse:
    record_read(request.actor, perms.RESTRICT_PATIENT, entity=patient)
    return _page(request, patient)


def _back(patient: Patient) -> HttpResponse:
    return HttpResponseRedirect(reverse("patient_access", args=[patient.uuid]))


@require_POST
@patient_page(perms.RESTRICT_PATIENT)
def patient_restrict(request: HttpRequest, patient: Patient, verb: str) -> HttpResponse:
    """Who restricts a record keeps seeing it."""
    if verb not in ("restrict", "open"):
        raise NotKnown(_("There is no such action."))
    form = RestrictForm(request.POST)
    if not form.is_valid():
        return _page(request, patient, status=422, restrict_form=form)
    is_restricted = verb == "restrict"
    if is_restricted:
        services.grant_access(patient, user=request.user, actor=request.actor)
    services.set_restricted(
        patient, is_restricted=is_restricted, reason=form.cleaned_data["reason"], actor=request.actor
    )
    messages.success(
        request, _("The record is restricted.") if is_restricted else _("The record is open to the department again.")
    )
    return _back(patient)


@require_POST
@patient_page(perms.RESTRICT_PATIENT)
def access_give(request: HttpRequest, patient: Patient) -> HttpResponse:
    people = _people(patient)
    form = PersonForm(request.POST, people=people)
    if not form.is_valid():
        return _page(request, patient, status=422, person_form=form)
    person = people[form.cleaned_data["person"]]
    services.grant_access(patient, user=person, actor=request.actor)
    messages.success(request, _("%(who)s may see this record.") % {"who": person.display_name})
    return _back(patient)


@require_POST
@patient_page(perms.RESTRICT_PATIENT)
def access_take(request: HttpRequest, patient: Patient, person: UUID) -> HttpResponse:
    user = User.objects.filter(uuid=person).first()
    if user is None:
        raise NotKnown(_("There is no such person."))
    services.withdraw_access(patient, user=user, actor=request.actor)
    messages.success(request, _("%(who)s has no access of their own any more.") % {"who": user.display_name})
    if user == request.user and patient.is_restricted:
        return HttpResponseRedirect(reverse("patient_list"))
    return _back(patient)
