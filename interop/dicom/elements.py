"""Data elements as bytes (PS3.5 chapter 7): a bounded walk over an encoded data set that builds no objects. Pure.

What comes from outside is walked here first: depth, count and lengths are checked before any library parses it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_VR

MAX_DEPTH = 24
MAX_ELEMENTS = 50_000
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
KNOWN_VRS = LONG_VRS | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)


class Malformed(ValueError):
    """The bytes are no data set, or one that nobody means well with."""


class Encoding(NamedTuple):
    """How a transfer syntax writes elements."""

    explicit: bool
    little: bool = True


IMPLICIT, EXPLICIT, BIG_ENDIAN = Encoding(False), Encoding(True), Encoding(True, False)


class Element(NamedTuple):
    """One element: where its value lies in the walked bytes, or its items when it is a sequence."""

    tag: int
    vr: bytes
    start: int
    end: int
    items: tuple[tuple[Element, ...], ...] | None = None


@lru_cache(8192)
def vr_of(tag: int) -> bytes:
    """The VR of a standard tag as the data dictionary has it; UN for others."""
    if tag & 0xFFFF == 0:
        return b"UL"
    try:
        return dictionary_VR(tag)[:2].encode()
    except KeyError:
        return b"LO" if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"


class _Walk:
    def __init__(self, data: bytes | memoryview, stop: int, most: int = MAX_ELEMENTS) -> None:
        self.data, self.stop, self.most, self.count = data, stop, most, 0

    def tag(self, at: int, end: int, encoding: Encoding) -> int:
        if at + 8 > end:
            raise Malformed("The data end inside of an element.")
        group, element = struct.unpack_from("<HH" if encoding.little else ">HH", self.data, at)
        return group << 16 | element

    def header(self, at: int, end: int, encoding: Encoding) -> tuple[int, bytes, int, int]:
        """(tag, vr, length, offset of the value) of the element at ``at``."""
        order = "<" if encoding.little else ">"
        tag = self.tag(at, end, encoding)
        group, element = tag >> 16, tag & 0xFFFF
        if group == 0xFFFE or not encoding.explicit:
            return tag, vr_of(tag), struct.unpack_from(order + "L", self.data, at + 4)[0], at + 8
        vr = bytes(self.data[at + 4 : at + 6])
        if vr not in KNOWN_VRS:
            raise Malformed(f"({group:04x},{element:04x}) has no value representation.")
        if vr not in LONG_VRS:
            return tag, vr, struct.unpack_from(order + "H", self.data, at + 6)[0], at + 8
        if at + 12 > end:
            raise Malformed("The data end inside of an element.")
        return tag, vr, struct.unpack_from(order + "L", self.data, at + 8)[0], at + 12

    def elements(self, at: int, end: int, encoding: Encoding, depth: int, delimited: bool) -> tuple[list[Element], int]:
        """Elements up to ``end`` (or the item's delimiter), and the offset after them."""
        if depth > MAX_DEPTH:
            raise Malformed(f"Sequences are nested deeper than {MAX_DEPTH}.")
        found: list[Element] = []
        while at < end:
            if depth == 0 and self.tag(at, end, encoding) >= self.stop:
                break
            tag, vr, length, start = self.header(at, end, encoding)
            if delimited and tag == ITEM_END:
                return found, start
            self.count += 1
            if self.count > self.most:
                raise Malformed(f"There are more than {self.most} elements.")
            if length == UNDEFINED or vr == b"SQ":
                element, at = self.sequence(tag, vr, length, start, end, encoding, depth)
            else:
                if start + length > end:
                    raise Malformed(f"({tag >> 16:04x},{tag & 0xFFFF:04x}) is longer than what holds it.")
                element, at = Element(tag, vr, start, start + length), start + length
            found.append(element)
        if delimited:
            raise Malformed("An item has no end.")
        return found, at

    def sequence(
        self, tag: int, vr: bytes, length: int, start: int, end: int, encoding: Encoding, depth: int
    ) -> tuple[Element, int]:
        if vr in (b"OB", b"OW"):
            return self.fragments(tag, vr, start, end, encoding)
        if vr == b"UN":
            encoding = IMPLICIT  # PS3.5 6.2.2: a sequence of unknown VR is implicit VR little endian
        delimited = length == UNDEFINED
        limit = end if delimited else start + length
        if limit > end:
            raise Malformed(f"({tag >> 16:04x},{tag & 0xFFFF:04x}) is longer than what holds it.")
        items: list[tuple[Element, ...]] = []
        at = start
        while at < limit:
            inner, _vr, size, value = self.header(at, limit, encoding)
            if inner == SEQUENCE_END:
                return Element(tag, b"SQ", start, at, tuple(items)), value
            if inner != ITEM:
                raise Malformed(f"({tag >> 16:04x},{tag & 0xFFFF:04x}) holds something else than items.")
            until = limit if size == UNDEFINED else value + size
            if until > limit:
                raise Malformed("An item is longer than its sequence.")
            self.count += 1
            found, at = self.elements(value, until, encoding, depth + 1, size == UNDEFINED)
            items.append(tuple(found))
        if delimited:
            raise Malformed("A sequence has no end.")
        return Element(tag, b"SQ", start, limit, tuple(items)), limit

    def fragments(self, tag: int, vr: bytes, start: int, end: int, encoding: Encoding) -> tuple[Element, int]:
        """Encapsulated pixel data (PS3.5 A.4): items without elements."""
        at = start
        while at < end:
            inner, _vr, size, value = self.header(at, end, encoding)
            if inner == SEQUENCE_END:
                return Element(tag, vr, start, at), value
            if inner != ITEM or value + size > end:
                raise Malformed("Encapsulated pixel data are broken.")
            at = value + size
        raise Malformed("Encapsulated pixel data have no end.")


def walk(data: bytes | memoryview, encoding: Encoding, *, stop: int = 1 << 32) -> list[Element]:
    """The elements of an encoded data set, up to the first tag that is ``stop`` or above. Raises Malformed."""
    elements, _end = _Walk(data, stop).elements(0, len(data), encoding, 0, False)
    return elements


def walk_until(
    data: bytes | memoryview, encoding: Encoding, *, stop: int, most: int = MAX_ELEMENTS
) -> tuple[list[Element], int]:
    """As ``walk``, with the offset of the first element that is ``stop`` or above. Raises Malformed."""
    return _Walk(data, stop, most).elements(0, len(data), encoding, 0, False)


def element_at(data: bytes | memoryview, at: int, encoding: Encoding) -> tuple[int, bytes, int, int]:
    """(tag, vr, length, offset of the value) of the element that begins at ``at``. Raises Malformed."""
    return _Walk(data, 1 << 32).header(at, len(data), encoding)


def end_of_sequence(data: bytes, start: int, tag: int, vr: bytes, length: int, encoding: Encoding) -> int:
    """The offset after a sequence of the top level whose items begin at ``start``. Raises Malformed."""
    _element, end = _Walk(data, 1 << 32).sequence(tag, vr, length, start, len(data), encoding, 0)
    return end


def padded(value: bytes, vr: bytes) -> bytes:
    """Even length: a NUL behind UIDs and binary, a space behind text."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in (b"UI", b"OB", b"UN") else b" ")


def encode(tag: int, value: bytes, encoding: Encoding, vr: bytes | None = None) -> bytes:
    """One element with its header, little endian."""
    vr = vr or vr_of(tag)
    value = padded(value, vr)
    if not encoding.explicit:
        return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
    if vr in LONG_VRS:
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    if len(value) > 0xFFFF:
        raise Malformed(f"({tag >> 16:04x},{tag & 0xFFFF:04x}) is too long for explicit VR.")
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def encode_item(content: bytes) -> bytes:
    return struct.pack("<HHL", ITEM >> 16, ITEM & 0xFFFF, len(content)) + content


def encode_items(tag: int, contents: Iterable[bytes], encoding: Encoding) -> bytes:
    """A sequence of defined length."""
    return encode(tag, b"".join(encode_item(content) for content in contents), encoding, b"SQ")


def written(tag: int, vr: bytes, value: bytes, encoding: Encoding) -> bytes:
    """One element with its header, in either byte order; its value is given in that order."""
    order, value = "<" if encoding.little else ">", padded(value, vr)
    if not encoding.explicit:
        return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
    if vr in LONG_VRS:
        return struct.pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def item_of(content: bytes, encoding: Encoding) -> bytes:
    return struct.pack("<HHL" if encoding.little else ">HHL", 0xFFFE, 0xE000, len(content)) + content


def span(data: bytes | memoryview, element: Element, encoding: Encoding) -> bytes:
    """The bytes of an element of ``walk``, from its tag to its delimiter."""
    before = 12 if encoding.explicit and (element.vr in LONG_VRS) else 8
    (length,) = struct.unpack_from("<L" if encoding.little else ">L", data, element.start - 4)
    is_open = length == UNDEFINED and (before == 12 or not encoding.explicit)
    return bytes(data[element.start - before : element.end + (8 if is_open else 0)])
