"""A request while it runs: cancelled or not, what its thread sends, and the C-STOREs of a C-GET."""

from __future__ import annotations

import os
import queue
import struct
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from interop.dicom import dimse, pdu
from interop.dicom.dimse import Handler, Lost, Request, Status
from interop.dicom.elements import padded
from interop.dicom.headers import MAX_META, read_file_start
from interop.dicom.messages import (
    RESPONDED_ID,
    RESPONSE,
    Command,
    Field,
    Message,
    encode_response,
    encode_store_request,
)

if TYPE_CHECKING:
    from interop.dicom.association import Association

SEND_BATCH = 64 * 1024
#: Batches that a thread may have on their way to the socket.
AHEAD = 4
_DATA_HEAD = struct.Struct(">BxLLBB")
_SHORT = struct.Struct("<H")
#: The header of (0000,0120), Message ID Being Responded To.
_RESPONDED_ID = struct.pack("<HHL", 0, RESPONDED_ID & 0xFFFF, 2)


def chunks_of(message: Message, answers: Iterable[tuple[int, bytes]], max_length: int) -> Iterator[tuple[bytes, bool]]:
    """C-FIND-RSPs for (status, identifier), in chunks of 64 KiB at most or one answer; with the last, Success."""
    room = max_length or 1 << 20
    heads: dict[int, bytes] = {}
    parts: list[bytes] = []
    size = 0
    for status, identifier in answers:
        head = heads.get(status)
        if head is None:
            head = heads[status] = _command(message, status, True, max_length)
        length = len(identifier)
        if length + 6 <= room:
            parts += (head, _DATA_HEAD.pack(4, length + 6, length + 2, message.context_id, 2), identifier)
        else:
            parts.append(head)
            parts += pdu.p_data(message.context_id, identifier, is_command=False, max_length=max_length)
        size += len(head) + length + 12
        if size >= SEND_BATCH:
            yield b"".join(parts), False
            parts, size = [], 0
    parts.append(_command(message, Status.SUCCESS, False, max_length))
    yield b"".join(parts), True


def _command(message: Message, status: int, has_data_set: bool, max_length: int) -> bytes:
    command = message.command
    return _encoded(
        message.context_id, command.field, command.message_id, command.sop_class_uid, status, has_data_set, max_length
    )


@lru_cache(1024)
def _encoded(
    context_id: int, command_field: int, message_id: int, sop_class: str, status: int, has_data_set: bool, length: int
) -> bytes:
    asked = Command(command_field, message_id, sop_class, "", True)
    command = encode_response(asked, status, has_data_set=has_data_set)
    return b"".join(pdu.p_data(context_id, command, is_command=True, max_length=length))


def stored_answer(context_id: int, message_id: int, sop_class: str, sop_instance: str, max_length: int) -> bytes:
    """C-STORE-RSP, Success: but for the message's number and the UID it is the one before."""
    before, between = _around_stored(context_id, sop_class, len(sop_instance))
    answer = before + _SHORT.pack(message_id) + between + padded(sop_instance.encode(), b"UI")
    if len(answer) - pdu.HEADER.size <= (max_length or len(answer)):
        return answer
    command = answer[pdu.HEADER.size + pdu.PDV_HEADER.size :]
    return b"".join(pdu.p_data(context_id, command, is_command=True, max_length=max_length))


@lru_cache(1024)
def _around_stored(context_id: int, sop_class: str, length: int) -> tuple[bytes, bytes]:
    command = encode_response(
        Command(Field.C_STORE, 0, sop_class, "", True), Status.SUCCESS, sop_instance_uid="0" * length
    )
    whole = b"".join(pdu.p_data(context_id, command, is_command=True, max_length=0))
    at = whole.index(_RESPONDED_ID) + len(_RESPONDED_ID)
    return whole[:at], whole[at + 2 : len(whole) - length - length % 2]


def _rest_of(file: BinaryIO) -> bytes:
    """What cannot be read any more breaks a message that has begun."""
    try:
        return file.read(SEND_BATCH)
    except OSError:
        raise Lost("failed") from None


