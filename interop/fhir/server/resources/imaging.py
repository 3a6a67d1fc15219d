"""ImagingStudy: what was acquired, with its series. Instances are listed for who asks with
``_elements=series.instance``; all that they say of themselves is for DICOMweb, which ``endpoint`` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time

from django.db import connection
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.errors import Refused
from interop.fhir.server.params import Date, Identifier, Reference, TextToken, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import (
    ACCESSION,
    DCM,
    DICOM_UID,
    SNOMED,
    accession,
    coding,
    issued_by,
    kept,
    moment,
    patient_ref,
    ref,
    study_uid,
)
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy
from worklist.permissions import VIEW_STUDY

MOST_INSTANCES = 20_000
SIDES = {"L": ("7771000", "Left"), "R": ("24028007", "Right"), "B": ("51440002", "Right and left")}


def status_of(row: ImagingStudy) -> str:
    if row.merged_into_id:
        return "entered-in-error"
    return "available" if row.instance_count else "registered"


def to_fhir(row: ImagingStudy, version: Version) -> Resource:
    exams = list(row.procedures.all())
    numbers = dict.fromkeys(exam.accession_number for exam in exams)
    if not exams and row.accession_number:
        numbers = {row.accession_number: None}
    modalities = [code for code in row.modalities.split("\\") if code]
    tenant = getattr(connection, "tenant", None)
    return kept(
        identifier=[study_uid(row.study_instance_uid), *(accession(number) for number in numbers)],
        status=status_of(row),
        modality=[_modality(code, version) for code in modalities],
        subject=patient_ref(exams[0].order.patient) if exams else _claimed(row),
        started=_started(row),
        basedOn=[ref("ServiceRequest", exam.uuid) for exam in exams],
        endpoint=[ref("Endpoint", getattr(tenant, "uuid", None))],
        numberOfSeries=row.series_count,
        numberOfInstances=row.instance_count,
        description=row.description,
        series=[_series(one, version) for one in row.series.all()],
    )


def _claimed(row: ImagingStudy) -> Resource:
    """Images without an order: whom they claim to be of, as words only. A person has to say whose they are."""
    if row.patient_id:
        return {"identifier": issued_by(row.patient_id, row.issuer_of_patient_id)}
    return {"display": "Not identified"}


def _modality(code: str, version: Version) -> Resource:
    return {"coding": [coding(DCM, code)]} if version.is_r5 else coding(DCM, code)


def _series(row: ImagingSeries, version: Version) -> Resource:
    made = kept(
        uid=row.series_instance_uid,
        number=row.number if row.number is not None and row.number >= 0 else None,
        modality=_modality(row.modality or "OT", version),
        description=row.description,
        numberOfInstances=row.instance_count,
    )
    if "instances" in getattr(row, "_prefetched_objects_cache", {}):
        made |= kept(instance=[_instance(one) for one in row.instances.all()])
    if row.body_part:
        made["bodySite"] = {"concept": {"text": row.body_part}} if version.is_r5 else {"display": row.body_part}
    if row.laterality in SIDES:
        side = coding(SNOMED, *SIDES[row.laterality])
        made["laterality"] = {"coding": [side]} if version.is_r5 else side
    return made


def _instance(row: ImagingInstance) -> Resource:
    return kept(
        uid=row.sop_instance_uid,
        sopClass=coding("urn:ietf:rfc:3986", f"urn:oid:{row.sop_class_uid}"),
        number=row.number if row.number is not None and row.number >= 0 else None,
    )


def with_instances(rows: Sequence[ImagingStudy]) -> None:
    """Raises Refused (400) where it would be more than one answer holds."""
    if sum(row.instance_count for row in rows) > MOST_INSTANCES:
        words = f"More than {MOST_INSTANCES} instances: ask for fewer studies at once, or by DICOMweb."
        raise Refused(400, words, issue="too-costly")
    shown = ImagingInstance.objects.visible().order_by("number", "pk")
    prefetch_related_objects(list(rows), Prefetch("series__instances", queryset=shown))


def _started(row: ImagingStudy) -> str | None:
    if row.study_date is None:
        return None
    if row.study_time is None:
        return row.study_date.isoformat()
    return moment(timezone.make_aware(datetime.combine(row.study_date, row.study_time or time.min)))


def loaded(rows: QuerySet) -> QuerySet:
    return rows.prefetch_related("series", "procedures__order__patient__identifiers")


def by_modality(code: str) -> Q:
    kept_ = "".join(letter for letter in code if letter.isalnum())
    return Q(modalities__regex=rf"(^|\\){kept_}($|\\)") if kept_ else Q(pk__in=[])


def by_status(code: str) -> Q:
    if code == "entered-in-error":
        return Q(merged_into__isnull=False)
    counts = {"available": Q(instance_count__gt=0), "registered": Q(instance_count=0)}
    return counts[code] & Q(merged_into__isnull=True) if code in counts else Q(pk__in=[])


def by_class(code: str) -> Q:
    of_class = ImagingInstance.objects.visible().filter(
        series__study=OuterRef("pk"), sop_class_uid=code.removeprefix("urn:oid:")
    )
    return Q(Exists(of_class))


PATIENT_WAY = (To("Patient", "procedures__order__patient", many=True),)
REQUEST_WAY = (To("ServiceRequest", "procedures", many=True),)

IMAGING_STUDY = register(
    ResourceType(
        "ImagingStudy",
        (VIEW_STUDY,),
        (
            Source(
                ImagingStudy,
                ImagingStudy.objects.visible_to,
                loaded,
                to_fhir,
                (
                    Identifier(
                        "identifier",
                        columns={DICOM_UID: "study_instance_uid", ACCESSION: "accession_number"},
                        is_private=True,
                        doc="Study Instance UID (urn:oid:…) or the accession number in the images.",
                    ),
                    TextToken(
                        "accession",
                        at=("accession_number", "procedures__accession_number"),
                        many=True,
                        is_private=True,
                        doc="Of the exam, or as the images say.",
                    ),
                    Reference("patient", to=PATIENT_WAY),
                    Reference("subject", to=PATIENT_WAY),
                    Reference("basedon", to=REQUEST_WAY, doc="As R4 names it."),
                    Reference("based-on", to=REQUEST_WAY, doc="As R5 names it."),
                    Token("status", values=by_status),
                    Token("modality", values=by_modality, system=DCM),
                    Token("series", at="series__series_instance_uid", many=True),
                    Token("dicom-class", values=by_class, doc="SOP Class UID of an instance."),
                    Date("started", at="study_date", is_day=True, sort="study_date"),
                ),
            ),
        ),
        doc="Studies as acquired. Instances are listed when _elements=series.instance asks for them.",
        on_request={"series.instance": with_instances},
    )
)
