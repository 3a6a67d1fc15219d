"""What an installer types."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

from ris.core.actor import SYSTEM
from tests.factories.worklist import ct_procedure, make_station
from worklist.models import Room, ScheduledProcedureStep, Station
from worklist.services import ensure_step

pytestmark = pytest.mark.usefixtures("alpha")


def run(name: str, *args: str) -> dict:
    out = StringIO()
    call_command(name, "--facility", "alpha", *args, stdout=out)
    return json.loads(out.getvalue())


def test_add_station_may_be_repeated():
    first = run("add_station", "--ae-title", "CT7", "--modality", "ct", "--room", "Room 7", "--room-name", "CT seven")
    again = run("add_station", "--ae-title", "CT7", "--modality", "CT", "--room", "Room 7", "--name", "CT7A")
    assert (first["created"], again["created"], again["name"]) == (True, False, "CT7A")
    assert first["uuid"] == again["uuid"]
    assert (Room.objects.get().name, Station.objects.get().room.code) == ("CT seven", "room-7")
    with pytest.raises(CommandError):
        run("add_station", "--ae-title", "TOO-LONG-FOR-A-TITLE", "--modality", "CT")
    with pytest.raises(CommandError):
        run("add_station", "--ae-title", "CT8", "--modality", "XX")


def test_preview_shows_what_the_station_sees():
    make_station()
    procedure = ct_procedure()
    ensure_step(procedure, actor=SYSTEM)
    answer = run("preview_mwl", "--ae-title", "CT1", "--date", "all")
    assert answer["count"] == 1 and answer["items"][0]["AccessionNumber"] == procedure.accession_number
    assert run("preview_mwl", "--ae-title", "MR1")["count"] == 0
    assert run("add_station", "--ae-title", "CT2", "--modality", "CT")["created"]
    assert run("preview_mwl", "--ae-title", "CT2", "--date", "all")["items"][0]["ScheduledStationAETitle"] == "CT1\\CT2"


def test_worklist_files_are_loaded(tmp_path):
    make_station()
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "CT1"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20301119", "1000"
    step.ScheduledProcedureStepID = "SPD1"
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 192"
    item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = "Åkesson^Örjan", "F-1", "19700101", "M"
    item.AccessionNumber, item.StudyInstanceUID, item.RequestedProcedureID = "FILE1", "1.2.3.4.5", "RPF1"
    item.RequestedProcedureDescription = "CT head"
    item.ScheduledProcedureStepSequence = [step]
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    item.save_as(tmp_path / "one.wl", enforce_file_format=False)
    (tmp_path / "two.wl").write_bytes(b"no DICOM at all")
    answer = run("load_worklist", str(tmp_path))
    assert [row["accession_number"] for row in answer["loaded"]] == ["FILE1"]
    assert [row["file"] for row in answer["refused"]] == ["two.wl"]
    assert ScheduledProcedureStep.objects.get().procedure.order.patient.family_name == "Åkesson"
    assert run("load_worklist", str(tmp_path / "one.wl"))["loaded"][0]["step"] == answer["loaded"][0]["step"]
