"""Escalations fall due in the database; the dispatcher claims and runs them like any other work."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from reporting.models import CriticalResult
from reporting.services.critical import BEAT, escalate
from ris.events.dispatcher import register_work

CLAIM_FOR = timedelta(seconds=60)
CLAIM = """
update reporting_criticalresult set claimed_until = now() + %(claim)s
where id in (
    select id from reporting_criticalresult
    where next_escalation_at is not null and next_escalation_at <= now() and status = 'open'
      and (claimed_until is null or claimed_until < now())
    order by next_escalation_at limit %(limit)s for update skip locked)
returning id
"""


def claim_escalations(limit: int = 50) -> list[int]:
    """Take due escalations for this process; another takes them over when the claim runs out."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run_escalation(critical_id: int) -> None:
    critical = CriticalResult.objects.filter(pk=critical_id).first()
    if critical is not None:
        escalate(critical, actor=BEAT)


register_work("reporting.escalation", claim=claim_escalations, run=run_escalation)
