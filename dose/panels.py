"""Dose beside the report and beside the patient, and its entry of the menu."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
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
    Panel("patient.dose", patient_dose, "dose/patient_panel.html", permission=perms.VIEW_DOSE),
    Panel("order.side", patient_dose, "dose/patient_panel.html", permission=perms.VIEW_DOSE, order=60),
    Panel("patient.side", patient_dose, "dose/patient_panel.html", permission=perms.VIEW_DOSE, order=60),
)
