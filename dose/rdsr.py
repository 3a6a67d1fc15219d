"""Radiation dose reports read: X-Ray RDSR (PS3.16 TID 10001, 10011), radiopharmaceutical RDSR (TID 10021), and the dose
in an image's header where a device sends nothing else. Pure: a data set in, dataclasses out.

Nothing in a report makes this raise: what is missing, misspelt or impossible becomes a warning, and the rest is read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset

from dose import units
from dose.units import Quantity
from ris.core.ids import is_valid_uid

XRAY_RDSR = "1.2.840.10008.5.1.4.1.1.88.67"
RADIOPHARMACEUTICAL_RDSR = "1.2.840.10008.5.1.4.1.1.88.68"
ENHANCED_XRAY_RDSR = "1.2.840.10008.5.1.4.1.1.88.76"
DOSE_SOP_CLASSES = frozenset({XRAY_RDSR, RADIOPHARMACEUTICAL_RDSR, ENHANCED_XRAY_RDSR})

CT, PROJECTION, MAMMOGRAPHY, RADIOPHARMACEUTICAL, IMAGE, UNKNOWN = "CT", "projection", "MG", "NM", "image", ""
LOCALIZERS = {"113805"}
FLUOROSCOPY = {"P5-06000", "44491008"}
HEAD_PHANTOM, BODY_PHANTOM = "113690", "113691"
PROCEDURES = {
    ("P5-08000", "SRT"): CT, ("77477000", "SCT"): CT,
    ("113704", "DCM"): PROJECTION,
    ("P5-40010", "SRT"): MAMMOGRAPHY, ("71651007", "SCT"): MAMMOGRAPHY,
}  # fmt: skip
#: Exposures of phantoms and tests, by how departments name them
NOT_A_NAME = re.compile(r"\bphantom\b|\^test\b|^test\b|^qa[ ^_-]|quality (control|assurance)|\bpattern\b", re.I)
NOT_AN_ID = re.compile(r"^phy|^qa[ _-]?|^test|phantom", re.I)
DEEPEST, MOST_ITEMS = 12, 20_000
DAYS_PER = {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}

#: code of a NUM -> (field of DoseEvent, quantity)
EVENT_NUMBERS: dict[str, tuple[str, Quantity]] = {
    "113830": ("ctdi_vol", units.CTDI),
    "113838": ("dlp", units.DLP),
    "113825": ("scanning_length", units.LENGTH),
    "113828": ("pitch", units.RATIO),
    "113733": ("kvp", units.VOLTAGE),
    "113734": ("tube_current", units.CURRENT),
    "113824": ("exposure_time", units.MILLISECONDS),
    "113735": ("exposure_time", units.MILLISECONDS),
    "113736": ("exposure", units.EXPOSURE),
    "122130": ("dap", units.DAP),
    "113738": ("dose_rp", units.DOSE),
    "111631": ("agd", units.DOSE),
    "113845": ("exposure_index", units.RATIO),
    "113846": ("target_exposure_index", units.RATIO),
    "113847": ("deviation_index", units.RATIO),
}
REPEATED = "128551"


@dataclass
class DoseEvent:
    uid: str = ""
    position: int = 0
    started_at: dt.datetime | None = None
    event_type: str = ""
    type_code: str = ""
    protocol: str = ""
    target_region: str = ""
    ctdi_vol: float | None = None  # mGy
    ctdi_phantom: str = ""
    dlp: float | None = None  # mGy.cm
    scanning_length: float | None = None  # mm
    pitch: float | None = None
    kvp: float | None = None  # kV
    tube_current: float | None = None  # mA
    exposure_time: float | None = None  # ms
    exposure: float | None = None  # uA.s
    dap: float | None = None  # Gy.m2
    dose_rp: float | None = None  # Gy
    agd: float | None = None  # Gy
    exposure_index: float | None = None
    target_exposure_index: float | None = None
    deviation_index: float | None = None
    is_repeated: bool = False
    activity: float | None = None  # Bq
    more: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def is_localizer(self) -> bool:
        return self.type_code in LOCALIZERS

    @property
    def is_fluoroscopy(self) -> bool:
        return self.type_code in FLUOROSCOPY


@dataclass
class ParsedDose:
    kind: str = UNKNOWN
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    station_name: str = ""
    manufacturer: str = ""
    model_name: str = ""
    modality: str = ""
    started_at: dt.datetime | None = None
    patient_age_years: float | None = None
    patient_weight_kg: float | None = None
    patient_sex: str = ""
    is_of_a_patient: bool = True
    ctdi_vol_max: float | None = None  # mGy, of the phantom with most of the DLP, without localizers
    dlp_total: float | None = None  # mGy.cm
    dap_total: float | None = None  # Gy.m2
    dose_rp_total: float | None = None  # Gy
    agd_total: float | None = None  # Gy
    fluoro_time: float | None = None  # s
    administered_activity: float | None = None  # Bq
    declared_events: int | None = None
    events: list[DoseEvent] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, words: str) -> None:
        if words not in self.warnings and len(self.warnings) < 100:
            self.warnings.append(words)


# --- reading what may be anything


def _get(item: Any, keyword: str) -> Any:
    """A value, or None. pydicom decodes when asked and raises in many ways on what devices write."""
    try:
        return item.get(keyword)
    except Exception:  # any decoding error: what stands there as bytes may still be read as text
        return _as_written(item, keyword)


def _as_written(item: Any, keyword: str) -> str | None:
    """The undecoded value: a DS that holds "1,07" is no DS, and still a number to whoever reads it."""
    try:
        raw = item.get_item(keyword).value
    except Exception:
        return None
    return raw.decode("latin-1").split("\\")[0].strip() if isinstance(raw, bytes) else None


def _text(item: Any, keyword: str, length: int = 128) -> str:
    value = _get(item, keyword)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else ""
    return str(value).replace("\x00", "").strip()[:length]


def _items(item: Any, keyword: str) -> list[Dataset]:
    value = _get(item, keyword)
    try:
        return [part for part in value or () if isinstance(part, Dataset)]
    except TypeError:
        return []


def number(value: Any) -> float | None:
    """A finite number from whatever stands there: DS, FD, text with a comma, the first of several."""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    try:
        found = float(str(value).strip().replace(",", "."))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def moment(text: str) -> dt.datetime | None:
    """A DT value of at least a day; naive where it names no offset."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?([+-]\d{4})?", text.strip())
    if found is None:
        return None
    try:
        parts = [int(part) for part in found.groups()[:6] if part is not None]
        made = dt.datetime(*parts)
        if found[7]:
            made = made.replace(microsecond=int(found[7].ljust(6, "0")))
        if found[8]:
            sign = -1 if found[8][0] == "-" else 1
            offset = dt.timedelta(hours=int(found[8][1:3]), minutes=int(found[8][3:]))
            made = made.replace(tzinfo=dt.timezone(sign * offset))
    except ValueError:
        return None
    return made


