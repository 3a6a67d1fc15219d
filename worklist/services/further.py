"""Further instances of known series, the bulk of all that is stored: one statement, one round trip, one commit.

Nothing is remembered between two instances: the statement itself looks whether the series is still of that study, so
that a series that was moved or a study that was split is seen at once. It winds the study's clock and opens a study
that was complete again, under a shared lock on the study, so that whoever calls it complete either sees the instance
or is undone by it.

Where several associations store, what comes at once goes into one statement and one commit: of two, each costs three
fifths of what it costs alone, of four a third. Who finds no statement running runs one; where another line has added an
instance in the last moments it waits for company first, two milliseconds at the most, and after waiting in vain not for
a while. Where nobody else has, it is ahead: PostgreSQL adds its row while its file is being written, and commits when
that is safe.

Counts are not touched: several associations into one study would queue for its row. They are counted anew when an
association ends, and every half second before that, by a thread of this process. A process that dies in between leaves
the study's clock wound: whoever answers it counts first.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django_tenants.utils import get_public_schema_name
from psycopg import Connection
from psycopg import Error as PsycopgError
from psycopg import OperationalError as NoServer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from ris.accounts.models import FacilitySettings
from ris.core.actor import Actor
from ris.tenants.context import require_schema, use_facility
from worklist import permissions as perms
from worklist.models import ImagingInstance, ImagingSeries
from worklist.services import completeness
from worklist.services.counting import recount_study, with_tables
from worklist.services.support import now

log = structlog.get_logger(__name__)

PUBLIC = get_public_schema_name()
COUNT_EVERY = 0.5
#: The thread that counts ends when it has had nothing to do for so long.
ENDS_AFTER = 5.0
QUIET_SECONDS = FacilitySettings._meta.get_field("images_complete_after_seconds").get_default()
#: Instances in one statement. Each number of them is one that connections prepare.
MOST_AT_ONCE = 8
#: Seconds: a line that added one so short a time ago most likely brings the next, and is waited for so long.
RECENTLY, COMPANY_SECONDS = 0.01, 0.002
#: After waiting in vain nobody waits for so many statements, and after that for twice as many.
FIRST_VAIN, MOST_VAIN = 16, 256
LINES_KEPT = 32

GIVEN = {
    "series_uid": "text",
    "study_uid": "text",
    "received_at": "timestamptz",
    "sop_instance_uid": "text",
    "sop_class_uid": "text",
    "transfer_syntax_uid": "text",
    "number": "int",
    "rows": "int",
    "columns": "int",
    "frames": "int",
    "path": "text",
    "size": "bigint",
    "fingerprint": "text",
    "received_from": "text",
}
COLUMNS = ", ".join([*GIVEN][2:])
VALUES = ", ".join(f"given_{name}" for name in [*GIVEN][2:])
#: Into studies whose clock is wound: nearly always. In the order of SOP Instance UIDs, so that two processes with the
#: same objects do not wait for each other in turn.
INSERT = """
insert into {{instance}} (series_id, {columns}, is_rejected)
select s.id, {values}, false
from {given} join {{series}} s on s.series_instance_uid = given_series_uid
join {{study}} t on t.id = s.study_id and t.study_instance_uid = given_study_uid
where t.completed_at is null and t.settle_after > given_received_at + {quiet} / 2 and {wanted}
order by given_sop_instance_uid
for key share of s, t
on conflict (sop_instance_uid) do nothing returning sop_instance_uid, series_id, id
"""
#: Into studies whose clock has to be wound, which may have been complete.
INSERT_AND_WIND = """
with given as (select * from {given}), target as (
    select s.id as series_id, t.id as study_id, given.*
    from given join {{series}} s on s.series_instance_uid = given_series_uid
    join {{study}} t on t.id = s.study_id and t.study_instance_uid = given_study_uid
    where {wanted}
    for key share of s, t
), added as (
    insert into {{instance}} (series_id, {columns}, is_rejected)
    select series_id, {values}, false from target
    order by given_sop_instance_uid
    on conflict (sop_instance_uid) do nothing returning sop_instance_uid, series_id, id
), wound as (
    update {{study}} t set settle_after = given_received_at + {quiet}, completed_at = null
    from target where t.id = target.study_id and given_sop_instance_uid in (select sop_instance_uid from added)
)
select sop_instance_uid, series_id, id from added
"""
#: An instance may have been rejected before it comes: whoever adds it has to look.
WANTED = """not exists (
    select from {{rejection}} r where r.study_id = t.id and r.restored_at is null and r.received_from <> '')"""
#: Foreign keys are looked for when a transaction ends, unless it asks for that before.
CHECK = "set constraints {names} immediate"
NAMES = """
select string_agg(format('%I.%I', n.nspname, c.conname), ', ')
from pg_constraint c join pg_namespace n on n.oid = c.connamespace
where c.conrelid = '{instance}'::regclass and c.contype = 'f' and c.condeferrable
"""
QUIET = """make_interval(secs => coalesce(
    (select images_complete_after_seconds from {{settings}} where id = 1), {seconds}))"""


@dataclass(slots=True)
class FurtherInstance:
    """What is told of an added row. To make its model costs as much as half of the database's work."""

    pk: int
    series_id: int
    sop_instance_uid: str
    sop_class_uid: str
    path: str
    series: ImagingSeries = field(init=False)


