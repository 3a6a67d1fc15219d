"""Code 128 (ISO/IEC 15417) as SVG, drawn here: bars are rectangles, so that no style and no font is needed.

Set C packs pairs of digits, set B everything else that is printable ASCII.
"""

from __future__ import annotations

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

#: Widths of bar, space, bar, space, bar, space of each value; 103-105 begin in set A, B, C; 106 ends.
PATTERNS = re.findall(
    r"\d+",
    "212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231 113222 "
    "123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211 212123 212321 "
    "232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131 113123 113321 133121 "
    "313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111 314111 221411 431111 111224 "
    "111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 241112 134111 "
    "111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113 "
    "114311 411113 411311 113141 114131 311141 411131 211412 211214 211232 2331112",
)
TO_C, TO_B, START_B, START_C, STOP = 99, 100, 104, 105, 106
QUIET = 10  # modules left free on both sides


def code128_values(text: str) -> list[int]:
    """The values of start, data, check and stop. Raises ValueError for what is not printable ASCII."""
    if not text or any(not " " <= char <= "~" for char in text):
        raise ValueError("Code 128 here takes printable ASCII")
    values: list[int] = []
    in_c = False
    place = 0
    while place < len(text):
        digits = len(re.match(r"\d*", text[place:]).group())
        at_an_end = place == 0 or place + digits == len(text)
        if not in_c and (digits >= 6 or (at_an_end and digits >= 4)):
            if digits % 2:  # an odd digit is told in set B first
                values += ([] if values else [START_B]) + [ord(text[place]) - 32]
                place += 1
            values.append(TO_C if values else START_C)
            in_c = True
        elif in_c and digits < 2:
            values.append(TO_B)
            in_c = False
        elif not values:
            values.append(START_B)
        if in_c:
            values.append(int(text[place : place + 2]))
            place += 2
        else:
            values.append(ord(text[place]) - 32)
            place += 1
    check = (values[0] + sum(number * value for number, value in enumerate(values[1:], 1))) % 103
    return [*values, check, STOP]


def code128_svg(text: str, *, height: int = 40, css: str = "barcode") -> SafeString:
    """The barcode as an SVG element that scales with its box; one unit is one module."""
    bars, place = [], QUIET
    for value in code128_values(text):
        for number, width in enumerate(PATTERNS[value]):
            if number % 2 == 0:
                bars.append(f'<rect x="{place}" width="{width}" height="{height}"/>')
            place += int(width)
    return mark_safe(
        f'<svg class="{escape(css)}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {place + QUIET} {height}"'
        f' preserveAspectRatio="none" shape-rendering="crispEdges" role="img" aria-label="{escape(text)}">'
        f"{''.join(bars)}</svg>"
    )
