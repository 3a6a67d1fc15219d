"""Protocol data units of the DICOM upper layer (PS3.8 9.3): bytes in, dataclasses out, and back. Pure."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import lru_cache
from types import MappingProxyType

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_CLASS_UID = "2.25.4436736400483569772642953817288065649"
IMPLEMENTATION_VERSION = "PICHA_1"
HEADER = struct.Struct(">BxL")
PDV_HEADER = struct.Struct(">LBB")
MAX_ASSOCIATE_LENGTH = 128 * 1024
REMEMBERED_LENGTH = 16 * 1024
NOTHING: Mapping[str, bytes] = MappingProxyType({})
MAX_CONTEXTS = 128
MAX_TRANSFER_SYNTAXES = 64


class Kind(IntEnum):
    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class Abort(IntEnum):
    """PS3.8 Table 9-26: reasons of the service provider."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class Rejection(Enum):
    """PS3.8 Table 9-21: (result, source, reason)."""

    NO_REASON = (1, 1, 1)
    APPLICATION_CONTEXT = (1, 1, 2)
    CALLING_AE_TITLE = (1, 1, 3)
    CALLED_AE_TITLE = (1, 1, 7)
    PROTOCOL_VERSION = (1, 2, 2)
    CONGESTION = (2, 3, 1)
    LOCAL_LIMIT = (2, 3, 2)


class ProtocolError(Exception):
    """The peer broke the protocol; the association is aborted for this reason."""

    def __init__(self, reason: Abort, words: str) -> None:
        super().__init__(words)
        self.reason = reason


