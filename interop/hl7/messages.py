"""HL7 v2 messages in ER7 (HL7 2.5.1 chapter 2): bytes in, dataclasses out, and back. Pure: no socket, no database.

    message = parse(raw)
    message.first("PID").text(5, component=2)       # given name, unescaped
    raw = build([("MSH", ...), ("PID", ...)], charset="UNICODE UTF-8")

Positions count from one, as the standard's do. Text comes out unescaped, with a line feed for a line break; it goes in
the same way. Delimiters are those that MSH declares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from interop.hl7.charsets import UndecodableText, UnknownCharset, codec_of, decode

SEGMENT_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
LINE_BREAK = re.compile(r"\r\n|\r|\n|\x0b|\x0c|\x85|\u2028|\u2029")
MAX_SEGMENTS = 20_000
HEAD_BYTES = 4096

# HL7 table 0357, message error condition codes
SEGMENT_SEQUENCE, REQUIRED_MISSING, DATA_TYPE, TABLE_VALUE, TOO_LONG = "100", "101", "102", "103", "104"
UNSUPPORTED_TYPE, UNSUPPORTED_EVENT, UNSUPPORTED_PROCESSING, UNSUPPORTED_VERSION = "200", "201", "202", "203"
UNKNOWN_KEY, DUPLICATE_KEY, RECORD_LOCKED, INTERNAL_ERROR = "204", "205", "206", "207"
CONDITIONS = {
    "0": "Message accepted",
    SEGMENT_SEQUENCE: "Segment sequence error",
    REQUIRED_MISSING: "Required field missing",
    DATA_TYPE: "Data type error",
    TABLE_VALUE: "Table value not found",
    TOO_LONG: "Value too long",
    UNSUPPORTED_TYPE: "Unsupported message type",
    UNSUPPORTED_EVENT: "Unsupported event code",
    UNSUPPORTED_PROCESSING: "Unsupported processing id",
    UNSUPPORTED_VERSION: "Unsupported version id",
    UNKNOWN_KEY: "Unknown key identifier",
    DUPLICATE_KEY: "Duplicate key identifier",
    RECORD_LOCKED: "Application record locked",
    INTERNAL_ERROR: "Application internal error",
}


@dataclass(frozen=True)
class Location:
    """ERL: where in the message; zero stands for "not said"."""

    segment: str = ""
    sequence: int = 1
    field: int = 0
    component: int = 0

    def __str__(self) -> str:
        """``PID^1^5`` or ``PID^1^5^1^1``: segment, sequence, field, repetition, component."""
        parts = [self.segment, str(self.sequence)]
        if self.field:
            parts.append(str(self.field))
            if self.component:
                parts += ["1", str(self.component)]
        return "^".join(parts)


class Hl7Error(ValueError):
    """The message cannot be taken; ``code`` is of table 0357, ``fatal`` tells AR (do not repeat) from AE."""

    def __init__(self, code: str, location: Location, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.code, self.location, self.text, self.fatal = code, location, text, fatal


class ParseError(Hl7Error):
    """It is not a message: no MSH, wrong delimiters, control characters, a segment without a name."""


@dataclass(frozen=True)
class Delimiters:
    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @classmethod
    def of(cls, header: str) -> Delimiters:
        """From the first characters of a message: ``MSH|^~\\&`` or, since 2.7, ``MSH|^~\\&#``."""
        where = Location("MSH", 1, 2)
        if len(header) < 5 or not header.startswith("MSH"):
            raise ParseError(SEGMENT_SEQUENCE, Location("MSH"), "The message does not begin with MSH.", fatal=True)
        separator = header[3]
        encoding = header[4:].split(separator, 1)[0].split("\r", 1)[0]
        if len(encoding) not in (4, 5):
            raise ParseError(DATA_TYPE, where, "MSH-2 must hold four or five encoding characters.", fatal=True)
        found = separator + encoding
        if len(set(found)) != len(found) or any(not "!" <= c <= "~" or c.isalnum() for c in found):
            raise ParseError(DATA_TYPE, where, "MSH-1 and MSH-2 must be distinct punctuation characters.", fatal=True)
        return cls(separator, *encoding)

    @property
    def encoding_characters(self) -> str:
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


DEFAULT = Delimiters()


# --- escapes (HL7 2.5.1 section 2.7)


def escape(text: str, delimiters: Delimiters = DEFAULT, codec: str = "utf-8") -> str:
    """The text as it may stand in a field. Line breaks become ``\\.br\\``, other control characters ``\\X..\\``."""
    mark = delimiters.escape
    named = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
        mark: "E",
    }
    if delimiters.truncation:
        named[delimiters.truncation] = "P"
    out = []
    for character in LINE_BREAK.sub("\n", text):
        if character in named:
            out.append(f"{mark}{named[character]}{mark}")
        elif character == "\n":
            out.append(f"{mark}.br{mark}")
        elif CONTROL.match(character) and character != "\x00":
            out.append(f"{mark}X{character.encode(codec).hex().upper()}{mark}")
        elif character != "\x00":
            out.append(character)
    return "".join(out)


