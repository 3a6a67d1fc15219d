"""Text in the character set that a peer reads (PS3.5 6.1, PS3.3 C.12.1.1.2), transliterated if need be. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom import charset

from interop.dicom.transliteration import transliterated

UTF8 = "ISO_IR 192"
TEXT_VRS = frozenset({b"SH", b"LO", b"ST", b"LT", b"PN", b"UC", b"UT"})
#: Python's codec of ISO 2022 IR 58 writes and eats no escape sequences, as pydicom believes it does.
charset.handled_encodings = tuple(name for name in charset.handled_encodings if name != "iso_ir_58")
#: VRs in which a backslash parts values (PS3.5 6.4)
MANY_VALUED = frozenset({b"SH", b"LO", b"PN", b"UC"})


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
    """Text in a peer's character set (a value of (0008,0005)); transliterated as the last resort.

    Values, and the component groups of names, are encoded one by one: each delimiter ends a code extension.
    """
    if character_set == UTF8:
        return text.encode()
    codecs = _codecs(terms_of(character_set))
    values = text.split("\\") if vr in MANY_VALUED else [text]
    return b"\\".join(_encode_name(value, codecs) if vr == b"PN" else _encode_value(value, codecs) for value in values)


def _encode_name(text: str, codecs: Sequence[str]) -> bytes:
    """A group that the peer has no letters for is left out, the first one transliterated."""
    first, *others = text.split("=")
    kept = [_encode_components(first, codecs, must=True) or b""]
    kept += [_encode_components(group, codecs, must=False) or b"" for group in others]
    return b"=".join(kept).rstrip(b"=")


def _encode_components(group: str, codecs: Sequence[str], *, must: bool) -> bytes | None:
    encoded = [_encode(component, codecs) for component in group.split("^")]
    if None not in encoded:
        return b"^".join(component or b"" for component in encoded)
    return _plain(group, codecs) if must else None


def _encode_value(text: str, codecs: Sequence[str]) -> bytes:
    encoded = _encode(text, codecs)
    return encoded if encoded is not None else _plain(text, codecs)


def _encode(text: str, codecs: Sequence[str]) -> bytes | None:
    """None when the character set has not all of the letters."""
    if text.isascii():
        return text.encode("ascii")
    if not all(any(_has(codec, letter) for codec in codecs) for letter in text):
        return None
    if codecs[0] == charset.default_encoding and any("\x80" <= letter <= "\xff" for letter in text):
        return b"\x1b-A" + text.encode("latin-1") if "latin_1" in codecs and _has("latin_1", text) else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return charset.encode_string(text, list(codecs))
        except (UnicodeError, ValueError, UserWarning, LookupError):
            return None


def _has(codec: str, text: str) -> bool:
    """Whether a repertoire has the letters: the default one is ASCII, ISO_IR 13 has single bytes only."""
    name = "ascii" if codec == charset.default_encoding else codec
    try:
        return len(text.encode(name)) == len(text) or codec != "shift_jis"
    except UnicodeEncodeError:
        return False


def _plain(text: str, codecs: Sequence[str]) -> bytes:
    """In the letters of the first character set; where extensions are in use, in ASCII, which all of them hold."""
    has_letters = len(codecs) == 1 and codecs[0] not in (charset.default_encoding, *charset.custom_encoders)
    name = codecs[0] if has_letters else "ascii"
    return transliterated(text, name).encode(name, "replace")
