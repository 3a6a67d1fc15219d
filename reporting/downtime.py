"""The recent final reports among the pages of the read-only copy that is kept for the hours without us."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from orders.downtime_parts import ExportPage, register_export
from orders.services import downtime_plan
from reporting.models import SECTIONS, Report, ReportVersion
from reporting.models.reports import SIGNED
from ris.core import text


def report_pages() -> Iterable[ExportPage]:
    """A list and a page per report; what was retracted and what is of a restricted record is left out."""
    days = downtime_plan().report_days
    since = timezone.now() - timedelta(days=days)
    reports = (
        Report.objects.filter(status__in=SIGNED, signed_at__gte=since, held_until__isnull=True)
        .exclude(procedures__order__patient__is_restricted=True)
        .prefetch_related("versions__recall")
        .order_by("-signed_at", "-pk")
        .distinct()
    )
    rows = [_row(report) for report in reports if report.standing_versions]
    summary = ngettext("%(n)d report", "%(n)d reports", len(rows)) % {"n": len(rows)}
    yield ExportPage("reports", _("Final reports"), "reporting/downtime/reports.html", {"rows": rows}, summary)
    for row in rows:
        yield ExportPage(
            row["file"], row["accession_number"], "reporting/downtime/report.html", {"row": row}, is_listed=False
        )


def _row(report: Report) -> dict[str, Any]:
    """From what was frozen with the last signature, as on its paper."""
    versions: list[ReportVersion] = report.standing_versions
    version = versions[-1]
    patient, exams = version.identity["patient"], version.identity["procedures"]
    born = text.day(date.fromisoformat(patient["birth_date"])) if patient["birth_date"] else ""
    return {
        "file": f"report-{report.uuid}",
        "version": version,
        "state": version.get_kind_display(),
        "name": patient["name"],
        "about": " · ".join(filter(None, (text.sex(patient["sex"]), born, patient["identifier"]))),
        "exams": ", ".join(exam["description"] for exam in exams),
        "accession_number": ", ".join(dict.fromkeys(exam["accession_number"] for exam in exams)),
        "sections": [
            (label, version.sections[key].strip())
            for key, (_loinc, label) in SECTIONS.items()
            if version.sections.get(key, "").strip()
        ],
        "addenda": [row for row in versions if row.addendum],
    }


register_export("reports", report_pages, order=30)
