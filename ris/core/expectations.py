"""If-Match under the lock: the version that a request has read, held against the row as it is when it is changed.

The edge compares when it looks the object up, and says with ``expect`` what it has seen. Another writer may come in
between; so the first lock of that row in the same request (``Recorded.locked``), or its save where a service takes no
lock, compares once more. From then on the row is locked, and nobody comes in between any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import transaction

from ris.core.errors import PreconditionFailed

Key = tuple[str, Any]
_expected: ContextVar[dict[Key, int] | None] = ContextVar("expected_versions", default=None)


@contextmanager
def expectations() -> Iterator[None]:
    """One request; what it expects is forgotten with it."""
    token = _expected.set({})
    try:
        yield
    finally:
        _expected.reset(token)


def expect(row: Any) -> None:
    """This version is the one that is changed, or nothing is."""
    held = _expected.get()
    if held is not None:
        held[_key(row)] = row.version


def compare_locked(row: Any) -> None:
    """``row`` has just been read under its lock. Raises PreconditionFailed."""
    held = _expected.get()
    if held:
        _compare(held, row, row.version)


def compare_before_save(row: Any) -> None:
    """Of a row that nobody has locked in this request: lock it now. Raises PreconditionFailed."""
    held = _expected.get()
    if not held or _key(row) not in held:
        return
    stored = type(row)._base_manager.filter(pk=row.pk)
    if transaction.get_connection().in_atomic_block:
        stored = stored.select_for_update()
    _compare(held, row, stored.values_list("version", flat=True).first())


def changed_meanwhile() -> PreconditionFailed:
    return PreconditionFailed(
        "Somebody has changed this since you read it.",
        asked="A change to an earlier version.",
        found="A newer version is stored.",
        todo="Read it again, look at the difference, and repeat your change.",
    )


def _compare(held: dict[Key, int], row: Any, version: int | None) -> None:
    expected = held.pop(_key(row), None)
    if expected is not None and expected != version:
        raise changed_meanwhile()


def _key(row: Any) -> Key:
    return row._meta.concrete_model._meta.label, row.pk
