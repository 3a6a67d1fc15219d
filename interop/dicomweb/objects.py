"""Stored objects, read where they lie: header, bulk data and frames by offset; nothing else is loaded."""

from __future__ import annotations

import contextlib
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from pydicom.encaps import generate_frames, get_frame

from interop.dicom.coercion import BEHIND_HEAD, Current, coerced
from interop.dicom.elements import UNDEFINED, Element, Malformed, element_at, walk_until
from interop.dicom.headers import read_file_start
from interop.dicom.sop_classes import encoding_of, is_deflated
from interop.dicom.store import is_local, local_path, open_instance, told_as_oserror
from interop.dicomweb.model import MAX_ELEMENTS, PIXELS, WIDTHS, Address, Model, Reader, little_endian
from ris.core.errors import DomainError, NotKnown
from worklist.models import ImagingInstance

PIECE = 1024 * 1024
#: A deflated data set is inflated in memory, up to so much.
MAX_INFLATED = 512 * 1024 * 1024
HEAD = 256 * 1024
OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, PIXEL_DATA)
NOTHING = memoryview(b"")
SHORTS = {"samples": 0x00280002, "rows": 0x00280010, "columns": 0x00280011, "bits": 0x00280100}


class FileMissing(DomainError):
    """The index knows an object whose file cannot be read."""

    code = "file_missing"
    http_status = 500


@dataclass(frozen=True)
class Pixels:
    """Where pixel data lie in a data set. ``length`` is None where they are encapsulated; ``bits`` of one sample."""

    tag: int
    vr: bytes
    offset: int
    length: int | None
    samples: int
    rows: int
    columns: int
    bits: int
    frames: int
    photometric: str
    extended: tuple[bytes, bytes] | None = None

    @property
    def frame_bits(self) -> int:
        """Of one uncompressed frame as it is stored."""
        if self.photometric == "YBR_FULL_422" and self.length is not None:
            whole = self.rows * self.columns * 3 * self.bits // 8 * self.frames
            if self.length < whole:
                return self.rows * self.columns * 2 * self.bits
        return self.rows * self.columns * self.samples * self.bits


