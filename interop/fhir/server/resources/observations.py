"""Observation: structured assessments of signed reports, and the totals of dose reports."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from dose.models import DoseReport
from dose.permissions import VIEW_DOSE
from interop.fhir.diagnostic_report import observation
from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import Date, Reference, To, Token
from interop.fhir.server.registry import ResourceType, Source, register
from interop.fhir.server.resources.common import DCM, LOINC, coded, kept, moment, patient_ref, quantity, ref
from interop.fhir.server.resources.reports import standing
from reporting.models import Assessment, Report
from reporting.permissions import VIEW_REPORT
from ris.core.actor import Actor

CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
CATEGORY = coded(CATEGORIES, "imaging", "Imaging")
EXPOSURE = ("73569-6", "Radiation exposure and protection information [Description] Document Diagnostic imaging")
#: column -> (DICOM code, meaning, unit as said, UCUM, factor from what is stored)
TOTALS = {
    "ctdi_vol_max": ("113830", "Mean CTDIvol", "mGy", "mGy", 1.0),
    "dlp_total": ("113813", "CT Dose Length Product Total", "mGy.cm", "mGy.cm", 1.0),
    "dap_total": ("113722", "Dose Area Product Total", "Gy.m2", "Gy.m2", 1.0),
    "dose_rp_total": ("113725", "Dose (RP) Total", "Gy", "Gy", 1.0),
    "agd_total": ("111637", "Accumulated Average Glandular Dose", "mGy", "mGy", 1000.0),
    "fluoro_time": ("113730", "Total Fluoro Time", "s", "s", 1.0),
    "administered_activity": ("113507", "Administered activity", "MBq", "MBq", 1e-6),
}


# --- assessments


def assessments(actor: Actor) -> QuerySet:
    """Of reports that have been signed; what stands in a draft alone is told by nobody."""
    if not actor.may(VIEW_REPORT):
        return Assessment.objects.none()
    signed = Exists(standing().filter(report=OuterRef("report")))
    return Assessment.objects.filter(signed, report__in=Report.objects.visible_to(actor).order_by().values("pk"))


def assessment(row: Assessment, release: Version) -> Resource | None:
    """As the last signature froze it; taken out since then: entered in error. Never signed: nothing."""
    frozen, is_current, last = None, False, None
    for last in row.report.standing_versions:
        found = next((one for one in last.assessments if one["id"] == str(row.uuid)), None)
        is_current, frozen = found is not None, found or frozen
    if frozen is None or last is None:
        return None
    exams = list(row.report.procedures.all())
    made = observation(last, 1, frozen)
    del made["resourceType"], made["id"]
    if not is_current:
        made["status"] = "entered-in-error"
    patient = exams[0].order.patient
    return made | kept(
        basedOn=[ref("ServiceRequest", exam.uuid) for exam in exams],
        category=[CATEGORY],
        subject=patient_ref(patient),
        effectiveDateTime=moment(next((exam.performed_at for exam in exams if exam.performed_at), None)),
        issued=moment(last.signed_at),
        derivedFrom=[ref("ImagingStudy", study.uuid) for exam in exams for study in exam.studies.all()],
    )


def loaded_assessments(rows: QuerySet) -> QuerySet:
    return rows.select_related("report").prefetch_related(
        "report__procedures__order__patient__identifiers", "report__procedures__studies", "report__versions__recall"
    )


# --- dose


def doses(actor: Actor) -> QuerySet:
    if not actor.may(VIEW_DOSE):
        return DoseReport.objects.none()
    return DoseReport.objects.visible_to(actor).filter(is_of_a_patient=True, procedure__isnull=False)


def dose(row: DoseReport, release: Version) -> Resource | None:
    exam = row.procedure
    if exam is None:
        return None
    components = [
        {"code": coded(DCM, code, meaning), "valueQuantity": quantity(_rounded(value * factor), unit, ucum)}
        for name, (code, meaning, unit, ucum, factor) in TOTALS.items()
        if (value := getattr(row, name)) is not None
    ]
    device = " ".join(part for part in (row.manufacturer, row.model_name) if part)
    return kept(
        identifier=[{"system": "urn:dicom:uid", "value": f"urn:oid:{row.sop_instance_uid}"}],
        basedOn=[ref("ServiceRequest", exam.uuid)],
        partOf=[ref("ImagingStudy", row.study.uuid)] if row.study else [],
        status="final",
        category=[CATEGORY],
        code=coded(LOINC, *EXPOSURE),
        subject=patient_ref(exam.order.patient),
        effectiveDateTime=moment(row.performed_at),
        issued=moment(row.received_at),
        device={"display": device} if device else None,
        component=components,
        dataAbsentReason=None
        if components
        else coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-performed", "Not Performed"),
    )


def _rounded(value: float) -> float:
    """Without the noise of binary fractions."""
    return float(f"{value:.6g}")


def loaded_doses(rows: QuerySet) -> QuerySet:
    return rows.select_related("study", "procedure__order__patient").prefetch_related(
        "procedure__order__patient__identifiers"
    )


def constant(code: str) -> Any:
    return lambda asked: Q() if asked == code else Q(pk__in=[])


IS_IMAGING = Token("category", values=constant("imaging"), system=CATEGORIES)

OBSERVATION = register(
    ResourceType(
        "Observation",
        (VIEW_REPORT, VIEW_DOSE),
        (
            Source(
                Assessment,
                assessments,
                loaded_assessments,
                assessment,
                (
                    Reference("patient", to=(To("Patient", "report__procedures__order__patient", many=True),)),
                    Reference("subject", to=(To("Patient", "report__procedures__order__patient", many=True),)),
                    Reference("based-on", to=(To("ServiceRequest", "report__procedures", many=True),)),
                    Reference("derived-from", to=(To("ImagingStudy", "report__procedures__studies", many=True),)),
                    IS_IMAGING,
                    Token("code", at="scheme", doc="The scale (as birads), or 73569-6 (LOINC) for doses."),
                    Token("value-concept", at="category", doc="The category of a scale."),
                    Date("date", at="report__procedures__performed_at"),
                ),
            ),
            Source(
                DoseReport,
                doses,
                loaded_doses,
                dose,
                (
                    Reference("patient", to=(To("Patient", "procedure__order__patient"),)),
                    Reference("subject", to=(To("Patient", "procedure__order__patient"),)),
                    Reference("based-on", to=(To("ServiceRequest", "procedure"),)),
                    Reference("part-of", to=(To("ImagingStudy", "study"),)),
                    IS_IMAGING,
                    Token("code", values=constant(EXPOSURE[0]), doc="73569-6 (LOINC)."),
                    Date("date", at="performed_at"),
                ),
            ),
        ),
        doc="Structured assessments as they were signed, and the totals of dose reports (each under its own right).",
    )
)
