"""The board of critical results: what is open by time left, one of them with its calls, how many were in time."""

from __future__ import annotations

import csv
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import CriticalResult, Report
from reporting.selectors.critical import BOXES, board_counts, board_fingerprint
from reporting.services.critical import minutes_of
from reporting.services.critical_chain import contacts_at
from reporting.web.forms import ContactForm
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.errors import InvalidData, NotKnown

CHART = {"left": 34, "right": 930, "top": 14, "bottom": 100}


def _row(critical: Any) -> Any:
    """Minutes left and how many there were, and the last thing that was tried."""
    critical.minutes_left = round((critical.due_at - timezone.now()).total_seconds() / 60)
    critical.minutes_total = max(1, round((critical.due_at - critical.found_at).total_seconds() / 60))
    attempts = list(critical.attempts.all())
    critical.tries = sum(1 for attempt in attempts if attempt.by_id is not None)
    critical.last_attempt = attempts[-1] if attempts else None
    return critical


def _board(request: ActorRequest, chosen: Any = None) -> HttpResponse:
    box = request.GET.get("box", "open")
    box = box if box in BOXES else "open"
    etag = f'"{board_fingerprint(actor=request.actor)}-{box}"'
    if request.headers.get("HX-Request") == "true" and request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    rows = [_row(row) for row in selectors.critical_board(actor=request.actor, box=box)[:100]]
    if chosen is None and rows and not request.GET.get("wall"):
        chosen = rows[0]
    record_read(
        request.actor,
        perms.VIEW_CRITICAL,
        entity=None,
        patients=sorted({row.procedure.order.patient.uuid for row in rows}),
        detail={"rows": len(rows), "box": box},
    )
    months = selectors.compliance_by_month(actor=request.actor)
    context = {
        "nav": "critical",
        "rows": rows,
        "chosen": chosen,
        "box": box,
        "counts": board_counts(actor=request.actor),
        "months": months,
        "chart": _chart(months),
        "this_month": months[-1],
        "limits": [(category, minutes_of(category)) for category in (1, 2, 3)],
        "wall": bool(request.GET.get("wall")),
        "contact_form": ContactForm(),
    }
    if chosen is not None:
        reports = Report.objects.visible_to(request.actor)
        context["may_open_report"] = reports.filter(pk=chosen.report_id).exists()
        context["next_people"] = contacts_at(chosen, chosen.escalation_level + 1).people if chosen.status == "open" else []
    response = render(request, "reporting/critical_board.html", context)
    response["ETag"] = etag
    return response


def _chart(months: list[Any]) -> dict[str, Any]:
    """A line of shares in time: 100 % on top, 50 % at the foot, or 0 % where a month was worse than that."""
    shares = [month.share for month in months if month.share is not None]
    foot = 50 if min(shares, default=100) >= 50 else 0
    width = (CHART["right"] - CHART["left"]) / max(1, len(months))
    points = []
    for place, month in enumerate(months):
        if month.share is None:
            continue
        y = CHART["top"] + (100 - month.share) * (CHART["bottom"] - CHART["top"]) / (100 - foot)
        points.append({"x": round(CHART["left"] + width * (place + 0.5)), "y": round(y, 1), "share": month.share})
    labels = [(round(CHART["left"] + width * (place + 0.5)), month.first) for place, month in enumerate(months)]
    line = " ".join(f"{p['x']},{p['y']}" for p in points)
    return {"points": points, "labels": labels, "line": line, "foot": foot, "middle": (100 + foot) // 2}


@require_GET
@page(perms.VIEW_CRITICAL)
def critical_board(request: ActorRequest) -> HttpResponse:
    return _board(request)


def _get(request: ActorRequest, uuid: UUID) -> CriticalResult:
    critical = selectors.critical_results(actor=request.actor).filter(uuid=uuid).first()
    if critical is None:
        raise NotKnown(_("There is no such critical result in this facility."))
    return critical


@require_GET
@page(perms.VIEW_CRITICAL)
def critical_detail(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = _row(_get(request, uuid))
    record_read(request.actor, perms.VIEW_CRITICAL, entity=critical)
    return _board(request, critical)


def _done(critical: CriticalResult, request: ActorRequest, said: str) -> HttpResponse:
    messages.success(request, said)
    return HttpResponseRedirect(reverse("critical_detail", args=[critical.uuid]))


@require_POST
@page(perms.COMMUNICATE_CRITICAL)
def critical_contact(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = _get(request, uuid)
    form = ContactForm(request.POST)
    if not form.is_valid():
        raise InvalidData(_("This call cannot be noted."), errors={k: v[0] for k, v in form.errors.items()})
    outcome = "reached" if request.POST.get("outcome") == "reached" else "no_answer"
    said = {**form.cleaned_data, "read_back": form.cleaned_data["read_back"] and outcome == "reached"}
    services.log_contact(critical, outcome=outcome, actor=request.actor, **said)
    return _done(critical, request, _("The call is noted."))


@require_POST
@page(perms.ACKNOWLEDGE_CRITICAL)
def critical_acknowledge(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = services.acknowledge_critical(_get(request, uuid), actor=request.actor)
    return _done(critical, request, _("Acknowledged."))


@require_POST
@page(perms.RAISE_CRITICAL)
def critical_withdraw(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = _get(request, uuid)
    services.withdraw_critical(critical, reason=request.POST.get("reason", ""), actor=request.actor)
    return _done(critical, request, _("Withdrawn."))


@require_POST
@page(perms.COMMUNICATE_CRITICAL)
def critical_escalate(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = services.escalate(_get(request, uuid), at_once=True, actor=request.actor)
    return _done(critical, request, _("The next in the chain is told."))


@require_POST
@page(perms.COMMUNICATE_CRITICAL)
def critical_close(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = services.close_critical(_get(request, uuid), actor=request.actor)
    return _done(critical, request, _("Closed."))


@require_GET
@page(perms.VIEW_CRITICAL)
def critical_csv(request: ActorRequest) -> HttpResponse:
    """The table under the chart; no patient in it."""
    record(request.actor, perms.VIEW_CRITICAL, Action.READ, detail={"page": "csv"})
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="critical-results.csv"'
    writer = csv.writer(response)
    writer.writerow(["month", "findings", "in_time", "late", "percent_in_time", "median_minutes"])
    for month in selectors.compliance_by_month(actor=request.actor, months=12):
        middle = "" if month.median_minutes is None else round(month.median_minutes, 1)
        writer.writerow([f"{month.first:%Y-%m}", month.findings, month.in_time, month.late, month.share, middle])
    return response