Indexed = ImagingInstance | FurtherInstance


class Beginning:
    """An instance on its way into the index. ``commit`` when its file is safe, else ``cancel``; one of the two.

    Where ``may_be_ahead`` and nobody else of this process and facility stores, PostgreSQL has been given the statement
    by now and works on it while the file is being written; nothing of it counts before ``commit``, and a line that is
    closed leaves nothing.
    """

    __slots__ = ("_actor", "_is_ahead", "_line", "_mine", "_queue", "_row")

    def __init__(
        self, line: BaseDatabaseWrapper, mine: Waiting, row: FurtherInstance, actor: Actor, *, may_be_ahead: bool
    ) -> None:
        self._line, self._mine, self._row, self._actor = line, mine, row, actor
        self._queue = queue_of(line.schema_name)
        self._is_ahead = may_be_ahead and self._queue.begin(line, mine)

    def commit(self) -> FurtherInstance | None:
        """The new row, committed; None when the series is not known, or the instance is. Raises DatabaseError."""
        found = self._queue.finish(self._line) if self._is_ahead else None
        found = found or self._queue.add(self._line, self._mine)
        if found is None:
            return None
        self._row.series_id, self._row.pk = found
        counter.note(self._line.schema_name, self._row.series_id, self._actor)
        return self._row

    def cancel(self) -> None:
        if self._is_ahead:
            self._queue.give_up(self._line)


def begin_further_instance(
    *,
    study_instance_uid: str,
    series_instance_uid: str,
    sop_instance_uid: str,
    sop_class_uid: str,
    transfer_syntax_uid: str,
    instance_number: int | None,
    rows: int,
    columns: int,
    frames: int,
    path: str,
    size: int,
    fingerprint: str,
    received_from: str,
    actor: Actor,
    may_be_ahead: bool = True,
) -> Beginning | None:
    """For images of a study and series that stand in the index as the object says; UIDs are the caller's to check.

    None where a transaction is open. Raises DatabaseError, with nothing begun.
    """
    actor.require(perms.STORE_STUDY)
    line = connections[DEFAULT_DB_ALIAS]  # once: each look through the proxy costs as much as all fields
    if line.in_atomic_block or line.schema_name == PUBLIC:
        return None
    values = [
        series_instance_uid.encode(), study_instance_uid.encode(), now().isoformat().encode(),
        sop_instance_uid.encode(), sop_class_uid[:64].encode(), transfer_syntax_uid[:64].encode(),
        None if instance_number is None else b"%d" % instance_number, b"%d" % rows, b"%d" % columns, b"%d" % frames,
        path.encode(), b"%d" % size, fingerprint.encode(), received_from.encode(),
    ]  # fmt: skip
    row = FurtherInstance(0, 0, sop_instance_uid, sop_class_uid, path)
    return Beginning(line, Waiting(sop_instance_uid, values), row, actor, may_be_ahead=may_be_ahead)


