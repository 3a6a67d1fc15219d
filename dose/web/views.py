"""/dose/: medians per room against a reference level, single exams above a trigger, what is missing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dose import permissions as perms
from dose import selectors, services
from dose.models import DoseReport, DoseTriggerStatus, ReferenceLevel
from dose.quantities import QUANTITIES, TAB_LABELS, TABS, lines_of
from dose.statistics import boxplot
from orders.models import CatalogueProcedure, RequestedProcedure
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import NotKnown

PERIODS = (30, 90, 180, 365)
SHOWN = 25


def _level(
    request: ActorRequest, levels: list[ReferenceLevel], exam: CatalogueProcedure | None
) -> ReferenceLevel | None:
    """The one that was asked for, "none" for none, else the suggested one."""
    asked = request.GET.get("level", "")
    if asked == "none":
        return None
    chosen = next((level for level in levels if str(level.uuid) == asked), None)
    return chosen or selectors.suggested_level(levels, exam)


@require_GET
@page(perms.VIEW_DOSE)
def dose_dashboard(request: ActorRequest) -> HttpResponse:
    actor = request.actor
    tab = request.GET.get("tab", "CT")
    tab = tab if tab in TABS else "CT"
    days = (
        int(text)
        if (text := request.GET.get("days", "90")).isdecimal() and len(text) < 5 and int(text) in PERIODS
        else 90
    )
    keys = TABS[tab][1]
    key = request.GET.get("quantity", keys[0])
    quantity = QUANTITIES[key if key in keys else keys[0]]
    exams = selectors.exams_with_dose(actor=actor, tab=tab, days=days)
    exam = next((row for row, _count in exams if row.code == request.GET.get("exam")), exams[0][0] if exams else None)
    levels = selectors.levels_for(actor=actor, tab=tab, quantity=quantity.key)
    level = _level(request, levels, exam)
    groups = (
        selectors.groups(actor=actor, tab=tab, exam=exam, quantity=quantity, level=level, days=days)
        if exam is not None
        else []
    )
    triggers = list(selectors.triggers(actor=actor)[:SHOWN])
    waiting = list(selectors.waiting_reports(actor=actor)[:SHOWN])
    recent = list(selectors.dose_reports(actor=actor).filter(modality__in=TABS[tab][0])[:SHOWN])
    context = {
        "nav": "dose",
        "tab": tab,
        "tabs": [(code, TAB_LABELS[code], code == tab) for code in TABS],
        "days": days,
        "period_choices": [(str(count), _("%(count)d days") % {"count": count}) for count in PERIODS],
        "quantity": quantity,
        "quantity_choices": [(code, QUANTITIES[code].label) for code in keys],
        "exam": exam,
        "exam_choices": [(row.code, f"{row.name} ({count})") for row, count in exams],
        "level": level,
        "level_choices": [("none", _("none")), *((str(row.uuid), _level_words(row)) for row in levels)],
        "groups": groups,
        "chart": boxplot(groups, groups[0].level) if groups else None,
        "needed": TABS[tab][2],
        "above": sum(group.verdict == "above" for group in groups),
        "triggers": triggers,
        "open_triggers": sum(row.status == DoseTriggerStatus.OPEN for row in triggers),
        "missing": selectors.missing_reports(actor=actor, tab=tab, days=days),
        "waiting": waiting,
        "recent": [(row, lines_of(row)) for row in recent],
        "investigations": list(selectors.investigations(actor=actor)[:SHOWN]),
        "may_manage_levels": actor.may(perms.MANAGE_LEVELS),
        "may_link": actor.may(perms.MANAGE_DOSE),
        "may_explain": actor.may(perms.EXPLAIN_TRIGGER),
    }
    rows: list[Any] = [*recent, *triggers]
    patients = sorted({row.audit_patient for row in rows if row.audit_patient is not None})
    record_read(actor, perms.VIEW_DOSE, patients=patients, detail={"tab": tab, "rows": len(rows)})
    return render(request, "dose/dashboard.html", context)


def _level_words(row: ReferenceLevel) -> str:
    return f"{row.authority} {row.year}: {row.exam}, {row.value:g} {row.unit}"


def _get(request: ActorRequest, uuid: UUID) -> DoseReport:
    found = selectors.dose_reports(actor=request.actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such dose report in this facility."))
    return found


@require_GET
@page(perms.VIEW_DOSE)
def dose_report(request: ActorRequest, uuid: UUID) -> HttpResponse:
    report = _get(request, uuid)
    record_read(request.actor, perms.VIEW_DOSE, entity=report)
    context = {
        "nav": "dose",
        "report": report,
        "lines": lines_of(report),
        "events": list(report.events.order_by("position")),
        "triggers": list(report.triggers.order_by("pk")),
        "patient": report.procedure.order.patient if report.procedure is not None else None,
        "may_link": request.actor.may(perms.MANAGE_DOSE),
        "may_explain": request.actor.may(perms.EXPLAIN_TRIGGER),
    }
    return render(request, "dose/report.html", context)


@require_POST
@page(perms.MANAGE_DOSE)
def dose_report_link(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """To the exam with this accession number."""
    report = _get(request, uuid)
    visible = RequestedProcedure.objects.visible_to(request.actor)
    procedure = services.procedure_by_accession(request.POST.get("accession_number", ""), visible)
    services.link_dose_report(report, procedure=procedure, actor=request.actor)
    messages.success(request, _("The dose report belongs to the exam now."))
    return HttpResponseRedirect(reverse("dose_report", args=[uuid]))


@require_POST
@page(perms.MANAGE_DOSE)
def dose_report_unlink(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.unlink_dose_report(_get(request, uuid), reason=request.POST.get("reason", ""), actor=request.actor)
    messages.success(request, _("The dose report waits for its exam again."))
    return HttpResponseRedirect(reverse("dose_report", args=[uuid]))


@require_POST
@page(perms.EXPLAIN_TRIGGER)
def dose_trigger_explain(request: ActorRequest, uuid: UUID) -> HttpResponse:
    trigger = selectors.triggers(actor=request.actor).filter(uuid=uuid).first()
    if trigger is None:
        raise NotKnown(_("There is no such trigger in this facility."))
    services.explain_trigger(trigger, explanation=request.POST.get("explanation", ""), actor=request.actor)
    messages.success(request, _("Noted."))
    return HttpResponseRedirect(reverse("dose_dashboard") + "#triggers")
