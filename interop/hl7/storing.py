"""The quick lane: messages of the enhanced mode that only have to be stored and committed before CA is said.

Whatever connections have in hand at one moment goes to the database as one statement and one commit, over a connection
that the event loop speaks to by itself (libpq, no thread in between); the dispatcher processes it afterwards, of each
sender in order. What is odd in any way (a fault, a repeat, a receiver to be asked for) takes the ordinary lane,
interop.hl7.intake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection
from psycopg import Error, sql
from psycopg import OperationalError as NoServer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from interop.hl7 import acknowledgements as ack
from interop.hl7 import batches
from interop.hl7.charsets import UnknownCharset
from interop.hl7.door import Door
from interop.hl7.doors import remembered_facility
from interop.hl7.intake import checked_header, is_deferred
from interop.hl7.messages import CONTROL, Header, Hl7Error, is_plain, parse, peek
from interop.models import InboundMessage
from ris.core.ids import uuid7

log = structlog.get_logger(__name__)

AT_ONCE = 200
#: What differs from message to message, with its type in PostgreSQL
VARYING = {
    "uuid": "uuid", "sending_application": "text", "sending_facility": "text", "control_id": "text",
    "message_type": "text", "raw": "bytea", "encoding": "text", "address": "text",
}  # fmt: skip
FORMATS = [Format.BINARY if kind == "bytea" else Format.TEXT for kind in VARYING.values()]


@dataclass(frozen=True)
class Quick:
    """A message that may take this lane; ``values`` are those of VARYING."""

    raw: bytes
    header: Header
    schema: str
    values: tuple[Any, ...]

    def reply(self) -> list[bytes]:
        if not ack.wants(self.header.accept_acknowledgement, success=True):
            return []
        try:
            return [ack.commit_accept(self.header)]
        except UnicodeEncodeError:
            return [ack.acknowledge(self.header, ack.COMMIT_ACCEPT)]


def quick(raw: bytes, door: Door) -> Quick | None:
    """Asks no database. None: the ordinary lane takes it."""
    if batches.is_batch(raw):
        return None
    header = peek(raw)
    if header is None or not is_deferred(header):
        return None
    facility = remembered_facility(header, door)
    if facility is None:
        return None
    try:
        checked_header(header)
        if not is_plain(raw, header):
            parse(raw, header)
    except (Hl7Error, UnknownCharset):
        return None
    names = (header.sending_application, header.sending_facility, header.control_id, header.message_type)
    if any(CONTROL.search(name) for name in names):
        return None
    values = (uuid7(), *names, raw, header.codec[:20], door.address[:64])
    return Quick(raw, header, facility.schema_name, values)


@dataclass(frozen=True)
class Statement:
    """An insert, prepared once for each connection."""

    name: bytes
    text: bytes


@cache
def _statements(schema: str) -> tuple[Statement, Statement]:
    """Of one row, which its tag counts, and of any number of rows, which answers the new ones' uuid."""
    blank = InboundMessage(acknowledgement_code=ack.COMMIT_ACCEPT)
    others = [
        field
        for field in InboundMessage._meta.concrete_fields
        if not field.primary_key and not field.null and field.column not in (*VARYING, "received_at")
    ]
    begun = sql.SQL("insert into {} ({})").format(
        sql.Identifier(schema, InboundMessage._meta.db_table),
        sql.SQL(", ").join(
            sql.Identifier(name) for name in (*VARYING, "received_at", *(field.column for field in others))
        ),
    )
    #: what needs a value and never differs, as the model has it
    fixed = sql.SQL(", ").join(
        [
            sql.SQL("statement_timestamp()"),
            *(
                sql.SQL("{}::" + str(field.db_type(connection))).format(sql.Literal(getattr(blank, field.attname)))
                for field in others
            ),
        ]
    )
    numbered = list(enumerate(VARYING.values(), 1))
    single = sql.SQL(", ").join(sql.SQL("${}::" + kind).format(number) for number, kind in numbered)
    arrays = sql.SQL(", ").join(sql.SQL("${}::" + kind + "[]").format(number) for number, kind in numbered)
    one = sql.SQL("{} values ({}, {}) on conflict do nothing").format(begun, single, fixed)
    many = sql.SQL("{} select t.*, {} from unnest({}) t on conflict do nothing returning uuid").format(
        begun, fixed, arrays
    )
    return (
        Statement(f"one_{schema}".encode()[:63], one.as_string(None).encode()),
        Statement(f"many_{schema}".encode()[:63], many.as_string(None).encode()),
    )


