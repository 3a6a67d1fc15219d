"""Counters of the facility: gapless in what commits, never shared, never backwards."""

from __future__ import annotations

from typing import LiteralString

from django.db import connection, transaction

NEXT: LiteralString = """
insert into accounts_sequence as s (name, value) values (%s, 1)
on conflict (name) do update set value = s.value + 1
returning value
"""


def next_value(name: str) -> int:
    """The next number; the counter stays locked until the caller's transaction ends.

    Raises RuntimeError outside a transaction: a number taken there could be given away and never used.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"the counter {name} was asked outside a transaction")
    with connection.cursor() as cursor:
        cursor.execute(NEXT, [name])
        return int(cursor.fetchone()[0])
