"""Prepared statements on connections of the event loop: libpq without waiting. One statement is one transaction.

    lines.run(Statement(sql, parameters), then)      # then(result, None) or then(None, error), on the loop

Django's connections belong to threads that may wait; these two or three answer what many ask at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from typing import Any
from uuid import UUID

import structlog
from django.db import OperationalError, connection
from psycopg import pq

log = structlog.get_logger("interop.dicom")

#: Statements are few (one per kind of query and facility); a connection that has seen more begins anew.
MOST_PREPARED = 1000
MOST_WAITING = 2000
#: Seconds: the server gives up by itself; a server that does not answer at all is left a little later.
STATEMENT_SECONDS, SILENT_SECONDS = 8, 10.0
RETRY_SECONDS = 1.0
#: One plan for all values of a statement: to plan one of ours takes longer than to run it. What is asked for all day is
#: in memory: an index that finds ten rows is better than one that reads all of a day.
OPTIONS = (
    f"-c statement_timeout={STATEMENT_SECONDS}s -c plan_cache_mode=force_generic_plan -c jit=off"
    " -c random_page_cost=1.1"
)
BINARY = 1
FINE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class StatementFailed(Exception):
    """PostgreSQL refused the statement; what asked may ask in another way."""


@dataclass(frozen=True)
class Statement:
    """SQL with $1, $2 ..., and their values as text."""

    sql: str
    parameters: tuple[bytes | None, ...] = ()


Then = Callable[[Any, Exception | None], None]


def as_text(value: Any) -> bytes | None:
    """A value as PostgreSQL reads it from text. Raises TypeError for what has no plain form."""
    if value is None:
        return None
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int | UUID):
        return str(value).encode()
    if isinstance(value, date | time):
        return value.isoformat().encode()
    raise TypeError(f"{type(value).__name__} is no plain value.")


def connection_words() -> bytes:
    """Where Django connects to, for libpq."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = {name: value for name, value in connection.get_connection_params().items() if name in known}
    given["client_encoding"] = "utf8"
    given["options"] = f"{given.get('options', '')} {OPTIONS}".strip()
    return " ".join(f"{name}='{_escaped(value)}'" for name, value in given.items() if value is not None).encode()