@dataclass(frozen=True)
class Content:
    """A content item of the tree."""

    item: Dataset

    @property
    def concept(self) -> str:
        names = _items(self.item, "ConceptNameCodeSequence")
        return _text(names[0], "CodeValue", 16) if names else ""

    @property
    def meaning(self) -> str:
        names = _items(self.item, "ConceptNameCodeSequence")
        return _text(names[0], "CodeMeaning", 64) if names else ""

    @property
    def value_type(self) -> str:
        return _text(self.item, "ValueType", 16).upper()

    @property
    def code(self) -> tuple[str, str, str]:
        codes = _items(self.item, "ConceptCodeSequence")
        if not codes:
            return "", "", ""
        scheme = _text(codes[0], "CodingSchemeDesignator", 16)
        return _text(codes[0], "CodeValue", 64), scheme, _text(codes[0], "CodeMeaning", 64)

    @property
    def words(self) -> str:
        """The value as text: TEXT, the meaning of CODE, UIDREF."""
        if self.value_type == "CODE":
            return self.code[2] or self.code[0]
        return _text(self.item, "UID", 64) if self.value_type == "UIDREF" else _text(self.item, "TextValue")

    @property
    def measured(self) -> tuple[float | None, str]:
        """(value, unit) of a NUM; the text of a TEXT that should have been one."""
        values = _items(self.item, "MeasuredValueSequence")
        if not values:
            return (number(_get(self.item, "TextValue")), "") if self.value_type == "TEXT" else (None, "")
        found = number(_get(values[0], "NumericValue"))
        if found is None:
            found = number(_get(values[0], "FloatingPointValue"))
        codes = _items(values[0], "MeasurementUnitsCodeSequence")
        return found, _text(codes[0], "CodeValue", 32) if codes else ""

    @property
    def children(self) -> list[Content]:
        return [Content(child) for child in _items(self.item, "ContentSequence")]

    def first(self, *concepts: str) -> Content | None:
        return next((child for child in self.children if child.concept in concepts), None)

    def walk(self, depth: int = 0) -> Iterator[Content]:
        """Everything below."""
        if depth >= DEEPEST:
            return
        for child in self.children:
            yield child
            yield from child.walk(depth + 1)