def index_further_instance(*, actor: Actor, **fields: Any) -> FurtherInstance | None:
    """``begin_further_instance`` and its ``commit``; on None ``index_instance`` knows what to do."""
    begun = begin_further_instance(**fields, actor=actor, may_be_ahead=False)
    return begun.commit() if begun is not None else None


# --- what comes at once goes together

#: series, instance
Keys = tuple[int, int]
Found = dict[str, Keys]


class Waiting:
    """An instance whose thread waits until another has seen to it, or leaves the next statement to it."""

    __slots__ = ("has_failed", "is_done", "keys", "uid", "values", "wake")

    def __init__(self, uid: str, values: list[bytes | None]) -> None:
        self.uid, self.values = uid, values
        self.is_done = self.has_failed = False
        self.keys: Keys | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class Queue:
    """The instances of one facility: one statement at a time, for all that have come while the last one ran."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._lock = threading.Lock()
        self._waiting: list[Waiting] = []
        self._is_running = False
        self._ahead = threading.Lock()
        #: When each line has brought its last one.
        self._seen: dict[int, float] = {}
        #: Runs a statement as soon as it has company.
        self._host: Waiting | None = None
        self._vain = self._skipped = 0

    def begin(self, line: BaseDatabaseWrapper, mine: Waiting) -> bool:
        """Give PostgreSQL the statement of one instance; False where that has to wait for ``add``.

        Others need not wait for it: a group of them may be added meanwhile.
        """
        if line.connection is None:
            line.ensure_connection()
        if self._is_running or self._others_store(line) or not self._ahead.acquire(blocking=False):
            return False
        try:
            _send(line.connection, self._schema, mine)
        except NoServer:  # the line was cut since; ``add`` opens it anew
            self.give_up(line)
            return False
        except BaseException:
            self.give_up(line)
            raise
        with self._lock:
            self._note(line)
        return True

    def finish(self, line: BaseDatabaseWrapper) -> Keys | None:
        """Commit what has begun. None: nothing was added, or nobody knows, and ``add`` finds out."""
        try:
            found = _receive(line.connection)
        except BaseException as error:
            self.give_up(line)
            if not isinstance(error, PsycopgError):
                raise
            return None
        self._ahead.release()
        return next(iter(found.values()), None)

    def give_up(self, line: BaseDatabaseWrapper) -> None:
        """PostgreSQL forgets what has begun on a line that ends before it was told to commit."""
        try:
            if line.connection is not None:
                line.connection.pgconn.finish()
            line.close()
        finally:
            self._ahead.release()

    def add(self, line: BaseDatabaseWrapper, mine: Waiting) -> Keys | None:
        """In the thread of ``line``. None: the instance is known, or its series is not. Raises DatabaseError."""
        with self._lock:
            self._note(line)
            must_wait, self._is_running = self._is_running, True
            if must_wait:
                self._waiting.append(mine)
                self._welcome()
        if must_wait:
            mine.wake.acquire()
            if mine.is_done:
                return mine.keys
        if mine.has_failed:
            return _add(line, self._schema, [mine]).get(mine.uid)
        self._wait_for_company(line, mine)
        together = self._taken(mine)
        found: Found | None = None
        try:
            found = _add(line, self._schema, together)
        except DatabaseError:
            if len(together) == 1:
                raise
        finally:
            self._tell(together[1:], found)
        if found is None:  # one of them cannot be added, and it may be another: each for itself
            found = _add(line, self._schema, [mine])
        return found.get(mine.uid)

    def _note(self, line: BaseDatabaseWrapper) -> None:
        """Under the lock: it brings one, and most likely the next one soon."""
        if len(self._seen) >= LINES_KEPT:
            self._seen.clear()
        self._seen[id(line)] = time.monotonic()

    def _others_store(self, line: BaseDatabaseWrapper) -> bool:
        mine, since = id(line), time.monotonic() - RECENTLY
        with self._lock:
            return any(seen > since and other != mine for other, seen in self._seen.items())

    def _wait_for_company(self, line: BaseDatabaseWrapper, mine: Waiting) -> None:
        """Of one more: where four store, two of them are on their way while PostgreSQL adds the other two."""
        if not self._others_store(line):
            return
        with self._lock:
            if any(one is not mine for one in self._waiting):
                return
            if self._skipped:
                self._skipped -= 1
                return
            self._host = mine
        has_come = mine.wake.acquire(timeout=COMPANY_SECONDS)
        with self._lock:
            self._host = None
            self._vain = 0 if has_come else min(max(2 * self._vain, FIRST_VAIN), MOST_VAIN)
            self._skipped = self._vain

    def _welcome(self) -> None:
        """Under the lock: somebody has come."""
        host, self._host = self._host, None
        if host is not None:
            host.wake.release()

    def _taken(self, mine: Waiting) -> list[Waiting]:
        """The first is the thread's own. One that comes twice at once is not added twice at once."""
        taken, uids = [mine], {mine.uid}
        with self._lock:
            left = []
            for one in self._waiting:
                if one is mine:
                    continue
                if one.uid in uids or len(taken) == MOST_AT_ONCE:
                    left.append(one)
                else:
                    taken.append(one)
                    uids.add(one.uid)
            self._waiting = left
        return taken

    def _tell(self, others: list[Waiting], found: Found | None) -> None:
        with self._lock:
            self._is_running = bool(self._waiting)
            following = self._waiting[:1]
        for one in others:
            one.is_done, one.has_failed = found is not None, found is None
            one.keys = found.get(one.uid) if found is not None else None
        for one in (*following, *others):
            one.wake.release()


