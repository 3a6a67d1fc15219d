"""Peer learning: submitted in two clicks, prepared by the coordinator, told to the author in private."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from peerreview import learning as selectors
from peerreview import permissions as perms
from peerreview import services
from peerreview.models import ConferenceStatus, LearningCase, LearningKind, LearningStatus
from peerreview.services.learning import whose_words
from peerreview.web.views import add_errors, found
from reporting.models import Report
from reporting.selectors.reports import reports
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData

SHOWN = 50


class PrepareForm(forms.Form):
    """What a conference will show."""

    title = forms.CharField(label=gettext_lazy("Title"), max_length=120)
    kind = forms.ChoiceField(label=gettext_lazy("What it teaches"), choices=LearningKind.choices)
    question = forms.CharField(
        label=gettext_lazy("Question"), required=False, max_length=20000, widget=forms.Textarea(attrs={"rows": 2})
    )
    text = forms.CharField(
        label=gettext_lazy("Report, de-identified"),
        required=False,
        max_length=20000,
        widget=forms.Textarea(attrs={"rows": 9}),
    )
    discussion = forms.CharField(
        label=gettext_lazy("Discussion"), required=False, max_length=20000, widget=forms.Textarea(attrs={"rows": 4})
    )
    points = forms.CharField(
        label=gettext_lazy("Learning points"),
        required=False,
        max_length=20000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("One on each line."),
    )
    is_read = forms.BooleanField(
        label=gettext_lazy("I have read all of it: nobody is named in it, and no number, place or date stands in it."),
        required=False,
    )


@never_cache
@require_GET
@page(perms.VIEW_LEARNING)
def learning_home(request: ActorRequest) -> HttpResponse:
    """Conferences, what is told to oneself, what one submitted; what waits for the coordinator; numbers."""
    actor = request.actor
    waiting = selectors.to_prepare(actor=actor).filter(status__in=(LearningStatus.SUBMITTED, LearningStatus.READY))
    rows = list(waiting[:SHOWN])
    record_read(actor, perms.VIEW_LEARNING, detail={"page": "learning"})
    context = {
        "nav": "peer_learning",
        "waiting": rows,
        "told": list(selectors.feedback(actor=actor)[:SHOWN]),
        "mine": list(selectors.submissions(actor=actor)[:SHOWN]),
        "conferences": list(selectors.conferences(actor=actor)[:SHOWN]),
        "statistics": selectors.statistics(actor=actor),
        "own": selectors.statistics(actor=actor, own=True),
        "coordinates": actor.may(perms.COORDINATE_LEARNING),
    }
    return render(request, "peerreview/learning.html", context)


@require_POST
@page(perms.SUBMIT_LEARNING)
def learning_submit(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Beside a report: the button is the kind. Back to where one was."""
    report: Report = found(reports(actor=request.actor), uuid)
    services.submit_learning(
        report, kind=request.POST.get("kind", ""), note=request.POST.get("note", ""), actor=request.actor
    )
    messages.success(request, _("Submitted to learn from. Nobody is told that it was you."))
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_ours else reverse("learning"))


@never_cache
@require_http_methods(["GET", "POST"])
@page(perms.COORDINATE_LEARNING)
def learning_case(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The coordinator reads, takes out what names somebody, and makes it ready."""
    case: LearningCase = found(selectors.to_prepare(actor=request.actor), uuid)
    names = ("title", "kind", "question", "text", "discussion", "points")
    initial = {**{name: getattr(case, name) for name in names}, "is_read": case.read_at is not None}
    form = PrepareForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.prepare_learning(case, **form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            messages.success(request, _("Saved."))
            return redirect("learning_case", uuid=case.uuid)
    record_read(request.actor, perms.COORDINATE_LEARNING, entity=case)
    return render(
        request, "peerreview/learning_case.html", _prepared(request, case, form), status=400 if form.errors else 200
    )


def _prepared(request: ActorRequest, case: LearningCase, form: PrepareForm) -> dict[str, Any]:
    chosen = list(case.teaching.images.standing().order_by("number", "pk")) if case.teaching else []
    is_open = case.status != LearningStatus.DECLINED
    listed = [row.conference for row in case.entries.standing().select_related("conference")]
    planned = selectors.conferences(actor=request.actor).filter(status=ConferenceStatus.PLANNED)
    return {
        "nav": "peer_learning",
        "case": case,
        "form": form,
        "is_open": is_open,
        "whose": whose_words(case) if is_open else {},
        "pictures": selectors.pictures(case),
        "not_copied": sum(image.state != "copied" for image in chosen),
        "listed": listed,
        "conferences": planned.exclude(pk__in=[row.pk for row in listed]),
        "may_see_report": reports(actor=request.actor).filter(pk=case.report_id).exists(),
    }


def _act(request: ActorRequest, uuid: UUID) -> LearningCase:
    return found(selectors.to_prepare(actor=request.actor), uuid)


@require_POST
@page(perms.COORDINATE_LEARNING)
def learning_images(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.take_images(_act(request, uuid), actor=request.actor)
    messages.success(request, _("The images are being copied without names, numbers and dates."))
    return redirect("learning_case", uuid=uuid)


@require_POST
@page(perms.COORDINATE_LEARNING)
def learning_decline(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.decline_learning(_act(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The case is not taken; whoever submitted it reads why."))
    return redirect("learning")


@require_POST
@page(perms.COORDINATE_LEARNING)
def learning_tell(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.give_feedback(_act(request, uuid), text=request.POST.get("text", ""), actor=request.actor)
    messages.success(request, _("The author is told, and nobody else."))
    return redirect("learning_case", uuid=uuid)


@never_cache
@require_http_methods(["GET", "POST"])
@page(perms.VIEW_LEARNING)
def learning_feedback(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The author's own: what can be learned from a report of theirs. POST: read."""
    case: LearningCase = found(selectors.feedback(actor=request.actor), uuid)
    if request.method == "POST":
        services.acknowledge_feedback(case, actor=request.actor)
        messages.success(request, _("Thank you. It stays between you and the coordinator."))
        return redirect("learning")
    record_read(request.actor, perms.VIEW_LEARNING, entity=case)
    may_see = reports(actor=request.actor).filter(pk=case.report_id).exists()
    context = {"nav": "peer_learning", "case": case, "may_see_report": may_see}
    return render(request, "peerreview/learning_feedback.html", context)
