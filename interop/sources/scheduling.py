"""Sources run beside the dispatcher, each in a thread of its own: one that hangs delays no other, nor any message.

Any number of dispatchers may run; what is due is claimed in PostgreSQL. A dispatcher takes no more sources than it has
hands free, so that none waits in its memory while another process could read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.db import DatabaseError, InterfaceError, connection, connections

from interop.sources.running import claim_due, run_due
from ris.tenants.context import active_schemas, use_facility

log = structlog.get_logger(__name__)

HANDS = 12
EVERY = 2.0


class Sources:
    """The hands of one process."""

    def __init__(self, hands: int = HANDS) -> None:
        self.hands = hands
        self._threads = ThreadPoolExecutor(hands, thread_name_prefix="source")
        self._busy: set[Future[None]] = set()

    def tick(self) -> int:
        """Begin what is due in every facility, as far as there are hands; how many have begun."""
        self._busy = {future for future in self._busy if not future.done()}
        begun = 0
        for schema in active_schemas():
            free = self.hands - len(self._busy)
            if free <= 0:
                break
            with use_facility(schema):
                due = claim_due(free)
            for pk in due:
                self._busy.add(self._threads.submit(_run, schema, pk))
                begun += 1
        return begun

    def close(self, *, wait: bool) -> None:
        self._threads.shutdown(wait=wait, cancel_futures=True)


def _run(schema: str, pk: int) -> None:
    try:
        with use_facility(schema):
            run_due(pk)
    except Exception as problem:  # its claim runs out, and it is due again
        log.error("source_not_run", schema=schema, error=type(problem).__name__)
    finally:
        connections.close_all()


def run_sources(stop: Callable[[], bool]) -> None:
    """Until stopped."""
    sources = Sources()
    while not stop():
        try:
            sources.tick()
        except (DatabaseError, InterfaceError) as problem:
            log.error("sources_wait_for_the_database", error=type(problem).__name__)
            connection.close()
        for _tenth in range(int(EVERY * 10)):
            if stop():
                break
            time.sleep(0.1)
    sources.close(wait=False)
    connection.close()
