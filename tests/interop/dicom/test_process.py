"""``manage.py run_mwl`` as a process of its own: started, stopped, killed in the middle."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from interop.dicom import scu
from interop.dicom.emulator import ModalityEmulator
from interop.dicom.fingerprint import Fingerprint
from interop.dicom.headers import read_file_start
from interop.dicom.store import instance_path
from ris.core.ids import new_uid
from ris.embedded import free_port
from ris.tenants.context import use_facility
from tests.chaos.gate import Point, gate
from worklist.models import ImagingInstance, ImagingStudy, PerformedProcedureStep
from worklist.services.completeness import note_images_complete

from .conftest import make_peer

ROOT = Path(__file__).resolve().parents[3]
IMAGES, STEPS = ("alpha", "worklist_imaginginstance"), ("alpha", "worklist_performedprocedurestep")
#: where an image and a step stand when the process is killed, and how many rows of the image may be there then: the
#: short way says INSERT and COMMIT in one breath
POINTS: tuple[tuple[Point, Point, set[int]], ...] = (
    ("insert", "insert", {0}),
    ("insert", "commit", {0, 1}),
    ("commit", "insert", {1}),
)
pytestmark = pytest.mark.slow


def start(port: int, tmp_path: Path, *options: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ris.settings",
        "RIS_BOOTSTRAP": "0",
        "RIS_DEMO": "1",
        "RIS_SECRET_KEY": "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
        "RIS_STATE": str(tmp_path / "state"),
        "RIS_INSTANCE_FOLDER": str(tmp_path / "instances"),
    }
    environment.pop("RIS_OWNER_DATABASE_URL", None)
    command = [sys.executable, str(ROOT / "manage.py"), "run_mwl", "--port", str(port), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_until_it_answers(port: int, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


@pytest.fixture
def peers(transactional_db):
    with use_facility("alpha") as facility:
        make_peer("CT1")
        yield facility


def scanner(port: int) -> ModalityEmulator:
    made = ModalityEmulator("CT1", "ALPHA", "127.0.0.1", port, size=64)
    made.items, made.started_at = [], None
    return made


def test_it_starts_serves_and_stops_on_sigterm(peers, tmp_path):
    port = free_port()
    process = start(port, tmp_path)
    try:
        wait_until_it_answers(port)
        assert scanner(port).echo() == 0
        second = start(port, tmp_path)
        words = second.communicate(timeout=30)[0].decode()
        assert second.returncode != 0
        assert "RIS_DICOM_PORT" in words
        idle = socket.create_connection(("127.0.0.1", port))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        idle.close()
    finally:
        process.kill()


def test_what_was_acknowledged_survives_kill_9(peers, tmp_path):
    """R2 and R6 of the reliability bar, shortened: killed between INSERT and COMMIT, and while COMMIT is under way.

    An object and a performed step stand there at the same time: the first image of a study (the long way), then
    further ones (the short way). What is not acknowledged may be there or not, but never by half.
    """
    port = free_port()
    player, technologist = scanner(port), scanner(port)
    player.items, player.started_at = [typed("Doe^Jane", "9")], datetime.now().astimezone()
    images = [player._image(number, 9) for number in range(9)]
    acknowledged: set[str] = set()
    process = start(port, tmp_path)
    try:
        for of_image, of_step, added in POINTS:
            wait_until_it_answers(port)
            image = images[len(acknowledged)]
            steps = begin(technologist)
            with gate(owner(), IMAGES, of_image, key=1) as storing, gate(owner(), STEPS, of_step, key=2) as beginning:
                asked = [killed(player._store, [image]), killed(technologist._n_create)]
                storing.wait(), beginning.wait()
                process.kill()
                process.wait()
                assert [one.result(60) for one in asked] == [None, None], "nothing was acknowledged"
                storing.open(), beginning.open()
            rows = ImagingInstance.objects.filter(sop_instance_uid=image.SOPInstanceUID)
            assert rows.count() in added
            assert PerformedProcedureStep.objects.filter(sop_instance_uid=steps).count() == (of_step == "commit")
            assert_nothing_by_half()
            process = start(port, tmp_path)
            wait_until_it_answers(port)
            assert player._store([image]) == [0]
            acknowledged.add(image.SOPInstanceUID)
            assert technologist.repeat_start() == (0x0111 if of_step == "commit" else 0)
            assert PerformedProcedureStep.objects.filter(sop_instance_uid=steps).count() == 1
        assert player._store(images[len(acknowledged) :]) == [0] * 6
        assert_the_leftovers_go()
    finally:
        process.kill()
        process.wait()
    assert {row.sop_instance_uid for row in ImagingInstance.objects.all()} == {row.SOPInstanceUID for row in images}
    assert_nothing_by_half()
    study = ImagingStudy.objects.get()
    assert study.settle_after is not None
    note_images_complete(study)
    study.refresh_from_db()
    assert study.instance_count == len(images)


def owner() -> str:
    return os.environ["RIS_OWNER_DATABASE_URL"]


def typed(name: str, number: str) -> Dataset:
    made = Dataset()
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = name, number, "", ""
    made.StudyInstanceUID = new_uid()
    return made


def begin(technologist: ModalityEmulator) -> str:
    """A performed step that is about to be told."""
    technologist.items, technologist.step_uid = [typed("Doe^John", "8")], new_uid()
    technologist.started_at = datetime.now().astimezone()
    return technologist.step_uid


def killed(call: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """What a call answers whose server may die; None where no answer comes."""

    def ask() -> Any:
        try:
            return call(*arguments)
        except scu.CallFailed:
            return None

    pool = ThreadPoolExecutor(1)
    answer = pool.submit(ask)
    pool.shutdown(wait=False)
    return answer


def assert_nothing_by_half() -> None:
    """Every row has its whole file."""
    for row in ImagingInstance.objects.all():
        content = instance_path(row.path).read_bytes()
        assert len(content) == row.size
        assert Fingerprint(content[read_file_start(content).offset :]).hexdigest() == row.fingerprint


def assert_the_leftovers_go() -> None:
    """What a killed process leaves is swept by the next one."""
    end = time.monotonic() + 60
    while list(instance_path("").rglob("*.part")):
        assert time.monotonic() < end
        time.sleep(0.05)


def listeners(port: int) -> int:
    """Sockets that listen on a port of this machine; 0A is LISTEN."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def test_several_processes_share_a_port_and_one_may_die(peers, tmp_path):
    port = free_port()
    processes = [start(port, tmp_path, "--reuse-port") for _number in range(2)]
    try:
        end = time.monotonic() + 120
        while listeners(port) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert listeners(port) == 2
        assert [scanner(port).echo() for _number in range(12)] == [0] * 12
        processes[0].kill()
        processes[0].wait()
        assert listeners(port) == 1
        assert [scanner(port).echo() for _number in range(6)] == [0] * 6
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connections_of(pid: int, port: int) -> int:
    """Established ones of a process; 01 is ESTABLISHED."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}
    held = set()
    for name in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(os.readlink(name))
    return len(inodes & held)


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_process_gives_connections_to_others_evenly_and_replaces_who_dies(peers, tmp_path):
    port = free_port()
    process = start(port, tmp_path, "--processes", "2")
    lines: list[socket.socket] = []
    try:
        wait_until_it_answers(port)
        eventually(lambda: len(children_of(process.pid)) == 2)
        first, second = children_of(process.pid)
        assert scanner(port).echo() == 0
        eventually(lambda: connections_of(first, port) + connections_of(second, port) == 0)
        lines = [socket.create_connection(("127.0.0.1", port)) for _number in range(6)]
        eventually(lambda: (connections_of(first, port), connections_of(second, port)) == (3, 3))
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(children_of(process.pid)) == 2 and first not in children_of(process.pid))
        (third,) = {*children_of(process.pid)} - {second}
        lines += [socket.create_connection(("127.0.0.1", port)) for _number in range(3)]
        eventually(lambda: (connections_of(second, port), connections_of(third, port)) == (3, 3))
        assert scanner(port).echo() == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert not Path(f"/proc/{second}").exists() and not Path(f"/proc/{third}").exists()
    finally:
        for line in lines:
            line.close()
        process.kill()
        process.wait()


def test_five_hundred_silent_connections_stand_in_nobodys_way(peers, tmp_path):
    port = free_port()
    process = start(port, tmp_path)
    lines: list[socket.socket] = []
    try:
        wait_until_it_answers(port)
        lines = [socket.create_connection(("127.0.0.1", port)) for _number in range(500)]
        begun = time.monotonic()
        assert scanner(port).echo() == 0
        assert time.monotonic() - begun < 2
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
        assert resident < 300 * 1024
    finally:
        for line in lines:
            line.close()
        process.kill()
        process.wait()