@dataclass(frozen=True)
class ProposedContext:
    """A presentation context: an abstract syntax and the transfer syntaxes offered for it."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class UserIdentity:
    """PS3.7 D.3.3.7. Its fields are not kept: nobody is let in by them; not answered, as the standard allows."""

    kind: int
    wants_response: bool


@dataclass(frozen=True, eq=False)
class AssociateRequest:
    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    application_context: str
    contexts: tuple[ProposedContext, ...]
    max_length: int = 0
    implementation_version: str = ""
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    #: (invoked, performed) as proposed (PS3.7 D.3.3.3), None when it was not; what is agreed upon is one at a time
    operations_window: tuple[int, int] | None = None
    #: service class application information by SOP class (D.3.3.5)
    extended: Mapping[str, bytes] = field(default_factory=dict)
    #: service class and related general classes by SOP class (D.3.3.6); the standard has no answer to it
    common: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    user_identity: UserIdentity | None = None


@dataclass(frozen=True)
class ContextAnswer:
    """``result``: 0 accepted, 1 user rejection, 3 abstract syntax unknown, 4 no transfer syntax supported."""

    id: int
    result: int
    abstract_syntax: str = ""
    transfer_syntax: str = "1.2.840.10008.1.2"


def _items(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    while at < end:
        if at + 4 > end:
            raise ProtocolError(Abort.INVALID_PARAMETER, "An item is cut off.")
        kind, length = data[at], struct.unpack_from(">H", data, at + 2)[0]
        at += 4
        if at + length > end:
            raise ProtocolError(Abort.INVALID_PARAMETER, "An item is longer than what holds it.")
        yield kind, at, at + length
        at += length


def _text(data: bytes) -> str:
    return data.decode("ascii", "replace").strip("\0 ")


def _context(data: bytes, start: int, end: int) -> ProposedContext:
    if end - start < 4:
        raise ProtocolError(Abort.INVALID_PARAMETER, "A presentation context is cut off.")
    number, abstract, transfer = data[start], "", []
    for kind, first, last in _items(data, start + 4, end):
        if kind == 0x30:
            abstract = _text(data[first:last])
        elif kind == 0x40:
            transfer.append(_text(data[first:last]))
    if number % 2 == 0 or len(transfer) > MAX_TRANSFER_SYNTAXES:
        raise ProtocolError(Abort.INVALID_PARAMETER, "A presentation context is not as PS3.8 has it.")
    return ProposedContext(number, abstract, tuple(transfer))


def parse_associate_request(body: bytes) -> AssociateRequest:
    """A-ASSOCIATE-RQ without its six header bytes. Raises ProtocolError.

    Devices send the same one for years: the same bytes give the same object.
    """
    return _known_request(body) if len(body) <= REMEMBERED_LENGTH else _parse_request(body)


@lru_cache(256)
def _known_request(body: bytes) -> AssociateRequest:
    return _parse_request(body)


def _parse_request(body: bytes) -> AssociateRequest:
    if len(body) < 68:
        raise ProtocolError(Abort.INVALID_PARAMETER, "A-ASSOCIATE-RQ is cut off.")
    application, contexts, user = "", [], {}
    for kind, start, end in _items(body, 68, len(body)):
        if kind == 0x10:
            application = _text(body[start:end])
        elif kind == 0x20:
            contexts.append(_context(body, start, end))
        elif kind == 0x50:
            user = _user_information(body, start, end)
    if len(contexts) > MAX_CONTEXTS or len({context.id for context in contexts}) != len(contexts):
        raise ProtocolError(Abort.INVALID_PARAMETER, "Presentation context ids are not unique.")
    return AssociateRequest(
        protocol_version=struct.unpack_from(">H", body)[0],
        called_ae_title=body[4:20].decode("latin-1"),
        calling_ae_title=body[20:36].decode("latin-1"),
        application_context=application,
        contexts=tuple(contexts),
        **user,
    )


def _user_information(body: bytes, start: int, end: int) -> dict:
    found: dict = {"roles": {}, "extended": {}, "common": {}}
    for kind, first, last in _items(body, start, end):
        if kind == 0x51 and last - first == 4:
            found["max_length"] = struct.unpack_from(">L", body, first)[0]
        elif kind == 0x53 and last - first == 4:
            found["operations_window"] = struct.unpack_from(">HH", body, first)
        elif kind in (0x54, 0x56):
            uid, rest = _uid_and_rest(body, first, last)
            if kind == 0x56:
                found["extended"][uid] = rest
            elif len(rest) == 2:
                found["roles"][uid] = (rest[0] == 1, rest[1] == 1)
            else:
                raise ProtocolError(Abort.INVALID_PARAMETER, "A role selection is cut off.")
        elif kind == 0x57:
            uid, *told = _common(body, first, last)
            found["common"][uid] = tuple(told)
        elif kind == 0x58 and last - first >= 2:
            found["user_identity"] = UserIdentity(body[first], body[first + 1] == 1)
        elif kind == 0x55:
            found["implementation_version"] = _text(body[first:last])[:16]
    return found


def _common(body: bytes, first: int, last: int) -> tuple[str, str, tuple[str, ...]]:
    """SOP class, service class, related general SOP classes (PS3.7 Table D.3-12)."""
    uid, rest = _uid_and_rest(body, first, last)
    service, rest = _uid_and_rest(rest, 0, len(rest))
    end = 2 + struct.unpack_from(">H", rest)[0] if len(rest) >= 2 else 2
    if end > len(rest):
        raise ProtocolError(Abort.INVALID_PARAMETER, "Related SOP classes are cut off in a negotiation item.")
    related, rest = [], rest[2:end]
    while rest:
        general, rest = _uid_and_rest(rest, 0, len(rest))
        related.append(general)
    return uid, service, tuple(related)


def _uid_and_rest(body: bytes, first: int, last: int) -> tuple[str, bytes]:
    length = struct.unpack_from(">H", body, first)[0] if last - first >= 2 else last
    if first + 2 + length > last:
        raise ProtocolError(Abort.INVALID_PARAMETER, "A SOP class is cut off in a negotiation item.")
    return _text(body[first + 2 : first + 2 + length]), body[first + 2 + length : last]


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def associate_accept(
    request: AssociateRequest,
    answers: list[ContextAnswer],
    *,
    max_length: int,
    scp_of: Collection[str] = (),
    extended: Mapping[str, bytes] = NOTHING,
) -> bytes:
    """A-ASSOCIATE-AC. Of proposed roles the requestor's SCU role is taken, and its SCP role for ``scp_of`` (C-GET).

    ``extended``: application information by SOP class, as agreed upon. One operation at a time, if it was asked.
    """
    called, calling = (
        title.encode("latin-1")[:16].ljust(16) for title in (request.called_ae_title, request.calling_ae_title)
    )
    items = [_item(0x10, APPLICATION_CONTEXT.encode())]
    for answer in answers:
        syntax = _item(0x40, answer.transfer_syntax.encode())
        items.append(_item(0x21, bytes([answer.id, 0, answer.result, 0]) + syntax))
    accepted = {answer.abstract_syntax for answer in answers if answer.result == 0}
    user = [_item(0x51, struct.pack(">L", max_length)), _item(0x52, IMPLEMENTATION_CLASS_UID.encode())]
    if request.operations_window is not None:
        user.append(_item(0x53, struct.pack(">HH", 1, 1)))
    for uid, (scu, scp) in request.roles.items():
        if uid in accepted:
            user.append(_item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes([scu, scp and uid in scp_of])))
    user.append(_item(0x55, IMPLEMENTATION_VERSION.encode()))
    for uid, information in extended.items():
        if uid in accepted and information:
            user.append(_item(0x56, struct.pack(">H", len(uid)) + uid.encode() + information))
    items.append(_item(0x50, b"".join(user)))
    body = struct.pack(">HH", 1, 0) + called + calling + bytes(32) + b"".join(items)
    return HEADER.pack(Kind.ASSOCIATE_AC, len(body)) + body


def associate_reject(rejection: Rejection) -> bytes:
    return HEADER.pack(Kind.ASSOCIATE_RJ, 4) + bytes([0, *rejection.value])


def release_response() -> bytes:
    return HEADER.pack(Kind.RELEASE_RP, 4) + bytes(4)


def abort(reason: Abort = Abort.NOT_SPECIFIED) -> bytes:
    """A-ABORT of the service provider."""
    return HEADER.pack(Kind.ABORT, 4) + bytes([0, 0, 2, reason])


def p_data(context_id: int, data: bytes, *, is_command: bool, max_length: int, is_last: bool = True) -> list[bytes]:
    """P-DATA-TF units that carry one message part, none longer than the peer takes (0: any length).

    ``is_last``: the part ends with this piece of it.
    """
    room = (max_length or 1 << 20) - 6
    parts = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
    out: list[bytes] = []
    for number, part in enumerate(parts, 1):
        control = int(is_command) | (2 if is_last and number == len(parts) else 0)
        out.append(HEADER.pack(Kind.P_DATA, len(part) + 6) + PDV_HEADER.pack(len(part) + 2, context_id, control))
        out.append(part)
    return out


def pdvs(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(context id, control byte, content) of each presentation data value in a P-DATA-TF."""
    at, end = 0, len(body)
    while at < end:
        if at + 6 > end:
            raise ProtocolError(Abort.INVALID_PARAMETER, "A presentation data value is cut off.")
        length, context_id, control = PDV_HEADER.unpack_from(body, at)
        if length < 2 or at + 4 + length > end:
            raise ProtocolError(Abort.INVALID_PARAMETER, "A presentation data value has a wrong length.")
        yield context_id, control, body[at + 6 : at + 4 + length]
        at += 4 + length
