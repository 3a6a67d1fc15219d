"""Patient: who an exam is about. The losing side of a merge stays, inactive, with a link to the survivor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet

from interop.fhir.server.call import Answer, Call, Resource, Version
from interop.fhir.server.errors import Refused
from interop.fhir.server.everything import everything
from interop.fhir.server.params import Asked, Date, Flag, Identifier, Reference, String, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import (
    address,
    coded,
    day,
    human_name,
    issued_by,
    kept,
    ref,
    telecoms,
)
from interop.fhir.server.versions import Children, RowVersions
from orders.duplicates import lexeme
from orders.duplicates import plain as words_of
from orders.models import Patient, PatientIdentifier, Sex
from orders.permissions import VIEW_PATIENT

GENDERS = {Sex.MALE: "male", Sex.FEMALE: "female", Sex.OTHER: "other", Sex.UNKNOWN: "unknown"}
DATA_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
TAGS = "urn:picha:patient-flag"


def to_fhir(row: Patient, version: Version) -> Resource:
    flags = [
        {"system": TAGS, "code": code}
        for code, is_set in (
            ("identity-unverified", row.identity_is_unverified),
            ("birth-date-estimated", row.birth_date_is_estimated),
        )
        if is_set
    ]
    survivor = row.merged_into
    return kept(
        meta={"tag": flags} if flags else None,
        identifier=[issued_by(one.value, one.issuer, type_=one.type, use=one.use) for one in row.identifiers.all()],
        active=survivor is None,
        name=[human_name(row), *_other_scripts(row)],
        telecom=telecoms(row.phone, row.email),
        gender=GENDERS.get(Sex(row.sex), "unknown"),
        birthDate=day(row.birth_date),
        deceasedBoolean=True if row.is_deceased else None,
        address=address(row.address),
        contact=[{"name": {"text": row.next_of_kin}}] if row.next_of_kin else [],
        communication=[{"language": coded("urn:ietf:bcp:47", row.language), "preferred": True}] if row.language else [],
        link=[{"other": ref("Patient", survivor.uuid), "type": "replaced-by"}] if survivor is not None else [],
    )


def _other_scripts(row: Patient) -> list[Resource]:
    """The ideographic and phonetic groups of PN, by HL7's extension for the representation of names."""
    url = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
    found = []
    for group, code in ((row.ideographic_name, "IDE"), (row.phonetic_name, "SYL")):
        if group:
            family, _caret, given = group.partition("^")
            made: Resource = kept(text=group.replace("^", " "), family=family, given=[given] if given else [])
            found.append({"extension": [{"url": url, "valueCode": code}], **made})
    return found


class Name(String):
    """A part of a name. Of a million patients only those with such words are compared: these have an index."""

    def condition(self, values: Sequence[str], modifier: str, asked: Asked) -> Q:
        found = Q(pk__in=[])
        for value in values:
            one = super().condition([value], modifier, asked)
            words = words_of(value).split()
            if words and modifier != "contains":
                *whole, last = (lexeme(word) for word in words)
                beginning = last if modifier == "exact" else f"{last}:*"
                one &= Q(name_words__query=" & ".join([*whole, beginning]))
            found |= one
        return found


def loaded(rows: QuerySet) -> QuerySet:
    return rows.select_related("merged_into").prefetch_related("identifiers")


def _everything(call: Call, row: Any) -> Answer:
    if call.method == "POST" and call.body is not None:
        raise Refused(400, "$everything takes its parameters in the address.", issue="not-supported")
    return everything(call, row)


PATIENT = register(
    ResourceType(
        "Patient",
        (VIEW_PATIENT,),
        (
            Source(
                Patient,
                Patient.objects.visible_to,
                loaded,
                to_fhir,
                (
                    Identifier("identifier", of="identifiers", is_private=True, doc="system|value of any identifier."),
                    Name(
                        "name",
                        at=("family_name", "given_name", "middle_name", "ideographic_name", "phonetic_name"),
                        is_private=True,
                        doc="Any part of the name.",
                    ),
                    Name("family", at=("family_name",), sort="family_name", is_private=True),
                    Name("given", at=("given_name", "middle_name"), sort="given_name", is_private=True),
                    String("phone", at=("phone",), is_private=True),
                    String("email", at=("email",), is_private=True),
                    Date("birthdate", at="birth_date", is_day=True, sort="birth_date", is_private=True),
                    Token("gender", at="sex", codes={code: [sex] for sex, code in GENDERS.items()}),
                    Flag("active", is_true=Q(merged_into__isnull=True), doc="false: the losing side of a merge."),
                    Flag("deceased", is_true=Q(is_deceased=True)),
                    Reference("link", to=(To("Patient", "merged_into"),), doc="The survivor of a merge."),
                ),
                RowVersions(Patient, Children("identifiers", PatientIdentifier, "patient")),
            ),
        ),
        doc="People who are examined here. Restricted ones only for whom has been granted access to them.",
        operations={"everything": _everything},
    )
)
