"""DiagnosticReport of what other houses have written: kept as priors, never ours to sign."""

from __future__ import annotations

from html import escape

from django.db.models import Q, QuerySet

from interop.fhir.server.call import Resource, Version, public_address
from interop.fhir.server.params import Date, Identifier, Reference, To, Token
from interop.fhir.server.registry import Source
from interop.fhir.server.resources.common import coded, issued_by, kept, moment, ref
from interop.fhir.server.resources.reports import DIAGNOSTIC_REPORT, SECTION_0074
from interop.fhir.server.versions import RowVersions
from orders.models import Patient
from reporting.models import OutsideReport, OutsideReportStatus
from reporting.permissions import VIEW_REPORT
from ris.core.actor import Actor

XHTML = "http://www.w3.org/1999/xhtml"


def visible(actor: Actor) -> QuerySet:
    if not actor.may(VIEW_REPORT):
        return OutsideReport.objects.none()
    return OutsideReport.objects.filter(patient__in=Patient.objects.visible_to(actor).order_by().values("uuid"))


def to_fhir(row: OutsideReport, version: Version) -> Resource:
    words = escape(row.text).replace("\n", "<br/>")
    paper = row.document
    return kept(
        text={"status": "generated", "div": f'<div xmlns="{XHTML}"><p>{words}</p></div>'} if words else None,
        identifier=[issued_by(row.number, row.source)],
        status=str(row.status),
        category=[coded(SECTION_0074, "RAD", "Radiology")],
        code={"text": row.title or row.code or "Report"},
        subject=ref("Patient", row.patient),
        effectiveDateTime=moment(row.performed_at),
        issued=moment(row.reported_at),
        performer=[{"display": row.source}],
        resultsInterpreter=[{"display": row.author}] if row.author else [],
        presentedForm=[
            kept(
                contentType=paper.content_type,
                url=public_address(f"/fhir/{version.name}/Binary/{paper.uuid}"),
                title=paper.title,
            )
        ]
        if paper is not None
        else [],
    )


def loaded(rows: QuerySet) -> QuerySet:
    return rows.select_related("document")


PATIENT_WAY = (To("Patient", "patient", by_uuid=True),)

DIAGNOSTIC_REPORT.sources = (
    *DIAGNOSTIC_REPORT.sources,
    Source(
        OutsideReport,
        visible,
        loaded,
        to_fhir,
        (
            Identifier("identifier", value="number", issuer="source", is_private=True),
            Reference("patient", to=PATIENT_WAY),
            Reference("subject", to=PATIENT_WAY),
            Token("status", at="status", codes={str(value): [value] for value in OutsideReportStatus.values}),
            Token("category", values=lambda code: Q() if code == "RAD" else Q(pk__in=[]), system=SECTION_0074),
            Date("issued", at="reported_at"),
        ),
        RowVersions(OutsideReport),
    ),
)
