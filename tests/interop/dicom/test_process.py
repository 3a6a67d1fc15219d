"""``manage.py run_mwl`` as a process of its own: started, stopped, killed in the middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from interop.dicom import scu
from interop.dicom.emulator import ModalityEmulator
from interop.dicom.fingerprint import Fingerprint
from interop.dicom.headers import read_file_start
from interop.dicom.store import instance_path
from ris.embedded import free_port
from ris.tenants.context import use_facility
from worklist.models import ImagingInstance, ImagingStudy
from worklist.services.completeness import note_images_complete

from .conftest import make_peer

ROOT = Path(__file__).resolve().parents[3]
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
    """R2 of the reliability bar, shortened: the sender repeats, the server is killed every now and then."""
    port = free_port()
    process = start(port, tmp_path)
    wait_until_it_answers(port)
    player = scanner(port)
    player.start_unscheduled(patient_name="Doe^Jane", patient_id="9")
    images = [player._image(0, 1)]
    images += [player._image(1, 2) for _number in range(49)]
    acknowledged, done = [], threading.Event()

    def send() -> None:
        for image in images:
            while True:
                try:
                    if player._store([image]) == [0]:
                        acknowledged.append(image.SOPInstanceUID)
                        break
                except scu.CallFailed:
                    time.sleep(0.1)
        done.set()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    kills = 0
    try:
        while not done.wait(0.4) and kills < 2:
            process.kill()
            process.wait()
            kills += 1
            process = start(port, tmp_path)
            wait_until_it_answers(port)
        assert done.wait(60)
    finally:
        process.kill()
        process.wait()
    assert kills >= 1
    rows = {row.sop_instance_uid: row for row in ImagingInstance.objects.all()}
    assert set(acknowledged) == set(rows) == {image.SOPInstanceUID for image in images}
    study = ImagingStudy.objects.get()
    assert study.settle_after is not None
    note_images_complete(study)
    study.refresh_from_db()
    assert study.instance_count == len(images)
    for row in rows.values():
        content = instance_path(row.path).read_bytes()
        assert len(content) == row.size
        assert Fingerprint(content[read_file_start(content).offset :]).hexdigest() == row.fingerprint
    start_again = start(port, tmp_path)
    try:
        wait_until_it_answers(port)
        time.sleep(1)
        assert list(instance_path("").rglob("*.part")) == []
    finally:
        start_again.kill()
        start_again.wait()


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
