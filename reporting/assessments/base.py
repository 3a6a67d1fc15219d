"""What a scale consists of: coded fields, a pure function from answers to a category, how texts name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext as _

Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    code: str
    label: Any
    points: int = 0


@dataclass(frozen=True)
class Field:
    """One question. ``number`` fields are in ``unit``; ``many`` takes several codes."""

    key: str
    label: Any
    kind: Literal["choice", "many", "number", "yes"] = "choice"
    choices: tuple[Choice, ...] = ()
    unit: str = ""
    is_required: bool = False
    maximum: float = 1000
    help: Any = ""

    def points(self, answers: Answers) -> int:
        given = answers.get(self.key)
        codes = given if isinstance(given, list) else [given]
        return sum(choice.points for choice in self.choices if choice.code in codes)


@dataclass(frozen=True)
class Result:
    """``category`` as the scale names it; ``title`` what it means; ``management`` what the scale advises."""

    category: str
    title: Any
    management: Any
    score: int | None = None


class NotApplicable(Exception):
    """The scale says nothing about such a finding or patient; the message is for people, ``field`` names the answer."""

    def __init__(self, field_key: str, words: Any) -> None:
        super().__init__(str(words))
        self.field = field_key


@dataclass(frozen=True)
class Scheme:
    """``pattern`` finds the category in a text (its first group); empty when the scale has no named categories."""

    key: str
    name: str
    version: str
    subject: Any
    fields: tuple[Field, ...]
    calculate: Callable[[Answers], Result] = field(repr=False)
    pattern: str = ""
    modalities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    def mentions(self, text: str) -> list[tuple[str, str]]:
        """(the words, the category) wherever the text names one."""
        if not self.pattern:
            return []
        found = re.finditer(self.pattern, text, re.IGNORECASE)
        return [(match[0].strip(), match[1].upper().replace(" ", "")) for match in found]

    def describe(self, result_category: str, label: str = "") -> str:
        """The sentence that is put into the report."""
        what = f"{label}: " if label else ""
        return f"{what}{self.name} {result_category}" if self.pattern else f"{what}{self.name} ({result_category})"


def clean(scheme: Scheme, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Answers as the scale knows them, and what is wrong, by key. Unknown keys are wrong, empty ones are left out."""
    answers: dict[str, Any] = {}
    errors: dict[str, str] = {key: _("There is no such question.") for key in set(raw) - {f.key for f in scheme.fields}}
    for question in scheme.fields:
        given = raw.get(question.key)
        if given in (None, "", [], "-"):
            if question.is_required:
                errors[question.key] = _("Needed.")
            continue
        try:
            answers[question.key] = _value(question, given)
        except ValueError as error:
            errors[question.key] = str(error)
    return answers, errors


def _value(question: Field, given: Any) -> Any:
    if question.kind == "number":
        return _number(question, given)
    if question.kind == "yes":
        if given in (True, "yes", "true", "on", "1"):
            return True
        if given in (False, "no", "false", "0"):
            return False
        raise ValueError(_("Yes or no."))
    codes = [choice.code for choice in question.choices]
    if question.kind == "many":
        chosen = given if isinstance(given, list) else [given]
        if not all(isinstance(code, str) and code in codes for code in chosen):
            raise ValueError(_("One of: %(codes)s.") % {"codes": ", ".join(codes)})
        return [code for code in codes if code in chosen]
    if not isinstance(given, str) or given not in codes:
        raise ValueError(_("One of: %(codes)s.") % {"codes": ", ".join(codes)})
    return given


def _number(question: Field, given: Any) -> float:
    try:
        value = float(str(given).replace(",", "."))
    except ValueError:
        raise ValueError(_("A number.")) from None
    if not 0 <= value <= question.maximum:
        raise ValueError(_("Between 0 and %(maximum)g.") % {"maximum": question.maximum})
    return round(value, 1)
