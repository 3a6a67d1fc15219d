"""Admission that is remembered: for a second as it was, after that as long as the rows it rests on are the same.

Whether they are is one statement on the loop; only what is new, changed or refused costs a thread and the ORM.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog
from django.db import connection
from psycopg import sql

from interop.dicom import admission
from interop.dicom.admission import TITLE, Refusal
from interop.dicom.pdu import AssociateRequest
from interop.dicom.statements import Lines, Statement
from interop.dicom.work import Pool
from interop.models import DicomPeer
from ris.tenants.models import CalledAETitle, Facility

log = structlog.get_logger("interop.dicom")

#: Seconds for which rights hold without another look.
REMEMBERED_SECONDS = 1.0
MOST_REMEMBERED = 2000

#: The versions of the rows that decide: of the called title, of the facility, of the peers that may be meant.
_VERSIONS = sql.SQL(
    "select concat_ws('/',"
    " (select string_agg(id || ':' || xmin, ',' order by id) from public.{titles} where ae_title = $1),"
    " (select string_agg(id || ':' || xmin, ',' order by id) from public.{facilities} where schema_name = $2),"
    " (select string_agg(id || ':' || xmin, ',' order by id) from {schema}.{peers}"
    " where ae_title = $3 or ae_title ~ '[*?]'))"
)


class Knock(NamedTuple):
    """What an association request is judged by."""

    called: str
    calling: str
    address: str
    certificate: str | None
    is_tls: bool


@dataclass(eq=False)
class Admitted:
    """What was found for a knock. ``plans``: what handlers have worked out for this peer as its row is."""

    knock: Knock
    facility: Facility
    peer: DicomPeer
    versions: str
    checked_at: float
    plans: dict[Any, Any] = field(default_factory=dict)


Decision = Admitted | Refusal | Exception
Then = Callable[[Decision], None]


class Doorkeeper:
    """All calls on the loop; what has to wait does so in the pool's threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool, lines: Lines) -> None:
        self._loop, self._pool, self._lines = loop, pool, lines
        self._known: dict[Knock, Admitted] = {}
        self._asking: dict[Knock, list[Then]] = {}

    def is_fresh(self, admitted: Admitted) -> bool:
        return self._loop.time() - admitted.checked_at < REMEMBERED_SECONDS

    def ask(self, knock: Knock, request: AssociateRequest, then: Then) -> None:
        """Decide on a request that has passed ``admission.why_malformed``; ``then`` may be called before this ends."""
        known = self._known.get(knock)
        if known is not None and self.is_fresh(known):
            then(known)
            return
        if knock in self._asking:
            self._asking[knock].append(then)
            return
        self._asking[knock] = [then]
        if known is None:
            self._look(knock, request)
        else:
            self._compare(known, request)

    def _compare(self, known: Admitted, request: AssociateRequest) -> None:
        def then(result: Any, error: Exception | None) -> None:
            if error is None and result.get_value(0, 0).decode() == known.versions:
                known.checked_at = asked_at
                self._decided(known.knock, known)
            else:
                self._look(known.knock, request)

        asked_at = self._loop.time()
        knock = known.knock
        values = (knock.called.encode(), known.facility.schema_name.encode(), knock.calling.encode())
        self._lines.run(Statement(versions_of(known.facility.schema_name), values), then)

    def _look(self, knock: Knock, request: AssociateRequest) -> None:
        self._known.pop(knock, None)
        asked_at = self._loop.time()

        def work() -> None:
            try:
                decision: Decision = _decide(knock, request, asked_at)
            except Exception as error:
                decision = error
            self._loop.call_soon_threadsafe(self._decided, knock, decision)

        self._pool.put(work)

    def _decided(self, knock: Knock, decision: Decision) -> None:
        if isinstance(decision, Admitted):
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[knock] = decision
        for then in self._asking.pop(knock, ()):
            then(decision)


def versions_of(schema: str) -> str:
    words = _VERSIONS.format(
        titles=sql.Identifier(CalledAETitle._meta.db_table),
        facilities=sql.Identifier(Facility._meta.db_table),
        peers=sql.Identifier(DicomPeer._meta.db_table),
        schema=sql.Identifier(schema),
    )
    return words.as_string()


def _decide(knock: Knock, request: AssociateRequest, asked_at: float) -> Admitted | Refusal:
    """In a thread. The versions are read first: what changes in between is noticed at the next look."""
    connection.set_schema_to_public()
    doors = CalledAETitle.objects.filter(ae_title=knock.called, is_active=True, facility__is_active=True)
    is_possible = TITLE.fullmatch(knock.called) and TITLE.fullmatch(knock.calling)
    schema = doors.values_list("facility__schema_name", flat=True).first() if is_possible else None
    versions = ""
    if schema is not None:
        with connection.cursor() as cursor:
            words = versions_of(schema).replace("$1", "%s").replace("$2", "%s").replace("$3", "%s")
            cursor.execute(words, [knock.called, schema, knock.calling])
            versions = cursor.fetchone()[0]
    found = admission.admit(request, knock.address, certificate=knock.certificate, tls=knock.is_tls)
    if isinstance(found, Refusal):
        return found
    return Admitted(knock, found.facility, found.peer, versions, asked_at)
