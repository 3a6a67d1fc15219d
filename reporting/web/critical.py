"""The board of critical results: what is open by time left, one of them with its calls, how many were in time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from reporting import permissions as perms
from reporting import selectors, services
from reporting.models import CriticalResult, Report
from reporting.selectors.critical import BOXES, ahead, board_counts, board_fingerprint, categories, shown
from reporting.selectors.critical_compliance import GROUPS, Group, compliance
from reporting.services.critical_chain import contacts_at, limit_of
from reporting.services.critical_report import add_sentence, is_told_in, report_for, sentence_of, write_sentence
from reporting.web.critical_wall import critical_wall
from reporting.web.forms import ContactForm
from reporting.web.proof import proof
from ris.accounts.selectors import facility_settings
from ris.accounts.web import ActorRequest, page
from ris.audit.models import Action
from ris.audit.service import record, record_read
from ris.core.clock import database_now
from ris.core.errors import InvalidData, NotKnown
from ris.core.spreadsheet import CSV, as_csv

CHART = {"left": 34, "right": 930, "top": 14, "bottom": 100}
MOST_ROWS = 100
OUTCOMES = ("reached", "no_answer", "busy", "message")
SPANS = (6, 12, 24)


@require_GET
def critical_board(request: HttpRequest) -> HttpResponse:
    """With ``?wall=1`` without names, also for a paired display that nobody is signed in at."""
    return critical_wall(request) if request.GET.get("wall") else _board_page(request)


@page(perms.VIEW_CRITICAL)
def _board_page(request: ActorRequest) -> HttpResponse:
    return _board(request)


def _board(request: ActorRequest, chosen: CriticalResult | None = None) -> HttpResponse:
    box = request.GET.get("box", "open")
    box = box if box in BOXES else "open"
    category = request.GET.get("category", "")[:20]
    etag = f'"{board_fingerprint(actor=request.actor)}-{box}-{category}"'
    if request.headers.get("HX-Request") == "true" and request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    now = database_now()
    rows: list[Any] = list(selectors.critical_board(actor=request.actor, box=box, category=category)[:MOST_ROWS])
    if chosen is None and rows:
        chosen = rows[0]
    for row in {id(row): row for row in (*rows, *([chosen] if chosen is not None else []))}.values():
        row.shown = shown(row, now)
    record_read(
        request.actor,
        perms.VIEW_CRITICAL,
        entity=None,
        patients=sorted({row.procedure.order.patient.uuid for row in rows}),
        detail={"rows": len(rows), "box": box},
    )
    kinds = categories()
    months = compliance(actor=request.actor, by="month")
    context = {
        "nav": "critical",
        "rows": rows,
        "chosen": chosen,
        "box": box,
        "counts": board_counts(actor=request.actor),
        "months": months,
        "chart": chart(months),
        "this_month": months[-1],
        "goal": facility_settings().critical_goal,
        "limits": [(row, round(limit_of(row.severity, row).total_seconds() / 60)) for row in kinds],
        "category_choices": [(row.code, row.name) for row in kinds],
        **(_chosen(request, chosen) if chosen is not None else {}),
    }
    response = render(request, "reporting/critical_board.html", context)
    response["ETag"] = etag
    return response


def _chosen(request: ActorRequest, critical: CriticalResult) -> dict[str, Any]:
    """What the pane beside the list shows of one alert."""
    report = report_for(critical)
    may_open = report is not None and Report.objects.visible_to(request.actor).filter(pk=report.pk).exists()
    told = critical.communicated_at is not None or critical.acknowledged_at is not None
    lacks = report is not None and told and not is_told_in(report, critical)
    may_sign = request.actor.may(perms.SIGN_REPORT)
    return {
        "contact_form": ContactForm(),
        "report": report if may_open else None,
        "now_contacts": contacts_at(critical, critical.escalation_level),
        "ahead": ahead(critical),
        "sentence": sentence_of(critical, language=report.language if report is not None else ""),
        "lacks_sentence": lacks and may_open,
        "may_add": lacks and may_open and may_sign and report is not None and report.is_signed,
        "is_live": critical.status in ("open", "communicated"),
    }


def chart(months: list[Group]) -> dict[str, Any]:
    """A line of shares in time: 100 % on top, 50 % at the foot, or 0 % where a month was worse than that."""
    shares = [month.share for month in months if month.share is not None]
    foot = 50 if min(shares, default=100) >= 50 else 0
    goal = facility_settings().critical_goal
    width = (CHART["right"] - CHART["left"]) / max(1, len(months))

    def height(share: float) -> float:
        return round(CHART["top"] + (100 - share) * (CHART["bottom"] - CHART["top"]) / (100 - foot), 1)

    def place(number: int) -> int:
        return round(CHART["left"] + width * (number + 0.5))

    points = [
        {"x": place(number), "y": height(month.share), "share": month.share}
        for number, month in enumerate(months)
        if month.share is not None
    ]
    return {
        "points": points,
        "labels": [(place(number), month.first) for number, month in enumerate(months)],
        "line": " ".join(f"{point['x']},{point['y']}" for point in points),
        "foot": foot,
        "middle": (100 + foot) // 2,
        "goal_y": height(goal) if foot <= goal <= 100 else None,
    }


def _get(request: ActorRequest, uuid: UUID) -> CriticalResult:
    critical = selectors.critical_results(actor=request.actor).filter(uuid=uuid).first()
    if critical is None:
        raise NotKnown(_("There is no such critical result in this facility."))
    return critical


@require_GET
@page(perms.VIEW_CRITICAL)
def critical_detail(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = _get(request, uuid)
    record_read(request.actor, perms.VIEW_CRITICAL, entity=critical)
    return _board(request, critical)


def _done(critical: CriticalResult, request: ActorRequest, said: str) -> HttpResponse:
    messages.success(request, said)
    return HttpResponseRedirect(reverse("critical_detail", args=[critical.uuid]))


@require_POST
@page(perms.COMMUNICATE_CRITICAL)
def critical_contact(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """A try, or the call that counts; then the sentence goes into the draft, where nobody has it open."""
    critical = _get(request, uuid)
    form = ContactForm(request.POST)
    if not form.is_valid():
        raise InvalidData(_("This call cannot be noted."), errors={k: v[0] for k, v in form.errors.items()})
    outcome = request.POST.get("outcome", "")
    outcome = outcome if outcome in OUTCOMES else "no_answer"
    was_reached = outcome == "reached"
    said = {
        **form.cleaned_data,
        "read_back": form.cleaned_data["read_back"] and was_reached,
        "acknowledges": form.cleaned_data["acknowledges"] and was_reached,
    }
    critical = services.log_contact(critical, outcome=outcome, actor=request.actor, **said)
    told = critical.status in ("communicated", "acknowledged") and was_reached
    if told and write_sentence(_get(request, uuid), actor=request.actor):
        return _done(critical, request, _("The call is noted, and stands in the report."))
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
@page(perms.RAISE_CRITICAL)
def critical_reopen(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = _get(request, uuid)
    services.reopen_critical(critical, reason=request.POST.get("reason", ""), actor=request.actor)
    return _done(critical, request, _("Opened again; the chain begins anew."))


@require_POST
@page(perms.COMMUNICATE_CRITICAL)
def critical_escalate(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """``level`` is the one that the page showed as next: pressed twice, it is alarmed once."""
    wanted = request.POST.get("level", "")
    level = int(wanted) if wanted.isdecimal() and len(wanted) < 4 else None
    critical = services.escalate(_get(request, uuid), at_once=True, level=level, actor=request.actor)
    return _done(critical, request, _("The next in the chain is told."))


@require_POST
@page(perms.COMMUNICATE_CRITICAL)
def critical_close(request: ActorRequest, uuid: UUID) -> HttpResponse:
    critical = services.close_critical(_get(request, uuid), actor=request.actor)
    return _done(critical, request, _("Closed."))


@require_POST
@page(perms.SIGN_REPORT)
def critical_addendum(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The sentence as an addendum to the signed report; asks who is there, as signing does."""
    critical = _get(request, uuid)
    proof(request)
    add_sentence(critical, actor=request.actor)
    return _done(critical, request, _("The sentence stands in the report, as an addendum."))


