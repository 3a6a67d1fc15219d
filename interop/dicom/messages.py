"""DIMSE messages (PS3.7): command sets, and the assembly of messages from presentation data values. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Protocol

from interop.dicom import pdu
from interop.dicom.elements import IMPLICIT, Malformed, encode
from interop.dicom.shapes import Shapes

NO_DATA_SET = 0x0101
_ELEMENT = struct.Struct("<HHL")
MAX_COMMAND, MAX_REMEMBERED = 16 * 1024, 128
#: This bit of a Command Field makes it a response.
RESPONSE = 0x8000

AFFECTED_SOP_CLASS, REQUESTED_SOP_CLASS = 0x00000002, 0x00000003
COMMAND_FIELD, MESSAGE_ID, RESPONDED_ID = 0x00000100, 0x00000110, 0x00000120
MOVE_DESTINATION, PRIORITY = 0x00000600, 0x00000700
DATA_SET_TYPE, STATUS = 0x00000800, 0x00000900
ERROR_COMMENT, ERROR_ID = 0x00000902, 0x00000903
AFFECTED_INSTANCE, REQUESTED_INSTANCE = 0x00001000, 0x00001001
ATTRIBUTE_LIST, ACTION_TYPE = 0x00001005, 0x00001008
#: Number of remaining, completed, failed, and warning sub-operations
SUBOPERATIONS = (0x00001020, 0x00001021, 0x00001022, 0x00001023)


class Field(IntEnum):
    """Command Field (0000,0100), PS3.7 E.1"""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


@dataclass(frozen=True)
class Command:
    """A request's command set, as far as we read it; of a response the id of the request, and its status."""

    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool
    attribute_tags: tuple[int, ...] = ()
    move_destination: str = ""
    action_type_id: int | None = None
    status: int | None = None


@dataclass(frozen=True)
class Counts:
    """The sub-operations of a C-MOVE or C-GET (PS3.4 C.4.2.1.6). ``remaining`` None: not told, as at the end."""

    remaining: int | None = None
    completed: int = 0
    failed: int = 0
    warning: int = 0


def parse_command(data: bytes) -> Command:
    """Raises ProtocolError for what is no command set. Those without a UID of their own come again and again."""
    return _known_command(data) if len(data) <= MAX_REMEMBERED else _parse_command(data)


@lru_cache(1024)
def _known_command(data: bytes) -> Command:
    return _parse_command(data)


