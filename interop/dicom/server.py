"""The DICOM listeners: one event loop for all associations, with limits in all, per address and per AE title.

uvloop drives it where it is installed. Threads beside it do what waits (``work``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import signal
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings

from interop.dicom import mpps, query, retrieve, sharing, storage, storage_commitment, verification, worklist  # noqa: F401  handlers register themselves
from interop.dicom.association import Association
from interop.dicom.connection import Limits
from interop.dicom.doorkeeper import Admitted, Doorkeeper
from interop.dicom.intake import Budget, Storing
from interop.dicom.logbook import LEAVES_NOTHING, Logbook, settle
from interop.dicom.statements import Lines
from interop.dicom.work import Pool

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

__all__ = ["Limits", "Server", "ServerSettings", "fingerprint_of", "tls_context"]

log = structlog.get_logger("interop.dicom")

BACKLOG = 512
#: Connections that have not asked for an association yet; of more, the oldest is closed.
MAX_PENDING = 256
TICK_SECONDS = 0.2
#: For the last lines of the logbook.
WRITING_SECONDS = 1.0


@dataclass(frozen=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = None
    max_associations: int = 200
    max_per_address: int = 100
    max_per_title: int = 100
    reuse_port: bool = False
    #: threads for requests, threads for retrieves (they last), connections for worklist queries
    workers: int = 8
    retrievers: int = 4
    #: threads for associations that store; of more, the event loop reads
    receivers: int = 8
    lines: int = 4
    #: bytes of data sets that have come and are not in a file yet
    max_held: int = 128 * 1024 * 1024
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_settings(cls, **given: Any) -> ServerSettings:
        limits = Limits(
            max_length=settings.RIS_DICOM_MAX_PDU,
            request_seconds=settings.RIS_DICOM_REQUEST_SECONDS,
            idle_seconds=settings.RIS_DICOM_IDLE_SECONDS,
        )
        return cls(
            max_associations=settings.RIS_DICOM_ASSOCIATIONS,
            max_per_address=settings.RIS_DICOM_ASSOCIATIONS_PER_ADDRESS,
            max_per_title=settings.RIS_DICOM_ASSOCIATIONS_PER_ADDRESS,
            limits=limits,
            **given,
        )


class Hub:
    """What all associations share. On the loop, but for what says otherwise."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chosen: ServerSettings) -> None:
        self.loop, self.settings = loop, chosen
        self.pool, self.long_pool = Pool(chosen.workers, "dicom"), Pool(chosen.retrievers, "dicom-retrieve")
        self.store_pool = Pool(chosen.receivers, "dicom-store")
        #: associations that read in threads
        self.receiving = 0
        self.lines = Lines(loop, self.pool.put, chosen.lines)
        self.doorkeeper = Doorkeeper(loop, self.pool, self.lines)
        self.logbook = Logbook(loop, self.lines)
        self.budget = Budget(chosen.max_held)
        self.is_stopping = False
        #: Set while nobody is connected and nothing is left to write down.
        self.is_quiet = threading.Event()
        self.is_quiet.set()
        self._pending: dict[Association, None] = {}
        self._live: set[Association] = set()
        self._by_address: defaultdict[str, int] = defaultdict(int)
        self._by_title: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._winding_up = 0
        self._opened = 0
        #: Called with each connection that has ended.
        self.told: Callable[[], None] = _nobody
        self._ticking: asyncio.TimerHandle | None = None

    # --- associations come and go

    def connected(self, association: Association) -> None:
        self.is_quiet.clear()
        while len(self._pending) >= MAX_PENDING:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.transport.abort()
        self._live.add(association)
        self._pending[association] = None
        if self._ticking is None:
            self._ticking = self.loop.call_later(TICK_SECONDS, self._tick)
        if self.is_stopping:
            association.stop()

    def may_open(self, association: Association) -> bool:
        """Whether one more association is taken; counts it when it is."""
        self._pending.pop(association, None)
        address = association.address
        if (
            self.is_stopping
            or self._opened >= self.settings.max_associations
            or self._by_address[address] >= self.settings.max_per_address
        ):
            return False
        association.has_opened = True
        self._opened += 1
        self._by_address[address] += 1
        return True

    def may_open_for(self, association: Association, admitted: Admitted) -> bool:
        title = (admitted.facility.schema_name, admitted.knock.calling)
        if self._by_title[title] >= self.settings.max_per_title:
            return False
        self._by_title[title] += 1
        association.title = title
        return True

    def disconnected(self, association: Association) -> None:
        self.told()
        self._pending.pop(association, None)
        if association.has_opened:
            self._opened -= 1
            _count_down(self._by_address, association.address)
        if association.title is not None:
            _count_down(self._by_title, association.title)

    def wind_up(self, association: Association, unfinished: Storing | None) -> None:
        """Write an association down when all that it left to do is done."""
        if not association.is_admitted:
            self._forget(association)
            return
        caller, tally = association.caller, association.tally
        if unfinished is None and tally.counts.keys() <= LEAVES_NOTHING:
            self.logbook.put(caller, tally)
            self._forget(association)
        else:

            def work() -> None:
                try:
                    if unfinished is not None:
                        unfinished.drop()
                    settle(caller, tally)
                finally:
                    self.loop.call_soon_threadsafe(self._settled, association)

            association.lane.put(work)

    def _settled(self, association: Association) -> None:
        self.logbook.put(association.caller, association.tally)
        self._forget(association)

    def _forget(self, association: Association) -> None:
        self._live.discard(association)
        if not self._live:
            self.is_quiet.set()

    def certificate_of(self, transport: asyncio.Transport) -> tuple[str | None, bool]:
        """(fingerprint of the client's certificate, whether this is TLS)"""
        tls = transport.get_extra_info("ssl_object")
        return (fingerprint_of(tls), True) if tls is not None else (None, False)

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK_SECONDS, self._tick) if self._live else None
        now = self.loop.time()
        for association in tuple(self._live):
            association.tick(now)
        self.lines.tick()

    # --- the end

    def stop(self) -> None:
        self.is_stopping = True
        for association in tuple(self._live):
            association.stop()

    def cut(self) -> None:
        for association in tuple(self._live):
            association.transport.abort()


