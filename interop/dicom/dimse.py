"""What a DIMSE handler is, and how what happens in one becomes a status. Handlers do not know the transport.

    @n_set(MPPS, allowed_by="may_send_mpps", door="mpps")
    def on_n_set(request: Request, actor: Actor) -> None:
        update_performed_step(sop_instance_uid=request.sop_instance_uid, changes=..., actor=actor)

A handler reads attributes, calls one service, answers. It keeps nothing between requests. A DomainError becomes a
status here and nowhere else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, Protocol

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError
from pydicom import Dataset
from pydicom import config as pydicom_config
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from interop.dicom.elements import EXPLICIT, IMPLICIT, Encoding, Malformed, walk
from interop.dicom.messages import Counts, Field
from interop.dicom.pdu import ProtocolError
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, DomainError, InvalidData, InvalidTransition, NotKnown, NotPermitted
from worklist.data import MwlScope

log = structlog.get_logger("interop.dicom")
#: Scanners break value rules daily; pydicom's warnings would print what stands there.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

PLAIN_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
#: A query or a performed step is no image; what is longer is refused before it is kept.
MAX_DATA_SET = 4 * 1024 * 1024
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})


#: C-MOVE and C-GET: answered with counts of sub-operations.
RETRIEVES = frozenset({Field.C_MOVE, Field.C_GET})
#: Everything with an identifier instead of an instance.
QUERIES = RETRIEVES | {Field.C_FIND}


class Status:
    """PS3.7 Annex C, PS3.4 B.2.3, F.7, K.4.1.1.4"""

    SUCCESS = 0x0000
    PENDING = 0xFF00
    PENDING_WARNING = 0xFF01
    CANCELLED = 0xFE00
    NO_SUCH_ATTRIBUTE = 0x0105
    INVALID_ATTRIBUTE_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    NO_SUCH_INSTANCE = 0x0112
    INVALID_INSTANCE = 0x0117
    MISSING_ATTRIBUTE = 0x0120
    MISSING_VALUE = 0x0121
    NO_SUCH_CLASS = 0x0118
    CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    UNRECOGNIZED_OPERATION = 0x0211
    OUT_OF_RESOURCES = 0xA700
    NO_MATCHES_COUNTED = 0xA701
    SUBOPERATIONS_FAILED = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    NO_SUCH_ACTION = 0x0123
    SUBOPERATIONS_WARNING = 0xB000
    DOES_NOT_MATCH = 0xA900
    UNABLE_TO_PROCESS = 0xC001
    CANNOT_UNDERSTAND = 0xC000
    #: Ours: another object is stored under this SOP Instance UID.
    OTHER_CONTENT = 0xC111
    #: Error ID of PS3.4 F.7.2.2.4
    NO_LONGER_UPDATED = 0xA710


class Lost(Exception):
    """The peer is gone, or silent for too long; ``outcome`` goes into the log."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Suboperations(Protocol):
    """C-STORE back to whoever asks with C-GET, on the same association (PS3.4 C.4.3)."""

    def accepts(self, sop_class_uid: str) -> tuple[str, ...]:
        """The transfer syntaxes in which the requestor takes objects of this class; empty: none was negotiated."""
        ...

    def store(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, path: str | os.PathLike[str]
    ) -> int:
        """Send the Part 10 file as it lies there, in this syntax; the status of the answer. Raises Lost, OSError."""
        ...


class NoSuboperations:
    def accepts(self, sop_class_uid: str) -> tuple[str, ...]:
        return ()

    def store(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, path: str | os.PathLike[str]
    ) -> int:
        raise DimseError(Status.CLASS_NOT_SUPPORTED, "No context was negotiated for this object.")


NO_SUBOPERATIONS = NoSuboperations()


class DimseError(DomainError):
    """A refusal for which the standard has a status of its own."""

    code = "dimse"

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status = status


@dataclass(eq=False)
class Caller:
    """Who is on the other end of an association, as admission has found; looked at again while it lasts.

    ``plans``: what handlers have worked out for this peer, kept as long as its row stays as it is.
    """

    facility: Any
    peer: Any
    calling_ae_title: str
    called_ae_title: str
    address: str
    plans: dict[Any, Any] = field(default_factory=dict)
    is_withdrawn: bool = False
    _actors: dict[str, Actor] = field(default_factory=dict, repr=False)

    @property
    def ae_title(self) -> str:
        """The caller's own, where its row has wildcards; this and the next three are what a worklist query asks."""
        return self.calling_ae_title

    @property
    def sees_all_stations(self) -> bool:
        return self.peer.sees_all_stations

    @property
    def max_results(self) -> int:
        return self.peer.max_results

    @property
    def scope(self) -> MwlScope:
        return self.peer.scope

    def actor(self, door: str) -> Actor:
        actor = self._actors.get(door)
        if actor is None:
            actor = self._actors[door] = Actor(door, ae_title=self.calling_ae_title, address=self.address)
        return actor


