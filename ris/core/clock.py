"""The database's clock: one for all processes, whatever the machines they run on believe the time to be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import connection


def _ask_database() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("select statement_timestamp()")
        return cursor.fetchone()[0]


#: Replaced by the demo's seed, which works as if it were another day.
source: Callable[[], datetime] = _ask_database


def database_now() -> datetime:
    """The moment of this statement in the database; what deadlines are stored and compared by."""
    return source()
