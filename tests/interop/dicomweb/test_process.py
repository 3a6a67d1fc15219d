"""The web process as it is run: gunicorn, bodies that come in chunks, memory, and an answer that has to be cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from interop.dicom.store import instance_path
from ris.accounts.services.keys import create_api_key
from ris.core.actor import SYSTEM
from ris.core.ids import new_uid
from ris.embedded import free_port
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from tests.interop.dicomweb.conftest import BOUNDARY, file_of, message, slices
from worklist.models import ImagingInstance, ImagingStudy

ROOT = Path(__file__).resolve().parents[3]
STORES = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
pytestmark = pytest.mark.slow


class House:
    """A web process and somebody with a key for it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, key: str) -> None:
        self.process, self.base = process, f"http://localhost:{port}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Api-Key {key}"

    def memory_mb(self) -> float:
        """Of all its processes, without files that are mapped."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        pages = 0
        for pid in children:
            fields = Path(f"/proc/{pid}/statm").read_text().split()
            pages += int(fields[1]) - int(fields[2])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6


def wait_until_it_answers(base: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"{base}/health/live", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError("the web process does not answer")


@pytest.fixture
def house(transactional_db: None, tmp_path: Path) -> Iterator[Any]:
    from ris.tenants.models import Facility

    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ris.settings",
        "RIS_DEMO": "1",
        "RIS_SECRET_KEY": "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
        "RIS_STATE": str(tmp_path / "state"),
        "RIS_INSTANCE_FOLDER": str(tmp_path / "instances"),
    }
    environment.pop("RIS_OWNER_DATABASE_URL", None)
    command = [sys.executable, "-m", "gunicorn", "ris.wsgi", "--worker-class", "gthread", "--threads", "4"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--log-level", "warning", "--no-control-socket"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    with use_facility(Facility.objects.get(schema_name="alpha")):
        person = user_with_roles("radiologist")
        key = create_api_key(person, label="web", scopes=["worklist.*"], actor=SYSTEM).secret
        made = House(process, port, key)
        try:
            wait_until_it_answers(made.base, process)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def large_series(count: int) -> list[bytes]:
    """Files of one series with one picture, half a megabyte each."""
    (dataset,) = slices(1, size=512)
    made = []
    for number in range(count):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = new_uid()
        dataset.InstanceNumber = number + 1
        made.append(file_of(dataset))
    return made


def test_a_large_series_goes_in_and_out_in_little_memory_and_a_broken_answer_is_cut_off(house):
    body = message(*large_series(80))
    assert len(body) > 40e6
    warm = house.session.post(f"{house.base}/dicomweb/studies", message(*large_series(1)), headers=STORES)
    house.session.get(f"{warm.json()['00081190']['Value'][0]}/metadata")
    before, memory = house.memory_mb(), []

    def in_chunks() -> Iterator[bytes]:
        for at in range(0, len(body), 1_000_000):
            yield body[at : at + 1_000_000]
            memory.append(house.memory_mb())

    response = house.session.post(f"{house.base}/dicomweb/studies", data=in_chunks(), headers=STORES, timeout=120)
    assert response.status_code == 200, response.text[:500]
    url = response.json()["00081190"]["Value"][0]
    study = ImagingStudy.objects.get(study_instance_uid=url.rsplit("/", 1)[1])
    assert study.instance_count == 80

    size = 0
    with house.session.get(url, headers={"Accept": AS_STORED}, stream=True) as answer:
        for piece in answer.iter_content(1_000_000):
            size += len(piece)
            memory.append(house.memory_mb())
    assert size > 40e6
    assert max(memory) - before < 25

    instance_path(ImagingInstance.objects.get(series__study=study, number=40).path).unlink()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        house.session.get(url, headers={"Accept": AS_STORED})
    assert house.session.get(f"{url}/metadata").status_code == 200
