"""Stored objects as they leave: the file's own bytes, behind a head that says what is known now of patient and exam."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from interop.dicom.coercion import Coerced, Current, coerced
from interop.dicom.elements import Malformed
from interop.dicom.sop_classes import is_deflated
from interop.dicomweb.objects import PIECE, StoredObject, opened, stored_bytes


class Stored(Protocol):
    """What names a file of the store."""

    @property
    def path(self) -> str: ...

    @property
    def sop_instance_uid(self) -> str: ...


def change_of(stored: StoredObject, current: Current) -> Coerced | None:
    """Raises Malformed for an object that cannot be put right, unless nothing has to be as far as is known."""
    try:
        return coerced(stored.data, stored.encoding, current)
    except Malformed:
        if current.is_said:
            return None
        raise


def leaving_bytes(row: Stored, current: Current | None) -> Iterator[bytes]:
    """A file in the transfer syntax of the store, in pieces. Raises FileMissing, Malformed."""
    if current is None:
        yield from stored_bytes(row)
        return
    with opened(row) as stored:
        change = change_of(stored, current)
        if change is not None:
            yield from _changed(stored, change)
            return
    yield from stored_bytes(row)


def write_changed(row: Stored, current: Current, target: Path) -> bool:
    """The object with what is current as a file; False, and no file, where the stored one says that already."""
    with opened(row) as stored:
        change = change_of(stored, current)
        if change is None:
            return False
        with target.open("wb") as file:
            file.writelines(_changed(stored, change))
        return True


def leaving_size(row: Stored, size: int, current: Current) -> int | None:
    """Of ``leaving_bytes``; None where only writing would tell. ``size``: of the stored file."""
    with opened(row) as stored:
        change = change_of(stored, current)
        if change is None:
            return size
        return None if is_deflated(stored.transfer_syntax_uid) else size + len(change.head) - change.rest


def _changed(stored: StoredObject, change: Coerced) -> Iterator[bytes]:
    yield bytes(stored.before)
    pieces = _pieces(stored, change)
    if not is_deflated(stored.transfer_syntax_uid):
        yield from pieces
        return
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = 0
    for piece in pieces:
        packed = packer.compress(piece)
        size += len(packed)
        yield packed
    packed = packer.flush()
    yield packed + bytes((size + len(packed)) % 2)  # PS3.5 A.5: even


def _pieces(stored: StoredObject, change: Coerced) -> Iterator[bytes]:
    yield change.head
    for at in range(change.rest, len(stored.data), PIECE):
        yield bytes(stored.data[at : at + PIECE])
