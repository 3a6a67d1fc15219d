"""A real listener on a real port, and a client that speaks MLLP to it."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from interop.hl7 import acknowledgements as ack
from interop.hl7.doors import forget_doors
from interop.hl7.listener import Limits, Listener
from interop.hl7.messages import Message, parse
from interop.hl7.mllp import Deframer, frame

_numbers = itertools.count(1)


class Client:
    """One connection."""

    def __init__(self, port: int, *, timeout: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.deframer, self.waiting = Deframer(), []

    def send(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def answer(self) -> bytes | None:
        """The next frame, or None when the other side has closed."""
        while not self.waiting:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.waiting += self.deframer.feed(data)
        return self.waiting.pop(0)

    def ask(self, raw: bytes) -> ack.Answer:
        self.send(frame(raw))
        answer = self.answer()
        assert answer is not None, "closed without an answer"
        return ack.read(answer)

    def close(self) -> None:
        self.socket.close()


class Running:
    """A listener in a thread of its own."""

    def __init__(self, limits: Limits) -> None:
        self.listener = Listener(limits=limits)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = self.do(self.listener.listen("127.0.0.1", 0))
        self.clients: list[Client] = []

    def do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(20)

    def connect(self, **kwargs: Any) -> Client:
        client = Client(self.port, **kwargs)
        self.clients.append(client)
        return client

    def ask(self, raw: bytes) -> ack.Answer:
        return self.connect().ask(raw)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.do(self.listener.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def facility(transactional_db: None) -> Any:
    """alpha, in a test whose threads see what it commits."""
    from django.db import connection

    from ris.tenants.models import Facility

    found = Facility.objects.get(schema_name="alpha")
    connection.set_tenant(found)
    return found


@pytest.fixture
def mllp(facility: Any) -> Iterator[Callable[..., Running]]:
    """``mllp()`` starts a listener; keyword arguments are its limits."""
    started: list[Running] = []
    forget_doors()

    def start(**limits: Any) -> Running:
        running = Running(Limits(**{"workers": 4, **limits}))
        started.append(running)
        return running

    yield start
    for running in started:
        running.close()


def message(
    kind: str = "ADT^A04",
    *segments: str,
    control_id: str | None = None,
    to: str = "RIS|ALPHA",
    charset: str = "UNICODE UTF-8",
    version: str = "2.5.1",
    modes: str = "|",
    codec: str = "utf-8",
) -> bytes:
    """A message from HIS at CLINIC. ``modes``: MSH-15 and MSH-16 with the bar between them."""
    control_id = control_id or f"T{next(_numbers):06}"
    header = f"MSH|^~\\&|HIS|CLINIC|{to}|20260102030405||{kind}|{control_id}|P|{version}|||{modes}||{charset}"
    return ("\r".join([header, *segments]) + "\r").encode(codec)


def pid(number: str = "P1", *, family: str = "Achieng", given: str = "Wanjiru", born: str = "19900203") -> str:
    return f"PID|1||{number}^^^CLINIC^MR||{family}^{given}||{born}|F"


def order(
    placer: str = "A1", code: str = "CT1^CT chest^L", *, control: str = "NW", status: str = "", patient: str = ""
) -> bytes:
    return message(
        "ORM^O01",
        patient or pid(),
        "PV1|1|O|WARD3^12^1",
        f"ORC|{control}|{placer}^HIS|||{status}||^^^^^S||20260102030405|||77^Owino^Grace^^^Dr^^^KMPDC",
        f"OBR|1|{placer}^HIS||{code}|||||||||Known asthma|||77^Owino^Grace^^^Dr^^^KMPDC|||||||||||||||PE?",
    )


def text_of(raw: bytes | None) -> Message:
    assert raw is not None
    return parse(bytes(raw))
