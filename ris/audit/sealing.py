"""Seals over the audit trail: finished ranges of rows, chained by HMAC-SHA-256 under a key the database never sees.

Rows carry the id of the transaction that inserted them. A range is finished when every transaction below its end has
ended, committed or not, so nothing can appear in it afterwards, and no writer ever waits for a sealer. One sealer per
facility works at a time (advisory lock). A long-running writing transaction in this database holds the end of the
range back; ``verify_audit`` reports the tail that is not sealed yet and its age.

After a restore into another cluster transaction ids begin again below those of the restored rows. The sealer notices
(the next transaction id is smaller than the last seal's end), seals what was restored unsealed, and begins a new epoch
that counts only rows with higher ids than all those.

What each attack shows up as: an altered or removed row, or one inserted into a sealed range, breaks its seal's digest;
an altered or removed seal breaks the chain; rows cut off at the end together with their seals contradict the heads,
which are written to the log and to ``RIS_AUDIT_HEADS`` outside the database.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from ris.audit.models import AuditEvent, AuditSeal
from ris.tenants.context import active_schemas, require_schema, use_facility

log = structlog.get_logger(__name__)

EVERY = 2.0  # seconds between two looks; a row is sealed within 5 s of its commit
COLUMNS = tuple(field.attname for field in AuditEvent._meta.concrete_fields)
HEADER = (
    "epoch",
    "after_event",
    "first_transaction",
    "before_transaction",
    "last_event",
    "rows",
    "key_id",
    "previous_digest",
    "sealed_at",
)


# --- digests


def facility_key(secret: str) -> bytes:
    """A key of its own for every facility, so that no chain can be moved to another."""
    return hmac.new(secret.encode(), f"picha audit:{require_schema()}".encode(), hashlib.sha256).digest()


def key_id_of(secret: str) -> str:
    return hashlib.sha256(f"picha audit key id:{secret}".encode()).hexdigest()[:16]


def keys() -> dict[str, bytes]:
    return {key_id_of(secret): facility_key(secret) for secret in settings.RIS_AUDIT_KEYS}


def canonical(values: dict[str, Any]) -> bytes:
    """One text for one row, however it was read."""

    def plain(value: Any) -> Any:
        return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else str(value)

    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=plain, ensure_ascii=True).encode()


def digest_of(seal: AuditSeal, rows: Iterable[dict[str, Any]], key: bytes) -> tuple[str, int, int]:
    """Hex digest over header and rows, the number of rows and the highest id that went into it."""
    inner = hashlib.sha256()
    count, last = 0, 0
    for row in rows:
        inner.update(canonical(row) + b"\n")
        count, last = count + 1, max(last, row["id"])
    header = {name: getattr(seal, name) for name in HEADER}
    header.update(rows=count, last_event=last)
    return hmac.new(key, canonical(header) + inner.digest(), hashlib.sha256).hexdigest(), count, last


def rows_of(seal: AuditSeal, *, until_event: int | None = None) -> QuerySet:
    """The rows that belong to a seal; ``until_event``: the highest id of its epoch, when a later one has begun."""
    found = AuditEvent.objects.filter(
        transaction__gte=seal.first_transaction,
        transaction__lt=seal.before_transaction,
        id__gt=seal.after_event,
    )
    if until_event is not None:
        found = found.filter(id__lte=until_event)
    return found.order_by("transaction", "id").values(*COLUMNS)


# --- sealing


def seal_facility() -> AuditSeal | None:
    """Seal what is finished in the current facility; None when nothing is, or another sealer is at it."""
    with transaction.atomic():
        if not _is_the_only_sealer():
            return None
        last = AuditSeal.objects.order_by("-pk").first()
        end, _next = _finished_until()
        if last is not None and was_restored(last):
            seal = _seal_what_was_restored(last) or _seal_range(last, end, new_epoch=True)
        else:
            seal = _seal_range(last, end)
    if seal is not None:
        _export_head(seal)
    return seal


def _is_the_only_sealer() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"{require_schema()}:audit-seal"])
        return bool(cursor.fetchone()[0])


#: Transactions that run now, except those that are known to work in another database of the cluster: they cannot
#: write here. A transaction that has a number and not yet its lock counts as ours; one that ended between the snapshot
#: and the look at the locks is asked for last, and has ended.
FINISHED: LiteralString = """
with now as (select pg_current_snapshot() as snapshot),
elsewhere as (
    select l.transactionid::text::bigint as low_half
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and a.datname <> current_database())
select coalesce(
         (select min(x::text::bigint) from pg_snapshot_xip(snapshot) x
          where case when (x::text::bigint & 4294967295) in (select low_half from elsewhere) then false
                else pg_xact_status(x) = 'in progress' end),
         pg_snapshot_xmax(snapshot)::text::bigint),
       pg_snapshot_xmax(snapshot)::text::bigint
