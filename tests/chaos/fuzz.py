"""Mutated bytes: through the pure layers in process, and at the listener."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

from interop.dicom import elements, messages, pdu, upper_layer
from interop.dicom.headers import read_header
from tests.chaos import wire

#: What the pure layers say no with; anything else is a defect.
REFUSALS = (pdu.ProtocolError, elements.Malformed)
SECONDS = 0.3


def mutated(rng: random.Random, data: bytes) -> bytes:
    """One to four changes: bits, lengths, pieces cut out, doubled, or put in."""
    out = bytearray(data)
    for _change in range(rng.randrange(1, 5)):
        if not out:
            break
        at = rng.randrange(len(out))
        kind = rng.randrange(6)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            out[at:at] = out[at : at + rng.randrange(1, 200)]
        elif kind == 4:
            out[at:at] = rng.randbytes(rng.randrange(1, 20))
        else:
            out[at : at + 4] = struct.pack(rng.choice((">L", "<L")), rng.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
    return bytes(out)


def conversation() -> bytes:
    """An association, a C-ECHO, a C-STORE and the release, as one client would send them."""
    contexts = [(wire.CT_IMAGE, wire.EXPLICIT), (wire.VERIFICATION, wire.IMPLICIT), (wire.MPPS, wire.EXPLICIT)]
    return b"".join(
        (
            wire.associate_request("CHAOS", "CT1", contexts),
            wire.p_data(echo_command(), 1, context=3),
            wire.p_data(store_command("2.25.9"), 1),
            wire.p_data(wire.image("2.25.9", "2.25.9.1", "2.25.9.2", size=512, seed=1), 0),
            struct.pack(">BBLL", 5, 0, 4, 0),
        )
    )


def echo_command() -> bytes:
    return wire.command(
        (2, wire.even(wire.VERIFICATION)), (0x100, wire.short(0x30)), (0x110, wire.short(1)), (0x800, wire.short(0x101))
    )


def store_command(sop_instance: str) -> bytes:
    return wire.command(
        (2, wire.even(wire.CT_IMAGE)),
        (0x100, wire.short(1)),
        (0x110, wire.short(2)),
        (0x700, wire.short(0)),
        (0x800, wire.short(1)),
        (0x1000, wire.even(sop_instance)),
    )


class Nowhere:
    def write(self, chunk: memoryview) -> None:
        """Not kept."""


def in_process(count: int) -> str:
    """``count`` mutated inputs through the upper layer, the messages, the elements and the header."""
    rng = random.Random(5)
    whole, data = conversation(), wire.image("2.25.9", "2.25.9.1", "2.25.9.2", size=128, seed=1)
    refused = 0
    for number in range(count):
        try:
            if number % 4 == 0:
                _through_the_layer(mutated(rng, whole))
            elif number % 4 == 1:
                messages.parse_command(mutated(rng, store_command("2.25.9")))
            elif number % 4 == 2:
                encoding = elements.EXPLICIT if number % 8 == 2 else elements.IMPLICIT
                for _element in elements.walk(mutated(rng, data), encoding):
                    pass
            else:
                read_header(mutated(rng, data), rng.choice((wire.EXPLICIT, wire.IMPLICIT)))
        except REFUSALS:
            refused += 1
    return f"{count:,} mutated inputs in process: {refused:,} refused, 0 other errors"


def _through_the_layer(data: bytes) -> None:
    layer = upper_layer.UpperLayer(max_length=131072)
    reader = messages.MessageReader(lambda _context, _command: Nowhere())
    rest = memoryview(data)
    while rest:
        room = layer.free_space()
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        room.release()
        layer.received(count)
        rest = rest[count:]
        while (event := layer.next_event()) is not None:
            if isinstance(event, upper_layer.Requested):
                layer.accepted()
            elif isinstance(event, upper_layer.Data):
                for context, control, content in pdu.pdvs(event.body):
                    reader.take(context, control, content)
            else:
                return


def throw(port: int, number: int) -> None:
    """One mutated association at the listener, read to its end or for a moment."""
    rng = random.Random(number)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.settimeout(SECONDS)
        sock.sendall(mutated(rng, conversation()))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
