"""WADO-RS: objects, metadata, bulk data, frames and pictures, byte by byte."""

from __future__ import annotations

import base64
import gzip
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.store import instance_path
from interop.dicomweb.media import COMPRESSED_TYPES
from ris.audit.models import AuditEvent, Outcome
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from tests.interop.dicomweb.conftest import body_of, datasets_of, keep, parts_of, path_of, shipped, slices, stored
from worklist.models import ImagingInstance

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
UNCOMPRESSED = 'multipart/related; type="application/dicom"'
ANY_FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
COMPRESSED = [
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "examples_ybr_color.dcm",
]


def original(name):
    return dcmread(shipped(name))


def content_of_first_frame(dataset):
    return get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames", 1)))


def json_of(response):
    return json.loads(body_of(response))


def get(web, path, accept="", **parameters):
    return web.get(path, parameters, HTTP_ACCEPT=accept) if accept else web.get(path, parameters)


# --- objects


def test_an_object_comes_back_as_it_was_stored(web):
    row = stored("CT_small.dcm")
    response = get(web, path_of(row), AS_STORED)
    ((headers, content),) = parts_of(response)
    assert content == instance_path(row.path).read_bytes()
    assert headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert headers["content-location"] == f"http://alpha.test{path_of(row)}"
    assert response["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    single = get(web, path_of(row), "application/dicom")
    assert body_of(single) == content
    assert int(single["Content-Length"]) == len(content)


def test_a_study_and_a_series_come_whole_and_in_order(web, tmp_path):
    rows = keep(slices(3)[::-1], tmp_path / "files")
    for level in ("study", "series"):
        found = datasets_of(get(web, path_of(rows[0], level), AS_STORED))
        assert [int(dataset.InstanceNumber) for dataset in found] == [1, 2, 3]


@pytest.mark.parametrize("name", [*COMPRESSED, "rtdose_rle.dcm"])
def test_without_a_transfer_syntax_it_is_uncompressed(web, name):
    row = stored(name)
    (made,) = datasets_of(get(web, path_of(row), UNCOMPRESSED))
    plain = original(name)
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert made.SOPInstanceUID == plain.SOPInstanceUID
    plain.decompress()
    assert made.PixelData == plain.PixelData
    assert made.PhotometricInterpretation == plain.PhotometricInterpretation
    assert np.array_equal(pixel_array(made), pixel_array(plain))
    assert str(made.PatientName) == str(plain.PatientName)


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "reportsi.dcm"])
def test_syntaxes_that_restful_services_do_not_know_are_rewritten(web, name):
    row = stored(name)
    (made,) = datasets_of(get(web, path_of(row), AS_STORED if "dfl" not in name else UNCOMPRESSED))
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    plain = original(name)
    if "PixelData" in plain:
        assert np.array_equal(pixel_array(made), pixel_array(plain))
    else:
        assert made.to_json_dict() == plain.to_json_dict()


def test_what_cannot_be_given_is_406_in_words(web):
    row = stored("CT_small.dcm")
    response = get(
        web, path_of(row), 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.5'
    )
    assert response.status_code == 406
    assert response["Content-Type"] == "application/problem+json"
    assert "1.2.840.10008.1.2.1" in response.json()["found"]
    assert get(web, path_of(row, "study"), "image/tiff").status_code == 406


def test_etags_are_kept_per_form(web):
    row = stored("CT_small.dcm")
    for path in (path_of(row), f"{path_of(row)}/metadata", f"{path_of(row)}/frames/1", f"{path_of(row)}/rendered"):
        first = web.get(path)
        body_of(first)
        again = web.get(path, HTTP_IF_NONE_MATCH=first["ETag"])
        assert (again.status_code, again.content) == (304, b"")
    other = web.get(f"{path_of(row)}/metadata", HTTP_ACCEPT="application/dicom+xml, multipart/related; type=*/*")
    body_of(other)
    assert other["ETag"] != web.get(f"{path_of(row)}/metadata")["ETag"]


# --- metadata


def test_metadata_are_the_header_with_addresses_for_what_is_long(web):
    row = stored("CT_small.dcm")
    response = get(web, f"{path_of(row)}/metadata", "application/dicom+json")
    assert response["Content-Type"] == "application/dicom+json"
    (model,) = json.loads(body_of(response))
    plain = original("CT_small.dcm")
    assert model["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": str(plain.PatientName)}]}
    assert model["00280030"]["Value"] == [float(value) for value in plain.PixelSpacing]
    assert model["7FE00010"] == {"vr": "OW", "BulkDataURI": f"http://alpha.test{path_of(row)}/bulkdata/7FE00010"}
    private = model["00431031"]
    assert private["Value"] == [float(value) for value in plain[0x00431031].value]
    read = Dataset.from_json(model, lambda _tag, _vr, _uri: b"")
    assert read.SOPInstanceUID == plain.SOPInstanceUID


