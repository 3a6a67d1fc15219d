"""/patients/: searched and registered, looked at, corrected. Who is one person: orders.web.identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.dates import Unreadable, read_here
from orders.models import Patient, PatientAlert, PatientMerge, Sex
from orders.services import Candidate
from orders.web.actions import checked, labelled
from orders.web.forms import DocumentForm, add_refusal
from orders.web.patient_forms import LANGUAGES, AlertForm, CorrectForm, IdentifierForm, RegisterForm
from orders.web.support import Restricted, answered, once, patient_or_404, restricted_page, steps_of
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.errors import DomainError, NotKnown
from ris.core.ids import uuid7
from ris.core.text import day, masked

FOUND_AT_MOST = 30
#: From here on a click decides; from there on it is said while somebody types.
LOOKS_THE_SAME = 0.6
MAYBE_THE_SAME = 0.5
EXAMS_SHOWN = 50
MATCH_LOOKS = {
    "same": ("green", "check", _("Same")),
    "similar": ("amber", "alert-triangle", _("Similar")),
    "swapped": ("amber", "exchange", _("Day and month swapped")),
    "different": ("slate", "minus", _("Different")),
}


def patient_page(permission: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A page about one patient: the view gets the patient, or the reader the offer of an emergency access."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @never_cache
        @page(permission)
        @wraps(view)
        def wrapper(request: HttpRequest, uuid: UUID, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                patient = patient_or_404(request, uuid)
            except Restricted as found:
                return restricted_page(request, found.patient)
            return view(request, patient, *args, **kwargs)

        return wrapper

    return decorate


@never_cache
@page(perms.VIEW_PATIENT)
def patient_list(request: HttpRequest) -> HttpResponse:
    """Search first, then register. What is searched for is posted, never part of the address."""
    words = request.POST.get("q", "").strip()[:200] if request.method == "POST" else ""
    return search_page(request, words)


def search_page(
    request: HttpRequest,
    words: str,
    *,
    form: forms.Form | None = None,
    candidates: list[Candidate] | None = None,
    status: int = 200,
) -> HttpResponse:
    found: list[Patient] = []
    if words:
        rows = selectors.search_patients(words, actor=request.actor)
        found = list(rows.order_by("family_name", "given_name", "pk")[:FOUND_AT_MOST])
        record_read(
            request.actor, perms.VIEW_PATIENT, patients=[row.uuid for row in found], detail={"rows": len(found)}
        )
    may_register = request.actor.may(perms.REGISTER_PATIENT)
    if form is None and may_register:
        form = RegisterForm(initial=_guess(words))
    context = {
        "nav": "patients",
        "q": words,
        "once": uuid7(),
        "once_unknown": uuid7(),
        "found": found,
        "form": form,
        "candidates": candidates or [],
        "best": comparison(Typed.of(request.POST), candidates[0]) if candidates else [],
        "may_register": may_register,
        "may_create": True,
        "may_order": request.actor.may(perms.CREATE_ORDER),
    }
    return render(request, "orders/patient_list.html", context, status=status)


def _guess(words: str) -> dict[str, str]:
    """The form already holds what was searched for, when it reads like a name."""
    names = [word for word in words.split() if word.isalpha()]
    if not names or len(names) > 3:
        return {}
    return {"family_name": names[-1].capitalize(), "given_name": " ".join(names[:-1]).title()}


def comparison(typed: Typed, candidate: Candidate) -> list[tuple[str, str, str, tuple[str, str, str] | None]]:
    """(what, as typed, as stored, how they agree) for the first candidate."""
    patient, matches = candidate.patient, candidate.matches
    name = f"{typed.family_name.upper()}, {typed.given_name}".strip(" ,")
    rows = [
        (_("Name"), name, patient.display_name, MATCH_LOOKS.get(matches.get("name", ""))),
        (_("Born"), _day(typed.born), _day(patient.birth_date), MATCH_LOOKS.get(matches.get("birth_date", ""))),
        (_("Sex"), dict(Sex.choices).get(typed.sex, ""), patient.get_sex_display(), None),
        (_("Phone"), typed.phone, masked(patient.phone), MATCH_LOOKS.get(matches.get("phone", ""))),
    ]
    return [(what, str(left or "–"), str(right or "–"), look) for what, left, right, look in rows]


def _day(value: date | None) -> str:
    return day(value) if value else ""


@dataclass(frozen=True)
class Typed:
    """What is known of a person so far, whether the form is complete or not."""

    family_name: str = ""
    given_name: str = ""
    born: date | None = None
    is_about: bool = False
    phone: str = ""
    sex: str = ""
    number: str = ""

    @classmethod
    def of(cls, data: QueryDict) -> Typed:
        """A date that is not one yet is left out."""
        try:
            born, is_about = read_here(data.get("birth_date", "").strip()[:40])
        except Unreadable:
            born, is_about = None, False
        names = (data.get("given_name", ""), data.get("middle_name", ""))
        return cls(
            family_name=data.get("family_name", "").strip()[:64],
            given_name=" ".join(" ".join(names).split())[:130],
            born=born,
            is_about=is_about or data.get("birth_date_is_estimated") == "1",
            phone=data.get("phone", "").strip()[:40],
            sex=data.get("sex", "")[:1],
            number=data.get("paper_number", "").strip()[:64],
        )

    def alike(self, request: HttpRequest, *, least: float) -> list[Candidate]:
        found = services.find_duplicates(
            actor=request.actor,
            family_name=self.family_name,
            given_name=self.given_name,
            birth_date=self.born,
            birth_date_is_estimated=self.is_about,
            phone=self.phone,
            identifiers=[self.number],
        )
        return [candidate for candidate in found if candidate.score >= least]


@require_POST
@never_cache
@page((perms.REGISTER_PATIENT, perms.UPDATE_PATIENT))
def patient_candidates(request: HttpRequest) -> HttpResponse:
    """The part of the form that names who is alike, as far as has been typed; empty while nobody is."""
    typed = Typed.of(request.POST)
    candidates = typed.alike(request, least=MAYBE_THE_SAME)
    context = {
        "candidates": candidates,
        "best": comparison(typed, candidates[0]) if candidates else [],
        "may_create": True,
    }
    return render(request, "orders/_candidates.html", context)


@never_cache
@page(perms.REGISTER_PATIENT)
def patient_create(request: HttpRequest) -> HttpResponse:
    """Register; who looks like somebody we have is shown first, and created anyway only by a click that is recorded.

    Loaded again, or come to by its address: the empty form (what was typed is kept by the browser).
    """
    if request.method != "POST":
        return search_page(request, "")
    form = RegisterForm(request.POST)
    if not form.is_valid():
        return search_page(request, "", form=form, status=422)
    if (before := answered(request, "register")) is not None:
        return before
    alike = Typed.of(request.POST).alike(request, least=LOOKS_THE_SAME)
    if alike and request.POST.get("anyway") != "1":
        return search_page(request, "", form=form, candidates=alike, status=409)
    try:
        answer = once(request, "register", lambda: _register(request, form, alike))
    except DomainError as refusal:
        flush_refusals()
        add_refusal(form, refusal)
        return search_page(request, "", form=form, status=422)
    messages.success(request, _("The patient is registered."))
    return answer


def _register(request: HttpRequest, form: RegisterForm, alike: list[Candidate]) -> str:
    actor = request.actor
    patient = services.register_patient(**form.service_fields(), actor=actor)
    for kind, text in form.alerts():
        services.add_alert(patient, kind=kind, text=text, actor=actor)
    if alike:
        detail = {"candidates": [str(row.patient.uuid) for row in alike], "scores": [row.score for row in alike]}
        record(actor, "orders.create_anyway", Action.CREATE, entity=patient, detail=detail)
    return reverse("order_create" if "and_order" in request.POST else "patient_detail", args=[patient.uuid])


@patient_page(perms.VIEW_PATIENT)
def patient_detail(request: HttpRequest, patient: Patient) -> HttpResponse:
    """A record that was merged leads to the one in use; ``?kept`` shows it as it was kept."""
    if patient.merged_into_id is not None and "kept" not in request.GET:
        messages.info(request, _("That record was merged into this one."))
        return HttpResponseRedirect(reverse("patient_detail", args=[services.survivor_of(patient).uuid]))
    exams = list(selectors.procedures(actor=request.actor).filter(order__patient=patient).order_by("-pk")[:EXAMS_SHOWN])
    may_merge = request.actor.may(perms.MERGE_PATIENTS)
    merges = (
        list(PatientMerge.objects.filter(survivor=patient).select_related("loser").order_by("-pk")) if may_merge else []
    )
    links = [
        (link, link.second if patient.pk in (link.first_id, link.first.merged_into_id) else link.first)
        for link in selectors.links_of(patient, actor=request.actor)
    ]
    record_read(request.actor, perms.VIEW_PATIENT, entity=patient, detail={"exams": len(exams)})
    actor = request.actor
    context = {
        "nav": "patients",
        "patient": patient,
        "exams": [(row, steps_of(row)) for row in exams],
        "merges": merges,
        "links": links,
        "may_link": may_merge,
        "may_identify": patient.identity_is_unverified and actor.may(perms.UPDATE_PATIENT),
        "alerts": list(patient.alert_rows.all()),
        "spoken": dict(LANGUAGES).get(patient.language, patient.language) if patient.language else "",
        "identifiers": list(patient.identifiers.all()),
        "documents": list(selectors.documents(actor=actor).filter(patient=patient))
        if actor.may(perms.VIEW_DOCUMENT)
        else [],
        "alert_form": AlertForm(auto_id="alert_%s"),
        "document_form": DocumentForm(auto_id="document_%s"),
        "identifier_form": IdentifierForm(),
        "may_order": actor.may(perms.CREATE_ORDER) and patient.merged_into_id is None,
        "may_correct": actor.may(perms.UPDATE_PATIENT) and patient.merged_into_id is None,
        "may_merge": actor.may(perms.MERGE_PATIENTS) and patient.merged_into_id is None,
        "may_add_document": actor.may(perms.ADD_DOCUMENT) and patient.merged_into_id is None,
        "may_see_looks": actor.may("audit.view_event"),
        "may_restrict": actor.may(perms.RESTRICT_PATIENT) and patient.merged_into_id is None,
    }
    return render(request, "orders/patient_detail.html", context)


@patient_page(perms.UPDATE_PATIENT)
def patient_edit(request: HttpRequest, patient: Patient) -> HttpResponse:
    form = CorrectForm(request.POST or None, patient=patient)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                services.update_patient(patient, **form.cleaned_data, actor=request.actor)
            except DomainError as refusal:
                flush_refusals()
                add_refusal(form, refusal)
            else:
                messages.success(request, _("The patient is corrected."))
                return HttpResponseRedirect(reverse("patient_detail", args=[patient.uuid]))
    else:
        record_read(request.actor, perms.UPDATE_PATIENT, entity=patient)
    context = {"nav": "patients", "patient": patient, "form": form}
    return render(request, "orders/patient_edit.html", context, status=status)


def back_to(patient: Patient, part: str = "") -> HttpResponse:
    return HttpResponseRedirect(reverse("patient_detail", args=[patient.uuid]) + (f"#{part}" if part else ""))


@require_POST
@patient_page(perms.UPDATE_PATIENT)
def alert_add(request: HttpRequest, patient: Patient) -> HttpResponse:
    form, asked = AlertForm(request.POST), _("Add an alert")
    data = checked(form, asked)
    with labelled(form, asked):
        services.add_alert(patient, **data, actor=request.actor)
    return back_to(patient, "alerts")


@require_POST
@patient_page(perms.UPDATE_PATIENT)
def alert_end(request: HttpRequest, patient: Patient, alert: UUID) -> HttpResponse:
    row = PatientAlert.objects.filter(patient=patient, uuid=alert).first()
    if row is None:
        raise NotKnown(_("There is no such alert."))
    services.end_alert(row, actor=request.actor)
    return back_to(patient, "alerts")


@require_POST
@patient_page(perms.UPDATE_PATIENT)
def identifier_add(request: HttpRequest, patient: Patient) -> HttpResponse:
    form, asked = IdentifierForm(request.POST), _("Add a number")
    row = checked(form, asked)
    with labelled(form, asked):
        services.update_patient(patient, identifiers=[row], reason=_("Identifier added"), actor=request.actor)
    return back_to(patient, "identity")


@require_POST
@patient_page(perms.ADD_DOCUMENT)
def document_add(request: HttpRequest, patient: Patient) -> HttpResponse:
    form, asked = DocumentForm(request.POST, request.FILES), _("To add a document.")
    data = checked(form, asked)
    with labelled(form, asked):
        services.add_document(patient, **data, actor=request.actor)
    return back_to(patient, "documents")
