"""The modality emulator: objects that others read, dose reports that add up, and what departments do with one."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from html import unescape

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django.utils.html import strip_tags
from pydicom import Dataset, dcmread
from pydicom.uid import UID, generate_uid

from dose.rdsr import parse
from interop.dicom.emulated_images import AGD, CINE_FRAMES, equipment, image, patient_and_study, with_file_meta
from interop.dicom.emulator import dose_report_of
from interop.dicom.scenarios import REASONS, SCENARIOS
from ris.core.actor import SYSTEM
from tests.factories.accounts import user_with_roles
from tests.factories.orders import make_catalogue, make_procedure
from worklist.models import ExceptionItem, ImagingInstance, ImagingStudy, PerformedProcedureStep, ScheduledProcedureStep
from worklist.services import ensure_step

from .conftest import make_peer, make_station, schedule

STARTED = datetime(2030, 3, 4, 10, 15).astimezone()


def item() -> Dataset:
    planned = Dataset()
    planned.PatientName, planned.PatientID, planned.PatientBirthDate, planned.PatientSex = "A^B", "1", "19900101", "F"
    planned.AccessionNumber, planned.StudyInstanceUID = "ACC1", generate_uid()
    planned.RequestedProcedureID, planned.RequestedProcedureDescription = "R1", "Exam"
    return planned


def made(modality: str, count: int = 4) -> list[Dataset]:
    planned = item()
    objects = [
        image(planned, modality=modality, station="X1", started_at=STARTED, number=number, count=count, size=64)
        for number in range(count)
    ]
    for one in objects:
        one.SeriesInstanceUID, one.FrameOfReferenceUID = "1.2.3", "1.2.4"
    return objects


@pytest.mark.parametrize("modality", ["CT", "MR", "DX", "MG", "US"])
def test_images_are_read_by_dcmtk_and_pydicom(modality, tmp_path, dcmtk):
    for number, one in enumerate(made(modality)):
        path = tmp_path / f"{number}.dcm"
        one.save_as(path, enforce_file_format=True)
        again = dcmread(path)
        assert again.pixel_array.shape[-2:] == (64, 64)
        assert len(np.unique(again.pixel_array)) > 20
        assert UID(again.SOPClassUID).name.startswith(
            {"CT": "CT", "MR": "MR", "DX": "Digital X-Ray", "MG": "Digital Mammography", "US": "Ultrasound"}[modality]
        )
        dumped = dcmtk("dcmdump", "-q", str(path))
        assert (dumped.returncode, dumped.stderr) == (0, "")
        checked = dcmtk("dcm2json", str(path))
        assert checked.returncode == 0 and json.loads(checked.stdout)["00080060"]["Value"] == [modality]


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_slices_lie_one_behind_the_other(modality):
    objects = made(modality)
    heights = [float(one.ImagePositionPatient[2]) for one in objects]
    assert len({round(second - first, 3) for first, second in itertools.pairwise(heights)}) == 1
    assert {tuple(one.ImageOrientationPatient) for one in objects} == {(1, 0, 0, 0, 1, 0)}
    assert [one.InstanceNumber for one in objects] == [1, 2, 3, 4]
    assert all(float(one.SliceLocation) == height for one, height in zip(objects, heights, strict=True))


def test_mammograms_are_four_with_side_and_view():
    objects = made("MG")
    assert [(one.ImageLaterality, one.ViewPosition) for one in objects] == [
        ("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"),
    ]  # fmt: skip
    assert all(one.ViewCodeSequence[0].ViewModifierCodeSequence == [] for one in objects)
    assert float(objects[0].OrganDose) == pytest.approx(AGD / 100)  # dGy


def test_a_film_says_how_it_was_exposed_and_ultrasound_begins_with_a_loop():
    front, side = made("DX", 2)
    assert (front.ViewPosition, side.ViewPosition, str(front.KVP), front.ExposureInuAs) == ("PA", "LL", "110", 2000)
    loop, still = made("US", 2)
    assert (loop.NumberOfFrames, "NumberOfFrames" in still) == (CINE_FRAMES, False)
    assert loop.pixel_array.shape == (CINE_FRAMES, 64, 64)


@pytest.mark.parametrize(
    ("modality", "template", "events", "total", "value"),
    [("CT", "10011", 2, "dlp_total", 272.6), ("MG", "10001", 4, "agd_total", 4 * AGD / 1000),
     ("DX", "10001", 2, "dap_total", 3.3e-5)],
)  # fmt: skip
def test_dose_reports_add_up_and_dcmtk_reads_them(modality, template, events, total, value, tmp_path, dcmtk):
    base = patient_and_study(item(), STARTED)
    base.update(equipment("X1", modality))
    report = with_file_meta(dose_report_of(modality, base, STARTED, "2.25.1"))
    report.save_as(tmp_path / "dose.dcm", enforce_file_format=True)
    read = parse(dcmread(tmp_path / "dose.dcm"))
    assert report.ContentTemplateSequence[0].TemplateIdentifier == template
    assert len(read.events) == events
    assert float(getattr(read, total)) == pytest.approx(value)
    assert len({event.uid for event in read.events}) == events
    dumped = dcmtk("dsrdump", str(tmp_path / "dose.dcm"))
    assert dumped.returncode == 0, dumped.stderr
    assert "X-Ray Radiation Dose Report" in dumped.stdout


# --- what departments do


def emulate(scp, scenario: str, title: str = "CT1", **options) -> dict:
    said = json.loads(
        call_command(
            "emulate_modality", facility="alpha", ae_title=title, port=scp.port, scenario=scenario,
            **{"images": 2, "size": 32, **options},
        )
    )  # fmt: skip
    answers = [[answer] if isinstance(answer, str) else answer for answer in said["answers"].values()]
    statuses = set(itertools.chain(*answers))
    assert statuses == {"0000"}
    return said


def page(tclient, path: str) -> str:
    """What a technologist reads there."""
    tclient.force_login(user_with_roles("technologist"))
    answer = tclient.get(path)
    assert answer.status_code == 200
    main = answer.content.decode().partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(strip_tags(main.partition(">")[2].replace("<", " <"))).split())


def test_the_group_case_starts_and_ends_two_exams_with_one_step(scp, tclient):
    first = schedule("CT1")
    second = make_procedure(patient=first.order.patient, codes=[make_catalogue("CTHEAD", name="CT head").code])
    ensure_step(second, station=make_station("CT1"), starts_at=timezone.now() + timedelta(hours=1), actor=SYSTEM)
    emulate(scp, "group")
    [performed] = PerformedProcedureStep.objects.all()
    assert performed.scheduled_steps.count() == 2
    assert set(ScheduledProcedureStep.objects.values_list("status", flat=True)) == {"COMPLETED"}
    assert ImagingStudy.objects.get().procedures.count() == 2
    for procedure in (first, second):
        shown = page(tclient, f"/console/{procedure.uuid}/")
        assert "Ready to read" in shown and "Scanner says 3 Stored 3" in shown


def test_the_append_case_adds_to_the_same_study(scp, tclient):
    procedure = schedule("CT1")
    said = emulate(scp, "append", images=3)
    assert said["study_instance_uid"] == procedure.study_instance_uid
    assert PerformedProcedureStep.objects.filter(status="COMPLETED").count() == 2
    study = ImagingStudy.objects.get()
    assert study.instance_count == 3 + 1 + 1  # images, dose report, the addition
    shown = page(tclient, f"/console/{procedure.uuid}/")
    assert "Ready to read" in shown and "Scanner says 5 Stored 5" in shown


def test_a_discontinued_exam_says_why(scp, tclient):
    schedule("CT1")
    emulate(scp, "discontinue", discontinue="110501")
    performed = PerformedProcedureStep.objects.get()
    assert (performed.status, performed.discontinuation_code) == ("DISCONTINUED", "110501")
    assert performed.discontinuation_meaning == REASONS["110501"]
    assert "ACHIENG, Wanjiru" in (shown := page(tclient, "/exceptions/")) and "Equipment failure" in shown


def test_a_wrong_entry_is_given_up_and_the_right_one_done(scp, tclient):
    wrong, right = schedule("CT1"), schedule("CT1", hour=1, family_name="Otieno")
    said = emulate(scp, "wrong-entry")
    assert said["accession_number"] == right.accession_number
    codes = PerformedProcedureStep.objects.order_by("started_at").values_list("status", "discontinuation_code")
    assert sorted(codes) == [("COMPLETED", ""), ("DISCONTINUED", "110514")]
    assert wrong.steps.get().status == "SCHEDULED"
    assert "Wrong worklist entry" in (shown := page(tclient, "/exceptions/")) and "ACHIENG, Wanjiru" in shown
    assert "Scheduled" in page(tclient, f"/console/{wrong.uuid}/")
    assert "Ready to read" in page(tclient, f"/console/{right.uuid}/")


def test_an_unscheduled_exam_waits_for_a_person(scp, tclient):
    emulate(scp, "unscheduled")
    item = ExceptionItem.objects.get(kind="unscheduled_step")
    assert "DOE, Jhon" in page(tclient, "/exceptions/")
    assert item.performed_step.patient_id in page(tclient, f"/exceptions/{item.uuid}/"), "as it was typed"


@pytest.mark.parametrize(("title", "modality", "objects"), [("MG1", "MG", 5), ("DX1", "DX", 3), ("US1", "US", 2)])
def test_other_machines_are_played_from_their_own_worklist(scp, title, modality, objects):
    make_peer(title)
    procedure = make_procedure(codes=[make_catalogue(f"{modality}X", name="Exam", modality=modality).code])
    ensure_step(procedure, station=make_station(title, modality), starts_at=timezone.now(), actor=SYSTEM)
    emulate(scp, "normal", title, images=4 if modality == "MG" else 2)
    assert ImagingInstance.objects.count() == objects
    assert procedure.steps.get().status == "COMPLETED"


def test_a_scenario_that_cannot_be_played_says_what_it_needs(scp):
    schedule("CT1")
    for scenario in ("group", "wrong-entry"):
        with pytest.raises(CommandError, match="needs"):
            emulate(scp, scenario)
    assert set(SCENARIOS) == {"normal", "group", "append", "discontinue", "unscheduled", "wrong-entry", "wrong-patient"}
