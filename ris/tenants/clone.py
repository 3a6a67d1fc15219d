"""A new schema as an exact copy of the template: tables, identities, data, constraints and indexes by their names.

PostgreSQL's own ``CREATE TABLE ... LIKE INCLUDING ALL`` gives constraints and indexes names of its own making, and a
later migration that removes one by name then fails in the copies only. So the definitions are read while the search
path points at the template, where they come out unqualified, and run while it points at the copy.
"""

from __future__ import annotations

from typing import LiteralString

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from ris.core.errors import AlreadyExists, DomainError

TABLES: LiteralString = """
    select c.relname from pg_class c
    where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r' order by c.relname"""

#: Primary keys, unique and exclusion constraints; foreign keys come last, when all tables are filled.
CONSTRAINTS: LiteralString = """
    select c.relname, k.conname, pg_get_constraintdef(k.oid, true), k.contype = 'f'
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r' and k.contype in ('p', 'u', 'x', 'f')
    order by k.contype = 'f', k.contype <> 'p', c.relname, k.conname"""

INDEXES: LiteralString = """
    select pg_get_indexdef(i.indexrelid, 0, true)
    from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r'
      and not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    order by 1"""

IDENTITIES: LiteralString = """
    select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r'
      and a.attidentity <> '' and not a.attisdropped"""

COLUMNS: LiteralString = """
    select c.relname, string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r'
      and a.attnum > 0 and a.attgenerated = '' and not a.attisdropped
    group by c.relname"""

SEQUENCES: LiteralString = """
    select s.relname from pg_class s
    where s.relnamespace = %(schema)s::regnamespace and s.relkind = 'S'
      and not exists (select 1 from pg_depend d where d.objid = s.oid and d.deptype in ('a', 'i'))"""

#: What this copy does not know how to make. A template that holds such a thing is refused, not copied half.
FOREIGN_OBJECTS: LiteralString = """
    select 'relation ' || c.relname from pg_class c
    where c.relnamespace = %(schema)s::regnamespace and c.relkind not in ('r', 'i', 'S', 't', 'c')
    union all select 'function ' || p.proname from pg_proc p where p.pronamespace = %(schema)s::regnamespace
    union all select 'trigger ' || g.tgname from pg_trigger g join pg_class c on c.oid = g.tgrelid
    where c.relnamespace = %(schema)s::regnamespace and not g.tgisinternal
    union all select 'serial ' || c.relname || '.' || a.attname
    from pg_attrdef d join pg_class c on c.oid = d.adrelid
    join pg_attribute a on a.attrelid = c.oid and a.attnum = d.adnum
    where c.relnamespace = %(schema)s::regnamespace and pg_get_expr(d.adbin, d.adrelid) like 'nextval(%%'"""


class CannotClone(DomainError):
    """The template holds something that a copy would not hold."""

    code = "cannot_clone"


@transaction.atomic
def clone_schema(template: str, target: str) -> None:
    """Make ``target`` out of ``template``, data and all, in one transaction."""
    q = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_namespace where nspname = %s", [target])
        if cursor.fetchone():
            raise AlreadyExists(f"The schema {target} exists already.")
        _point_at(cursor, template)
        if unknown := _column(cursor, FOREIGN_OBJECTS, template):
            raise CannotClone(f"The schema {template} holds what a copy would lose: {', '.join(unknown)}.")
        tables = _column(cursor, TABLES, template)
        cursor.execute(CONSTRAINTS, {"schema": template})
        constraints = cursor.fetchall()
        indexes = _column(cursor, INDEXES, template)
        cursor.execute(IDENTITIES, {"schema": template})
        identities = cursor.fetchall()

        cursor.execute(f"create schema {q(target)}")
        source, copy = q(template), q(target)
        create = [f"create table {copy}.{q(name)} (like {source}.{q(name)} {LIKE})" for name in tables]
        cursor.execute(COLUMNS, {"schema": template})
        columns = dict(cursor.fetchall())
        fill = [
            f"insert into {copy}.{q(name)} ({columns[name]}) overriding system value "
            f"select {columns[name]} from {source}.{q(name)}"
            for name in _filled(cursor, template, tables)
        ]
        add = [
            (f"alter table {q(table)} add constraint {q(name)} {definition}", is_foreign_key)
            for table, name, definition, is_foreign_key in constraints
        ]
        _run(cursor, create)
        _run(cursor, fill)
        _point_at(cursor, target)
        _run(cursor, [statement for statement, is_foreign_key in add if not is_foreign_key])
        _run(cursor, indexes)
        _run(cursor, [statement for statement, is_foreign_key in add if is_foreign_key])
        _copy_sequences(cursor, template, target, identities)
    connection.set_schema_to_public()


#: Checks come along under their names and unchanged; what has an index behind it is made one by one, by name.
LIKE = (
    "including defaults including constraints including identity including generated "
    "including storage including comments including compression"
)


def _point_at(cursor: CursorWrapper, schema: str) -> None:
    quoted = connection.ops.quote_name(schema)
    cursor.execute(f"set local search_path to {quoted}, public")


def _column(cursor: CursorWrapper, query: LiteralString, schema: str) -> list[str]:
    cursor.execute(query, {"schema": schema})
    return [row[0] for row in cursor.fetchall()]


def _filled(cursor: CursorWrapper, schema: str, tables: list[str]) -> list[str]:
    """The tables that hold rows, asked in one query."""
    if not tables:
        return []
    q = connection.ops.quote_name
    asked = " union all ".join(
        f"select {number} where exists (select 1 from {q(schema)}.{q(name)})" for number, name in enumerate(tables)
    )
    cursor.execute(asked)
    return [tables[row[0]] for row in cursor.fetchall()]


def _run(cursor: CursorWrapper, statements: list[str]) -> None:
    """Send the statements as one text: a thousand of them cost one round trip."""
    if statements:
        cursor.execute(";\n".join(statements))


def _copy_sequences(cursor: CursorWrapper, template: str, target: str, identities: list[tuple[str, str]]) -> None:
    """Let identities and free sequences of the copy go on where those of the template stand."""
    q = connection.ops.quote_name
    pairs = []
    for table, column in identities:
        cursor.execute(
            "select pg_get_serial_sequence(%s, %s), pg_get_serial_sequence(%s, %s)",
            [f"{q(template)}.{q(table)}", column, f"{q(target)}.{q(table)}", column],
        )
        pairs.append(cursor.fetchone())
    for name in _column(cursor, SEQUENCES, template):
        cursor.execute(f"create sequence {q(target)}.{q(name)}")
        pairs.append((f"{q(template)}.{q(name)}", f"{q(target)}.{q(name)}"))
    _run(
        cursor,
        [f"select setval('{copy}', s.last_value, s.is_called) from {source} s" for source, copy in pairs],
    )
