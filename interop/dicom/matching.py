"""Attribute matching of Query/Retrieve (PS3.4 C.2.2.2) as conditions of the database.

A key's text is what came on the wire, decoded. Empty text, or nothing but ``*``, is universal; no value but the
universal one matches what is stored empty.
"""

from __future__ import annotations

import re
from datetime import time
from typing import Any

from django.db.models import BooleanField, CharField, F, Func, Q, Value
from django.db.models.functions import Upper
from django.db.models.lookups import Exact

from ris.core.errors import InvalidData
from worklist.selectors.mwl import like
from worklist.services.images import parse_date, parse_time

DATE = re.compile(r"\d{8}|\d{4}\.\d{2}\.\d{2}")
TIME = re.compile(r"\d{2}(:?\d{2}(:?\d{2}(\.\d{1,6})?)?)?")
LAST = time(23, 59, 59, 999999)
NAME_GROUPS = 3


def is_universal(text: str) -> bool:
    return not text or set(text) == {"*"}


def has_wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def text_matches(column: str, wanted: str) -> Q:
    """Single value and wildcard (C.2.2.2.1, C.2.2.2.4): case counts, spaces at the end do not."""
    if is_universal(wanted):
        return Q()
    if has_wildcard(wanted):
        return Q(**{f"{column}__like": like(wanted)})
    return Q(**{column: wanted})


def uid_matches(column: str, wanted: str) -> Q:
    """A list of UIDs (C.2.2.2.2)."""
    uids = uids_of(wanted)
    return Q(**{f"{column}__in": uids}) if uids else Q()


def uids_of(text: str) -> list[str]:
    return list(dict.fromkeys(uid.strip(" \0") for uid in text.split("\\") if uid.strip(" \0*")))


def integer_matches(column: str, wanted: str, name: str) -> Q:
    """An IS: 1, 01 and +1 are one number."""
    if is_universal(wanted):
        return Q()
    if not re.fullmatch(r"[+-]?\d{1,12}", wanted):
        raise unfit(name)
    number = int(wanted)
    return Q(**{column: number}) if abs(number) < 2**31 else Q(pk__in=[])


def date_range(text: str, name: str) -> tuple[Any, Any]:
    """First and last day, None where the range is open (C.2.2.2.5). Raises InvalidData."""
    return _range(text, DATE, name, parse_date, parse_date)


def time_range(text: str, name: str) -> tuple[Any, Any]:
    """A time of lesser precision covers all that it may mean: 10 is from 10:00:00 to 10:59:59."""
    return _range(text, TIME, name, _begin_of_time, _end_of_time)


def _range(text: str, pattern: re.Pattern[str], name: str, first_of: Any, last_of: Any) -> tuple[Any, Any]:
    begins, dash, ends = (part.strip() for part in text.partition("-"))
    ends = ends if dash else begins
    if not (begins or ends) or not all(pattern.fullmatch(part) for part in (begins, ends) if part):
        raise unfit(name)
    first, last = (first_of(begins) if begins else None), (last_of(ends) if ends else None)
    if (begins and first is None) or (ends and last is None):
        raise unfit(name)
    return first, last


def _begin_of_time(text: str) -> time | None:
    return _with_fraction(text, "0")


def _end_of_time(text: str) -> time | None:
    found = _with_fraction(text, "9")
    digits = len(text.partition(".")[0].replace(":", ""))
    if found is None or digits >= 6:
        return found
    return found.replace(minute=found.minute if digits >= 4 else 59, second=59)


def _with_fraction(text: str, filler: str) -> time | None:
    """The time, with what its fraction leaves open filled up."""
    found = parse_time(text)
    fraction = text.partition(".")[2]
    return found and found.replace(microsecond=int(fraction[:6].ljust(6, filler) if fraction else filler * 6))


def moment_matches(date_column: str, time_column: str, dates: str, times: str) -> Q:
    """Date and time; two ranges are one interval, from the first date and time to the last."""
    day = None if is_universal(dates) else date_range(dates, "(0008,0020)")
    clock = None if is_universal(times) else time_range(times, "(0008,0030)")
    if day and clock and "-" in dates and "-" in times:
        return _interval(date_column, time_column, day, clock)
    return _between(date_column, day) & _between(time_column, clock)


def _between(column: str, bounds: tuple[Any, Any] | None) -> Q:
    condition = Q()
    for bound, lookup in zip(bounds or (None, None), ("gte", "lte"), strict=True):
        condition &= Q(**{f"{column}__{lookup}": bound}) if bound is not None else Q()
    return condition


def _interval(date_column: str, time_column: str, day: tuple[Any, Any], clock: tuple[Any, Any]) -> Q:
    first, last = day
    begin, end = clock[0] or time.min, clock[1] or LAST
    condition = Q()
    if first is not None:
        condition &= Q(**{f"{date_column}__gt": first}) | Q(**{date_column: first, f"{time_column}__gte": begin})
    if last is not None:
        condition &= Q(**{f"{date_column}__lt": last}) | Q(**{date_column: last, f"{time_column}__lte": end})
    return condition


def folded(expression: Any) -> Any:
    """Upper case without accents, as PN may be compared (C.2.2.2.1)."""
    return Upper(Func(expression, function="f_unaccent", output_field=CharField()))


class Alike(Func):
    """``left LIKE right`` between expressions."""

    arg_joiner = " LIKE "
    template = "%(expressions)s"
    output_field = BooleanField()


def name_matches(name: Any, wanted: str) -> Q:
    """A person name given as an expression.

    A key of one component group matches any group of the name; one with ``=`` matches group by group. Empty components
    at the end do not count.
    """
    groups = [group.rstrip("^ ") for group in wanted.split("=")][:NAME_GROUPS]
    if len(groups) == 1:
        condition = Q()
        for number in range(NAME_GROUPS):
            condition |= _group(name, number, groups[0])
        return condition
    condition = Q()
    for number, group in enumerate(groups):
        condition &= _group(name, number, group)
    return condition


def _group(name: Any, number: int, wanted: str) -> Q:
    if is_universal(wanted):
        return Q()
    part = Func(name, Value("="), Value(number + 1), function="SPLIT_PART", output_field=CharField())
    stored = folded(Func(part, Value("^ "), function="RTRIM", output_field=CharField()))
    if has_wildcard(wanted):
        return Q(Alike(stored, folded(Value(like(wanted)))))
    return Q(Exact(stored, folded(Value(wanted))))


def dicom_name_of(prefix: str = "") -> Any:
    """``Patient.dicom_name`` as an expression, as far as matching needs it."""
    parts: list[Any] = []
    for number, field in enumerate(("family_name", "given_name", "middle_name", "prefix", "suffix")):
        parts += [Value("^")] if number else []
        parts.append(F(f"{prefix}{field}"))
    for field in ("ideographic_name", "phonetic_name"):
        parts += [Value("="), F(f"{prefix}{field}")]
    return Func(*parts, function="CONCAT", output_field=CharField())


def unfit(name: str) -> InvalidData:
    return InvalidData(f"{name} is neither a value nor a range.", errors={name: "neither a value nor a range"})
