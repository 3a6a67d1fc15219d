"""Images of seeded exams: generated, stored and indexed on the way that a scanner's objects take."""

from __future__ import annotations

from io import BytesIO

from django.utils import timezone
from pydicom import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from interop.demo.plan import PlannedExam
from interop.dicom.dose_report import Irradiation, ct_dose_report
from interop.dicom.emulated_images import equipment, image, patient_and_study
from interop.dicom.storage import ObjectSink
from interop.dicom.store import IncomingFile
from orders.models import RequestedProcedure
from ris.core.actor import Actor
from ris.core.ids import new_uid

#: How many images of how many pixels: enough to look at, quick to make
SIZES = {"CT": (10, 256), "MR": (8, 256), "DX": (1, 384), "MG": (4, 384), "US": (5, 256)}


def _item(procedure: RequestedProcedure) -> Dataset:
    """What the scanner took over from the worklist."""
    patient = procedure.order.patient
    identifier = patient.primary_identifier
    item = Dataset()
    item.PatientName = patient.dicom_name
    item.PatientID = identifier.value if identifier else ""
    item.IssuerOfPatientID = identifier.issuer if identifier else ""
    item.PatientBirthDate = f"{patient.birth_date:%Y%m%d}" if patient.birth_date else ""
    item.PatientSex = patient.sex if patient.sex != "U" else ""
    item.AccessionNumber = procedure.accession_number
    item.StudyInstanceUID = procedure.study_instance_uid
    item.RequestedProcedureID = procedure.requested_procedure_id
    item.RequestedProcedureDescription = procedure.description
    return item


def store(made: Dataset, station: str) -> None:
    buffer = BytesIO()
    file = DicomFileLike(buffer)
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, made)
    incoming = IncomingFile(made.SOPClassUID, made.SOPInstanceUID, ExplicitVRLittleEndian, station)
    sink = ObjectSink(incoming, Actor("storage", ae_title=station))
    sink.write(buffer.getvalue())
    sink.finish()


def store_study(procedure: RequestedProcedure, plan: PlannedExam) -> None:
    """The exam's images; a CT's dose report besides."""
    started_at = timezone.localtime()
    item, series, frame_of_reference = _item(procedure), new_uid(), new_uid()
    count, size = SIZES[plan.modality]
    for number in range(count):
        made = image(
            item,
            modality=plan.modality,
            station=plan.station,
            started_at=started_at,
            number=number,
            count=count,
            size=size,
        )
        made.SeriesInstanceUID, made.FrameOfReferenceUID = series, frame_of_reference
        _tell_dose(made, plan)
        store(made, plan.station)
    if plan.modality == "CT":
        base = patient_and_study(item, started_at)
        base.update(equipment(plan.station, plan.modality))
        size_of_patient = 0.7 + 0.06 * (plan.number % 11)
        events = [
            Irradiation("Topogram", None, 4.2, exposure_time=3.1, tube_current=35, is_localizer=True),
            Irradiation("Chest", round(7.8 * size_of_patient, 2), round(268.4 * size_of_patient, 1)),
        ]
        store(ct_dose_report(base, events, started_at=started_at, device_uid=new_uid()), plan.station)


def _tell_dose(made: Dataset, plan: PlannedExam) -> None:
    """Radiography and mammography send no dose report here: the headers of their images say it."""
    size_of_patient = 0.7 + 0.06 * (plan.number % 11)
    if plan.modality == "DX":
        made.ImageAndFluoroscopyAreaDoseProduct = f"{1.2 * size_of_patient:.3f}"
        made.KVP, made.ExposureInuAs, made.ExposureIndex = "117", str(round(1800 * size_of_patient)), "285"
    elif plan.modality == "MG":
        made.OrganDose = f"{0.014 * size_of_patient:.4f}"
        made.KVP, made.BodyPartThickness, made.CompressionForce = "29", f"{48 * size_of_patient:.0f}", "95"
