"""A signed version as a FHIR R4 DiagnosticReport, with its paper. Pure but for the paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

from orders.models import Patient
from reporting.assessments import SCHEMES
from reporting.models import SECTIONS, ReportVersion, VersionKind
from reporting.pdf import render_report_pdf
from reporting.selectors.reports import verified

LOINC, SECTION_0074 = "http://loinc.org", "http://terminology.hl7.org/CodeSystem/v2-0074"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
#: DiagnosticReport.status of each kind of version
STATUS = {
    VersionKind.PRELIMINARY: "preliminary",
    VersionKind.FINAL: "final",
    VersionKind.ADDENDUM: "appended",
    VersionKind.CORRECTION: "corrected",
    VersionKind.RETRACTION: "entered-in-error",
}


def diagnostic_report(version: ReportVersion) -> dict[str, Any]:
    """The resource as JSON. Raises ContentChanged when the words are not those that were signed."""
    verified(version)
    identity = version.identity
    exams, patient, order = identity["procedures"], identity["patient"], identity["order"]
    status = STATUS[VersionKind(version.kind)]
    pdf = render_report_pdf(version)
    resource: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": str(version.report.uuid),
        "meta": {"versionId": str(version.number), "lastUpdated": version.signed_at.isoformat()},
        "language": version.report.language or "en",
        "text": {"status": "generated", "div": narrative(version)},
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{version.report.uuid}"}],
        "basedOn": [_service_request(exam, order) for exam in exams],
        "status": status,
        "category": [{"coding": [{"system": SECTION_0074, "code": "RAD", "display": "Radiology"}]}],
        "code": {
            "coding": [{"system": LOINC, "code": "18748-4", "display": "Diagnostic imaging study"}],
            "text": "; ".join(exam["description"] for exam in exams),
        },
        "subject": _subject(patient),
        "issued": version.signed_at.isoformat(),
        "performer": [{"display": identity["facility"]["name"]}],
        "resultsInterpreter": [
            {"reference": f"Practitioner/{version.signed_by.uuid}", "display": version.signer_name},
            *({"display": row.signer_name} for row in version.co_signatures.all()),
        ],
        "imagingStudy": [
            {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{exam['study_instance_uid']}"}}
            for exam in exams
        ],
        "presentedForm": [
            {
                "contentType": "application/pdf",
                "language": version.report.language or "en",
                "data": base64.b64encode(pdf).decode(),
                "size": len(pdf),
                "hash": base64.b64encode(hashlib.sha1(pdf, usedforsecurity=False).digest()).decode(),
                "title": f"Report, version {version.number}",
                "creation": version.signed_at.isoformat(),
            }
        ],
    }
    performed = next((exam["performed_at"] for exam in exams if exam["performed_at"]), "")
    if performed:
        resource["effectiveDateTime"] = performed
    conclusion = version.sections.get("impression", "").strip()
    if conclusion:
        resource["conclusion"] = conclusion
    if version.assessments:
        resource["contained"] = [observation(version, n, row) for n, row in enumerate(version.assessments, 1)]
        resource["result"] = [{"reference": f"#a{n}"} for n, _row in enumerate(version.assessments, 1)]
    return resource


def subject_of(patient: Patient) -> dict[str, Any]:
    """Whom a report is about, as known now."""
    primary = patient.primary_identifier
    identifier, issuer = getattr(primary, "value", ""), getattr(primary, "issuer", "")
    known = {"uuid": patient.uuid, "identifier": identifier, "issuer": issuer, "name": patient.display_name}
    return _subject(known)


def _subject(patient: Mapping[str, Any]) -> dict[str, Any]:
    identifier: dict[str, Any] = {"value": patient["identifier"] or "unknown"}
    if patient["issuer"]:
        identifier["assigner"] = {"display": patient["issuer"]}
    return {"reference": f"Patient/{patient['uuid']}", "identifier": identifier, "display": patient["name"]}


def _service_request(exam: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
    accession = {
        "type": {"coding": [{"system": IDENTIFIER_TYPES, "code": "ACSN"}]},
        "value": exam["accession_number"],
    }
    return {"reference": f"ServiceRequest/{exam['uuid']}", "identifier": accession, "display": exam["description"]}


def observation(version: ReportVersion, number: int, row: dict[str, Any]) -> dict[str, Any]:
    """One scale: its category, its answers as components, its version as the method."""
    scheme = SCHEMES.get(row["scheme"])
    system = f"urn:picha:scale:{row['scheme']}"
    name = scheme.name if scheme else row["scheme"]
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"a{number}",
        "status": "preliminary" if version.kind == VersionKind.PRELIMINARY else "final",
        "code": {"text": " ".join(filter(None, (name, row["label"])))},
        "valueCodeableConcept": {
            "coding": [{"system": system, "version": row["version"], "code": row["category"].replace(" ", "-")}],
            "text": row["title"],
        },
        "method": {"text": f"{name} {row['version']}"},
    }
    components = []
    for field in scheme.fields if scheme else ():
        if field.key in row["inputs"]:
            given = row["inputs"][field.key]
            code = {"coding": [{"system": system, "code": field.key}]}
            components.append({"code": code, **_value(field, given, system)})
    if components:
        found["component"] = components
    if row["management"]:
        found["note"] = [{"text": row["management"]}]
    return found


def _value(field: Any, given: Any, system: str) -> dict[str, Any]:
    if field.kind == "yes":
        return {"valueBoolean": given}
    if field.kind == "number":
        unit = {"unit": field.unit, "system": "http://unitsofmeasure.org", "code": field.unit} if field.unit else {}
        return {"valueQuantity": {"value": given, **unit}}
    codes = given if isinstance(given, list) else [given]
    return {"valueCodeableConcept": {"coding": [{"system": system, "code": code} for code in codes]}}


def narrative(version: ReportVersion) -> str:
    parts = []
    for key, (_loinc, label) in SECTIONS.items():
        words = version.sections.get(key, "").strip()
        if words:
            said = escape(words).replace("\n", "<br/>")
            parts.append(f"<h3>{escape(str(label))}</h3><p>{said}</p>")
    amended = [row for row in version.report.versions.all() if row.number <= version.number and row.addendum]
    for row in sorted(amended, key=lambda row: row.number):
        said = escape(row.addendum).replace("\n", "<br/>")
        parts.append(f"<h3>Addendum</h3><p>{said}</p>")
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{"".join(parts) or "<p>-</p>"}</div>'
