"""Binary: the papers that other resources refer to, as they are; asked for in a form of FHIR, wrapped in base64."""

from __future__ import annotations

import base64

from django.db.models import QuerySet

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.documents import documents
from interop.fhir.server.resources.reports import signed_rows, versions
from interop.fhir.server.versions import Immutable
from orders.models import Document
from orders.permissions import VIEW_DOCUMENT
from reporting.models import ReportVersion
from reporting.pdf import render_report_pdf
from reporting.permissions import VIEW_REPORT
from ris.core.actor import Actor

PDF = "application/pdf"


def signed_papers(actor: Actor) -> QuerySet:
    return versions(actor) if actor.may(VIEW_REPORT) else ReportVersion.objects.none()


def papers(actor: Actor) -> QuerySet:
    return documents(actor).filter(withdrawn_at__isnull=True) if actor.may(VIEW_DOCUMENT) else Document.objects.none()


def report_paper(row: ReportVersion, version: Version) -> Resource:
    return _binary(PDF, render_report_pdf(row), f"DiagnosticReport/{row.report.uuid}")


def document(row: Document, version: Version) -> Resource:
    with row.file.open("rb") as file:
        content = file.read()
    return _binary(row.content_type, content, f"DocumentReference/{row.uuid}")


def _binary(content_type: str, content: bytes, context: str) -> Resource:
    return {
        "contentType": content_type,
        "securityContext": {"reference": context},
        "data": base64.b64encode(content).decode(),
    }


BINARY = register(
    ResourceType(
        "Binary",
        (VIEW_REPORT, VIEW_DOCUMENT),
        (
            Source(
                ReportVersion, signed_papers, signed_rows, report_paper, versions=Immutable("signed_at"), updated=""
            ),
            Source(Document, papers, lambda rows: rows, document, versions=Immutable("added_at"), updated=""),
        ),
        doc="The paper of a signed version, or a document: as it is, or as a resource by Accept.",
        is_searched=False,
    )
)
