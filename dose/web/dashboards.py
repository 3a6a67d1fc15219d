"""/dose/: charts of doses with their tables, single exams above a trigger, what is missing; each chart as a file."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from dose import permissions as perms
from dose import selectors
from dose.bands import ADULT, BANDS, band_words
from dose.dashboards import KINDS, Question, ask, make_chart
from dose.dashboards.data import MISSING, missing_exams
from dose.dashboards.lists import reports_behind, words_of
from dose.dashboards.question import PERIODS, exams_of, levels_of
from dose.models import DoseInvestigation, DoseInvestigationStatus, DoseTriggerStatus, ReferenceLevel
from dose.quantities import QUANTITIES, TAB_LABELS, TABS, lines_of, unit_words
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core import spreadsheet
from ris.core.actor import Actor
from ris.core.errors import NotKnown

SHOWN = 25
NEWEST = 10
PER_PAGE = 50
FILES = ("csv", "xlsx")
MISSING_WORDS = {
    "dose": lambda: _("Exams without a dose"),
    "size": lambda: _("Exams whose dose names no weight"),
    "exam": lambda: _("Exams whose dose is of no standard exam"),
}


def _choices(question: Question, actor: Actor) -> dict[str, Any]:
    level = question.level
    return {
        "tabs": [(code, TAB_LABELS[code], code == question.tab) for code in TABS],
        "period_choices": [(str(count), _("%(count)d days") % {"count": count}) for count in PERIODS],
        "period_words": _("%(count)d days") % {"count": question.days},
        "band_words": band_words(question.band),
        "band_choices": [(code, band_words(code)) for code in BANDS if code != ADULT],
        "quantity_choices": [(code, QUANTITIES[code].label) for code in TABS[question.tab][1]],
        "exam_choices": [(row.code, f"{row.name} ({row.count})") for row in exams_of(question, actor=actor)],
        "level_choices": [
            ("none", _("none")),
            *((str(row.uuid), _level_words(row)) for row in levels_of(question, actor=actor)),
        ],
        "level_words": f"{level.authority} {level.year}: {level.value:g}" if level is not None else _("none"),
    }


def _level_words(row: ReferenceLevel) -> str:
    return f"{row.authority} {row.year}: {row.exam}, {row.value:g} {unit_words(row.unit)}"


def _under_investigation(question: Question, investigations: QuerySet[DoseInvestigation]) -> set[str]:
    """Rooms whose median of this exam somebody looks into."""
    if question.exam is None:
        return set()
    exam = {"standard_exam": question.exam.standard, "catalogue": question.exam.catalogue}
    of_exam = investigations.filter(
        quantity=question.quantity.key, **{name: row for name, row in exam.items() if row is not None}
    )
    return set(of_exam.exclude(status=DoseInvestigationStatus.CLOSED).values_list("room", flat=True))


@require_GET
@page(perms.VIEW_DOSE)
def dose_dashboard(request: ActorRequest) -> HttpResponse:
    actor = request.actor
    question = ask(request.GET.dict(), actor=actor)
    charts = {kind: make_chart(kind, question, actor=actor) for kind in KINDS}
    rooms = charts["boxplot"].found or []
    of_tab = selectors.triggers(actor=actor).filter(report__modality__in=question.modalities)
    triggers = list(of_tab[:SHOWN])
    recent = list(selectors.dose_reports(actor=actor).filter(modality__in=question.modalities)[:NEWEST])
    investigations = selectors.investigations(actor=actor).filter(level__modality__in=question.modalities)
    context = {
        "nav": "dose",
        "question": question,
        "asked": question.query(),
        **_choices(question, actor),
        "charts": charts,
        "more_charts": [charts[kind] for kind in KINDS if kind != "boxplot"],
        "rooms": list(zip(rooms, charts["boxplot"].shown, strict=True)),
        "above": sum(room.verdict == "above" for room in rooms),
        "triggers": triggers,
        "open_triggers": of_tab.filter(status=DoseTriggerStatus.OPEN).count(),
        "waiting": list(selectors.waiting_reports(actor=actor)[:SHOWN]),
        "recent": [(row, lines_of(row)) for row in recent],
        "investigations": list(investigations[:SHOWN]),
        "under_investigation": _under_investigation(question, investigations),
        "may_manage_levels": actor.may(perms.MANAGE_LEVELS),
        "may_link": actor.may(perms.MANAGE_DOSE),
        "may_explain": actor.may(perms.EXPLAIN_TRIGGER),
    }
    rows: list[Any] = [*recent, *triggers]
    patients = sorted({row.audit_patient for row in rows if row.audit_patient is not None})
    record_read(actor, perms.VIEW_DOSE, patients=patients, detail={**question.params(), "rows": len(rows)})
    return render(request, "dose/dashboard.html", context)


@require_GET
@page(perms.VIEW_DOSE)
def dose_chart_file(request: ActorRequest, kind: str, extension: str) -> HttpResponse:
    """The table under a chart as CSV or XLSX; recorded with what was asked for."""
    if kind not in KINDS or extension not in FILES:
        raise NotKnown(_("There is no such file."), todo=_("Ask for csv or xlsx."))
    question = ask(request.GET.dict(), actor=request.actor, strict=True)
    chart = make_chart(kind, question, actor=request.actor)
    detail = {**question.params(), "chart": kind, "export": extension, "rows": len(chart.rows)}
    record_read(request.actor, perms.VIEW_DOSE, detail=detail)
    return as_file(f"dose-{kind}-{question.tab}", str(KINDS[kind][0]), chart.heads, chart.rows, extension)


def as_file(name: str, title: str, heads: list[str], rows: list[list[Any]], extension: str) -> HttpResponse:
    if extension == "csv":
        response = HttpResponse(spreadsheet.as_csv(heads, rows), content_type=spreadsheet.CSV)
    else:
        response = HttpResponse(spreadsheet.as_xlsx(title, heads, rows), content_type=spreadsheet.XLSX)
    response["Content-Disposition"] = f'attachment; filename="{name}-{timezone.localdate():%Y-%m-%d}.{extension}"'
    response["Cache-Control"] = "no-store"
    return response


@require_GET
@page(perms.VIEW_DOSE)
def dose_exams(request: ActorRequest) -> HttpResponse:
    """The exams behind a mark of a chart."""
    actor, params = request.actor, request.GET.dict()
    question = ask(params, actor=actor)
    what = params.get("missing", "")
    is_of_all = bool(what or params.get("weekday") or params.get("hour"))
    rows: Any
    if what:
        if what not in MISSING:
            raise NotKnown(_("There is no such list."), todo=_("Ask for dose, size or exam."))
        rows = missing_exams(question, what, actor=actor).prefetch_related("dose_reports")
    else:
        rows = reports_behind(question, params, actor=actor)
    shown = Paginator(rows, PER_PAGE).get_page(params.get("page"))
    listed = list(shown.object_list)
    context = {
        "nav": "dose",
        "question": question,
        "back": question.query(),
        "heading": MISSING_WORDS[what]() if what else _("Exams with a dose"),
        "narrowed": [
            TAB_LABELS[question.tab],
            *([] if is_of_all or question.exam is None else [question.exam.name, band_words(question.band)]),
            *words_of(params, question),
        ],
        "page": shown,
        "is_missing": bool(what),
        "is_unnamed": what == "exam",
        "rows": listed if what else [(row, question.quantity.of(row)) for row in listed],
    }
    patients = sorted({row.audit_patient for row in listed if row.audit_patient is not None})
    record_read(actor, perms.VIEW_DOSE, patients=patients, detail={"list": what or "reports", "rows": len(listed)})
    return render(request, "dose/exams.html", context)
