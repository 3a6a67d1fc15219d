"""/patients/: searched and registered, looked at, corrected, merged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.models import Patient, PatientAlert, PatientMerge, RequestedProcedure
from orders.services import Candidate
from orders.web.forms import DocumentForm, add_refusal
from orders.web.patient_forms import AlertForm, CorrectForm, IdentifierForm, MergeForm, PatientForm, RegisterForm
from orders.web.support import Restricted, answered, once, patient_or_404, restricted_page, steps_of
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.errors import DomainError, InvalidData, NotKnown
from ris.core.ids import uuid7

FOUND_AT_MOST = 30
LOOKS_THE_SAME = 0.6
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
        "found": found,
        "form": form,
        "candidates": candidates or [],
        "best": _comparison(form, candidates[0]) if candidates and form is not None else [],
        "may_register": may_register,
        "may_order": request.actor.may(perms.CREATE_ORDER),
    }
    return render(request, "orders/patient_list.html", context, status=status)


def _guess(words: str) -> dict[str, str]:
    """The form already holds what was searched for, when it reads like a name."""
    names = [word for word in words.split() if word.isalpha()]
    if not names or len(names) > 3:
        return {}
    return {"family_name": names[-1].capitalize(), "given_name": " ".join(names[:-1]).title()}


def _comparison(form: forms.Form, candidate: Candidate) -> list[tuple[str, str, str, tuple[str, str, str] | None]]:
    """(what, as typed, as stored, how they agree) for the first candidate."""
    data, patient = form.cleaned_data, candidate.patient
    born = data.get("birth_date")
    typed = f"{(data.get('family_name') or '').upper()}, {data.get('given_name') or ''}".strip(" ,")
    rows = [
        (_("Name"), typed, patient.display_name, MATCH_LOOKS.get(candidate.matches.get("name", ""))),
        (_("Born"), _day(born), _day(patient.birth_date), MATCH_LOOKS.get(candidate.matches.get("birth_date", ""))),
        (_("Sex"), dict(form.fields["sex"].choices).get(data.get("sex"), ""), patient.get_sex_display(), None),
        (_("Phone"), data.get("phone", ""), patient.phone, MATCH_LOOKS.get(candidate.matches.get("phone", ""))),
    ]
    return [(what, str(left or "–"), str(right or "–"), look) for what, left, right, look in rows]


def _day(value: date | None) -> str:
    from ris.core.text import day

    return day(value) if value else ""


@require_POST
@never_cache
@page(perms.REGISTER_PATIENT)
def patient_create(request: HttpRequest) -> HttpResponse:
    """Register; who looks like somebody we have is shown first, and created anyway only by a click that is recorded."""
    form = RegisterForm(request.POST)
    if not form.is_valid():
        return search_page(request, "", form=form, status=422)
    if (before := answered(request, "register")) is not None:
        return before
    fields = form.service_fields()
    candidates = services.find_duplicates(
        actor=request.actor,
        family_name=fields["family_name"],
        given_name=fields["given_name"],
        birth_date=fields["birth_date"],
        phone=fields["phone"],
        identifiers=fields.get("identifiers", ()),
    )
    alike = [candidate for candidate in candidates if candidate.score >= LOOKS_THE_SAME]
    anyway = request.POST.get("anyway") == "1"
    if alike and not anyway:
        return search_page(request, "", form=form, candidates=alike, status=409)

    def register() -> str:
        patient = services.register_patient(**fields, actor=request.actor)
        if alike:
            detail = {"candidates": [str(row.patient.uuid) for row in alike], "scores": [row.score for row in alike]}
            record(request.actor, "orders.create_anyway", Action.CREATE, entity=patient, detail=detail)
        return reverse("order_create" if "and_order" in request.POST else "patient_detail", args=[patient.uuid])

    try:
        answer = once(request, "register", register)
    except DomainError as refusal:
        flush_refusals()
        add_refusal(form, refusal)
        return search_page(request, "", form=form, status=422)
    messages.success(request, _("The patient is registered."))
    return answer


@patient_page(perms.VIEW_PATIENT)
def patient_detail(request: HttpRequest, patient: Patient) -> HttpResponse:
    exams = list(selectors.procedures(actor=request.actor).filter(order__patient=patient).order_by("-pk")[:EXAMS_SHOWN])
    merges = list(
        PatientMerge.objects.filter(survivor=patient).select_related("loser").order_by("-pk")
        if request.actor.may(perms.MERGE_PATIENTS)
        else []
    )
    record_read(request.actor, perms.VIEW_PATIENT, entity=patient, detail={"exams": len(exams)})
    actor = request.actor
    context = {
        "nav": "patients",
        "patient": patient,
        "exams": [(row, steps_of(row)) for row in exams],
        "merges": merges,
        "alerts": list(patient.alert_rows.all()),
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
    }
    return render(request, "orders/patient_detail.html", context)


@patient_page(perms.UPDATE_PATIENT)
def patient_edit(request: HttpRequest, patient: Patient) -> HttpResponse:
    initial = {name: getattr(patient, name) for name in PatientForm.base_fields}
    initial["birth_date_is_estimated"] = "1" if patient.birth_date_is_estimated else ""
    form = CorrectForm(request.POST or None, initial=initial)
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


def _back(patient: Patient, part: str = "") -> HttpResponse:
    return HttpResponseRedirect(reverse("patient_detail", args=[patient.uuid]) + (f"#{part}" if part else ""))


def _checked(form: forms.Form) -> dict[str, Any]:
    """The form's data, or the refusal that the middleware shows."""
    if not form.is_valid():
        raise InvalidData(
            _("Something is missing."),
            found="; ".join(
                f"{form[name].label}: {errors[0]}" for name, errors in form.errors.items() if name in form.fields
            ),
            todo=_("Go back, fill it in and send it again."),
            errors={name: list(errors) for name, errors in form.errors.items()},
        )
    return form.cleaned_data


