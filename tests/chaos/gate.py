"""A gate in PostgreSQL: whoever adds a row to a table stands still there until it is opened, or is killed there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql

#: after INSERT and before COMMIT; while COMMIT is under way (deferred triggers run in it)
Point = Literal["insert", "commit"]
TRIGGERS: dict[Point, LiteralString] = {
    "insert": "create trigger {} after insert on {} for each row execute function public.stand_still(%s)",
    "commit": "create constraint trigger {} after insert on {} deferrable initially deferred"
    " for each row execute function public.stand_still(%s)",
}
FUNCTION: LiteralString = """
create or replace function public.stand_still() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock_shared(tg_argv[0]::bigint); return null; end $$
"""


class Gate:
    def __init__(self, line: psycopg.Connection[Any], key: int) -> None:
        self._line, self._key = line, key
        self._held: set[int] = set()

    def wait(self, seconds: float = 60) -> None:
        """Until somebody stands at it."""
        end = time.monotonic() + seconds
        asked = "select pid from pg_locks where locktype = 'advisory' and objid = %s and not granted"
        while not self._held:
            self._held = {row[0] for row in self._line.execute(asked, [self._key])}
            if not self._held and time.monotonic() > end:
                raise TimeoutError("Nobody has come to the gate.")
            time.sleep(0.01)

    def open(self, seconds: float = 60) -> None:
        """Let go who stands at it, and wait until what it did is settled: it has gone, or works on something else."""
        self._line.execute("select pg_advisory_unlock(%s)", [self._key])
        end = time.monotonic() + seconds
        asked = "select count(*) from pg_stat_activity where pid = any(%s) and state <> 'idle'"
        while self._line.execute(asked, [list(self._held)]).fetchone() != (0,):
            if time.monotonic() > end:
                raise TimeoutError("Who stood at the gate neither goes nor ends.")
            time.sleep(0.01)


@contextlib.contextmanager
def gate(url: str, table: tuple[str, str], point: Point, *, key: int) -> Iterator[Gate]:
    """Closed at first. ``url``: as the owner; ``key``: another for every gate that is closed at the same time."""
    name = sql.Identifier(f"stand_still_{key}")
    with psycopg.connect(url, autocommit=True) as line:
        line.execute(FUNCTION)
        made = sql.SQL(TRIGGERS[point].replace("%s", "{}"))
        line.execute(made.format(name, sql.Identifier(*table), sql.Literal(str(key))))
        line.execute("select pg_advisory_lock(%s)", [key])
        try:
            yield Gate(line, key)
        finally:
            line.execute("select pg_advisory_unlock_all()")
            line.execute(sql.SQL("drop trigger {} on {}").format(name, sql.Identifier(*table)))
