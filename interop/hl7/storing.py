"""The quick lane: messages of the enhanced mode that only have to be stored and committed before CA is said.

Whatever connections have in hand at one moment goes to the database as one statement and one commit, written by a
thread of its own; the dispatcher processes it afterwards, of each sender in order. What is odd in any way (a fault, a
repeat, a receiver that has to be asked for) takes the ordinary lane, interop.hl7.intake.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection, connections
from django.utils import timezone
from psycopg import Error, sql

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


@cache
def _statement(schema: str) -> tuple[str, tuple[Any, ...]]:
    """One insert of any number of rows; columns that need a value and never differ are the model's defaults."""
    table = sql.Identifier(schema, InboundMessage._meta.db_table)
    blank = InboundMessage(acknowledgement_code=ack.COMMIT_ACCEPT)
    constant = {
        field.column: field.get_db_prep_save(getattr(blank, field.attname), connection)
        for field in InboundMessage._meta.concrete_fields
        if not field.primary_key and not field.null and field.column not in (*VARYING, "received_at")
    }
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in (*VARYING, "received_at", *constant))
    varying = sql.SQL(", ").join(
        sql.SQL("%b::bytea[]") if kind == "bytea" else sql.SQL("%s::" + kind + "[]") for kind in VARYING.values()
    )
    fixed = sql.SQL(", ").join([sql.SQL("%s"), *(sql.SQL("%s") for _value in constant)])
    made = sql.SQL("insert into {} ({}) select t.*, {} from unnest({}) t on conflict do nothing returning uuid")
    return made.format(table, columns, fixed, varying).as_string(None), tuple(constant.values())


def store(schema: str, rows: list[tuple[Any, ...]]) -> list[bool]:
    """Insert and commit; answers of each whether it was new. Raises OperationalError when the database is away."""
    statement, constant = _statement(schema)
    columns = [list(values) for values in zip(*rows, strict=True)]
    try:
        connection.ensure_connection()
        found = connection.connection.execute(statement, [timezone.now(), *constant, *columns], prepare=True)
        if found.rowcount == len(rows):
            return [True] * len(rows)
        new = {row[0] for row in found.fetchall()}
        return [row[0] in new for row in rows]
    except Error as failure:
        connection.close()
        raise OperationalError(type(failure).__name__) from failure


@dataclass(frozen=True)
class _Wish:
    """What one connection has in hand, all for one facility."""

    quicks: list[Quick]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[bool]]


class Storer:
    """The thread, started with the first message; a wish answers whether the message was new."""

    def __init__(self) -> None:
        self._wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, quicks: list[Quick]) -> asyncio.Future[list[bool]]:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mllp-store", daemon=True)
            self._thread.start()
        wish = _Wish(quicks, loop, loop.create_future())
        self._wishes.put(wish)
        return wish.future

    def close(self) -> None:
        if self._thread is not None:
            self._wishes.put(None)
            self._thread.join(10)

    def _run(self) -> None:
        connection.set_schema_to_public()
        while (first := self._wishes.get()) is not None:
            wishes, is_last, count = [first], False, len(first.quicks)
            while count < AT_ONCE and not self._wishes.empty():
                more = self._wishes.get()
                if more is None:
                    is_last = True
                    break
                wishes.append(more)
                count += len(more.quicks)
            close_old_connections()
            for schema in {wish.quicks[0].schema for wish in wishes}:
                self._store(schema, [wish for wish in wishes if wish.quicks[0].schema == schema])
            if is_last:
                break
        connections.close_all()

    @staticmethod
    def _store(schema: str, wishes: list[_Wish]) -> None:
        rows = [one.values for wish in wishes for one in wish.quicks]
        answers: list[tuple[asyncio.Future[list[bool]], list[bool] | Exception]] = []
        try:
            new = iter(store(schema, rows))
        except (DatabaseError, InterfaceError) as failure:
            log.error("mllp_database_does_not_answer", error=type(failure).__name__)
            answers = [(wish.future, failure) for wish in wishes]
        else:
            answers = [(wish.future, [next(new) for _one in wish.quicks]) for wish in wishes]
        wishes[0].loop.call_soon_threadsafe(_tell, answers)


def _tell(answers: list[tuple[asyncio.Future[list[bool]], list[bool] | Exception]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
