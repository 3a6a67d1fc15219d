"""An association that stores, in a thread of its own: from the socket to the file, the index and the answer.

On the event loop an image of 512 KiB costs half a dozen wake-ups between loop and thread, which is as much as all the
rest. So an association moves into a thread with its first C-STORE, when one is free, and takes its line along: bytes
are written and hashed from where they were received. Whatever is no C-STORE, silence, a stop or the end bring it back
to the loop, which goes on where the thread has stopped. While it is away nobody else touches its upper layer, its
message reader or its socket.

TLS stays on the loop: its state does.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog

from interop.dicom import pdu
from interop.dicom.doorkeeper import REMEMBERED_SECONDS
from interop.dicom.fingerprint import prepare
from interop.dicom.intake import MOST_TOGETHER, DiscardSink, StoreIntake
from interop.dicom.logbook import settle
from interop.dicom.messages import Field, Message
from interop.dicom.requests import stored_answer
from interop.dicom.upper_layer import Data, ReleaseRequested
from interop.dicom.work import clean_up

if TYPE_CHECKING:
    from interop.dicom.association import Association

log = structlog.get_logger("interop.dicom")

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)
#: Silence after which an association goes back to the loop.
PATIENCE = 0.2
#: Seconds for another look at the peer's rights: a little more than a statement may take.
LOOKING = 12.0
ROOM = 1 << 20

_of_thread = threading.local()
Then = Callable[[], None]


def _buffer() -> bytearray:
    """The receive buffer of this thread."""
    if not hasattr(_of_thread, "buffer"):
        _of_thread.buffer = bytearray(ROOM)
    return _of_thread.buffer


class Receiver:
    """One stay of an association in a thread. Made on the loop, ``run`` in the thread."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._layer, self._reader = association.layer, association.reader
        self._socket: socket.socket = association.transport.get_extra_info("socket").dup()
        self._socket.setblocking(False)
        self._silence = select.poll()
        self._silence.register(self._socket, select.POLLIN)
        self._is_lost = False

    def lost(self) -> None:
        """On the loop: the line was cut. The thread wakes up and comes back."""
        self._is_lost = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer was faster

    def run(self, message: Message | None) -> None:
        """``message``: a C-STORE that has come whole before."""
        association, then = self._association, _nothing
        try:
            self._layer.use(_buffer())
            then = self._serve(message)
        except pdu.ProtocolError as wrong:
            then = partial(association.broken, wrong)
        except OSError as error:
            log.info("receiving_ended", error=type(error).__name__, address=association.address)
        except Exception:
            log.exception("receiving_failed")
            then = partial(association.abort, "failed")
        finally:
            waiting = self._reader.waiting_sink
            if isinstance(waiting, StoreIntake):
                waiting.flush()
            self._layer.use(None)
            self._socket.close()
            association.loop.call_soon_threadsafe(association.came_back, then)

    def _serve(self, message: Message | None) -> Then:
        """What the loop has to do next."""
        association, layer = self._association, self._layer
        if message is not None:
            self._answer(message)
        while True:
            waiting = self._reader.waiting_sink
            intake = waiting if isinstance(waiting, StoreIntake) else None
            if intake is not None and self._fragments(intake):
                continue
            event = layer.next_event()
            if isinstance(event, Data):
                association.since = time.monotonic()
                then = self._take(pdu.pdvs(event.body))
                if then is not None:
                    return then
            elif isinstance(event, ReleaseRequested):
                association.tally.outcome = "released"
                settle(association.caller, association.tally)
                return association.settled
            elif event is not None:
                return partial(association.heard, event)
            elif not self._receive(intake):
                return _nothing

    def _fragments(self, intake: StoreIntake) -> bool:
        """A data set, past the reader; False when what comes next is for that, or has not come."""
        before = len(intake.here)
        if self._layer.fragments(self._reader.waiting_context, intake.here, MOST_TOGETHER):
            self._store(self._reader.ended())
            return True
        if len(intake.here) > before:
            self._association.since = time.monotonic()
        if len(intake.here) < MOST_TOGETHER:
            return False
        intake.flush()
        return True

    def _store(self, message: Message) -> None:
        self._association.tally.counts[Field.C_STORE.name] += 1
        self._answer(message)

    def _take(self, units: Iterator[tuple[int, int, memoryview]]) -> Then | None:
        """The values of one P-DATA-TF; the rest of them is the loop's where one is no C-STORE's."""
        association, reader = self._association, self._reader
        for context_id, control, content in units:
            association.check_context(context_id)
            message = reader.take(context_id, control, content)
            if message is None:
                waiting = reader.waiting_sink
                if waiting is None or isinstance(waiting, StoreIntake | DiscardSink):
                    continue
            elif isinstance(message.sink, StoreIntake | DiscardSink):
                self._store(message)
                continue
            return partial(association.go_on, message, units)
        return None

    def _space(self, intake: StoreIntake | None) -> memoryview:
        """Where more bytes go. Pieces stay in the buffer while there is room behind them."""
        if intake is not None and intake.here:
            intake.look()
            space = self._layer.space_behind() if intake.here else None
            if space is not None:
                return space
            intake.flush()
        return self._layer.free_space()

    def _receive(self, intake: StoreIntake | None) -> bool:
        """More bytes; False when there are none and the loop shall see why, or wait for them."""
        association, space = self._association, self._space(intake)
        while True:
            try:
                count = self._socket.recv_into(space)
            except BlockingIOError:
                if QUICK_ACK is not None and not (self._layer.is_between_units and self._reader.is_idle):
                    self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
                if not self._silence.poll(PATIENCE * 1000) or self._is_lost or association.hub.is_stopping:
                    return False
                continue
            self._layer.received(count)
            is_stalled = time.monotonic() > association.since + association.limits.pdu_seconds
            return count > 0 and not (is_stalled or self._is_lost or association.hub.is_stopping)

    def _answer(self, message: Message) -> None:
        association, sink = self._association, message.sink
        if isinstance(sink, StoreIntake):
            answer, stored = sink.finish()
            if stored is not None:
                association.tally.stored[stored.series_id] += 1
        else:
            assert isinstance(sink, DiscardSink)
            answer = sink.answer
        association.tally.note(answer.status)
        self._send(association.encoded(message, answer) if answer.status else self._stored(message))
        if answer.status:
            clean_up()
        prepare()
        association.since = time.monotonic()

    def _stored(self, message: Message) -> bytes:
        command, room = message.command, self._association.request.max_length
        return stored_answer(
            message.context_id, command.message_id, command.sop_class_uid, command.sop_instance_uid, room
        )

    def _send(self, data: bytes) -> None:
        sent = self._socket.send(data)
        if sent < len(data):
            self._socket.settimeout(self._association.limits.pdu_seconds)
            self._socket.sendall(data[sent:])
            self._socket.setblocking(False)

    def look_again(self) -> None:
        """The peer's rights as they are now, where they were not looked at lately."""
        association = self._association
        if time.monotonic() - association.admitted.checked_at > REMEMBERED_SECONDS:
            seen = threading.Event()
            association.loop.call_soon_threadsafe(association.look_again, seen.set)
            seen.wait(LOOKING)


def _nothing() -> None:
    """The loop reads on."""
