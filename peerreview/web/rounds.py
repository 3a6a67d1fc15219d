"""The lead's pages: a round planned, looked at, launched, its cases passed on, closed. No reader is ranked here."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from peerreview import permissions as perms
from peerreview import selectors, services
from peerreview.models import CaseStatus, ReviewRound, RoundStatus
from peerreview.web.forms import ReassignForm, RoundForm
from peerreview.web.tending import DueForm
from peerreview.web.views import add_errors, found
from ris.accounts.web import page
from ris.core.errors import InvalidData


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_ROUND)
def round_create(request: HttpRequest) -> HttpResponse:
    form = RoundForm(request.POST or None, actor=request.actor)
    if request.method == "POST" and form.is_valid():
        try:
            review_round = services.create_round(**form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            return redirect("review_round", uuid=review_round.uuid)
    return render(request, "peerreview/round_form.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
@page(perms.MANAGE_ROUND)
def review_round(request: HttpRequest, uuid) -> HttpResponse:
    """Preview before launch; progress, waiting cases and agreement after."""
    row: ReviewRound = found(selectors.rounds(actor=request.actor), uuid)
    agreement = selectors.agreement(row)
    context = {"round": row, "agreement": agreement, "agreement_percent": round(agreement.share * 100)}
    context["interval"] = [round(value * 100) for value in agreement.interval]
    if row.status == RoundStatus.DRAFT:
        context["preview"] = services.preview(row)
    else:
        waiting = selectors.cases(actor=request.actor).filter(round=row, status=CaseStatus.ASSIGNED)
        context["waiting"] = list(waiting[:WAITING_SHOWN])
        lapsed = selectors.cases(actor=request.actor).filter(round=row, status=CaseStatus.LAPSED)
        context["not_reviewed"] = list(lapsed[:WAITING_SHOWN]) if row.not_reviewed_count else []
        context["groups"] = selectors.agreement_by_modality(row)
        context["funnel"] = selectors.funnel(row)
        context["due_form"] = DueForm(initial={"due_on": row.due_on})
    return render(request, "peerreview/round_detail.html", context)


WAITING_SHOWN = 100


@require_POST
@page(perms.MANAGE_ROUND)
def round_launch(request: HttpRequest, uuid) -> HttpResponse:
    seen = request.POST.get("expected_cases", "")
    services.launch_round(
        found(selectors.rounds(actor=request.actor), uuid),
        expected_cases=int(seen) if seen.isdecimal() and len(seen) < 7 else None,
        actor=request.actor,
    )
    messages.success(request, _("The cases are given out."))
    return redirect("review_round", uuid=uuid)


@require_POST
@page(perms.MANAGE_ROUND)
def round_close(request: HttpRequest, uuid) -> HttpResponse:
    services.close_round(
        found(selectors.rounds(actor=request.actor), uuid),
        without_waiting="without_waiting" in request.POST,
        actor=request.actor,
    )
    messages.success(request, _("The round is closed."))
    return redirect("review_round", uuid=uuid)


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_ROUND)
def case_reassign(request: HttpRequest, uuid) -> HttpResponse:
    case = found(selectors.cases(actor=request.actor), uuid)
    form = ReassignForm(request.POST or None, case=case)
    if request.method == "POST" and form.is_valid():
        try:
            services.reassign_case(case, **form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            messages.success(request, _("The case is passed on."))
            return redirect("review_round", uuid=case.round.uuid) if case.round else redirect("review_list")
    context = {"case": case, "form": form}
    return render(request, "peerreview/case_reassign.html", context, status=400 if form.errors else 200)
