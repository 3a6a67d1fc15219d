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


def merged(base: str, theirs: str, mine: str) -> tuple[str, bool]:
    """Three texts, line by line: what each side changed of ``base``. True when both changed the same place; there
    theirs stands before mine, so that nothing is lost."""
    if theirs == mine:
        return mine, False
    old, one, two = base.split("\n"), theirs.split("\n"), mine.split("\n")
    ours, others = _changes(old, two), _changes(old, one)
    lines: list[str] = []
    at, clashes = 0, False
    while ours or others:
        first = min([*(ours[:1]), *(others[:1])], key=lambda change: (change[0], change[1]))
        start, end = first[0], first[1]
        mine_here, theirs_here = [], []
        grown = True
        while grown:
            grown = False
            for source, found in ((ours, mine_here), (others, theirs_here)):
                while source and (source[0][0] < end or source[0][0] == start):
                    change = source.pop(0)
                    found.append(change)
                    end, grown = max(end, change[1]), True
        lines += old[at:start]
        left, right = _applied(old, start, end, theirs_here), _applied(old, start, end, mine_here)
        if theirs_here and mine_here and left != right:
            clashes = True
            lines += [*left, *(line for line in right if line not in left)]
        else:
            lines += left if theirs_here else right
        at = end
    lines += old[at:]
    return "\n".join(lines), clashes


Change = tuple[int, int, list[str]]


def _changes(old: list[str], new: list[str]) -> list[Change]:
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(a, b, new[c:d]) for what, a, b, c, d in codes if what != "equal"]


def _applied(old: list[str], start: int, end: int, changes: list[Change]) -> list[str]:
    lines, at = [], start
    for a, b, new in changes:
        lines += [*old[at:a], *new]
        at = b
    return [*lines, *old[at:end]]
