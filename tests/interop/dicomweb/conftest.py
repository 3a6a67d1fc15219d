"""Studies in the store of a facility, people and keys that may see them, and multipart messages by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.data import get_testdata_file

from interop.dicom.emulated_images import image
from interop.dicom.importing import import_file
from ris.core.actor import Actor
from ris.core.ids import new_uid
from tests.factories.accounts import user_with_roles
from worklist.models import ImagingInstance

STORAGE = Actor("storage", ae_title="CT1")
BOUNDARY = "limit-of-parts"


def shipped(name: str) -> Path:
    return Path(get_testdata_file(name, download=False))


def stored(name: str) -> ImagingInstance:
    """A file of the pydicom package, in the store of the current facility."""
    answer = import_file(shipped(name), actor=STORAGE)
    assert answer.sop_instance_uid, answer
    return ImagingInstance.objects.get(sop_instance_uid=answer.sop_instance_uid)


def slices(count: int = 3, *, size: int = 16, patient: str = "Achieng^Wanjiru", **fields: Any) -> list[Dataset]:
    """A CT series of a study of its own."""
    from django.utils import timezone

    item = Dataset()
    item.PatientName, item.PatientID, item.PatientSex = patient, "MRN-1", "F"
    item.PatientBirthDate, item.StudyInstanceUID, item.AccessionNumber = "19700131", new_uid(), "ACC1"
    for keyword, value in fields.items():
        setattr(item, keyword, value)
    series, frame_of_reference, made = new_uid(), new_uid(), []
    for number in range(count):
        row = image(
            item, modality="CT", station="CT1", started_at=timezone.localtime(), number=number, count=count, size=size
        )
        row.SeriesInstanceUID, row.FrameOfReferenceUID = series, frame_of_reference
        made.append(row)
    return made


def file_of(dataset: Dataset) -> bytes:
    target = io.BytesIO()
    dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


def keep(datasets: list[Dataset], folder: Path) -> list[ImagingInstance]:
    """Store data sets by the importer."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for dataset in datasets:
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        path.write_bytes(file_of(dataset))
        assert import_file(path, actor=STORAGE).result == "stored"
        found.append(ImagingInstance.objects.get(sop_instance_uid=str(dataset.SOPInstanceUID)))
    return found


def path_of(row: ImagingInstance, level: str = "instance") -> str:
    study = f"/dicomweb/studies/{row.series.study.study_instance_uid}"
    series = f"{study}/series/{row.series.series_instance_uid}"
    return {"study": study, "series": series, "instance": f"{series}/instances/{row.sop_instance_uid}"}[level]


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def parts_of(response: Any) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart answer, taken apart without the code under test."""
    content_type = response["Content-Type"]
    assert content_type.startswith("multipart/related")
    boundary = content_type.partition("boundary=")[2].encode()
    pieces = body_of(response).split(b"--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        assert piece.startswith(b"\r\n") and piece.endswith(b"\r\n")
        head, _blank, content = piece[2:-2].partition(b"\r\n\r\n")
        lines = (line.decode().partition(": ") for line in head.split(b"\r\n"))
        found.append(({name.lower(): value for name, _colon, value in lines}, content))
    return found


def datasets_of(response: Any) -> list[Dataset]:
    return [dcmread(io.BytesIO(content)) for _headers, content in parts_of(response)]


def message(*parts: bytes, content_type: str = "application/dicom") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def viewer(alpha: Any) -> Any:
    return user_with_roles("radiologist")


@pytest.fixture
def web(api: Any, viewer: Any) -> Any:
    """A radiologist's client at alpha.test, who sees unmatched studies too."""
    api.force_authenticate(viewer)
    return api


@pytest.fixture
def post(web: Any) -> Callable[..., Any]:
    """Send a body as STOW-RS does."""

    def send(body: bytes, path: str = "/dicomweb/studies", **headers: str) -> Any:
        content_type = headers.pop("content_type", f'multipart/related; type="application/dicom"; boundary={BOUNDARY}')
        return web.generic("POST", path, body, content_type=content_type, **headers)

    return send
