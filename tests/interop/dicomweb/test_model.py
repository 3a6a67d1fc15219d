"""The pure parts: the JSON model against pydicom's, media types, and bytes that mean no good."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data.data_manager import DATA_ROOT

from interop.dicom.elements import EXPLICIT, Malformed
from interop.dicom.headers import inflated, read_file_start
from interop.dicom.importing import files_below, import_file
from interop.dicom.sop_classes import STORAGE_SYNTAXES, encoding_of, is_deflated
from interop.dicomweb.media import (
    BadRequest,
    MediaType,
    NotAcceptable,
    Offer,
    choose,
    compressed_type,
    parse_media_types,
)
from interop.dicomweb.model import MAX_INLINE, Reader, little_endian, model_of, number_of
from interop.dicomweb.objects import StoredObject
from interop.dicomweb.xml import native_model
from ris.core.errors import NotKnown
from tests.interop.dicomweb.conftest import STORAGE, body_of, path_of, shipped
from worklist.models import ImagingInstance

SHIPPED = [path for path in files_below([Path(DATA_ROOT) / "test_files"]) if path.suffix == ".dcm"]


def data_set(path: Path) -> tuple[bytes, str] | None:
    data = path.read_bytes()
    try:
        start = read_file_start(data[:65536])
    except Malformed:
        return None
    if start.transfer_syntax_uid not in STORAGE_SYNTAXES:
        return None
    content = data[start.offset :]
    return (inflated(content) if is_deflated(start.transfer_syntax_uid) else content), start.transfer_syntax_uid


def plain(element: dict) -> dict:
    """Without what both write in their own ways: empty values, trailing spaces, and where long values are had."""
    if "BulkDataURI" in element or "InlineBinary" in element:
        return {"vr": element["vr"], "long": "BulkDataURI" in element, "binary": element.get("InlineBinary")}
    values = [
        {tag: plain(inner) for tag, inner in value.items()}
        if element["vr"] == "SQ"
        else value.strip()
        if isinstance(value, str)
        else value
        for value in element.get("Value", ())
    ]
    empty = (None, "", {"Alphabetic": "^^^^"})
    return {"vr": element["vr"], "Value": [None if value in empty else value for value in values]}


def compared(model: dict) -> dict:
    found = {tag: plain(element) for tag, element in model.items() if not tag.endswith("0000")}
    return {
        tag: element
        for tag, element in found.items()
        if any(value is not None for value in element.get("Value", [0])) and tag < "7FE00000"
    }


def test_the_model_of_every_shipped_file_is_as_pydicom_makes_it():
    same = 0
    for path in SHIPPED:
        found = data_set(path)
        if found is None:
            continue
        try:
            model, _at = model_of(found[0], encoding_of(found[1]), lambda where: f"x/{where}")
            wanted = dcmread(path, stop_before_pixels=True, force=True).to_json_dict(MAX_INLINE + 1, lambda _e: "x")
        except (Malformed, ValueError):
            continue
        orjson.dumps(model)
        native_model(model)
        differs = {
            tag: (compared(wanted).get(tag), element)
            for tag, element in compared(model).items()
            if element != compared(wanted).get(tag) and "BulkDataURI" not in str(wanted.get(tag)) + str(model[tag])
        }
        assert differs == {}, path.name
        same += 1
    assert same > 60


def test_every_address_of_every_shipped_file_answers_or_says_why_not(web):
    """No traceback and no half answer, whatever lies in the store."""
    for path in SHIPPED:
        import_file(path, actor=STORAGE)
    rows = list(ImagingInstance.objects.select_related("series__study"))
    assert len(rows) > 30
    forms = ('multipart/related; type="application/dicom"; transfer-syntax=*', "application/dicom", "")
    for row in rows:
        for what in ("", "/metadata", "/frames/1", f"/frames/{row.frames}", "/rendered", "/thumbnail"):
            for form in forms if not what else ("*/*",):
                response = web.get(path_of(row) + what, HTTP_ACCEPT=form)
                where = f"{row.sop_class_uid} {row.transfer_syntax_uid} {what} {form}"
                assert response.status_code in (200, 404, 406) or not row.rows, where
                body_of(response)


# --- values


def test_numbers_that_are_none_stay_what_they_are():
    assert [number_of(text, b"IS") for text in ("7 ", "-7", "", "1.0")] == [7, -7, None, "1.0"]
    assert [number_of(text, b"DS") for text in ("1.5", "1e400", "nan", "one")] == [1.5, "1e400", "nan", "one"]


def test_floats_without_a_number_are_words():
    reader = Reader(b"", EXPLICIT, str)
    assert reader.numbers(bytes.fromhex("0000c07f0000807f000080ff0000803f"), b"FL") == ["NaN", "inf", "-inf", 1.0]
    assert reader.values(bytes.fromhex("e07f1000"), b"AT", ("",)) == ["7FE00010"]


def test_words_are_turned_by_their_width():
    big = encoding_of("1.2.840.10008.1.2.2")
    assert little_endian(b"\1\2\3\4", b"OW", big) == b"\2\1\4\3"
    assert little_endian(b"\1\2\3\4", b"OL", big) == b"\4\3\2\1"
    assert little_endian(b"\1\2\3\4", b"OB", big) == b"\1\2\3\4"


def test_what_xml_cannot_hold_is_left_out():
    model = {"00100020": {"vr": "LO", "Value": ['<&">\x01\x0b']}, "00091001": {"vr": "LO", "Value": ["x"]}}
    model["00090010"] = {"vr": "LO", "Value": ["ACME 1"]}
    text = native_model(model).decode()
    assert '<Value number="1">&lt;&amp;"&gt;</Value>' in text
    assert 'tag="00091001" vr="LO" privateCreator="ACME 1"' in text


# --- bytes that mean no good


def test_no_change_of_a_byte_makes_more_than_a_refusal():
    chance = random.Random(4)
    for name in ("CT_small.dcm", "MR_small_RLE.dcm", "reportsi.dcm", "MR_small_implicit.dcm"):
        content, syntax = data_set(shipped(name)) or (b"", "")
        for _turn in range(150):
            changed = bytearray(content)
            for _change in range(chance.randint(1, 8)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            stored = StoredObject(memoryview(bytes(changed[: chance.randint(1, len(changed))])), syntax)
            for ask in (StoredObject.model, StoredObject.frames):
                try:
                    list(ask(stored, *[str] * (ask is StoredObject.model)))
                except (Malformed, NotKnown) as refusal:
                    assert str(refusal)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_accept_header_is_read_or_refused(text):
    try:
        found = parse_media_types(text)
    except BadRequest:
        return
    assert all(media.name == media.name.lower() for media in found)
    try:
        choose(found, [Offer("application/dicom", "1.2.840.10008.1.2.1")])
    except (NotAcceptable, BadRequest):
        return


# --- media types


def test_media_types_are_read_with_quotes_commas_and_weights():
    found = parse_media_types('multipart/related; type="image/jls,x;y"; transfer-syntax=*, text/html;q=0.5 ,*/*; q=0')
    assert found == [
        MediaType("multipart/related", {"type": "image/jls,x;y", "transfer-syntax": "*"}),
        MediaType("text/html", {"q": "0.5"}),
        MediaType("*/*", {"q": "0"}),
    ]


JLS = "1.2.840.10008.1.2.4.80"
FRAMES = [
    Offer("application/octet-stream", "1.2.840.10008.1.2.1"),
    Offer("image/jls", JLS, is_stored=True),
    Offer("application/octet-stream", "1.2.840.10008.1.2.1", False),
]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", 0),
        ('multipart/related; type="application/octet-stream"', 0),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", 1),
        (f"multipart/related; type=application/octet-stream; transfer-syntax={JLS}", 1),
        ('multipart/related; type="image/jls"', 1),
        ('multipart/related; type="image/x-jls"', 1),
        (f'multipart/related; type="image/jls"; transfer-syntax={JLS}', 1),
        ('multipart/related; type="image/*"', 1),
        ("application/octet-stream", 2),
        ('multipart/related; type="image/jls"; q=0.1, application/octet-stream', 2),
        ('multipart/related; type="image/jp2", multipart/related; type="image/jls"', 1),
        ("multipart/*", 0),
        ('multipart/related; type="image/jp2"', None),
        ("image/jls", None),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.4.90', None),
        ("*/*; q=0", None),
    ],
)
def test_the_form_of_frames_is_the_one_that_is_accepted(accept, expected):
    if expected is None:
        with pytest.raises(NotAcceptable) as refused:
            choose(parse_media_types(accept), FRAMES)
        assert "image/jls" in refused.value.found
    else:
        assert choose(parse_media_types(accept), FRAMES) is FRAMES[expected]


def test_the_media_type_of_every_compressed_syntax():
    assert compressed_type("1.2.840.10008.1.2.4.100.1") == "video/mpeg2"
    assert compressed_type("1.2.840.10008.1.2.4.106") == "video/mp4"
    assert compressed_type("1.2.840.10008.1.2.4.203") == "image/jphc"
    assert compressed_type("1.2.840.10008.1.2.4.999") == "application/octet-stream"
