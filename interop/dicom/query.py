"""Query SCP (PS3.4 C.4.1): Patient Root and Study Root over the index of what is stored.

Hierarchical search; relational, where that was agreed upon. A study that is linked to an exam goes under the patient as
the RIS knows them now; one that is not, under what its objects say. What was rejected, and what holds nothing any more,
is not there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import date, time
from typing import Any

from interop.dicom.charsets import TEXT_VRS, UTF8, Spelling, encode_text
from interop.dicom.dimse import DimseError, Request, Status, c_find
from interop.dicom.elements import Encoding, encode, vr_of
from interop.dicom.index_search import SEARCHES, Row
from interop.dicom.query_keys import (
    CHARACTER_SET,
    INSTANCE_AVAILABILITY,
    KEYS,
    LEVEL,
    PATIENT_ROOT_FIND,
    RETRIEVE_AE_TITLE,
    STUDY_ROOT_FIND,
    Identifier,
    levels_of,
    read_identifier,
)
from ris.audit.service import record_read
from ris.core.actor import Actor
from worklist.permissions import VIEW_STUDY

CHUNK = 500
NUMBERS = {b"US": "<H", b"UL": "<L"}


@c_find(PATIENT_ROOT_FIND, allowed_by="may_query", door="query")
@c_find(STUDY_ROOT_FIND, allowed_by="may_query", door="query")
def on_find(request: Request, actor: Actor) -> Iterator[tuple[int, bytes]]:
    levels = levels_of(request.sop_class_uid)
    identifier = read_identifier(
        request.data, request.encoding, levels, retrieve=False, relational=request.is_relational
    )
    peer = request.caller.peer
    rows = SEARCHES[identifier.level](identifier, hides_restricted=peer.hides_restricted)
    if peer.max_results:
        rows = _at_most(rows, peer.max_results)
    return _answers(rows, identifier, request, actor)


def _at_most(rows: Iterable[Row], most: int) -> Iterator[Row]:
    """What is too much is said to be: whoever asks must not take a part for the whole."""
    for number, row in enumerate(rows):
        if number >= most:
            raise DimseError(Status.OUT_OF_RESOURCES, f"More than {most} matches; ask for less.")
        yield row


def _answers(
    rows: Iterable[Row], identifier: Identifier, request: Request, actor: Actor
) -> Iterator[tuple[int, bytes]]:
    """Recorded by the chunk, before any of it is told."""
    status = Status.PENDING_WARNING if identifier.is_partial else Status.PENDING
    spelling = request.caller.peer.spelling
    told = Teller(identifier, request.encoding, spelling, request.caller.called_ae_title)
    chunks, is_told = _chunks(rows), False
    for chunk, failure in chunks:
        if chunk or not is_told:
            patients = sorted({row["patient"] for row in chunk if row.get("patient")})
            detail = {"page": "query", "level": identifier.level.name, "rows": len(chunk)}
            record_read(actor, VIEW_STUDY, patients=patients, detail=detail)
            is_told = True
        for row in chunk:
            yield status, told(row)
        if failure is not None:
            raise failure


def _chunks(rows: Iterable[Row]) -> Iterator[tuple[list[Row], DimseError | None]]:
    """Lists of rows; the last one comes with what ended them early."""
    found: list[Row] = []
    try:
        for row in rows:
            found.append(row)
            if len(found) == CHUNK:
                yield found, None
                found = []
    except DimseError as failure:
        yield found, failure
        return
    yield found, None


class Teller:
    """A row becomes an identifier: the requested keys, and where to get what it stands for."""

    def __init__(self, identifier: Identifier, encoding: Encoding, spelling: Spelling, ae_title: str) -> None:
        self.encoding, self.spelling = encoding, spelling
        fixed = {
            LEVEL: identifier.level.name.encode(),
            RETRIEVE_AE_TITLE: ae_title.encode(),
            INSTANCE_AVAILABILITY: b"ONLINE",
        }
        self.fixed = {tag: encode(tag, value, encoding) for tag, value in fixed.items()}
        self.tags = sorted({*self.fixed, *identifier.requested})
        self.character_set = spelling.character_set or "ISO_IR 6"

    def __call__(self, row: Row) -> bytes:
        has_letters = False
        parts = []
        for tag in self.tags:
            if tag in self.fixed:
                parts.append(self.fixed[tag])
                continue
            vr = vr_of(tag)
            value = row.get(KEYS[tag][1])
            if vr in TEXT_VRS:
                text = self.spelling.name(value or "") if vr == b"PN" else value or ""
                has_letters = has_letters or not text.isascii()
                parts.append(encode(tag, encode_text(text, self.character_set, vr), self.encoding))
            else:
                parts.append(encode(tag, _binary(value, vr), self.encoding))
        if (has_letters and self.spelling.character_set) or self.spelling.character_set == UTF8:
            head = encode(CHARACTER_SET, self.spelling.character_set.encode("ascii", "replace"), self.encoding)
            parts.insert(0, head)
        return b"".join(parts)


def _binary(value: Any, vr: bytes) -> bytes:
    """DA, TM, UI, CS, IS, US: letters of ASCII, or a number."""
    if value is None or value == "":
        return b""
    if vr in NUMBERS:
        return struct.pack(NUMBERS[vr], min(int(value), (1 << 8 * struct.calcsize(NUMBERS[vr])) - 1))
    if isinstance(value, date):
        return f"{value:%Y%m%d}".encode()
    if isinstance(value, time):
        return f"{value:%H%M%S}".encode() + (f".{value:%f}".encode() if value.microsecond else b"")
    if isinstance(value, list | tuple):
        return "\\".join(str(part) for part in value).encode("ascii", "replace")
    return str(value).encode("ascii", "replace")
