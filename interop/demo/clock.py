"""Work as if it were another time: the demo's exams of last week were done last week."""

from __future__ import annotations

import datetime as real
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from ris.core import clock as house_clock


@contextmanager
def at(moment: real.datetime) -> Iterator[None]:
    """``timezone.now()``, and what stands for the database's clock, answer ``moment`` and go on from there.

    For seeding only: one thread, no server.

    Defaults hold a reference to ``timezone.now`` itself, so it is the clock beneath that function that is replaced.
    """
    started = real.datetime.now(tz=real.UTC)

    class Clock(real.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> real.datetime:
            gone = real.datetime.now(tz=real.UTC) - started
            return (moment + gone).astimezone(tz) if tz else (moment + gone).replace(tzinfo=None)

    before, database = timezone.datetime, house_clock.source
    timezone.datetime, house_clock.source = Clock, timezone.now
    try:
        yield
    finally:
        timezone.datetime, house_clock.source = before, database
