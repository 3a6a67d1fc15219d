"""The DICOM JSON Model (PS3.18 Annex F) of an encoded data set, made from its bytes without building objects. Pure.

Values longer than a few hundred bytes are not read: the model holds the address where they can be had.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR

from interop.dicom.charsets import decode, terms_of
from interop.dicom.elements import IMPLICIT, Element, Encoding, encode, vr_of, walk_until

Model = dict[str, Any]
#: tag path ("7FE00010", "54000100/1/54001010") -> address
Address = Callable[[str], str]

MAX_INLINE = 512
MAX_ELEMENTS = 4_000_000
PIXELS = 0x7FE00001
CHARACTER_SET, SIGNEDNESS = 0x00080005, 0x00280103
ONE_TEXT = frozenset({b"ST", b"LT", b"UT"})
MANY_TEXTS = frozenset({b"LO", b"SH", b"UC"})
PLAIN = frozenset({b"AE", b"AS", b"CS", b"DA", b"DT", b"TM", b"UI"})
NUMBERS = {
    b"US": "H", b"SS": "h", b"UL": "L", b"SL": "l", b"UV": "Q", b"SV": "q", b"FL": "f", b"FD": "d",
}  # fmt: skip
BINARY = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})
WIDTHS = {b"OW": 2, b"OL": 4, b"OF": 4, b"OD": 8, b"OV": 8}
NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@lru_cache(4096)
def _ambiguous(tag: int) -> str:
    """``US or SS``, ``OB or OW`` and the like, of tags whose VR an implicit VR data set leaves open."""
    try:
        name = dictionary_VR(tag)
    except KeyError:
        return ""
    return name if " or " in name else ""


class Reader:
    """Elements of one data set as their model."""

    def __init__(self, data: bytes | memoryview, encoding: Encoding, address: Address) -> None:
        self.data, self.encoding, self.address = data, encoding, address
        self.order = "<" if encoding.little else ">"

    def items(self, elements: Sequence[Element], terms: tuple[str, ...], path: str, is_signed: bool) -> Model:
        found: Model = {}
        for element in elements:
            if element.tag == CHARACTER_SET:
                terms = terms_of(bytes(self.data[element.start : element.end]).decode("ascii", "replace").strip("\0 "))
            elif element.tag == SIGNEDNESS:
                is_signed = bytes(self.data[element.start : element.end]) == struct.pack(self.order + "H", 1)
        for element in elements:
            if element.tag & 0xFFFF and element.tag >> 16 != 0xFFFE:
                name = f"{element.tag:08X}"
                found[name] = self.element(element, terms, f"{path}{name}", is_signed)
        return found

    def vr(self, element: Element, is_signed: bool) -> bytes:
        if element.vr == b"UN":  # written by somebody who did not know the tag (PS3.5 6.2.2); we may
            return vr_of(element.tag)
        if self.encoding.explicit or not (choice := _ambiguous(element.tag)):
            return element.vr
        if choice == "US or SS":
            return b"SS" if is_signed else b"US"
        return b"OW" if "OW" in choice else choice[:2].encode()

    def element(self, element: Element, terms: tuple[str, ...], path: str, is_signed: bool) -> Model:
        if element.items is not None:
            items = [self.items(item, terms, f"{path}/{n}/", is_signed) for n, item in enumerate(element.items, 1)]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        vr = self.vr(element, is_signed)
        length = element.end - element.start
        if vr == b"SQ":
            return self.unknown_sequence(element, terms, path, is_signed)
        made: Model = {"vr": vr.decode("ascii")}
        if not length:
            return made
        if vr in BINARY:
            if length > MAX_INLINE:
                made["BulkDataURI"] = self.address(path)
            else:
                raw = little_endian(bytes(self.data[element.start : element.end]), vr, self.encoding)
                made["InlineBinary"] = base64.b64encode(raw).decode("ascii")
            return made
        values = self.values(bytes(self.data[element.start : element.end]), vr, terms)
        if any(value is not None for value in values):
            made["Value"] = values
        return made

    def unknown_sequence(self, element: Element, terms: tuple[str, ...], path: str, is_signed: bool) -> Model:
        """A sequence under the VR UN, of defined length: implicit VR little endian within."""
        raw = encode(element.tag, bytes(self.data[element.start : element.end]), IMPLICIT, b"SQ")
        found, _end = walk_until(raw, IMPLICIT, stop=1 << 32)
        return Reader(raw, IMPLICIT, self.address).element(found[0], terms, path, is_signed)

    def values(self, raw: bytes, vr: bytes, terms: tuple[str, ...]) -> list[Any]:
        if vr in NUMBERS:
            return self.numbers(raw, vr)
        if vr == b"AT":
            shorts = struct.unpack_from(f"{self.order}{len(raw) // 4 * 2}H", raw)
            return [f"{shorts[n]:04X}{shorts[n + 1]:04X}" for n in range(0, len(shorts), 2)]
        if vr in PLAIN:
            return [part.strip(" \0") or None for part in raw.decode("latin-1").split("\\")]
        if vr in (b"DS", b"IS"):
            return [number_of(part, vr) for part in raw.decode("latin-1").strip(" \0").split("\\")]
        if vr == b"UR":
            return [raw.decode("latin-1").rstrip(" \0") or None]
        text = decode(raw, terms)
        if vr in ONE_TEXT:
            return [text or None]
        parts = [part.strip(" \0") for part in text.split("\\")]
        return [name_of(part) if vr == b"PN" else part or None for part in parts]

    def numbers(self, raw: bytes, vr: bytes) -> list[Any]:
        letter = NUMBERS[vr]
        size = struct.calcsize("=" + letter)
        found = struct.unpack_from(f"{self.order}{len(raw) // size}{letter}", raw)
        if letter in "fd":
            return [value if math.isfinite(value) else str(value).replace("nan", "NaN") for value in found]
        return list(found)


def number_of(text: str, vr: bytes) -> Any:
    """DS or IS as a number; as it is written where it is none."""
    text = text.strip(" \0")
    if not text:
        return None
    try:
        value: float | int = int(text) if vr == b"IS" else float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def name_of(text: str) -> Model | None:
    groups = {name: group for name, group in zip(NAME_GROUPS, text.split("="), strict=False) if group.strip("^ ")}
    return groups or None


def little_endian(raw: bytes, vr: bytes, encoding: Encoding) -> bytes:
    """The bytes of a binary value in little endian order, as every answer has them."""
    width = WIDTHS.get(vr, 1)
    if encoding.little or width == 1:
        return raw
    whole = len(raw) // width * width
    swapped = bytearray(whole)
    for at in range(width):
        swapped[at::width] = raw[width - 1 - at : whole : width]
    return bytes(swapped)


def model_of(data: bytes | memoryview, encoding: Encoding, address: Address) -> tuple[Model, int]:
    """The model of a data set up to its pixel data, and where these begin. Raises Malformed."""
    elements, end = walk_until(data, encoding, stop=PIXELS, most=MAX_ELEMENTS)
    return Reader(data, encoding, address).items(elements, ("",), "", False), end
