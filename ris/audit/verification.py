"""Is the audit trail whole? Every seal computed again, the chain followed, the heads outside compared."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min, Q
from django.utils import timezone

from ris.audit.models import AuditEvent, AuditSeal
from ris.audit.sealing import digest_of, heads_file, keys, rows_of, was_restored


@dataclass
class Verdict:
    """What was found. ``problems`` name a seal and what is wrong with it."""

    intact: bool = True
    seals: int = 0
    sealed_rows: int = 0
    unsealed_rows: int = 0
    oldest_unsealed_seconds: int | None = None
    heads_compared: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def complain(self, seal: int | None, problem: str) -> None:
        self.intact = False
        self.problems.append({"seal": seal, "problem": problem})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify_facility(heads: Iterable[dict[str, Any]] | None = None) -> Verdict:
    """Verify the current facility; ``heads`` default to those of RIS_AUDIT_HEADS. One snapshot, where it may choose."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read, read only")
        verdict = Verdict()
        _follow_the_chain(verdict)
        _count_rows(verdict)
        _compare_heads(verdict, exported_heads() if heads is None else heads)
    return verdict


def _follow_the_chain(verdict: Verdict) -> None:
    known = keys()
    seals = list(AuditSeal.objects.order_by("pk"))
    ceilings = _ceilings(seals)
    previous: AuditSeal | None = None
    for seal in seals:
        verdict.seals += 1
        verdict.sealed_rows += seal.rows
        if seal.previous_digest != (previous.digest if previous else ""):
            verdict.complain(seal.pk, "does not follow the seal before it: one was removed, inserted or changed")
        if not _continues(previous, seal):
            verdict.complain(seal.pk, "its range does not begin where the one before ended")
        key = known.get(seal.key_id)
        if key is None:
            verdict.complain(seal.pk, f"sealed under a key that RIS_AUDIT_KEYS does not hold ({seal.key_id})")
        else:
            _check_one(verdict, seal, key, ceilings.get(seal.epoch))
        previous = seal


def _continues(previous: AuditSeal | None, seal: AuditSeal) -> bool:
    if previous is None:
        return seal.first_transaction == 0
    if seal.epoch == previous.epoch:
        return seal.first_transaction == previous.before_transaction and seal.after_event == previous.after_event
    return seal.epoch == previous.epoch + 1 and seal.first_transaction == 0


def _ceilings(seals: list[AuditSeal]) -> dict[int, int]:
    """The highest row id of each epoch that is over: where the next one begins, or will begin."""
    ceilings = {seal.epoch - 1: seal.after_event for seal in seals if seal.epoch}
    if seals and was_restored(seals[-1]):
        ceilings[seals[-1].epoch] = max(seal.last_event for seal in seals)
    return ceilings


def _check_one(verdict: Verdict, seal: AuditSeal, key: bytes, ceiling: int | None) -> None:
    rows = rows_of(seal, until_event=ceiling).iterator(chunk_size=2000)
    digest, count, last = digest_of(seal, rows, key)
    if count != seal.rows:
        verdict.complain(seal.pk, f"{count} rows are there, {seal.rows} were sealed")
    elif last != seal.last_event or not hmac.compare_digest(digest, seal.digest):
        verdict.complain(seal.pk, "a row or the seal itself was changed")


def _count_rows(verdict: Verdict) -> None:
    """What is not sealed yet is the tail: rows of the newest epoch beyond the last seal's end, and no others."""
    last = AuditSeal.objects.order_by("-pk").first()
    total = AuditEvent.objects.count()
    tail = AuditEvent.objects.all()
    if last is not None:
        beyond = Q(transaction__gte=last.before_transaction, id__gt=last.after_event)
        if was_restored(last):
            beyond |= Q(id__gt=AuditSeal.objects.aggregate(highest=Max("last_event"))["highest"])
        tail = tail.filter(beyond)
    found = tail.aggregate(oldest=Min("recorded_at"))
    verdict.unsealed_rows = tail.count()
    if found["oldest"] is not None:
        verdict.oldest_unsealed_seconds = max(0, int((timezone.now() - found["oldest"]).total_seconds()))
    stray = total - verdict.sealed_rows - verdict.unsealed_rows
    if stray and verdict.intact:
        verdict.complain(None, f"{stray} rows belong to no seal and are not new either")


def _compare_heads(verdict: Verdict, heads: Iterable[dict[str, Any]]) -> None:
    """Every head that was ever written outside is still in the chain."""
    digests = dict(AuditSeal.objects.values_list("pk", "digest"))
    for head in heads:
        verdict.heads_compared += 1
        if digests.get(head["seal"]) != head["digest"]:
            verdict.complain(head["seal"], "the head exported outside the database is not in the chain any more")


def exported_heads() -> list[dict[str, Any]]:
    path = heads_file()
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
