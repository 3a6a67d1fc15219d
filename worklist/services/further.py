"""Further instances of known series, the bulk of all that is stored: one statement, one round trip, one commit.

Nothing is remembered between two instances: the statement itself looks whether the series is still of that study, so
that a series that was moved or a study that was split is seen at once. It winds the study's clock and opens a study
that was complete again, under a shared lock on the study, so that whoever calls it complete either sees the instance
or is undone by it.

Counts are not touched: several associations into one study would queue for its row. They are counted anew when an
association ends, and every half second before that, by a thread of this process. A process that dies in between leaves
the study's clock wound: whoever answers it counts first.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import structlog
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection
from psycopg import OperationalError as NoServer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from ris.accounts.models import FacilitySettings
from ris.core.actor import Actor
from ris.tenants.context import require_schema, use_facility
from worklist import permissions as perms
from worklist.models import ImagingInstance
from worklist.services import completeness
from worklist.services.counting import recount_study, with_tables
from worklist.services.support import now

log = structlog.get_logger(__name__)

COUNT_EVERY = 0.5
#: The thread that counts ends when it has had nothing to do for so long.
ENDS_AFTER = 5.0
QUIET_SECONDS = FacilitySettings._meta.get_field("images_complete_after_seconds").get_default()

INSERT = """
with target as (
    select s.id as series_id, t.id as study_id, t.settle_after, t.completed_at
    from {series} s join {study} t on t.id = s.study_id
    where s.series_instance_uid = $1::text and t.study_instance_uid = $2::text
    for key share of s, t
), moment as (
    select $3::timestamptz as received_at,
        make_interval(secs => coalesce(
            (select images_complete_after_seconds from {settings} where id = 1), $4::int)) as quiet
), added as (
    insert into {instance} (series_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, number, rows, columns,
        frames, path, size, fingerprint, received_from, received_at, is_rejected)
    select series_id, $5::text, $6::text, $7::text, $8::int, $9::int, $10::int,
        $11::int, $12::text, $13::bigint, $14::text, $15::text, moment.received_at, false
    from target, moment
    on conflict (sop_instance_uid) do nothing returning id
), wound as (
    update {study} t set settle_after = moment.received_at + moment.quiet, completed_at = null
    from target, moment
    where t.id = target.study_id and exists (select 1 from added) and (
        target.completed_at is not null or target.settle_after is null
        or target.settle_after < moment.received_at + moment.quiet / 2
    )
)
select target.series_id, target.study_id, (select id from added) from target
"""


def index_further_instance(
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
) -> ImagingInstance | None:
    """The new row, committed; None when the series is not known, or the instance is: ``index_instance`` knows then.

    For images of a study and series that stand in the index as the object says; UIDs are the caller's to check.
    """
    actor.require(perms.STORE_STUDY)
    line = connections[DEFAULT_DB_ALIAS]  # once: each look through the proxy costs as much as a field
    if line.in_atomic_block:
        return None
    moment, schema = now(), require_schema()
    values = (
        series_instance_uid, study_instance_uid, moment.isoformat(), QUIET_SECONDS, sop_instance_uid,
        sop_class_uid[:64], transfer_syntax_uid[:64], instance_number, rows, columns, frames, path, size,
        fingerprint, received_from,
    )  # fmt: skip
    found = _execute(line, schema, [None if value is None else str(value).encode() for value in values])
    if found is None or found[2] is None:
        return None
    series_id, study_id, pk = (int(value) for value in found if value is not None)
    counter.note(schema, study_id, actor)
    return ImagingInstance(
        pk=pk,
        series_id=series_id,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        number=instance_number,
        rows=rows,
        columns=columns,
        frames=frames,
        path=path,
        size=size,
        fingerprint=fingerprint,
        received_from=received_from,
        received_at=moment,
    )


# --- one round trip

#: The facilities whose statement a connection has prepared.
_prepared: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()


def _execute(line: BaseDatabaseWrapper, schema: str, values: Sequence[bytes | None]) -> list[bytes | None] | None:
    """The row that INSERT answers. A connection that was cut meanwhile is opened anew, once: the statement may have
    been done before the cut, and then finds what it did.
    """
    for is_last in (False, True):
        line.ensure_connection()
        try:
            with line.wrap_database_errors:
                return _round_trip(line.connection, schema, values)
        except (OperationalError, InterfaceError):
            if is_last or line.is_usable():
                raise
            line.close()
    raise AssertionError("unreachable")


def _round_trip(line: Connection, schema: str, values: Sequence[bytes | None]) -> list[bytes | None] | None:
    """By libpq itself: a cursor costs more than the server's own work."""
    name, prepared = f"further_{schema}".encode(), _prepared.setdefault(line, set())
    if schema not in prepared:
        statement = with_tables(INSERT, schema).encode()
        if (result := line.pgconn.prepare(name, statement)).status != ExecStatus.COMMAND_OK:
            raise _error(line, result)
        prepared.add(schema)
    result = line.pgconn.exec_prepared(name, values)
    if result.status != ExecStatus.TUPLES_OK:
        error = _error(line, result)
        if isinstance(error, InvalidSqlStatementName):
            prepared.clear()
        raise error
    return [result.get_value(0, column) for column in range(3)] if result.ntuples else None


def _error(line: Connection, result: PGresult) -> Exception:
    """A line that was cut has no code to tell of it: it is the server's absence, not the statement's fault."""
    error = error_from_result(result)
    return NoServer(str(error)) if line.pgconn.status != ConnStatus.OK else error


# --- counts


class StudyCounter:
    """Which studies have rows that are not counted, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[int, Actor]] = defaultdict(dict)
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock, self._thread = threading.Lock(), None
        self._waiting.clear()

    def note(self, schema: str, study_id: int, actor: Actor) -> None:
        with self._lock:
            self._waiting[schema][study_id] = actor
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
    for study_id, actor in sorted(waiting.items()):
        counted = recount_study(study_id, received_at=now())
        if counted is not None and counted.may_be_all:
            completeness.note_images_complete(study_id, actor=actor)
