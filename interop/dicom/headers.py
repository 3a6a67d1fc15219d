"""What the index needs to know of an object, read from the first part of its bytes. Pure.

Only the elements below the image matrix are walked, with the bounds of ``elements``; pixel data are never touched.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from interop.dicom.charsets import TEXT_VRS, decode, terms_of
from interop.dicom.elements import (
    EXPLICIT,
    KNOWN_VRS,
    LONG_VRS,
    UNDEFINED,
    Encoding,
    Malformed,
    encode,
    end_of_sequence,
    vr_of,
    walk,
)
from interop.dicom.pdu import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from interop.dicom.shapes import Shapes
from interop.dicom.sop_classes import encoding_of, is_deflated
from interop.dicom.values import integer_of
from ris.core.ids import is_valid_uid

PREAMBLE = 128
#: Of a deflated data set no more than this is inflated, however little it came from.
MAX_INFLATED = 8 * 1024 * 1024
AFTER_HEADER = 0x00280012
MAX_META = 64 * 1024

TEXTS = {
    "sop_class_uid": (0x00080016, 64),
    "sop_instance_uid": (0x00080018, 64),
    "study_date": (0x00080020, 10),
    "study_time": (0x00080030, 16),
    "accession_number": (0x00080050, 16),
    "modality": (0x00080060, 16),
    "manufacturer": (0x00080070, 64),
    "referring_physician": (0x00080090, 200),
    "station_name": (0x00081010, 16),
    "study_description": (0x00081030, 64),
    "series_description": (0x0008103E, 64),
    "patient_name": (0x00100010, 200),
    "patient_id": (0x00100020, 64),
    "issuer_of_patient_id": (0x00100021, 64),
    "patient_birth_date": (0x00100030, 8),
    "patient_sex": (0x00100040, 1),
    "body_part": (0x00180015, 16),
    "study_instance_uid": (0x0020000D, 64),
    "series_instance_uid": (0x0020000E, 64),
    "study_id": (0x00200010, 16),
    "laterality": (0x00200060, 1),
}
NUMBERS = {"series_number": 0x00200011, "instance_number": 0x00200013, "frames": 0x00280008}
SHORTS = {"rows": 0x00280010, "columns": 0x00280011}
UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid")


@dataclass(frozen=True)
class Header:
    """The fields of worklist.data.StoredInstance that the object itself tells."""

    fields: dict[str, object]

    def __getattr__(self, name: str) -> object:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


def read_header(data: bytes | memoryview, transfer_syntax_uid: str) -> Header:
    """The header of a data set (no preamble, no group 2). Raises Malformed, also when a UID is missing or none."""
    if is_deflated(transfer_syntax_uid):
        data = inflated(data)
    encoding = encoding_of(transfer_syntax_uid)
    elements = {element.tag: element for element in walk(data, encoding, stop=AFTER_HEADER)}

    def raw(tag: int) -> bytes:
        element = elements.get(tag)
        return bytes(data[element.start : element.end]) if element is not None and element.items is None else b""

    terms = terms_of(raw(0x00080005).decode("ascii", "replace").strip("\0 "))
    fields: dict[str, object] = {}
    for name, (tag, length) in TEXTS.items():
        value = raw(tag)
        is_text = tag in elements and (elements[tag].vr in TEXT_VRS)
        text = decode(value, terms) if is_text else value.decode("latin-1").strip("\0 ")
        fields[name] = " ".join(text.replace("\0", "").split())[:length]
    for name, tag in NUMBERS.items():
        fields[name] = integer_of(raw(tag).decode("latin-1").strip("\0 "))
    order = "<H" if encoding.little else ">H"
    for name, tag in SHORTS.items():
        fields[name] = struct.unpack(order, raw(tag))[0] if len(raw(tag)) == 2 else None
    fields["frames"] = max(1, fields["frames"] or 1)  # type: ignore[call-overload]
    _require_uids(fields)
    return Header(fields)


def _require_uids(fields: dict[str, object]) -> None:
    for name in UIDS:
        if not is_valid_uid(str(fields[name])):
            raise Malformed(f"{name} is {'missing' if not fields[name] else 'not a UID'}.")


# --- the little that a further image of a known series needs


class Core(NamedTuple):
    """Identity and size of an image, where all of its header is in order."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    instance_number: int | None
    rows: int
    columns: int
    frames: int


SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
CORE = frozenset(
    {SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, *(NUMBERS[name] for name in ("instance_number", "frames"))}
    | set(SHORTS.values())
)
_explicit, _implicit, _long = struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L")
#: Sequences that were found to be well formed: images of a series carry the same ones.
_sequences: dict[bytes, bytes] = {}
#: By whether the VR is explicit.
_shapes = {True: Shapes(), False: Shapes()}
SEQUENCES_KEPT, KEY_BYTES = 512, 48


def read_core(data: bytes, transfer_syntax_uid: str) -> Core | None:
    """A tenth of what ``read_header`` costs, with the same bounds; None where that one must look closer."""
    encoding = encoding_of(transfer_syntax_uid)
    if not encoding.little or is_deflated(transfer_syntax_uid):
        return None
    try:
        values = _core_values(data, encoding)
        rows, columns = values[SHORTS["rows"]], values[SHORTS["columns"]]
        study, series, instance, sop_class = (
            values[tag].decode("ascii").rstrip("\0 ") for tag in (STUDY, SERIES, SOP_INSTANCE, SOP_CLASS)
        )
    except (KeyError, struct.error, UnicodeDecodeError, Malformed):
        return None
    if len(rows) != 2 or len(columns) != 2 or not all(map(is_valid_uid, (study, series, instance, sop_class))):
        return None
    number = values.get(NUMBERS["instance_number"], b"").decode("latin-1").strip("\0 ")
    frames = values.get(NUMBERS["frames"], b"").decode("latin-1").strip("\0 ")
    return Core(
        study,
        series,
        instance,
        sop_class,
        integer_of(number) if number else None,
        int.from_bytes(rows, "little"),
        int.from_bytes(columns, "little"),
        max(1, integer_of(frames) or 1) if frames else 1,
    )


