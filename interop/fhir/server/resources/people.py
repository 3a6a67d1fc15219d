"""Practitioner and PractitionerRole: who asks for exams, does and reads them, and as what."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import Flag, Identifier, Reference, String, To
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import human_name, issued_by, kept, practitioner_ref, telecoms
from interop.fhir.server.versions import RowVersions
from ris.accounts.models import Practitioner
from ris.accounts.permissions import VIEW_PRACTITIONER
from ris.core.actor import Actor


def _all(actor: Actor) -> QuerySet:
    return Practitioner.objects.all()


def _as_they_are(rows: QuerySet) -> QuerySet:
    return rows


def person(row: Practitioner, version: Version) -> Resource:
    return kept(
        identifier=[issued_by(row.identifier, row.issuer, type_="LN")] if row.identifier else [],
        active=row.is_active,
        name=[human_name(row)],
        telecom=telecoms(row.phone, row.email),
    )


def role(row: Practitioner, version: Version) -> Resource:
    contacts = telecoms(row.phone, row.email)
    return kept(
        active=row.is_active,
        practitioner=practitioner_ref(row),
        organization=kept(display=row.organisation),
        specialty=[{"text": row.specialty}] if row.specialty else [],
        telecom=[] if version.is_r5 else contacts,
        contact=[{"telecom": contacts}] if version.is_r5 and contacts else [],
    )


ACTIVE = Flag("active", is_true=Q(is_active=True))

PRACTITIONER = register(
    ResourceType(
        "Practitioner",
        (VIEW_PRACTITIONER,),
        (
            Source(
                Practitioner,
                _all,
                _as_they_are,
                person,
                (
                    Identifier("identifier", value="identifier", doc="The registration number."),
                    String("name", at=("family_name", "given_name"), sort="family_name", doc="Any part of the name."),
                    String("family", at=("family_name",), sort="family_name"),
                    String("given", at=("given_name",), sort="given_name"),
                    ACTIVE,
                ),
                RowVersions(Practitioner),
            ),
        ),
        doc="People who request, perform or read exams, with or without a sign-in.",
    )
)

PRACTITIONER_ROLE = register(
    ResourceType(
        "PractitionerRole",
        (VIEW_PRACTITIONER,),
        (
            Source(
                Practitioner,
                _all,
                _as_they_are,
                role,
                (
                    Reference("practitioner", to=(To("Practitioner", "pk"),)),
                    String("specialty-text", at=("specialty",), doc="The specialty in words (there are no codes)."),
                    ACTIVE,
                ),
                RowVersions(Practitioner),
            ),
        ),
        doc="Where a practitioner works and in which specialty; it has the id of the practitioner.",
    )
)
