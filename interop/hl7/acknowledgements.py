"""Acknowledgements (HL7 2.5.1 section 2.9): MSH, MSA and, for refusals, ERR with the place. Pure."""

from __future__ import annotations

import datetime as dt
import os
import time
from dataclasses import dataclass
from functools import lru_cache

from interop.hl7.charsets import UTF8, UnknownCharset, codec_of
from interop.hl7.messages import (
    CONDITIONS,
    CONTROL,
    DEFAULT,
    Delimiters,
    Header,
    Hl7Error,
    Location,
    Raw,
    build,
    parse,
)

#: original mode and application level; accept level of the enhanced mode
ACCEPT, ERROR, REJECT = "AA", "AE", "AR"
COMMIT_ACCEPT, COMMIT_ERROR, COMMIT_REJECT = "CA", "CE", "CR"
ERR_SINCE = (2, 5)  # from here on ERR-2, ERR-3, ERR-4, ERR-8; before it ERR-1 alone
MSA_TEXT_LENGTH = 80
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PLACES = range(90, -1, -10)


@dataclass(frozen=True)
class Problem:
    """One ERR segment."""

    code: str
    location: Location
    text: str

    @classmethod
    def of(cls, error: Hl7Error) -> Problem:
        return cls(error.code, error.location, error.text)


@dataclass(frozen=True)
class Answer:
    """What an acknowledgement says."""

    code: str
    control_id: str
    text: str = ""
    problem: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.code in (ACCEPT, COMMIT_ACCEPT)

    @property
    def is_rejected(self) -> bool:
        return self.code in (REJECT, COMMIT_REJECT)

    @property
    def words(self) -> str:
        return ": ".join(part for part in (self.code, self.problem or self.text) if part)


def new_control_id() -> str:
    """20 characters: milliseconds, then chance; later ones sort later."""
    number = (time.time_ns() // 1_000_000) << 50 | int.from_bytes(os.urandom(7), "big") >> 6
    return "".join([_PAIRS[number >> place & 1023] for place in _PLACES])


def version_of(header: Header) -> tuple[int, ...]:
    numbers = [int(part) for part in header.version.split(".") if part.isdecimal()]
    return tuple(numbers) or (2, 3)


def wants(condition: str, *, success: bool) -> bool:
    """MSH-15 and MSH-16 (table 0155): AL always, NE never, ER on refusal, SU on success; empty counts as never."""
    return condition == "AL" or condition == ("SU" if success else "ER")


def acknowledge(
    header: Header | None, code: str, *, problems: tuple[Problem, ...] = (), text: str = "", control_id: str = ""
) -> bytes:
    """The answer to the message with this header, in its own delimiters, version and character set.

    Without a header (garbage) there is only a bare MSA to say no with.
    """
    declared = _charset_of(header)
    control_id = control_id or new_control_id()
    try:
        return _build(header, code, problems, text, control_id, declared)
    except UnicodeEncodeError:
        return _build(header, code, problems, text, control_id, UTF8)


def stamp() -> str:
    """Now, as TS with the offset."""
    return dt.datetime.now().astimezone().strftime("%Y%m%d%H%M%S%z")


def commit_accept(header: Header) -> bytes:
    """CA and nothing else, as ``acknowledge`` writes it: every field is the sender's own, or needs no escape."""
    first, second, third, codec = _commit_accept(header.delimiters, header.charset, *map(header.raw, _KEPT))
    text = f"{first}{_second(int(time.time()))}{second}{new_control_id()}{third}{header.raw(10)}\r"
    return text.encode(codec)


#: What of MSH an answer repeats beside its control id: the parties, the type, processing and version
_KEPT = (3, 4, 5, 6, 9, 11, 12)


@lru_cache(maxsize=500)
def _commit_accept(delimiters: Delimiters, charset: str, *fields: str) -> tuple[str, str, str, str]:
    """What stands before the time, between it and the control ids, and the codec. A sender's messages have it alike."""
    application, facility, own_application, own_facility, kind, processing, version = fields
    header = Header(delimiters, ("", "", "", *fields[:4], "", "", kind, "", processing, version))
    event, field = header.text(9, 2), delimiters.field
    names = ("ACK", event, "ACK") if version_of(header) >= (2, 4) else ("ACK", event)
    msh = ["MSH" + field + delimiters.encoding_characters, own_application, own_facility, application, facility, ""]
    type_ = delimiters.component.join(names) if event else "ACK"
    end = ["", processing or "P", version or "2.5.1", *(["", "", "", "", "", charset] if charset else [])]
    third = f"{field.join(end)}\rMSA{field}{COMMIT_ACCEPT}{field}"
    return field.join(msh), f"{field}{field}{type_}{field}", third, codec_of(charset)


@lru_cache(maxsize=4)
def _second(_now: int) -> str:
    return stamp()


def copied_parties(header: Header | None) -> list[Raw]:
    """MSH-3 to MSH-6 of an answer: the receiver speaks to the sender."""
    return [Raw(CONTROL.sub("", header.raw(number)) if header else "") for number in (5, 6, 3, 4)]


def _build(
    header: Header | None, code: str, problems: tuple[Problem, ...], text: str, control_id: str, charset: str
) -> bytes:
    delimiters = header.delimiters if header else DEFAULT
    event = header.text(9, 2) if header else ""
    version = header.raw(12) if header and header.raw(12) else "2.5.1"
    kind = ("ACK", event, "ACK") if event and version_of(header or Header()) >= (2, 4) else ("ACK", event)

    def copied(number: int) -> Raw:
        return Raw(CONTROL.sub("", header.raw(number)) if header else "")

    processing = copied(11) if header and header.raw(11) else "P"
    identity = [stamp(), None, kind, control_id, processing, Raw(CONTROL.sub("", version))]
    message: list[tuple[str, list]] = [
        ("MSH", [*copied_parties(header), *identity, None, None, None, None, None, charset or None])
    ]
    words = text or (problems[0].text if problems else "")
    message.append(("MSA", [code, copied(10), words[:MSA_TEXT_LENGTH]]))
    modern = version_of(header or Header()) >= ERR_SINCE
    message += [("ERR", _err(problem, modern=modern, component=delimiters.component)) for problem in problems]
    return build(message, charset=charset, delimiters=delimiters)


def _charset_of(header: Header | None) -> str:
    """The sender's, when it is known here."""
    if header is None:
        return ""
    try:
        codec_of(header.charset)
    except UnknownCharset:
        return ""
    return header.charset


def _err(problem: Problem, *, modern: bool, component: str) -> list:
    """ERR of 2.5 and later; before it ERR-1 (ELD): segment, sequence, field, code."""
    place = problem.location
    meaning = CONDITIONS.get(problem.code, "")
    if not modern:
        return [(place.segment, str(place.sequence), str(place.field or ""), (problem.code, meaning, "HL70357"))]
    location = Raw(str(place).replace("^", component))
    return [None, location, (problem.code, meaning, "HL70357"), "E", None, None, None, problem.text]


def read(raw: bytes) -> Answer:
    """What a peer answered. Raises Hl7Error when that is no acknowledgement."""
    message = parse(raw)
    msa = message.required("MSA")
    err = message.first("ERR")
    problem = ""
    if err is not None:
        code = err.text(3) or err.text(1, 4)
        text = err.text(8) or err.text(3, 2) or err.text(1, 4, 2)
        place = err.raw(2) or err.raw(1)
        problem = " ".join(part for part in (code, text, place[:40]) if part)
    return Answer(msa.text(1).upper(), msa.text(2), msa.whole(3), problem)
