"""DiagnosticReport in all its signed versions, and Provenance: who signed which, when and why.

A draft is nobody's report: nothing is told of it. The words, the patient and the exams are those of the signature.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Subquery

from interop.fhir.diagnostic_report import (
    LOINC,
    SECTION_0074,
    STATUS,
    narrative,
    observation,
)
from interop.fhir.server.call import Resource, Version, public_address
from interop.fhir.server.params import Date, Identifier, PartReference, Reference, TextToken, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import (
    URI,
    accession,
    coded,
    coding,
    identifier,
    issued_by,
    kept,
    moment,
    ref,
    scheme_system,
    study_uid,
)
from interop.fhir.server.versions import Immutable, Moment
from reporting.models import Report, ReportVersion, VersionKind
from reporting.permissions import VIEW_REPORT
from ris.core.actor import Actor

IMAGING_REPORT = ("18748-4", "Diagnostic imaging study")
OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
AGENT_TYPES = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
CODES = {code: [code] for code in ("preliminary", "final", "appended", "corrected", "entered-in-error")}


def standing() -> QuerySet:
    """Signed and not recalled."""
    return ReportVersion.objects.filter(recall__isnull=True)


def reports(actor: Actor) -> QuerySet:
    return Report.objects.visible_to(actor).filter(Exists(standing().filter(report=OuterRef("pk"))))


def with_last(rows: QuerySet) -> QuerySet:
    last = standing().filter(report=OuterRef("pk")).order_by().values("report").annotate(at=Max("signed_at"))
    return rows.annotate(last_signed=Subquery(last.values("at")))


def loaded(rows: QuerySet) -> QuerySet:
    return rows.prefetch_related(
        "procedures__studies", "procedures__order__patient", "versions__recall",
        "versions__co_signatures", "versions__signed_by__practitioner",
    )  # fmt: skip


class SignedVersions:
    """The signed versions are the versions; their numbers the ids."""

    keeps_history = True

    def annotated(self, rows: QuerySet) -> QuerySet:
        return with_last(rows)

    def version_id(self, row: Any) -> str:
        return str(shown(row).number)

    def moments(self, rows: Sequence[Any]) -> dict[Any, list[Moment]]:
        found: dict[Any, list[Moment]] = {}
        for row in rows:
            found[row.pk] = []
            for version in row.standing_versions:
                then = copy.copy(row)
                then.shown_version = version
                found[row.pk].append(Moment(str(version.number), version.signed_at, then, not found[row.pk]))
        return found


def shown(row: Any) -> ReportVersion:
    return getattr(row, "shown_version", None) or row.standing_versions[-1]


def report(row: Report, release: Version) -> Resource:
    version = shown(row)
    version.report = row
    identity = version.identity
    exams, patient = identity["procedures"], identity["patient"]
    procedures = {str(one.uuid): one for one in row.procedures.all()}
    subject: Resource = {"reference": f"Patient/{patient['uuid']}", "display": patient["name"]}
    if patient["identifier"]:
        subject["identifier"] = issued_by(patient["identifier"], patient["issuer"])
    studies = _studies(exams, procedures)
    made = kept(
        language=row.language or "en",
        text={"status": "generated", "div": narrative(version)},
        contained=[observation(version, n, scale) for n, scale in enumerate(version.assessments, 1)],
        identifier=[
            identifier(URI, f"urn:uuid:{row.uuid}"),
            *(accession(number) for number in dict.fromkeys(exam["accession_number"] for exam in exams)),
        ],
        basedOn=[ref("ServiceRequest", exam["uuid"], exam["description"]) for exam in exams],
        status=STATUS[VersionKind(version.kind)],
        category=[coded(SECTION_0074, "RAD", "Radiology")],
        code={
            "coding": [coding(LOINC, *IMAGING_REPORT), *_codes(procedures.values())],
            "text": "; ".join(exam["description"] for exam in exams),
        },
        subject=subject,
        effectiveDateTime=next((exam["performed_at"] for exam in exams if exam["performed_at"]), None),
        issued=moment(version.signed_at),
        performer=[{"display": identity["facility"]["name"]}],
        resultsInterpreter=[signer(version), *({"display": one.signer_name} for one in version.co_signatures.all())],
        result=[{"reference": f"#a{n}"} for n, _scale in enumerate(version.assessments, 1)],
        conclusion=version.sections.get("impression", "").strip(),
        presentedForm=[paper(version, row.language or "en", release)],
    )
    return made | kept(**({"study": studies} if release.is_r5 else {"imagingStudy": studies}))


def _codes(procedures: Any) -> list[Resource]:
    found = {(one.code_scheme, one.code): one.description for one in procedures}
    return [coding(scheme_system(scheme), code, words) for (scheme, code), words in found.items()]


def _studies(exams: Sequence[dict[str, Any]], procedures: dict[str, Any]) -> list[Resource]:
    """The studies that are here; of an exam without any, the Study Instance UID they would have."""
    found: list[Resource] = []
    for exam in exams:
        here = list(procedures[exam["uuid"]].studies.all()) if exam["uuid"] in procedures else []
        found += [kept(reference=f"ImagingStudy/{study.uuid}") for study in here]
        if not here:
            found.append({"identifier": study_uid(exam["study_instance_uid"])})
    return [one for n, one in enumerate(found) if one not in found[:n]]


def signer(version: ReportVersion) -> Resource:
    practitioner = getattr(version.signed_by, "practitioner", None)
    if practitioner is None:
        return {"display": version.signer_name}
    return {"reference": f"Practitioner/{practitioner.uuid}", "display": version.signer_name}


def paper(version: ReportVersion, language: str, release: Version) -> Resource:
    return {
        "contentType": "application/pdf",
        "language": language,
        "url": public_address(f"/fhir/{release.name}/Binary/{version.uuid}"),
        "title": f"Report, version {version.number}",
        "creation": moment(version.signed_at),
    }


def by_code(code: str) -> Q:
    return Q() if code == IMAGING_REPORT[0] else Q(procedures__code=code)


PATIENT_WAY = (To("Patient", "procedures__order__patient", many=True),)

DIAGNOSTIC_REPORT = register(
    ResourceType(
        "DiagnosticReport",
        (VIEW_REPORT,),
        (
            Source(
                Report,
                reports,
                loaded,
                report,
                (
                    Identifier("identifier", columns={URI: "uuid"}, doc="urn:uuid of the report."),
                    TextToken("accession", at="procedures__accession_number", many=True, is_private=True),
                    Reference("patient", to=PATIENT_WAY),
                    Reference("subject", to=PATIENT_WAY),
                    Reference("based-on", to=(To("ServiceRequest", "procedures", many=True),)),
                    Reference("study", to=(To("ImagingStudy", "procedures__studies", many=True),)),
                    Reference("results-interpreter", to=(To("Practitioner", "signed_by__practitioner"),)),
                    Token("status", at="status", codes=CODES),
                    Token("category", values=lambda code: Q() if code == "RAD" else Q(pk__in=[]), system=SECTION_0074),
                    Token("code", values=by_code, many=True, doc="18748-4 (LOINC), or the code of an exam."),
                    Date("date", at="procedures__performed_at", doc="When the exam was performed."),
                    Date("issued", at="last_signed", sort="last_signed", doc="When the last version was signed."),
                ),
                SignedVersions(),
                updated="last_signed",
                extra=with_last,
            ),
        ),
        doc="Signed reports; each signature is a version. Binary holds the paper.",
    )
)


# --- provenance


def versions(actor: Actor) -> QuerySet:
    return standing().filter(report__in=Report.objects.visible_to(actor).order_by().values("pk"))


def signed_rows(rows: QuerySet) -> QuerySet:
    return rows.select_related("report", "signed_by__practitioner").prefetch_related(
        "co_signatures", "report__procedures__order__patient"
    )


def provenance(row: ReportVersion, release: Version) -> Resource:
    is_first = row.number == 1
    why = {"text": row.reason} if row.reason else None
    made = kept(
        target=[{"reference": f"DiagnosticReport/{row.report.uuid}/_history/{row.number}"}],
        occurredDateTime=moment(row.signed_at),
        recorded=moment(row.signed_at),
        activity=coded(OPERATIONS, "CREATE" if is_first else "UPDATE", "create" if is_first else "revise"),
        agent=[
            {"type": coded(AGENT_TYPES, "author", "Author"), "who": signer(row)},
            *(
                {"type": coded(AGENT_TYPES, "verifier", "Verifier"), "who": {"display": one.signer_name}}
                for one in row.co_signatures.all()
            ),
        ],
    )
    if why:
        made |= {"authorization": [{"concept": why}]} if release.is_r5 else {"reason": [why]}
    return made


PROVENANCE = register(
    ResourceType(
        "Provenance",
        (VIEW_REPORT,),
        (
            Source(
                ReportVersion,
                versions,
                signed_rows,
                provenance,
                (
                    PartReference("target", to=(To("DiagnosticReport", "report"),)),
                    Reference("patient", to=(To("Patient", "report__procedures__order__patient", many=True),)),
                    Reference("agent", to=(To("Practitioner", "signed_by__practitioner"),)),
                    Date("recorded", at="signed_at", sort="signed_at"),
                ),
                Immutable("signed_at"),
                updated="signed_at",
            ),
        ),
        doc="Who signed which version of a report, and why it was changed.",
    )
)
