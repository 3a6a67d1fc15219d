"""DiagnosticReport: a report from elsewhere, kept as a prior. Reports of our own are signed, not sent."""

from __future__ import annotations

import html
import re
from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.params import issuer_of
from interop.fhir.writing import documents
from interop.fhir.writing.conditional import Made, Writer
from interop.fhir.writing.reading import Problems, codings, first, line, moment, refuse, words_of
from interop.fhir.writing.references import lead
from orders import services as orders
from orders.models import DocumentKind, Patient
from reporting import permissions as perms
from reporting import services as reporting
from reporting.models import OutsideReport, OutsideReportStatus

NAME = "DiagnosticReport"
S = OutsideReportStatus
STATUSES = {
    "preliminary": S.PRELIMINARY,
    "partial": S.PRELIMINARY,
    "final": S.FINAL,
    "amended": S.CORRECTED,
    "corrected": S.CORRECTED,
    "appended": S.CORRECTED,
    "modified": S.CORRECTED,
    "entered-in-error": S.WITHDRAWN,
    "cancelled": S.WITHDRAWN,
}


def create(call: Call, resource: Resource) -> Made:
    """Sent again under the same identifier it brings the one that there is up to date."""
    problems = Problems(NAME)
    patient = lead(resource.get("subject"), "subject", call, problems, "Patient")
    if patient is None and not problems.found:
        problems.add("subject", "The patient is needed.", "required")
    number = first(resource.get("identifier"))
    if not number.get("value") or not number.get("system"):
        problems.add("identifier", "An identifier of the house that wrote it is needed, with its system.", "required")
    problems.raise_if_any()
    source, value = line(issuer_of(str(number["system"])), 200), line(number["value"], 199)
    is_new = not OutsideReport.objects.filter(source=source, number=value).exists()
    return Made(_kept(call, resource, patient, source, value), is_new=is_new)


def change(call: Call, row: Any, resource: Resource) -> OutsideReport:
    if not isinstance(row, OutsideReport):
        raise refuse(NAME, "", "A report of this house is changed by its reader, not from outside.", "business-rule")
    patient = Patient.objects.visible_to(call.actor).get(uuid=row.patient)
    return _kept(call, resource, patient, row.source, row.number)


def _kept(call: Call, resource: Resource, patient: Patient, source: str, number: str) -> OutsideReport:
    problems = Problems(NAME)
    status = STATUSES.get(str(resource.get("status")))
    if status is None:
        problems.add("status", "A report that is only registered says nothing yet.", "business-rule")
    paper = None
    form = first(resource.get("presentedForm"))
    if form.get("data"):
        content = documents.content_of(form, "presentedForm[0]", problems)
        problems.raise_if_any()
        title = line(form.get("title") or words_of(resource.get("code")) or "Report", 120)
        paper = orders.add_document(
            patient, kind=DocumentKind.OUTSIDE_REPORT, title=title, file=content, actor=call.actor
        )
    problems.raise_if_any()
    code = next((row.get("code", "") for row in codings(resource.get("code"))), "")
    author = first(resource.get("resultsInterpreter") or resource.get("performer")).get("display", "")
    return reporting.record_outside_report(
        patient,
        source=source,
        number=number,
        document=paper,
        title=line(words_of(resource.get("code")), 200),
        code=line(code, 64),
        performed_at=moment(resource.get("effectiveDateTime")),
        reported_at=moment(resource.get("issued")),
        author=line(author, 200),
        text=_text(resource),
        status=status,
        actor=call.actor,
    )


def _text(resource: Resource) -> str:
    """The narrative without its markup, and the conclusion where the narrative does not say it."""
    div = str(resource.get("text", {}).get("div", ""))
    plain = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<(br|/p|/h\d|/li|/tr|/div)\b[^>]*>", "\n", div)))
    told = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", plain)).strip()
    conclusion = str(resource.get("conclusion", "")).strip()
    return "\n".join(filter(None, (told, conclusion if conclusion not in told else "")))[:100_000]


WRITER = Writer(
    NAME,
    create,
    change,
    rights={"create": perms.RECORD_OUTSIDE_REPORT, "update": perms.RECORD_OUTSIDE_REPORT},
)