# --- compliance


def _asked(request: ActorRequest) -> tuple[str, int]:
    by = request.GET.get("by", "month")
    months = request.GET.get("months", "")
    return by if by in GROUPS else "month", int(months) if months in {str(span) for span in SPANS} else SPANS[0]


@require_GET
@page(perms.VIEW_CRITICAL)
def critical_compliance(request: ActorRequest) -> HttpResponse:
    """Told in time by month, category, site or department: a chart, and the table it is drawn from."""
    by, months = _asked(request)
    record(request.actor, perms.VIEW_CRITICAL, Action.READ, detail={"page": "compliance", "by": by})
    groups = compliance(actor=request.actor, by=by, months=months)
    context = {
        "nav": "critical",
        "by": by,
        "months": months,
        "groups": groups,
        "chart": chart(groups) if by == "month" else None,
        "goal": facility_settings().critical_goal,
        "by_choices": (
            ("month", _("Month")),
            ("category", _("Category")),
            ("site", _("Site")),
            ("department", _("Department")),
        ),
        "span_choices": [(str(span), _("%(count)d months") % {"count": span}) for span in SPANS],
    }
    return render(request, "reporting/critical_compliance.html", context)


def _round(value: float | None) -> float | str:
    return "" if value is None else round(value, 1)


@require_GET
@page(perms.VIEW_CRITICAL)
def critical_csv(request: ActorRequest) -> HttpResponse:
    """The table under the chart; no patient in it."""
    by, months = _asked(request)
    months = months if "months" in request.GET else 12
    record(request.actor, perms.VIEW_CRITICAL, Action.READ, detail={"page": "csv", "by": by})
    heads = (
        by,
        "findings",
        "in_time",
        "late",
        "percent_in_time",
        "median_minutes",
        "median_minutes_category_1",
        "median_minutes_to_acknowledgement",
        "percent_read_back",
    )
    lines = []
    for row in compliance(actor=request.actor, by=by, months=months):
        share = "" if row.share is None else row.share
        medians = [_round(row.median_minutes), _round(row.median_first), _round(row.median_acknowledged)]
        read_back = "" if row.read_back is None else row.read_back
        lines.append([row.label, row.findings, row.in_time, row.late, share, *medians, read_back])
    response = HttpResponse(as_csv(heads, lines), content_type=CSV)
    response["Content-Disposition"] = f'attachment; filename="critical-results-by-{by}.csv"'
    return response
