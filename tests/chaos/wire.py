"""A DICOM client that says exactly what it is told, also what no client should: bytes over a socket."""

from __future__ import annotations

import random
import socket
import struct
import uuid
from collections.abc import Sequence

CT_IMAGE, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
MPPS, WORKLIST = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.5.1.4.31"
EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
LONG_FORM = frozenset({"OB", "OW", "SQ", "UN", "UT"})


class Refused(Exception):
    """No association, an abort, or the line was cut."""


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def associate_request(called: str, calling: str, contexts: Sequence[tuple[str, str]], *, max_pdu: int = 65536) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2) with contexts 1, 3, 5 ... of (abstract syntax, transfer syntax)."""
    body = struct.pack(">HH", 1, 0) + called.ljust(16).encode("latin-1") + calling.ljust(16).encode("latin-1")
    body += bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, transfer) in enumerate(contexts):
        syntaxes = item(0x30, abstract.encode()) + item(0x40, transfer.encode())
        body += item(0x20, bytes([2 * number + 1, 0, 0, 0]) + syntaxes)
    body += item(0x50, item(0x51, struct.pack(">L", max_pdu)) + item(0x52, b"2.25.1") + item(0x55, b"CHAOS"))
    return struct.pack(">BBL", 1, 0, len(body)) + body


def even(text: str | bytes, pad: bytes = b"\0") -> bytes:
    value = text.encode("latin-1") if isinstance(text, str) else text
    return value + pad * (len(value) % 2)


def short(number: int) -> bytes:
    return struct.pack("<H", number)


def command(*elements: tuple[int, bytes]) -> bytes:
    """A command set (PS3.7 6.3.1) from (element number, value), in order."""
    body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Explicit VR little endian."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in LONG_FORM:
        return head + b"\0\0" + struct.pack("<L", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def p_data(content: bytes, control: int, *, context: int = 1, room: int = 60000) -> bytes:
    """P-DATA-TF units with one message part; ``control``: 1 a command, 0 a data set."""
    parts = [content[at : at + room] for at in range(0, len(content), room)] or [b""]
    out = b""
    for number, part in enumerate(parts, 1):
        last = 2 if number == len(parts) else 0
        out += struct.pack(">BBLLBB", 4, 0, len(part) + 6, len(part) + 2, context, control | last) + part
    return out


def image(
    sop_instance: str, study: str, series: str, *, size: int = 16_384, patient: str = "CHAOS", seed: int = 0
) -> bytes:
    """A CT image as a data set in explicit VR little endian, with pixels that nothing compresses."""
    side = int((size / 2) ** 0.5)
    pixels = random.Random(seed or sop_instance).randbytes(side * side * 2)
    return b"".join(
        (
            element(0x00080016, "UI", even(CT_IMAGE)),
            element(0x00080018, "UI", even(sop_instance)),
            element(0x00080020, "DA", b"20260101"),
            element(0x00080060, "CS", b"CT"),
            element(0x00100010, "PN", even("Chaos^Carla", b" ")),
            element(0x00100020, "LO", even(patient, b" ")),
            element(0x0020000D, "UI", even(study)),
            element(0x0020000E, "UI", even(series)),
            element(0x00280002, "US", short(1)),
            element(0x00280004, "CS", even("MONOCHROME2", b" ")),
            element(0x00280010, "US", short(side)),
            element(0x00280011, "US", short(side)),
            element(0x00280100, "US", short(16)),
            element(0x00280101, "US", short(12)),
            element(0x00280102, "US", short(11)),
            element(0x00280103, "US", short(0)),
            element(0x7FE00010, "OW", pixels),
        )
    )


class Line:
    """One association. Raises Refused when there is none, or when it breaks."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, str]] = ((CT_IMAGE, EXPLICIT),),
        *,
        called: str = "CHAOS",
        calling: str = "CT1",
        seconds: float = 30,
    ) -> None:
        try:
            self.sock = socket.create_connection(("127.0.0.1", port), seconds)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(associate_request(called, calling, contexts))
            kind, body = self.unit()
        except OSError as error:
            raise Refused(type(error).__name__) from None
        if kind != 2:
            raise Refused(f"PDU {kind}: {body.hex()}")
        self.number = 0

    def unit(self) -> tuple[int, bytes]:
        head = self._exactly(6)
        return head[0], self._exactly(struct.unpack(">L", head[2:])[0])

    def _exactly(self, length: int) -> bytes:
        got = bytearray()
        while len(got) < length:
            chunk = self.sock.recv(length - len(got))
            if not chunk:
                raise ConnectionError("closed")
            got += chunk
        return bytes(got)

    def ask(self, *elements: tuple[int, bytes], data: bytes = b"", context: int = 1) -> int:
        """Send a request; the status of its (last) answer."""
        try:
            self.sock.sendall(
                p_data(command(*elements), 1, context=context) + (p_data(data, 0, context=context) if data else b"")
            )
            return self.status()
        except OSError as error:
            raise Refused(type(error).__name__) from None

    def status(self) -> int:
        told = b""
        while True:
            kind, body = self.unit()
            if kind != 4:
                raise Refused(f"PDU {kind}: {body.hex()}")
            if not body[5] & 1:
                continue
            told += body[6:]
            if body[5] & 2:
                code = status_in(told)
                if code not in (0xFF00, 0xFF01):
                    return code
                told = b""

    def store(self, sop_instance: str, data: bytes, *, sop_class: str = CT_IMAGE) -> int:
        self.number = self.number % 60000 + 1
        return self.ask(
            (0x0002, even(sop_class)),
            (0x0100, short(1)),
            (0x0110, short(self.number)),
            (0x0700, short(0)),
            (0x0800, short(1)),
            (0x1000, even(sop_instance)),
            data=data,
        )

    def echo(self, context: int = 1) -> int:
        return self.ask(
            (0x0002, even(VERIFICATION)),
            (0x0100, short(0x30)),
            (0x0110, short(1)),
            (0x0800, short(0x0101)),
            context=context,
        )

    def performed(self, field: int, sop_instance: str, data: bytes) -> int:
        """N-CREATE (0x140) or N-SET (0x120) of a performed step."""
        names = (0x0002, 0x1000) if field == 0x140 else (0x0003, 0x1001)
        self.number += 1
        return self.ask(
            (names[0], even(MPPS)),
            (0x0100, short(field)),
            (0x0110, short(self.number)),
            (0x0800, short(1)),
            (names[1], even(sop_instance)),
            data=data,
        )

    def close(self) -> None:
        self.sock.close()


def status_in(told: bytes) -> int:
    at = 0
    while at + 8 <= len(told):
        group, number, length = struct.unpack_from("<HHL", told, at)
        if (group, number) == (0, 0x0900):
            return int(struct.unpack_from("<H", told, at + 8)[0])
        at += 8 + length
    raise Refused("an answer without a status")
