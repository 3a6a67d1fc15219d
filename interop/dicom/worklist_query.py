"""A worklist query as one prepared statement with its audit row. Nothing here asks the database.

The SQL is Django's own for ``offered_steps``, so that there is one place that says what matches; the facility's schema
is written out in it, for its connections belong to no facility.
"""

from __future__ import annotations

import re
from functools import lru_cache

from django.apps import apps
from django.db import connection
from django.db.models import F
from psycopg import sql

from interop.dicom.dimse import Caller
from interop.dicom.statements import Statement, as_text
from ris.audit.statements import audited_read
from worklist.data import MwlQuery
from worklist.selectors import offered_steps

PLACEHOLDER = re.compile(r"%s|%%")


def statement_of(query: MwlQuery, caller: Caller) -> Statement:
    """Answers the rendered items; the audit row's parameters are still to come. In the facility (its time zone counts).

    Raises InvalidData for a key that cannot be a value or range, TypeError for a value that has no plain form.
    """
    rows = offered_steps(query, peer=caller).annotate(patient=F("key_patient"))
    words, values = rows.values("item", "patient").query.sql_with_params()
    schema = caller.facility.schema_name
    return Statement(
        audited_read(in_schema(numbered(words), schema), "item", schema, len(values)),
        tuple(as_text(value) for value in values),
    )


def numbered(words: str) -> str:
    """%s as $1, $2 ..."""
    count = 0

    def number(found: re.Match[str]) -> str:
        nonlocal count
        if found[0] == "%%":
            return "%"
        count += 1
        return f"${count}"

    return PLACEHOLDER.sub(number, words)


def in_schema(words: str, schema: str) -> str:
    """Every table of a facility with its schema in front."""
    first = sql.Identifier(schema).as_string()
    return _tables().sub(lambda found: f"{first}.{found[0]}", words)


@lru_cache(1)
def _tables() -> re.Pattern[str]:
    names = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    quoted = sorted((re.escape(connection.ops.quote_name(name)) for name in names), key=len, reverse=True)
    return re.compile("|".join(quoted))
