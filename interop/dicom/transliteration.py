"""Letters that a peer cannot read, in letters that it can: the last resort before a question mark. Pure.

Accents go first; Cyrillic, Greek, Hebrew and Arabic letters one by one; kana and Hangul by the sound in their name.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LETTERS = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ħ": "h", "Ħ": "H", "ı": "i", "ŋ": "n",
    "Ŋ": "N", "ŧ": "t", "Ŧ": "T", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...",
    "€": "EUR", "µ": "u", "°": " deg", "×": "x", "ー": "", "・": " ",
}  # fmt: skip


def _table(letters: str, sounds: str) -> dict[str, str]:
    return dict(zip(letters, sounds.split(), strict=True))


CYRILLIC = _table(
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґ",
    "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch _ y _ e yu ya i i ye g",
)
GREEK = _table("αβγδεζηθικλμνξοπρσςτυφχψω", "a v g d e z i th i k l m n x o p r s s t y f ch ps o")
HEBREW = _table("אבגדהוזחטיךכלםמןנסעףפץצקרשת", "a b g d h v z ch t y k k l m m n n s a f p ts ts k r sh t")
ARABIC = _table(
    "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىءئؤپچژگ",
    "a b t th j h kh d dh r z s sh s d t z a gh f q k l m n h w y a a _ y w p ch zh g",
)
BY_LETTER = {**CYRILLIC, **GREEK, **HEBREW, **ARABIC}
HALF_WIDTH_KANA = re.compile("[\uff61-\uff9f]+")
SOUNDS = ("HIRAGANA LETTER ", "KATAKANA LETTER ", "HANGUL SYLLABLE ")


def transliterated(text: str, encoding: str = "ascii") -> str:
    """The same in letters that the encoding has; ``?`` where there are none."""
    text = HALF_WIDTH_KANA.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    return "".join(_letter(letter, encoding) for letter in unicodedata.normalize("NFC", text))


@lru_cache(4096)
def _letter(letter: str, encoding: str) -> str:
    for candidate in (letter, LETTERS.get(letter), _plain(letter), _sound(letter)):
        if candidate is None:
            continue
        try:
            candidate.encode(encoding)
        except UnicodeEncodeError:
            continue
        return candidate
    return "" if unicodedata.combining(letter) else "?"


def _plain(letter: str) -> str | None:
    """Without its accents; None when nothing is left."""
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(part for part in parts if not unicodedata.combining(part)) or None


def _sound(letter: str) -> str | None:
    small = letter.lower()
    known = next((part for part in (small, unicodedata.normalize("NFD", small)[0]) if part in BY_LETTER), "")
    if known:
        sound = BY_LETTER[known].replace("_", "")
        return sound.capitalize() if letter != small else sound
    name = unicodedata.name(letter, "")
    for beginning in SOUNDS:
        if name.startswith(beginning):
            return name.removeprefix(beginning).removeprefix("SMALL ").lower()
    return None


__all__ = ["transliterated"]
