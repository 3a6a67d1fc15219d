"""A real server on a free port, in this process; scanners of two facilities; helpers that speak to it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interop.dicom.emulator import ModalityEmulator
from interop.dicom.server import Limits, Server, ServerSettings
from interop.models import DicomPeer
from ris.tenants.context import use_facility


@dataclass
class Scp:
    """Where the server listens, and a scanner for it."""

    server: Server

    @property
    def port(self) -> int:
        return self.server.port

    def scanner(self, ae_title: str = "CT1", called: str = "ALPHA", **kwargs: Any) -> ModalityEmulator:
        return ModalityEmulator(ae_title, called, "127.0.0.1", self.port, size=kwargs.pop("size", 64), **kwargs)

    def connect(self, seconds: float = 5) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        line.settimeout(seconds)
        return line


def make_peer(ae_title: str, **rights: Any) -> DicomPeer:
    chosen = {"may_query_worklist": True, "may_send_mpps": True, "may_store": True, **rights}
    return DicomPeer.objects.create(ae_title=ae_title, **chosen)


@pytest.fixture
def scp(transactional_db: None, request: pytest.FixtureRequest) -> Iterator[Scp]:
    """CT1 and CT2 are peers of alpha, MR9 of beta. ``@pytest.mark.parametrize`` not needed: rights are rows."""
    from ris.tenants.models import Facility

    server = Server(ServerSettings(limits=Limits(request_seconds=3, idle_seconds=20, pdu_seconds=3)))
    server.start()
    alpha, beta = (Facility.objects.get(schema_name=name) for name in ("alpha", "beta"))
    with use_facility(alpha):
        make_peer("CT1")
        make_peer("CT2")
    with use_facility(beta):
        make_peer("MR9")
    with use_facility(alpha):
        yield Scp(server)
        server.stop(3)


@pytest.fixture
def dcmtk() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of DCMTK's tools; skips where it is not installed."""

    def run(tool: str, *arguments: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
        path = shutil.which(tool)
        if path is None or "/.venv/" in path:
            path = next((str(p) for p in (Path("/usr/bin") / tool, Path("/usr/local/bin") / tool) if p.exists()), None)
        if path is None:
            pytest.skip(f"{tool} is not installed: apt-get install dcmtk")
        return subprocess.run([path, *arguments], capture_output=True, text=True, timeout=seconds, check=False)

    return run


def make_station(ae_title: str, modality: str = "CT") -> Any:
    from worklist.models import Room, Station

    room, _made = Room.objects.get_or_create(code=ae_title.lower(), defaults={"name": ae_title})
    station, _made = Station.objects.get_or_create(
        ae_title=ae_title, defaults={"room": room, "name": ae_title, "modality": modality}
    )
    return station


def schedule(station: str = "CT1", *, hour: int = 0, **fields: Any) -> Any:
    """A requested procedure, booked on a station today; the current facility's."""
    from datetime import timedelta

    from django.utils import timezone

    from ris.core.actor import SYSTEM
    from tests.factories.orders import make_catalogue, make_patient, make_procedure
    from worklist.services import book_appointment

    patient = make_patient(**{"family_name": "Achieng", "given_name": "Wanjiru", **fields})
    procedure = make_procedure(patient=patient, codes=[make_catalogue("CTCHEST", name="CT chest").code])
    starts_at = timezone.localtime().replace(minute=0, second=0, microsecond=0) + timedelta(hours=hour)
    book_appointment(procedure, station=make_station(station), starts_at=starts_at, actor=SYSTEM)
    procedure.refresh_from_db()
    return procedure


def plain_image(sop_class_uid: str, sop_instance_uid: str = "1.2.3.1") -> Any:
    """The least that is stored, in implicit VR."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian

    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = sop_class_uid, sop_instance_uid
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    image.PatientName, image.PatientID, image.Modality = "PLAIN^IMAGE", "P1", "OT"
    return image
