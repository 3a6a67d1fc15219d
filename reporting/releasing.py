"""Signed reports leave when their recall window has ended; the dispatcher claims and runs them like any other work."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from reporting.models import Report
from reporting.services.recall import release_held
from ris.events.dispatcher import register_work

#: A second dispatcher tries again after that, should the first one die; releasing twice does nothing.
AGAIN_AFTER = timedelta(seconds=30)
CLAIM = """
update reporting_report set held_claimed_until = clock_timestamp() + %(again)s
where id in (
    select id from reporting_report
    where held_until is not null and held_until <= clock_timestamp()
      and (held_claimed_until is null or held_claimed_until < clock_timestamp())
    order by held_until limit %(limit)s for update skip locked)
returning id
"""


def claim_held(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"again": AGAIN_AFTER, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run_release(report_id: int) -> None:
    report = Report.objects.filter(pk=report_id).first()
    if report is not None:
        release_held(report)


register_work("reporting.release", claim=claim_held, run=run_release)
