"""A connection's bytes. What is whole and quick is stored and answered right here, in the loop's own turn: no task is
woken, nothing is parsed twice. All else, and all that comes while something else is under way, goes to the
conversation's task, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from interop.hl7 import acknowledgements as ack
from interop.hl7 import storing
from interop.hl7.door import Door
from interop.hl7.messages import INTERNAL_ERROR, Location, peek
from interop.hl7.mllp import END, RETURN, START, frame

READ_SIZE = 64 * 1024
FIRST, LAST = START, END + RETURN


class Line(asyncio.StreamReaderProtocol):
    """``idle_at``: where the connection came in, while its task waits for the first byte of a frame."""

    def __init__(
        self,
        storer: storing.Storer,
        accepted: Callable[[Line, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> None:
        super().__init__(asyncio.StreamReader(limit=READ_SIZE), lambda *streams: accepted(self, *streams))
        self.storer = storer
        self.idle_at: Door | None = None
        #: by the loop's clock
        self.spoke_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._quicks: list[storing.Quick] = []
        self._held: list[bytes] = []
        self._has_ended = self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._quicks:
            self._held.append(data)
            if sum(map(len, self._held)) > READ_SIZE and self._transport is not None and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            return
        self._quicks = self._quick_ones(data)
        if not self._quicks:
            self.idle_at = None
            super().data_received(data)
            return
        self.spoke_at = asyncio.get_running_loop().time()
        self.storer.tell(self._quicks, self._told)

    def eof_received(self) -> bool | None:
        if self._quicks:
            self._has_ended = True
            return True
        return super().eof_received()

    def _quick_ones(self, data: bytes) -> list[storing.Quick]:
        """Of whole frames that are all quick, and for one facility; else none."""
        door, transport = self.idle_at, self._transport
        if door is None or transport is None or data[:1] != FIRST or data[-2:] != LAST:
            return []
        if transport.get_write_buffer_size():
            return []  # who does not read is waited for by the task, for a time
        found: list[storing.Quick] = []
        for raw in data[1:-2].split(LAST + FIRST):
            one = None if START in raw or END in raw else storing.quick(raw, door)
            if one is None or (found and found[0].schema != one.schema):
                return []
            found.append(one)
        return found

    def _told(self, answers: list[bool], failure: Exception | None) -> None:
        quicks, self._quicks = self._quicks, []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if failure is not None:
            if not isinstance(failure, TimeoutError):
                transport.write(b"".join(frame(reply) for reply in cannot_now(quicks[0].raw)))
            transport.close()
            return
        count = answers.index(False) if False in answers else len(quicks)
        transport.write(b"".join([frame(reply) for one in quicks[:count] for reply in one.reply()]))
        if count < len(quicks):  # a repeat, which the task answers; what came after it is stored, and a repeat by now
            self.idle_at = None
            super().data_received(b"".join(frame(one.raw) for one in quicks[count:]))
        self._go_on()

    def _go_on(self) -> None:
        """With what came meanwhile."""
        held, self._held = b"".join(self._held), []
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        if held:
            self.data_received(held)
        if self._has_ended and not self._quicks:
            super().eof_received()


def cannot_now(raw: bytes) -> list[bytes]:
    """Enhanced mode has a word for it, CE; in original mode silence makes the sender repeat."""
    header = peek(raw)
    if header is None or not header.is_enhanced or not ack.wants(header.accept_acknowledgement, success=False):
        return []
    problem = ack.Problem(INTERNAL_ERROR, Location("MSH"), "It cannot be stored now; send it again.")
    return [ack.acknowledge(header, ack.COMMIT_ERROR, problems=(problem,))]