def _nobody() -> None:
    """Nobody counts the connections of this process."""


def _count_down(counts: dict[Any, int], key: Any) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]


class Server:
    """``start`` listens (raises OSError when a port is taken), ``stop`` lets running requests end.

    ``line``: of a process that is given its connections by another one (``sharing``); it does not listen itself.
    """

    def __init__(self, chosen: ServerSettings, line: socket.socket | None = None) -> None:
        self.settings, self._line = chosen, line
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.AbstractServer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshaking = 0
        self._loop = new_event_loop()
        self._hub = Hub(self._loop, chosen)
        self._thread = threading.Thread(target=self._run, name="dicom-loop", daemon=True)

    @property
    def port(self) -> int:
        return self._sockets[0].getsockname()[1]

    @property
    def tls_port(self) -> int:
        return self._sockets[1].getsockname()[1]

    def start(self) -> None:
        context = tls_context() if self.settings.tls_port is not None else None
        if self._line is None:
            self._sockets = listeners(self.settings)
        self._thread.start()
        self._on_loop(self._listen(context))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _on_loop(self, coroutine: Coroutine[Any, Any, None], seconds: float | None = None) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _listen(self, context: ssl.SSLContext | None) -> None:
        if self._line is not None:
            self._line.setblocking(False)
            self._hub.told = self._tell
            self._loop.add_reader(self._line, self._take_given, self._line, context)
            return
        factory = functools.partial(Association, self._hub)
        self._listeners.append(await self._loop.create_server(factory, sock=self._sockets[0], backlog=BACKLOG))
        if context is not None:
            task = self._loop.create_task(self._accept_tls(self._sockets[1], context))
            self._tasks.add(task)

    def _take_given(self, line: socket.socket, context: ssl.SSLContext | None) -> None:
        """A connection that another process has accepted."""
        try:
            word, given, _flags, _address = socket.recv_fds(line, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            word, given = b"", []
        if not word:  # that process is gone, and nobody else stops this one
            self._loop.remove_reader(line)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if not given:
            log.warning("accept_failed", error="out of descriptors")
            self._tell()
            return
        sock = socket.socket(fileno=given[0])
        sock.setblocking(False)
        if word != sharing.TLS or context is None:
            task = self._loop.create_task(self._adopt(sock))
        elif self._handshaking >= MAX_PENDING:
            sock.close()
            self._tell()
            return
        else:
            self._handshaking += 1
            task = self._loop.create_task(self._shake_hands(sock, _address_of(sock), context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adopt(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(functools.partial(Association, self._hub), sock)
        except OSError as error:
            log.info("connection_lost", error=type(error).__name__)
            sock.close()
            self._tell()

    def _tell(self) -> None:
        """The process that gives connections counts them."""
        assert self._line is not None
        try:
            self._line.send(sharing.ENDED)
        except OSError as error:
            log.info("nobody_counts", error=type(error).__name__)

    async def _accept_tls(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Accept by hand: handshakes that do not end are counted, too."""
        while True:
            try:
                sock, remote = await self._loop.sock_accept(listener)
            except OSError as error:
                log.warning("accept_failed", error=type(error).__name__)
                await asyncio.sleep(0.1)  # out of descriptors: the ones in use come back
                continue
            if self._handshaking >= MAX_PENDING:
                sock.close()
                continue
            self._handshaking += 1
            task = self._loop.create_task(self._shake_hands(sock, remote[0], context))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, sock: socket.socket, address: str, context: ssl.SSLContext) -> None:
        seconds = self.settings.limits.request_seconds
        try:
            await self._loop.connect_accepted_socket(
                functools.partial(Association, self._hub), sock, ssl=context, ssl_handshake_timeout=seconds
            )
        except (TimeoutError, OSError, ssl.SSLError) as error:
            log.info("tls_refused", address=address, error=type(error).__name__)
            sock.close()
            self._hub.told()
        finally:
            self._handshaking -= 1

    def stop(self, seconds: float = 8) -> None:
        """Stop listening, let running requests end, abort what is idle; then write down what there was."""
        if not self._thread.is_alive():
            return
        deadline = time.monotonic() + seconds

        def left() -> float:
            return max(0.05, deadline - time.monotonic())

        with contextlib.suppress(TimeoutError):
            self._on_loop(self._begin_to_stop(), left())
        self._hub.is_quiet.wait(left())
        with contextlib.suppress(TimeoutError):
            self._on_loop(self._end(), left())
        pools = (self._hub.pool, self._hub.long_pool, self._hub.store_pool)
        for pool in pools:
            pool.stop()
        for pool in pools:
            pool.join(left)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(left())

    async def _begin_to_stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for listener in self._listeners:
            listener.close()
        if self._line is not None:
            self._loop.remove_reader(self._line)
        for sock in self._sockets:
            sock.close()
        self._hub.stop()

    async def _end(self) -> None:
        """Cut what is left, write down what there was, and leave the database."""
        hub, end = self._hub, self._loop.time() + WRITING_SECONDS
        hub.cut()
        await asyncio.sleep(0)
        hub.logbook.flush()
        while not (hub.is_quiet.is_set() and hub.logbook.is_clear) and self._loop.time() < end:
            await asyncio.sleep(0.01)
            hub.logbook.flush()
        hub.lines.close()


def _address_of(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except OSError:  # it has gone
        return ""


def listeners(chosen: ServerSettings) -> list[socket.socket]:
    """Bound and listening: the plain one, and the one of TLS where there is one. Raises OSError."""
    found: list[socket.socket] = []
    try:
        for port in (chosen.port, chosen.tls_port):
            if port is not None:
                found.append(_listener(chosen, port))
    except OSError:
        for listener in found:
            listener.close()
        raise
    return found


def _listener(chosen: ServerSettings, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in chosen.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # accepted sockets inherit these
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if chosen.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((chosen.host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def tls_context() -> ssl.SSLContext:
    """TLS 1.2 and 1.3 (BCP 195). Client certificates are asked for when there is an authority to believe."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM")
    context.load_cert_chain(settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY or None)
    if settings.RIS_TLS_CLIENT_CA:
        context.load_verify_locations(settings.RIS_TLS_CLIENT_CA)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def fingerprint_of(tls: ssl.SSLObject | ssl.SSLSocket) -> str | None:
    """SHA-256 of the verified client certificate, when one was shown."""
    certificate = tls.getpeercert(binary_form=True)
    return hashlib.sha256(certificate).hexdigest() if certificate else None
