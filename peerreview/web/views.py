"""Peer review: my cases, the case under review, and the lead's rounds."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from peerreview import permissions as perms
from peerreview import selectors, services
from peerreview.models import CaseStatus, ReviewRound
from peerreview.web.forms import RoundForm, ScoreForm
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown


def _found(queryset, uuid):
    row = queryset.filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such case or round, or it is not yours to see."))
    return row


@require_GET
@page(perms.VIEW_ROUND)
def review_list(request: HttpRequest) -> HttpResponse:
    mine = list(selectors.my_cases(actor=request.actor))
    context = {
        "open_cases": [case for case in mine if case.status == CaseStatus.ASSIGNED],
        "done": sum(case.status != CaseStatus.ASSIGNED for case in mine),
        "total": len(mine),
        "arbitration": list(selectors.to_arbitrate(actor=request.actor)),
        "rounds": list(selectors.rounds(actor=request.actor)),
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
        case = _found(selectors.to_arbitrate(actor=request.actor), uuid)
    form = ScoreForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        decide = services.arbitrate_case if arbitrates else services.score_case
        try:
            decide(case, **form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            for field, message in refusal.errors.items():
                form.add_error(field, message)
        else:
            messages.success(request, _("Your score is kept."))
            return _to_next_case(request)
    record_read(request.actor, perms.SCORE_CASE, entity=case)
    context = {"case": case, "form": form, "arbitrates": arbitrates, "procedures": list(case.report.procedures.all())}
    return render(request, "peerreview/review_case.html", context, status=400 if form.errors else 200)


def _to_next_case(request: HttpRequest) -> HttpResponse:
    following = selectors.my_cases(actor=request.actor).filter(status=CaseStatus.ASSIGNED).first()
    return redirect("review_case", uuid=following.uuid) if following else redirect("review_list")


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_ROUND)
def round_create(request: HttpRequest) -> HttpResponse:
    form = RoundForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            review_round = services.create_round(**form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            for field, message in refusal.errors.items():
                form.add_error(field, message)
        else:
            return redirect("review_round", uuid=review_round.uuid)
    return render(request, "peerreview/round_form.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
@page(perms.MANAGE_ROUND)
def review_round(request: HttpRequest, uuid) -> HttpResponse:
    """Preview before launch; progress and agreement after. No reader is ranked here."""
    row: ReviewRound = _found(selectors.rounds(actor=request.actor), uuid)
    agreement = selectors.agreement(row)
    context = {"round": row, "agreement": agreement, "agreement_percent": round(agreement.share * 100)}
    context["interval"] = [round(value * 100) for value in agreement.interval]
    if row.status == "draft":
        drawn = services.sample(row)
        context["preview_cases"] = len(drawn)
        context["preview_readers"] = len({version.signed_by_id for version, _reviewer in drawn})
    return render(request, "peerreview/round_detail.html", context)


@require_POST
@page(perms.MANAGE_ROUND)
def round_launch(request: HttpRequest, uuid) -> HttpResponse:
    services.launch_round(_found(selectors.rounds(actor=request.actor), uuid), actor=request.actor)
    messages.success(request, _("The cases are given out."))
    return redirect("review_round", uuid=uuid)


@require_POST
@page(perms.MANAGE_ROUND)
def round_close(request: HttpRequest, uuid) -> HttpResponse:
    services.close_round(_found(selectors.rounds(actor=request.actor), uuid), actor=request.actor)
    messages.success(request, _("The round is closed."))
    return redirect("review_round", uuid=uuid)
