"""Peer review: my cases, the case under review, and what an author answers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from peerreview import permissions as perms
from peerreview import selectors, services
from peerreview.blinding import blinded, blinded_reading, blinded_request, unsigned
from peerreview.models import CaseStatus, Discrepancy, ReviewCase, RoundStatus, Score
from peerreview.models import DiscrepancyStatus as D
from peerreview.web.forms import ArbitrationForm, ImpressionForm, ResolveForm, ScoreForm
from reporting.models import SECTIONS
from reporting.selectors.reports import reports
from reporting.web.proof import proof, proof_context
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown

DISCREPANCIES_SHOWN, ROUNDS_SHOWN = 20, 50


def found(queryset, uuid):
    row = queryset.filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such case or round, or it is not yours to see."))
    return row


@require_GET
@page(perms.VIEW_ROUND)
def review_list(request: HttpRequest) -> HttpResponse:
    mine = selectors.my_cases(actor=request.actor)
    open_cases = list(mine.filter(status=CaseStatus.ASSIGNED))
    of_running = mine.filter(round__status=RoundStatus.RUNNING)
    done = of_running.exclude(status=CaseStatus.ASSIGNED).count()
    context = {
        "open_cases": open_cases,
        "done": done,
        "total": done + len(open_cases),
        "arbitration": list(selectors.to_arbitrate(actor=request.actor)),
        "rounds": list(selectors.rounds(actor=request.actor)[:ROUNDS_SHOWN]),
        "discrepancies": list(selectors.discrepancies(actor=request.actor)[:DISCREPANCIES_SHOWN]),
    }
    shown = [*context["open_cases"], *context["arbitration"]]
    record_read(request.actor, perms.VIEW_ROUND, patients={case.audit_patient for case in shown if case.audit_patient})
    return render(request, "peerreview/review_list.html", context)


@require_http_methods(["GET", "POST"])
@page((perms.SCORE_CASE, perms.ARBITRATE_CASE))
def review_case(request: HttpRequest, uuid) -> HttpResponse:
    """Blinded: no author, no date. The reviewer scores, or somebody else arbitrates."""
    case = selectors.my_cases(actor=request.actor).filter(uuid=uuid).first()
    arbitrates = case is None
    if case is None:
        case = found(selectors.to_arbitrate(actor=request.actor), uuid)
    if case.hides_report and not arbitrates and case.status == CaseStatus.ASSIGNED:
        return _impression(request, case)
    form = (ArbitrationForm if arbitrates else ScoreForm)(request.POST or None, case=None if arbitrates else case)
    if request.method == "POST" and form.is_valid():
        decide = services.arbitrate_case if arbitrates else services.score_case
        try:
            decide(case, **form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            messages.success(request, _("Your score is kept."))
            return _to_next_case(request)
    return _case_page(request, case, form, arbitrates=arbitrates)


#: (words, what it means for care) of each score
MEANINGS = {
    Score.CONCUR: (gettext_lazy("I agree"), ""),
    Score.UNDERSTANDABLE_A: (gettext_lazy("Understandable miss"), gettext_lazy("unlikely to matter for care")),
    Score.UNDERSTANDABLE_B: (gettext_lazy("Understandable miss"), gettext_lazy("likely to matter for care")),
    Score.MOST_OF_TIME_A: (
        gettext_lazy("Should be seen most of the time"),
        gettext_lazy("unlikely to matter for care"),
    ),
    Score.MOST_OF_TIME_B: (
        gettext_lazy("Should be seen most of the time"),
        gettext_lazy("likely to matter for care"),
    ),
}


def _choices(form: forms.Form) -> list[dict[str, Any]]:
    """The grades as large buttons: code, words, meaning."""
    name = "grade" if "grade" in form.fields else "score"
    if name not in form.fields:
        return []
    picked, rows = form[name].value(), []
    for code, label in form.fields[name].choices:
        words, meaning = MEANINGS[Score(code)] if name == "score" else (str(label).partition(" · ")[2] or label, "")
        row = {"name": name, "code": code, "words": words, "meaning": meaning, "is_on": picked == code}
        rows.append(row)
    return rows


def _impression(request: HttpRequest, case: ReviewCase) -> HttpResponse:
    form = ImpressionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.give_impression(case, text=form.cleaned_data["own_impression"], actor=request.actor)
        return redirect("review_case", uuid=case.uuid)
    return _case_page(request, case, form)


def _case_page(request: HttpRequest, case: ReviewCase, form: forms.Form, *, arbitrates: bool = False) -> HttpResponse:
    record_read(request.actor, perms.SCORE_CASE, entity=case)
    mine = selectors.my_cases(actor=request.actor).filter(round=case.round) if case.round_id else None
    waiting = selectors.my_cases(actor=request.actor).filter(status=CaseStatus.ASSIGNED).exclude(pk=case.pk)
    is_mine = case.reviewer_id == request.user.pk and case.status == CaseStatus.ASSIGNED
    reading, asked = blinded_reading(case), blinded_request(case)
    if asked["question"] in {words for _heading, words in reading}:
        asked["question"] = ""  # the report says it itself
    context = {
        "nav": "peer_review",
        "choices": _choices(form),
        "later": (waiting.filter(pk__gt=case.pk).first() or waiting.first()) if is_mine else None,
        "may_swap": is_mine and case.round_id is not None,
        "case": case,
        "form": form,
        "arbitrates": arbitrates,
        "said": blinded(case, case.comment) if arbitrates else case.comment,
        "is_open": arbitrates or case.status == CaseStatus.ASSIGNED,
        "reading": reading,
        "asked": asked,
        "done": mine.exclude(status=CaseStatus.ASSIGNED).count() if mine is not None else 0,
        "total": mine.count() if mine is not None else 0,
    }
    return render(request, "peerreview/review_case.html", context, status=400 if form.errors else 200)


def add_errors(form: forms.Form, refusal: InvalidData) -> None:
    for field, message in refusal.errors.items():
        form.add_error(field if field in form.fields else None, message)


def _to_next_case(request: HttpRequest) -> HttpResponse:
    following = selectors.my_cases(actor=request.actor).filter(status=CaseStatus.ASSIGNED).first()
    return redirect("review_case", uuid=following.uuid) if following else redirect("review_list")


@require_POST
@page(perms.SCORE_CASE)
def report_score(request: HttpRequest, uuid) -> HttpResponse:
    """A prior opened for comparison, scored where one reads; back to where one was."""
    report = found(reports(actor=request.actor), uuid)
    words = {name: request.POST.get(name, "") for name in ("score", "comment", "category")}
    services.review_ad_hoc(report, **words, actor=request.actor)
    messages.success(request, _("Your score is kept."))
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_ours else reverse("review_list"))


# --- what follows a discrepancy


@require_GET
@page((perms.ANSWER_DISCREPANCY, perms.MANAGE_ROUND))
def review_discrepancy(request: HttpRequest, uuid) -> HttpResponse:
    """To the author: what was found, never by whom. To the lead: how it was answered."""
    row: Discrepancy = found(selectors.discrepancies(actor=request.actor), uuid)
    record_read(request.actor, perms.ANSWER_DISCREPANCY, entity=row)
    said = row.case.report_version.sections
    is_author = row.case.report_version.signed_by_id == request.actor.user.pk
    may_see = is_author or reports(actor=request.actor).filter(pk=row.case.report_id).exists()
    context = {
        "discrepancy": row,
        "report": row.case.report if may_see else None,
        "comment": unsigned(row.case, row.case.comment),
        "arbitration_comment": unsigned(row.case, row.case.arbitration_comment),
        "sections": [(label, said[name]) for name, (_code, label) in SECTIONS.items() if said.get(name) and may_see],
        "may_answer": is_author and request.actor.may(perms.ANSWER_DISCREPANCY) and row.status in (D.OPEN, D.DECLINED),
        "may_resolve": not is_author and request.actor.may(perms.MANAGE_ROUND) and row.status != D.RESOLVED,
        "resolve_form": ResolveForm(initial={"impact": row.impact}),
        **proof_context(request),
    }
    return render(request, "peerreview/discrepancy.html", context)


@require_POST
@page(perms.ANSWER_DISCREPANCY)
def discrepancy_addend(request: HttpRequest, uuid) -> HttpResponse:
    row = found(selectors.discrepancies(actor=request.actor), uuid)
    proof(request)
    services.addend_discrepancy(row, text=request.POST.get("text", ""), actor=request.actor)
    messages.success(request, _("The addendum is signed. Whoever had an earlier version is told."))
    return redirect("review_discrepancy", uuid=uuid)


@require_POST
@page(perms.ANSWER_DISCREPANCY)
def discrepancy_decline(request: HttpRequest, uuid) -> HttpResponse:
    row = found(selectors.discrepancies(actor=request.actor), uuid)
    services.decline_discrepancy(row, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Your reason is kept; the lead is told."))
    return redirect("review_discrepancy", uuid=uuid)


@require_POST
@page(perms.MANAGE_ROUND)
def discrepancy_resolve(request: HttpRequest, uuid) -> HttpResponse:
    row = found(selectors.discrepancies(actor=request.actor), uuid)
    services.resolve_discrepancy(
        row,
        resolution=request.POST.get("resolution", ""),
        impact=request.POST.get("impact", ""),
        actor=request.actor,
    )
    messages.success(request, _("The discrepancy is resolved."))
    return redirect("review_discrepancy", uuid=uuid)
