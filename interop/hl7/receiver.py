"""A small HL7 receiver for tests and for ``make walk``: it acknowledges, keeps what came, and misbehaves on demand.

with Receiver() as receiver:
    ...                       # send to ("127.0.0.1", receiver.port)
receiver.received[0].control_id
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TextIO

from interop.hl7 import acknowledgements as ack
from interop.hl7.messages import INTERNAL_ERROR, Hl7Error, Location, Message, parse
from interop.hl7.mllp import Deframer, frame

DROP, SILENT, WRONG, BOTH = "drop", "silent", "wrong", "CA+AA"
#: AA to CR: answered like this; CA+AA: a receipt, then the application's answer; wrong: an answer to another message;
#: drop: closed without an answer; silent: never answered
ANSWERS = ("AA", "AE", "AR", "CA", "CE", "CR", BOTH, WRONG, DROP, SILENT)


@dataclass(frozen=True)
class Received:
    raw: bytes
    control_id: str
    message_type: str
    answer: str
    at: float = field(default_factory=time.time)

    @property
    def message(self) -> Message:
        return parse(self.raw)

    def as_json(self) -> str:
        """One line: what came, as it came (base64) and in words."""
        try:
            text = self.message.text.replace("\r", "\n")
        except Hl7Error:
            text = ""
        content: dict[str, Any] = {
            "at": self.at,
            "type": self.message_type,
            "control_id": self.control_id,
            "answer": self.answer,
            "text": text,
            "raw": base64.b64encode(self.raw).decode(),
        }
        return json.dumps(content, ensure_ascii=False)


class Receiver:
    """Listens in a thread. ``answers`` are used up one by one, then ``otherwise`` holds; ``choose`` may decide."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        answers: Iterable[str] = (),
        otherwise: str = "AA",
        choose: Callable[[Message], str | None] | None = None,
        delay: float = 0.0,
        writes_to: TextIO | None = None,
    ) -> None:
        self.answers, self.otherwise, self.choose = list(answers), otherwise, choose
        self.delay, self.writes_to = delay, writes_to
        self.received: list[Received] = []
        self._lock = threading.Lock()
        self._server = _Server((host, port), _Handler)
        self._server.receiver = self
        self.port = int(self._server.server_address[1])
        self._open: set[socket.socket] = set()
        self.connections = 0
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self) -> Receiver:
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        with self._lock:
            left = list(self._open)
        for peer in left:
            with contextlib.suppress(OSError):  # closed by the other side meanwhile
                peer.shutdown(socket.SHUT_RDWR)

    __enter__ = start

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def wait_for(self, count: int, *, seconds: float = 10.0) -> list[Received]:
        """What has come, once there are so many; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.received)} of {count} messages in {seconds} s")
            time.sleep(0.02)
        return list(self.received)

    def opened(self, peer: socket.socket) -> None:
        with self._lock:
            self._open.add(peer)
            self.connections += 1

    def closed(self, peer: socket.socket) -> None:
        with self._lock:
            self._open.discard(peer)

    def take(self, raw: bytes) -> bytes | tuple[bytes, ...] | None:
        """Keep a message; the answer or answers, None for none. Raises ConnectionAbortedError to hang up."""
        try:
            message: Message | None = parse(raw)
        except Hl7Error:
            message = None
        with self._lock:
            answer = self._answer(message)
            header = message.header if message else None
            row = Received(raw, header.control_id if header else "", header.message_type if header else "", answer)
            self.received.append(row)
            if self.writes_to is not None:
                self.writes_to.write(row.as_json() + "\n")
                self.writes_to.flush()
        time.sleep(self.delay)
        if answer == DROP:
            raise ConnectionAbortedError
        if answer == SILENT:
            return None
        if answer == WRONG:
            return ack.acknowledge(None, "AA")
        if answer == BOTH:
            return ack.acknowledge(header, "CA"), ack.acknowledge(header, "AA")
        problems = (
            ()
            if answer in ("AA", "CA")
            else (ack.Problem(INTERNAL_ERROR, Location("MSH"), "As this receiver was told."),)
        )
        return ack.acknowledge(header, answer, problems=problems)

    def _answer(self, message: Message | None) -> str:
        if message is None:
            return "AR"
        chosen = self.choose(message) if self.choose is not None else None
        if chosen is not None:
            return chosen
        return self.answers.pop(0) if self.answers else self.otherwise


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    receiver: Receiver


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        deframer, receiver = Deframer(), self.server.receiver
        receiver.opened(self.request)
        try:
            while data := self.request.recv(65536):
                for raw in deframer.feed(data):
                    answer = receiver.take(raw) or ()
                    for part in (answer,) if isinstance(answer, bytes) else answer:
                        self.request.sendall(frame(part))
        except ConnectionError:
            return
        finally:
            receiver.closed(self.request)
