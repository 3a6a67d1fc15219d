"""What is asked again and again is asked once, until the request or the task ends."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ris.tenants.context import require_schema

T = TypeVar("T")

_memory: contextvars.ContextVar[dict[tuple[str, str], Any] | None] = contextvars.ContextVar("memory", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    token = _memory.set({})
    try:
        yield
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
