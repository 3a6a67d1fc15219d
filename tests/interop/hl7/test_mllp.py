"""Framing, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.hl7.mllp import Deframer, FrameTooLarge, NotMllp, frame


def test_frames_come_out_whole_however_they_are_cut():
    stream = frame(b"one") + b"\r\n" + frame(b"two\x1cx") + frame(b"")
    for size in range(1, len(stream) + 1):
        deframer, found = Deframer(), []
        for start in range(0, len(stream), size):
            found += deframer.feed(stream[start : start + size])
        assert found == [b"one", b"two\x1cx", b""]
        assert not deframer.is_inside


def test_a_start_inside_a_frame_is_content_and_an_end_without_return_ends_before_the_next_start():
    assert Deframer().feed(b"\x0ba\x0bb\x1c\r") == [b"a\x0bb"]
    assert Deframer().feed(b"\x0ba\x1c\x0bb\x1c\r") == [b"a", b"b"]


def test_too_much_is_refused_with_how_it_began():
    deframer = Deframer(limit=1000)
    with pytest.raises(FrameTooLarge) as large:
        for _part in range(200):
            deframer.feed(b"\x0bMSH|" if not deframer.is_inside else b"x" * 10)
    assert large.value.head.startswith(b"MSH|")
    with pytest.raises(FrameTooLarge):
        Deframer(limit=10).feed(frame(b"x" * 11))
    assert Deframer(limit=10).feed(frame(b"x" * 10)) == [b"x" * 10]


def test_what_is_no_mllp_is_cut_off():
    deframer = Deframer()
    with pytest.raises(NotMllp):
        for _line in range(100):
            deframer.feed(b"GET / HTTP/1.1\r\nHost: there\r\n")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\x1c", b"")), max_size=5), st.integers(1, 7))
def test_any_content_without_the_end_character_survives(messages, size):
    stream = b"".join(frame(message) for message in messages)
    deframer, found = Deframer(), []
    for start in range(0, len(stream), size):
        found += deframer.feed(stream[start : start + size])
    assert found == messages
