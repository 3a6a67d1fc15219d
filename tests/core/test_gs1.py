"""Barcodes of packs: element strings with and without their separators, bare GTINs, and what is neither."""

from __future__ import annotations

from datetime import date

import pytest

from ris.core.gs1 import SEPARATOR, Pack, is_gtin, plain_code, read_pack

GTIN = "04012345678901"


@pytest.mark.parametrize(
    ("digits", "wanted"),
    [(GTIN, True), ("4012345678901", True), ("4012345678902", False), ("96385074", True), ("123", False), ("", False)],
)
def test_the_check_digit_decides(digits, wanted):
    assert is_gtin(digits) is wanted


@pytest.mark.parametrize(
    "code",
    [
        f"]d201{GTIN}17270831{'10IX2207K'}",
        f"01{GTIN}1727083110IX2207K",
        f"01{GTIN}10IX2207K{SEPARATOR}17270831",
        f"(01){GTIN}(17)270831(10)IX2207K",
        f"]C101{GTIN}17270831{SEPARATOR}10IX2207K{SEPARATOR}21SERIAL",
    ],
)
def test_gtin_lot_and_expiry_in_any_order(code):
    assert read_pack(code) == Pack(GTIN, "IX2207K", date(2027, 8, 31))


def test_day_zero_is_the_end_of_the_month_and_nonsense_is_no_date():
    assert read_pack(f"01{GTIN}17280200").expires_on == date(2028, 2, 29)
    assert read_pack(f"01{GTIN}17281300").expires_on is None
    assert read_pack(f"01{GTIN}17280230").expires_on is None


def test_a_bare_gtin_has_no_lot():
    assert read_pack("4012345678901") == Pack(GTIN)


@pytest.mark.parametrize("code", ["26325-000012", "ZRH-0048213", "CT-007", "", "01234567", f"01{GTIN[:-1]}9"])
def test_what_is_no_pack(code):
    assert read_pack(code) is None


def test_what_scanners_put_around_a_code_is_taken_off():
    assert plain_code(" ]C0ZR26-118790\r\n") == "ZR26-118790" and plain_code("*A1*") == "A1"
