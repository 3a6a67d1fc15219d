"""Dose objects as devices write them, built item by item."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ris.core.ids import new_uid

XRAY_RDSR = "1.2.840.10008.5.1.4.1.1.88.67"
SPIRAL, LOCALIZER = ("P5-08001", "SRT", "Spiral Acquisition"), ("113805", "DCM", "Constant Angle Acquisition")
BODY, HEAD = ("113691", "DCM", "Body phantom"), ("113690", "DCM", "Head phantom")


def coded(code: str, scheme: str = "DCM", meaning: str = "") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning or code
    return item


def item(kind: str, concept: str, children: Any = (), **values: Any) -> Dataset:
    content = Dataset()
    content.ValueType, content.RelationshipType = kind, "CONTAINS"
    content.ConceptNameCodeSequence = [coded(concept)]
    for keyword, value in values.items():
        setattr(content, keyword, value)
    if children:
        content.ContentSequence = list(children)
    return content


def num(concept: str, value: Any, unit: str = "") -> Dataset:
    measured = Dataset()
    if isinstance(value, str) and not value.replace(".", "").replace("-", "").replace("e", "").isdigit():
        measured.add_new(0x0040A30A, "LO", value)
    else:
        measured.NumericValue = value
    if unit:
        measured.MeasurementUnitsCodeSequence = [coded(unit, "UCUM")]
    return item("NUM", concept, MeasuredValueSequence=[measured])


def code(concept: str, value: str, scheme: str = "DCM", meaning: str = "") -> Dataset:
    return item("CODE", concept, ConceptCodeSequence=[coded(value, scheme, meaning)])


def text(concept: str, value: str) -> Dataset:
    return item("TEXT", concept, TextValue=value)


def uid(concept: str, value: str) -> Dataset:
    return item("UIDREF", concept, UID=value)


def header(**fields: Any) -> Dataset:
    dataset = Dataset()
    values = {
        "SOPClassUID": XRAY_RDSR,
        "SOPInstanceUID": new_uid(),
        "StudyInstanceUID": new_uid(),
        "SeriesInstanceUID": new_uid(),
        "Modality": "SR",
        "PatientID": "P1",
        "PatientName": "Achieng^Wanjiru",
        "PatientBirthDate": "19900203",
        "PatientSex": "F",
        "AccessionNumber": "",
        "StationName": "CT1",
        "Manufacturer": "ACME",
        "ManufacturerModelName": "Ring 64",
        "ContentDate": "20260102",
        "ContentTime": "101500",
    } | fields
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [coded("113701", "DCM", "X-Ray Radiation Dose Report")]
    return dataset


def ct_event(
    dlp: Any = 500,
    ctdi: Any = 20,
    *,
    unit: str = "mGy.cm",
    kind: tuple = SPIRAL,
    phantom: tuple = BODY,
    event_uid: str | None = None,
) -> Dataset:
    dose = [num("113830", ctdi, "mGy"), code("113835", *phantom), num("113838", dlp, unit)]
    children = [text("125203", "CHEST"), code("123014", "51185008", "SCT", "Chest"), code("113820", *kind)]
    if event_uid != "":
        children.append(uid("113769", event_uid or new_uid()))
    source = item("CONTAINER", "113831", [num("113733", 120, "kV"), num("113734", 210, "mA")])
    children.append(item("CONTAINER", "113822", [num("113824", "6.4", "s"), num("113825", 320, "mm"), source]))
    children.append(item("CONTAINER", "113829", dose))
    return item("CONTAINER", "113819", children)


def ct_report(*events: Dataset, total: Any = None, total_unit: str = "mGy.cm", **fields: Any) -> Dataset:
    """TID 10011. ``total=None``: no total in it."""
    events = events or (ct_event(),)
    dataset = header(**fields)
    accumulated = [num("113812", len(events), "{events}")]
    if total is not None:
        accumulated.append(num("113813", total, total_unit))
    dataset.ContentSequence = [
        code("121058", "77477000", "SCT", "CT"),
        item("CONTAINER", "113811", accumulated),
        *events,
    ]
    return dataset


def projection_report(
    *events: Dataset, totals: Any = (), procedure: tuple = ("113704", "DCM"), **fields: Any
) -> Dataset:
    """TID 10001."""
    dataset = header(**fields)
    dataset.ContentSequence = [code("121058", *procedure), item("CONTAINER", "113702", list(totals)), *events]
    return dataset


def projection_event(*children: Dataset, kind: tuple = ("113611", "DCM")) -> Dataset:
    return item("CONTAINER", "113706", [code("113721", *kind), uid("113769", new_uid()), *children])


def file_of(dataset: Dataset) -> bytes:
    """As a DICOM file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
