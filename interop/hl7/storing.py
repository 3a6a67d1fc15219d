"""The quick lane: messages of the enhanced mode that only have to be stored and committed before CA is said.

Whatever connections have in hand at one moment goes to the database as one statement and one commit, over a connection
that the event loop speaks to by itself (libpq, no thread in between); the dispatcher processes it afterwards, of each
sender in order. What is odd in any way (a fault, a repeat, a receiver to be asked for) takes the ordinary lane,
interop.hl7.intake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection
from psycopg import Error, sql
from psycopg import OperationalError as NoServer
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from interop.hl7 import acknowledgements as ack
from interop.hl7 import batches
from interop.hl7.door import Door
from interop.hl7.doors import remembered_facility
from interop.hl7.intake import checked_header, is_deferred
from interop.hl7.messages import CONTROL, Header, Hl7Error, parse, peek
from interop.models import InboundMessage
from ris.core.ids import uuid7

log = structlog.get_logger(__name__)

AT_ONCE = 200
#: What differs from message to message, with its type in PostgreSQL
VARYING = {
    "uuid": "uuid", "sending_application": "text", "sending_facility": "text", "control_id": "text",
    "message_type": "text", "raw": "bytea", "encoding": "text", "address": "text",
}  # fmt: skip


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
        parse(raw, header)
    except Hl7Error:
        return None
    names = (header.sending_application, header.sending_facility, header.control_id, header.message_type)
    if any(CONTROL.search(name) for name in names):
        return None
    values = (uuid7(), *names, raw, header.codec[:20], door.address[:64])
    return Quick(raw, header, facility.schema_name, values)


@dataclass(frozen=True)
class Statement:
    """One insert of any number of rows. ``constant``: what needs a value and never differs, as the model has it."""

    name: bytes
    text: bytes
    constant: tuple[bytes, ...]


@cache
def _statement(schema: str) -> Statement:
    blank = InboundMessage(acknowledgement_code=ack.COMMIT_ACCEPT)
    fields = [
        field
        for field in InboundMessage._meta.concrete_fields
        if not field.primary_key and not field.null and field.column not in VARYING
    ]
    casts = [sql.SQL("${}::" + kind + "[]").format(number) for number, kind in enumerate(VARYING.values(), 1)]
    others = [field for field in fields if field.column != "received_at"]
    fixed = [
        sql.SQL("${}::" + str(field.db_type(connection))).format(number)
        for number, field in enumerate(others, len(VARYING) + 1)
    ]
    names = [*VARYING, "received_at", *(field.column for field in others)]
    made = sql.SQL("insert into {} ({}) select t.*, {} from unnest({}) t on conflict do nothing returning uuid").format(
        sql.Identifier(schema, InboundMessage._meta.db_table),
        sql.SQL(", ").join(sql.Identifier(name) for name in names),
        sql.SQL(", ").join([sql.SQL("statement_timestamp()"), *fixed]),
        sql.SQL(", ").join(casts),
    )
    constant = tuple(_plain(getattr(blank, field.attname)) for field in others)
    return Statement(f"hl7_{schema}".encode()[:63], made.as_string(None).encode(), constant)


def _plain(value: Any) -> bytes:
    return (b"t" if value else b"f") if isinstance(value, bool) else str(value).encode()


def _array(values: Iterable[Any]) -> bytes:
    """An array literal of PostgreSQL: every element quoted."""
    parts = []
    for value in values:
        text = f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
        parts.append('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return ("{" + ",".join(parts) + "}").encode()


@dataclass(frozen=True)
class _Wish:
    """What one connection has in hand, all for one facility."""

    quicks: list[Quick]
    future: asyncio.Future[list[bool]]


class Storer:
    """One connection to the database that belongs to the event loop: while a statement is on its way, what comes
    meanwhile is gathered for the next. A wish answers of each message whether it was new; DatabaseError when away."""

    def __init__(self) -> None:
        self._waiting: list[_Wish] = []
        self._busy: list[_Wish] = []
        self._results: list[PGresult] = []
        self._wrapper: Any = None
        #: kept here, as libpq has closed it and forgotten its number by the time that we hear of a broken line
        self._socket = -1
        self._prepared: set[str] = set()
        self._is_connecting = False

    def ask(self, quicks: list[Quick]) -> asyncio.Future[list[bool]]:
        wish = _Wish(quicks, asyncio.get_running_loop().create_future())
        self._waiting.append(wish)
        self._go_on()
        return wish.future

    def close(self) -> None:
        self._end(InterfaceError("closing"))

    def give_up(self) -> None:
        """The database has kept silent for too long: this line is left, and the next wish gets another."""
        self._leave(TimeoutError())

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
        statement = _statement(schema)
        if schema not in self._prepared:
            if (made := self._line.prepare(statement.name, statement.text)).status != ExecStatus.COMMAND_OK:
                raise NoServer(made.error_message.decode(errors="replace"))
            self._prepared.add(schema)
        rows = [one.values for wish in self._busy for one in wish.quicks]
        arrays = [_array(values) for values in zip(*rows, strict=True)]
        self._line.send_query_prepared(statement.name, [*arrays, *statement.constant])

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
        results, wishes = self._results, self._busy
        self._results, self._busy = [], []
        if not results:
            return
        result = results[0]
        if result.status != ExecStatus.TUPLES_OK:
            words = result.error_message.decode(errors="replace")
            self._tell(wishes, OperationalError(words.splitlines()[0] if words else "refused"))
        else:
            count = sum(len(wish.quicks) for wish in wishes)
            new = None
            if result.ntuples != count:
                new = {(result.get_value(n, 0) or b"").decode() for n in range(result.ntuples)}
            for wish in wishes:
                answers = [new is None or str(one.values[0]) in new for one in wish.quicks]
                if not wish.future.done():
                    wish.future.set_result(answers)
        if self._line.status != ConnStatus.OK:
            self._leave(NoServer("the line is broken"))
            return
        self._go_on()

    def _leave(self, failure: BaseException) -> None:
        """The database is away: nobody is told that anything was stored."""
        log.error("mllp_database_does_not_answer", error=type(failure).__name__)
        self._end(failure)

    def _end(self, failure: BaseException) -> None:
        wishes, self._busy, self._waiting, self._results = [*self._busy, *self._waiting], [], [], []
        if self._wrapper is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            wrapper, self._wrapper, self._socket = self._wrapper, None, -1
            wrapper.connection.close()
        self._tell(wishes, OperationalError(type(failure).__name__))

    @staticmethod
    def _tell(wishes: list[_Wish], failure: Exception) -> None:
        for wish in wishes:
            if not wish.future.done():
                wish.future.set_exception(failure)


def _connected() -> Any:
    """A connection of its own, made as Django makes them."""
    wrapper = connection.copy()
    wrapper.connect()
    return wrapper
