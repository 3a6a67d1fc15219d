"""The data types that every mapping is made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import system_of

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
DCM, UCUM, LOINC = "http://dicom.nema.org/resources/ontology/DCM", "http://unitsofmeasure.org", "http://loinc.org"
SNOMED, ICD10, CPT = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10", "http://www.ama-assn.org/go/cpt"
DICOM_UID, URI = "urn:dicom:uid", "urn:ietf:rfc:3986"
ACCESSION, PLACER, FILLER = (
    "urn:picha:accession-number",
    "urn:picha:placer-order-number",
    "urn:picha:filler-order-number",
)
CATALOGUE = "urn:picha:catalogue"
#: DICOM coding schemes (PS3.16 table 8-1, and the usual names of others) as FHIR systems
SCHEMES = {
    "99PICHA": CATALOGUE,
    "LN": LOINC,
    "SCT": SNOMED,
    "SRT": SNOMED,
    "C4": CPT,
    "CPT": CPT,
    "I10": ICD10,
    "ICD-10": ICD10,
    "DCM": DCM,
    "RADLEX": "http://www.radlex.org",
    "UCUM": UCUM,
}


def scheme_system(scheme: str) -> str:
    return SCHEMES.get(scheme, f"urn:picha:scheme:{scheme}")


def kept(**elements: Any) -> Resource:
    """The elements that say something; ``class_`` is ``class``."""
    return {key.rstrip("_"): value for key, value in elements.items() if value not in (None, "", [], {})}


def coding(system: str, code: Any, display: Any = "") -> Resource:
    return kept(system=system, code=str(code), display=str(display))


def concept(*codings: Resource, text: Any = "") -> Resource:
    return kept(coding=[one for one in codings if one], text=str(text))


def coded(system: str, code: Any, display: Any = "", text: Any = "") -> Resource:
    return concept(coding(system, code, display), text=text)


def ref(kind: str, key: UUID | str | None, display: Any = "") -> Resource | None:
    return kept(reference=f"{kind}/{key}", display=str(display)) if key else None


def logical(system: str, value: str, display: Any = "") -> Resource:
    return kept(identifier=kept(system=system, value=value), display=str(display))


def reason_or(reference: Resource | None = None, *, of: Resource | None = None) -> Resource:
    """A CodeableReference (R5)."""
    return kept(reference=reference, concept=of)


def moment(value: datetime | None) -> str | None:
    """An instant or dateTime, in the facility's zone."""
    return (
        timezone.localtime(value).isoformat(timespec="milliseconds" if value.microsecond else "seconds")
        if value
        else None
    )


def day(value: date | None) -> str | None:
    return value.isoformat() if value else None


def period(start: datetime | None, end: datetime | None = None) -> Resource | None:
    return kept(start=moment(start), end=moment(end)) or None


def identifier(system: str, value: Any, *, type_: str = "", use: str = "") -> Resource:
    made: Resource = kept(use=use, system=system, value=str(value))
    if type_:
        made["type"] = coded(V2_0203, type_)
    return made


def accession(number: str) -> Resource:
    return identifier(ACCESSION, number, type_="ACSN", use="usual")


def study_uid(uid: str) -> Resource:
    return identifier(DICOM_UID, f"urn:oid:{uid}")


def issued_by(value: str, issuer: str, *, type_: str = "", use: str = "") -> Resource:
    made = identifier(system_of(issuer) if issuer else "", value, type_=type_, use=use)
    if issuer:
        made["assigner"] = {"display": issuer}
    return made


def human_name(row: Any, *, use: str = "official") -> Resource:
    given = [part for part in (row.given_name, getattr(row, "middle_name", "")) if part]
    return kept(
        use=use,
        text=" ".join(part for part in (row.prefix, *given, row.family_name, getattr(row, "suffix", "")) if part),
        family=row.family_name,
        given=given,
        prefix=[row.prefix] if row.prefix else [],
        suffix=[row.suffix] if getattr(row, "suffix", "") else [],
    )


def telecoms(phone: str, email: str) -> list[Resource]:
    found = [kept(system="phone", value=phone), kept(system="email", value=email)]
    return [one for one in found if "value" in one]


def address(text: str) -> list[Resource]:
    """The lines as they are written; nothing is guessed of town and country."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [{"text": ", ".join(lines), "line": lines}] if lines else []


def quantity(value: Any, unit: str, code: str = "") -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def patient_ref(patient: Any) -> Resource:
    """The subject, with the number that the facility knows them by."""
    made = ref("Patient", patient.uuid) or {}
    number = patient.primary_identifier
    if number is not None:
        made["identifier"] = issued_by(number.value, number.issuer, type_=number.type, use=number.use)
    return made


def practitioner_ref(row: Any) -> Resource | None:
    return ref("Practitioner", row.uuid, row.display_name) if row is not None else None


def by_release(version: Version, *, r4: Resource, r5: Resource) -> Resource:
    return kept(**(r5 if version.is_r5 else r4))


def texts(rows: Iterable[Any]) -> list[str]:
    return [str(row) for row in rows if row]