def _array(values: Iterable[Any]) -> bytes:
    """An array literal of PostgreSQL: every element quoted."""
    parts = []
    for value in values:
        text = f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
        parts.append('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return ("{" + ",".join(parts) + "}").encode()


#: Told of each message whether it was new, or why nothing is known
Told = Callable[[list[bool], Exception | None], None]


@dataclass(frozen=True)
class _Wish:
    """What one connection has in hand, all for one facility."""

    quicks: list[Quick]
    told: Told


class Storer:
    """One connection to the database that belongs to the event loop: while a statement is on its way, what comes
    meanwhile is gathered for the next. DatabaseError when the database is away, TimeoutError when it keeps silent."""

    def __init__(self, patience: float = 30.0) -> None:
        self.patience = patience
        self._waiting: list[_Wish] = []
        self._busy: list[_Wish] = []
        self._results: list[PGresult] = []
        self._wrapper: Any = None
        #: kept here, as libpq has closed it and forgotten its number by the time that we hear of a broken line
        self._socket = -1
        self._prepared: set[bytes] = set()
        self._is_connecting = False
        self._alarm: asyncio.TimerHandle | None = None

    def tell(self, quicks: list[Quick], told: Told) -> None:
        """Store them; ``told`` is called in the loop, once."""
        self._waiting.append(_Wish(quicks, told))
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(self.patience, self._give_up)
        self._go_on()

    def ask(self, quicks: list[Quick]) -> asyncio.Future[list[bool]]:
        """The same for who can wait."""
        future: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()

        def told(answers: list[bool], failure: Exception | None) -> None:
            if future.done():
                return
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(answers)

        self.tell(quicks, told)
        return future

    def close(self) -> None:
        self._end(InterfaceError("closing"))

    def _give_up(self) -> None:
        """The database has kept silent for too long: this line is left, and the next wish gets another."""
        self._alarm = None
        self._leave(TimeoutError())

    def _rest(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    @property
    def _line(self) -> PGconn:
        return self._wrapper.connection.pgconn

    def _go_on(self) -> None:
        if self._busy or self._is_connecting or not self._waiting:
            return
        if self._wrapper is None:
            self._is_connecting = True
            connecting = asyncio.get_running_loop().run_in_executor(None, _connected)
            connecting.add_done_callback(self._came)
            return
        schema, count = self._waiting[0].quicks[0].schema, 0
        while self._waiting and self._waiting[0].quicks[0].schema == schema and count < AT_ONCE:
            self._busy.append(self._waiting.pop(0))
            count += len(self._busy[-1].quicks)
        try:
            self._send(schema)
        except Error as failure:
            self._leave(failure)

    def _came(self, connecting: asyncio.Future[Any]) -> None:
        self._is_connecting = False
        failure = connecting.exception()
        if failure is not None:
            self._leave(failure)
            return
        self._wrapper, self._prepared = connecting.result(), set()
        self._socket = self._line.socket
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        self._go_on()

    def _send(self, schema: str) -> None:
        rows = [one.values for wish in self._busy for one in wish.quicks]
        one, many = _statements(schema)
        if len(rows) == 1:
            statement, formats = one, FORMATS
            values = [value if isinstance(value, bytes) else str(value).encode() for value in rows[0]]
        else:
            statement, formats = many, None
            values = [_array(column) for column in zip(*rows, strict=True)]
        if statement.name not in self._prepared:
            if (made := self._line.prepare(statement.name, statement.text)).status != ExecStatus.COMMAND_OK:
                raise NoServer(made.error_message.decode(errors="replace"))
            self._prepared.add(statement.name)
        self._line.send_query_prepared(statement.name, values, formats)

    def _readable(self) -> None:
        try:
            self._line.consume_input()
            while not self._line.is_busy():
                result = self._line.get_result()
                if result is None:
                    self._done()
                    return
                self._results.append(result)
        except Error as failure:
            self._leave(failure)

    def _done(self) -> None:
        results, self._results = self._results, []
        if not results:
            return
        self._rest()
        wishes = self._busy  # busy until all are told: who is told may wish again
        result = results[0]
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            words = result.error_message.decode(errors="replace")
            self._fail(wishes, OperationalError(words.splitlines()[0] if words else "refused"))
        else:
            count = sum(len(wish.quicks) for wish in wishes)
            stored = result.command_tuples
            new = {(result.get_value(n, 0) or b"").decode() for n in range(result.ntuples)} if stored != count else None
            for wish in wishes:
                wish.told([new is None or str(one.values[0]) in new for one in wish.quicks], None)
        self._busy = []
        if self._line.status != ConnStatus.OK:
            self._leave(NoServer("the line is broken"))
            return
        if self._waiting and self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(self.patience, self._give_up)
        self._go_on()

    def _leave(self, failure: BaseException) -> None:
        """The database is away: nobody is told that anything was stored."""
        log.error("mllp_database_does_not_answer", error=type(failure).__name__)
        self._end(failure)

    def _end(self, failure: BaseException) -> None:
        wishes, self._busy, self._waiting, self._results = [*self._busy, *self._waiting], [], [], []
        self._rest()
        if self._wrapper is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            wrapper, self._wrapper, self._socket = self._wrapper, None, -1
            wrapper.connection.close()
        is_silence = isinstance(failure, TimeoutError)
        self._fail(wishes, TimeoutError("storing") if is_silence else OperationalError(type(failure).__name__))

    @staticmethod
    def _fail(wishes: list[_Wish], failure: Exception) -> None:
        for wish in wishes:
            wish.told([], failure)


def _connected() -> Any:
    """A connection of its own, made as Django makes them."""
    wrapper = connection.copy()
    wrapper.connect()
    return wrapper