class Running:
    """What the loop and the thread of one request share."""

    def __init__(self, association: Association, message: Message) -> None:
        self.association, self.message = association, message
        self.has_been_cancelled = False
        self._room: threading.Semaphore | None = None
        self._owed = 0
        self._replies: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._batch = bytearray()
        self._stores = 0

    # --- on the loop

    def hears(self, command: Command) -> bool:
        """Whether a command that came meanwhile is for this request."""
        if command.field == Field.C_CANCEL:
            self.has_been_cancelled |= command.message_id == self.message.command.message_id
            return True
        if command.field == Field.C_STORE | RESPONSE and self.message.command.field == Field.C_GET:
            self._replies.put(command)
            return True
        return False

    def _write(self, data: bytes) -> None:
        assert self._room is not None
        self.association.write(data)
        if self.association.blocked_at is None or self.association.gone:
            self._room.release()
        else:
            self._owed += 1

    def resume(self) -> None:
        if self._room is not None and self._owed:
            self._room.release(self._owed)
            self._owed = 0

    def lost(self) -> None:
        self._replies.put(None)
        if self._room is not None:
            self._room.release(AHEAD)

    # --- in the thread

    def perform(self, handler: Handler, request: Request) -> None:
        association = self.association
        self._room = threading.Semaphore(AHEAD)
        try:
            for answer in dimse.perform(handler, request):
                association.tally.note(answer.status)
                self._batch += association.encoded(self.message, answer)
                if len(self._batch) >= SEND_BATCH or (handler.field in dimse.RETRIEVES and answer.is_pending):
                    self._flush()
        except Lost as lost:
            if not association.gone:
                association.loop.call_soon_threadsafe(association.abort, lost.outcome)
            self._batch.clear()
        except pdu.ProtocolError:
            self._batch.clear()
        finally:
            association.loop.call_soon_threadsafe(association.finished, bytes(self._batch))

    def _flush(self) -> None:
        data = bytes(self._batch)
        self._batch.clear()
        self._send(data)

    def _send(self, data: bytes) -> None:
        """Raises Lost."""
        assert self._room is not None
        if not self._room.acquire(timeout=self.association.limits.pdu_seconds):
            raise Lost("stalled")
        if self.association.gone:
            raise Lost(self.association.gone)
        self.association.loop.call_soon_threadsafe(self._write, data)

    def is_cancelled(self) -> bool:
        """Whether a C-CANCEL has come. Raises Lost when the peer has gone."""
        if self.association.gone:
            raise Lost(self.association.gone)
        return self.has_been_cancelled

    def accepts(self, sop_class_uid: str) -> tuple[str, ...]:
        terms = self.association.terms
        if sop_class_uid not in terms.taken_back:
            return ()
        return tuple(one.transfer_syntax for one in terms.contexts.values() if one.abstract_syntax == sop_class_uid)

    def store(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, path: str | os.PathLike[str]
    ) -> int:
        """C-STORE a Part 10 file on the association of the C-GET. Raises Lost, OSError."""
        if transfer_syntax_uid not in self.accepts(sop_class_uid):
            return Status.CLASS_NOT_SUPPORTED
        wanted = (sop_class_uid, transfer_syntax_uid)
        contexts = self.association.terms.contexts.items()
        context_id = next(key for key, one in contexts if (one.abstract_syntax, one.transfer_syntax) == wanted)
        length = self.association.request.max_length
        self._stores = self._stores % 0xFFFF + 1
        with open(path, "rb") as file:
            file.seek(read_file_start(file.read(MAX_META)).offset)
            chunk = file.read(SEND_BATCH)
            asked = encode_store_request(self._stores, sop_class_uid, sop_instance_uid)
            self._batch += b"".join(pdu.p_data(context_id, asked, is_command=True, max_length=length))
            while chunk:
                following = _rest_of(file)
                self._batch += b"".join(
                    pdu.p_data(context_id, chunk, is_command=False, max_length=length, is_last=not following)
                )
                self._flush()
                chunk = following
        return self._reply()

    def _reply(self) -> int:
        try:
            reply = self._replies.get(timeout=self.association.limits.pdu_seconds)
        except queue.Empty:
            raise Lost("stalled") from None
        if reply is None:
            raise Lost(self.association.gone or "lost")
        if reply.message_id != self._stores:
            return self._reply()
        return reply.status or 0
