"""The acceptor's side of the DICOM upper layer (PS3.8 9.2), without a socket: bytes in, events out. Pure.

    layer = UpperLayer(max_length=131072)
    count = socket.recv_into(layer.free_space())
    layer.received(count)
    while (event := layer.next_event()) is not None: ...

A PDU's length is judged when its six header bytes are there, before room is made for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto

from interop.dicom import pdu
from interop.dicom.pdu import Abort, Kind, ProtocolError

FIRST_ROOM = 16 * 1024
HEAD, unpack_head = pdu.HEADER.size, pdu.HEADER.unpack_from
P_DATA = int(Kind.P_DATA)
#: A P-DATA-TF with one presentation data value, up to its content.
_FRAGMENT = struct.Struct(">BxLLBB")
FRAGMENT, unpack_fragment = _FRAGMENT.size, _FRAGMENT.unpack_from
KINDS = frozenset(int(kind) for kind in Kind)
EXPECTED = frozenset({Kind.ASSOCIATE_RQ, Kind.P_DATA, Kind.RELEASE_RQ, Kind.ABORT})
#: Some peers count the header of a PDU among its bytes.
TOLERANCE = 64


class State(Enum):
    """PS3.8 Table 9-1 to 9-5, as far as an acceptor is in them."""

    AWAITING_REQUEST = auto()  # Sta2
    DECIDING = auto()  # Sta3
    ESTABLISHED = auto()  # Sta6
    CLOSED = auto()  # Sta13 and after


@dataclass(frozen=True)
class Requested:
    request: pdu.AssociateRequest


@dataclass(slots=True)
class Data:
    """A P-DATA-TF; its content is valid until free_space() is called again."""

    body: memoryview


@dataclass(frozen=True)
class ReleaseRequested:
    pass


@dataclass(frozen=True)
class Aborted:
    pass


Event = Requested | Data | ReleaseRequested | Aborted


class UpperLayer:
    def __init__(self, *, max_length: int) -> None:
        self.state = State.AWAITING_REQUEST
        self._longest = max_length + TOLERANCE
        self._buffer = bytearray(FIRST_ROOM)
        self._start = self._end = 0
        self._needed = HEAD

    @property
    def is_between_units(self) -> bool:
        return self._start == self._end

    def free_space(self) -> memoryview:
        """Where the next bytes go; at least one byte long."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + self._needed > len(self._buffer):
            rest = self._buffer[self._start : self._end]
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        if len(self._buffer) < self._needed:
            self._buffer = self._buffer + bytearray(self._needed + FIRST_ROOM - len(self._buffer))
        return memoryview(self._buffer)[self._end :]

    def space_behind(self) -> memoryview | None:
        """Where the next bytes go when those that were taken must stay; None where there is no room for them."""
        if self._start + self._needed > len(self._buffer) or self._end == len(self._buffer):
            return None
        return memoryview(self._buffer)[self._end :]

    def received(self, count: int) -> None:
        self._end += count

    def use(self, buffer: bytearray | None) -> None:
        """Receive into that one from now on, or into a small one of its own; what is left moves along."""
        rest = self._buffer[self._start : self._end]
        if buffer is None or len(buffer) < len(rest):
            buffer = bytearray(max(FIRST_ROOM, len(rest)))
        buffer[: len(rest)] = rest
        self._buffer, self._start, self._end = buffer, 0, len(rest)

    def next_event(self) -> Event | None:
        """The next whole PDU as an event, or None when more bytes are needed. Raises ProtocolError."""
        there = self._end - self._start
        if there < HEAD or self.state is State.CLOSED:
            self._needed = HEAD
            return None
        kind, length = unpack_head(self._buffer, self._start)
        is_data = kind == P_DATA and self.state is State.ESTABLISHED
        if not is_data or length > self._longest:
            self._judge(kind, length)
        self._needed = HEAD + length
        if there < self._needed:
            return None
        first = self._start + HEAD
        self._start = first + length
        self._needed = HEAD
        body = memoryview(self._buffer)[first : first + length]
        return Data(body) if is_data else self._event(kind, body)

    def fragments(self, context_id: int, into: list[memoryview], most: int) -> bool:
        """Take PDUs that are no more than a fragment of a data set; True when its last has come.

        All others are left to ``next_event``, which knows what is wrong with them.
        """
        buffer, at, end, longest = self._buffer, self._start, self._end, self._longest
        whole = memoryview(buffer)
        is_last = False
        while end - at >= FRAGMENT and len(into) < most and not is_last:
            kind, length, size, context, control = unpack_fragment(buffer, at)
            behind = at + HEAD + length
            is_plain = kind == P_DATA and context == context_id and not control & 1 and length == size + 4 <= longest
            if not is_plain or size < 2 or behind > end:
                break
            into.append(whole[at + FRAGMENT : behind])
            at, is_last = behind, bool(control & 2)
        self._start, self._needed = at, HEAD
        return is_last

    def _judge(self, kind: int, length: int) -> None:
        if kind not in KINDS:
            raise ProtocolError(Abort.UNRECOGNIZED_PDU, f"PDU type {kind:#04x} is unknown.")
        if kind not in EXPECTED or (kind == Kind.P_DATA and self.state is not State.ESTABLISHED):
            raise ProtocolError(Abort.UNEXPECTED_PDU, f"PDU type {kind:#04x} is not expected here.")
        limit = 4
        if kind == Kind.P_DATA:
            limit = self._longest
        elif kind == Kind.ASSOCIATE_RQ:
            limit = pdu.MAX_ASSOCIATE_LENGTH
        if length > limit:
            raise ProtocolError(Abort.INVALID_PARAMETER, f"A PDU declares {length} bytes; {limit} are taken.")

    def _event(self, kind: int, body: memoryview) -> Event:
        if kind == Kind.ABORT:
            self.state = State.CLOSED
            return Aborted()
        if kind == Kind.ASSOCIATE_RQ:
            if self.state is not State.AWAITING_REQUEST:
                raise ProtocolError(Abort.UNEXPECTED_PDU, "A second association request came.")
            self.state = State.DECIDING
            return Requested(pdu.parse_associate_request(bytes(body)))
        if self.state is not State.ESTABLISHED:
            raise ProtocolError(Abort.UNEXPECTED_PDU, "There is no association yet.")
        if kind == Kind.RELEASE_RQ:
            self.state = State.CLOSED
            return ReleaseRequested()
        return Data(body)

    def accepted(self) -> None:
        self.state = State.ESTABLISHED

    def closed(self) -> None:
        self.state = State.CLOSED
