"""Texts of scripts that are not simply set from left to right: letters joined, lines in the order of the eye. Pure.

Joining takes the presentation forms of Unicode (Arabic, Persian, Urdu). Order follows the implicit rules of Unicode
Standard Annex 9 (W1-W7, N1, N2, I1, I2, L1-L4); its embedding controls are dropped.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable

MIRRORED = dict(zip("()[]{}<>«»‹›", ")(][}{><»«›‹", strict=True))
CONTROLS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
JOINS = "\u0640\u200d"
LAM = "\u0644"


def has_right_to_left(words: str) -> bool:
    return any(unicodedata.bidirectional(sign) in ("R", "AL", "AN") for sign in words)


def is_right_to_left(words: str) -> bool:
    """Whether the first strong letter is of a script written from right to left (P2, P3)."""
    for sign in words:
        kind = unicodedata.bidirectional(sign)
        if kind in ("L", "R", "AL"):
            return kind != "L"
    return False


# --- joining


@functools.cache
def _forms() -> dict[str, dict[str, str]]:
    """{letters: {form: presentation form}}, read from the decompositions of Unicode."""
    found: dict[str, dict[str, str]] = {}
    for point in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD)):
        tag, *points = unicodedata.decomposition(chr(point)).split() or [""]
        if tag in ("<isolated>", "<initial>", "<medial>", "<final>"):
            letters = "".join(chr(int(value, 16)) for value in points)
            if len(letters) == 1 or (len(letters) == 2 and letters[0] == LAM and letters[1] in "آأإا"):
                found.setdefault(letters, {}).setdefault(tag[1:-1], chr(point))
    return found


def joined(words: str) -> str:
    """Arabic letters in the form that their neighbours ask for; lam and alef as one sign."""
    forms = _forms()
    letters = _ligated(words)
    shown = []
    for at, letter in enumerate(letters):
        own = forms.get(letter)
        if own is None:
            shown.append(letter)
            continue
        before, after = _neighbour(letters, at, -1), _neighbour(letters, at, 1)
        to_before = "final" in own and _joins_next(before, forms)
        to_after = "initial" in own and _joins_previous(after, forms)
        form = {(True, True): "medial", (True, False): "final", (False, True): "initial"}.get((to_before, to_after))
        shown.append(own.get(form or "isolated", letter))
    return "".join(shown)


def _ligated(words: str) -> list[str]:
    forms, letters = _forms(), list(words)
    at = 0
    while at < len(letters) - 1:
        if letters[at] == LAM and letters[at] + letters[at + 1] in forms:
            letters[at : at + 2] = [letters[at] + letters[at + 1]]
        at += 1
    return letters


def _neighbour(letters: list[str], at: int, step: int) -> str:
    """The next letter that is no mark above or below another."""
    at += step
    while 0 <= at < len(letters) and unicodedata.category(letters[at][0]) == "Mn":
        at += step
    return letters[at] if 0 <= at < len(letters) else ""


def _joins_next(letter: str, forms: dict[str, dict[str, str]]) -> bool:
    return bool(letter) and (letter in JOINS or "initial" in forms.get(letter, {}))


def _joins_previous(letter: str, forms: dict[str, dict[str, str]]) -> bool:
    return bool(letter) and (letter in JOINS or "final" in forms.get(letter, {}))


# --- order


def levels(words: str, base: int) -> list[int]:
    """The embedding level of each sign of one paragraph whose own level is ``base``."""
    kinds = _weak([unicodedata.bidirectional(sign) or "L" for sign in words], base)
    kinds = _neutral(kinds, base)
    return [_level(kind, base) for kind in kinds]


def _weak(kinds: list[str], base: int) -> list[str]:
    start = "R" if base else "L"
    previous, strong = start, start
    for at, kind in enumerate(kinds):  # W1, W2, W3
        if kind in ("NSM", "BN"):
            kind = previous
        elif kind == "EN" and strong == "AL":
            kind = "AN"
        if kind in ("L", "R", "AL"):
            strong = kind
        previous = kind
        kinds[at] = kind
    kinds = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):  # W4
        around = (kinds[at - 1], kinds[at + 1])
        if (kinds[at] in ("ES", "CS") and around == ("EN", "EN")) or (kinds[at] == "CS" and around == ("AN", "AN")):
            kinds[at] = around[0]
    for at, kind in enumerate(kinds):  # W5
        if kind == "EN":
            for step in (-1, 1):
                other = at + step
                while 0 <= other < len(kinds) and kinds[other] == "ET":
                    kinds[other] = "EN"
                    other += step
    strong = start
    for at, kind in enumerate(kinds):  # W6, W7
        if kind in ("ES", "ET", "CS"):
            kinds[at] = "ON"
        elif kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
    return kinds


def _neutral(kinds: list[str], base: int) -> list[str]:
    """N1, N2: between two of one direction like them, else like the paragraph. Numbers count as right to left."""
    start, at = "R" if base else "L", 0
    while at < len(kinds):
        if kinds[at] in ("L", "R", "EN", "AN"):
            at += 1
            continue
        end = at
        while end < len(kinds) and kinds[end] not in ("L", "R", "EN", "AN"):
            end += 1
        left = start if at == 0 else "L" if kinds[at - 1] == "L" else "R"
        right = start if end == len(kinds) else "L" if kinds[end] == "L" else "R"
        kinds[at:end] = [left if left == right else start] * (end - at)
        at = end
    return kinds


def _level(kind: str, base: int) -> int:
    if base % 2 == 0:
        return {"L": base, "R": base + 1}.get(kind, base + 2)
    return base if kind == "R" else base + 1


def in_order_of_the_eye(words: str, given: list[int], base: int) -> str:
    """One line, from left to right as it is seen (L1-L4)."""
    levels_here = list(given)
    for at in range(len(words) - 1, -1, -1):
        if not words[at].isspace():
            break
        levels_here[at] = base
    signs = [MIRRORED.get(sign, sign) if level % 2 else sign for sign, level in zip(words, levels_here, strict=True)]
    for level in range(max(levels_here, default=0), 0, -1):
        at = 0
        while at < len(signs):
            end = at
            while end < len(signs) and levels_here[end] >= level:
                end += 1
            if end > at:
                signs[at:end] = reversed(signs[at:end])
                levels_here[at:end] = reversed(levels_here[at:end])
            at = end + 1
    return "".join(_marks_after_letters(signs, levels_here)).translate({ord(sign): None for sign in CONTROLS})


def _marks_after_letters(signs: list[str], given: list[int]) -> list[str]:
    """L3: a mark is drawn after its letter, also where the letter's line was turned round."""
    at = 0
    while at < len(signs):
        end = at
        while end < len(signs) and given[end] % 2 and unicodedata.category(signs[end]) == "Mn":
            end += 1
        if end > at and end < len(signs):
            signs[at : end + 1] = [signs[end], *reversed(signs[at:end])]
        at = max(end, at) + 1
    return signs


def lines(words: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """A text broken to ``width`` and each line in the order of the eye. A paragraph ends at a line end."""
    shown = []
    for paragraph in words.split("\n"):
        text = joined(paragraph)
        base = 1 if is_right_to_left(paragraph) else 0
        given = levels(text, base)
        for start, end in _breaks(text, width, measure):
            shown.append(in_order_of_the_eye(text[start:end], given[start:end], base))
    return shown


def _breaks(text: str, width: float, measure: Callable[[str], float]) -> list[tuple[int, int]]:
    """At the last space that fits; a word that is longer than the line is cut."""
    found, start = [], 0
    while True:
        end = start
        while end < len(text) and measure(text[start : end + 1]) <= width:
            end += 1
        if end >= len(text):
            return [*found, (start, len(text))]
        space = text.rfind(" ", start, end + 1)
        cut = space if space > start else max(end, start + 1)
        found.append((start, cut))
        start = cut + 1 if text[cut : cut + 1] == " " else cut
