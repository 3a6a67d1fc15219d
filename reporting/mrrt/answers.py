"""What was filled into a form: checked, turned into the sections' text, and kept as codes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from reporting.mrrt.form import NUMBER, Field, Form, Section
from ris.core import text
from ris.core.errors import InvalidData

LONGEST = 10_000


def checked_answers(form: Form, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that belong to the form's fields, each of its kind; InvalidData names what is wrong."""
    errors: dict[str, str] = {}
    kept: dict[str, Any] = {}
    for name, given in answers.items():
        field = form.fields.get(name)
        if field is None:
            errors[str(name)[:100]] = _("There is no such field.")
            continue
        wrong = _wrong(field, given)
        if wrong:
            errors[name] = wrong
        else:
            kept[name] = list(given) if isinstance(given, list | tuple) else str(given).replace("\r\n", "\n")
    if errors:
        raise InvalidData(_("The form cannot be kept."), errors=errors)
    return kept


def _wrong(field: Field, given: Any) -> str:
    if field.kind == "several":
        known = {option.value for option in field.options}
        return "" if isinstance(given, list | tuple) and set(given) <= known else _("Choose from the list.")
    if not isinstance(given, str) or len(given) > LONGEST:
        return _("This is no text, or too long.")
    if not given:
        return ""
    if field.kind in ("select", "radio") and given not in {option.value for option in field.options}:
        return _("Choose from the list.")
    if field.kind == "number":
        return _wrong_number(field, given)
    if field.kind == "date":
        try:
            dt.date.fromisoformat(given)
        except ValueError:
            return _("Not a date.")
    return ""


def _wrong_number(field: Field, given: str) -> str:
    if not NUMBER.fullmatch(given):
        return _("Not a number.")
    if NUMBER.fullmatch(field.low) and float(given) < float(field.low):
        return _("Less than %(low)s.") % {"low": field.low}
    if NUMBER.fullmatch(field.high) and float(given) > float(field.high):
        return _("More than %(high)s.") % {"high": field.high}
    return ""


def said(field: Field, given: Any) -> str:
    """An answer in words; "" when there is none."""
    if field.kind in ("select", "several", "radio"):
        chosen = given if isinstance(given, list) else [given]
        return ", ".join(option.label for option in field.options if option.value in chosen and option.value != "")
    if not given:
        return ""
    if field.kind == "checkbox":
        return field.label
    if field.kind == "date":
        return text.day(dt.date.fromisoformat(str(given)))
    return f"{given} {field.units}".strip() if field.units else str(given)


def section_texts(form: Form, answers: Mapping[str, Any]) -> dict[str, str]:
    """{section key: text}. A line of empty fields is left out; PROHIBIT leaves a blank that stops signing."""
    texts: dict[str, list[str]] = {}
    for section in form.sections:
        lines = _lines(section, answers)
        if not lines:
            continue
        found = texts.setdefault(section.key, [])
        if not section.is_named_here:
            found.append(f"{section.name}:" if len(lines) > 1 else f"{section.name}: {lines.pop(0)}")
        found += lines
    return {key: "\n".join(lines) for key, lines in texts.items()}


def _lines(section: Section, answers: Mapping[str, Any]) -> list[str]:
    lines = []
    for line in section.lines:
        fields = [item for item in line if isinstance(item, Field)]
        words, has_answer = "", False
        for item in line:
            if isinstance(item, str):
                words += item
                continue
            answer = said(item, answers.get(item.id, "")).strip()
            has_answer = has_answer or bool(answer)
            if not answer and item.completion == "PROHIBIT":
                answer, has_answer = f"[{item.label}]", True
            glue = " " if words and answer and not words[-1].isspace() and words[-1] not in "(/" else ""
            words += glue + answer
        if has_answer or not fields:
            lines.append(words.strip() if "\n" in words else " ".join(words.split()))
    return [line for line in lines if line]


def coded_answers(form: Form, answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every answer with the codes of its field and of what was chosen."""
    rows = []
    for field in form.fields.values():
        given = answers.get(field.id, "")
        meaning = said(field, given)
        if not meaning:
            continue
        chosen = given if isinstance(given, list) else [given]
        codes = [code.as_dict() for option in field.options if option.value in chosen for code in option.codes]
        rows.append(
            {
                "field": field.id,
                "label": field.label,
                "value": given,
                "meaning": meaning,
                "units": field.units,
                "concept": [code.as_dict() for code in field.codes],
                "codes": codes,
            }
        )
    return rows


def still_open(form: Form, answers: Mapping[str, Any]) -> list[Field]:
    """Fields that want an answer (ALERT, PROHIBIT) and have none."""
    return [row for row in form.fields.values() if row.is_required and not said(row, answers.get(row.id, ""))]
