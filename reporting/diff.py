"""Two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from reporting.models import SECTIONS

WORD = re.compile(r"\s+|\w+|[^\w\s]")


class Piece(NamedTuple):
    """``kind``: same, gone, new."""

    kind: str
    words: str


class SectionDiff(NamedTuple):
    key: str
    label: Any
    pieces: list[Piece]
    old: str
    new: str

    @property
    def differs(self) -> bool:
        return self.old != self.new


def word_diff(old: str, new: str) -> list[Piece]:
    before, after = WORD.findall(old), WORD.findall(new)
    pieces = []
    for what, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            pieces.append(Piece("same", "".join(before[a:b])))
            continue
        if b > a:
            pieces.append(Piece("gone", "".join(before[a:b])))
        if d > c:
            pieces.append(Piece("new", "".join(after[c:d])))
    return pieces


def section_diffs(old: Mapping[str, str], new: Mapping[str, str]) -> list[SectionDiff]:
    """Every section that either text has, in reading order."""
    found = []
    for key, (_loinc, label) in SECTIONS.items():
        before, after = old.get(key, ""), new.get(key, "")
        if before or after:
            found.append(SectionDiff(key, label, word_diff(before, after), before, after))
    return found