def measure(content: Content, quantity: Quantity, parsed: ParsedDose) -> float | None:
    """The value in the kept unit; what cannot be is left out, with a warning that names the concept."""
    value, unit = content.measured
    name = content.meaning or content.concept
    if value is None:
        return None
    if not unit and quantity is not units.RATIO:
        parsed.warn(f"{name}: no unit; taken as {quantity.unit}.")
        scale: float | None = 1.0
    else:
        scale = 1.0 if quantity is units.RATIO else units.factor(quantity, unit)
    if scale is None:
        parsed.warn(f"{name}: the unit {unit} is not one of this quantity; left out.")
        return None
    found = value * scale
    if abs(found) > quantity.most or (found < 0 and quantity is not units.RATIO):
        parsed.warn(f"{name}: {found:g} {quantity.unit} cannot be; left out.")
        return None
    return found


# --- the report


def parse(dataset: Dataset) -> ParsedDose:
    """Everything that the object says about dose. Never raises on its content."""
    parsed = ParsedDose()
    _read_header(dataset, parsed)
    root = Content(dataset)
    if parsed.sop_class_uid == RADIOPHARMACEUTICAL_RDSR or root.concept == "113500":
        parsed.kind = RADIOPHARMACEUTICAL
        _read_administrations(root, parsed)
    elif root.children:
        _read_xray(root, parsed)
    else:
        parsed.kind = IMAGE
        _read_image(dataset, parsed)
    _name_events(parsed)
    _complete_totals(parsed)
    parsed.modality = _modality(dataset, parsed)
    return parsed


def _read_header(dataset: Dataset, parsed: ParsedDose) -> None:
    parsed.sop_instance_uid = _text(dataset, "SOPInstanceUID", 64)
    parsed.sop_class_uid = _text(dataset, "SOPClassUID", 64)
    parsed.study_instance_uid = _text(dataset, "StudyInstanceUID", 64)
    parsed.accession_number = _text(dataset, "AccessionNumber", 16)
    parsed.patient_id = _text(dataset, "PatientID", 64)
    parsed.issuer_of_patient_id = _text(dataset, "IssuerOfPatientID", 64)
    parsed.station_name = _text(dataset, "StationName", 64)
    parsed.manufacturer = _text(dataset, "Manufacturer", 64)
    parsed.model_name = _text(dataset, "ManufacturerModelName", 64)
    sex = _text(dataset, "PatientSex", 1).upper()
    parsed.patient_sex = sex if sex in ("M", "F", "O") else ""
    weight = number(_get(dataset, "PatientWeight"))
    parsed.patient_weight_kg = weight if weight is not None and 0.2 <= weight <= 700 else None
    for day, time in (
        ("ContentDate", "ContentTime"),
        ("AcquisitionDate", "AcquisitionTime"),
        ("StudyDate", "StudyTime"),
    ):
        written = _text(dataset, day, 8)
        clock = re.match(r"\d{2,6}(\.\d{1,6})?", _text(dataset, time, 16))
        found = moment(written + (clock[0] if clock and len(clock[0].split(".")[0]) % 2 == 0 else "")) or moment(
            written
        )
        if found is not None:
            parsed.started_at = found
            break
    parsed.patient_age_years = _age(dataset, parsed.started_at)
    name = _text(dataset, "PatientName")
    parsed.is_of_a_patient = not (NOT_A_NAME.search(name) or NOT_AN_ID.search(parsed.patient_id))


def _age(dataset: Dataset, on: dt.datetime | None) -> float | None:
    born, text = moment(_text(dataset, "PatientBirthDate", 8)), _text(dataset, "PatientAge", 4)
    if born is not None and on is not None:
        years = (on.replace(tzinfo=None) - born).days / 365.25
        return round(years, 3) if 0 <= years <= 130 else None
    found = re.fullmatch(r"(\d{3})([DWMY])", text)
    return round(int(found[1]) * DAYS_PER[found[2]] / 365.25, 3) if found else None