def _parse_command(data: bytes) -> Command:
    try:
        values = _values(data)
        field = _unsigned(values[COMMAND_FIELD])
        is_reply = field == Field.C_CANCEL or field & RESPONSE
        identifier = _unsigned(values[RESPONDED_ID] if is_reply else values[MESSAGE_ID])
        action = _unsigned(values[ACTION_TYPE]) if values.get(ACTION_TYPE) else None
        status = _unsigned(values[STATUS]) if field & RESPONSE else None
        has_data_set = _unsigned(values[DATA_SET_TYPE]) != NO_DATA_SET
    except (Malformed, KeyError, struct.error) as wrong:
        raise pdu.ProtocolError(pdu.Abort.NOT_SPECIFIED, f"A command set is broken: {wrong}") from None
    tags = values.get(ATTRIBUTE_LIST, b"")
    pairs = struct.unpack(f"<{len(tags) // 2}H", tags[: len(tags) // 4 * 4])
    return Command(
        field=field,
        message_id=identifier,
        sop_class_uid=_uid(values.get(AFFECTED_SOP_CLASS) or values.get(REQUESTED_SOP_CLASS, b"")),
        sop_instance_uid=_uid(values.get(AFFECTED_INSTANCE) or values.get(REQUESTED_INSTANCE, b"")),
        has_data_set=has_data_set,
        attribute_tags=tuple(group << 16 | element for group, element in zip(pairs[::2], pairs[1::2], strict=True)),
        move_destination=values.get(MOVE_DESTINATION, b"").decode("ascii", "replace").strip("\0 "),
        action_type_id=action,
        status=status,
    )


_shapes = Shapes(are_whole=True)


def _values(data: bytes) -> dict[int, bytes]:
    """Command sets are flat and in implicit VR little endian (PS3.7 6.3.1). Raises Malformed, struct.error."""
    values = _shapes.values(data)
    if values is None:
        marks, places = _walk(data)
        _shapes.seen(data, marks, places)
        values = {tag: data[start:end] for tag, (start, end) in places.items()}
    return values


def _walk(data: bytes) -> tuple[list[tuple[int, int]], dict[int, tuple[int, int]]]:
    """(where all stands that is no value, where the values stand)"""
    marks, places = [], {}
    at, end = 0, len(data)
    while at < end:
        group, element, length = _ELEMENT.unpack_from(data, at)
        marks.append((at, at + 8))
        at += 8 + length
        if at > end:
            raise Malformed("An element is longer than its command set.")
        places[group << 16 | element] = at - length, at
    marks.append((end, end))
    return marks, places


def _unsigned(value: bytes) -> int:
    return struct.unpack("<H", value)[0]


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")


def encode_response(
    command: Command,
    status: int,
    *,
    has_data_set: bool = False,
    sop_instance_uid: str = "",
    comment: str = "",
    error_id: int | None = None,
    counts: Counts | None = None,
) -> bytes:
    """The command set of the response to ``command``."""
    parts = []
    if command.sop_class_uid:
        parts.append(encode(AFFECTED_SOP_CLASS, command.sop_class_uid.encode("ascii", "replace"), IMPLICIT, b"UI"))
    parts.append(_short(COMMAND_FIELD, command.field | RESPONSE))
    parts.append(_short(RESPONDED_ID, command.message_id))
    parts.append(_short(DATA_SET_TYPE, 1 if has_data_set else NO_DATA_SET))
    parts.append(_short(STATUS, status))
    if comment:
        parts.append(encode(ERROR_COMMENT, comment.encode("ascii", "replace")[:64], IMPLICIT, b"LO"))
    if error_id is not None:
        parts.append(_short(ERROR_ID, error_id))
    if sop_instance_uid:
        parts.append(encode(AFFECTED_INSTANCE, sop_instance_uid.encode("ascii", "replace"), IMPLICIT, b"UI"))
    if command.field == Field.N_ACTION and command.action_type_id is not None:
        parts.append(_short(ACTION_TYPE, command.action_type_id))
    if counts is not None:
        numbers = (counts.remaining, counts.completed, counts.failed, counts.warning)
        parts += [
            _short(tag, min(number, 0xFFFF))
            for tag, number in zip(SUBOPERATIONS, numbers, strict=True)
            if number is not None
        ]
    return _with_length(parts)


def encode_store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """The command set of a C-STORE-RQ, medium priority (PS3.7 9.3.1.1)."""
    return _with_length(
        [
            encode(AFFECTED_SOP_CLASS, sop_class_uid.encode("ascii"), IMPLICIT, b"UI"),
            _short(COMMAND_FIELD, Field.C_STORE),
            _short(MESSAGE_ID, message_id),
            _short(PRIORITY, 0),
            _short(DATA_SET_TYPE, 1),
            encode(AFFECTED_INSTANCE, sop_instance_uid.encode("ascii"), IMPLICIT, b"UI"),
        ]
    )


def _with_length(parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return encode(0x00000000, struct.pack("<L", len(body)), IMPLICIT, b"UL") + body


def _short(tag: int, value: int) -> bytes:
    return encode(tag, struct.pack("<H", value), IMPLICIT, b"US")


class Sink(Protocol):
    """Where a message's data set goes, piece by piece; a piece is valid during the call only."""

    def write(self, chunk: memoryview) -> None: ...


@dataclass(slots=True, eq=False)
class Message:
    """A whole request: its command, the context it came on, and the sink that took its data set (None without)."""

    context_id: int
    command: Command
    sink: Sink | None


class MessageReader:
    """Puts messages together from presentation data values, in the order that PS3.8 Annex E asks for.

    ``open_sink(context_id, command)`` says where the data set goes. Raises ProtocolError.
    """

    def __init__(self, open_sink: Callable[[int, Command], Sink]) -> None:
        self._open_sink = open_sink
        self._command = bytearray()
        self._waiting: tuple[int, Command, Sink] | None = None

    @property
    def is_idle(self) -> bool:
        """Between two messages."""
        return not self._command and self._waiting is None

    @property
    def waiting_sink(self) -> Sink | None:
        """The sink whose data set has not ended."""
        return self._waiting[2] if self._waiting else None

    @property
    def waiting_context(self) -> int:
        """Where its fragments come."""
        return self._waiting[0] if self._waiting else 0

    def ended(self) -> Message:
        """The data set that waits has gone to its sink, past this reader."""
        assert self._waiting is not None
        message, self._waiting = Message(*self._waiting), None
        return message

    def take(self, context_id: int, control: int, content: memoryview) -> Message | None:
        is_last = bool(control & 2)
        if control & 1:
            return self._take_command(context_id, is_last, content)
        if self._waiting is None or self._waiting[0] != context_id:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A data set came without its command.")
        _id, command, sink = self._waiting
        sink.write(content)
        if not is_last:
            return None
        self._waiting = None
        return Message(context_id, command, sink)

    def _take_command(self, context_id: int, is_last: bool, content: memoryview) -> Message | None:
        if self._waiting is not None:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A command came instead of a data set.")
        self._command += content
        if len(self._command) > MAX_COMMAND:
            raise pdu.ProtocolError(pdu.Abort.INVALID_PARAMETER, "A command set is too long.")
        if not is_last:
            return None
        command = parse_command(bytes(self._command))
        self._command.clear()
        if not command.has_data_set:
            return Message(context_id, command, None)
        self._waiting = (context_id, command, self._open_sink(context_id, command))
        return None
