"""200 dose reports from C-STORE to the chart: cumulative ones, sent again, and the first of them over the wire."""

from __future__ import annotations

from io import BytesIO

import pytest
from django.utils import timezone
from pydicom import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from dose import compliance
from dose.dashboards import ask, make_chart
from dose.models import DoseReport, IrradiationEvent, StandardExam
from dose.services import add_level
from interop.dicom.emulated_images import with_file_meta
from interop.dicom.storage import ObjectSink
from interop.dicom.store import IncomingFile
from orders.services import ProcedureRequest, create_order
from ris.core.actor import SYSTEM, Actor
from ris.core.permissions import PHYSICIST
from tests.factories.accounts import actor_with_roles
from tests.factories.dose import ct_event, ct_report
from tests.factories.exam import ct_chest
from tests.factories.orders import make_patient
from tests.factories.worklist import make_station
from tests.interop.dicom.conftest import scp

__all__ = ["scp"]

EXAMS, REPORTS_OF_ONE, OVER_THE_WIRE = 40, 5, 5


def taken(made: Dataset) -> None:
    """By the handler of C-STORE, without a socket."""
    buffer = BytesIO()
    file = DicomFileLike(buffer)
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, made)
    sink = ObjectSink(
        IncomingFile(made.SOPClassUID, made.SOPInstanceUID, ExplicitVRLittleEndian, "CT1"),
        Actor("storage", ae_title="CT1"),
    )
    sink.write(buffer.getvalue())
    sink.finish()


def reports_of(procedure, dlp):
    """The scanner sends what it has so far after each of five scans."""
    number = procedure.order.patient.primary_identifier
    events = [ct_event(dlp / REPORTS_OF_ONE, 10) for _number in range(REPORTS_OF_ONE)]
    today = {"ContentDate": f"{timezone.localdate():%Y%m%d}", "ContentTime": "000100", "StationName": "CT1"}
    ids = {"StudyInstanceUID": procedure.study_instance_uid, "AccessionNumber": procedure.accession_number,
           "PatientID": number.value, "IssuerOfPatientID": number.issuer, "SeriesDescription": "Dose"}  # fmt: skip
    for count in range(1, REPORTS_OF_ONE + 1):
        total = round(dlp / REPORTS_OF_ONE * count, 3)
        yield ct_report(*events[:count], total=total, **today, **ids)


@pytest.fixture
def procedures(scp):
    make_station("CT1")
    catalogue = ct_chest()
    found = []
    for _pair in range(EXAMS // 2):
        requests = [ProcedureRequest(catalogue.code)]
        for patient in (make_patient(), make_patient()):
            order = create_order(patient=patient, procedures=requests, actor=SYSTEM)
            found.append(order.procedures.get())
    return found


def test_two_hundred_reports_from_the_scanner_to_the_chart(scp, procedures, dispatch):
    doses = {procedure.pk: 500.0 + 10 * place for place, procedure in enumerate(procedures)}
    sent = [made for procedure in procedures for made in reports_of(procedure, doses[procedure.pk])]
    assert len(sent) == 200
    scanner = scp.scanner("CT1")
    wired = [with_file_meta(made) for made in sent[:OVER_THE_WIRE]]
    assert scanner._store(wired, kind="non-image") == [0] * OVER_THE_WIRE
    for made in sent[OVER_THE_WIRE:]:
        taken(made)
    dispatch()
    taken(sent[-1])
    dispatch()
    assert DoseReport.objects.count() == IrradiationEvent.objects.count() == 200
    assert DoseReport.objects.filter(procedure__isnull=True).count() == 0
    physicist = actor_with_roles(PHYSICIST)
    question = ask({"tab": "CT", "quantity": "dlp", "level": "none"}, actor=physicist)
    (row,) = make_chart("boxplot", question, actor=physicist).rows
    assert EXAMS in row and any(value == pytest.approx(695) for value in row if isinstance(value, (int, float)))
    level = add_level(
        authority="Here", year=2026, exam="Chest", modality="CT", quantity="dlp", value=600, unit="mGy.cm",
        source="A letter", standard_exam=StandardExam.objects.get(code="ct-chest"), actor=physicist,
    )  # fmt: skip
    (found,) = compliance.compare(actor=physicist, levels=[level])
    assert (found.patients, found.median, found.verdict) == (EXAMS, pytest.approx(695), "above")