def _read_xray(root: Content, parsed: ParsedDose) -> None:
    reported = root.first("121058")
    if reported is not None:
        value, scheme, _meaning = reported.code
        parsed.kind = PROCEDURES.get((value, scheme), UNKNOWN)
    plain = {"113722": ("dap_total", units.DAP), "113725": ("dose_rp_total", units.DOSE),
             "113730": ("fluoro_time", units.SECONDS), "111637": ("agd_total", units.DOSE),
             "113813": ("dlp_total", units.DLP)}  # fmt: skip
    for count, content in enumerate(root.walk()):
        if count > MOST_ITEMS:
            parsed.warn("The report holds too many items; the rest was not read.")
            break
        concept = content.concept
        if concept == "113819":
            parsed.kind = parsed.kind or CT
            parsed.events.append(_event(content, parsed))
        elif concept == "113706":
            parsed.kind = parsed.kind or PROJECTION
            parsed.events.append(_event(content, parsed))
        elif concept in ("113702", "113811"):
            for child in content.children:
                if child.concept in plain:
                    name, quantity = plain[child.concept]
                    _add(parsed, name, measure(child, quantity, parsed))
                elif child.concept == "113812":
                    found = child.measured[0]
                    declared = parsed.declared_events or 0
                    parsed.declared_events = declared + int(found) if found is not None and 0 <= found < 1e6 else None
        elif concept == "113809":
            parsed.started_at = moment(_text(content.item, "DateTime", 32)) or parsed.started_at
        elif concept == "121014":
            parsed.manufacturer = parsed.manufacturer or content.words[:64]
        elif concept == "121015":
            parsed.model_name = parsed.model_name or content.words[:64]
        elif concept == "121013":
            parsed.station_name = parsed.station_name or content.words[:64]


def _add(parsed: ParsedDose, name: str, value: float | None) -> None:
    """Planes, tubes and breasts are summed."""
    if value is not None:
        setattr(parsed, name, (getattr(parsed, name) or 0.0) + value)


def _event(container: Content, parsed: ParsedDose) -> DoseEvent:
    event = DoseEvent(position=len(parsed.events) + 1)
    for content in container.walk():
        concept = content.concept
        if concept == "113769" and not event.uid:
            event.uid = content.words[:64]
        elif concept == "125203":
            event.protocol = event.protocol or content.words
        elif concept in ("123014", "T-D0005", "91723000"):
            event.target_region = event.target_region or content.words[:64]
        elif concept in ("113820", "113721"):
            event.type_code, _scheme, event.event_type = content.code
        elif concept == "111526":
            event.started_at = moment(_text(content.item, "DateTime", 32))
        elif concept == "113835":
            event.ctdi_phantom = content.code[0]
        elif concept == REPEATED:
            event.is_repeated = content.code[0] in ("R-0038D", "373066001")
        elif concept in EVENT_NUMBERS:
            name, quantity = EVENT_NUMBERS[concept]
            value = measure(content, quantity, parsed)
            if value is not None and getattr(event, name) is None:
                setattr(event, name, value)
        elif content.value_type == "NUM" and concept:
            value, unit = content.measured
            if value is not None and len(event.more) < 60:
                event.more.setdefault(concept, [value, unit])
    return event


def _read_administrations(root: Content, parsed: ParsedDose) -> None:
    """TID 10021: one event per administration."""
    for container in (content for content in root.walk() if content.concept == "113502"):
        event = DoseEvent(position=len(parsed.events) + 1, event_type="Administration")
        for content in container.walk():
            if content.concept == "113503" and not event.uid:
                event.uid = content.words[:64]
            elif content.concept == "123003":
                event.started_at = moment(_text(content.item, "DateTime", 32))
            elif content.concept in ("F-61FDB", "349358000", "113500"):
                event.protocol = event.protocol or content.words[:128]
            elif content.concept == "113507":
                event.activity = measure(content, units.ACTIVITY, parsed)
                if event.activity is not None:
                    event.more["113507"] = [event.activity, "Bq"]
            elif content.concept == "113839" and content.measured[0] is not None:
                event.more.setdefault("113839", list(content.measured))
        parsed.events.append(event)
        _add(parsed, "administered_activity", event.activity)
    if not parsed.events:
        parsed.warn("The report holds no administration.")


