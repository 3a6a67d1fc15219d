"""What associations were used for, written down off the reply path: many rows at once; again, if PostgreSQL is away."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from interop.dicom import dimse
from interop.dicom.dimse import Caller
from interop.dicom.messages import Field
from interop.dicom.work import Pool, in_facility
from interop.models import AssociationLog
from ris.audit.models import Action
from ris.audit.service import record
from ris.tenants.models import Facility
from worklist.permissions import STORE_STUDY

if TYPE_CHECKING:
    from interop.dicom.association import Tally

log = structlog.get_logger("interop.dicom")

STATUSES_COUNTED = 20
GATHER_SECONDS = 0.2
#: Rows that wait for a database that is away.
MOST_WAITING = 20_000
#: After only these nothing is left to do.
LEAVES_NOTHING = frozenset({Field.C_ECHO.name, Field.C_FIND.name})


@dataclass(frozen=True)
class Line:
    facility: Facility
    row: AssociationLog


class Logbook:
    """``put`` on the loop; ``flush`` from any thread but the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        self._loop, self._pool = loop, pool
        self._lines: list[Line] = []
        self._lock = threading.Lock()
        self._is_due = False

    def put(self, line: Line) -> None:
        with self._lock:
            if len(self._lines) < MOST_WAITING:
                self._lines.append(line)
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(GATHER_SECONDS, self._flush_soon)

    def _flush_soon(self) -> None:
        self._is_due = False
        self._pool.put(self.flush)

    def flush(self) -> None:
        """Write what is there; what cannot be written now waits for the next time."""
        with self._lock:
            lines, self._lines = self._lines, []
        by_facility: defaultdict[str, list[Line]] = defaultdict(list)
        for line in lines:
            by_facility[line.facility.schema_name].append(line)
        for few in by_facility.values():
            try:
                with in_facility(few[0].facility, ""):
                    AssociationLog.objects.bulk_create([line.row for line in few])
            except (DatabaseError, InterfaceError) as error:
                log.warning("associations_not_written_down", error=type(error).__name__, number=len(few))
                with self._lock:
                    self._lines = [*few, *self._lines][-MOST_WAITING:]


def line_of(caller: Caller, tally: Tally) -> Line:
    row = AssociationLog(
        calling_ae_title=caller.calling_ae_title,
        called_ae_title=caller.called_ae_title,
        address=caller.address,
        started_at=tally.started_at,
        ended_at=timezone.now(),
        outcome=tally.outcome,
        counts=dict(tally.counts),
        refused=dict(tally.refused.most_common(STATUSES_COUNTED)),
    )
    return Line(caller.facility, row)


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