def unescape(text: str, delimiters: Delimiters = DEFAULT, codec: str = "utf-8") -> str:
    """The reverse. Highlighting is dropped; what is no escape sequence stays as it is."""
    mark = delimiters.escape
    if mark not in text:
        return text
    out, position = [], 0
    while True:
        start = text.find(mark, position)
        end = text.find(mark, start + 1) if start >= 0 else -1
        if end < 0:
            out.append(text[position:])
            return "".join(out)
        out.append(text[position:start])
        meaning = _meaning(text[start + 1 : end], delimiters, codec)
        if meaning is None:
            out.append(text[start:end])
            position = end
        else:
            out.append(meaning)
            position = end + 1


def _meaning(sequence: str, delimiters: Delimiters, codec: str) -> str | None:
    """What stands between two escape characters; None when that is no escape sequence."""
    named = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "P": delimiters.truncation or "#",
        "H": "",
        "N": "",
    }
    if sequence in named:
        return named[sequence]
    if sequence.startswith("X"):
        return _from_hex(sequence[1:], codec)
    if sequence.startswith("."):
        return _formatting(sequence[1:].lower())
    if re.fullmatch(r"[CM][0-9A-Fa-f]{2,6}", sequence) or re.fullmatch(r"Z\w{1,20}", sequence):
        return ""
    return None


def _from_hex(digits: str, codec: str) -> str | None:
    if len(digits) % 2 or not re.fullmatch(r"[0-9A-Fa-f]+", digits):
        return None
    try:
        text = bytes.fromhex(digits).decode(codec)
    except UnicodeDecodeError:
        return None
    return LINE_BREAK.sub("\n", text) if text in ("\r", "\n", "\r\n") else text.replace("\x00", "")


def _formatting(command: str) -> str | None:
    """FT formatting commands: what breaks a line does; indents and fills are layout, and dropped."""
    if command == "br" or command == "ce":
        return "\n"
    if lines := re.fullmatch(r"sp\s*\+?\s*(\d{0,2})", command):
        return "\n" * int(lines[1] or 1)
    if spaces := re.fullmatch(r"sk\s*\+?\s*(\d{0,2})", command):
        return " " * int(spaces[1] or 1)
    return "" if re.fullmatch(r"(in|ti)\s*[+-]?\s*\d{0,3}|fi|nf", command) else None


# --- what came


@dataclass(frozen=True)
class Segment:
    """One segment. ``fields[n]`` is field n as it came; in MSH, field 1 is the separator itself."""

    name: str
    fields: tuple[str, ...]
    delimiters: Delimiters = DEFAULT
    codec: str = "utf-8"
    sequence: int = 1

    def raw(self, number: int) -> str:
        return self.fields[number] if 0 < number < len(self.fields) else ""

    def repetitions(self, number: int) -> int:
        raw = self.raw(number)
        return len(raw.split(self.delimiters.repetition)) if raw else 0

    def raw_component(self, number: int, component: int = 1, repetition: int = 1) -> str:
        return _nth(
            _nth(self.raw(number), self.delimiters.repetition, repetition), self.delimiters.component, component
        )

    def text(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """Unescaped and stripped; empty for what is absent and for the HL7 null ``""``."""
        part = _nth(self.raw_component(number, component, repetition), self.delimiters.subcomponent, subcomponent)
        return "" if part == '""' else unescape(part, self.delimiters, self.codec).strip()

    def whole(self, number: int) -> str:
        """A text field read as one piece, whatever unescaped delimiters its sender left in; repetitions are lines."""
        raw = self.raw(number)
        if raw == '""':
            return ""
        lines = raw.split(self.delimiters.repetition)
        return "\n".join(unescape(line, self.delimiters, self.codec).strip() for line in lines).strip()

    def is_null(self, number: int, component: int = 1) -> bool:
        """``""``: the sender asks to delete the value (2.5.1 section 2.5.3)."""
        return self.raw(number) == '""' or self.raw_component(number, component) == '""'

    def location(self, number: int = 0, component: int = 0) -> Location:
        return Location(self.name, self.sequence, number, component)


def _nth(text: str, separator: str, position: int) -> str:
    if position == 1:
        return text.split(separator, 1)[0]
    parts = text.split(separator)
    return parts[position - 1] if position <= len(parts) else ""


class _Once:
    """A value that is worked out when it is first asked for; ``functools.cached_property`` takes a lock before 3.12."""

    def __init__(self, work_out: Callable[[Any], Any]) -> None:
        self.work_out = work_out

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, row: Any, owner: type | None = None) -> Any:
        if row is None:
            return self
        value = row.__dict__[self.name] = self.work_out(row)
        return value


