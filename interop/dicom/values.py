"""Values as DICOM writes them (PS3.5 6.2), as values of ours. Lenient: what cannot be read is None."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, time
from typing import Any

from django.utils import timezone
from pydicom import Dataset


def text_of(dataset: Dataset, keyword: str, length: int = 0) -> str:
    """The value as one line of text; empty when it is absent. Names keep their ``^`` and ``=``."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    words = "\\".join(str(part) for part in value) if _is_many(value) else str(value)
    words = " ".join(words.replace("\0", "").split())
    return words[:length] if length else words


def _is_many(value: Any) -> bool:
    return isinstance(value, list | tuple) or type(value).__name__ == "MultiValue"


def date_of(text: str) -> date | None:
    digits = text.strip().replace(".", "")[:8]
    with contextlib.suppress(ValueError):
        return datetime.strptime(digits, "%Y%m%d").date()
    return None


def time_of(text: str) -> time | None:
    digits, _dot, fraction = text.strip().replace(":", "").partition(".")
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = (int(digits[at : at + 2] or 0) for at in (0, 2, 4))
        if digits[:2].isdecimal():
            return time(hours, minutes, min(seconds, 59), int(fraction[:6].ljust(6, "0") or 0) if fraction else 0)
    return None


def moment_of(day: str, clock: str, offset: str = "") -> datetime | None:
    """A date and a time: at the offset from UTC that the data set names (0008,0201), else the facility's."""
    found = date_of(day)
    if found is None:
        return None
    naive = datetime.combine(found, time_of(clock) or time())
    with contextlib.suppress(ValueError):
        return naive.replace(tzinfo=datetime.strptime(offset, "%z").tzinfo)
    return timezone.make_aware(naive)


def integer_of(text: str) -> int | None:
    """An IS; None for what is none, or does not fit the database."""
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**31 else None
