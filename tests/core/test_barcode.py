"""Code 128: another library's tables read what ours draws."""

from __future__ import annotations

import re

import pytest
from reportlab.graphics.barcode import code128

from ris.core.barcode import PATTERNS, code128_svg, code128_values

TEXTS = ["26325-000123", "B0000086", "ABC", "12345678", "1234567", "A1234567890B", "12", "a b~!", "CT0012345678901"]


def decoded(values: list[int]) -> str:
    """What a reader makes of the values; raises on a wrong check value."""
    assert values[-1] == 106
    check = (values[0] + sum(place * value for place, value in enumerate(values[1:-2], 1))) % 103
    assert values[-2] == check
    in_c, text = values[0] == 105, ""
    for value in values[1:-2]:
        if value in (99, 100):
            in_c = value == 99
        else:
            text += f"{value:02}" if in_c else chr(value + 32)
    return text


@pytest.mark.parametrize("text", TEXTS)
def test_a_reader_gets_the_text_back(text):
    assert decoded(code128_values(text)) == text


def test_the_patterns_are_those_of_another_library():
    """Theirs spell a width as a letter: capital bars, small spaces."""
    theirs = ["".join(str("abcd".index(letter.lower()) + 1) for letter in code128._patterns[key]) for key in range(103)]
    assert PATTERNS[:103] == theirs
    assert all(sum(map(int, pattern)) == 11 for pattern in PATTERNS[:106])


def test_digits_are_packed():
    assert len(code128_values("12345678")) == 1 + 4 + 2


def test_the_drawing_holds_every_bar_and_quiet_zones():
    svg = code128_svg("AB<1")
    bars = [(int(x), int(width)) for x, width in re.findall(r'<rect x="(\d+)" width="(\d+)"', svg)]
    assert len(bars) == 3 * (len(code128_values("AB<1")) - 1) + 4
    assert bars[0][0] == 10
    total = int(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    assert bars[-1][0] + bars[-1][1] == total - 10
    assert 'aria-label="AB&lt;1"' in svg


@pytest.mark.parametrize("text", ["", "é", "a\tb"])
def test_what_it_cannot_hold_is_refused(text):
    with pytest.raises(ValueError, match="ASCII"):
        code128_values(text)