@lru_cache(1024)
def queue_of(schema: str) -> Queue:
    return Queue(schema)


os.register_at_fork(after_in_child=queue_of.cache_clear)


# --- one round trip

_numbers = itertools.count()
#: The statements that a connection has prepared.
_prepared: WeakKeyDictionary[Connection, dict[Hashable, bytes]] = WeakKeyDictionary()


def _add(line: BaseDatabaseWrapper, schema: str, together: list[Waiting]) -> Found:
    """The keys of what was added. A connection that was cut meanwhile is opened anew, once: what was done before the
    cut is found then.
    """
    for is_last in (False, True):
        if line.connection is None:
            line.ensure_connection()
        try:
            with line.wrap_database_errors:
                found = _round_trip(line.connection, schema, INSERT, together)
                if len(found) < len(together):
                    others = [one for one in together if one.uid not in found]
                    found |= _round_trip(line.connection, schema, INSERT_AND_WIND, others)
                return found
        except (OperationalError, InterfaceError):
            if is_last or line.is_usable():
                raise
            line.close()
    raise AssertionError("unreachable")


def _round_trip(line: Connection, schema: str, template: str, together: list[Waiting]) -> Found:
    """By libpq itself: a cursor costs more than the server's own work."""
    name = _statement(line, schema, template, len(together))
    result = line.pgconn.exec_prepared(name, [value for one in together for value in one.values])
    return _found(line, result)


def _send(line: Connection, schema: str, mine: Waiting) -> None:
    """Without the Sync that would commit it: until then PostgreSQL works in a transaction that nobody else sees.

    It looks for the row's series now, too, and not when it is told to commit and the peer waits for it.
    """
    name = _statement(line, schema, INSERT, 1)
    check = _prepared_as(line, (schema, CHECK), lambda: _check_of(line, schema))
    line.pgconn.enter_pipeline_mode()
    line.pgconn.send_query_prepared(name, mine.values)
    line.pgconn.send_query_prepared(check, None)
    line.pgconn.flush()


def _receive(line: Connection) -> Found:
    """Let PostgreSQL commit what was sent, and wait for it."""
    server = line.pgconn
    server.pipeline_sync()
    answers = select.poll()
    answers.register(server.socket, select.POLLIN)
    found: Found | None = None
    while True:
        while server.flush() or server.is_busy():
            answers.poll()
            server.consume_input()
        result = server.get_result()
        if result is None:
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            break
        if result.status != ExecStatus.COMMAND_OK:
            found = _found(line, result)
    server.exit_pipeline_mode()
    return found or {}


def _statement(line: Connection, schema: str, template: str, number: int) -> bytes:
    """The name under which a line knows the statement for so many instances."""
    key = (schema, template is INSERT, number)
    return _prepared_as(line, key, lambda: with_tables(insert_of(template, number), schema))


