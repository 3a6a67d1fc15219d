"""What a pack's barcode says: GS1 element strings (GS1 General Specifications 3 and 7) and plain GTINs."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date

SEPARATOR = "\x1d"
#: Symbology identifiers (ISO/IEC 15424) that scanners may put in front; those of GS1 carry element strings.
SYMBOLOGY = re.compile(r"^\][A-Za-z][0-9A-Za-z]")
GS1_SYMBOLOGIES = ("]C1", "]d2", "]Q3", "]e0")
#: Application identifiers of fixed length: characters after the identifier
FIXED = {"00": 18, "01": 14, "02": 14, "11": 6, "12": 6, "13": 6, "15": 6, "16": 6, "17": 6, "20": 2}
GTIN_LENGTHS = (8, 12, 13, 14)


@dataclass(frozen=True)
class Pack:
    """``gtin`` always with 14 digits; lot and expiry where the bars carry them."""

    gtin: str
    lot: str = ""
    expires_on: date | None = None


def plain_code(code: str) -> str:
    """The code without what a scanner puts around it."""
    return SYMBOLOGY.sub("", code.strip()).strip().strip("*")


def is_gtin(digits: str) -> bool:
    """Of a known length, and its check digit is right."""
    if not digits.isascii() or not digits.isdigit() or len(digits) not in GTIN_LENGTHS:
        return False
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits[:-1])))
    return (10 - weighted % 10) % 10 == int(digits[-1])


def padded(digits: str) -> str:
    return digits.zfill(14)


def read_pack(code: str) -> Pack | None:
    """The pack that a code names; None for what is no GS1 code. A bare GTIN is one without lot."""
    is_marked = code.strip().startswith(GS1_SYMBOLOGIES)
    text = plain_code(code).strip(SEPARATOR)
    if is_gtin(text):
        return Pack(padded(text))
    if text.startswith("("):
        elements = dict(re.findall(r"\((\d{2,4})\)([^(]*)", text))
    elif is_marked or re.match(r"01\d{14}", text):
        elements = _elements(text)
    else:
        return None
    gtin = elements.get("01", "").strip()
    if not is_gtin(gtin):
        return None
    return Pack(padded(gtin), elements.get("10", "").strip()[:20], _day(elements.get("17", "")))


def _elements(text: str) -> dict[str, str]:
    """Identifier and value, one after the other; a variable one ends at a separator."""
    found: dict[str, str] = {}
    while len(text) > 2:
        key, text = text[:2], text[2:]
        length = FIXED.get(key)
        if length is None:
            value, _separator, text = text.partition(SEPARATOR)
        else:
            value, text = text[:length], text[length:].lstrip(SEPARATOR)
        found.setdefault(key, value)
    return found


def _day(value: str) -> date | None:
    """YYMMDD; day 00 is the last of the month. Years are of this century until 49 (GS1 7.12)."""
    if not re.fullmatch(r"\d{6}", value):
        return None
    year, month, day = int(value[:2]), int(value[2:4]), int(value[4:])
    year += 2000 if year < 50 else 1900
    if not 1 <= month <= 12:
        return None
    last = calendar.monthrange(year, month)[1]
    return date(year, month, day or last) if day <= last else None
