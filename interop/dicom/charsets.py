"""Text in the character set that a peer reads (PS3.5 6.1, PS3.3 C.12.1.1.2), transliterated if need be. Pure."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom import charset
from pydicom.valuerep import PersonName

UTF8 = "ISO_IR 192"
TEXT_VRS = frozenset({b"SH", b"LO", b"ST", b"LT", b"PN", b"UC", b"UT"})
#: Letters that decomposition does not take apart.
LETTERS = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ħ": "h", "Ħ": "H", "ı": "i", "ŋ": "n",
        "Ŋ": "N", "ŧ": "t", "Ŧ": "T", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...",
        "€": "EUR", "µ": "u", "°": " deg", "×": "x",
    }
)  # fmt: skip


def transliterated(text: str, encoding: str = "ascii") -> str:
    """The same in letters that the encoding has: accents dropped first, then '?'."""
    out = []
    for letter in text:
        try:
            letter.encode(encoding)
            out.append(letter)
        except UnicodeEncodeError:
            plain = unicodedata.normalize("NFKD", letter.translate(LETTERS))
            plain = "".join(part for part in plain if not unicodedata.combining(part))
            out.append(plain.encode(encoding, "replace").decode(encoding) if plain else "")
    return "".join(out)


@dataclass(frozen=True)
class Spelling:
    """How a peer is told text and names. ``character_set``: a value of (0008,0005); empty is ISO_IR 6."""

    character_set: str = UTF8
    #: component groups of names: all, alphabetic, or ideographic (that one first, where there is one)
    groups: str = "all"
    in_capitals: bool = False
    with_affixes: bool = True

    @property
    def changes_names(self) -> bool:
        return self.groups != "all" or self.in_capitals or not self.with_affixes

    def name(self, text: str) -> str:
        """A PN value as the peer wants it; several values stay several."""
        return "\\".join(self._one_name(one) for one in text.split("\\"))

    def _one_name(self, text: str) -> str:
        groups = text.rstrip(" ").split("=")
        if self.groups == "alphabetic" and groups[0].strip("^ "):
            groups = groups[:1]
        elif self.groups == "ideographic" and len(groups) > 1 and groups[1].strip("^ "):
            groups = [groups[1]]
        if not self.with_affixes:
            groups = ["^".join(group.split("^")[:3]).rstrip("^") for group in groups]
        if self.in_capitals:
            groups = [group.upper() for group in groups]
        return "=".join(groups).rstrip("=")


@lru_cache(256)
def _codecs(terms: tuple[str, ...]) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tuple(charset.convert_encodings(list(terms)))
        except LookupError:
            return ("iso8859",)


def terms_of(value: str) -> tuple[str, ...]:
    """The defined terms of (0008,0005) from its value on the wire."""
    return tuple(term.strip() for term in value.split("\\")) if value.strip("\\ ") else ("",)


def decode(value: bytes, terms: Sequence[str]) -> str:
    """Text of one element, as written by a sender who named these terms; never raises.

    Without terms, UTF-8 is tried first: many senders write it and do not say so.
    """
    raw = value.strip(b"\0 ")
    if not any(terms):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return charset.decode_bytes(raw, list(_codecs(tuple(terms))), {"\\", "^", "="})
        except (LookupError, ValueError):
            return raw.decode("utf-8", "replace")


def encode_text(text: str, character_set: str, vr: bytes) -> bytes:
    """Text in a peer's character set (a value of (0008,0005)); transliterated as the last resort."""
    if character_set == UTF8:
        return text.encode()
    codecs = _codecs(terms_of(character_set))
    if vr == b"PN":
        groups = [_encode(group, codecs) for group in text.split("=")]
        kept = [groups[0] if groups[0] is not None else _plain(text.split("=")[0], codecs)]
        kept += [group if group is not None else b"" for group in groups[1:]]
        return b"=".join(kept).rstrip(b"=")
    encoded = _encode(text, codecs)
    return encoded if encoded is not None else _plain(text, codecs)


def _encode(text: str, codecs: Sequence[str]) -> bytes | None:
    """None when the character set has not all of the letters."""
    if text.isascii():
        return text.encode("ascii")
    if len(codecs) == 1:
        name = "ascii" if codecs[0] == "iso8859" else codecs[0]
        try:
            return text.encode(name)
        except UnicodeEncodeError:
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            name = PersonName(text).encode(list(codecs)) if "^" in text else charset.encode_string(text, list(codecs))
            return bytes(name)
        except (UnicodeError, ValueError, UserWarning, LookupError):
            return None


def _plain(text: str, codecs: Sequence[str]) -> bytes:
    name = codecs[0] if len(codecs) == 1 and codecs[0] != "iso8859" else "ascii"
    return transliterated(text, name).encode(name, "replace")
