"""One report: written by who holds the lock, read by all others; signed, amended, compared, printed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from orders.models import RequestedProcedure
from orders.timeline import entries_of
from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import Report
from reporting.reading_times import ON_THE_LIST
from reporting.selectors.reading import minutes_left
from reporting.selectors.reading_filters import unread
from reporting.services.checks import BLOCK
from reporting.services.writing import READABLE, report_of
from reporting.web.critical_raise import answer_raised, raise_from
from reporting.web.detail import detail_context
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.actor import SYSTEM
from ris.core.errors import NotKnown


def surroundings(request: ActorRequest, procedures: list[RequestedProcedure], *, timeline: str = "") -> dict[str, Any]:
    """The context pane: request, priors, technologist's notes, timeline; images and dose come from panels.

    ``timeline``: where it can be asked for, when it shall not be waited for.
    """
    first = procedures[0]
    return {
        "procedures": procedures,
        "procedure": first,
        "order": first.order,
        "patient": first.order.patient,
        "priors": selectors.priors_of(procedures, actor=request.actor),
        "outside_reports": selectors.outside_reports_of(procedures, actor=request.actor),
        "notes": selectors.technologist_notes(procedures if request.actor.may(perms.VIEW_READING_LIST) else []),
        "timeline": [] if timeline else entries_of(first, request=request),
        "timeline_at": timeline,
        "criticals": [
            row
            for row in selectors.critical_results(actor=request.actor).filter(procedure__in=procedures)
            if row.status != "withdrawn"
        ],
    }


def procedures_of(report: Report) -> list[RequestedProcedure]:
    return sorted(report.procedures.all(), key=lambda procedure: procedure.pk)


def checks_context(checks: list[Any]) -> dict[str, Any]:
    blocking = sum(check.level == BLOCK for check in checks)
    return {
        "checks": checks,
        "blocking": blocking,
        "warning": len(checks) - blocking,
        "checked_at": timezone.localtime(),
    }


def time_left(procedure: RequestedProcedure) -> dict[str, Any]:
    place = getattr(procedure, "reading_item", None)
    if place is not None and procedure.status in ON_THE_LIST:
        row: Any = procedure
        row.due_at = place.due_at
    else:
        row = unread(SYSTEM).filter(pk=procedure.pk).select_related("order", "reading_item").order_by().first()
    if row is None:
        return {"minutes_left": None, "minutes_total": None}
    left, total = minutes_left(row)
    return {"minutes_left": left, "minutes_total": total}


def detail_page(request: ActorRequest, report: Report, *, lock: Any = None) -> HttpResponse:
    context = detail_context(request, report, lock=lock)
    return render(request, "reporting/report_detail.html", context | surroundings(request, procedures_of(report)))


@require_GET
@page(perms.VIEW_READING_LIST)
def reading_exam(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """An exam to be read, looked at without claiming it; its report, when there is one."""
    rows = RequestedProcedure.objects.visible_to(request.actor).for_display()
    procedure = rows.filter(uuid=uuid).first()
    if procedure is None:
        raise NotKnown(_("There is no such exam in this facility."))
    report = report_of([procedure])
    if report is not None:
        return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))
    record_read(request.actor, perms.VIEW_READING_LIST, entity=procedure)
    together = rows.filter(order__patient=procedure.order.patient, status__in=READABLE, reports__isnull=True)
    context = {
        "nav": "reading",
        "report": None,
        "may_open": procedure.status in READABLE and request.actor.may(perms.CLAIM_PROCEDURE),
        "together": together.exclude(pk=procedure.pk),
        **surroundings(request, [procedure]),
    }
    return render(request, "reporting/report_detail.html", context)


@require_GET
@page(perms.VIEW_REPORT)
def report_timeline(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """What happened to the exam of a report: asked for when the editor's tab is opened; without scripts a page."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    record_read(request.actor, perms.VIEW_REPORT, entity=report, detail={"part": "timeline"})
    first = procedures_of(report)[0]
    context = {"nav": "reading", "report": report, "procedure": first, "patient": first.order.patient}
    context["timeline"] = entries_of(first, request=request)
    is_part = request.headers.get("HX-Request") == "true"
    return render(request, "reporting/_timeline.html" if is_part else "reporting/timeline.html", context)


# --- writing


def _to(report: Report) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("report_edit", args=[report.uuid]))


@require_POST
@page(perms.CLAIM_PROCEDURE)
def report_beat(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    return JsonResponse({"is_mine": services.beat(report, actor=request.actor)})


@require_POST
@page(perms.CLAIM_PROCEDURE)
def report_release(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.release_report(report, actor=request.actor)
    messages.success(request, _("Released. The exam is back on the list, your text is kept."))
    return HttpResponseRedirect(reverse("reading_list"))


@require_POST
@page(perms.TAKE_OVER)
def report_take_over(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.take_over(report, reason=request.POST.get("reason", ""), actor=request.actor)
    return _to(report)


@require_POST
@page(perms.WRITE_REPORT)
def report_discard(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    services.discard_report(report, reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("Discarded. The exam is back on the list."))
    return HttpResponseRedirect(reverse("reading_list"))


@require_POST
@page(perms.RAISE_CRITICAL)
def report_critical(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Raise a critical result without leaving the editor."""
    report = selectors.report_by_uuid(uuid, actor=request.actor)
    critical = raise_from(request, report.first_procedure, report=report)
    name, args = ("critical_detail", [critical.uuid]) if report.is_signed else ("report_edit", [uuid])
    return answer_raised(request, critical, back=reverse(name, args=args), report=report)
