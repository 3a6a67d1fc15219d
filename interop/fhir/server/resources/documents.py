"""DocumentReference: papers that came with the patient."""

from __future__ import annotations

from django.db.models import QuerySet

from interop.fhir.server.call import Resource, Version, public_address
from interop.fhir.server.params import Date, Reference, String, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import LOINC, coded, kept, moment, patient_ref, ref
from orders.models import Document, DocumentKind
from orders.permissions import VIEW_DOCUMENT
from orders.querysets import patient_condition
from ris.core.actor import Actor

KINDS = "urn:picha:document-kind"
#: LOINC's document ontology, where it has a name for ours
TYPES = {
    DocumentKind.REQUEST_FORM: ("57133-1", "Referral note"),
    DocumentKind.CONSENT: ("59284-0", "Consent Document"),
    DocumentKind.PRIOR_REPORT: ("18748-4", "Diagnostic imaging study"),
    DocumentKind.OUTSIDE_REPORT: ("18748-4", "Diagnostic imaging study"),
    DocumentKind.OTHER: ("34133-9", "Summarization of episode note"),
}


def documents(actor: Actor) -> QuerySet:
    return Document.objects.filter(patient_condition(actor, "patient__"))


def to_fhir(row: Document, version: Version) -> Resource:
    kind = DocumentKind(row.kind)
    exams = [ref("ServiceRequest", exam.uuid) for exam in row.order.procedures.all()] if row.order else []
    attachment = kept(
        contentType=row.content_type,
        url=public_address(f"/fhir/{version.name}/Binary/{row.uuid}"),
        size=str(row.size) if version.is_r5 else row.size,
        title=row.title,
        creation=moment(row.added_at),
    )
    type_ = coded(LOINC, *TYPES[kind], kind.label) if kind != DocumentKind.OTHER else {"text": str(kind.label)}
    type_.setdefault("coding", []).append({"system": KINDS, "code": str(row.kind), "display": str(kind.label)})
    made = kept(
        status="entered-in-error" if row.withdrawn_at else "current",
        type=type_,
        subject=patient_ref(row.patient),
        date=moment(row.added_at),
        author=[{"display": row.added_by.display_name}] if row.added_by else [],
        description=row.title,
        content=[{"attachment": attachment}],
    )
    if exams:
        made |= {"basedOn": exams} if version.is_r5 else {"context": {"related": exams}}
    return made


def loaded(rows: QuerySet) -> QuerySet:
    return rows.select_related("patient", "order", "added_by").prefetch_related(
        "patient__identifiers", "order__procedures"
    )


DOCUMENT_REFERENCE = register(
    ResourceType(
        "DocumentReference",
        (VIEW_DOCUMENT,),
        (
            Source(
                Document,
                documents,
                loaded,
                to_fhir,
                (
                    Reference("patient", to=(To("Patient", "patient"),)),
                    Reference("subject", to=(To("Patient", "patient"),)),
                    Reference("related", to=(To("ServiceRequest", "order__procedures", many=True),)),
                    Token("type", at="kind", system=KINDS, doc="Our kinds: " + ", ".join(DocumentKind.values) + "."),
                    Token("contenttype", at="content_type"),
                    String("description", at=("title",), is_private=True),
                    Date("date", at="added_at", sort="added_at"),
                ),
                updated="added_at",
            ),
        ),
        doc="Request forms, consents and outside reports; Binary holds the file.",
    )
)