def _core_values(data: bytes, encoding: Encoding) -> dict[int, bytes]:
    """The values of CORE. Raises Malformed, struct.error."""
    shapes = _shapes[encoding.explicit]
    values = shapes.values(data)
    if values is None:
        marks, places = _walk_core(data, encoding)
        shapes.seen(data, marks, places)
        values = {tag: data[start:end] for tag, (start, end) in places.items()}
    return values


def _walk_core(data: bytes, encoding: Encoding) -> tuple[list[tuple[int, int]], dict[int, tuple[int, int]]]:
    """(where all stands that is no value, where the values of CORE stand)"""
    marks, places = [], {}
    at, end, explicit = 0, len(data), encoding.explicit
    while True:
        first = at
        if explicit:
            group, element, vr, length = _explicit.unpack_from(data, at)
            at += 8
            if vr in LONG_VRS:
                (length,) = _long.unpack_from(data, at)
                at += 4
        else:
            group, element, length = _implicit.unpack_from(data, at)
            at += 8
            vr = b""
        tag = group << 16 | element
        if tag >= AFTER_HEADER:
            marks.append((first, at))
            return marks, places
        if explicit and vr not in KNOWN_VRS:
            raise Malformed("There is no value representation.")
        if length == UNDEFINED or (vr or vr_of(tag)) == b"SQ":
            at = _behind(data, at, tag, vr or vr_of(tag), length, encoding)
            marks.append((first, at))
            continue
        marks.append((first, at))
        if tag in CORE:
            places[tag] = at, at + length
        at += length
        if at > end:
            raise Malformed("The header is longer.")


def _behind(data: bytes, at: int, tag: int, vr: bytes, length: int, encoding: Encoding) -> int:
    """The offset after a sequence, which was walked now or has been before, byte by byte the same."""
    key = b"%d%d%d" % (tag, length, encoding.explicit) + data[at : at + KEY_BYTES]
    known = _sequences.get(key)
    if known is not None and data.startswith(known, at):
        return at + len(known)
    end = end_of_sequence(data, at, tag, vr, length, encoding)
    if len(_sequences) >= SEQUENCES_KEPT:
        _sequences.clear()
    _sequences[key] = data[at:end]
    return end


def inflated(data: bytes | memoryview) -> bytes:
    """The first part of a deflated data set; raises Malformed for what is none."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, MAX_INFLATED)
    except zlib.error:
        raise Malformed("The data set is not deflated as PS3.5 A.5 has it.") from None


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = "") -> bytes:
    """A clean preamble and the file meta information (PS3.10 7.1)."""
    before, behind = _around(sop_class_uid, transfer_syntax_uid, source_ae_title)
    body = before + encode(0x00020003, sop_instance_uid.encode(), EXPLICIT, b"UI") + behind
    return bytes(PREAMBLE) + b"DICM" + encode(0x00020000, struct.pack("<L", len(body)), EXPLICIT, b"UL") + body


@lru_cache(256)
def _around(sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> tuple[bytes, bytes]:
    """What stands before the SOP Instance UID in the file meta information, and what behind it."""
    before = encode(0x00020001, b"\0\1", EXPLICIT, b"OB")
    before += encode(0x00020002, sop_class_uid.encode(), EXPLICIT, b"UI")
    parts = [
        encode(0x00020010, transfer_syntax_uid.encode(), EXPLICIT, b"UI"),
        encode(0x00020012, IMPLEMENTATION_CLASS_UID.encode(), EXPLICIT, b"UI"),
        encode(0x00020013, IMPLEMENTATION_VERSION.encode(), EXPLICIT, b"SH"),
    ]
    if source_ae_title:
        parts.append(encode(0x00020016, source_ae_title.encode("ascii", "replace"), EXPLICIT, b"AE"))
    return before, b"".join(parts)


@dataclass(frozen=True)
class FileStart:
    """Where the data set of a file begins, and in which transfer syntax it is written."""

    offset: int
    transfer_syntax_uid: str


def read_file_start(data: bytes | memoryview) -> FileStart:
    """Of a DICOM file, also one without preamble or without file meta information. Raises Malformed."""
    at = PREAMBLE + 4 if bytes(data[PREAMBLE : PREAMBLE + 4]) == b"DICM" else 0
    if bytes(data[at : at + 2]) != b"\2\0":
        return FileStart(at, _guess(data[at:]))
    meta = walk(data[at : at + MAX_META], EXPLICIT, stop=0x00030000)
    values = {element.tag: element for element in meta}
    syntax = values.get(0x00020010)
    if syntax is None:
        raise Malformed("The file does not say its transfer syntax.")
    uid = bytes(data[at + syntax.start : at + syntax.end]).decode("ascii", "replace").strip("\0 ")
    return FileStart(at + meta[-1].end, uid)


def _guess(data: bytes | memoryview) -> str:
    """A bare data set: explicit VR when the first element has one. It must begin in group 8, as all objects do."""
    if bytes(data[:2]) != b"\x08\0":
        raise Malformed("This is no DICOM file.")
    explicit = bytes(data[4:6]).isalpha() and bytes(data[4:6]).isupper()
    return "1.2.840.10008.1.2.1" if explicit else "1.2.840.10008.1.2"