def _escaped(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace("'", "\\'")


class Lines:
    """A few connections; all calls on the loop, except that connecting waits in ``in_thread``."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, in_thread: Callable[[Callable[[], None]], None], size: int
    ) -> None:
        self._loop, self._in_thread, self._size = loop, in_thread, size
        self._idle: list[Line] = []
        self._open: set[Line] = set()
        self._waiting: deque[tuple[Statement, Then]] = deque()
        self._connecting = 0
        self._not_before = 0.0
        self._is_closed = False

    def run(self, statement: Statement, then: Then) -> None:
        if self._idle:
            self._idle.pop().run(statement, then)
            return
        if self._is_closed or len(self._waiting) >= MOST_WAITING:
            then(None, OperationalError("There is no room for another statement."))
            return
        if not self._open and not self._connecting and self._loop.time() < self._not_before:
            then(None, OperationalError("PostgreSQL cannot be reached."))
            return
        self._waiting.append((statement, then))
        self._connect()

    def _connect(self) -> None:
        if len(self._open) + self._connecting < self._size:
            self._connecting += 1
            self._in_thread(self._open_one)

    def _open_one(self) -> None:
        try:
            opened = pq.PGconn.connect(connection_words())
        except Exception as error:
            log.warning("database_unavailable", error=type(error).__name__)
            self._loop.call_soon_threadsafe(self._adopt, None)
        else:
            self._loop.call_soon_threadsafe(self._adopt, opened)

    def _adopt(self, opened: pq.abc.PGconn | None) -> None:
        self._connecting -= 1
        if opened is not None and opened.status == pq.ConnStatus.OK and not self._is_closed:
            line = Line(self, self._loop, opened)
            self._open.add(line)
            self.idle(line)
            return
        if opened is not None:
            opened.finish()
        self._not_before = self._loop.time() + RETRY_SECONDS
        if not self._open:
            self._fail_waiting()

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _statement, then in waiting:
            then(None, OperationalError("PostgreSQL cannot be reached."))

    def idle(self, line: Line) -> None:
        if self._waiting:
            line.run(*self._waiting.popleft())
        else:
            self._idle.append(line)

    def drop(self, line: Line) -> None:
        """Begin anew with another one: what was prepared here may be what went wrong."""
        self._open.discard(line)
        line.finish()
        if self._waiting:
            self._connect()

    def lost(self, line: Line) -> None:
        """A connection broke: the idle ones are most likely broken too, and a restarted server takes new ones."""
        for other in (line, *self._idle):
            self._open.discard(other)
            other.finish()
        self._idle.clear()
        if self._waiting:
            self._connect()

    def tick(self) -> None:
        """Leave servers that do not answer."""
        oldest = self._loop.time() - SILENT_SECONDS
        for line in [line for line in self._open if line.asked_at is not None and line.asked_at < oldest]:
            line.fail("PostgreSQL does not answer.")

    def close(self) -> None:
        self._is_closed = True
        self._fail_waiting()
        for line in tuple(self._open):
            line.fail("The server stops.")


class Line:
    """One connection: prepares a statement when it first comes, runs it, hands over its result."""

    def __init__(self, lines: Lines, loop: asyncio.AbstractEventLoop, opened: pq.abc.PGconn) -> None:
        self._lines, self._loop, self._pg = lines, loop, opened
        self._pg.nonblocking = 1
        self._fd = opened.socket
        self._names: dict[str, bytes] = {}
        self._statement = Statement("")
        self._then: Then | None = None
        self._is_preparing = False
        self._last: Any = None
        self.asked_at: float | None = None
        loop.add_reader(self._fd, self._readable)

    def run(self, statement: Statement, then: Then) -> None:
        self._statement, self._then = statement, then
        self.asked_at = self._loop.time()
        name = self._names.get(statement.sql)
        try:
            if name is None:
                self._is_preparing = True
                name = b"s%d" % len(self._names)
                self._pg.send_prepare(name, statement.sql.encode())
            else:
                self._pg.send_query_prepared(name, statement.parameters, None, BINARY)
            self._flush()
        except Exception as error:
            self.fail(str(error))

    def _flush(self) -> None:
        if self._pg.flush():
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        try:
            if not self._pg.flush():
                self._loop.remove_writer(self._fd)
        except Exception as error:
            self.fail(str(error))

    def _readable(self) -> None:
        try:
            self._pg.consume_input()
            while not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:
                    break
                self._last = result
            else:
                return
        except Exception as error:
            self.fail(str(error))
            return
        if self._pg.status != pq.ConnStatus.OK:
            self.fail("The connection to PostgreSQL broke.")
        elif self._then is not None:
            self._finished()

    def _finished(self) -> None:
        """ReadyForQuery has come: what the statement did is committed."""
        result, self._last = self._last, None
        if result is None or result.status not in FINE:
            words = result.error_field(pq.DiagnosticField.SQLSTATE) if result is not None else b""
            code = (words or b"").decode()
            self._done(None, OperationalError(code) if code[:2] in ("08", "53", "57") else StatementFailed(code))
        elif self._is_preparing:
            self._is_preparing = False
            self._names[self._statement.sql] = b"s%d" % len(self._names)
            assert self._then is not None
            self.run(self._statement, self._then)
        else:
            self._done(result, None)

    def _done(self, result: Any, error: Exception | None) -> None:
        then, self._then, self.asked_at = self._then, None, None
        if error is not None or len(self._names) > MOST_PREPARED:
            self._lines.drop(self)
        else:
            self._lines.idle(self)
        assert then is not None
        then(result, error)

    def fail(self, words: str) -> None:
        """The connection is of no use any more."""
        then, self._then, self.asked_at = self._then, None, None
        self._lines.lost(self)
        if then is not None:
            then(None, OperationalError(words))

    def finish(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1
            self._pg.finish()