def _prepared_as(line: Connection, key: Hashable, statement: Callable[[], str]) -> bytes:
    prepared = _prepared.get(line)
    if prepared is None:
        prepared = _prepared[line] = {}
    name = prepared.get(key)
    if name is None:
        name = b"further_%d" % next(_numbers)
        if (result := line.pgconn.prepare(name, statement().encode())).status != ExecStatus.COMMAND_OK:
            raise _error(line, result)
        prepared[key] = name
    return name


def _check_of(line: Connection, schema: str) -> str:
    result = line.pgconn.exec_(with_tables(NAMES, schema).encode())
    if result.status != ExecStatus.TUPLES_OK:
        raise _error(line, result)
    return CHECK.format(names=(result.get_value(0, 0) or b"all").decode())


def _found(line: Connection, result: PGresult) -> Found:
    if result.status != ExecStatus.TUPLES_OK:
        error = _error(line, result)
        if isinstance(error, InvalidSqlStatementName):
            _prepared.pop(line, None)
        raise error
    return {
        (result.get_value(row, 0) or b"").decode(): (
            int(result.get_value(row, 1) or 0),
            int(result.get_value(row, 2) or 0),
        )
        for row in range(result.ntuples)
    }


@lru_cache
def insert_of(template: str, number: int) -> str:
    """The statement for so many instances, the facility's tables still to be named."""
    marks = [f"${at}::{kind}" for at, kind in enumerate([*GIVEN.values()] * number, 1)]
    rows = [f"({', '.join(marks[first : first + len(GIVEN)])})" for first in range(0, len(marks), len(GIVEN))]
    given = f"(values {', '.join(rows)}) as one({', '.join(f'given_{name}' for name in GIVEN)})"
    quiet = QUIET.format(seconds=QUIET_SECONDS)
    return template.format(given=given, columns=COLUMNS, values=VALUES, quiet=quiet, wanted=WANTED.format())


def _error(line: Connection, result: PGresult) -> Exception:
    """A line that was cut has no code to tell of it: it is the server's absence, not the statement's fault."""
    error = error_from_result(result)
    return NoServer(str(error)) if line.pgconn.status != ConnStatus.OK else error


# --- counts


class StudyCounter:
    """Which series have rows that are not counted, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[int, Actor]] = defaultdict(dict)
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock, self._thread = threading.Lock(), None
        self._waiting.clear()

    def note(self, schema: str, series_id: int, actor: Actor) -> None:
        with self._lock:
            self._waiting[schema][series_id] = actor
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="count-studies", daemon=True)
                self._thread.start()

    def take(self, schema: str) -> dict[int, Actor]:
        with self._lock:
            return self._waiting.pop(schema, {})

    def _run(self) -> None:
        """Ever more seldom where counting takes long: it may cost a twentieth of the time."""
        ends, pause = time.monotonic() + ENDS_AFTER, COUNT_EVERY
        while True:
            time.sleep(pause)
            begun, schemas = time.monotonic(), list(self._waiting)
            for schema in schemas:
                self._count(schema)
            pause = max(COUNT_EVERY, 20 * (time.monotonic() - begun))
            if schemas:
                ends = time.monotonic() + ENDS_AFTER
            elif connection.connection is not None:
                connections.close_all()
            with self._lock:
                if not self._waiting and time.monotonic() > ends:
                    self._thread = None
                    return

    def _count(self, schema: str) -> None:
        try:
            with use_facility(schema):
                recount_waiting()
        except Exception as error:  # whatever it is, the thread goes on: the studies' clocks are wound
            log.warning("studies_not_counted", error=type(error).__name__)
            connections.close_all()


counter = StudyCounter()


def recount_waiting() -> None:
    """Count what waits in the current facility, here and now; a study that has all its images is complete by that."""
    waiting = counter.take(require_schema())
    if not waiting:
        return
    series = ImagingSeries.objects.filter(pk__in=waiting).values_list("study_id", "pk").order_by("study_id")
    for study_id, actor in {study_id: waiting[pk] for study_id, pk in series}.items():
        counted = recount_study(study_id, received_at=now())
        if counted is not None and counted.may_be_all:
            completeness.note_images_complete(study_id, actor=actor)
