"""Money arithmetic: decimals, rounding, splits that sum up; spreadsheets that run nothing."""

from __future__ import annotations

import io
import random
import zipfile
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from orders import money
from orders.money import Share
from orders.services.billing import is_code, normal_code
from ris.core.spreadsheet import as_csv, as_xlsx

D = Decimal


@pytest.mark.parametrize(
    ("amount", "currency", "result"),
    [
        ("0.005", "KES", "0.01"),
        ("0.0049", "KES", "0.00"),
        ("2.675", "KES", "2.68"),
        ("2.665", "KES", "2.67"),
        ("1250.50", "UGX", "1251.00"),
        ("1250.49", "UGX", "1250.00"),
    ],
)
def test_halves_are_rounded_up_to_what_the_currency_has(amount, currency, result):
    assert money.rounded(D(amount), currency) == D(result)


@pytest.mark.parametrize("value", [1.5, True, None, "", "abc", "NaN", "Infinity", "1,250.00", "1e30"])
def test_what_is_no_decimal_is_none(value):
    assert money.parsed(value) is None


def test_thin_spaces_between_thousands_are_read():
    assert money.parsed("9\u2009500.50") == D("9500.50") == money.parsed(" 9 500.50 ")


def test_the_patient_pays_what_rounding_leaves():
    assert money.split(D("100.00"), [Share(D("33.33")), Share(D("33.33"))], "KES") == [
        D("33.33"),
        D("33.33"),
        D("33.34"),
    ]


def test_a_second_payer_takes_at_most_what_is_left():
    assert money.split(D("100.00"), [Share(D("80")), Share(D("100"))], "KES") == [D("80.00"), D("20.00"), D("0.00")]


def test_an_authorised_amount_is_the_most():
    assert money.split(D("9500.00"), [Share(D("100"), cap=D("8000.00"))], "KES") == [D("8000.00"), D("1500.00")]
    assert money.split(D("9500.00"), [Share(D("100"), cap=D("-5"))], "KES") == [D("0.00"), D("9500.00")]


def test_every_split_sums_up_and_no_part_is_negative():
    chance = random.Random(7)
    for _round in range(2000):
        amount = D(chance.randrange(0, 10**7)) / 100
        shares = [Share(D(chance.randrange(1, 10001)) / 100) for _share in range(chance.randrange(0, 4))]
        currency = chance.choice(["KES", "UGX"])
        amount = money.rounded(amount, currency)
        parts = money.split(amount, shares, currency)
        assert sum(parts) == amount and min(parts) >= 0


def test_money_is_spoken_with_its_currency():
    assert money.spoken(D("-1234567.5"), "KES") == "KES \u22121\u2009234\u2009567.50"
    assert money.spoken(D("1500.00"), "UGX") == "UGX 1\u2009500"


@pytest.mark.parametrize("code", ["I26.9", "C34", "S72.001A", "U07.1", "Z01.89"])
def test_icd_10_codes(code):
    assert is_code("ICD-10", code)


@pytest.mark.parametrize("code", ["", "26.9", "I2", "I26.", "I26.99999", "I26 9", "ABC"])
def test_what_is_not_icd_10(code):
    assert not is_code("ICD-10", normal_code("ICD-10", code))


def test_codes_are_written_one_way():
    assert normal_code("ICD-10", " i269 ") == "I26.9"
    assert normal_code("CPT", "71260-tc") == "71260-TC" and is_code("CPT", "71260-TC") and not is_code("CPT", "7126")


DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =HYPERLINK()", "＝1"]


@pytest.mark.parametrize("words", DANGEROUS)
def test_no_word_becomes_a_formula(words):
    line = as_csv([words], [[words, D("-5.00")]]).decode("utf-8-sig").splitlines()[-1]
    assert line.lstrip('"').startswith("'") and line.endswith("-5.00")
    sheet = ElementTree.fromstring(_part(as_xlsx("x", [words], [[words, D("-5.00")]]), "xl/worksheets/sheet1.xml"))
    cells = sheet.findall(".//{*}row")[1].findall("{*}c")
    assert sheet.find(".//{*}f") is None
    assert (cells[0].get("t"), cells[0].find(".//{*}t").text) == ("inlineStr", words)
    assert (cells[1].get("t"), cells[1].find("{*}v").text) == (None, "-5.00")


def _part(book: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        assert archive.testzip() is None
        return archive.read(name)


def test_a_workbook_holds_its_parts_and_odd_signs():
    book = as_xlsx("Revenue: [2026]/*?", ["a & b"] * 28, [["<\x01>"] * 28])
    names = zipfile.ZipFile(io.BytesIO(book)).namelist()
    for name in names:
        ElementTree.fromstring(_part(book, name))
    assert b'name="Revenue 2026"' in _part(book, "xl/workbook.xml")
    assert b'r="AB2"' in _part(book, "xl/worksheets/sheet1.xml")
