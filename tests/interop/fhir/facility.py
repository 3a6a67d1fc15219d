"""One of everything that FHIR tells, by the services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.core.files.base import ContentFile
from django.utils import timezone

from dose.models import DoseReport
from orders.models import Order, Patient, RequestedProcedure
from orders.services import ProcedureRequest, create_order, update_patient
from orders.services.documents import add_document
from reporting.models import Report
from reporting.services import add_addendum, open_report, save_report, sign_report
from reporting.services.assessing import add_assessment
from ris.accounts.models import Practitioner, Site
from ris.core.actor import SYSTEM, Actor
from ris.core.permissions import RADIOLOGIST
from tests.factories.exam import ct1, ct_chest, performed_exam, user_with
from worklist.models import ImagingInstance, ImagingSeries, ImagingStudy
from worklist.services import book_appointment

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Facility:
    """``exam`` is reported with an addendum; ``waiting`` is another exam of the same patient, booked for tomorrow."""

    patient: Patient
    exam: RequestedProcedure
    report: Report
    study: ImagingStudy
    dose: DoseReport
    waiting: RequestedProcedure
    order: Order
    radiologist: Practitioner
    folder: Path | None = None


def filled() -> Facility:
    site = Site.objects.create(code="main", name="Main building", address="Moi Avenue 1\nNairobi", phone="+254 20 1")
    done = performed_exam(family_name="Wanjirũ", given_name="Achieng")
    patient, exam = done.patient, done.procedure
    room = ct1().room
    room.site = site
    room.save_as(SYSTEM, "made for a test")
    update_patient(
        patient,
        phone="+254 700 123456",
        address="Kenyatta Road 7\nNairobi",
        identifiers=[{"value": "12345678", "issuer": "KE", "type": "NI"}],
        actor=SYSTEM,
    )
    user = user_with("fhir-reader", RADIOLOGIST, family_name="Karanja", given_name="Peter", prefix="Dr")
    radiologist = Practitioner.objects.create(
        user=user, family_name="Karanja", given_name="Peter", prefix="Dr", identifier="A1234", issuer="KMPDC",
        specialty="Radiology", organisation="Radiology", phone="+254 700 2", email="karanja@example.org",
    )  # fmt: skip
    study = _study(exam)
    dose = DoseReport(
        sop_instance_uid="2.25.777", study=study, procedure=exam, study_instance_uid=study.study_instance_uid,
        modality="CT", manufacturer="ACME", model_name="Scan & Go", performed_at=timezone.now(), ctdi_vol_max=8.1,
        dlp_total=301.25, agd_total=0.0015,
    )  # fmt: skip
    dose.save_as(SYSTEM, "made for a test")
    waiting = create_order(
        patient=patient,
        procedures=[ProcedureRequest(code=ct_chest().code)],
        indication="Follow-up <6 mm> nodule & cough",
        clinical_information="Smoker",
        placer_order_number="P-77",
        placer_issuer="WARD",
        priority="urgent",
        actor=SYSTEM,
    ).procedures.get()
    tomorrow = timezone.localtime().replace(hour=10, minute=0, second=0, microsecond=0) + timedelta(days=1)
    book_appointment(waiting, station=ct1(), starts_at=tomorrow, actor=SYSTEM)
    add_document(
        patient, kind="request_form", title="Request", file=ContentFile(PDF, "r.pdf"), order=exam.order, actor=SYSTEM
    )
    report = _report(exam, Actor("web", user=user))
    waiting.refresh_from_db()
    exam.refresh_from_db()
    return Facility(patient, exam, report, study, dose, waiting, exam.order, radiologist)


def _study(exam: RequestedProcedure) -> ImagingStudy:
    now = timezone.localtime()
    study = ImagingStudy(
        study_instance_uid=exam.study_instance_uid, accession_number=exam.accession_number, description="CT chest",
        study_date=now.date(), study_time=now.time().replace(microsecond=0), modalities="CT\\SR", series_count=1,
        instance_count=2,
    )  # fmt: skip
    study.save_as(SYSTEM, "made for a test")
    study.procedures.add(exam)
    series = ImagingSeries.objects.create(
        study=study, series_instance_uid="2.25.881", modality="CT", number=1, description="Lung", body_part="CHEST",
        laterality="L", instance_count=2,
    )  # fmt: skip
    for number in (1, 2):
        ImagingInstance.objects.create(
            series=series, sop_instance_uid=f"2.25.99{number}", sop_class_uid=CT_IMAGE, size=1, path="x",
            transfer_syntax_uid="1.2.840.10008.1.2.1", number=number,
        )  # fmt: skip
    return study


def _report(exam: RequestedProcedure, actor: Actor) -> Report:
    report = open_report([exam], actor=actor)
    report = save_report(
        report,
        sections={"findings": "Lungs clear.\nNo embolus & no effusion <1 cm.", "impression": "No pulmonary embolism."},
        revision=report.revision,
        actor=actor,
    )
    add_assessment(
        report, scheme="birads", inputs={"right": "2", "left": "4A", "density": "b"}, label="Both", actor=actor
    )
    report = sign_report(Report.objects.get(pk=report.pk), actor=actor)
    return add_addendum(report, text="Compared with 2025: unchanged.", actor=actor)
