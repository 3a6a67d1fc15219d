"""The DICOM listeners: a thread per association, counted, with limits in all and per address."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings

from interop.dicom import mpps, query, retrieve, storage, verification, worklist  # noqa: F401  handlers register themselves
from interop.dicom.association import Association, Limits

log = structlog.get_logger("interop.dicom")

BACKLOG = 256
#: Connections that have not asked for an association yet; of more, the oldest is closed.
MAX_PENDING = 256


@dataclass(frozen=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = None
    max_associations: int = 200
    max_per_address: int = 100
    reuse_port: bool = False
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
            limits=limits,
            **given,
        )


class Server:
    """``start`` listens (raises OSError when a port is taken), ``stop`` lets running requests end."""

    def __init__(self, chosen: ServerSettings) -> None:
        self.settings = chosen
        self._listeners: list[socket.socket] = []
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._threads: set[threading.Thread] = set()
        self._pending: dict[threading.Thread, socket.socket] = {}
        self._is_stopping = threading.Event()

    @property
    def port(self) -> int:
        return self._listeners[0].getsockname()[1]

    @property
    def tls_port(self) -> int:
        return self._listeners[1].getsockname()[1]

    def start(self) -> None:
        self._listen(self.settings.port, None)
        if self.settings.tls_port is not None:
            self._listen(self.settings.tls_port, tls_context())

    def _listen(self, port: int, context: ssl.SSLContext | None) -> None:
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.settings.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((self.settings.host, port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listeners.append(listener)
        name = "dicom-tls" if context else "dicom"
        threading.Thread(target=self._accept, args=(listener, context), name=name, daemon=True).start()

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        while not self._is_stopping.is_set():
            try:
                sock, remote = listener.accept()
            except OSError as error:
                if self._is_stopping.is_set():
                    return
                log.warning("accept_failed", error=type(error).__name__)
                time.sleep(0.1)  # out of descriptors: the ones in use come back
                continue
            thread = threading.Thread(target=self._serve, args=(sock, remote[0], context), daemon=True)
            with self._lock:
                self._make_room()
                self._threads.add(thread)
                self._pending[thread] = sock
            thread.start()

    def _make_room(self) -> None:
        """Close the connections that have been silent for longest, when there are too many."""
        while len(self._pending) >= MAX_PENDING:
            oldest = self._pending.pop(next(iter(self._pending)))
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)

    def _serve(self, sock: socket.socket, address: str, context: ssl.SSLContext | None) -> None:
        thread = threading.current_thread()
        try:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            certificate = None
            if context is not None:
                wrapped = self._handshake(sock, address, context)
                if wrapped is None:
                    return
                sock, certificate = wrapped, fingerprint_of(wrapped)
                with self._lock:
                    if thread in self._pending:
                        self._pending[thread] = sock
            limits = self.settings.limits
            self._run(
                Association(
                    sock,
                    address,
                    limits,
                    may_open=self._may_open,
                    stopping=self._is_stopping,
                    certificate=certificate,
                )
            )
        except Exception:
            log.exception("association_failed", address=address)
        finally:
            with self._lock:
                self._threads.discard(thread)
                self._pending.pop(thread, None)

    def _handshake(self, sock: socket.socket, address: str, context: ssl.SSLContext) -> ssl.SSLSocket | None:
        sock.settimeout(self.settings.limits.request_seconds)
        try:
            return context.wrap_socket(sock, server_side=True)
        except OSError as error:
            log.info("tls_refused", address=address, error=type(error).__name__)
            sock.close()
            return None

    def _run(self, association: Association) -> None:
        try:
            association.run()
        finally:
            with self._lock:
                if association.has_opened:
                    self._open[association.address] -= 1
                    if not self._open[association.address]:
                        del self._open[association.address]

    def _may_open(self, address: str) -> bool:
        """Whether one more association is taken; counts it when it is."""
        with self._lock:
            self._pending.pop(threading.current_thread(), None)
            if (
                self._is_stopping.is_set()
                or self._open.total() >= self.settings.max_associations
                or self._open[address] >= self.settings.max_per_address
            ):
                return False
            self._open[address] += 1
            return True

    def stop(self, seconds: float = 8) -> None:
        """Stop listening, let running requests end, abort what is idle."""
        self._is_stopping.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            threads = list(self._threads)
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


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


def fingerprint_of(sock: ssl.SSLSocket) -> str | None:
    """SHA-256 of the verified client certificate, when one was shown."""
    certificate = sock.getpeercert(binary_form=True)
    return hashlib.sha256(certificate).hexdigest() if certificate else None
