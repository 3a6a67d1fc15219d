"""An audit row in the very statement that reads what it speaks of: one way to the database, one commit.

For edges that answer many small queries; everything else calls ``record_read``, which writes the same row.
"""

from __future__ import annotations

from typing import Any

import orjson
from django.db import connection
from psycopg import sql

from ris.audit.models import Action, AuditEvent, Outcome
from ris.audit.service import correlation_id, row_of
from ris.core.actor import Actor
from ris.core.ids import uuid7

#: What the statement works out from the rows it reads; ``this`` is the parameter of the column.
FROM_ROWS = {
    "patient": "case when cardinality(whose.patients) = 1 then whose.patients[1] end",
    "patients": "whose.patients",
    "detail": "{this} || jsonb_build_object('rows', whose.rows)",
}
#: Columns whose values come with each statement, in this order.
GIVEN = (
    "uuid", "correlation_id", "event_type", "action", "outcome", "source", "user", "user_name", "ae_title", "address",
    "entity_type", "entity", "accession_number", "reason", "detail",
)  # fmt: skip


def audited_read(rows: str, columns: str, schema: str, parameters: int) -> str:
    """``rows`` (a SELECT with a column ``patient``), of which ``columns`` come back, and the audit row of reading them.

    Its own placeholders are $1 to $``parameters``; those of the audit row follow, as ``audit_parameters`` gives them.
    """
    fields = {name: AuditEvent._meta.get_field(name) for name in dict.fromkeys((*GIVEN, *FROM_ROWS))}
    given = {
        name: f"${number}::{fields[name].db_type(connection)}" for number, name in enumerate(GIVEN, parameters + 1)
    }
    values = [FROM_ROWS.get(name, "{this}").format(this=given.get(name, "")) for name in fields]
    names = ", ".join(sql.Identifier(str(field.column)).as_string() for field in fields.values())
    table = sql.Identifier(schema, AuditEvent._meta.db_table).as_string()
    return (
        f"with found as materialized ({rows}), "
        "whose as (select coalesce(array_agg(distinct patient) filter (where patient is not null), '{}') as patients,"
        " count(*) as rows from found), "
        f"noted as (insert into {table} ({names}) select {', '.join(values)} from whose) "
        f"select {columns} from found"
    )


def audit_parameters(reader: tuple[bytes | None, ...]) -> tuple[bytes | None, ...]:
    """Of one reading by ``reader_of``."""
    return (uuid7().hex.encode(), correlation_id.get().encode(), *reader)


def reader_of(actor: Actor, event_type: str, page: str) -> tuple[bytes | None, ...]:
    """What is the same each time that the same actor reads the same page."""
    row: dict[str, Any] = row_of(actor, event_type, Action.READ, None, (), reason="", outcome=Outcome.SUCCESS)
    row["detail"] = orjson.dumps({"page": page}).decode()
    return tuple(None if row[name] is None else str(row[name]).encode() for name in GIVEN[2:])
