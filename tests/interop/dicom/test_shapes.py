"""Bytes that are read past the usual way: the same as by it, or left to it."""

from __future__ import annotations

import struct

import pytest

from interop.dicom import pdu
from interop.dicom.messages import encode_store_request, parse_command
from interop.dicom.upper_layer import Data, UpperLayer

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_command_sets_of_one_build_are_read_as_each_alone():
    """What is compared in one go is the same as what is walked; nothing behind or before the end is overlooked."""
    made = [encode_store_request(number, CT, f"1.2.3.{number}") for number in range(101, 109)]
    read = [parse_command(data) for data in made]
    assert [(one.message_id, one.sop_instance_uid) for one in read] == [(n, f"1.2.3.{n}") for n in range(101, 109)]
    longer = made[0] + struct.pack("<HHL", 0, 0x1031, 2) + b"\7\0"
    assert parse_command(longer).sop_instance_uid == "1.2.3.101"
    for cut in (1, 7, 9, len(made[0]) // 2, len(made[0]) - 1):
        with pytest.raises(pdu.ProtocolError):
            parse_command(made[0][:cut])
    broken = bytearray(made[0])
    broken[12 + 4] = 0xFF  # the length of the second element
    with pytest.raises(pdu.ProtocolError):
        parse_command(bytes(broken))


@pytest.mark.parametrize("step", [1, 5, 64, 4096])
def test_fragments_past_the_reader_are_those_that_it_would_take(step):
    """However the bytes are cut; a PDU of two values, another context or a command is left to the reader."""
    pieces = [bytes([number]) * (number * 7 % 50 + 1) for number in range(1, 40)]

    def p_data(*values: tuple[int, int, bytes]) -> bytes:
        body = b"".join(
            pdu.PDV_HEADER.pack(len(content) + 2, context, control) + content for context, control, content in values
        )
        return pdu.HEADER.pack(4, len(body)) + body

    line = b"".join(p_data((3, 0, piece)) for piece in pieces[:20])
    line += p_data((3, 0, pieces[20]), (3, 0, pieces[21]))
    line += (
        b"".join(p_data((3, 0, piece)) for piece in pieces[22:-1])
        + p_data((3, 2, pieces[-1]))
        + p_data((5, 3, b"next"))
    )
    layer = UpperLayer(max_length=4096)
    layer.accepted()
    found: list[bytes] = []
    has_ended, at = False, 0
    while at < len(line) or not has_ended:
        space = layer.free_space()
        count = min(step, len(space), len(line) - at)
        space[:count] = line[at : at + count]
        layer.received(count)
        at += count
        while not has_ended:
            here: list[memoryview] = []
            has_ended = layer.fragments(3, here, 4)
            found += map(bytes, here)
            if here:
                continue
            event = layer.next_event()
            if event is None:
                break
            assert isinstance(event, Data)
            found += [bytes(content) for _context, _control, content in pdu.pdvs(event.body)]
        if has_ended and at < len(line):
            layer.free_space()[: len(line) - at] = line[at:]
            layer.received(len(line) - at)
            at = len(line)
    assert found == pieces
    assert not layer.fragments(3, [], 4)
    event = layer.next_event()
    assert isinstance(event, Data) and [control for _id, control, _content in pdu.pdvs(event.body)] == [3]