@dataclass(slots=True)
class Request:
    """One DIMSE request as its handler sees it. ``data``: the encoded data set, of streamed ones nothing."""

    caller: Caller
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes = b""
    attribute_tags: tuple[int, ...] = ()
    is_cancelled: Callable[[], bool] = lambda: False
    move_destination: str = ""
    action_type_id: int | None = None
    suboperations: Suboperations = NO_SUBOPERATIONS
    #: relational queries were agreed upon for its SOP class (PS3.4 C.5.1.1)
    is_relational: bool = False

    @property
    def encoding(self) -> Encoding:
        return IMPLICIT if self.transfer_syntax_uid == ImplicitVRLittleEndian else EXPLICIT

    def dataset(self) -> Dataset:
        """The data set as pydicom has it. Raises Malformed for what is none."""
        walk(self.data, self.encoding)
        try:
            dataset = read_dataset(BytesIO(self.data), not self.encoding.explicit, True)
            dataset.walk(lambda _dataset, _element: None)
        except Exception as wrong:
            raise Malformed(str(wrong)) from None
        return dataset

    def encoded(self, dataset: Dataset) -> bytes:
        """A data set in the transfer syntax of the request."""
        from pydicom.filebase import DicomBytesIO
        from pydicom.filewriter import write_dataset

        target = DicomBytesIO()
        target.is_little_endian, target.is_implicit_VR = True, not self.encoding.explicit
        write_dataset(target, dataset)
        return target.getvalue()


@dataclass(slots=True)
class Answer:
    """What goes back: a status, and where the service has one a data set."""

    status: int
    data: bytes = b""
    sop_instance_uid: str = ""
    comment: str = ""
    error_id: int | None = None
    counts: Counts | None = None

    @property
    def is_pending(self) -> bool:
        return self.status in (Status.PENDING, Status.PENDING_WARNING)


@dataclass(slots=True)
class Question:
    """A C-FIND that one statement answers: its SQL with $1 ..., values as text, and what its rows become.

    ``answers`` gets the first column of all rows, as PostgreSQL sends it in binary.
    """

    sql: str
    parameters: tuple[bytes | None, ...]
    answers: Callable[[Iterable[bytes]], Iterable[tuple[int, bytes]]]


class StoreSink(Protocol):
    """Takes a C-STORE's data set. ``finish`` answers the row when the object is safe; ``discard`` leaves nothing.

    Pieces may be reused after ``write``. ``look`` is shown pieces that are there; they come again by ``write`` or
    ``finish``, unless it answers True: then it has taken them.
    """

    def look(self, *pieces: memoryview) -> bool: ...

    def write(self, *pieces: memoryview) -> None: ...

    def finish(self, *rest: memoryview) -> Any: ...

    def discard(self) -> None: ...


@dataclass(frozen=True)
class Handler:
    """``allowed_by``: the DicomPeer flag that opens this door. ``door``: the Actor's source."""

    field: Field
    function: Callable[..., Any]
    sop_classes: frozenset[str]
    transfer_syntaxes: tuple[str, ...]
    allowed_by: str
    door: str
    asks: Callable[[Request, Actor], Question | None] | None = None


_handlers: dict[tuple[int, str], Handler] = {}
_syntaxes: dict[str, tuple[str, ...]] = {}
_registrations: list[Handler] = []


def handler_for(command_field: int, sop_class_uid: str) -> Handler | None:
    return _handlers.get((command_field, sop_class_uid))


def syntaxes_of(sop_class_uid: str) -> tuple[str, ...]:
    """The transfer syntaxes taken for an abstract syntax; empty when it is not served at all."""
    return _syntaxes.get(sop_class_uid, ())


def registrations() -> int:
    """Grows with each handler: what was worked out from fewer of them is out of date."""
    return len(_registrations)


def served() -> list[Handler]:
    """Every handler once, for the conformance statement and the tests."""
    return list(dict.fromkeys(_handlers.values()))


