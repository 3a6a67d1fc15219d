"""Who is one person: the unidentified, merges with a preview and the way back, links of two records."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import permissions as perms
from orders import selectors, services
from orders.models import Order, Patient, PatientMerge
from orders.side_by_side import compare
from orders.web.forms import add_refusal
from orders.web.patient_forms import GiveForm, IdentifyForm, MergeForm, UndoForm
from orders.web.patients import (
    FOUND_AT_MOST,
    LOOKS_THE_SAME,
    MAYBE_THE_SAME,
    Typed,
    back_to,
    comparison,
    patient_page,
)
from orders.web.support import once
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.errors import DomainError, NotKnown

SUGGESTED = 5
#: What a row that came after a merge is called, and its icon.
KINDS = {
    "orders": ("order", "clipboard-list"),
    "documents": ("document", "file-text"),
    "alerts": ("alert", "alert-triangle"),
    "visits": ("visit", "door-enter"),
    "identifiers": ("identifier", "id"),
}


# --- nobody knows who it is


@require_POST
@never_cache
@page(perms.REGISTER_PATIENT)
def patient_emergency(request: HttpRequest) -> HttpResponse:
    """One click, nothing is asked. Sent twice it registers once."""

    def register() -> str:
        patient = services.register_emergency(actor=request.actor)
        return reverse("patient_detail", args=[patient.uuid])

    answer = once(request, "emergency", register)
    messages.success(request, _("Registered under an alias. Order now; say who it is when you know."))
    return answer


@patient_page(perms.UPDATE_PATIENT)
def patient_identify(request: HttpRequest, patient: Patient) -> HttpResponse:
    """The name, when nobody was registered under it before; who is alike is shown first, to merge into."""
    if not patient.identity_is_unverified or patient.merged_into_id is not None:
        return back_to(patient)
    form = IdentifyForm(request.POST or None, initial={"sex": patient.sex})
    alike: list[services.Candidate] = []
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            alike = _others(patient, Typed.of(request.POST).alike(request, least=LOOKS_THE_SAME))
            status = 409
        if form.is_valid() and (not alike or request.POST.get("anyway") == "1"):
            try:
                services.identify_patient(patient, **form.service_fields(), actor=request.actor)
            except DomainError as refusal:
                flush_refusals()
                add_refusal(form, refusal)
                alike, status = [], 422
            else:
                _record_anyway(request, patient, alike)
                messages.success(request, _("The patient has a name now. Scanners show it at once."))
                return back_to(patient)
    record_read(request.actor, perms.UPDATE_PATIENT, entity=patient)
    context = {
        "nav": "patients",
        "patient": patient,
        "form": form,
        "candidates": alike,
        "best": comparison(Typed.of(request.POST), alike[0]) if alike else [],
        "may_create": True,
        "merge_of": patient,
        "may_merge": request.actor.may(perms.MERGE_PATIENTS),
    }
    return render(request, "orders/patient_identify.html", context, status=status)


def _others(patient: Patient, found: list[services.Candidate]) -> list[services.Candidate]:
    return [candidate for candidate in found if candidate.patient.pk != patient.pk]


def _record_anyway(request: HttpRequest, patient: Patient, alike: list[services.Candidate]) -> None:
    if alike:
        detail = {"candidates": [str(row.patient.uuid) for row in alike], "scores": [row.score for row in alike]}
        record(request.actor, "orders.identify_anyway", Action.UPDATE, entity=patient, detail=detail)


# --- two records, one person


def _other(request: HttpRequest, form: MergeForm) -> Patient | None:
    if not request.POST.get("loser"):
        return None
    form.is_valid()
    uuid = form.cleaned_data.get("loser")
    rows = selectors.patients(actor=request.actor)
    other = rows.filter(uuid=uuid).first() if uuid else None
    if other is None:
        raise NotKnown(_("There is no such patient."))
    return other


@patient_page(perms.MERGE_PATIENTS)
def patient_merge(request: HttpRequest, patient: Patient) -> HttpResponse:
    """Search for the other record (posted), look at both side by side, merge or link.

    The record that was opened stays, unless it is an alias; ``swap`` turns it round.
    """
    words = request.POST.get("q", "").strip()[:200]
    is_sent = bool({"confirm", "link"} & request.POST.keys())
    form = MergeForm(request.POST if is_sent or "loser" in request.POST else None)
    other = _other(request, form)
    is_swapped = request.POST.get("swap", "1" if patient.identity_is_unverified else "") == "1"
    if other is not None and is_sent and form.is_valid():
        stays, goes = (other, patient) if is_swapped else (patient, other)
        return _decide(request, stays, goes, form.cleaned_data["reason"])
    found: list[Patient] = []
    if words:
        rows = selectors.search_patients(words, actor=request.actor)
        found = list(rows.exclude(pk=patient.pk)[:FOUND_AT_MOST])
    suggested = [] if words or other is not None else _suggested(request, patient)
    shown = [patient, *found, *(row.patient for row in suggested), *([other] if other is not None else [])]
    record_read(request.actor, perms.MERGE_PATIENTS, patients=[row.uuid for row in shown], detail={"rows": len(shown)})
    stays, goes = (other, patient) if is_swapped and other is not None else (patient, other)
    context = {
        "nav": "patients",
        "patient": patient,
        "q": words,
        "found": found,
        "suggested": suggested,
        "other": other,
        "stays": stays,
        "goes": goes,
        "is_swapped": is_swapped,
        "rows": compare(stays, goes) if stays is not None and goes is not None else [],
        "form": form if is_sent else MergeForm(initial={"loser": other.uuid if other is not None else None}),
    }
    return render(request, "orders/patient_merge.html", context, status=422 if is_sent and form.errors else 200)


def _suggested(request: HttpRequest, patient: Patient) -> list[services.Candidate]:
    if patient.identity_is_unverified:
        return []
    typed = Typed(
        family_name=patient.family_name,
        given_name=patient.given_name,
        born=patient.birth_date,
        is_about=patient.birth_date_is_estimated,
        phone=patient.phone,
    )
    return _others(patient, typed.alike(request, least=MAYBE_THE_SAME))[:SUGGESTED]


def _decide(request: HttpRequest, stays: Patient, goes: Patient, reason: str) -> HttpResponse:
    actor = request.actor
    if "link" in request.POST:
        services.link_patients(patient=stays, other=goes, reason=reason, actor=actor)
        messages.success(request, _("The two records are linked; both stay in use."))
    else:
        services.merge_patients(survivor=stays, loser=goes, reason=reason, actor=actor)
        messages.success(request, _("The two records are one now. It can be undone."))
    return back_to(stays)


def merge_or_404(request: HttpRequest, uuid: UUID) -> PatientMerge:
    merge = selectors.merges(actor=request.actor).filter(uuid=uuid).first()
    if merge is None:
        raise NotKnown(_("There is no such merge."))
    return merge


@never_cache
@page(perms.MERGE_PATIENTS)
def merge_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What a merge moved, the way back, and what came after it for a person to decide."""
    return _merge_page(request, merge_or_404(request, uuid))


