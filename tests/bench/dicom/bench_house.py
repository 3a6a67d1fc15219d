"""What a department does all day: performed steps, a stock storescu, idle scanners, many of them.

    .venv/bin/python tests/bench/dicom/bench_house.py

N-CREATE is compared with its handler called in this process, and with a plain pynetdicom SCP over the same service.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.bench.dicom import harness

ROUNDS, IDLE, IDLE_SECONDS, OPEN = 5, 20, 5, 500
IMAGES, IMAGE_BYTES = 40, 30 * 1024
PERFORMED_STEP, VERIFICATION = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.1"
UID_ROOT, DIGITS = "1.2.826.0.1.3680043.9.3811.88.1", "000000000000"


@contextlib.contextmanager
def house(folder: Path) -> Iterator[tuple[int, Any]]:
    """Our server with a peer LOAD that may do everything: (port, process)."""
    from django.db import connection

    from interop.models import DicomPeer
    from ris.tenants.context import use_facility

    with use_facility("alpha"):
        for title in ("LOAD", "STORESCU"):
            DicomPeer.objects.create(ae_title=title, may_send_mpps=True, may_store=True)
    connection.close()
    port = harness.free_port()
    more = {"RIS_DICOM_FSYNC": "none", "RIS_DICOM_ASSOCIATIONS": "600", "RIS_DICOM_ASSOCIATIONS_PER_ADDRESS": "600"}
    with harness.our_server(port, folder / "ours.log", **more) as process:
        yield port, process


def opened(port: int, number: int) -> list[socket.socket]:
    asked = harness.associate_request("ALPHA", "LOAD", VERIFICATION)
    lines = []
    for _number in range(number):
        line = socket.create_connection(("127.0.0.1", port), timeout=30)
        line.sendall(asked)
        lines.append(line)
    assert [line.recv(1) for line in lines] == [b"\2"] * number
    return lines


def test_idle_and_many(transactional_db, tmp_path, capsys):
    with house(tmp_path) as (port, process), capsys.disabled():
        sys.stdout.write("\n")
        lines = opened(port, IDLE)
        time.sleep(1)
        begun = harness.seconds_of_cpu(process)
        time.sleep(IDLE_SECONDS)
        percent = (harness.seconds_of_cpu(process) - begun) / IDLE_SECONDS * 100
        held = [harness.told(f"{IDLE} idle associations: % of a core", percent, 1)]
        lines += opened(port, OPEN - IDLE)
        held.append(harness.told(f"{OPEN} associations open: MB", harness.resident_megabytes(process), 300))
        for line in lines:
            line.close()
    assert all(held)


def step_begins() -> tuple[bytes, bytes]:
    """Command and attribute list of an N-CREATE; its UID ends with DIGITS."""
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    attributes, reference = Dataset(), Dataset()
    reference.StudyInstanceUID, reference.AccessionNumber = "1.2.3.4", "B1"
    reference.RequestedProcedureID = reference.ScheduledProcedureStepID = "B1"
    attributes.ScheduledStepAttributesSequence = [reference]
    attributes.PatientName, attributes.PatientID = "BENCH^STEP", "B1"
    attributes.PatientBirthDate, attributes.PatientSex = "19700101", "F"
    attributes.PerformedProcedureStepID, attributes.PerformedStationAETitle = "B1", "LOAD"
    attributes.PerformedProcedureStepStartDate, attributes.PerformedProcedureStepStartTime = "20260105", "101112"
    attributes.PerformedProcedureStepStatus, attributes.Modality = "IN PROGRESS", "CT"
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, True
    write_dataset(target, attributes)
    asked = harness.command(
        (2, harness.uid(PERFORMED_STEP)), (0x100, harness.short(0x140)), (0x110, harness.short(1)),
        (0x800, harness.short(1)), (0x1000, harness.uid(UID_ROOT + DIGITS)),
    )  # fmt: skip
    return asked, target.getvalue()


def in_process(data: bytes, count: int) -> float:
    """The median of the handler without a transport."""
    from django.db import connection

    from interop.dicom.dimse import Caller, Request
    from interop.dicom.mpps import on_n_create
    from interop.models import DicomPeer
    from ris.core.ids import new_uid
    from ris.tenants.context import use_facility

    times = []
    with use_facility("alpha") as facility:
        caller = Caller(facility, DicomPeer.objects.get(ae_title="LOAD"), "LOAD", "ALPHA", "127.0.0.1")
        for _number in range(count):
            request = Request(caller, 1, PERFORMED_STEP, new_uid(), harness.IMPLICIT_VR, data)
            begun = time.perf_counter()
            on_n_create(request, caller.actor("mpps"))
            times.append(time.perf_counter() - begun)
    connection.close()
    return statistics.median(times)


def test_performed_steps(transactional_db, tmp_path, capsys):
    from django.db import connection

    asked, data = step_begins()
    associate = harness.associate_request("ALPHA", "LOAD", PERFORMED_STEP)
    load = harness.Load(harness.built("load", tmp_path), tmp_path, associate, asked, data, DIGITS.encode())
    plain = harness.free_port()
    words = [sys.executable, str(harness.HERE / "plain_scp.py"), str(plain)]
    times: dict[str, list[float]] = {}
    with (
        house(tmp_path) as (port, _process),
        harness.running(words, plain, tmp_path / "plain.log", **harness.environment_of(tmp_path)),
        capsys.disabled(),
    ):
        for where in (port, plain):
            load.run(where, count=5, warm=0)
        harness.hurry_database(connection.settings_dict["NAME"])
        for _round in range(ROUNDS):
            times.setdefault("in process", []).append(in_process(data, 40))
            for name, where in (("ours", port), ("pynetdicom", plain)):
                for mode in ("keep", "new"):
                    done = load.run(where, count=40, mode=mode)
                    assert not done["failed"] and done["bad_status"] == -1, f"{name}: {done}"
                    times.setdefault(f"{mode} {name}", []).append(done["p50"])
        median = {name: statistics.median(values) for name, values in times.items()}
        sys.stdout.write("\n")
        for name, value in median.items():
            sys.stdout.write(f"     N-CREATE {name:20} {value * 1000:9.3f} ms\n")
        times_faster = median["new pynetdicom"] / median["new ours"]
        held = [
            harness.told("N-CREATE: times the handler in process", median["keep ours"] / median["in process"], 1.5),
            harness.told("N-CREATE: times faster than plain pynetdicom", times_faster, 3, least=True),
        ]
    assert all(held)


def images(folder: Path, turn: int) -> list[str]:
    """The further slices of one series that has begun: new ones each turn."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir()
    for number in range(IMAGES):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"{UID_ROOT}.2.{turn}.{number + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{UID_ROOT}.3", f"{UID_ROOT}.4"
        image.PatientName, image.PatientID, image.Modality = "BENCH^IMAGE", "B1", "CT"
        image.InstanceNumber, image.Rows, image.Columns = number + 1, 1, IMAGE_BYTES
        image.PixelData = bytes(IMAGE_BYTES)
        image["PixelData"].VR = "OB"
        image.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return [str(path) for path in folder.glob("*.dcm")]


