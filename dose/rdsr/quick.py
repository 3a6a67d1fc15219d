"""A reader of dose reports alone, little endian, for speed: their content trees hold thousands of short elements, and
of each pydicom makes several objects. Here a report is one walk over its bytes; values are decoded when asked for.

What is in any way unusual (big endian, deflated, a length that does not fit, UN with items, no preamble, another kind
of object) is refused with None, and pydicom reads it.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from pydicom import charset
from pydicom.datadict import dictionary_VR, keyword_dict

from dose.rdsr.parsed import DOSE_SOP_CLASSES

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
WHOLE_TEXT = frozenset({b"LT", b"ST", b"UT", b"UR"})
TEXT = frozenset(
    {b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"PN", b"SH", b"TM", b"UC", b"UI"} | WHOLE_TEXT
)
NUMBERS = {
    b"FD": ("d", 8), b"FL": ("f", 4), b"US": ("H", 2), b"SS": ("h", 2), b"UL": ("I", 4), b"SL": ("i", 4),
    b"UV": ("Q", 8), b"SV": ("q", 8),
}  # fmt: skip
ITEM, ITEM_END, SEQUENCE_END, UNDEFINED = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0xFFFFFFFF
CHARACTER_SET, PIXELS = 0x00080005, 0x7FE00000
DEEPEST = 40
_SHORT_HEAD = struct.Struct("<HH2sH")
_IMPLICIT_HEAD = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")


class Unusual(Exception):
    """Left to pydicom."""


class Item:
    """A data set: what ``get`` of a pydicom Dataset answers, for the keywords that dose is read by."""

    __slots__ = ("elements", "encodings")

    def __init__(self, encodings: list[str]) -> None:
        self.elements: dict[int, tuple[bytes, Any]] = {}
        self.encodings = encodings

    def get(self, keyword: str) -> Any:
        """Text, a number, a list of several, a list of items; None where nothing stands."""
        found = self.elements.get(keyword_dict.get(keyword, 0))
        if found is None:
            return None
        vr, value = found
        if type(value) is list or not value:
            return value or None
        if vr == b"UN":
            vr = _vr_of(keyword_dict[keyword])
        if vr in TEXT:
            return self._text(vr, value)
        if vr in NUMBERS:
            letter, size = NUMBERS[vr]
            numbers = struct.unpack(f"<{len(value) // size}{letter}", value[: len(value) // size * size])
            return numbers[0] if len(numbers) == 1 else list(numbers) or None
        return value

    def _text(self, vr: bytes, value: bytes) -> Any:
        if value.isascii() and b"\x1b" not in value:
            words = value.decode("ascii")
        else:
            words = charset.decode_bytes(value, self.encodings, {"\\"} if vr not in WHOLE_TEXT else set())
        words = words.rstrip(" \x00")
        if "\\" in words and vr not in WHOLE_TEXT:
            return [part.strip(" \x00") for part in words.split("\\")]
        return words or None


@lru_cache(maxsize=4096)
def _vr_of(tag: int) -> bytes:
    try:
        return dictionary_VR(tag).split(" ")[0].encode()
    except KeyError:
        return b"UN"


class _Walk:
    def __init__(self, content: bytes, is_implicit: bool) -> None:
        self.content, self.is_implicit = content, is_implicit

    def head(self, at: int) -> tuple[int, bytes, int, int]:
        """(tag, VR, length, where the value begins); items and delimiters have no VR."""
        if self.is_implicit:
            group, element, length = _IMPLICIT_HEAD.unpack_from(self.content, at)
            tag = group << 16 | element
            return tag, b"" if group == 0xFFFE else _vr_of(tag), length, at + 8
        group, element, vr, length = _SHORT_HEAD.unpack_from(self.content, at)
        tag = group << 16 | element
        if group == 0xFFFE:
            return tag, b"", _LENGTH.unpack_from(self.content, at + 4)[0], at + 8
        if vr in LONG:
            return tag, vr, _LENGTH.unpack_from(self.content, at + 8)[0], at + 12
        if vr not in TEXT and vr not in NUMBERS and vr != b"AT":
            raise Unusual
        return tag, vr, length, at + 8

    def item(self, at: int, end: int, is_open: bool, encodings: list[str], depth: int) -> tuple[Item, int]:
        """The elements from ``at`` to ``end``, or to the delimiter of an item of undefined length."""
        found = Item(encodings)
        elements = found.elements
        while at < end:
            tag, vr, length, at = self.head(at)
            if tag == ITEM_END and is_open:
                return found, at
            if tag >= PIXELS and depth == 0:
                return found, end
            if vr == b"SQ" or (length == UNDEFINED and self.is_implicit and vr == b"UN"):
                value, at = self.sequence(at, length, end, found.encodings, depth + 1)
                elements[tag] = (b"SQ", value)
                continue
            if not vr or length > end - at:
                raise Unusual
            elements[tag] = (vr, self.content[at : at + length])
            if tag == CHARACTER_SET:
                found.encodings = charset.convert_encodings(found.get("SpecificCharacterSet") or "ISO_IR 6")
            at += length
        if is_open:
            raise Unusual
        return found, at

    def sequence(self, at: int, length: int, end: int, encodings: list[str], depth: int) -> tuple[list[Item], int]:
        if depth > DEEPEST or (length != UNDEFINED and length > end - at):
            raise Unusual
        is_open = length == UNDEFINED
        stop = end if is_open else at + length
        items: list[Item] = []
        while at < stop:
            tag, _vr, size, at = self.head(at)
            if tag == SEQUENCE_END and is_open:
                return items, at
            if tag != ITEM or (size != UNDEFINED and size > stop - at):
                raise Unusual
            item, at = self.item(at, stop if size == UNDEFINED else at + size, size == UNDEFINED, encodings, depth)
            items.append(item)
        if is_open:
            raise Unusual
        return items, at


def read(content: bytes) -> Item | None:
    """A dose report's data set; None for what pydicom has to read."""
    if content[128:132] != b"DICM":
        return None
    try:
        meta, start = _meta(content)
        if meta.get("MediaStorageSOPClassUID") not in DOSE_SOP_CLASSES:
            return None
        syntax = meta.get("TransferSyntaxUID")
        if syntax not in (IMPLICIT, EXPLICIT):
            return None
        latin = charset.convert_encodings("ISO_IR 6")
        return _Walk(content, syntax == IMPLICIT).item(start, len(content), False, latin, 0)[0]
    except (Unusual, struct.error, LookupError, ValueError):
        return None


def _meta(content: bytes) -> tuple[Item, int]:
    """Group 2, explicit little endian, as long as its first element says."""
    walk = _Walk(content, False)
    tag, vr, length, at = walk.head(132)
    if tag != 0x00020000 or vr != b"UL" or length != 4:
        raise Unusual
    end = at + 4 + _LENGTH.unpack_from(content, at)[0]
    if end > len(content):
        raise Unusual
    return walk.item(at + 4, end, False, [], 1)[0], end
