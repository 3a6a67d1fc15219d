"""The counts of series and studies, from the rows: right whatever order the rows came in, and however often it is done.

Locks are taken series first, then the study, as everybody takes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.db import connection, transaction

from ris.accounts.models import FacilitySettings
from ris.tenants.context import require_schema
from worklist.models import ImageRejection, ImagingInstance, ImagingSeries, ImagingStudy

LOCK_SERIES = "select id from {series} where study_id = %s order by id for no key update"
LOCK_STUDY = "select id from {study} where id = %s for no key update"
COUNT_SERIES = """
update {series} s set instance_count = found.count
from (
    select s.id, (select count(*) from {instance} i where i.series_id = s.id and not i.is_rejected) as count
    from {series} s where s.study_id = %s
) found
where s.id = found.id and s.instance_count <> found.count
"""
COUNT_STUDY = """
update {study} t set instance_count = found.instances, series_count = found.series,
    last_received_at = greatest(t.last_received_at, %s)
from (
    select coalesce(sum(s.instance_count), 0) as instances, count(*) filter (where s.instance_count > 0) as series
    from {series} s where s.study_id = %s
) found
where t.id = %s returning t.instance_count, t.expected_instance_count
"""


@dataclass(frozen=True)
class Counted:
    instances: int
    expected: int | None

    @property
    def may_be_all(self) -> bool:
        return bool(self.expected) and self.instances >= (self.expected or 0)


def recount_study(study_id: int, *, received_at: datetime | None = None) -> Counted | None:
    """Count series and instances anew, under lock; None when there is no such study.

    ``received_at``: when the newest came, where that is not written down yet.
    """
    schema = require_schema()
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (LOCK_SERIES, LOCK_STUDY, COUNT_SERIES):
            cursor.execute(with_tables(statement, schema), [study_id])
        cursor.execute(with_tables(COUNT_STUDY, schema), [received_at, study_id, study_id])
        row = cursor.fetchone()
    return Counted(*row) if row else None


def recount_open_studies() -> int:
    """After a start: studies whose clock runs, for whoever died before counting; answers how many there were."""
    open_studies = list(ImagingStudy.objects.filter(settle_after__isnull=False).values_list("pk", flat=True))
    for study_id in open_studies:
        recount_study(study_id)
    return len(open_studies)


def lock_for_counting(study_id: int) -> None:
    """The series of a study: to be taken before the study itself."""
    with connection.cursor() as cursor:
        cursor.execute(with_tables(LOCK_SERIES, require_schema()), [study_id])


@lru_cache(1024)
def with_tables(template: str, schema: str) -> str:
    """A statement with the tables of one facility, good for any connection."""
    models = {
        "series": ImagingSeries,
        "study": ImagingStudy,
        "instance": ImagingInstance,
        "settings": FacilitySettings,
        "rejection": ImageRejection,
    }
    quote = connection.ops.quote_name
    return template.format(**{name: f"{quote(schema)}.{quote(row._meta.db_table)}" for name, row in models.items()})