from now
"""


def _finished_until() -> tuple[int, int]:
    """Every transaction below the first number has ended; the second is the next one to be given out."""
    with connection.cursor() as cursor:
        cursor.execute(FINISHED)
        return cursor.fetchone()


def was_restored(last: AuditSeal) -> bool:
    """Whether this is a copy in a cluster whose transaction ids stand below those of the rows."""
    return _finished_until()[1] < last.before_transaction


def _seal_range(last: AuditSeal | None, end: int, *, new_epoch: bool = False) -> AuditSeal | None:
    epoch, after, first = 0, 0, 0
    if last is not None:
        epoch, after, first = last.epoch, last.after_event, last.before_transaction
    if new_epoch:
        after = AuditSeal.objects.aggregate(highest=Max("last_event"))["highest"]
        epoch, first = epoch + 1, 0
    return _write(last, epoch=epoch, after_event=after, first_transaction=first, before_transaction=end)


def _seal_what_was_restored(last: AuditSeal) -> AuditSeal | None:
    """Rows of the old epoch that had not been sealed when the copy was made: finished, since they were restored."""
    highest = AuditEvent.objects.filter(transaction__gte=last.before_transaction, id__gt=last.after_event).aggregate(
        highest=Max("transaction")
    )["highest"]
    if highest is None:
        return None
    return _write(
        last,
        epoch=last.epoch,
        after_event=last.after_event,
        first_transaction=last.before_transaction,
        before_transaction=highest + 1,
    )


def _write(last: AuditSeal | None, **range_: int) -> AuditSeal | None:
    secret = settings.RIS_AUDIT_KEYS[0]
    seal = AuditSeal(
        **range_,
        key_id=key_id_of(secret),
        previous_digest=last.digest if last is not None else "",
        sealed_at=timezone.now(),
    )
    seal.digest, seal.rows, seal.last_event = digest_of(
        seal, rows_of(seal).iterator(chunk_size=2000), facility_key(secret)
    )
    if not seal.rows:
        return None
    seal.save(force_insert=True)
    return seal


# --- heads, outside the database


def heads_file() -> Path | None:
    folder = settings.RIS_AUDIT_HEADS
    return Path(folder) / f"{require_schema()}.jsonl" if folder else None


def _export_head(seal: AuditSeal) -> None:
    head = {"seal": seal.pk, "digest": seal.digest, "rows": seal.rows, "at": seal.sealed_at.isoformat()}
    log.info("audit_sealed", facility=require_schema(), **head)
    path = heads_file()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a") as file:
            file.write(json.dumps(head) + "\n")
    except OSError as exc:
        log.error("audit_head_not_written", error=type(exc).__name__)


# --- the loop beside the dispatcher


def seal_all() -> int:
    """Seal every facility; one that fails does not keep the others waiting. Answers how many seals were written."""
    written = 0
    for schema in active_schemas():
        try:
            with use_facility(schema):
                written += seal_facility() is not None
        except (DatabaseError, InterfaceError):
            raise
        except Exception as exc:  # a facility that is just being made or taken away
            log.error("audit_not_sealed", facility=schema, error=type(exc).__name__)
    return written


def run_sealer(stop: Callable[[], bool]) -> None:
    """Until stopped. Needs the database and nothing else: neither broker nor worker."""
    while not stop():
        try:
            seal_all()
        except (DatabaseError, InterfaceError) as exc:
            log.error("audit_sealer_waits_for_the_database", error=type(exc).__name__)
            connection.close()
        for _tenth in range(int(EVERY * 10)):
            if stop():
                break
            time.sleep(0.1)
    connection.close()