@require_POST
@patient_page(perms.UPDATE_PATIENT)
def alert_add(request: HttpRequest, patient: Patient) -> HttpResponse:
    services.add_alert(patient, **_checked(AlertForm(request.POST)), actor=request.actor)
    return _back(patient, "alerts")


@require_POST
@patient_page(perms.UPDATE_PATIENT)
def alert_end(request: HttpRequest, patient: Patient, alert: UUID) -> HttpResponse:
    row = PatientAlert.objects.filter(patient=patient, uuid=alert).first()
    if row is None:
        raise NotKnown(_("There is no such alert."))
    services.end_alert(row, actor=request.actor)
    return _back(patient, "alerts")


@require_POST
@patient_page(perms.UPDATE_PATIENT)
def identifier_add(request: HttpRequest, patient: Patient) -> HttpResponse:
    row = _checked(IdentifierForm(request.POST))
    services.update_patient(patient, identifiers=[row], reason=_("Identifier added"), actor=request.actor)
    return _back(patient, "identity")


@require_POST
@patient_page(perms.ADD_DOCUMENT)
def document_add(request: HttpRequest, patient: Patient) -> HttpResponse:
    data = _checked(DocumentForm(request.POST, request.FILES))
    services.add_document(patient, **data, actor=request.actor)
    return _back(patient, "documents")


# --- merges


@patient_page(perms.MERGE_PATIENTS)
def patient_merge(request: HttpRequest, patient: Patient) -> HttpResponse:
    """Search for the other record (posted), look at both side by side, merge. ``patient`` is the one that stays."""
    words = request.POST.get("q", "").strip()[:200]
    form = MergeForm(request.POST or None)
    other = None
    if request.POST.get("loser"):
        form.is_valid()
        loser = form.cleaned_data.get("loser")
        other = selectors.patients(actor=request.actor).filter(uuid=loser).first() if loser else None
        if other is None:
            raise NotKnown(_("There is no such patient."))
    if other is not None and "confirm" in request.POST and form.is_valid():
        services.merge_patients(survivor=patient, loser=other, reason=form.cleaned_data["reason"], actor=request.actor)
        messages.success(request, _("The two records are one now. It can be undone."))
        return _back(patient)
    found: list[Patient] = []
    if words:
        found = list(selectors.search_patients(words, actor=request.actor).exclude(pk=patient.pk)[:FOUND_AT_MOST])
    shown = [patient.uuid, *(row.uuid for row in found), *([other.uuid] if other is not None else [])]
    record_read(request.actor, perms.MERGE_PATIENTS, patients=shown, detail={"rows": len(shown)})
    asked = other is not None and "confirm" not in request.POST
    context = {
        "nav": "patients",
        "patient": patient,
        "q": words,
        "found": found,
        "other": other,
        "rows": _side_by_side(patient, other) if other is not None else [],
        "form": MergeForm(initial={"loser": other.uuid}) if asked and other is not None else form,
    }
    return render(
        request, "orders/patient_merge.html", context, status=422 if form.errors and not asked and other else 200
    )


def _side_by_side(left: Patient, right: Patient) -> list[tuple[str, str, str, bool]]:
    def lines(patient: Patient) -> list[tuple[str, str]]:
        exams = RequestedProcedure.objects.filter(order__patient=patient)
        return [
            (_("Name"), patient.display_name),
            (_("Born"), _day(patient.birth_date)),
            (_("Sex"), patient.get_sex_display()),
            (_("Numbers"), ", ".join(f"{row.value} ({row.issuer})" for row in patient.identifiers.all())),
            (_("Phone"), patient.phone),
            (_("Address"), patient.address),
            (_("Alerts"), "; ".join(row.text for row in patient.alert_rows.all() if row.is_active)),
            (_("Exams"), str(exams.count())),
            (_("Documents"), str(patient.documents.count())),
        ]

    both = zip(lines(left), lines(right), strict=True)
    return [(what, mine or "–", theirs or "–", mine == theirs) for (what, mine), (__, theirs) in both]


@require_POST
@never_cache
@page(perms.MERGE_PATIENTS)
def merge_undo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    merge = selectors.merges(actor=request.actor).filter(uuid=uuid).first()
    if merge is None:
        raise NotKnown(_("There is no such merge."))
    services.unmerge_patients(merge, actor=request.actor)
    later = selectors.rows_after_merge(merge)
    if any(later.values()):
        count = sum(len(rows) for rows in later.values())
        messages.warning(
            request,
            _("The merge is undone. %(count)d entries came after it and stay here: look whose they are.")
            % {"count": count},
        )
    else:
        messages.success(request, _("The merge is undone."))
    return _back(merge.survivor)
