"""The line of one association: bytes in and out, the state of the upper layer, timers, opening and ending.

What goes over it once it is open is for ``association``. Every method runs on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import structlog
from django.db.utils import DatabaseError, InterfaceError

from interop.dicom import admission, pdu
from interop.dicom.doorkeeper import Admitted, Decision, Knock
from interop.dicom.logbook import Tally
from interop.dicom.upper_layer import Aborted, Data, Event, Requested, State, UpperLayer

if TYPE_CHECKING:
    from interop.dicom.server import Hub

log = structlog.get_logger("interop.dicom")

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)
#: Seconds in which the peer may close after the last word.
LINGER = 1.0
_scrap = bytearray(64 * 1024)


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. ``pdu_seconds``: a begun PDU, or message part, must be whole by then."""

    max_length: int = 131072
    request_seconds: float = 30
    idle_seconds: float = 300
    pdu_seconds: float = 60


class Connection(asyncio.BufferedProtocol, ABC):
    """From connect to close."""

    transport: asyncio.Transport
    request: pdu.AssociateRequest
    knock: Knock
    admitted: Admitted

    def __init__(self, hub: Hub) -> None:
        self.hub, self.loop, self.limits = hub, hub.loop, hub.settings.limits
        self.layer = UpperLayer(max_length=self.limits.max_length)
        self.tally = Tally()
        self.address = ""
        self.since = self.loop.time()
        #: Empty while it lives; afterwards why it does not.
        self.gone = ""
        #: (facility, calling AE title), once it is counted under them
        self.title: tuple[str, str] | None = None
        self.has_opened = self.is_admitted = self.is_busy = self.is_held = self.is_disconnected = False
        self.closing_at: float | None = None
        self.blocked_at: float | None = None

    # --- what goes over it

    @property
    @abstractmethod
    def is_between_messages(self) -> bool: ...

    @abstractmethod
    def open(self) -> bytes:
        """Who asks is ``admitted``: the A-ASSOCIATE-AC."""

    @abstractmethod
    def take(self, context_id: int, control: int, content: memoryview) -> None:
        """A presentation data value. Raises ProtocolError."""

    @abstractmethod
    def release_requested(self) -> None:
        """Ends in ``released``."""

    @abstractmethod
    def resume(self) -> None:
        """The peer takes more again."""

    @abstractmethod
    def lost(self) -> None:
        """Nothing can be said any more."""

    # --- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.address = (transport.get_extra_info("peername") or ("",))[0]
        self.hub.connected(self)

    def get_buffer(self, _sizehint: int) -> Any:
        return self.layer.free_space() if self.layer.state is not State.CLOSED else memoryview(_scrap)

    def buffer_updated(self, count: int) -> None:
        if self.layer.state is State.CLOSED:
            return
        self.layer.received(count)
        self.read_on()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = self.tally.outcome
        if self.layer.state is not State.CLOSED:
            self.layer.closed()
        if error is not None:
            log.info("connection_lost", error=type(error).__name__, address=self.address)
        self.is_disconnected = True
        self.hub.disconnected(self)
        self.lost()

    def pause_writing(self) -> None:
        self.blocked_at = self.loop.time()

    def resume_writing(self) -> None:
        self.blocked_at = None
        self.resume()

    def tick(self, now: float) -> None:
        """Look at the timers."""
        if self.closing_at is not None:
            if now > self.closing_at:
                self.transport.abort()
        elif not self.is_admitted:
            if now > self.since + self.limits.request_seconds and not self.is_held:
                self.hang_up("silent")
        elif self.blocked_at is not None and now > self.blocked_at + self.limits.pdu_seconds:
            self.hang_up("stalled")
        elif not self.is_busy:
            is_idle = self.layer.is_between_units and self.is_between_messages
            if now > self.since + (self.limits.idle_seconds if is_idle else self.limits.pdu_seconds):
                self.abort("idle" if is_idle else "stalled")

    # --- bytes

    def write(self, data: bytes) -> None:
        if not self.is_disconnected:
            self.transport.write(data)

    def hold(self, hold: bool) -> None:
        """Read on, or let the peer wait."""
        if hold == self.transport.is_reading():
            if hold:
                self.transport.pause_reading()
            elif not self.transport.is_closing():
                self.transport.resume_reading()

    def heard(self, event: Event) -> None:
        if isinstance(event, Data):
            for unit in pdu.pdvs(event.body):
                self.take(*unit)
        elif isinstance(event, Requested):
            self._decide(event.request)
        elif isinstance(event, Aborted):
            self.hang_up("aborted")
        else:
            self.release_requested()

    def read_on(self) -> None:
        try:
            while not self.is_held and (event := self.layer.next_event()) is not None:
                self.since = self.loop.time()
                self.heard(event)
        except pdu.ProtocolError as wrong:
            self.broken(wrong)
            return
        if QUICK_ACK is not None and not (self.layer.is_between_units and self.is_between_messages):
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    # --- opening

    def _decide(self, request: pdu.AssociateRequest) -> None:
        self.request = request
        malformed = admission.why_malformed(request)
        if not self.hub.may_open(self):
            self._reject(pdu.Rejection.LOCAL_LIMIT)
        elif malformed is not None:
            self._reject(malformed)
        else:
            certificate, is_tls = self.hub.certificate_of(self.transport)
            called, calling = request.called_ae_title.strip(" "), request.calling_ae_title.strip(" ")
            self.knock = Knock(called, calling, self.address, certificate, is_tls)
            self.is_held = True
            self.hub.doorkeeper.ask(self.knock, request, self._decided)
            if self.is_held:
                self.transport.pause_reading()

    def _reject(self, rejection: pdu.Rejection) -> None:
        self.write(pdu.associate_reject(rejection))
        self._last_word()

    def _decided(self, decision: Decision) -> None:
        was_paused, self.is_held = not self.transport.is_reading(), False
        if self.gone:
            return
        if was_paused:
            self.transport.resume_reading()
        if isinstance(decision, admission.Refusal):
            self._reject(decision.rejection)
        elif isinstance(decision, Exception):
            note_failure(decision)
            self._reject(pdu.Rejection.CONGESTION)
        elif not self.hub.may_open_for(self, decision):
            self._reject(pdu.Rejection.LOCAL_LIMIT)
        elif 0 < self.request.max_length < 64:
            self.broken(pdu.ProtocolError(pdu.Abort.INVALID_PARAMETER, "The peer takes no data."))
        else:
            self._accept(decision)
            if was_paused:
                self.read_on()

    def _accept(self, admitted: Admitted) -> None:
        self.admitted = admitted
        accept = self.open()
        self.is_admitted = True
        self.layer.accepted()
        self.write(accept)
        if self.hub.is_stopping:
            self.abort("stopped")

    # --- the end

    def abort(self, outcome: str, reason: pdu.Abort = pdu.Abort.NOT_SPECIFIED) -> None:
        """A-ABORT, with which the association ends."""
        if self.gone:
            return
        self.tally.outcome = self.gone = outcome
        self.write(pdu.abort(reason))
        self._last_word()

    def broken(self, wrong: pdu.ProtocolError) -> None:
        log.info("protocol_error", reason=wrong.reason.name, words=str(wrong), address=self.address)
        self.abort("protocol_error", wrong.reason)

    def hang_up(self, outcome: str) -> None:
        self.tally.outcome = self.gone = outcome
        self.layer.closed()
        if not self.is_disconnected:
            self.transport.abort()

    def released(self) -> None:
        self.write(pdu.release_response())
        self.layer.closed()
        self.closing_at = self.loop.time() + LINGER

    def _last_word(self) -> None:
        """PS3.8: the requestor closes after a release or a rejection; it gets a moment to do so."""
        self.layer.closed()
        if self.is_disconnected:
            return
        self.closing_at = self.loop.time() + LINGER
        self.hold(False)
        if self.hub.is_stopping:
            self.transport.close()
        elif self.transport.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                self.transport.write_eof()

    def stop(self) -> None:
        """The server stops: a running request may end."""
        if self.closing_at is not None:
            self.transport.close()
        elif not self.is_admitted:
            self.hang_up("stopped")
        elif not self.is_busy:
            self.abort("stopped")


def note_failure(error: Exception) -> None:
    """Admission could not be decided."""
    if isinstance(error, DatabaseError | InterfaceError):
        log.warning("database_unavailable", error=type(error).__name__)
    else:
        log.error("admission_failed", error=type(error).__name__, exc_info=error)
