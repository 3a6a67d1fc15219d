"""Dose beside the report and beside the patient, and its entry of the menu."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from dose import permissions as perms
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel


def open_triggers(request: HttpRequest) -> int:
    from dose.selectors import open_trigger_count

    return open_trigger_count(actor=actor_of(request))


def report_dose(procedure: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """The dose of one exam."""
    from dose.quantities import lines_of
    from dose.selectors import reports_of

    reports = reports_of(procedure, actor=actor_of(request))
    return {"dose_reports": [(report, lines_of(report)) for report in reports]} if reports else None


def console_dose(procedure: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """The dose of the exam at hand, and the way to enter it where the device sends none."""
    from dose.quantities import lines_of
    from dose.selectors import reports_of
    from dose.services.manual import quantities_of

    if not quantities_of(procedure.modality):
        return None
    actor = actor_of(request)
    reports = reports_of(procedure, actor=actor)
    is_entered = any(report.source == "manual" for report in reports)
    return {
        "procedure": procedure,
        "dose_reports": [(report, lines_of(report)) for report in reports],
        "is_entered": is_entered,
        "may_enter": actor.may(perms.ENTER_DOSE) and (is_entered or all(report.source == "mpps" for report in reports)),
        "may_explain": actor.may(perms.EXPLAIN_TRIGGER),
    }


def patient_dose(patient: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """What one patient received in a year."""
    from dose.selectors import totals_of

    totals = totals_of(patient, actor=actor_of(request))
    return {"dose_totals": totals} if totals else None


register_nav(
    NavItem(
        "dose",
        _("Dose"),
        "dose_dashboard",
        "radioactive",
        section="quality",
        permission=perms.VIEW_DOSE,
        count=open_triggers,
        order=10,
    )
)
register_panel(
    Panel("report.dose", report_dose, "dose/report_panel.html", permission=perms.VIEW_DOSE),
    Panel("console.dose", console_dose, "dose/console_panel.html", permission=perms.VIEW_DOSE),
    Panel("patient.dose", patient_dose, "dose/patient_panel.html", permission=perms.VIEW_CUMULATIVE),
    Panel("order.side", patient_dose, "dose/patient_panel.html", permission=perms.VIEW_CUMULATIVE, order=60),
    Panel("patient.side", patient_dose, "dose/patient_panel.html", permission=perms.VIEW_CUMULATIVE, order=60),
)


def dose_stats(_thing: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    """For the physicist: what waits for an answer or for its exam."""
    from dose.selectors import dose_reports, open_trigger_count, waiting_reports

    actor = actor_of(request)
    since = timezone.now() - timedelta(days=7)
    return {
        "open_triggers": open_trigger_count(actor=actor),
        "unlinked": waiting_reports(actor=actor).count(),
        "week": dose_reports(actor=actor).filter(performed_at__gte=since, is_of_a_patient=True).count(),
    }


def newest_reports(_thing: Any = None, *, request: HttpRequest) -> dict[str, Any] | None:
    from dose.quantities import lines_of
    from dose.selectors import dose_reports

    rows = dose_reports(actor=actor_of(request)).annotate(open_count=OPEN_TRIGGERS)[:NEWEST]
    return {"recent": [(row, lines_of(row)) for row in rows]}


NEWEST = 10
OPEN_TRIGGERS = Count("triggers", filter=Q(triggers__status="open"))
register_panel(
    Panel("home.stats", dose_stats, "dose/_home_stats.html", permission=perms.MANAGE_DOSE, order=70),
    Panel("home.main", newest_reports, "dose/_home_newest.html", permission=perms.MANAGE_DOSE, order=70),
)
