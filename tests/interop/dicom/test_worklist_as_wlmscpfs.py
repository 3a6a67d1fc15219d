"""Ten worklist items and thirteen queries, answered by DCMTK's wlmscpfs and by us: the same identifiers come back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.emulator import ModalityEmulator, worklist_keys
from interop.dicom.preview import caller_for, joined, told
from ris.accounts.models import Practitioner
from ris.core.actor import Actor
from worklist.services import load_worklist_item
from worklist.services.item_reading import item_of_dataset
from worklist.services.rendering import save_step

from .conftest import make_peer, make_station

pytestmark = pytest.mark.dcmtk
INSTALLER = Actor("command")
#: Where Debian's package puts DCMTK's own
EXAMPLES = Path("/usr/share/doc/dcmtk/examples")

#: accession number, name, id, birth date, sex, modality, station, date, time, performing physician, description
ITEMS = (
    ("W01", "WANJIRU^ACHIENG^NJERI", "P-1", "19900214", "F", "CT", "CT1", "20300304", "080000", "MUTUA", "HEAD"),
    ("W02", "WANJIRU^ACHIENG^NJERI", "P-1", "19900214", "F", "MR", "MR1", "20300304", "134500", "OTIENO", "SPINE"),
    ("W03", "WANJIRU^ACHIENG^NJERI", "P-1", "19900214", "F", "US", "US1", "20300305", "090000", "OTIENO", "ABDOMEN"),
    ("W04", "KAMAU^PETER", "P-2", "19550701", "M", "CT", "CT1", "20300304", "120000", "MUTUA", "CHEST"),
    ("W05", "KAMAU^PETER", "P-2", "19550701", "M", "CT", "CT2", "20300306", "235959", "KIBET", "ABDOMEN"),
    ("W06", "KAMAUNG^SU", "P-3", "20101231", "O", "DX", "DX1", "20300306", "000000", "KIBET", "HAND"),
    ("W07", "ODHIAMBO^JANE^A", "P-4", "19811010", "F", "MG", "MG1", "20300307", "101500", "NJOROGE", "BREAST"),
    ("W08", "ODHIAMBO^JOHN", "P-5", "19811010", "M", "MR", "MR1", "20291231", "235900", "NJOROGE", "KNEE"),
    ("W09", "CHEBET^FAITH", "P-6", "19761105", "F", "CT", "CT2", "20300101", "000100", "MUTUA", "NECK"),
    ("W10", "CHEBET^FAITH", "P-6", "19761105", "F", "NM", "NM1", "20300304", "161530", "OTIENO", "BONE"),
)
#: (keys beside the step's, keys of the step)
QUERIES = (
    ({}, {}),
    ({"PatientName": "*"}, {"CommentsOnTheScheduledProcedureStep": ""}),
    ({}, {"ScheduledStationAETitle": "CT1"}),
    ({}, {"ScheduledStationAETitle": "CT9"}),
    ({}, {"Modality": "MR"}),
    ({}, {"ScheduledProcedureStepStartTime": "120000-"}),
    ({}, {"ScheduledProcedureStepStartDate": "20300304"}),
    ({}, {"ScheduledProcedureStepStartDate": "20300304-20300306", "Modality": "CT"}),
    ({}, {"ScheduledProcedureStepStartDate": "-20300101"}),
    ({"PatientName": "KAMAU*"}, {}),
    ({"PatientName": "ODHIAMBO^J?NE*"}, {"ScheduledStationAETitle": "MG1"}),
    ({"PatientID": "P-6"}, {"Modality": "CT"}),
    ({}, {"ScheduledPerformingPhysicianName": "OTIEN*"}),
)
COMPARED = ("AccessionNumber", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
            "RequestedProcedureID", "RequestedProcedureDescription")  # fmt: skip
COMPARED_OF_STEP = ("Modality", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime",
                    "ScheduledProcedureStepID")  # fmt: skip


def item_of(row: tuple[str, ...]) -> Dataset:
    accession_number, name, patient_id, born, sex, modality, station, day, clock, physician, description = row
    item, step = Dataset(), Dataset()
    item.AccessionNumber, item.PatientName, item.PatientID = accession_number, name, patient_id
    item.PatientBirthDate, item.PatientSex = born, sex
    item.StudyInstanceUID = f"1.2.276.0.7230010.9.{int(accession_number[1:])}"
    item.RequestedProcedureID, item.RequestedProcedureDescription = f"R{accession_number}", description
    item.RequestedProcedurePriority, item.RequestingPhysician = "ROUTINE", "WARD"
    item.MedicalAlerts, item.Allergies = "", ""
    step.Modality, step.ScheduledStationAETitle, step.ScheduledPerformingPhysicianName = modality, station, physician
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = day, clock
    step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = f"S{accession_number}", description
    step.ScheduledStationName, step.ScheduledProcedureStepLocation, step.PreMedication = "", "", ""
    step.RequestedContrastAgent, step.CommentsOnTheScheduledProcedureStep = "", ""
    item.ScheduledProcedureStepSequence = [step]
    return item


def keys_of(beside: dict[str, str], of_step: dict[str, str]) -> Dataset:
    keys = worklist_keys("", "", "")
    for target, changes in ((keys, beside), (keys.ScheduledProcedureStepSequence[0], of_step)):
        for keyword, value in changes.items():
            setattr(target, keyword, value)
    return keys


def save_file(item: Dataset, path: Path) -> None:
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.file_meta.MediaStorageSOPClassUID = "1.2.276.0.7230010.3.1.0.1"
    item.file_meta.MediaStorageSOPInstanceUID = item.StudyInstanceUID
    item.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def ten_items() -> list[Dataset]:
    return [item_of(row) for row in ITEMS]


def serve(folder: Path, items: list[Dataset]) -> Iterator[int]:
    """wlmscpfs over these items; its port."""
    tool = shutil.which("wlmscpfs")
    if tool is None:
        pytest.skip("wlmscpfs is not installed: apt-get install dcmtk")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "OTHER").mkdir()
    (folder / "OTHER" / "lockfile").touch()
    for number, item in enumerate(items):
        save_file(item, folder / "OTHER" / f"{number}.wl")
    served = subprocess.Popen([tool, "-dfp", str(folder), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _try in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        served.kill()
        served.wait(5)
        served.stderr.close()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, ten_items) -> Iterator[ModalityEmulator]:
    for port in serve(tmp_path_factory.mktemp("wlm"), ten_items):
        yield ModalityEmulator("CT1", "OTHER", "127.0.0.1", port)


def load(items: list[Dataset]) -> None:
    """The same items into our facility, with the stations and physicians that they name."""
    for item in items:
        source = item.ScheduledProcedureStepSequence[0]
        if str(source.get("ScheduledStationAETitle") or ""):
            make_station(joined(source.ScheduledStationAETitle).split("\\")[0], source.Modality)
        step = load_worklist_item(item_of_dataset(item), actor=INSTALLER)
        physician = str(source.get("ScheduledPerformingPhysicianName") or "")
        step.performing_physician, _made = Practitioner.objects.get_or_create(family_name=physician, given_name="")
        save_step(step, INSTALLER, "Loaded")


def compared(found: list[Dataset]) -> list[tuple[str, ...]]:
    """What is told of each item, in no order."""
    rows = []
    for item in found:
        step = item.ScheduledProcedureStepSequence[0]
        row = [joined(item.get(keyword)) for keyword in COMPARED]
        rows.append((*row, *(joined(step.get(keyword)) for keyword in COMPARED_OF_STEP)))
    return sorted(rows)


def ours(keys: Dataset) -> list[Dataset]:
    last, found = told(keys, caller=caller_for(make_peer(f"P{time.monotonic_ns() % 10**9}")), actor=INSTALLER)
    assert last.status == 0
    return [dataset for _status, dataset in found]


def test_thirteen_queries_find_the_same_items(alpha, ten_items, theirs):
    load(ten_items)
    counts = []
    for beside, of_step in QUERIES:
        status, expected = theirs.find(keys_of(beside, of_step))
        assert status == 0
        found = ours(keys_of(beside, of_step))
        assert compared(found) == compared(expected), (beside, of_step)
        counts.append(len(found))
    assert counts == [10, 10, 2, 0, 2, 5, 4, 3, 2, 3, 1, 1, 3]


def from_dump(path: Path, folder: Path) -> Dataset:
    made = folder / f"{path.stem}.dcm"
    subprocess.run(["dump2dcm", str(path), str(made)], check=True, capture_output=True, timeout=30)
    dataset = dcmread(made, force=True)
    dataset.file_meta = FileMetaDataset()
    return dataset


def test_dcmtks_own_items_and_queries_find_the_same(alpha, tmp_path):
    dumps, queries = (sorted(EXAMPLES.glob(name)) for name in ("wlistdb/OFFIS/*.dump", "wlistqry/*.dump"))
    if len(dumps) != 10 or len(queries) != 13 or shutil.which("dump2dcm") is None:
        pytest.skip("DCMTK's examples are not installed: apt-get install dcmtk")
    items = [from_dump(path, tmp_path) for path in dumps]
    for item in items:
        adopt(item)
    load(items)
    served = tmp_path / "served"
    served.mkdir()
    counts = []
    for port in serve(served, items):
        scanner = ModalityEmulator("CT1", "OTHER", "127.0.0.1", port)
        for path in queries:
            keys = from_dump(path, tmp_path)
            complete(keys)
            status, expected = scanner.find(keys)
            assert status == 0
            found = ours(keys)
            assert compared(found) == compared(expected), path.name
            counts.append(len(found))
    assert max(counts) == 10 and min(counts) == 0


def adopt(item: Dataset) -> None:
    """As it can be with us: patients born after 1900 (theirs are composers), and stations of one modality each."""
    item.PatientBirthDate = f"19{item.PatientBirthDate[2:]}"
    step = item.ScheduledProcedureStepSequence[0]
    step.ScheduledStationAETitle = f"{joined(step.ScheduledStationAETitle).split(chr(92))[0]}-{step.Modality}"


def complete(keys: Dataset) -> None:
    """Ask for what is compared, beside what the query asks for."""
    step = keys.setdefault("ScheduledProcedureStepSequence", [Dataset()])
    for keyword in COMPARED:
        if keyword not in keys:
            setattr(keys, keyword, "")
    for keyword in COMPARED_OF_STEP:
        for item in step:
            if keyword not in item:
                setattr(item, keyword, "")
