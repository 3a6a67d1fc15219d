"""``{% load money %}``: amounts with their currency, never broken over two lines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django import template

from orders import money
from ris.core import text
from ris.core.text import NBSP

register = template.Library()


@register.simple_tag
def spoken(amount: Any, currency: str) -> str:
    """ "KES 9 500.00"."""
    return money.spoken(Decimal(amount), currency).replace(" ", NBSP) if amount is not None else "–"


@register.simple_tag
def figure(amount: Any, currency: str) -> str:
    """The same without the currency, for columns that name it."""
    if amount is None:
        return "–"
    return money.spoken(Decimal(amount), currency).removeprefix(f"{currency} ").replace(" ", NBSP)


@register.filter
def plain(number: Any) -> str:
    """80.00 -> "80", 33.30 -> "33.3"."""
    return f"{Decimal(number).normalize():f}"


@register.filter
def iso_day(words: str) -> str:
    """A day that was frozen as ISO 8601."""
    return text.day(date.fromisoformat(words)) if words else "–"
