"""What associations were used for, written down off the reply path: many in one statement; again, if it failed."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.db import DatabaseError, InterfaceError
from psycopg import sql

from interop.dicom import dimse
from interop.dicom.dimse import Caller, Status
from interop.dicom.messages import Field
from interop.dicom.statements import Lines, Statement
from interop.models import AssociationLog
from ris.audit.models import Action
from ris.audit.service import record
from worklist.models import ImagingSeries, ImagingStudy
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


class Tally:
    """What an association was used for; becomes its AssociationLog."""

    def __init__(self) -> None:
        self.began, self.ended = time.time(), 0.0
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.refused: defaultdict[str, int] = defaultdict(int)
        #: by key of the series: how many objects came
        self.stored: defaultdict[int, int] = defaultdict(int)
        self.outcome = "lost"

    def note(self, status: int) -> None:
        if status not in (Status.SUCCESS, Status.PENDING, Status.PENDING_WARNING):
            self.refused[f"{status:04X}"] += 1


#: One that has ended.
Association = tuple[Caller, Tally]


class Logbook:
    """On the loop only. ``is_clear``: nothing waits to be written down, or it cannot be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lines: Lines) -> None:
        self._loop, self._lines = loop, lines
        self._waiting: dict[str, list[Association]] = {}
        self._count = self._on_the_way = 0
        self._due: asyncio.TimerHandle | None = None

    @property
    def is_clear(self) -> bool:
        return not self._count and not self._on_the_way

    def put(self, caller: Caller, tally: Tally) -> None:
        """Costs next to nothing now: its peer may already be asking for the next association."""
        tally.ended = time.time()
        if self._count < MOST_WAITING:
            self._count += 1
            self._waiting.setdefault(caller.facility.schema_name, []).append((caller, tally))
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

    def _write(self, schema: str, ended: list[Association]) -> None:
        def then(_result: Any, error: Exception | None) -> None:
            self._on_the_way -= 1
            if error is None:
                return
            log.warning("associations_not_written_down", error=str(error), number=len(ended))
            if self._count + len(ended) <= MOST_WAITING:
                self._waiting.setdefault(schema, []).extend(ended)
                self._count += len(ended)
                self._later(RETRY_SECONDS)

        self._on_the_way += 1
        rows = orjson.dumps([row_of(*one) for one in ended])
        self._lines.run(Statement(_insert_into(schema), (rows,)), then)


@lru_cache(256)
def _insert_into(schema: str) -> str:
    table = sql.Identifier(schema, AssociationLog._meta.db_table).as_string()
    columns = ", ".join(COLUMNS)
    typed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    return f"insert into {table} ({columns}) select {columns} from jsonb_to_recordset($1::jsonb) as line({typed})"


def row_of(caller: Caller, tally: Tally) -> dict[str, Any]:
    return {
        "calling_ae_title": caller.calling_ae_title,
        "called_ae_title": caller.called_ae_title,
        "address": caller.address,
        "started_at": datetime.fromtimestamp(tally.began, UTC),
        "ended_at": datetime.fromtimestamp(tally.ended, UTC),
        "outcome": tally.outcome,
        "counts": tally.counts,
        "refused": dict(sorted(tally.refused.items(), key=lambda one: -one[1])[:STATUSES_COUNTED]),
    }


def settle(caller: Caller, tally: Tally) -> None:
    """In a thread of the facility: one audit row per association and study, and what handlers left for the end.

    May be repeated.
    """
    try:
        dimse.ended(caller)
        stored = dict(tally.stored)
        if stored:
            _note_studies(caller, stored)
        tally.stored.clear()
    except (DatabaseError, InterfaceError) as error:
        log.warning("association_not_written_down", error=type(error).__name__)


def _note_studies(caller: Caller, stored: dict[int, int]) -> None:
    """One query for all that the rows say: the peer waits for them."""
    told = ImagingSeries.objects.filter(pk__in=stored).order_by("pk", "study__procedures")
    counts: dict[UUID, int] = defaultdict(int)
    studies: dict[UUID, tuple[ImagingStudy, list[UUID]]] = {}
    seen: set[int] = set()
    for series, uuid, accession_number, patient in told.values_list(
        "pk", "study__uuid", "study__accession_number", "study__procedures__order__patient__uuid"
    ):
        if series not in seen:
            seen.add(series)
            counts[uuid] += stored[series]
            study = ImagingStudy(uuid=uuid, accession_number=accession_number)
            studies.setdefault(uuid, (study, [patient] if patient else []))
    for uuid, (study, patients) in studies.items():
        detail = {"instances": counts[uuid]}
        record(caller.actor("storage"), STORE_STUDY, Action.CREATE, entity=study, patients=patients, detail=detail)