def _decorator(
    command_field: Field,
    sop_classes: str | Iterable[str],
    allowed_by: str,
    door: str,
    transfer_syntaxes: Iterable[str] = PLAIN_SYNTAXES,
    asks: Callable[[Request, Actor], Question | None] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    classes = frozenset({sop_classes} if isinstance(sop_classes, str) else sop_classes)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        handler = Handler(command_field, function, classes, tuple(transfer_syntaxes), allowed_by, door, asks)
        for sop_class in classes:
            _handlers[(command_field, str(sop_class))] = handler
            _syntaxes[str(sop_class)] = handler.transfer_syntaxes
        _registrations.append(handler)
        return function

    return register


def c_echo(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """``handler(request, actor) -> None``; it runs between other associations' bytes, so it waits for nothing."""
    return _decorator(Field.C_ECHO, sop_class, allowed_by, door)


def c_find(
    sop_class: str,
    *,
    allowed_by: str,
    door: str,
    asks: Callable[[Request, Actor], Question | None] | None = None,
) -> Callable[..., Any]:
    """``handler(request, actor) -> iterator of (status, encoded identifier)``

    ``asks(request, actor)`` may put the same as one statement, and must wait for nothing; on None the handler runs.
    """
    return _decorator(Field.C_FIND, sop_class, allowed_by, door, asks=asks)


def c_store(
    sop_classes: Iterable[str], *, transfer_syntaxes: Iterable[str], allowed_by: str, door: str
) -> Callable[..., Any]:
    """``handler(request, actor) -> StoreSink``, called when the command has come and the data set has not."""
    return _decorator(Field.C_STORE, sop_classes, allowed_by, door, transfer_syntaxes)


def n_create(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """``handler(request, actor) -> SOP Instance UID of what was created``"""
    return _decorator(Field.N_CREATE, sop_class, allowed_by, door)


def n_set(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """``handler(request, actor) -> None``"""
    return _decorator(Field.N_SET, sop_class, allowed_by, door)


def n_get(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """``handler(request, actor) -> encoded data set``"""
    return _decorator(Field.N_GET, sop_class, allowed_by, door)


def n_action(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """``handler(request, actor) -> encoded action reply, or b""``; which action: ``request.action_type_id``"""
    return _decorator(Field.N_ACTION, sop_class, allowed_by, door)


def c_move(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """``handler(request, actor) -> iterator of Answer`` with ``counts``; to where: ``request.move_destination``.

    Pending ones in between; a final one with the status and the list of what failed ends it, or else Success does.
    A cancelled request (``request.is_cancelled()``) ends with Answer(Status.CANCELLED, counts=...).
    """
    return _decorator(Field.C_MOVE, sop_class, allowed_by, door)


def c_get(sop_class: str, *, allowed_by: str, door: str) -> Callable[..., Any]:
    """As ``c_move``; the objects go through ``request.suboperations``."""
    return _decorator(Field.C_GET, sop_class, allowed_by, door)


_endings: list[Callable[[Caller], None]] = []


def association_end(function: Callable[[Caller], None]) -> Callable[[Caller], None]:
    """``function(caller)`` runs when an association ends: before its release is answered, or when it was lost.

    It works for the facility that was called, and may run twice.
    """
    _endings.append(function)
    return function


def ended(caller: Caller) -> None:
    for function in _endings:
        try:
            function(caller)
        except (DatabaseError, InterfaceError, OSError) as error:
            log.error("association_not_settled", error=type(error).__name__)


def allow(handler: Handler, request: Request) -> None:
    """Raises NotPermitted when the peer's row does not open this door."""
    if request.caller.is_withdrawn or not getattr(request.caller.peer, handler.allowed_by, False):
        raise NotPermitted(f"{request.caller.calling_ae_title} {handler.allowed_by.replace('_', ' ')}: no.")


def perform(handler: Handler, request: Request) -> Iterator[Answer]:
    """The answers to a request that has come whole; the last one is final. Raises only Lost and ProtocolError."""
    try:
        allow(handler, request)
        result = handler.function(request, request.caller.actor(handler.door))
        if handler.field == Field.C_FIND:
            yield from _matches(request, result)
            return
        if handler.field in RETRIEVES:
            yield from _until_final(result)
            return
        yield _success(handler.field, request, result)
    except (Lost, ProtocolError):
        raise
    except Exception as error:
        yield answer_to(error, handler.field, request)


def _matches(request: Request, matches: Iterable[tuple[int, bytes]]) -> Iterator[Answer]:
    for status, identifier in matches:
        if request.is_cancelled():
            yield Answer(Status.CANCELLED)
            return
        yield Answer(status, identifier)
    yield Answer(Status.SUCCESS)


def _until_final(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Up to the first answer that is final; Success with the last counts where the handler gives none."""
    counts = None
    for answer in answers:
        yield answer
        if not answer.is_pending:
            return
        counts = answer.counts
    yield Answer(Status.SUCCESS, counts=replace(counts, remaining=None) if counts else None)


def _success(command_field: Field, request: Request, result: Any) -> Answer:
    if command_field == Field.N_CREATE:
        return Answer(Status.SUCCESS, sop_instance_uid=str(result))
    if command_field in (Field.N_GET, Field.N_ACTION):
        return Answer(Status.SUCCESS, data=result or b"", sop_instance_uid=request.sop_instance_uid)
    uid = request.sop_instance_uid if command_field in (Field.C_STORE, Field.N_SET) else ""
    return Answer(Status.SUCCESS, sop_instance_uid=uid)


def answer_to(error: Exception, command_field: int, request: Request) -> Answer:
    """The status that says what went wrong (DESIGN 9). What is nobody's fault but ours is logged."""
    uid = request.sop_instance_uid if command_field not in QUERIES else ""
    if isinstance(error, DimseError):
        return Answer(error.status, sop_instance_uid=uid, comment=error.detail)
    if isinstance(error, Malformed):
        status = dict.fromkeys(QUERIES, Status.DOES_NOT_MATCH) | {Field.C_STORE: Status.CANNOT_UNDERSTAND}
        code = status.get(Field(command_field), Status.PROCESSING_FAILURE)
        return Answer(code, sop_instance_uid=uid, comment=str(error))
    if isinstance(error, DomainError):
        return _refusal(error, command_field, uid)
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_unavailable", field=int(command_field), error=type(error).__name__)
        find = Status.NO_MATCHES_COUNTED if command_field in RETRIEVES else Status.OUT_OF_RESOURCES
        return Answer(_by_field(command_field, Status.OUT_OF_RESOURCES, find), sop_instance_uid=uid)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        log.error("storage_full", error=errno.errorcode.get(error.errno or 0, "?"))
        return Answer(Status.OUT_OF_RESOURCES, sop_instance_uid=uid, comment="There is no room for the object.")
    log.exception("request_failed", field=int(command_field), database=isinstance(error, DatabaseError))
    return Answer(_by_field(command_field, Status.CANNOT_UNDERSTAND, Status.UNABLE_TO_PROCESS), sop_instance_uid=uid)


def _by_field(command_field: int, store: int, find: int) -> int:
    """``find``: of everything that asks (C-FIND, C-MOVE, C-GET share their codes)."""
    if command_field == Field.C_STORE:
        return store
    return find if command_field in QUERIES else Status.PROCESSING_FAILURE


def _refusal(error: DomainError, command_field: int, uid: str) -> Answer:
    comment = error.detail
    if isinstance(error, NotPermitted):
        return Answer(Status.NOT_AUTHORIZED, sop_instance_uid=uid, comment=comment)
    if isinstance(error, NotKnown):
        return Answer(Status.NO_SUCH_INSTANCE, sop_instance_uid=uid, comment=comment)
    if isinstance(error, AlreadyExists):
        return Answer(Status.DUPLICATE_INSTANCE, sop_instance_uid=uid, comment=comment)
    if isinstance(error, InvalidTransition):
        error_id = Status.NO_LONGER_UPDATED if command_field == Field.N_SET else None
        return Answer(Status.PROCESSING_FAILURE, sop_instance_uid=uid, comment=comment, error_id=error_id)
    if isinstance(error, Conflict) and command_field == Field.C_STORE:
        return Answer(Status.OTHER_CONTENT, sop_instance_uid=uid, comment=comment)
    if isinstance(error, InvalidData):
        other = Status.DOES_NOT_MATCH if command_field in (*QUERIES, Field.C_STORE) else 0
        return Answer(other or Status.INVALID_ATTRIBUTE_VALUE, sop_instance_uid=uid, comment=comment)
    fallback = _by_field(command_field, Status.CANNOT_UNDERSTAND, Status.UNABLE_TO_PROCESS)
    return Answer(fallback, sop_instance_uid=uid, comment=comment)
