"""Objects in Explicit VR Little Endian: headers rewritten, frames decoded one at a time (PS3.18 8.7.3.5)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from interop.dicom.coercion import Current, coerced
from interop.dicom.elements import EXPLICIT, IMPLICIT, Malformed
from interop.dicom.headers import file_meta
from interop.dicom.sop_classes import UNCOMPRESSED, is_deflated
from interop.dicomweb.leaving import leaving_bytes
from interop.dicomweb.media import EXPLICIT_LITTLE, NotAcceptable
from interop.dicomweb.model import WIDTHS, little_endian
from interop.dicomweb.objects import Pixels, StoredObject, opened
from worklist.models import ImagingInstance

MODULE = ("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
          "PixelRepresentation", "PlanarConfiguration")  # fmt: skip
MAX_LENGTH = 0xFFFFFFFE


def is_native(transfer_syntax_uid: str) -> bool:
    """Frames of this syntax are uncompressed."""
    return transfer_syntax_uid in UNCOMPRESSED or is_deflated(transfer_syntax_uid)


@lru_cache(256)
def can_decode(transfer_syntax_uid: str) -> bool:
    if is_native(transfer_syntax_uid):
        return True
    try:
        return bool(get_decoder(UID(transfer_syntax_uid)).is_available)
    except NotImplementedError:
        return False


def header_of(stored: StoredObject) -> Dataset:
    """What lies before the pixel data, or the whole data set where there are none. Raises Malformed."""
    _elements, at = stored.walked
    end = at if stored.pixels is not None else len(stored.data)
    encoding = stored.encoding
    try:
        header = read_dataset(io.BytesIO(bytes(stored.data[:end])), encoding is IMPLICIT, encoding.little)
    except Exception as error:
        raise Malformed("The header cannot be read.") from error
    if not encoding.little:
        for element in header.iterall():
            if element.VR in {vr.decode() for vr in WIDTHS} and isinstance(element.value, bytes):
                element.value = little_endian(element.value, element.VR.encode(), encoding)
    return header


def decoded_frame(frame: bytes, header: Dataset, transfer_syntax_uid: str) -> tuple[bytes, dict[str, Any]]:
    """One compressed frame as native little endian samples, colour by pixel. Raises NotAcceptable."""
    alone = Dataset()
    for keyword in MODULE:
        if keyword in header:
            setattr(alone, keyword, header[keyword].value)
    alone.PixelData = encapsulate([frame])
    alone["PixelData"].is_undefined_length = True
    alone.set_original_encoding(False, True, None)
    try:
        array, properties = get_decoder(UID(transfer_syntax_uid)).as_array(
            _with_syntax(alone, transfer_syntax_uid), index=0, as_rgb=True
        )
    except Exception as error:  # the decoders raise whatever they like
        raise NotAcceptable(f"A frame cannot be decoded: {type(error).__name__}.") from error
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes(), properties


def _with_syntax(dataset: Dataset, transfer_syntax_uid: str) -> Dataset:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return dataset


def native_frames(stored: StoredObject, numbers: list[int]) -> Iterator[bytes]:
    """Frames in Explicit VR Little Endian. Raises NotKnown, Malformed, NotAcceptable."""
    if is_native(stored.transfer_syntax_uid):
        for number in numbers:
            yield stored.frame(number)
        return
    header = header_of(stored)
    for number in numbers:
        yield decoded_frame(stored.frame(number), header, stored.transfer_syntax_uid)[0]


def explicit_little(row: ImagingInstance, current: Current | None = None) -> Iterator[bytes]:
    """The object as a file in Explicit VR Little Endian, in pieces. Raises Malformed, NotAcceptable, FileMissing."""
    if row.transfer_syntax_uid == EXPLICIT_LITTLE:
        yield from leaving_bytes(row, current)
        return
    with opened(row) as stored:
        header, pixels = header_of(stored), stored.pixels
        body: Iterator[bytes] = iter(())
        if pixels is not None:
            body = _pixel_element(stored, header, pixels)
            body = chain([next(body)], body)  # the first frame decides how the header describes them
        yield file_meta(row.sop_class_uid, row.sop_instance_uid, EXPLICIT_LITTLE)
        head = _encoded(header)
        change = current and coerced(head, EXPLICIT, current)
        yield change.head + head[change.rest :] if change else head
        yield from body


def _encoded(header: Dataset) -> bytes:
    target = io.BytesIO()
    try:
        dcmwrite(target, header, implicit_vr=False, little_endian=True)
    except Exception as error:
        raise Malformed("The header cannot be written in explicit VR.") from error
    return target.getvalue()


def _pixel_element(stored: StoredObject, header: Dataset, pixels: Pixels) -> Iterator[bytes]:
    """The pixel data element, its first piece after ``header`` has been put right."""
    vr = pixels.vr if pixels.vr in (b"OF", b"OD") else b"OB" if pixels.bits <= 8 else b"OW"
    if pixels.length is not None:
        yield _element_start(pixels.tag, vr, pixels.length)
        yield from stored.bulk(f"{pixels.tag:08X}")
        return
    frames = stored.frames()
    start = next(frames, None)
    if start is None:
        raise Malformed("There is no frame in the pixel data.")
    first, properties = decoded_frame(start, header, stored.transfer_syntax_uid)
    header.PhotometricInterpretation = str(properties["photometric_interpretation"])
    if int(properties["samples_per_pixel"]) > 1:
        header.PlanarConfiguration = 0
    length = len(first) * pixels.frames
    yield _element_start(pixels.tag, vr, length + length % 2)
    yield first
    for frame in frames:
        native, _properties = decoded_frame(frame, header, stored.transfer_syntax_uid)
        if len(native) != len(first):
            raise NotAcceptable("The frames are not of one size.")
        yield native
    if length % 2:
        yield b"\0"


def _element_start(tag: int, vr: bytes, length: int) -> bytes:
    if length > MAX_LENGTH:
        raise NotAcceptable("Uncompressed, the pixel data are longer than an element may be.")
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, length)
