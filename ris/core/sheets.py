"""Tables that people bring: CSV (comma or semicolon) and XLSX (ECMA-376, the first sheet), as heads and rows. Pure.

Nothing is run and nothing from outside is asked for; what is too large is refused before it is unpacked.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from xml.etree.ElementTree import Element, ParseError, XMLParser

from django.utils.translation import gettext as _

from ris.core.errors import InvalidData

MOST_BYTES = 5 * 1024 * 1024
MOST_UNPACKED = 40 * 1024 * 1024
MOST_CELLS = 1_000_000
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_COLUMN = re.compile(r"([A-Z]{1,3})\d+")


def _no_table() -> InvalidData:
    words = _("This is no table that can be read: CSV in UTF-8, or XLSX.")
    return InvalidData(words, errors={"file": [words]})


def read_table(data: bytes) -> tuple[list[str], list[list[str]]]:
    """Heads and rows, as text."""
    if len(data) > MOST_BYTES:
        words = _("The table is larger than 5 MB.")
        raise InvalidData(words, errors={"file": [words]})
    rows = _xlsx(data) if data[:4] == b"PK\x03\x04" else _csv(data)
    if not rows:
        raise _no_table()
    return rows[0], rows[1:]


def _csv(data: bytes) -> list[list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _no_table() from None
    if "\x00" in text:
        raise _no_table()
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error:
        raise _no_table() from None


def _parsed(archive: zipfile.ZipFile, name: str) -> Element | None:
    if name not in archive.namelist():
        return None
    content = archive.read(name)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ParseError("a document type")
    parser = XMLParser()
    parser.feed(content)
    return parser.close()


def _xlsx(data: bytes) -> list[list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED:
                raise _no_table()
            shared = _parsed(archive, "xl/sharedStrings.xml")
            texts = [] if shared is None else [_text(item) for item in shared.iter(f"{_MAIN}si")]
            sheets = sorted(name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name))
            sheet = _parsed(archive, sheets[0]) if sheets else None
    except (zipfile.BadZipFile, ParseError, KeyError, RuntimeError, EOFError, OSError, NotImplementedError):
        raise _no_table() from None
    if sheet is None:
        raise _no_table()
    rows = []
    for row in sheet.iter(f"{_MAIN}row"):
        cells: list[str] = []
        for cell in row.iter(f"{_MAIN}c"):
            place = _place(cell.get("r", ""), len(cells))
            if place > 500 or len(rows) * max(place, 1) > MOST_CELLS:
                raise _no_table()
            cells += [""] * (place + 1 - len(cells))
            cells[place] = _value(cell, texts)
        if any(cells):
            rows.append(cells)
    return rows


def _place(name: str, after: int) -> int:
    """A1 -> 0, AB7 -> 27; a cell without a name follows the last one."""
    found = _COLUMN.fullmatch(name)
    if found is None:
        return after
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _value(cell: Element, texts: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_MAIN}v", "")
    if kind == "s":
        return texts[int(value)] if value.isdecimal() and int(value) < len(texts) else ""
    return value


def _text(element: Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{_MAIN}t"))