def test_stock_storescu(transactional_db, tmp_path, capsys):
    """As it comes, with Nagle's algorithm on: what most scanners are built with. The first turn is not counted."""
    from django.db import connection

    if shutil.which("storescp") is None:
        pytest.skip("DCMTK is not installed: apt-get install dcmtk")
    turns, theirs = [images(tmp_path / f"images{turn}", turn) for turn in range(ROUNDS + 1)], harness.free_port()
    (tmp_path / "theirs").mkdir()
    words = ["storescp", "-q", "-od", str(tmp_path / "theirs"), str(theirs)]
    environment = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    times: dict[str, list[float]] = {}
    with (
        house(tmp_path) as (port, _process),
        harness.running(words, theirs, tmp_path / "theirs.log", TCP_NODELAY="1"),
        capsys.disabled(),
    ):
        for turn, files in enumerate(turns):
            if turn == 1:
                harness.hurry_database(connection.settings_dict["NAME"])
                times.clear()
            for name, where in (("ours", port), ("storescp", theirs)):
                begun = time.perf_counter()
                call = ["storescu", "-aet", "LOAD", "-aec", "ALPHA", "127.0.0.1", str(where), *files]
                subprocess.run([*harness.REALTIME, *call], check=True, env=environment, capture_output=True)
                times.setdefault(name, []).append(time.perf_counter() - begun)
        median = {name: statistics.median(values) for name, values in times.items()}
        sys.stdout.write(f"\n     {IMAGES} images: ours {median['ours']:.3f} s, storescp {median['storescp']:.3f} s\n")
        held = harness.told("stock storescu: times storescp with NODELAY", median["ours"] / median["storescp"], 0.05)
    assert held


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[3]
    sys.exit(pytest.main([__file__, "-q", "-s", f"--rootdir={root}", "-c", str(root / "pyproject.toml")]))