def _merge_page(request: HttpRequest, merge: PatientMerge, *, status: int = 200, **forms: Any) -> HttpResponse:
    later = selectors.rows_after_merge(merge)
    came = [
        (f"{KINDS[kind][0]}:{row.uuid}", KINDS[kind][1], row._meta.verbose_name, *_said(row))
        for kind, rows in later.items()
        for row in rows
    ]
    orders = Order.objects.filter(pk__in=merge.moved.get("orders.order", [])).prefetch_related("procedures")
    record_read(request.actor, perms.MERGE_PATIENTS, entity=merge, patients=[merge.survivor.uuid, merge.loser.uuid])
    context = {
        "nav": "patients",
        "merge": merge,
        "survivor": merge.survivor,
        "loser": merge.loser,
        "who": merge.history.order_by("history_date").select_related("history_user").first(),
        "rows": compare(merge.survivor, merge.loser),
        "moved": _moved_words(merge),
        "orders": list(orders.order_by("pk")),
        "came": came,
        "undo_form": forms.get("undo_form") or UndoForm(auto_id="undo_%s"),
        "give_form": forms.get("give_form") or GiveForm(auto_id="give_%s"),
        "chosen": request.POST.getlist("rows"),
    }
    return render(request, "orders/patient_unmerge.html", context, status=status)


def _said(row: Any) -> tuple[str, str]:
    """(what it is in words, where it is opened)."""
    if isinstance(row, Order):
        exams = ", ".join(exam.description_with_side for exam in row.procedures.all())
        return exams or str(row), reverse("order_detail", args=[row.uuid])
    return str(row), ""


def _moved_words(merge: PatientMerge) -> list[tuple[str, int]]:
    return [
        (str(apps.get_model(label)._meta.verbose_name_plural), len(keys))
        for label, keys in sorted(merge.moved.items())
        if keys
    ]


@require_POST
@never_cache
@page(perms.MERGE_PATIENTS)
def merge_undo(request: HttpRequest, uuid: UUID) -> HttpResponse:
    merge = merge_or_404(request, uuid)
    form = UndoForm(request.POST, auto_id="undo_%s")
    if not form.is_valid():
        return _merge_page(request, merge, status=422, undo_form=form)
    merge = services.unmerge_patients(merge, reason=form.cleaned_data["reason"], actor=request.actor)
    count = sum(len(rows) for rows in selectors.rows_after_merge(merge).values())
    if count:
        words = ngettext(
            "The merge is undone. %(count)d entry came after it: say whose it is.",
            "The merge is undone. %(count)d entries came after it: say whose they are.",
            count,
        )
        messages.warning(request, words % {"count": count})
    else:
        messages.success(request, _("The merge is undone. Nothing came after it."))
    return HttpResponseRedirect(reverse("merge_detail", args=[merge.uuid]))


@require_POST
@never_cache
@page(perms.MERGE_PATIENTS)
def merge_give(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What a person has decided to be the other record's."""
    merge = merge_or_404(request, uuid)
    later = selectors.rows_after_merge(merge)
    form = GiveForm(request.POST, auto_id="give_%s")
    form.fields["rows"].choices = [
        (key := f"{KINDS[kind][0]}:{row.uuid}", key) for kind, rows in later.items() for row in rows
    ]
    if not form.is_valid():
        return _merge_page(request, merge, status=422, give_form=form)
    for entry in form.cleaned_data["rows"]:
        kind, _colon, row = entry.partition(":")
        services.give_after_unmerge(merge, kind=kind, row=row, reason=form.cleaned_data["reason"], actor=request.actor)
    count = len(form.cleaned_data["rows"])
    words = ngettext("%(count)d entry has moved.", "%(count)d entries have moved.", count)
    messages.success(request, words % {"count": count})
    return HttpResponseRedirect(reverse("merge_detail", args=[merge.uuid]))


@require_POST
@patient_page(perms.MERGE_PATIENTS)
def link_end(request: HttpRequest, patient: Patient, link: UUID) -> HttpResponse:
    row = selectors.links(actor=request.actor).filter(uuid=link).first()
    if row is None:
        raise NotKnown(_("There is no such link."))
    services.unlink_patients(row, reason=_("Ended on the patient's page"), actor=request.actor)
    return back_to(patient, "links")