@dataclass(frozen=True)
class Header:
    """What an answer needs of MSH; also read from messages that are otherwise broken."""

    delimiters: Delimiters = DEFAULT
    fields: tuple[str, ...] = ()
    codec: str = "ascii"

    def raw(self, number: int) -> str:
        return self.fields[number] if 0 < number < len(self.fields) else ""

    def text(self, number: int, component: int = 1) -> str:
        part = _nth(_nth(self.raw(number), self.delimiters.repetition, 1), self.delimiters.component, component)
        return unescape(_nth(part, self.delimiters.subcomponent, 1), self.delimiters, self.codec).strip()

    sending_application = _Once(lambda self: self.text(3))
    sending_facility = _Once(lambda self: self.text(4))
    receiving_application = _Once(lambda self: self.text(5))
    receiving_facility = _Once(lambda self: self.text(6))
    control_id = _Once(lambda self: self.text(10))
    version = _Once(lambda self: self.text(12))
    accept_acknowledgement = _Once(lambda self: self.text(15).upper())
    application_acknowledgement = _Once(lambda self: self.text(16).upper())
    charset = _Once(lambda self: self.raw(18).strip())

    @_Once
    def message_type(self) -> str:
        """``ORM^O01``; the type alone when there is no event."""
        return "^".join(part for part in (self.text(9, 1), self.text(9, 2)) if part)

    @property
    def is_enhanced(self) -> bool:
        """Enhanced acknowledgement mode: MSH-15 or MSH-16 is valued (2.5.1 section 2.9.3)."""
        return bool(self.accept_acknowledgement or self.application_acknowledgement)


@dataclass(frozen=True)
class Message:
    header: Header
    segments: tuple[Segment, ...]
    codec: str = "utf-8"
    text: str = field(default="", repr=False)

    @cached_property
    def type(self) -> str:
        return self.header.text(9, 1)

    @cached_property
    def event(self) -> str:
        """MSH-9.2, or EVN-1 where an old sender puts it there alone."""
        found = self.header.text(9, 2)
        if not found and (event := self.first("EVN")) is not None:
            return event.text(1)
        return found

    def first(self, name: str) -> Segment | None:
        return next((segment for segment in self.segments if segment.name == name), None)

    def all(self, name: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.name == name]

    def required(self, name: str) -> Segment:
        segment = self.first(name)
        if segment is None:
            raise Hl7Error(SEGMENT_SEQUENCE, Location(name), f"Segment {name} is missing.")
        return segment

    def location(self, name: str) -> Location:
        """Where a segment stands or should stand."""
        return Location(name)

    def groups(self, starter: str) -> list[list[Segment]]:
        """The segments from each ``starter`` up to the next."""
        found: list[list[Segment]] = []
        for segment in self.segments:
            if segment.name == starter:
                found.append([segment])
            elif found:
                found[-1].append(segment)
        return found


def peek(raw: bytes) -> Header | None:
    """MSH of anything that begins with a usable one, else None. Never raises."""
    head = raw.lstrip(b"\r\n \t")[:HEAD_BYTES]
    line = re.split(rb"[\r\n]", head, maxsplit=1)[0].decode("iso8859_1")
    try:
        delimiters = Delimiters.of(line)
    except ParseError:
        return None
    fields = _fields_of(line, delimiters)
    declared = fields[18].strip() if len(fields) > 18 else ""
    try:
        text, codec = decode(line.encode("iso8859_1"), declared)
    except (UnknownCharset, UndecodableText):
        text, codec = line, "iso8859_1"
    return Header(delimiters, fields if text == line else _fields_of(text, delimiters), codec)


def is_plain(raw: bytes, header: Header) -> bool:
    """Whether ``parse`` certainly takes it, told at a tenth of its price; False tells nothing."""
    codec = codec_of(header.charset)
    if codec not in ("ascii", "utf-8", "iso8859_1") or "~" in header.charset or raw.count(b"\r") >= MAX_SEGMENTS:
        return False
    if _plain(header.delimiters.field).fullmatch(raw) is None:
        return False
    try:
        return codec != "utf-8" or raw.isascii() or bool(raw.decode())
    except UnicodeDecodeError:
        return False


@lru_cache(maxsize=32)
def _plain(separator: str) -> re.Pattern[bytes]:
    """Lines that begin with a segment's name, MSH once and first, and no control character but the line's end."""
    bar, text = re.escape(separator.encode()), rb"[^\x00-\x1f\x7f]*"
    return re.compile(rb"MSH%b%b(?:\r(?!MSH)[A-Z][A-Z0-9]{2}(?:%b%b)?)*\r*" % (bar, text, bar, text))


