"""A date of birth as people write it: in figures in the facility's order, with the month's name, by ISO 8601, or about.

Words in; a date and whether it is estimated out, or Unreadable with a sentence for the person who typed it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta

from django.utils import dates, timezone, translation
from django.utils.translation import gettext as _

from ris.tenants.context import require_facility
from ris.tenants.models import DateOrder

ISO = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
FIGURES = re.compile(r"(\d{1,4})[\s/.\-]+(\d{1,2})[\s/.\-]+(\d{1,4})")
YEAR = re.compile(r"(?:18|19|20|21)\d\d")
#: "about 40", "~40", "40 y", "8 mo", "3 weeks", and the same in Swahili
AGE = re.compile(
    r"(?P<about>about|approx\.?|circa|ca\.?|c\.|~|≈|kama|takriban)?\s*(?P<number>\d{1,3})\s*"
    r"(?P<unit>y|yr|yrs|year|years|miaka|mwaka|mo|month|months|miezi|mwezi|w|wk|week|weeks|wiki|d|day|days|siku)?\s*(?:old)?"
)
DAYS = {"d": 1, "s": 1, "w": 7}
OLDEST_AGE = 130


class Unreadable(ValueError):
    """Says what was expected."""


def expected_form(order: str) -> str:
    """How a date is typed here, shown beside the field."""
    figures = {
        DateOrder.DAY_FIRST: _("day/month/year, as 19/11/1990"),
        DateOrder.MONTH_FIRST: _("month/day/year, as 11/19/1990"),
        DateOrder.YEAR_FIRST: _("year-month-day, as 1990-11-19"),
    }[DateOrder(order)]
    return _("%(figures)s; or 1990, or about 40") % {"figures": figures}


def read_here(text: str) -> tuple[date, bool]:
    """As this facility writes dates, today."""
    return read_birth_date(text, order=require_facility().date_order, today=timezone.localdate())


def expected_here() -> str:
    return expected_form(require_facility().date_order)


def typed_form(day: date | None, *, is_estimated: bool = False) -> str:
    """A stored date as it would be typed here."""
    if day is None:
        return ""
    if is_estimated and (day.month, day.day) == (1, 1):
        return str(day.year)
    order = require_facility().date_order
    figures = {DateOrder.DAY_FIRST: "%d/%m/%Y", DateOrder.MONTH_FIRST: "%m/%d/%Y"}.get(DateOrder(order), "%Y-%m-%d")
    return day.strftime(figures)


def read_birth_date(text: str, *, order: str, today: date) -> tuple[date, bool]:
    """(date, is it estimated). ``order`` is a DateOrder; ISO 8601 is understood everywhere."""
    words = _plain(text)
    if match := ISO.fullmatch(words):
        return _date(*(int(part) for part in match.groups())), False
    if match := FIGURES.fullmatch(words):
        return _in_order(*match.groups(), order=order), False
    if YEAR.fullmatch(words):
        return date(int(words), 1, 1), True
    if match := AGE.fullmatch(words):
        return _born_before(int(match["number"]), match["unit"] or "y", today), True
    named = _with_month_name(words)
    if named is not None:
        return named
    raise Unreadable(_("This is not a date. Write it as %(form)s.") % {"form": expected_form(order)})


def _plain(text: str) -> str:
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return " ".join(bare.lower().replace(",", " ").split())


def _date(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise Unreadable(_("There is no such day in the calendar.")) from None


def _in_order(first: str, second: str, third: str, *, order: str) -> date:
    if len(first) > 2:
        year, month, day = first, second, third
    elif order == DateOrder.MONTH_FIRST:
        month, day, year = first, second, third
    elif order == DateOrder.YEAR_FIRST:
        raise Unreadable(_("Write the year first, with four figures."))
    else:
        day, month, year = first, second, third
    if len(year) != 4:
        raise Unreadable(_("Write the year with four figures."))
    if len(day) > 2:
        raise Unreadable(_("There is no such day in the calendar."))
    return _date(int(year), int(month), int(day))


def _born_before(number: int, unit: str, today: date) -> date:
    """The day that makes the age so today, as round as the age is."""
    if unit.startswith(("y", "miaka", "mwaka")):
        if number > OLDEST_AGE:
            raise Unreadable(_("Nobody is that old."))
        return date(today.year - number, 1, 1)
    if unit.startswith(("mo", "mie", "mwe")):
        months = today.year * 12 + today.month - 1 - number
        return date(months // 12, months % 12 + 1, 1)
    return today - timedelta(days=number * DAYS[unit[0]])


def _with_month_name(words: str) -> tuple[date, bool] | None:
    """``19 nov 1990``, ``nov 19 1990``, ``nov 1990``: the last is known to the month only."""
    parts = re.split(r"[\s.\-/]+", words)
    months = [number for part in parts if (number := _months().get(part))]
    figures = [part for part in parts if part.isdecimal()]
    if len(months) != 1 or len(months) + len(figures) != len(parts):
        return None
    years = [part for part in figures if len(part) == 4]
    days = [part for part in figures if len(part) <= 2]
    if len(years) != 1 or len(days) > 1 or len(years) + len(days) != len(figures):
        return None
    return _date(int(years[0]), months[0], int(days[0]) if days else 1), not days


def _months() -> dict[str, int]:
    """Names and their beginnings of three letters, in English and in the reader's language."""
    found: dict[str, int] = {}
    for language in ("en", translation.get_language() or "en"):
        with translation.override(language):
            for number, name in dates.MONTHS.items():
                for spelling in (_plain(str(name)), _plain(str(dates.MONTHS_3[number]))):
                    found[spelling] = number
                    found.setdefault(spelling[:3], number)
    found["sept"] = 9
    return found
