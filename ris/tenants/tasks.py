"""Celery tasks carry the facility they were sent for, and wake up in it."""

from __future__ import annotations

import zlib
from typing import Any

from celery import Task, current_app, shared_task
from django.core.management import call_command
from django.db import connection, transaction
from django_tenants.utils import get_public_schema_name, schema_context

from ris.tenants.context import NoFacility, active_schemas, current_schema, use_facility

HEADER = "ris_schema"


class FacilityTask(Task):
    """The base of every task: sent from a facility, it runs in that facility.

    A task that works for no facility (a clock that wakes others) is declared with ``facility_less=True``; every
    other is refused where no facility is chosen, both when it is sent and when it wakes.
    """

    facility_less = False

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        headers = dict(options.pop("headers", None) or {})
        headers.setdefault(HEADER, current_schema())
        if not self.facility_less and headers[HEADER] == get_public_schema_name():
            raise NoFacility(f"The task {self.name} was sent without a facility.")
        return super().apply_async(args, kwargs, headers=headers, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        if self.facility_less:
            with schema_context(get_public_schema_name()):
                return super().__call__(*args, **kwargs)
        schema = (self.request.headers or {}).get(HEADER) or self.request.get(HEADER)
        if not schema or schema == get_public_schema_name():
            raise NoFacility(f"The task {self.name} arrived without a facility.")
        with use_facility(schema):
            return super().__call__(*args, **kwargs)


def send_to_each_facility(task: Task, **kwargs: Any) -> int:
    """Send one copy of the task for every active facility; answers how many."""
    schemas = active_schemas()
    for schema in schemas:
        with use_facility(schema):
            task.apply_async(kwargs=kwargs)
    return len(schemas)


@shared_task(facility_less=True)
def for_each_facility(name: str) -> int:
    """A clock's tick: the named task, once for every facility. Of two clocks that tick together one sends."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s, %s)", [zlib.crc32(b"tick") & 0x7FFFFFFF, _number_of(name)])
        if not cursor.fetchone()[0]:
            return 0
        return send_to_each_facility(current_app.tasks[name])


def _number_of(name: str) -> int:
    return zlib.crc32(name.encode()) & 0x7FFFFFFF


@shared_task
def forget_old_sessions() -> None:
    """Sessions that have run out are of no use to anybody."""
    call_command("clearsessions")
