"""Recommended exams: written beside the report, and the list of those that are due."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET, require_POST

from orders.models import CatalogueProcedure, Modality
from reporting import permissions as perms
from reporting import selectors as report_selectors
from reporting.follow_up_letter import render_letter
from reporting.models import FollowUp, Report
from reporting.selectors import followups as selectors
from reporting.services import followups as services
from reporting.web.paper import pdf_response
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown

ROWS = 50
BOXES = {
    "late": (gettext_lazy("Late"), "clock-exclamation"),
    "soon": (gettext_lazy("Due within 30 days"), "calendar"),
    "open": (gettext_lazy("All that are open"), "list-check"),
    "done": (gettext_lazy("Done"), "circle-check"),
    "cancelled": (pgettext_lazy("exams", "Cancelled"), "circle-x"),
}


class RecommendForm(forms.Form):
    exam = forms.ModelChoiceField(
        queryset=CatalogueProcedure.objects.filter(is_active=True), required=False, to_field_name="code"
    )
    modality = forms.ChoiceField(choices=[("", "–"), *Modality.choices], required=False)
    body_region = forms.CharField(max_length=40, required=False)
    due_on = forms.DateField()
    reason = forms.CharField(max_length=300)


@require_GET
@page(perms.VIEW_FOLLOW_UP)
def follow_up_list(request: ActorRequest) -> HttpResponse:
    box = request.GET.get("box", "late")
    box = box if box in BOXES else "late"
    modality = request.GET.get("modality", "")
    rows = selectors.follow_ups(actor=request.actor, box=box, modality=modality if modality in Modality.values else "")
    shown = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    patients = {row.audit_patient for row in shown}
    record_read(request.actor, perms.VIEW_FOLLOW_UP, patients=sorted(patients), detail={"rows": len(shown), "box": box})
    counts = selectors.follow_up_counts(actor=request.actor)
    context = {
        "nav": "follow-ups",
        "box": box,
        "title": BOXES[box][0],
        "boxes": [(key, words, icon, counts[key]) for key, (words, icon) in BOXES.items()],
        "page": shown,
        "modalities": Modality.choices,
        "may_close": request.actor.may(perms.CLOSE_FOLLOW_UP),
        "may_recommend": request.actor.may(perms.RECOMMEND),
    }
    return render(request, "reporting/follow_ups.html", context)


def _partial(request: ActorRequest, report: Report) -> HttpResponse:
    """The card beside a report, for a page that stays as it is."""
    context = {"report": report, **selectors.beside_report(report, actor=request.actor)}
    return render(request, "reporting/_follow_ups.html", context)


@require_POST
@page(perms.RECOMMEND)
def report_recommend(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Recommend an exam in this report."""
    report = report_selectors.report_by_uuid(uuid, actor=request.actor)
    form = RecommendForm(request.POST)
    if not form.is_valid():
        raise InvalidData(
            _("The recommendation is not complete."), errors={name: words[0] for name, words in form.errors.items()}
        )
    data = form.cleaned_data
    row = services.recommend(
        report,
        due_on=data["due_on"],
        reason=data["reason"],
        modality=data["modality"],
        body_region=data["body_region"],
        catalogue=data["exam"],
        actor=request.actor,
    )
    if request.htmx:
        return _partial(request, report)
    messages.success(request, _("Recommended: %(what)s") % {"what": row.sentence})
    return HttpResponseRedirect(reverse("report_detail", args=[report.uuid]))


def _get(request: ActorRequest, uuid: UUID) -> FollowUp:
    rows = FollowUp.objects.visible_to(request.actor).select_related("procedure__order__patient")
    row = rows.filter(uuid=uuid).first()
    if row is None:
        raise NotKnown(_("There is no such recommendation in this facility."))
    return row


@require_POST
@page(perms.CLOSE_FOLLOW_UP)
def follow_up_close(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """``do``: done or cancelled; ``reason`` says where, or why not."""
    row = services.close_follow_up(
        _get(request, uuid),
        reason=request.POST.get("reason", ""),
        is_done=request.POST.get("do") != "cancelled",
        actor=request.actor,
    )
    if request.htmx:
        return _partial(request, row.report)
    messages.success(request, _("Noted: %(status)s.") % {"status": row.get_status_display()})
    return _back(request, row)


@require_POST
@page(perms.RECOMMEND)
def follow_up_reopen(request: ActorRequest, uuid: UUID) -> HttpResponse:
    row = services.reopen_follow_up(_get(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("It is open again."))
    return _back(request, row)


@require_POST
@page(perms.CLOSE_FOLLOW_UP)
def follow_up_letter(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The letter to the patient, for paper."""
    row = services.note_letter(_get(request, uuid), actor=request.actor)
    return pdf_response(render_letter(row), f"letter-{row.uuid}")


def _back(request: ActorRequest, row: FollowUp) -> HttpResponse:
    if request.POST.get("back") == "report":
        return HttpResponseRedirect(reverse("report_detail", args=[row.report.uuid]))
    return HttpResponseRedirect(f"{reverse('follow_up_list')}?box={request.POST.get('box', 'late')}")
