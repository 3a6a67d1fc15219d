"""Escalations fall due in the database; the dispatcher claims and runs them like any other work."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from reporting.models import CriticalResult
from reporting.services.critical import BEAT, CLOCK_SLACK, escalate
from ris.events.dispatcher import register_work

CLAIM_FOR = timedelta(seconds=60)
#: Due, or set by a clock that was put back since. Only the database's clock is asked.
CLAIM = """
update reporting_criticalresult set claimed_until = statement_timestamp() + %(claim)s
where id in (
    select id from reporting_criticalresult
    where next_escalation_at is not null and status = 'open'
      and (next_escalation_at <= statement_timestamp() or timer_set_at > statement_timestamp() + %(slack)s)
      and (claimed_until is null or claimed_until < statement_timestamp()
           or claimed_until > statement_timestamp() + %(claim)s + %(slack)s)
    order by next_escalation_at limit %(limit)s for update skip locked)
returning id
"""


def claim_escalations(limit: int = 50) -> list[int]:
    """Take due escalations for this process; another takes them over when the claim runs out."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "slack": CLOCK_SLACK, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run_escalation(critical_id: int) -> None:
    critical = CriticalResult.objects.filter(pk=critical_id).first()
    if critical is not None:
        escalate(critical, actor=BEAT)


register_work("reporting.escalation", claim=claim_escalations, run=run_escalation)
