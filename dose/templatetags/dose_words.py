"""How pages write a dose: ``{{ value|dose }}``, ``{{ unit|unit_words }}``, ``{{ key|quantity_words }}``."""

from __future__ import annotations

from typing import Any

from django import template

from dose.bands import band_words
from dose.dashboards.svg import words_of
from dose.quantities import quantity_words, unit_words
from ris.core.context import ROLE_LABELS

register = template.Library()

register.filter("dose", words_of)
register.filter("unit_words", unit_words)
register.filter("quantity_words", quantity_words)
register.filter("band_words", band_words)


@register.filter
def role_words(name: str) -> Any:
    return ROLE_LABELS.get(name, name)
