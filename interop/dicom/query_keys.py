"""The keys of a Query/Retrieve identifier (PS3.4 C.6.1.1, C.6.2.1): levels, what may be asked, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from pydicom.datadict import tag_for_keyword

from interop.dicom.charsets import TEXT_VRS, decode, terms_of
from interop.dicom.dimse import DimseError, Status
from interop.dicom.elements import Element, Encoding, Malformed, vr_of, walk
from interop.dicom.matching import has_wildcard, uids_of

MAX_IDENTIFIER = 256 * 1024
CHARACTER_SET, LEVEL = 0x00080005, 0x00080052
RETRIEVE_AE_TITLE, INSTANCE_AVAILABILITY = 0x00080054, 0x00080056


class Level(IntEnum):
    PATIENT, STUDY, SERIES, IMAGE = range(4)


PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET = (f"1.2.840.10008.5.1.4.1.2.1.{n}" for n in (1, 2, 3))
STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
OF_PATIENTS = (PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET)


def levels_of(sop_class_uid: str) -> tuple[Level, ...]:
    return tuple(Level) if sop_class_uid in OF_PATIENTS else (Level.STUDY, Level.SERIES, Level.IMAGE)


def _tag(keyword: str) -> int:
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return found


#: tag -> (level, name in a row). What is not here is answered with 0xFF01.
KEYS: dict[int, tuple[Level, str]] = {
    _tag(keyword): (level, name)
    for level, names in {
        Level.PATIENT: {
            "PatientName": "patient_name",
            "PatientID": "patient_id",
            "IssuerOfPatientID": "issuer_of_patient_id",
            "PatientBirthDate": "patient_birth_date",
            "PatientSex": "patient_sex",
            "NumberOfPatientRelatedStudies": "patient_studies",
            "NumberOfPatientRelatedSeries": "patient_series",
            "NumberOfPatientRelatedInstances": "patient_instances",
        },
        Level.STUDY: {
            "StudyDate": "study_date",
            "StudyTime": "study_time",
            "AccessionNumber": "accession_number",
            "StudyID": "study_id",
            "StudyInstanceUID": "study_instance_uid",
            "ReferringPhysicianName": "referring_physician",
            "StudyDescription": "study_description",
            "ModalitiesInStudy": "modalities",
            "SOPClassesInStudy": "sop_classes",
            "NumberOfStudyRelatedSeries": "study_series",
            "NumberOfStudyRelatedInstances": "study_instances",
        },
        Level.SERIES: {
            "Modality": "modality",
            "SeriesNumber": "series_number",
            "SeriesInstanceUID": "series_instance_uid",
            "SeriesDescription": "series_description",
            "BodyPartExamined": "body_part",
            "Laterality": "laterality",
            "StationName": "station_name",
            "Manufacturer": "manufacturer",
            "NumberOfSeriesRelatedInstances": "series_instances",
        },
        Level.IMAGE: {
            "InstanceNumber": "instance_number",
            "SOPInstanceUID": "sop_instance_uid",
            "SOPClassUID": "sop_class_uid",
            "Rows": "rows",
            "Columns": "columns",
            "NumberOfFrames": "frames",
            "AvailableTransferSyntaxUID": "transfer_syntax_uid",
        },
    }.items()
    for keyword, name in names.items()
}
#: Unique keys, the only ones that identify what lies above the level of a query.
UNIQUE = {
    Level.PATIENT: _tag("PatientID"),
    Level.STUDY: _tag("StudyInstanceUID"),
    Level.SERIES: _tag("SeriesInstanceUID"),
    Level.IMAGE: _tag("SOPInstanceUID"),
}
#: Told, never matched: counts, and what PS3.4 gives no matching for.
ONLY_TOLD = frozenset(
    {
        "patient_studies", "patient_series", "patient_instances", "study_series", "study_instances",
        "series_instances", "rows", "columns", "frames", "transfer_syntax_uid",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Identifier:
    """What was asked. ``values``: name of a key -> its text, not empty. ``requested``: tags in order."""

    level: Level
    values: Mapping[str, str] = field(default_factory=dict)
    requested: tuple[int, ...] = ()
    #: a requested key is not supported, or not at this level
    is_partial: bool = False

    def wants(self, *names: str) -> bool:
        return any(KEYS[tag][1] in names for tag in self.requested)


def read_identifier(
    data: bytes, encoding: Encoding, levels: tuple[Level, ...], *, retrieve: bool, relational: bool = False
) -> Identifier:
    """Raises Malformed, and DimseError 0xA900 for what breaks the hierarchy (C.4.1.1.3, C.4.2.1.4, baseline).

    ``relational``: unique keys of the levels above may be missing, and keys of the levels below a study or series
    match, though they are not told (C.4.1.2.2.2).
    """
    if len(data) > MAX_IDENTIFIER:
        raise Malformed("The identifier is too long.")
    elements = walk(data, encoding)
    terms = next((terms_of(_raw(data, row)) for row in elements if row.tag == CHARACTER_SET), ("",))
    level = _level(data, elements, levels)
    values: dict[str, str] = {}
    requested: list[int] = []
    is_partial = False
    always = (CHARACTER_SET, LEVEL, RETRIEVE_AE_TITLE, INSTANCE_AVAILABILITY)
    for element in elements:
        tag = element.tag
        if tag in always or tag & 0xFFFF == 0:
            continue
        known = KEYS.get(tag)
        is_below = relational and known is not None and Level.PATIENT < level < known[0]
        if known is None or element.items is not None or not (is_below or _is_told(known, level, levels)):
            is_partial = True
            continue
        text = _text(data, element, terms) if known[1] not in ONLY_TOLD else ""
        if text:
            values[known[1]] = text
        if is_below:
            is_partial = is_partial or not text
        else:
            requested.append(tag)
    _check_hierarchy(values, level, levels, retrieve=retrieve, relational=relational)
    return Identifier(level, values, tuple(requested), is_partial)


def _is_told(known: tuple[Level, str], level: Level, levels: tuple[Level, ...]) -> bool:
    """Keys of the level and of those above it. What counts over a patient is told of patients only."""
    return known[0] <= level and (not known[1].startswith("patient_") or known[1] not in ONLY_TOLD or not level)


def _level(data: bytes, elements: list[Element], levels: tuple[Level, ...]) -> Level:
    words = next((_raw(data, row).strip(" \0").upper() for row in elements if row.tag == LEVEL), "")
    names = [level.name for level in levels]
    if not words:
        raise DimseError(Status.DOES_NOT_MATCH, "(0008,0052) Query/Retrieve Level is missing.")
    if words not in names:
        raise DimseError(Status.DOES_NOT_MATCH, f"(0008,0052) must be one of {', '.join(names)}.")
    return Level[words]


def _check_hierarchy(
    values: Mapping[str, str], level: Level, levels: tuple[Level, ...], *, retrieve: bool, relational: bool
) -> None:
    for above in levels:
        if above < level and not relational:
            _check_unique(values.get(KEYS[UNIQUE[above]][1], ""), above, level)
    if retrieve:
        tag = UNIQUE[level]
        wanted = values.get(KEYS[tag][1], "")
        is_named = bool(uids_of(wanted)) and not has_wildcard(wanted)
        if not is_named or (level is Level.PATIENT and "\\" in wanted):
            raise DimseError(Status.DOES_NOT_MATCH, f"{_name(tag)} must name what is to be retrieved.")


def _check_unique(wanted: str, above: Level, level: Level) -> None:
    tag = UNIQUE[above]
    if not wanted:
        raise DimseError(Status.DOES_NOT_MATCH, f"{_name(tag)} is needed at the {level.name} level.")
    if has_wildcard(wanted) or "\\" in wanted:
        raise DimseError(Status.DOES_NOT_MATCH, f"{_name(tag)} must be a single value at {level.name} level.")


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _raw(data: bytes, element: Element) -> str:
    return data[element.start : element.end].decode("latin-1")


def _text(data: bytes, element: Element, terms: tuple[str, ...]) -> str:
    raw = data[element.start : element.end]
    if vr_of(element.tag) in TEXT_VRS:
        return decode(raw, terms)
    return raw.decode("latin-1").strip("\0 ")
