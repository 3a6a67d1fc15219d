"""What a transactional test has committed is gone afterwards: every table holds what a new facility begins with.

Each pytest process keeps one line to its database for this, with the two large questions prepared: to plan a look into
700 tables takes PostgreSQL a hundred times as long as to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import psycopg
from psycopg import sql

Table = tuple[str, str]
#: How many rows a table has, and the newest transaction that wrote one: another when a row comes, changes or goes
State = tuple[int, int]

COPIES = "pristine"
COLUMNS = (
    "select string_agg(quote_ident(attname), ', ') from pg_attribute"
    " where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''"
)


def keep_pristine_rows(owner: psycopg.Connection, schemas: Iterable[str]) -> None:
    """Copy the rows that are there, once, into the template that all pytest processes begin with."""
    owner.execute(f"create schema {COPIES}")
    tables = _tables(owner, schemas)
    for schema, table in _filled(owner, _question_of_rows(tables), tables):
        copy, original = sql.Identifier(COPIES, f"{schema}.{table}"), sql.Identifier(schema, table)
        owner.execute(sql.SQL("create table {} as table {}").format(copy, original))


def _tables(owner: psycopg.Connection, schemas: Iterable[str]) -> list[Table]:
    asked = "select schemaname, tablename from pg_tables where schemaname = any(%s) order by 1, 2"
    return [(schema, table) for schema, table in owner.execute(asked, [list(schemas)]).fetchall()]


def _question_of_rows(tables: list[Table]) -> str:
    one = "select {} where exists (select 1 from {})"
    return _joined(one, tables)


def _question_of_writing(tables: list[Table]) -> str:
    return _joined("select {}, count(*), coalesce(max(xmin::text::bigint), 0) from {}", tables)


def _joined(one: str, tables: list[Table]) -> str:
    asked = (sql.SQL(one).format(number, sql.Identifier(*table)) for number, table in enumerate(tables))
    return sql.SQL(" union all ").join(asked).as_string(None)


def _filled(owner: psycopg.Connection, question: str, tables: list[Table]) -> list[Table]:
    return [tables[number] for (number,) in owner.execute(question.encode(), prepare=True).fetchall()]


def _written(owner: psycopg.Connection, question: str, tables: list[Table]) -> dict[Table, State]:
    if not tables:
        return {}
    found = owner.execute(question.encode(), prepare=True).fetchall()
    return {tables[number]: (count, newest) for number, count, newest in found}


class Restorer:
    """Puts the rows of one database back. ``connect``: opens a line to it as its owner."""

    def __init__(self, connect: Callable[[], psycopg.Connection], schemas: Iterable[str]) -> None:
        self._connect = connect
        self._owner = owner = connect()
        self._tables = _tables(owner, schemas)
        self._rows = _question_of_rows(self._tables)
        kept = owner.execute("select tablename from pg_tables where schemaname = %s", [COPIES]).fetchall()
        self._pristine: list[Table] = [tuple(name.split(".", 1)) for (name,) in kept]
        self._writing = _question_of_writing(self._pristine)
        self._as_put_back: dict[Table, State] = {}

    def restore(self) -> None:
        try:
            self._restore()
        except psycopg.OperationalError:
            if not self._owner.closed:
                raise
            self._owner = self._connect()  # a test has cut all lines
            self._restore()

    def close(self) -> None:
        self._owner.close()

    def _restore(self) -> None:
        owner = self._owner
        with owner.transaction():
            owner.execute("set local session_replication_role = replica")
            owner.execute("set local lock_timeout = '15s'")
            now = _written(owner, self._writing, self._pristine)
            changed = [table for table in self._pristine if self._as_put_back.get(table) != now[table]]
            untouched = set(self._pristine) - set(changed)
            for table in {*_filled(owner, self._rows, self._tables), *changed} - untouched:
                owner.execute(sql.SQL("delete from {}").format(sql.Identifier(*table)))
            for table in changed:
                self._put_back(table)
            if changed:
                self._as_put_back.update(_written(owner, _question_of_writing(changed), changed))

    def _put_back(self, table: Table) -> None:
        columns = self._owner.execute(COLUMNS, ['"{}"."{}"'.format(*table)]).fetchone()
        assert columns is not None
        listed = sql.SQL(columns[0])
        self._owner.execute(
            sql.SQL("insert into {} ({}) overriding system value select {} from {}").format(
                sql.Identifier(*table), listed, listed, sql.Identifier(COPIES, ".".join(table))
            )
        )
