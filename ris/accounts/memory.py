"""What is asked again and again is asked once, until the request or the task ends; of what a stream of messages asks,
some is kept from one to the next while nobody has changed it."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection

from ris.tenants.context import current_schema, require_schema

T = TypeVar("T")
MOST = 2000

_memory: contextvars.ContextVar[dict[tuple[str, str], Any] | None] = contextvars.ContextVar("memory", default=None)


class Lasting:
    """What blocks of one kind may take over from the one before: names that begin like one of ``names``, while none of
    ``tables`` (of history rows, which every change adds to) has a newer row, and for at most ``seconds``.

    Who uses it shares the rows with other threads, and does not write into them.
    """

    def __init__(self, names: tuple[str, ...], tables: tuple[str, ...], *, seconds: float = 10.0) -> None:
        self.names, self.seconds = names, seconds
        newest = ", ".join(f"(select max(history_id) from {table})" for table in tables)
        self._question = f"select {newest}"
        self._kept: dict[str, tuple[float, tuple[Any, ...], dict[tuple[str, str], Any]]] = {}
        _lasting.append(self)

    def stamp(self) -> tuple[Any, ...]:
        with connection.cursor() as cursor:
            cursor.execute(self._question)
            return tuple(cursor.fetchone())

    def known(self, stamp: tuple[Any, ...]) -> dict[tuple[str, str], Any]:
        until, known_stamp, found = self._kept.get(current_schema(), (0.0, (), {}))
        return found if known_stamp == stamp and until > time.monotonic() else {}

    def keep(self, stamp: tuple[Any, ...], memory: dict[tuple[str, str], Any]) -> None:
        found = {key: value for key, value in memory.items() if key[1].startswith(self.names)}
        before = self.known(stamp)
        if found.keys() - before.keys() and len(found) < MOST:
            until = self._kept[current_schema()][0] if before else time.monotonic() + self.seconds
            self._kept[current_schema()] = (until, stamp, found)

    def forget(self) -> None:
        self._kept.clear()


_lasting: list[Lasting] = []


def forget_lasting() -> None:
    """Between tests, whose databases begin again."""
    for one in _lasting:
        one.forget()


@contextmanager
def remembering(lasting: Lasting | None = None) -> Iterator[None]:
    stamp = lasting.stamp() if lasting is not None else ()
    memory = dict(lasting.known(stamp)) if lasting is not None else {}
    token = _memory.set(memory)
    try:
        yield
        if lasting is not None:
            lasting.keep(stamp, memory)
    finally:
        _memory.reset(token)


def remembered(name: str, ask: Callable[[], T]) -> T:
    """The facility's answer of this block; outside of one it is asked each time."""
    memory = _memory.get()
    if memory is None:
        return ask()
    key = (require_schema(), name)
    if key not in memory:
        memory[key] = ask()
    return memory[key]


def forget() -> None:
    memory = _memory.get()
    if memory is not None:
        memory.clear()