def test_metadata_of_a_series_in_xml_are_the_native_model(web, tmp_path):
    rows = keep(slices(2), tmp_path / "files")
    response = get(web, f"{path_of(rows[0], 'series')}/metadata", 'multipart/related; type="application/dicom+xml"')
    parts = parts_of(response)
    assert [headers["content-type"] for headers, _content in parts] == ["application/dicom+xml"] * 2
    root = ElementTree.fromstring(parts[0][1])
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    assert root.tag == f"{space}NativeDicomModel"
    by_keyword = {element.get("keyword"): element for element in root}
    assert by_keyword["PatientName"].find(f".//{space}FamilyName").text == "Achieng"
    assert by_keyword["PixelData"].find(f"{space}BulkData").get("uri").endswith("/bulkdata/7FE00010")
    assert [value.text for value in by_keyword["ImageType"]] == ["ORIGINAL", "PRIMARY", "AXIAL"]


def test_metadata_are_compressed_for_who_can_read_that(web):
    row = stored("CT_small.dcm")
    response = web.get(f"{path_of(row)}/metadata", HTTP_ACCEPT_ENCODING="gzip")
    assert response["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body_of(response)))[0]["00080060"]["Value"] == ["CT"]


def test_an_object_whose_file_is_gone_stays_in_the_metadata(web, tmp_path):
    rows = keep(slices(2), tmp_path / "files")
    instance_path(rows[1].path).unlink()
    models = json.loads(body_of(web.get(f"{path_of(rows[0], 'series')}/metadata")))
    assert [model["00200013"]["Value"] for model in models] == [[1], [2]]
    assert models[1]["00080056"]["Value"] == ["UNAVAILABLE"]
    refused = web.get(path_of(rows[1]))
    assert refused.status_code == 500
    assert refused["Content-Type"] == "application/problem+json"


# --- bulk data


def test_every_bulk_data_address_leads_to_its_value(web):
    for name, tag in (("waveform_ecg.dcm", "WaveformData"), ("examples_palette.dcm", "PixelData")):
        row = stored(name)
        (model,) = json.loads(body_of(web.get(f"{path_of(row)}/metadata")))
        read = Dataset.from_json(model, lambda _tag, _vr, uri: body_of(web.get(uri)))
        wanted, found = ([row.value for row in held.iterall() if row.keyword == tag] for held in (original(name), read))
        assert wanted
        assert found == wanted


def test_bulk_data_as_parts_and_what_is_none(web):
    row = stored("CT_small.dcm")
    pixels = original("CT_small.dcm").PixelData
    response = get(web, f"{path_of(row)}/bulkdata/7FE00010", 'multipart/related; type="application/octet-stream"')
    assert [content for _headers, content in parts_of(response)] == [pixels]
    for path in ("7FE00011", "00100010/1/00100020", "x", "00081140/9/00081150", "../../../etc/passwd"):
        assert web.get(f"{path_of(row)}/bulkdata/{path}").status_code == 404
    compressed = stored("MR_small_RLE.dcm")
    response = get(web, f"{path_of(compressed)}/bulkdata/7FE00010", 'multipart/related; type="image/dicom-rle"')
    assert len(parts_of(response)) == 1


# --- frames


def test_a_frame_is_read_by_its_offset(web):
    row = stored("rtdose.dcm")
    plain = original("rtdose.dcm")
    size = len(plain.PixelData) // 15
    response = get(web, f"{path_of(row)}/frames/2,15,1", ANY_FRAME)
    found = [content for _headers, content in parts_of(response)]
    assert found == [plain.PixelData[at * size : (at + 1) * size] for at in (1, 14, 0)]
    alone = get(web, f"{path_of(row)}/frames/3", "application/octet-stream")
    assert body_of(alone) == plain.PixelData[2 * size : 3 * size]


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_frames_come_as_stored_or_decoded(web, name):
    row = stored(name)
    plain = original(name)
    assert content_of_first_frame(plain) == parts_of(get(web, f"{path_of(row)}/frames/1", ANY_FRAME))[0][1]
    as_stored = get(web, f"{path_of(row)}/frames/1", ANY_FRAME)
    media_type = COMPRESSED_TYPES[row.transfer_syntax_uid]
    ((headers, content),) = parts_of(as_stored)
    assert headers["content-type"] == f"{media_type}; transfer-syntax={row.transfer_syntax_uid}"
    named = get(web, f"{path_of(row)}/frames/1", f'multipart/related; type="{media_type}"')
    assert parts_of(named)[0][1] == content
    decoded = get(web, f"{path_of(row)}/frames/1", 'multipart/related; type="application/octet-stream"')
    plain.decompress()
    whole = parts_of(decoded)[0][1]
    assert whole == plain.PixelData[: len(whole)]
    assert len(whole) == len(plain.PixelData) // row.frames


def test_frames_of_colour_loops_are_what_a_viewer_relies_on(web):
    """Decoded: red, green, blue, by pixel. As stored: the metadata's photometric interpretation."""
    row, plain = stored("examples_ybr_color.dcm"), original("examples_ybr_color.dcm")
    last = row.frames
    assert last == 30
    several = get(web, f"{path_of(row)}/frames/1,{last}", 'multipart/related; type="application/octet-stream"')
    decoded = [content for _headers, content in parts_of(several)]
    assert decoded == [plain.pixel_array[at].tobytes() for at in (0, last - 1)]
    alone = get(web, f"{path_of(row)}/frames/{last}", "image/jpeg")
    assert (alone["Content-Type"].partition(";")[0], body_of(alone)[:2]) == ("image/jpeg", b"\xff\xd8")
    compressed = get(web, f"{path_of(row)}/frames/1,{last}", 'multipart/related; type="image/jpeg"')
    assert parts_of(compressed)[1][1] == body_of(get(web, f"{path_of(row)}/frames/{last}", "image/jpeg"))
    drawn = picture(get(web, f"{path_of(row)}/frames/{last}/rendered", window="60,80,linear"))
    assert (drawn.size, drawn.mode) == ((row.columns, row.rows), "RGB")
    native, whole = stored("SC_ybr_full_422_uncompressed.dcm"), original("SC_ybr_full_422_uncompressed.dcm")
    (model,) = json_of(web.get(f"{path_of(native)}/metadata"))
    assert model["00280004"]["Value"] == ["YBR_FULL_422"]
    assert body_of(get(web, f"{path_of(native)}/frames/1", "application/octet-stream")) == whole.PixelData
    assert picture(web.get(f"{path_of(native)}/frames/1/rendered")).mode == "RGB"


def test_frames_of_single_bits_begin_inside_of_bytes(web, tmp_path):
    (dataset,) = slices(1)
    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 5), dtype=np.uint8)
    dataset.Rows = dataset.Columns = 5
    dataset.NumberOfFrames, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 3, 1, 1, 0
    packed = np.packbits(bits, bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    (row,) = keep([dataset], tmp_path / "files")
    for number in (1, 2, 3):
        frame = parts_of(get(web, f"{path_of(row)}/frames/{number}", ANY_FRAME))[0][1]
        unpacked = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[:25]
        assert np.array_equal(unpacked.reshape(5, 5), bits[number - 1])


def test_frames_of_big_endian_are_little_endian(web):
    big = stored("MR_small_bigendian.dcm")
    frame = parts_of(get(web, f"{path_of(big)}/frames/1", ANY_FRAME))[0][1]
    assert frame == original("MR_small.dcm").PixelData


@pytest.mark.parametrize("with_table", [True, False])
def test_compressed_frames_are_found_with_and_without_their_table(web, tmp_path, with_table):
    (dataset,) = slices(1)
    frames = [bytes([number]) * (number + 5) * 2 for number in range(4)]
    dataset.NumberOfFrames = 4
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
    dataset.PixelData = encapsulate(frames, has_bot=with_table)
    (row,) = keep([dataset], tmp_path / "files")
    response = get(web, f"{path_of(row)}/frames/4,1,2", ANY_FRAME)
    assert [content for _headers, content in parts_of(response)] == [frames[3], frames[0], frames[1]]
    assert get(web, f"{path_of(row)}/frames/1", "application/octet-stream").status_code == 406


@pytest.mark.parametrize(
    ("frames", "status"), [("0", 404), ("2", 404), ("1,2", 404), ("one", 400), ("1,,1", 400), ("-1", 400)]
)
def test_frames_that_are_not_there_are_refused(web, frames, status):
    row = stored("CT_small.dcm")
    response = web.get(f"{path_of(row)}/frames/{frames}")
    assert response.status_code == status
    assert response.json()["detail"]


# --- pictures


def picture(response) -> Image.Image:
    return Image.open(io.BytesIO(body_of(response)))


def test_pictures_are_drawn_as_asked(web):
    row = stored("CT_small.dcm")
    plain = web.get(f"{path_of(row)}/rendered")
    assert plain["Content-Type"] == "image/jpeg"
    assert picture(plain).size == (128, 128)
    narrow = np.asarray(picture(get(web, f"{path_of(row)}/rendered", "image/png", window="40,2,linear")))
    assert ((narrow == 0) | (narrow == 255)).mean() > 0.95
    small = get(web, f"{path_of(row)}/frames/1/rendered", viewport="64,32")
    assert picture(small).size == (32, 32)
    part = get(web, f"{path_of(row)}/rendered", "image/png", viewport="64,64,0,0,64,64")
    mirrored = get(web, f"{path_of(row)}/rendered", "image/png", viewport="64,64,0,0,-64,64")
    assert np.array_equal(np.asarray(picture(part))[:, ::-1], np.asarray(picture(mirrored)))
    assert len(body_of(get(web, f"{path_of(row)}/rendered", quality="5"))) < len(body_of(plain))


@pytest.mark.parametrize(
    "asked",
    [
        {"window": "a,b,linear"},
        {"window": "1,2,sigmoid"},
        {"window": "1,0,linear"},
        {"window": "nan,1,linear"},
        {"viewport": "0,9"},
        {"viewport": "9"},
        {"viewport": "9,9,500,500,9,9"},
        {"quality": "0"},
        {"quality": "101"},
    ],
)
def test_how_it_cannot_be_drawn_is_said(web, asked):
    row = stored("CT_small.dcm")
    response = get(web, f"{path_of(row)}/rendered", **asked)
    assert response.status_code == 400
    assert set(response.json()["errors"]) == set(asked)


def test_thumbnails_of_every_level_and_of_what_has_no_picture(web):
    row, report = stored("CT_small.dcm"), stored("reportsi.dcm")
    for level in ("study", "series", "instance"):
        assert max(picture(web.get(f"{path_of(row, level)}/thumbnail")).size) == 128
        assert max(picture(web.get(f"{path_of(report, level)}/thumbnail")).size) == 128
        assert picture(web.get(f"{path_of(row, level)}/rendered")).format == "JPEG"
    assert picture(web.get(f"{path_of(row)}/frames/1/thumbnail?viewport=20,20")).size == (20, 20)
    assert web.get(f"{path_of(report)}/rendered").status_code == 406


def test_each_picture_of_a_series_as_a_part(web, tmp_path):
    rows = keep(slices(3), tmp_path / "files")
    parts = parts_of(get(web, f"{path_of(rows[0], 'series')}/rendered", 'multipart/related; type="image/jpeg"'))
    assert [headers["content-type"] for headers, _content in parts] == ["image/jpeg"] * 3


# --- who may


def test_rejected_instances_are_never_shown(web, tmp_path):
    rows = keep(slices(3), tmp_path / "files")
    ImagingInstance.objects.filter(pk=rows[1].pk).update(is_rejected=True)
    assert len(parts_of(get(web, path_of(rows[0], "study"), AS_STORED))) == 2
    assert len(json.loads(body_of(web.get(f"{path_of(rows[0], 'series')}/metadata")))) == 2
    for what in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"):
        assert web.get(path_of(rows[1]) + what).status_code == 404
    assert [row["00200013"]["Value"] for row in json_of(web.get(f"{path_of(rows[0], 'study')}/instances"))] == [
        [1],
        [3],
    ]


def test_another_facilitys_objects_are_unknown_here(web, beta):
    with use_facility(beta):
        row = stored("CT_small.dcm")
        paths = [path_of(row, level) for level in ("study", "series", "instance")]
    for path in paths:
        for what in ("", "/metadata", "/rendered", "/thumbnail"):
            assert web.get(path + what).status_code == 404
    assert web.get(f"{paths[0]}/series").status_code == 404
    assert json_of(web.get("/dicomweb/studies")) == []


@pytest.mark.parametrize("uid", ["..", "1.2.3/../../4", "%2e%2e", "1.02", "a", "1." + "2" * 70, "*"])
def test_what_is_no_uid_is_404(web, uid):
    for path in (f"/dicomweb/studies/{uid}/metadata", f"/dicomweb/studies/1.2.3/series/{uid}"):
        assert web.get(path).status_code == 404


def test_rights_are_asked_and_refusals_recorded(api, alpha):
    row = stored("CT_small.dcm")
    assert api.get(path_of(row)).status_code == 401
    api.force_authenticate(user_with_roles("it_admin"))
    for path in (path_of(row), f"{path_of(row)}/metadata", "/dicomweb/studies"):
        assert api.get(path).status_code == 403
        assert api.head(path).status_code == 403
    assert AuditEvent.objects.filter(outcome=Outcome.REFUSED, event_type="worklist.view_study").count() == 7
    api.force_authenticate(user_with_roles("referring_physician"))
    assert api.get(path_of(row)).status_code == 404


def test_each_request_is_one_audit_row_that_names_the_study(web, tmp_path):
    rows = keep(slices(3), tmp_path / "files")
    study = rows[0].series.study
    before = AuditEvent.objects.count()
    body_of(get(web, path_of(rows[0], "study"), AS_STORED))
    body_of(web.get(f"{path_of(rows[0], 'series')}/metadata"))
    for row in rows:
        body_of(web.get(f"{path_of(row)}/frames/1"))
    found = list(AuditEvent.objects.order_by("pk")[before:])
    assert [event.entity for event in found] == [study.uuid] * 3
    assert {event.source for event in found} == {"dicomweb"}
    assert found[0].detail == {"retrieved": "instances", "instances": 3}


def test_head_is_the_answer_without_its_body(web):
    row = stored("CT_small.dcm")
    response = web.head(f"{path_of(row)}/metadata")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/dicom+json"


def test_inline_values_are_base64(web):
    row = stored("CT_small.dcm")
    (model,) = json.loads(body_of(web.get(f"{path_of(row)}/metadata")))
    inline = [element for element in model.values() if "InlineBinary" in element]
    assert inline
    assert all(base64.b64decode(element["InlineBinary"], validate=True) for element in inline)


# --- WADO-URI


def asked_by_uri(row, **more):
    named = {
        "requestType": "WADO",
        "studyUID": row.series.study.study_instance_uid,
        "seriesUID": row.series.series_instance_uid,
        "objectUID": row.sop_instance_uid,
    }
    return {name: value for name, value in {**named, **more}.items() if value is not None}


def test_wado_uri_gives_objects_and_pictures(web):
    row, compressed = stored("CT_small.dcm"), stored("MR_small_jp2klossless.dcm")
    path = "/dicomweb/wado"
    assert picture(web.get(path, asked_by_uri(row))).size == (128, 128)
    small = web.get(path, asked_by_uri(row, contentType="image/png", rows="64", windowCenter="40", windowWidth="400"))
    assert (small["Content-Type"], picture(small).size) == ("image/png", (64, 64))
    whole = web.get(path, asked_by_uri(row, contentType="application/dicom"))
    assert whole["Content-Type"] == "application/dicom"
    assert body_of(whole) == instance_path(row.path).read_bytes()
    plain = body_of(web.get(path, asked_by_uri(compressed, contentType="application/dicom")))
    assert dcmread(io.BytesIO(plain)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    syntax = {"contentType": "application/dicom", "transferSyntax": "1.2.840.10008.1.2.4.90"}
    assert body_of(web.get(path, asked_by_uri(compressed, **syntax))) == instance_path(compressed.path).read_bytes()
    report = stored("reportsi.dcm")
    assert web.get(path, asked_by_uri(report))["Content-Type"] == "application/dicom"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"requestType": "GET"}, 400),
        ({"objectUID": None}, 400),
        ({"objectUID": "../../x"}, 404),
        ({"studyUID": "1.2.3"}, 404),
        ({"anonymize": "yes"}, 400),
        ({"contentType": "video/mp4"}, 406),
        ({"contentType": "application/dicom", "transferSyntax": "1.2.840.10008.1.2.5"}, 406),
        ({"frameNumber": "2"}, 404),
        ({"frameNumber": "x"}, 400),
        ({"windowCenter": "40"}, 400),
        ({"rows": "0"}, 400),
    ],
)
def test_wado_uri_says_what_is_wrong(web, more, status):
    response = web.get("/dicomweb/wado", asked_by_uri(stored("CT_small.dcm"), **more))
    assert response.status_code == status
    assert response.json()["detail"]


def test_a_series_moved_to_another_study_is_shown_there(web, tmp_path):
    (row,), (other,) = keep(slices(1), tmp_path / "a"), keep(slices(1), tmp_path / "b")
    left = path_of(row, "study")
    row.series.acquired_study_instance_uid = row.series.study.study_instance_uid
    row.series.study = other.series.study
    row.series.save()
    (model,) = json_of(web.get(f"{path_of(row)}/metadata"))
    assert model["0020000D"]["Value"] == [other.series.study.study_instance_uid]
    assert len(parts_of(get(web, path_of(other, "study"), AS_STORED))) == 2
    assert web.get(left).status_code == 404
