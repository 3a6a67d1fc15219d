"""Days as people write them in a report, in English and Swahili. Pure."""

from __future__ import annotations

import re
from datetime import date

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januari",
            "feb february februari",
            "mar march machi mac",
            "apr april aprili",
            "may mei",
            "jun june juni",
            "jul july julai",
            "aug august agosti ago",
            "sep sept september septemba",
            "oct october oktoba okt",
            "nov november novemba",
            "dec december desemba des",
        ),
        1,
    )
    for name in names.split()
}
NAMES = "|".join(sorted(MONTHS, key=len, reverse=True))
PATTERNS = (
    re.compile(r"\b(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})\b"),
    re.compile(r"\b(?P<d>\d{1,2})[./](?P<m>\d{1,2})[./](?P<y>\d{4})\b"),
    re.compile(rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[\s\u00a0]+(?P<m>{NAMES})\.?,?[\s\u00a0]+(?P<y>\d{{4}})\b", re.I),
    re.compile(rf"\b(?P<m>{NAMES})\.?[\s\u00a0]+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?[\s\u00a0]+(?P<y>\d{{4}})\b", re.I),
)


def dates_in(words: str) -> list[tuple[str, date]]:
    """(the words, the day); numbers that are no day of a calendar are left out. Day before month."""
    found = []
    for pattern in PATTERNS:
        for match in pattern.finditer(words):
            month = match["m"].lower()
            number = int(month) if month.isdecimal() else MONTHS[month]
            try:
                found.append((match[0], date(int(match["y"]), number, int(match["d"]))))
            except ValueError:
                continue
    return found
