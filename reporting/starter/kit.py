"""How the starter templates are written down: see ``reporting.merge`` for what stands in their text."""

from __future__ import annotations

from typing import NamedTuple

#: name, technique, findings, impression
Words = tuple[str, str, str, str]


class Text(NamedTuple):
    name: str
    sections: dict[str, str]


class Starter(NamedTuple):
    modality: str
    regions: tuple[str, ...]
    texts: dict[str, Text]
    sex: str
    age_from: int | None
    age_to: int | None
    is_default: bool


def _text(words: Words) -> Text:
    name, technique, findings, impression = words
    sections = {
        "clinical_information": "{{order.indication}}",
        "technique": technique,
        "comparison": "{{comparison}}",
        "findings": findings,
        "impression": impression,
    }
    return Text(name, {key: value for key, value in sections.items() if value})


def starter(
    modality: str,
    regions: str,
    en: Words,
    sw: Words | None = None,
    *,
    sex: str = "",
    ages: tuple[int | None, int | None] = (None, None),
    is_default: bool = False,
) -> Starter:
    """``regions`` with commas. ``is_default``: chosen by itself; the others wait in the list of templates."""
    texts = {"en": _text(en)} | ({"sw": _text(sw)} if sw else {})
    return Starter(modality, tuple(filter(None, regions.split(", "))), texts, sex, *ages, is_default)