def _read_image(dataset: Dataset, parsed: ParsedDose) -> None:
    """The dose in a header (PS3.3 C.8.7.2): (0018,115E) in dGy.cm2, (0040,0316) in dGy, (0018,9345) in mGy."""
    event = DoseEvent(position=1, event_type="Image", started_at=parsed.started_at)
    event.uid = _text(dataset, "IrradiationEventUID", 64)
    event.protocol = _text(dataset, "ProtocolName")
    event.target_region = _text(dataset, "BodyPartExamined", 64)
    scaled = (
        ("dap", "ImageAndFluoroscopyAreaDoseProduct", 1e-5, units.DAP),
        ("agd", "OrganDose", 0.1, units.DOSE),
        ("ctdi_vol", "CTDIvol", 1.0, units.CTDI),
        ("kvp", "KVP", 1.0, units.VOLTAGE),
        ("tube_current", "XRayTubeCurrent", 1.0, units.CURRENT),
        ("exposure_time", "ExposureTime", 1.0, units.MILLISECONDS),
        ("exposure", "ExposureInuAs", 1.0, units.EXPOSURE),
        ("exposure_index", "ExposureIndex", 1.0, units.RATIO),
        ("target_exposure_index", "TargetExposureIndex", 1.0, units.RATIO),
        ("deviation_index", "DeviationIndex", 1.0, units.RATIO),
    )
    for name, keyword, scale, quantity in scaled:
        value = number(_get(dataset, keyword))
        if value is None:
            continue
        if abs(value * scale) > quantity.most or (value < 0 and quantity is not units.RATIO):
            parsed.warn(f"{keyword}: {value:g} cannot be; left out.")
            continue
        setattr(event, name, value * scale)
    if event.dap is None and event.agd is None and event.ctdi_vol is None and event.exposure is None:
        parsed.warn("The object holds no dose.")
        return
    parsed.events.append(event)


def _name_events(parsed: ParsedDose) -> None:
    """Every event has a UID: where the device wrote none, or one twice, it follows from the report's."""
    seen: set[str] = set()
    for event in parsed.events:
        if event.uid and is_valid_uid(event.uid) and event.uid not in seen:
            seen.add(event.uid)
            continue
        words = "no Irradiation Event UID" if not event.uid else "an unusable Irradiation Event UID"
        if parsed.kind != IMAGE:
            parsed.warn(f"Event {event.position} has {words}; one was derived.")
        event.uid = derived_uid(parsed.sop_instance_uid, event.position)
        seen.add(event.uid)


def derived_uid(sop_instance_uid: str, position: int) -> str:
    """The same one each time the same report is read."""
    digest = hashlib.sha256(f"{sop_instance_uid}:{position}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def _complete_totals(parsed: ParsedDose) -> None:
    """Totals that are missing are the sums of the events; a total that contradicts them is kept, with a warning."""
    for name, part in (("dlp_total", "dlp"), ("dap_total", "dap"), ("dose_rp_total", "dose_rp"), ("agd_total", "agd")):
        values = [value for event in parsed.events if (value := getattr(event, part)) is not None]
        total, summed = getattr(parsed, name), sum(values)
        if total is None and values:
            setattr(parsed, name, summed)
            if parsed.kind != IMAGE:
                parsed.warn(f"{name}: not in the report; summed from its events.")
        elif total is not None and values and summed > 0 and not 0.9 * summed <= total <= 1.1 * summed:
            parsed.warn(f"{name}: the report says {total:g}, its events sum to {summed:g}.")
    if parsed.declared_events is not None and parsed.declared_events != len(parsed.events):
        parsed.warn(f"The report announces {parsed.declared_events} events and holds {len(parsed.events)}.")
    parsed.ctdi_vol_max = _highest_ctdi(parsed)
    times = [event.started_at for event in parsed.events if event.started_at is not None]
    if times and parsed.kind in (PROJECTION, MAMMOGRAPHY, RADIOPHARMACEUTICAL):
        parsed.started_at = min(times, key=lambda time: time.replace(tzinfo=None))


def _highest_ctdi(parsed: ParsedDose) -> float | None:
    """16 and 32 cm phantoms are never mixed: of the phantom with most of the DLP; localizers do not count."""
    scans = [event for event in parsed.events if event.ctdi_vol is not None and not event.is_localizer]
    if not scans:
        return None
    weight: dict[str, float] = {}
    for event in scans:
        weight[event.ctdi_phantom] = weight.get(event.ctdi_phantom, 0.0) + (event.dlp or 0.0)
    if len({phantom for phantom in weight if phantom}) > 1:
        parsed.warn("CTDIvol of two phantoms: the highest is of the one with most of the DLP.")
    main = max(weight, key=lambda phantom: weight[phantom])
    return max(event.ctdi_vol or 0.0 for event in scans if event.ctdi_phantom == main)


def _modality(dataset: Dataset, parsed: ParsedDose) -> str:
    """DICOM's two letters. A projection report does not say: fluoroscopy means RF, else DX."""
    if parsed.kind == PROJECTION:
        has_fluoroscopy = bool(parsed.fluoro_time) or any(event.is_fluoroscopy for event in parsed.events)
        return "RF" if has_fluoroscopy else "DX"
    if parsed.kind == IMAGE:
        found = _text(dataset, "Modality", 4)
        return "" if found == "SR" else found
    return parsed.kind if parsed.kind in (CT, MAMMOGRAPHY, RADIOPHARMACEUTICAL) else ""
