"""Scales, priors and answers beside the text of a report that is being written."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting import selectors, services
from reporting.assessments import SCHEMES, Scheme, schemes_for
from reporting.models import Report
from reporting.services.assessing import assess, scheme_of
from reporting.web.forms import posted_revision
from ris.accounts.selectors import facility_settings
from ris.accounts.web import ActorRequest, page
from ris.core.errors import InvalidData, NotKnown


def posted_answers(scheme: Scheme, data: QueryDict) -> dict[str, Any]:
    """What a scale's form sent; ``a-<key>`` so that no name meets another form's."""
    return {
        field.key: data.getlist(f"a-{field.key}") if field.kind == "many" else data.get(f"a-{field.key}", "")
        for field in scheme.fields
    }


def assessments_context(report: Report, procedures: list[RequestedProcedure]) -> dict[str, Any]:
    """What ``reporting/_assessments.html`` and ``_sign.html`` need."""
    return {
        "recall_minutes": facility_settings().recall_minutes,
        "assessments": [(SCHEMES.get(row.scheme), row) for row in report.assessments.standing()],
        "schemes": schemes_for(
            (procedure.modality for procedure in procedures), (procedure.body_region for procedure in procedures)
        ),
    }


def _back(report: Report) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.WRITE_REPORT)
def assessment_add(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    scheme = scheme_of(request.POST.get("scheme", ""))
    services.add_assessment(
        report,
        scheme=scheme.key,
        inputs=posted_answers(scheme, request.POST),
        label=request.POST.get("label", ""),
        into_text=request.POST.get("into_text") == "1",
        actor=request.actor,
    )
    return _back(report)


@require_POST
@page(perms.WRITE_REPORT)
def assessment_preview(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What follows from the answers so far; nothing is kept."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    scheme, context = scheme_of(request.POST.get("scheme", "")), {}
    try:
        with translation.override(report.language or "en"):
            _answers, result = assess(scheme, posted_answers(scheme, request.POST))
            context = {
                "category": scheme.describe(result.category),
                "title": str(result.title),
                "management": str(result.management),
                "score": result.score,
            }
    except InvalidData as missing:  # a form half filled in is no refusal: it says what is still asked
        labels = {field.key: str(field.label) for field in scheme.fields}
        context = {"missing": [f"{labels.get(key, key)}: {words}" for key, words in missing.errors.items()]}
    return render(request, "reporting/_assessment_result.html", context)


@require_POST
@page(perms.WRITE_REPORT)
def assessment_remove(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.remove_assessment(report, assessment=_uuid(request.POST.get("assessment", "")), actor=request.actor)
    return _back(report)


def _uuid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise NotKnown(_("There is no such assessment in this report.")) from None


@require_POST
@page(perms.WRITE_REPORT)
def report_cite(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Put a prior into the comparison."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    rows = RequestedProcedure.objects.visible_to(request.actor)
    prior = rows.filter(uuid=_uuid(request.POST.get("prior", ""))).first()
    if prior is None:
        raise NotKnown(_("There is no such exam in this facility."))
    services.cite_prior(report, prior=prior, revision=posted_revision(request.POST), actor=request.actor)
    return _back(report)


@require_POST
@page(perms.WRITE_REPORT)
def report_not_critical(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.answer_not_critical(report, actor=request.actor)
    messages.success(request, _("Noted: these words need no alert."))
    return _back(report)
