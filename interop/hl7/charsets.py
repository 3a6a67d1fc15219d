"""MSH-18: HL7 table 0211 and the codecs behind it. Pure.

An absent MSH-18 means ASCII. Senders who say so (or nothing) and send more are read as UTF-8 when the bytes are, else
as ISO 8859/1; senders who declare a character set and do not keep to it are refused.
"""

from __future__ import annotations

UTF8 = "UNICODE UTF-8"

#: HL7 table 0211 -> Python codec. UTF-16 and UTF-32 cannot travel in MLLP: their bytes hold its frame characters.
CODECS: dict[str, str] = {
    "ASCII": "ascii",
    **{f"8859/{part}": f"iso8859_{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    "ISO IR6": "ascii",
    "ISO IR14": "iso2022_jp",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "JAS2020": "iso2022_jp",
    "JIS X 0202": "iso2022_jp",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    UTF8: "utf-8",
    "UTF-8": "utf-8",
}


class UnknownCharset(ValueError):
    """The name is not in the table, or cannot travel in MLLP."""


class UndecodableText(ValueError):
    """The bytes are not of the character set that MSH-18 names."""


def codec_of(declared: str) -> str:
    """The codec of an MSH-18 value; its first repetition counts, an empty one means ASCII."""
    name = declared.split("~")[0].strip().upper()
    if not name:
        return "ascii"
    try:
        return CODECS[name]
    except KeyError:
        raise UnknownCharset(name) from None


def decode(raw: bytes, declared: str) -> tuple[str, str]:
    """The text, and the codec that it was in."""
    codec = codec_of(declared)
    if declared.count("~"):
        codec = "iso2022_jp_2" if codec in ("ascii", "iso2022_jp", "iso2022_jp_1") else codec
    try:
        return raw.decode(codec), codec
    except UnicodeDecodeError:
        if codec != "ascii":
            raise UndecodableText(declared) from None
    try:
        return raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("iso8859_1"), "iso8859_1"
