"""Raising an alert: from the editor, from a report, from an exam. One form, one service."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting import services
from reporting.models import AlertCategory, CriticalResult, Report
from reporting.selectors.critical import categories
from reporting.services.critical_chain import limit_of
from reporting.services.critical_report import sentence_of, write_sentence
from reporting.services.writing import report_of
from reporting.web.forms import CHANNELS
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import Conflict, InvalidData, NotKnown


class RaiseForm(forms.Form):
    """What an alert needs; the lower half only where somebody was told already."""

    category = forms.SlugField(label=gettext_lazy("Category"), max_length=20)
    finding = forms.CharField(label=gettext_lazy("Finding"), max_length=300)
    deadline_minutes = forms.IntegerField(
        label=gettext_lazy("Another deadline (minutes from now)"), min_value=1, max_value=60 * 24 * 60, required=False
    )
    person = forms.CharField(label=gettext_lazy("Who took it"), max_length=120, required=False)
    channel = forms.ChoiceField(label=gettext_lazy("How"), choices=CHANNELS, required=False)
    read_back = forms.BooleanField(label=gettext_lazy("Read back and correct"), required=False)


def choices_for(procedure: RequestedProcedure) -> list[dict[str, Any]]:
    """The categories with their limits and the findings offered for this exam's modality."""
    return [
        {
            "row": row,
            "minutes": round(limit_of(row.severity, row).total_seconds() / 60),
            "findings": [
                finding.text
                for finding in row.findings.all()
                if finding.is_active and finding.modality in ("", procedure.modality)
            ],
        }
        for row in categories(with_chain=False)
    ]


def raise_context(procedure: RequestedProcedure, *, report: Report | None = None) -> dict[str, Any]:
    """What ``reporting/_raise_critical.html`` needs, on whichever page includes it."""
    return {
        "raise_procedure": procedure,
        "raise_report": report,
        "raise_categories": choices_for(procedure),
        "raise_channels": CHANNELS,
    }


def raise_from(request: ActorRequest, procedure: RequestedProcedure, *, report: Report | None = None) -> CriticalResult:
    """Raise what the form says, and log the call where one was made already."""
    form = RaiseForm(request.POST)
    if not form.is_valid():
        raise InvalidData(_("This alert cannot be raised."), errors={k: v[0] for k, v in form.errors.items()})
    said = form.cleaned_data
    own = AlertCategory.objects.filter(code=said["category"], is_active=True).first()
    number = int(said["category"]) if said["category"].isdecimal() and len(said["category"]) == 1 else None
    critical = services.raise_critical_result(
        procedure,
        category=number,
        alert_category=own,
        finding=said["finding"],
        report=report,
        limit_minutes=said["deadline_minutes"],
        actor=request.actor,
    )
    if said["person"].strip():
        critical = services.log_contact(
            critical,
            channel=said["channel"] or "phone",
            person=said["person"],
            outcome="reached",
            read_back=said["read_back"],
            actor=request.actor,
        )
    return critical


def answer_raised(request: HttpRequest, critical: CriticalResult, *, back: str, report: Report | None) -> HttpResponse:
    """To a script: the sentence for the impression, and no reload. To a form: back to where it came from."""
    language = report.language if report is not None else ""
    sentence = sentence_of(critical, language=language)
    if request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse(
            {
                "id": str(critical.uuid),
                "url": reverse("critical_detail", args=[critical.uuid]),
                "words": str(critical),
                "finding": critical.finding,
                "status": critical.status,
                "sentence": sentence,
            },
            status=201,
        )
    if sentence:
        write_sentence(critical, actor=request.actor)
    messages.success(request, _("The alert is raised; its clock runs. Log your call on the board."))
    return HttpResponseRedirect(back)


@require_http_methods(["GET", "POST"])
@page(perms.RAISE_CRITICAL)
def critical_raise(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A page of its own for an exam; ``uuid`` is the requested procedure's."""
    procedure = (
        RequestedProcedure.objects.visible_to(request.actor).select_related("order__patient").filter(uuid=uuid).first()
    )
    if procedure is None:
        raise NotKnown(_("There is no such exam in this facility."))
    report = _report(procedure)
    if request.method == "GET":
        record_read(request.actor, perms.RAISE_CRITICAL, entity=procedure)
        context = {
            "nav": "critical",
            "procedure": procedure,
            "patient": procedure.order.patient,
            **raise_context(procedure),
        }
        return render(request, "reporting/critical_raise.html", context)
    critical = raise_from(request, procedure, report=report)
    wanted = request.POST.get("next", "")
    is_ours = wanted and url_has_allowed_host_and_scheme(wanted, {request.get_host()})
    back = wanted if is_ours else reverse("critical_detail", args=[critical.uuid])
    return answer_raised(request, critical, back=back, report=report)


def _report(procedure: RequestedProcedure) -> Report | None:
    try:
        return report_of([procedure])
    except Conflict:  # several reports speak of it: the alert belongs to the exam alone
        return None
