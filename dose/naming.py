"""Does a rule fit what a site, a protocol or a device called an exam? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar


class Fits(Protocol):
    field: str
    match: str
    pattern: str


RuleT = TypeVar("RuleT", bound=Fits)
#: The same kind of exam to whoever compares doses
TWINS = {"CR": "DX", "XA": "RF"}


def plain(text: str) -> str:
    """Without case and runs of blanks; DICOM's carets are blanks."""
    return re.sub(r"[\s^_]+", " ", text).strip().casefold()


def fits(match: str, pattern: str, text: str) -> bool:
    """``*`` stands for anything, ``?`` for one sign; nothing else is special."""
    wanted, found = plain(pattern), plain(text)
    if not found:
        return False
    if match == "equals":
        return found == wanted
    if match == "wildcard":
        return fnmatchcase(found, wanted.replace("[", "[[]"))
    return wanted in found


@dataclass
class Facts:
    """What one exam was called: field -> its names there."""

    modality: str = ""
    names: Mapping[str, Iterable[str]] = field(default_factory=dict)

    def of(self, name: str) -> Iterable[str]:
        return self.names.get(name, ())


def first_fit(rules: Iterable[RuleT], facts: Facts) -> RuleT | None:
    """The rules in their order; one of another modality does not fit."""
    for rule in rules:
        wanted = getattr(rule, "modality", "")
        if wanted and TWINS.get(wanted, wanted) != TWINS.get(facts.modality, facts.modality):
            continue
        if any(fits(rule.match, rule.pattern, text) for text in facts.of(rule.field)) and _fits_also(rule, facts):
            return rule
    return None


def _fits_also(rule: Fits, facts: Facts) -> bool:
    """The second part of a rule, where it has one."""
    also = getattr(rule, "also_field", "")
    return not also or any(fits("contains", rule.also_pattern, text) for text in facts.of(also))