class StoredObject:
    """The bytes of one data set: ``data`` begins after the file meta information, ``before`` is what ends there."""

    def __init__(self, data: memoryview, transfer_syntax_uid: str, before: memoryview = NOTHING) -> None:
        self.data, self.transfer_syntax_uid, self.before = data, transfer_syntax_uid, before
        self.encoding = encoding_of(transfer_syntax_uid)

    @cached_property
    def walked(self) -> tuple[list[Element], int]:
        """The elements before the pixel data, and where these begin."""
        return walk_until(self.data, self.encoding, stop=PIXELS, most=MAX_ELEMENTS)

    def model(self, address: Address, current: Current | None = None) -> Model:
        """The JSON model, with an address in place of pixel data, and what is ``current``. Raises Malformed."""
        elements, at = self.walked
        made = Reader(self.data, self.encoding, address).items(elements, ("",), "", False)
        change = current and coerced(self.data, self.encoding, current)
        if change:
            head, _end = walk_until(change.head, self.encoding, stop=BEHIND_HEAD, most=MAX_ELEMENTS)
            new = Reader(change.head, self.encoding, address).items(head, ("",), "", False)
            made = new | {tag: element for tag, element in made.items() if int(tag, 16) >= BEHIND_HEAD}
        with contextlib.suppress(Malformed):
            for tag, vr, _length, _start in self._elements_from(at):
                if tag in PIXEL_TAGS:
                    name = f"{tag:08X}"
                    made[name] = {"vr": vr.decode("ascii"), "BulkDataURI": address(name)}
        return made

    def _elements_from(self, at: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Headers of the elements from the pixel data on, up to these."""
        while at + 8 <= len(self.data):
            tag, vr, length, start = element_at(self.data, at, self.encoding)
            yield tag, vr if self.encoding.explicit or tag != PIXEL_DATA else b"OW", length, start
            if tag >= PIXEL_DATA or length == UNDEFINED:
                return
            at = start + length

    @cached_property
    def pixels(self) -> Pixels | None:
        """Raises Malformed."""
        elements, at = self.walked
        found, extended = None, {}
        for tag, vr, length, start in self._elements_from(at):
            if tag in (OFFSETS, LENGTHS):
                extended[tag] = bytes(self.data[start : start + length])
            if tag in PIXEL_TAGS:
                found = (tag, vr, start, None if length == UNDEFINED else min(length, len(self.data) - start))
        if found is None:
            return None
        values = {element.tag: element for element in elements if element.tag >> 16 == 0x0028}
        numbers = {name: self._short(values.get(tag)) for name, tag in SHORTS.items()}
        numbers["bits"] = numbers["bits"] or 8
        numbers["samples"] = numbers["samples"] or 1
        frames = self._text(values.get(0x00280008))
        return Pixels(
            *found,
            **numbers,
            frames=max(1, int(frames)) if frames.isdecimal() and len(frames) < 10 else 1,
            photometric=self._text(values.get(0x00280004)),
            extended=(extended[OFFSETS], extended[LENGTHS]) if len(extended) == 2 else None,
        )

    def _short(self, element: Element | None) -> int:
        if element is None or element.end - element.start < 2:
            return 0
        return int(struct.unpack_from("<H" if self.encoding.little else ">H", self.data, element.start)[0])

    def _text(self, element: Element | None) -> str:
        return "" if element is None else bytes(self.data[element.start : element.end]).decode("latin-1").strip("\0 ")

    # --- frames

    def frame(self, number: int) -> bytes:
        """One frame (from 1) as it is stored, in little endian order. Raises NotKnown, Malformed."""
        pixels = self._with_pixels()
        if not 1 <= number <= pixels.frames:
            raise NotKnown(_("There is no such frame."), found=_("It has frames 1 to %d.") % pixels.frames)
        if pixels.length is None:
            return self._encapsulated_frame(pixels, number)
        first, bits = (number - 1) * pixels.frame_bits, pixels.frame_bits
        size = (bits + 7) // 8
        if not bits or (first + bits + 7) // 8 > pixels.length:
            raise Malformed("The pixel data are shorter than their frames.")
        begin, shift = pixels.offset + first // 8, first % 8
        if shift or bits % 8:
            return self._frame_of_bits(begin, shift, bits)
        vr = b"OW" if pixels.vr == b"OW" and pixels.bits > 8 else pixels.vr if pixels.vr in (b"OF", b"OD") else b"OB"
        return little_endian(bytes(self.data[begin : begin + size]), vr, self.encoding)

    def _with_pixels(self) -> Pixels:
        if self.pixels is None:
            raise NotKnown(_("This object has no frames."))
        return self.pixels

    def _frame_of_bits(self, begin: int, shift: int, bits: int) -> bytes:
        """A frame of single bits that begins or ends inside of a byte."""
        raw = bytes(self.data[begin : begin + (shift + bits + 7) // 8])
        number = (int.from_bytes(raw, "little") >> shift) & ((1 << bits) - 1)
        return number.to_bytes((bits + 7) // 8, "little")

    def _encapsulated_frame(self, pixels: Pixels, number: int) -> bytes:
        try:
            return get_frame(
                self._fragments(pixels),
                number - 1,
                number_of_frames=pixels.frames,
                extended_offsets=pixels.extended,
            )
        except (ValueError, EOFError, struct.error) as error:
            raise Malformed("The encapsulated pixel data are broken.") from error

    def _fragments(self, pixels: Pixels) -> Any:
        return _Buffer(self.data[pixels.offset :])

    def frames(self) -> Iterator[bytes]:
        """All frames, in order, one at a time. Raises Malformed."""
        pixels = self._with_pixels()
        if pixels.length is not None:
            yield from (self.frame(number) for number in range(1, pixels.frames + 1))
            return
        try:
            yield from generate_frames(
                self._fragments(pixels), number_of_frames=pixels.frames, extended_offsets=pixels.extended
            )
        except (ValueError, EOFError, struct.error) as error:
            raise Malformed("The encapsulated pixel data are broken.") from error

    # --- bulk data

    def bulk(self, path: str) -> Iterator[bytes]:
        """The value at a tag path, such as ``54000100/1/54001010``, in little endian order. Raises NotKnown."""
        vr, start, end = self._value_at(path)
        width = WIDTHS.get(vr, 1)
        for at in range(start, end, PIECE // width * width):
            yield little_endian(bytes(self.data[at : min(end, at + PIECE // width * width)]), vr, self.encoding)

    def _value_at(self, path: str) -> tuple[bytes, int, int]:
        unknown = NotKnown(_("There is no such value in this object."))
        pixels = self.pixels
        if pixels is not None and path.upper() == f"{pixels.tag:08X}":
            if pixels.length is None:
                raise unknown
            return (b"OW" if pixels.bits > 8 else b"OB"), pixels.offset, pixels.offset + pixels.length
        elements: tuple[Element, ...] = tuple(self.walked[0])
        parts = path.upper().split("/")
        for depth in range(0, len(parts), 2):
            found = next((element for element in elements if f"{element.tag:08X}" == parts[depth]), None)
            if found is None:
                raise unknown
            if depth == len(parts) - 1:
                if found.items is not None:
                    raise unknown
                return found.vr, found.start, found.end
            number = parts[depth + 1]
            if not found.items or not number.isdecimal() or not 1 <= int(number[:9]) <= len(found.items):
                raise unknown
            elements = found.items[int(number) - 1]
        raise unknown


class _Buffer:
    """A memory view as pydicom reads it."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.at = view, 0

    def read(self, size: int | None = -1, /) -> bytes:
        end = len(self.view) if size is None or size < 0 else self.at + size
        piece = bytes(self.view[self.at : end])
        self.at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.at = max(0, offset + (0, self.at, len(self.view))[whence])
        return self.at

    def tell(self) -> int:
        return self.at


def file_missing(row: ImagingInstance) -> FileMissing:
    return FileMissing(
        _("The file of this object cannot be read."),
        todo=_("Tell your administrator: instance %s.") % row.sop_instance_uid,
    )


def stored_bytes(row: ImagingInstance) -> Iterator[bytes]:
    """The file as it lies in the store, in pieces. Raises FileMissing."""
    try:
        with open_instance(row.path) as source, told_as_oserror():
            while piece := source.read(PIECE):
                yield piece
    except OSError as error:
        raise file_missing(row) from error


@contextlib.contextmanager
def opened(row: ImagingInstance, *, header_only: bool = False) -> Iterator[StoredObject]:
    """A stored object while the context lasts. Raises Malformed, FileMissing.

    ``header_only``: of a remote storage only its beginning is fetched, when the header lies in it.
    """
    with contextlib.ExitStack() as stack:
        try:
            if header_only and not is_local():
                with open_instance(row.path) as source, told_as_oserror():
                    head = source.read(HEAD)
                found = _header_within(memoryview(head))
                if found is not None:
                    yield found
                    return
            path = stack.enter_context(local_path(row.path))
            source = stack.enter_context(path.open("rb"))
            mapped = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise file_missing(row) from error
        view = memoryview(mapped)
        stack.callback(_let_go, mapped, view)
        yield _object_in(view)


def _let_go(mapped: mmap.mmap, view: memoryview) -> None:
    """Views of the view may still be held by what the caller made; the map ends with the last of them."""
    with contextlib.suppress(BufferError):
        view.release()
        mapped.close()


def _header_within(head: memoryview) -> StoredObject | None:
    """None when the header is longer than the bytes at hand, or deflated."""
    try:
        found = _object_in(head, may_inflate=False)
        _elements, at = found.walked
    except Malformed:
        return None
    return found if at < len(found.data) else None


def _object_in(view: memoryview, *, may_inflate: bool = True) -> StoredObject:
    start = read_file_start(view[:HEAD])
    data = view[start.offset :]
    if is_deflated(start.transfer_syntax_uid):
        if not may_inflate:
            raise Malformed("The data set is deflated.")
        data = memoryview(_inflated(data))
    return StoredObject(data, start.transfer_syntax_uid, view[: start.offset])


def _inflated(data: memoryview) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        whole = inflater.decompress(data, MAX_INFLATED)
    except zlib.error:
        raise Malformed("The data set is not deflated as PS3.5 A.5 has it.") from None
    if inflater.unconsumed_tail:
        raise Malformed("The data set inflates to too much.")
    return whole
