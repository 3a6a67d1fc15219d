"""Several processes behind one port: the first accepts, and gives each connection to the one that has fewest.

The kernel would share them by a hash (``--reuse-port``), which may give four scanners to one of two processes and none
to the other. Whoever dies is replaced; its connections break, as they would have.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

log = structlog.get_logger("interop.dicom")

#: What goes with a connection: over which listener it came; and what comes back when it has ended.
PLAIN, TLS, ENDED = b"p", b"t", b"-"
RESPAWN_SECONDS = 1.0
STOP_SECONDS = 10.0
Serve = Callable[[socket.socket], None]


@dataclass(eq=False)
class Child:
    pid: int
    line: socket.socket
    open: int = 0


class Sharing:
    """Of ``listeners`` the first is plain, a second one TLS. ``serve(line)`` runs in each child until it is stopped."""

    def __init__(self, listeners: Sequence[socket.socket], number: int, serve: Serve) -> None:
        self._listeners, self._number, self._serve = listeners, number, serve
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._is_stopping = False
        self._not_before = 0.0

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then the children end."""
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._selector.register(woken, selectors.EVENT_READ)
        for listener, word in zip(self._listeners, (PLAIN, TLS), strict=False):
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, word)
        while not self._is_stopping:
            self._fill()
            for key, _events in self._selector.select(RESPAWN_SECONDS):
                if isinstance(key.data, Child):
                    self._hear(key.data)
                elif key.data is not None:
                    self._accept(key.fileobj, key.data)
        self._end()

    def _stop(self, *_signal: object) -> None:
        self._is_stopping = True

    # --- children

    def _fill(self) -> None:
        while len(self._children) < self._number and time.monotonic() >= self._not_before:
            self._fork()
            if len(self._children) == self._number:
                self._not_before = time.monotonic() + RESPAWN_SECONDS

    def _fork(self) -> None:
        ours, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._be_child(ours, line)
        line.close()
        ours.setblocking(False)
        child = Child(pid, ours)
        self._children.append(child)
        self._selector.register(ours, selectors.EVENT_READ, child)

    def _be_child(self, ours: socket.socket, line: socket.socket) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for other in (ours, *self._listeners, *(child.line for child in self._children)):
                other.close()
            self._serve(line)
            status = 0
        except BaseException:
            log.exception("process_failed")
        finally:
            os._exit(status)

    def _hear(self, child: Child) -> None:
        try:
            word = child.line.recv(64)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if word:
            child.open -= word.count(ENDED)
        else:
            self._bury(child)

    def _bury(self, child: Child) -> None:
        self._selector.unregister(child.line)
        child.line.close()
        self._children.remove(child)
        os.kill(child.pid, signal.SIGKILL)  # it cannot be given anything any more
        _pid, status = os.waitpid(child.pid, 0)
        log.error("process_died", status=os.waitstatus_to_exitcode(status), connections=child.open)

    # --- connections

    def _accept(self, listener: socket.socket, word: bytes) -> None:
        try:
            connection, _address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("accept_failed", error=errno.errorcode.get(error.errno or 0, "?"))
            time.sleep(0.1)  # out of descriptors: the ones in use come back
            return
        with connection:
            for child in sorted(self._children, key=lambda child: child.open):
                try:
                    socket.send_fds(child.line, [word], [connection.fileno()])
                except OSError:  # it is full or has died: another one
                    continue
                child.open += 1
                return
        log.warning("connection_refused", reason="no process takes it")

    # --- the end

    def _end(self) -> None:
        for listener in self._listeners:
            listener.close()
        for child in self._children:
            os.kill(child.pid, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        for child in self._children:
            while os.waitpid(child.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > end:
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    break
                time.sleep(0.02)
