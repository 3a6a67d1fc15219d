"""Batches (HL7 2.5.1 section 2.10.3): [FHS] { [BHS] { message } [BTS] } [FTS]. Pure: bytes in, messages out; answers
in, bytes out. What a header announces must end with its trailer, and what a trailer counts must be there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from interop.hl7.acknowledgements import copied_parties, new_control_id, stamp
from interop.hl7.messages import (
    DATA_TYPE,
    REQUIRED_MISSING,
    SEGMENT_SEQUENCE,
    Delimiters,
    Header,
    Hl7Error,
    Location,
    encode_segment,
    peek,
)

BATCH = "BATCH"
#: Where FHS and BHS have their control id: one field further than MSH
CONTROL_ID, REFERENCE = 11, 12


@dataclass
class Batch:
    """``header``: that of the outermost FHS or BHS, read as an MSH; ``groups``: the messages of each BHS."""

    header: Header
    has_file: bool
    groups: list[list[bytes]] = field(default_factory=list)
    heads: list[Header | None] = field(default_factory=list)

    @property
    def control_id(self) -> str:
        return self.header.text(CONTROL_ID)

    @property
    def messages(self) -> list[bytes]:
        return [message for group in self.groups for message in group]


def is_batch(raw: bytes) -> bool:
    return raw.lstrip(b"\r\n \t")[:3] in (b"FHS", b"BHS")


def head_of(line: bytes) -> Header | None:
    """FHS or BHS have MSH's parties in MSH's places."""
    return peek(b"MSH" + line[3:])


def as_message(header: Header) -> Header:
    """An MSH for a refusal of the whole: the parties and the control id; no type and no version, which it has not."""
    parties = (header.raw(number) for number in range(3, 7))
    return Header(header.delimiters, ("", "", "", *parties, "", "", "", header.raw(CONTROL_ID)), header.codec)


def split(raw: bytes) -> Batch:
    """Raises Hl7Error where the parts are not in order or not as many as counted."""
    lines = [line for line in re.split(rb"[\r\n]+", raw) if line.strip()]
    header = head_of(lines[0])
    if header is None:
        Delimiters.of("MSH" + lines[0][3:300].decode("iso8859_1"))
        raise Hl7Error(SEGMENT_SEQUENCE, Location(lines[0][:3].decode()), "The batch header is not usable.", fatal=True)
    batch = Batch(header, has_file=lines[0].startswith(b"FHS"))
    _Reader(batch, header.delimiters).read(lines)
    return batch


class _Reader:
    """Walks the lines once."""

    def __init__(self, batch: Batch, delimiters: Delimiters) -> None:
        self.batch, self.delimiters = batch, delimiters
        self.is_open = False  # between BHS and BTS
        self.is_ended = False  # after FTS
        self.message: list[bytes] = []

    def read(self, lines: list[bytes]) -> None:
        for position, line in enumerate(lines):
            name = line[:3]
            if self.is_ended or (name == b"FHS" and position):
                raise self._disorder(line)
            if name == b"BHS":
                self._begin(line)
            elif name == b"BTS":
                self._end(line)
            elif name == b"FTS":
                self._end_file(line)
            elif name == b"MSH":
                self._close_message()
                if not self.batch.groups:
                    self._implicit()
                self.message = [line]
            elif name != b"FHS":
                if not self.message:
                    raise self._disorder(line)
                self.message.append(line)
        self._close_message()
        if self.is_open and self.batch.heads[-1] is not None:
            raise _fault(REQUIRED_MISSING, "BTS", "The batch does not end with BTS: it may have been cut.")
        if self.batch.has_file and not self.is_ended:
            raise _fault(REQUIRED_MISSING, "FTS", "The file does not end with FTS: it may have been cut.")

    def _disorder(self, line: bytes) -> Hl7Error:
        name = line[:3].decode("ascii", errors="replace")
        return _fault(SEGMENT_SEQUENCE, name if name.isalnum() else "BHS", "The parts of the batch are out of order.")

    def _begin(self, line: bytes) -> None:
        if self.is_open or self.message:
            raise self._disorder(line)
        self.is_open = True
        self.batch.heads.append(head_of(line))
        self.batch.groups.append([])

    def _implicit(self) -> None:
        """Messages of a file without BHS."""
        self.is_open = True
        self.batch.heads.append(None)
        self.batch.groups.append([])

    def _close_message(self) -> None:
        if self.message:
            self.batch.groups[-1].append(b"\r".join(self.message) + b"\r")
            self.message = []

    def _end(self, line: bytes) -> None:
        self._close_message()
        if not self.is_open:
            raise self._disorder(line)
        self.is_open = False
        self._count(line, "BTS", len(self.batch.groups[-1]), "messages")

    def _end_file(self, line: bytes) -> None:
        self._close_message()
        if not self.batch.has_file or (self.is_open and self.batch.heads[-1] is not None):
            raise self._disorder(line)
        self.is_open, self.is_ended = False, True
        self._count(line, "FTS", len([head for head in self.batch.heads if head is not None]) or 1, "batches")

    def _count(self, line: bytes, name: str, found: int, what: str) -> None:
        fields = line.decode("iso8859_1").split(self.delimiters.field)
        told = fields[1].strip() if len(fields) > 1 else ""
        if not told:
            return
        if not told.isdecimal() or len(told) > 9:
            raise _fault(DATA_TYPE, name, f"{name}-1 is no number of {what}.", 1)
        if int(told) != found:
            raise _fault(DATA_TYPE, name, f"{name}-1 counts {told} {what}; there are {found}.", 1)


def _fault(code: str, name: str, text: str, number: int = 0) -> Hl7Error:
    return Hl7Error(code, Location(name, 1, number), text, fatal=True)


def answer(batch: Batch, replies: list[list[bytes]]) -> bytes:
    """The answers to the messages, wrapped as these were: BHS-12 and FHS-12 name the batch that is answered."""
    parts: list[bytes] = []
    delimiters = batch.header.delimiters

    def head(name: str, header: Header) -> bytes:
        values = [*copied_parties(header), stamp(), None, None, None, new_control_id(), header.text(CONTROL_ID)]
        line = encode_segment("MSH", values, delimiters)
        return (name + line[3:] + "\r").encode("ascii", errors="replace")

    def tail(name: str, count: int) -> bytes:
        return (encode_segment(name, [str(count)], delimiters) + "\r").encode()

    if batch.has_file:
        parts.append(head("FHS", batch.header))
    for header, group in zip(batch.heads, replies, strict=True):
        if header is not None:
            parts.append(head("BHS", header))
        parts += group
        if header is not None:
            parts.append(tail("BTS", len(group)))
    if batch.has_file:
        parts.append(tail("FTS", len([header for header in batch.heads if header is not None]) or 1))
    return b"".join(parts)


def refusal(header: Header, reply: bytes) -> bytes:
    """One AR for the whole of it."""
    return answer(Batch(header, False, [[b""]], [header]), [[reply]])
