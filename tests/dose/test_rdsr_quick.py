"""The quick reader says what pydicom says, of every way to write the same report, and leaves the unusual to it."""

from __future__ import annotations

from dataclasses import asdict
from io import BytesIO

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dose import rdsr
from dose.rdsr import quick
from tests.factories import dose as made

REPORTS = {
    "CT": lambda: made.ct_report(made.whole_ct_event(), made.ct_event(unit="mGycm"), total="1,5"),
    "CT in words": lambda: made.ct_report(
        made.ct_event(dlp="much"), StationName="Scänner", SpecificCharacterSet="ISO_IR 100"
    ),
    "CT in UTF-8": lambda: made.ct_report(PatientName="Wánjirũ^Achieng", SpecificCharacterSet="ISO_IR 192"),
    "fluoroscopy": lambda: made.projection_report(made.whole_projection_event(), made.whole_projection_event()),
    "mammography": lambda: made.projection_report(
        made.breast_event(), totals=[made.breast_total("2.6", "T-04080")], procedure=("P5-40010", "SRT")
    ),
    "enhanced": made.enhanced_report,
    "radiopharmaceutical": made.radiopharmaceutical_report,
    "empty": lambda: made.header(ContentSequence=[]),
}  # fmt: skip


def _mark(dataset: Dataset, is_open: bool) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = is_open
            for item in element.value:
                item.is_undefined_length_sequence_item = is_open
                _mark(item, is_open)


def written(content: bytes, syntax: str, is_open: bool) -> bytes:
    dataset = pydicom.dcmread(BytesIO(content))
    _mark(dataset, is_open)
    dataset.file_meta.TransferSyntaxUID = syntax
    out = BytesIO()
    pydicom.dcmwrite(
        out,
        dataset,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return out.getvalue()


@pytest.mark.parametrize("name", REPORTS)
def test_it_reads_what_pydicom_reads(name):
    content = made.file_of(REPORTS[name]())
    expected = asdict(rdsr.parse(pydicom.dcmread(BytesIO(content))))
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        for is_open in (True, False):
            found = quick.read(written(content, syntax, is_open))
            assert found is not None and asdict(rdsr.parse(found)) == expected, (syntax, is_open)


def test_numbers_and_several_values():
    content = made.header()
    content.ReferencedFrameNumber = [1, 2]
    content.RecommendedDisplayFrameRateInFloat = 2.5
    content.ExposureIndex = 300
    found = quick.read(made.file_of(content))
    assert found is not None and found.get("ReferencedFrameNumber") == ["1", "2"]
    assert found.get("RecommendedDisplayFrameRateInFloat") == 2.5 and found.get("RetakeReason") is None


def test_what_is_unusual_is_left_to_pydicom():
    content = made.file_of(made.ct_report())
    assert quick.read(b"") is None and quick.read(content[132:]) is None
    assert quick.read(written(content, ExplicitVRBigEndian, False)) is None
    image = made.header(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    assert quick.read(made.file_of(image)) is None
    # cut anywhere, or any length broken: refused or read, and never more than that
    for end in range(140, len(content), 37):
        quick.read(content[:end])
    broken = bytearray(content)
    for place in range(330, len(content), 53):
        broken[place] ^= 0xFF
        quick.read(bytes(broken))
    assert quick.read(content[: len(content) - 3]) is None
