"""Words without the patient: what in a text names somebody, a number or a day, and the text with that replaced.

Pure: texts in, texts out. What it cannot know (a rare occupation, a named village) a person must see: nothing is shared
before somebody has read it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

#: Names shorter than this stand for themselves only beside another of the same person ("Ng Mei Ling", not every "no").
SHORT = 3
MONTH = (
    r"(?:jan(?:uary|uari)?|feb(?:ruary|ruari)?|mar(?:ch)?|machi|apr(?:il|ili)?|june?|juni|july?|julai|aug(?:ust)?"
    r"|ago(?:sti)?|sept?(?:ember|emba)?|oct(?:ober)?|okt(?:oba)?|nov(?:ember|emba)?|dec(?:ember)?|des(?:emba)?)\b\.?"
)
#: May is a word of its own: "segment 5 may be", so it is a month only with a year.
WITH_MAY = rf"(?:{MONTH}|may|mei)"
DATES = re.compile(
    r"(?<![\w.])(?:"
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|(?:19|20)\d{2}(?:0[1-9]|1[0-2])[0-3]\d"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[ -]+{WITH_MAY},?[ -]+(?:19|20)?\d{{2}}|\d{{1,2}}(?:st|nd|rd|th)?[ -]+{MONTH}"
    rf"|{WITH_MAY} +(?:\d{{1,2}}(?:st|nd|rd|th)?,? +)?(?:19|20)\d{{2}}"
    r")(?!\w)"
)
PHONES = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ().-]{0,2}\d){6,}(?!\w)")
EMAILS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.\w+")
#: A dicomised UID, and other long rows of numbers with dots.
UIDS = re.compile(r"(?<![\w.])\d+(?:\.\d+){4,}(?!\w)")


def fold(text: str) -> str:
    """Without case and accents, each character in its place."""
    return "".join((unicodedata.normalize("NFKD", letter) or letter)[0].lower()[:1] or letter for letter in text)


@dataclass(frozen=True)
class Known:
    """What is known of the people of an exam: {kind: words}. Kinds: name, number, person, place, contact."""

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    days: tuple[date, ...] = ()

    def patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        """(kind, pattern over folded text), what is longest first."""
        found: list[tuple[str, re.Pattern[str]]] = []
        for kind, texts in (("number", self.numbers), ("contact", self.contacts), ("place", self.places)):
            found += [(kind, _whole(text)) for text in _longest(texts) if len(text.strip()) >= SHORT]
        for kind, texts in (("name", self.names), ("person", self.people)):
            words = _words(texts)
            short = [word for word in words if len(word) < SHORT]
            if len(words) > 1 and short:
                one = "|".join(re.escape(word) for word in words)
                found.append((kind, re.compile(rf"(?<!\w)(?:{one})(?:[\W_]{{1,3}}(?:{one}))+(?!\w)")))
            found += [(kind, _whole(word)) for word in words if len(word) >= SHORT]
        found += [("date", _whole(form)) for day in self.days for form in _forms(day)]
        return found


def _longest(texts: Iterable[str]) -> list[str]:
    return sorted({text.strip() for text in texts if text.strip()}, key=len, reverse=True)


def _words(texts: Iterable[str]) -> list[str]:
    """The words of names, folded; "O'Neil" as one and each of its parts of some length."""
    words: set[str] = set()
    for text in texts:
        for word in fold(text).split():
            words.add(word.strip(".,;()"))
            words |= {part for part in re.split(r"[-'\u2019^=]", word) if len(part) > SHORT}
    return _longest(words)


def _whole(text: str) -> re.Pattern[str]:
    loose = r"[\W_]{0,3}".join(re.escape(part) for part in re.split(r"[\W_]+", fold(text)) if part)
    return re.compile(rf"(?<!\w){loose or re.escape(text)}(?:s|\u2019s|'s)?(?!\w)")


def _forms(day: date) -> list[str]:
    return [f"{day:%Y%m%d}", f"{day:%d%m%Y}"]


#: What no text may hold whoever it speaks of.
ANYBODYS = (("contact", EMAILS), ("uid", UIDS), ("date", DATES), ("contact", PHONES))


def _spans(text: str, known: Known) -> list[tuple[int, int, str]]:
    folded = fold(text)
    found = [
        (match.start(), match.end(), kind)
        for kind, pattern in (*known.patterns(), *ANYBODYS)
        for match in pattern.finditer(folded)
    ]
    found.sort(key=lambda span: (span[0], -span[1]))
    kept: list[tuple[int, int, str]] = []
    for start, end, kind in found:
        if kept and start < kept[-1][1]:
            before = kept.pop()
            kept.append((before[0], max(before[1], end), before[2]))
        else:
            kept.append((start, end, kind))
    return kept


def replaced(text: str, known: Known, words: Mapping[str, str]) -> str:
    """The text with each place replaced by ``[word of its kind]``."""
    pieces, at = [], 0
    for start, end, kind in _spans(text, known):
        pieces += [text[at:start], f"[{words.get(kind, kind)}]"]
        at = end
    return "".join([*pieces, text[at:]])


def left_over(text: str, known: Known) -> list[tuple[str, str]]:
    """[(kind, the words as they stand)] of what a text still holds."""
    return [(kind, text[start:end]) for start, end, kind in _spans(text, known)]