def _fields_of(line: str, delimiters: Delimiters) -> tuple[str, ...]:
    """Field n at index n. MSH-1 is the separator, so MSH's fields are one further than other segments'."""
    parts = line.split(delimiters.field)
    if parts[0] == "MSH":
        parts.insert(1, delimiters.field)
    return tuple(parts)


def parse(raw: bytes, header: Header | None = None) -> Message:
    """A message. Raises ParseError; every other byte string is one, however odd its content. ``header``: what ``peek``
    has found, where somebody has looked already."""
    header = header or peek(raw)
    if header is None:
        Delimiters.of(raw.lstrip(b"\r\n \t")[:HEAD_BYTES].decode("iso8859_1"))
        raise ParseError(SEGMENT_SEQUENCE, Location("MSH"), "The message does not begin with MSH.", fatal=True)
    where = Location("MSH", 1, 18)
    try:
        text, codec = decode(raw.lstrip(b"\r\n \t"), header.charset)
    except UnknownCharset:
        raise ParseError(
            TABLE_VALUE, where, "MSH-18 names a character set that is not known here.", fatal=True
        ) from None
    except UndecodableText:
        raise ParseError(
            DATA_TYPE, where, "The text is not in the character set that MSH-18 names.", fatal=True
        ) from None
    lines = [line.strip("\n") for line in text.split("\r")] if "\r" in text else text.split("\n")
    if len(lines) > MAX_SEGMENTS:
        raise ParseError(TOO_LONG, Location("MSH"), f"More than {MAX_SEGMENTS} segments.", fatal=True)
    return Message(header, tuple(_segments_of(lines, header.delimiters, codec)), codec, text)


def _segments_of(lines: Iterable[str], delimiters: Delimiters, codec: str) -> Iterable[Segment]:
    counts: dict[str, int] = {}
    for line in lines:
        if not line.strip():
            continue
        name = line[:3]
        counts[name] = sequence = counts.get(name, 0) + 1
        if not SEGMENT_NAME.fullmatch(name) or (len(line) > 3 and line[3] != delimiters.field):
            known = name if SEGMENT_NAME.fullmatch(name) else ""
            raise ParseError(
                SEGMENT_SEQUENCE, Location(known or "MSH", sequence if known else 1), "A line is no segment."
            )
        if name == "MSH" and sequence > 1:
            raise ParseError(SEGMENT_SEQUENCE, Location("MSH", sequence), "A second MSH: several go as a batch.")
        fields = _fields_of(line, delimiters)
        if CONTROL.search(line):
            number = next((n for n, value in enumerate(fields) if CONTROL.search(value)), 0)
            raise ParseError(DATA_TYPE, Location(name, sequence, number), "A field holds a control character.")
        yield Segment(name, fields, delimiters, codec, sequence)


# --- what goes


@dataclass(frozen=True)
class Raw:
    """A field that is already as it must be on the wire."""

    value: str


#: str: text; tuple: components (a tuple inside: subcomponents); list: repetitions; None: absent
Value = Any


def encode_field(value: Value, delimiters: Delimiters = DEFAULT, codec: str = "utf-8") -> str:
    if value is None:
        return ""
    if isinstance(value, Raw):
        return value.value
    if isinstance(value, list):
        return delimiters.repetition.join(encode_field(part, delimiters, codec) for part in value)
    if isinstance(value, tuple):
        return delimiters.component.join(_component(part, delimiters, codec) for part in value).rstrip(
            delimiters.component
        )
    return escape(str(value), delimiters, codec)


def _component(value: Value, delimiters: Delimiters, codec: str) -> str:
    if isinstance(value, tuple):
        parts = [encode_field(part, delimiters, codec) for part in value]
        return delimiters.subcomponent.join(parts).rstrip(delimiters.subcomponent)
    return encode_field(value, delimiters, codec)


def encode_segment(name: str, values: Sequence[Value], delimiters: Delimiters = DEFAULT, codec: str = "utf-8") -> str:
    """``values`` are fields 1, 2, ...; for MSH they begin with field 3."""
    fields = [encode_field(value, delimiters, codec) for value in values]
    if name == "MSH":
        fields.insert(0, delimiters.encoding_characters)
    while fields and not fields[-1]:
        fields.pop()
    return delimiters.field.join([name, *fields])


def build(segments: Iterable[tuple[str, Sequence[Value]]], *, charset: str, delimiters: Delimiters = DEFAULT) -> bytes:
    """The message's bytes. Raises UnicodeEncodeError for characters that the character set cannot write."""
    codec = codec_of(charset)
    lines = [encode_segment(name, values, delimiters, codec) for name, values in segments]
    return ("\r".join(lines) + "\r").encode(codec)
