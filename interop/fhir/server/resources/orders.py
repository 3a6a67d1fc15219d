"""ServiceRequest: one exam of an order, the unit that has an accession number and a lifecycle of its own."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import Date, Identifier, Reference, TextToken, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import (
    ACCESSION,
    CATALOGUE,
    DCM,
    DICOM_UID,
    FILLER,
    PLACER,
    SNOMED,
    accession,
    coded,
    coding,
    concept,
    identifier,
    kept,
    moment,
    patient_ref,
    practitioner_ref,
    ref,
    scheme_system,
    study_uid,
)
from interop.fhir.server.versions import Parent, RowVersions
from orders.models import Modality, Priority, ProcedureStatus, RequestedProcedure
from orders.permissions import VIEW_ORDER

S = ProcedureStatus
ORDER = "urn:picha:order"
REASON = "http://hl7.org/fhir/StructureDefinition/request-statusReason"
IMAGING = ("363679005", "Imaging")
#: radiology.md's map: what waits for somebody is on hold, what will never be done is revoked
STATUS = {
    **dict.fromkeys((S.VETTING, S.INFO_REQUESTED, S.ON_HOLD), "on-hold"),
    **dict.fromkeys(
        (S.REQUESTED, S.ACCEPTED, S.SCHEDULED, S.ARRIVED, S.IN_PROGRESS, S.PERFORMED, S.READY_TO_READ, S.READING),
        "active",
    ),
    S.PRELIMINARY: "active",
    **dict.fromkeys((S.FINAL, S.AMENDED, S.DISTRIBUTED), "completed"),
    **dict.fromkeys((S.REJECTED, S.CANCELLED, S.NO_SHOW, S.DISCONTINUED, S.REPLACED), "revoked"),
}
CODES = {code: [status for status, mapped in STATUS.items() if mapped == code] for code in set(STATUS.values())}


def exam_code(row: RequestedProcedure) -> Resource:
    """As it was ordered, and what the catalogue knows it as elsewhere."""
    known = [coding(scheme_system(row.code_scheme), row.code, row.description)]
    if row.catalogue is not None:
        if row.catalogue.code != row.code:
            known.append(coding(CATALOGUE, row.catalogue.code, row.catalogue.name))
        known += [coding(scheme_system(one.scheme), one.value, one.meaning) for one in row.catalogue.codes.all()]
    return concept(*known, text=row.description_with_side)


def categories(row: RequestedProcedure) -> list[Resource]:
    found = [coded(SNOMED, *IMAGING)]
    if row.modality:
        found.append(coded(DCM, row.modality, Modality(row.modality).label))
    return found


def to_fhir(row: RequestedProcedure, version: Version) -> Resource:
    order = row.order
    reason = {"text": order.indication} if order.indication else None
    code = exam_code(row)
    made = kept(
        extension=[{"url": REASON, "valueCodeableConcept": {"text": row.reason_text}}] if row.reason_text else [],
        identifier=[
            accession(row.accession_number),
            study_uid(row.study_instance_uid),
            *([identifier(PLACER, order.placer_order_number, type_="PLAC")] if order.placer_order_number else []),
            *([identifier(FILLER, order.filler_order_number, type_="FILL")] if order.filler_order_number else []),
        ],
        replaces=[ref("ServiceRequest", one.uuid) for one in row.replaces.all()],
        requisition=identifier(ORDER, order.uuid),
        status=STATUS[S(row.status)],
        intent="order",
        category=categories(row),
        priority=str(order.priority),
        code={"concept": code} if version.is_r5 else code,
        subject=patient_ref(order.patient),
        authoredOn=moment(order.ordered_at),
        requester=practitioner_ref(order.requester),
        bodySite=[{"text": row.body_region}] if row.body_region else [],
        note=[{"text": order.clinical_information}] if order.clinical_information else [],
    )
    if reason:
        made |= {"reason": [{"concept": reason}]} if version.is_r5 else {"reasonCode": [reason]}
    return made


def loaded(rows: QuerySet) -> QuerySet:
    return rows.select_related("order__patient", "order__requester", "catalogue").prefetch_related(
        "order__patient__identifiers", "catalogue__codes", "replaces"
    )


def by_category(code: str) -> Q:
    return Q() if code == IMAGING[0] else Q(modality=code)


def by_code(code: str) -> Q:
    return Q(code=code) | Q(catalogue__code=code) | Q(catalogue__codes__value=code)


PATIENT_WAY = (To("Patient", "order__patient"),)

SERVICE_REQUEST = register(
    ResourceType(
        "ServiceRequest",
        (VIEW_ORDER,),
        (
            Source(
                RequestedProcedure,
                RequestedProcedure.objects.visible_to,
                loaded,
                to_fhir,
                (
                    Identifier(
                        "identifier",
                        columns={
                            ACCESSION: "accession_number",
                            DICOM_UID: "study_instance_uid",
                            PLACER: "order__placer_order_number",
                            FILLER: "order__filler_order_number",
                        },
                        is_private=True,
                        doc="Accession number, Study Instance UID, placer or filler order number.",
                    ),
                    TextToken("accession", at="accession_number", is_private=True, doc="The accession number."),
                    Identifier("requisition", columns={ORDER: "order__uuid"}, doc="All exams of one order."),
                    Reference("patient", to=PATIENT_WAY),
                    Reference("subject", to=PATIENT_WAY),
                    Reference("requester", to=(To("Practitioner", "order__requester"),)),
                    Reference("replaces", to=(To("ServiceRequest", "replaces", many=True),)),
                    Token("status", at="status", codes=CODES),
                    Token(
                        "intent", codes={"order": [""]}, values=lambda code: Q() if code == "order" else Q(pk__in=[])
                    ),
                    Token("priority", at="order__priority", codes={str(value): [value] for value in Priority.values}),
                    Token("category", values=by_category, doc="Imaging (SNOMED CT) or a modality (DICOM)."),
                    Token("code", values=by_code, many=True, doc="The exam, in any scheme of the catalogue."),
                    Date("authored", at="order__ordered_at", sort="order__ordered_at"),
                ),
                RowVersions(RequestedProcedure, Parent("order")),
            ),
        ),
        doc="Exams: one for each procedure of an order; requisition names the order.",
    )
)
