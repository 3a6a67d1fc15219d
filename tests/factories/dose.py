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


RADIOPHARMACEUTICAL_RDSR = "1.2.840.10008.5.1.4.1.1.88.68"
ENHANCED_XRAY_RDSR = "1.2.840.10008.5.1.4.1.1.88.76"


def filtered(kind: str = "Flat filter", material: str = "Copper", least: Any = 0.1, most: Any = 0.2) -> Dataset:
    children = [code("113772", "113653", meaning=kind), code("113757", "C-127F9", "SRT", material)]
    return item("CONTAINER", "113771", [*children, num("113758", least, "mm"), num("113773", most, "mm")])


def whole_ct_event() -> Dataset:
    """What TID 10013 and 10014 carry, of a scanner with two tubes."""
    tubes = [
        item("CONTAINER", "113831", [text("113832", name), num("113733", kv, "kV"), num("113734", ma, "mA"),
                                     num("113833", ma + 40, "mA"), num("113834", "0.5", "s")])
        for name, kv, ma in (("A", 100, 200), ("B", 150, 120))
    ]  # fmt: skip
    parameters = [
        num("113824", "6.4", "s"), num("113825", 32, "cm"), num("113828", "0.9", "{ratio}"), num("113826", "0.6", "mm"),
        num("113827", "38.4", "mm"), num("113823", 2, "{X-Ray sources}"), num("113893", 300, "mm"),
        num("113895", "-12.5", "mm"), *tubes,
    ]  # fmt: skip
    alert = item("CONTAINER", "113900", [num("113903", 2000, "mGy.cm"), text("113907", "Large patient")])
    dose = [
        num("113830", 10, "mGy"), code("113835", *BODY), num("113838", 320, "mGy.cm"), num("113930", "13.5", "mGy"),
        num("113980", 28, "cm"), num("113839", "4.5", "mSv"), alert,
    ]  # fmt: skip
    children = [
        text("125203", "CHEST"), code("123014", "51185008", "SCT", "Chest"), code("113820", *SPIRAL),
        uid("113769", new_uid()), code("128551", "373066001", "SCT", "Yes"),
        code("128552", "128553", "DCM", "Patient motion"),
    ]  # fmt: skip
    return item(
        "CONTAINER", "113819", [*children, item("CONTAINER", "113822", parameters), item("CONTAINER", "113829", dose)]
    )


def whole_projection_event() -> Dataset:
    """What TID 10003 carries of a fluoroscopy scene."""
    return projection_event(
        item("DATETIME", "111526", DateTime="20260102103000"), code("113764", "113620", meaning="Plane A"),
        num("122130", "1.6e-005", "Gym2"), num("113738", "2.52", "mGy"), num("112011", "-30", "deg"),
        num("112012", "12.5", "deg"), num("113750", 120, "cm"), num("113748", 785, "mm"), num("113737", 600, "mm"),
        num("113753", "-151.8", "mm"), num("113768", 24, "1"), num("113791", "7.5", "{pulse}/s"),
        num("113793", "4.2", "ms"),
        num("113733", 77, "kV"), num("113734", "95.1", "mA"), num("113735", "100.8", "ms"),
        num("113736", "9.586", "mAs"),
        num("113790", 400, "cm2"), num("113845", 250, "1"), num("113846", 300, "1"), num("113847", "-0.8", "1"),
        code("113732", "113631", meaning="Pulsed"), filtered(), kind=("44491008", "SCT", "Fluoroscopy"),
    )  # fmt: skip


def breast_event(side: str = "Left", agd: Any = "1.3") -> Dataset:
    """What TID 10003 carries of a mammogram."""
    breast = code("123014", "T-04000", "SRT", "Breast")
    breast.ContentSequence = [code("G-C171", "T-04030" if side == "Left" else "T-04020", "SRT", side)]
    return projection_event(
        breast, code("111031", "R-10242", "SNM3", "cranio-caudal"), num("111631", agd, "mGy"), num("111633", 43, "mm"),
        num("111647", 12, "kgf"), num("111634", "0.535", "mm"), num("111636", "3.65", "mGy"),
        code("111632", "C-164F9", "SRT", "Tungsten"), code("111635", "111646", meaning="No grid"), filtered(),
    )  # fmt: skip


def breast_total(value: Any, side: str) -> Dataset:
    total = num("111637", value, "mGy")
    total.ContentSequence = [code("G-C171", side, "SRT", side)]
    return total


def enhanced_report(**fields: Any) -> Dataset:
    """TID 10040: summaries of two events (TID 10042), their details apart (TID 10043), each naming its events."""
    dataset = header(SOPClassUID=ENHANCED_XRAY_RDSR, **fields)
    first, second = new_uid(), new_uid()
    summaries = [
        item("CONTAINER", "130501", [uid("113769", key), code("113721", "44491008", "SCT", "Fluoroscopy"),
                                     num("122130", dap, "Gy.cm2"), num("113738", 1, "mGy")])
        for key, dap in ((first, 1), (second, 2))
    ]  # fmt: skip
    one = num("113733", 80, "kV")
    one.ContentSequence = [uid("113769", first)]
    technique = item("CONTAINER", "130511", [one, item("CONTAINER", "130512", [uid("113769", second), filtered()])])
    both = item("CONTAINER", "130514", [num("113750", 1000, "mm")])
    dataset.ContentSequence = [
        code("121058", "113704", "DCM", "Projection X-Ray"),
        item("CONTAINER", "130500", [num("113722", 3, "Gy.cm2"), num("113725", 2, "mGy"), num("113730", 60, "s")]),
        *summaries,
        item("CONTAINER", "130505", [technique, both]),
    ]
    return dataset


def radiopharmaceutical_report(**fields: Any) -> Dataset:
    """TID 10021, with the retired SNOMED RT codes."""
    dataset = header(SOPClassUID=RADIOPHARMACEUTICAL_RDSR, **fields)
    dataset.ConceptNameCodeSequence[0].CodeValue = "113500"
    agent = code("F-61FDB", "C-B1031", "SRT", "Fluorodeoxyglucose F^18^")
    agent.ContentSequence = [code("C-10072", "C-111A1", "SRT", "^18^Fluorine"), num("R-42806", "109.77", "min")]
    organ = [code("G-C0E3", "T-B3000", "SRT", "Adrenal gland"), num("113518", "4.73", "mGy")]
    given = [
        agent, uid("113503", new_uid()), item("DATETIME", "123003", DateTime="20260102104030"),
        item("DATETIME", "123004", DateTime="20260102104100"), num("113507", "0.394", "GBq"), num("113508", 400, "MBq"),
        item("CONTAINER", "113517", organ), num("113839", "7.486", "mSv"),
        code("G-C340", "G-D101", "SRT", "Intravenous route"), text("113512", "LOT 7"),
    ]  # fmt: skip
    patient = [num("29463-7", 110, "kg"), num("8302-2", 178, "cm"), num("121033", 63, "a")]
    dataset.ContentSequence = [
        code("G-C2D0", "P5-0A00A", "SRT", "PET study for localization of tumor"),
        item("CONTAINER", "113502", given),
        item("CONTAINER", "121118", patient),
    ]
    return dataset


def image_of(modality: str, **fields: Any) -> Dataset:
    """An image's header."""
    dataset = Dataset()
    values = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "SOPInstanceUID": new_uid(), "StudyInstanceUID": new_uid()}
    for keyword, value in (values | {"Modality": modality, "StudyDate": "20260102"} | fields).items():
        setattr(dataset, keyword, value)
    return dataset


def dataset_of(**fields: Any) -> Dataset:
    made = Dataset()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


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
