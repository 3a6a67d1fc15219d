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
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection, connections
from django.utils import timezone
from psycopg import Error, sql

from interop.hl7 import acknowledgements as ack
from interop.hl7 import batches
from interop.hl7.door import Door
from interop.hl7.doors import remembered_facility
from interop.hl7.intake import checked_header, is_deferred, row_of
from interop.hl7.messages import Header, Hl7Error, parse, peek
from interop.models import InboundMessage

log = structlog.get_logger(__name__)

AT_ONCE = 200
#: What differs from message to message, with its type in PostgreSQL
VARYING = {
    "uuid": "uuid", "sending_application": "text", "sending_facility": "text", "control_id": "text",
    "message_type": "text", "raw": "bytea", "encoding": "text", "address": "text",
}  # fmt: skip


@dataclass(frozen=True)
class Quick:
    """A message that may take this lane."""

    raw: bytes
    header: Header
    schema: str
    row: InboundMessage

    def reply(self) -> list[bytes]:
        if not ack.wants(self.header.accept_acknowledgement, success=True):
            return []
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
        parse(raw)
    except Hl7Error:
        return None
    return Quick(raw, header, facility.schema_name, row_of(raw, header, door))


@cache
def _statement(schema: str) -> tuple[sql.Composed, tuple[Any, ...]]:
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
    return made.format(table, columns, fixed, varying), tuple(constant.values())


def store(schema: str, rows: list[InboundMessage]) -> set[UUID]:
    """Insert and commit; answers those that were new. Raises OperationalError when the database is away."""
    statement, constant = _statement(schema)
    columns = [[getattr(row, name) for row in rows] for name in VARYING]
    try:
        connection.ensure_connection()
        found = connection.connection.execute(statement, [timezone.now(), *constant, *columns], prepare=True)
        return {row[0] for row in found.fetchall()}
    except Error as failure:
        connection.close()
        raise OperationalError(type(failure).__name__) from failure


@dataclass(frozen=True)
class _Wish:
    quick: Quick
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[bool]


class Storer:
    """The thread, started with the first message; a wish answers whether the message was new."""

    def __init__(self) -> None:
        self._wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, quicks: list[Quick]) -> list[asyncio.Future[bool]]:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mllp-store", daemon=True)
            self._thread.start()
        wishes = [_Wish(one, loop, loop.create_future()) for one in quicks]
        for wish in wishes:
            self._wishes.put(wish)
        return [wish.future for wish in wishes]

    def close(self) -> None:
        if self._thread is not None:
            self._wishes.put(None)
            self._thread.join(10)

    def _run(self) -> None:
        connection.set_schema_to_public()
        while (first := self._wishes.get()) is not None:
            wishes, is_last = [first], False
            while len(wishes) < AT_ONCE and not self._wishes.empty():
                more = self._wishes.get()
                if more is None:
                    is_last = True
                    break
                wishes.append(more)
            close_old_connections()
            for schema in {wish.quick.schema for wish in wishes}:
                self._store(schema, [wish for wish in wishes if wish.quick.schema == schema])
            if is_last:
                break
        connections.close_all()

    @staticmethod
    def _store(schema: str, wishes: list[_Wish]) -> None:
        try:
            new = store(schema, [wish.quick.row for wish in wishes])
        except (DatabaseError, InterfaceError) as failure:
            log.error("mllp_database_does_not_answer", error=type(failure).__name__)
            answers: list[tuple[asyncio.Future[bool], bool | Exception]] = [(wish.future, failure) for wish in wishes]
        else:
            answers = [(wish.future, wish.quick.row.uuid in new) for wish in wishes]
        wishes[0].loop.call_soon_threadsafe(_tell, answers)


def _tell(answers: list[tuple[asyncio.Future[bool], bool | Exception]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
