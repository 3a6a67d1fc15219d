"""Every file that ships inside the pydicom package: imported, indexed, drawn; and who may look."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.urls import reverse
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.data.data_manager import DATA_ROOT

from interop.dicom.importing import files_below, import_file
from interop.dicom.store import instance_path
from interop.imaging.render import PLACEHOLDER, Window, render_frame
from ris.audit.models import AuditEvent
from ris.core.actor import Actor
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from worklist.models import ImagingInstance, ImagingStudy

STORAGE = Actor("storage", ae_title="CT1")
SHIPPED = Path(DATA_ROOT) / "test_files"


def stored(name: str) -> ImagingInstance:
    answer = import_file(Path(get_testdata_file(name, download=False)), actor=STORAGE)
    assert answer.result == "stored", answer
    return ImagingInstance.objects.get(sop_instance_uid=answer.sop_instance_uid)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def is_words(png: bytes) -> bool:
    picture = Image.open(io.BytesIO(png))
    return picture.size == PLACEHOLDER and picture.getpixel((0, 0)) == 16 and picture.getpixel((511, 511)) == 16


def test_every_shipped_file_is_stored_or_refused_with_words_and_can_be_drawn(alpha):
    results = [import_file(path, actor=STORAGE) for path in files_below([SHIPPED])]
    stored_ones = [row for row in results if row.result == "stored"]
    assert len(stored_ones) > 40
    assert all(row.reason for row in results if row.result == "refused")
    for row in ImagingInstance.objects.all():
        assert instance_path(row.path).is_file()
        assert render_frame(row, 1, size=64)[:4] == b"\x89PNG"
        assert render_frame(row, row.frames, size=64)[:4] == b"\x89PNG"


def test_a_ct_is_windowed(alpha):
    ct = stored("CT_small.dcm")
    own, bone = pixels(render_frame(ct)), pixels(render_frame(ct, window="bone"))
    assert own.shape == (128, 128)
    assert own.std() > 20
    assert not np.array_equal(own, bone)
    narrow = pixels(render_frame(ct, window="40,2"))
    assert ((narrow == 0) | (narrow == 255)).mean() > 0.95


def test_an_mr_a_multi_frame_and_a_colour_image_are_drawn(alpha):
    assert pixels(render_frame(stored("MR_small.dcm"))).std() > 10
    dose = stored("rtdose.dcm")
    assert dose.frames == 15
    assert not np.array_equal(pixels(render_frame(dose, 2)), pixels(render_frame(dose, 13)))
    assert is_words(render_frame(dose, 16))
    assert pixels(render_frame(stored("examples_rgb_color.dcm"))).ndim == 3


@pytest.mark.parametrize(
    "name",
    [
        "JPEG2000.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_RLE.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_small_odd.dcm",
        "examples_palette.dcm",
        "image_dfl.dcm",
        "examples_ybr_color.dcm",
        "MR_small_bigendian.dcm",
        "ExplVR_BigEnd.dcm",
    ],
)
def test_compressed_colour_palette_deflated_and_big_endian_are_drawn(alpha, name):
    png = render_frame(stored(name))
    assert not is_words(png)
    assert pixels(png).std() > 1


def test_compression_changes_nothing_in_the_picture(alpha):
    plain = pixels(render_frame(stored("MR_small.dcm")))
    path = Path(get_testdata_file("MR_small_jp2klossless.dcm", download=False))
    from interop.imaging.render import picture_of

    assert np.array_equal(plain, np.asarray(picture_of(path, 1, Window())))


def test_what_has_no_picture_says_so(alpha):
    for name in ("reportsi.dcm", "rtplan.dcm", "test-SR.dcm"):
        row = stored(name)
        assert row.rows is None
        assert is_words(render_frame(row))


def test_a_missing_or_broken_file_says_so(alpha):
    row = stored("CT_small.dcm")
    instance_path(row.path).write_bytes(b"not an image any more")
    assert is_words(render_frame(row))
    instance_path(row.path).unlink()
    assert is_words(render_frame(row))


def test_a_bomb_is_not_inflated(alpha, tmp_path, monkeypatch):
    import zlib

    from interop.dicom.headers import file_meta
    from interop.imaging import render

    monkeypatch.setattr(render, "MAX_INFLATED", 1024 * 1024)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = deflater.compress(bytes(8 * 1024 * 1024)) + deflater.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(file_meta("1.2", "1.2", "1.2.840.10008.1.2.1.99") + content)
    with pytest.raises(ValueError, match="too much"):
        render.picture_of(path, 1, Window())


# --- pages


def test_a_picture_is_served_once_audited_and_kept_by_etag(alpha, tclient):
    row = stored("CT_small.dcm")
    tclient.force_login(user_with_roles("technologist"))
    url = reverse("instance_image", args=[row.sop_instance_uid, 1])
    answer = tclient.get(url)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert tclient.get(url, HTTP_IF_NONE_MATCH=answer["ETag"]).status_code == 304
    assert tclient.get(url, {"window": "lung"})["ETag"] != answer["ETag"]
    thumbnail = tclient.get(url, {"size": "128"})
    assert pixels(thumbnail.content).shape == (128, 128)
    assert list((instance_path("thumbnails")).rglob("*.png"))
    views = AuditEvent.objects.filter(event_type="worklist.view_study", action="R", entity=row.series.study.uuid)
    assert views.count() == 1


def test_nobody_sees_what_is_not_theirs(alpha, beta, tclient, client):
    row = stored("CT_small.dcm")
    url = reverse("instance_image", args=[row.sop_instance_uid, 1])
    assert tclient.get(url).status_code == 302
    tclient.force_login(user_with_roles("referring_physician"))
    assert tclient.get(url).status_code == 404
    tclient.force_login(user_with_roles("technologist"))
    assert tclient.get(url.replace("1.3.6", "1.3.7")).status_code == 404
    assert tclient.get(reverse("study_images", args=[row.series.study.uuid])).status_code == 200
    with use_facility(beta):
        stranger = user_with_roles("technologist")
    client.defaults["HTTP_HOST"] = "beta.test"
    with use_facility(beta):
        client.force_login(stranger)
    assert client.get(url).status_code == 404


def test_the_page_of_a_study_costs_the_same_however_much_it_shows(alpha, tclient):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    tclient.force_login(user_with_roles("technologist"))
    counts = []
    for name in ("CT_small.dcm", "rtdose.dcm"):
        row = stored(name)
        address = reverse("study_images", args=[row.series.study.uuid])
        tclient.get(address)
        with CaptureQueriesContext(connection) as queries:
            body = tclient.get(address).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert body.count(f"/images/{row.sop_instance_uid}/frames/") >= 10
    assert "<noscript>" in body


# --- commands


def test_import_dicom_takes_a_folder_and_nothing_twice(alpha, tmp_path):
    folder = tmp_path / "cd"
    folder.mkdir()
    for name in ("CT_small.dcm", "MR_small.dcm"):
        (folder / name).write_bytes((SHIPPED / name).read_bytes())
    (folder / "DICOMDIR").write_bytes((SHIPPED / "dicomdirtests" / "DICOMDIR").read_bytes())
    (folder / "letter.txt").write_text("Dear doctor")
    (folder / "empty").touch()
    (folder / "link").symlink_to("/etc/passwd")
    first = json.loads(call_command("import_dicom", str(folder), facility="alpha"))
    again = json.loads(call_command("import_dicom", str(folder), facility="alpha"))
    assert (first["stored"], again["stored"], again["known"]) == (2, 0, 2)
    assert first["refused"] == 3
    assert ImagingStudy.objects.count() == 2
    assert AuditEvent.objects.filter(detail__door="import").count() == 2
