"""Connections to destinations: kept open between messages, of this process, never used by two senders at once.

One that the other side has closed meanwhile is noticed before anything is sent over it. One that broke under a message
is replaced at once, with the same MSH-10, when it had been kept: firewalls drop what is idle without a word.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from django.conf import settings

from interop.hl7.mllp import Deframer

CONNECT_SECONDS = 5.0
IDLE_AT_MOST = 60.0
KEPT_AT_MOST = 4
ANSWER_LIMIT = 256 * 1024

#: facility, address, port, host (for TLS) or ""
Key = tuple[str, str, int, str]


@dataclass
class Connection:
    """``is_kept``: it has carried a message before."""

    peer: socket.socket
    is_kept: bool = False
    used_at: float = field(default_factory=time.monotonic)
    deframer: Deframer = field(default_factory=lambda: Deframer(limit=ANSWER_LIMIT))

    def close(self) -> None:
        try:
            self.peer.close()
        except OSError:  # a TLS peer that is gone already
            return

    def is_usable(self) -> bool:
        """Neither too old, nor closed, nor with something in it that nobody asked for."""
        if time.monotonic() - self.used_at > IDLE_AT_MOST or self.deframer.is_inside:
            return False
        try:
            readable, _writable, _odd = select.select([self.peer], [], [], 0)
        except (OSError, ValueError):
            return False
        return not readable


_kept: dict[Key, list[Connection]] = defaultdict(list)
_lock = threading.Lock()


def take(key: Key, timeout: float) -> Connection:
    """A kept connection, else a new one. Raises OSError."""
    while True:
        with _lock:
            connection = _kept[key].pop() if _kept[key] else None
        if connection is None:
            return connect(key, timeout)
        if connection.is_usable():
            connection.is_kept = True
            return connection
        connection.close()


def give_back(key: Key, connection: Connection) -> None:
    connection.used_at = time.monotonic()
    with _lock:
        if len(_kept[key]) < KEPT_AT_MOST:
            _kept[key].append(connection)
            return
    connection.close()


def drop(key: Key) -> None:
    """All that are kept to there: what killed one has most likely killed the others."""
    with _lock:
        connections = _kept.pop(key, [])
    for connection in connections:
        connection.close()


def close_all() -> None:
    with _lock:
        connections = [connection for rows in _kept.values() for connection in rows]
        _kept.clear()
    for connection in connections:
        connection.close()


def connect(key: Key, timeout: float) -> Connection:
    """A new one, with TLS where a host is named. Raises OSError."""
    _schema, address, port, host = key
    plain = socket.create_connection((address, port), timeout=min(CONNECT_SECONDS, timeout))
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return Connection(_tls().wrap_socket(plain, server_hostname=host) if host else plain)
    except BaseException:
        plain.close()
        raise


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.RIS_TLS_CLIENT_CA or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.RIS_TLS_CERTIFICATE:
        context.load_cert_chain(settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY or None)
    return context
