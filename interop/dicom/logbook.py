"""What associations were used for, written down off the reply path: many in one statement; again, if it failed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from psycopg import sql

from interop.dicom import dimse
from interop.dicom.dimse import Caller, Status
from interop.dicom.messages import Field
from interop.dicom.statements import Lines, Statement
from interop.models import AssociationLog
from ris.audit.models import Action
from ris.audit.service import record
from worklist.permissions import STORE_STUDY

log = structlog.get_logger("interop.dicom")

STATUSES_COUNTED = 20
GATHER_SECONDS, RETRY_SECONDS = 0.2, 2.0
#: Rows that wait for a database that is away, and how many go in one statement.
MOST_WAITING, MOST_AT_ONCE = 20_000, 1000
#: After only these nothing is left to do.
LEAVES_NOTHING = frozenset({Field.C_ECHO.name, Field.C_FIND.name})
COLUMNS = {
    "calling_ae_title": "text",
    "called_ae_title": "text",
    "address": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "outcome": "text",
    "counts": "jsonb",
    "refused": "jsonb",
}


@dataclass
class Tally:
    """What an association was used for; becomes its AssociationLog."""

    started_at: Any = field(default_factory=timezone.now)
    counts: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    #: by key of the series: its study, and how many objects came
    stored: dict[int, list[Any]] = field(default_factory=dict)
    outcome: str = "lost"

    def note(self, status: int) -> None:
        if status not in (Status.SUCCESS, Status.PENDING, Status.PENDING_WARNING):
            self.refused[f"{status:04X}"] += 1

    def note_stored(self, instance: Any) -> None:
        kept = self.stored.get(instance.series_id)
        if kept is None:
            kept = self.stored[instance.series_id] = [instance.series.study, 0]
        kept[1] += 1


@dataclass(frozen=True)
class Line:
    schema: str
    row: dict[str, Any]


class Logbook:
    """On the loop only. ``is_clear``: nothing waits to be written down, or it cannot be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lines: Lines) -> None:
        self._loop, self._lines = loop, lines
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._count = self._on_the_way = 0
        self._due: asyncio.TimerHandle | None = None

    @property
    def is_clear(self) -> bool:
        return not self._count and not self._on_the_way

    def put(self, line: Line) -> None:
        if self._count < MOST_WAITING:
            self._count += 1
            self._waiting.setdefault(line.schema, []).append(line.row)
        self._later(GATHER_SECONDS)

    def _later(self, seconds: float) -> None:
        if self._due is None:
            self._due = self._loop.call_later(seconds, self.flush)

    def flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        waiting, self._waiting, self._count = self._waiting, {}, 0
        for schema, rows in waiting.items():
            for first in range(0, len(rows), MOST_AT_ONCE):
                self._write(schema, rows[first : first + MOST_AT_ONCE])

    def _write(self, schema: str, rows: list[dict[str, Any]]) -> None:
        def then(_result: Any, error: Exception | None) -> None:
            self._on_the_way -= 1
            if error is None:
                return
            log.warning("associations_not_written_down", error=str(error), number=len(rows))
            if self._count + len(rows) <= MOST_WAITING:
                self._waiting.setdefault(schema, []).extend(rows)
                self._count += len(rows)
                self._later(RETRY_SECONDS)

        self._on_the_way += 1
        self._lines.run(Statement(_insert_into(schema), (orjson.dumps(rows),)), then)


@lru_cache(256)
def _insert_into(schema: str) -> str:
    table = sql.Identifier(schema, AssociationLog._meta.db_table).as_string()
    columns = ", ".join(COLUMNS)
    typed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    return f"insert into {table} ({columns}) select {columns} from jsonb_to_recordset($1::jsonb) as line({typed})"


def line_of(caller: Caller, tally: Tally) -> Line:
    row = {
        "calling_ae_title": caller.calling_ae_title,
        "called_ae_title": caller.called_ae_title,
        "address": caller.address,
        "started_at": tally.started_at,
        "ended_at": timezone.now(),
        "outcome": tally.outcome,
        "counts": dict(tally.counts),
        "refused": dict(tally.refused.most_common(STATUSES_COUNTED)),
    }
    return Line(caller.facility.schema_name, row)


def settle(caller: Caller, tally: Tally) -> None:
    """In a thread of the facility: one audit row per association and study, and what handlers left for the end.

    May be repeated.
    """
    try:
        dimse.ended(caller)
        counts: Counter = Counter()
        stored, tally.stored = tally.stored, {}
        for study, count in stored.values():
            counts[study] += count
        for study, count in counts.items():
            record(caller.actor("storage"), STORE_STUDY, Action.CREATE, entity=study, detail={"instances": count})
    except (DatabaseError, InterfaceError) as error:
        log.warning("association_not_written_down", error=type(error).__name__)
