"""Content items and header values, read from whatever stands there. Nothing here raises on what a device wrote."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

from pydicom import Dataset

from dose import units
from dose.rdsr.parsed import ParsedDose
from dose.rdsr.quick import Item
from dose.units import Quantity

DEEPEST = 12
DataSet = Dataset | Item
YES = frozenset({"R-0038D", "373066001"})
NUMBER_AND_UNIT = re.compile(r"([+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*([^\d\s].*)?")


def value_of(item: Any, keyword: str) -> Any:
    """A value, or None. pydicom decodes when asked and raises in many ways on what devices write."""
    try:
        return item.get(keyword)
    except Exception:  # any decoding error: what stands there as bytes may still be read as text
        return _as_written(item, keyword)


def _as_written(item: Any, keyword: str) -> str | None:
    """The undecoded value: a DS that holds "1,07" is no DS, and still a number to whoever reads it."""
    try:
        raw = item.get_item(keyword).value
    except Exception:
        return None
    return raw.decode("latin-1").split("\\")[0].strip() if isinstance(raw, bytes) else None


def text_of(item: Any, keyword: str, length: int = 128) -> str:
    value = value_of(item, keyword)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else ""
    return str(value).replace("\x00", "").strip()[:length]


def items_of(item: Any, keyword: str) -> list[Any]:
    value = value_of(item, keyword)
    try:
        return [part for part in value or () if isinstance(part, DataSet)]
    except TypeError:
        return []


def number(value: Any) -> float | None:
    """A finite number from whatever stands there: DS, FD, text with a comma, the first of several."""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    try:
        found = float(str(value).strip().replace(",", "."))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def moment(text: str) -> dt.datetime | None:
    """A DT value of at least a day; naive where it names no offset."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6})\d*)?([+-]\d{4})?", text.strip())
    if found is None:
        return None
    try:
        parts = [int(part) for part in found.groups()[:6] if part is not None]
        made = dt.datetime(*parts)
        if found[7]:
            made = made.replace(microsecond=int(found[7].ljust(6, "0")))
        if found[8]:
            sign = -1 if found[8][0] == "-" else 1
            offset = dt.timedelta(hours=int(found[8][1:3]), minutes=int(found[8][3:]))
            made = made.replace(tzinfo=dt.timezone(sign * offset))
    except ValueError:
        return None
    return made


class Content:
    """A content item of the tree."""

    def __init__(self, item: DataSet):
        self.item = item

    @cached_property
    def _name(self) -> DataSet | None:
        names = items_of(self.item, "ConceptNameCodeSequence")
        return names[0] if names else None

    @cached_property
    def concept(self) -> str:
        return text_of(self._name, "CodeValue", 16) if self._name is not None else ""

    @property
    def meaning(self) -> str:
        return text_of(self._name, "CodeMeaning", 64) if self._name is not None else ""

    @cached_property
    def value_type(self) -> str:
        return text_of(self.item, "ValueType", 16).upper()

    @property
    def code(self) -> tuple[str, str, str]:
        codes = items_of(self.item, "ConceptCodeSequence")
        if not codes:
            return "", "", ""
        scheme = text_of(codes[0], "CodingSchemeDesignator", 16)
        value = text_of(codes[0], "CodeValue", 64) or text_of(codes[0], "LongCodeValue", 64)
        return value, scheme, text_of(codes[0], "CodeMeaning", 64)

    @property
    def words(self) -> str:
        """The value as text: TEXT, the meaning of CODE, UIDREF."""
        if self.value_type == "CODE":
            code = self.code
            return code[2] or code[0]
        return text_of(self.item, "UID", 64) if self.value_type == "UIDREF" else text_of(self.item, "TextValue")

    @property
    def is_yes(self) -> bool:
        return self.code[0] in YES or self.words.strip().casefold() in ("yes", "true", "1")

    @property
    def time(self) -> dt.datetime | None:
        return moment(text_of(self.item, "DateTime", 32))

    @property
    def measured(self) -> tuple[float | None, str]:
        """(value, unit) of a NUM; the text of a TEXT that should have been one."""
        values = items_of(self.item, "MeasuredValueSequence")
        if not values:
            return split_unit(text_of(self.item, "TextValue")) if self.value_type == "TEXT" else (None, "")
        found = number(value_of(values[0], "NumericValue"))
        if found is None:
            found = number(value_of(values[0], "FloatingPointValue"))
        codes = items_of(values[0], "MeasurementUnitsCodeSequence")
        unit = text_of(codes[0], "CodeValue", 32) or text_of(codes[0], "CodeMeaning", 32) if codes else ""
        return found, unit

    @property
    def is_written(self) -> bool:
        """Something stands where the number should."""
        values = items_of(self.item, "MeasuredValueSequence")
        return (
            any(text_of(values[0], keyword) for keyword in ("NumericValue", "FloatingPointValue")) if values else False
        )

    @cached_property
    def children(self) -> list[Content]:
        return [Content(child) for child in items_of(self.item, "ContentSequence")]

    def first(self, *concepts: str) -> Content | None:
        return next((child for child in self.children if child.concept in concepts), None)

    def walk(self, depth: int = 0, without: Collection[str] = ()) -> Iterator[Content]:
        """Everything below; not what is below the concepts of ``without``."""
        if depth >= DEEPEST:
            return
        for child in self.children:
            yield child
            if child.concept not in without:
                yield from child.walk(depth + 1, without)


def split_unit(text: str) -> tuple[float | None, str]:
    """ "123,5 mGy.cm" written as text."""
    found = NUMBER_AND_UNIT.fullmatch(text.strip())
    return (number(found[1]), (found[2] or "").strip()) if found else (None, "")


def measure(content: Content, quantity: Quantity, parsed: ParsedDose) -> float | None:
    """The value in the kept unit; what cannot be is left out, with a warning that names the concept."""
    value, unit = content.measured
    name = content.meaning or content.concept
    if value is None:
        parsed.warn(f"{name}: this is no number; left out." if content.is_written else f"{name}: empty.")
        return None
    if not unit and quantity.unit:
        parsed.warn(f"{name}: no unit; taken as {quantity.unit}.")
        scale: float | None = 1.0
    else:
        scale = units.factor(quantity, unit)
    if scale is None:
        parsed.warn(f"{name}: the unit {unit} is not one of this quantity; left out.")
        return None
    return believed(value * scale, quantity, name, parsed)


def believed(value: float, quantity: Quantity, name: str, parsed: ParsedDose) -> float | None:
    if abs(value) > quantity.most or (value < 0 and not quantity.is_signed):
        parsed.warn(f"{name}: {value:g} {quantity.unit} cannot be; left out.")
        return None
    return value
