"""The dispatcher: PostgreSQL is the queue of record, Celery only lends hands.

Any number may run. Each claims due work with SKIP LOCKED and hands the ids to Celery; when the broker does not
answer, it does the work itself. What a flushed broker forgot becomes due again when its claim runs out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from ris.events.services import claim_deliveries, hand_over
from ris.tenants.context import active_schemas, use_facility

log = structlog.get_logger(__name__)

BROKER_REST = 5.0  # seconds between two tries of a broker that did not answer
IDLE_AT_MOST = 2.0


@dataclass(frozen=True)
class WorkSource:
    """Something that falls due: ``claim(limit)`` takes ids for this process, ``run(id)`` does one of them."""

    name: str
    claim: Callable[[int], Iterable[int]]
    run: Callable[[int], object]


_sources: dict[str, WorkSource] = {}


def register_work(name: str, *, claim: Callable[[int], Iterable[int]], run: Callable[[int], object]) -> None:
    _sources[name] = WorkSource(name, claim, run)


def run_work(name: str, item: int) -> object:
    return _sources[name].run(item)


#: What runs beside the dispatcher in a thread of its own, however busy it is: ``run(stop)`` until ``stop()``.
_companions: dict[str, Callable[[Callable[[], bool]], None]] = {}


def register_companion(name: str, run: Callable[[Callable[[], bool]], None]) -> None:
    _companions[name] = run


def start_companions(stop: Callable[[], bool]) -> list[threading.Thread]:
    threads = [threading.Thread(target=run, args=(stop,), name=name, daemon=True) for name, run in _companions.items()]
    for thread in threads:
        thread.start()
    return threads


register_work("events.delivery", claim=claim_deliveries, run=hand_over)


class Dispatcher:
    """Walks the facilities; ``tick`` returns how many pieces of work it found.

    ``hands``: threads that do the work while the broker is away, so that a slow receiver delays nobody else, and what
    goes wrong with one piece of work is logged and left to its claim. None: work is done inline, errors are raised.
    """

    def __init__(self, *, use_broker: bool = True, batch: int = 50, hands: int = 0) -> None:
        self.use_broker, self.batch = use_broker, batch
        self.broker_rests_until = 0.0
        self.pool = ThreadPoolExecutor(hands, thread_name_prefix="work") if hands else None

    def tick(self, schemas: Iterable[str] | None = None) -> int:
        found = 0
        for schema in schemas if schemas is not None else active_schemas():
            with use_facility(schema):
                for source in list(_sources.values()):
                    for item in list(source.claim(self.batch)):
                        found += 1
                        self._hand_out(schema, source, item)
        return found

    def exhaust(self, schema: str, rounds: int) -> int:
        """One facility, until nothing is due: each source has been asked in vain since the last piece of work."""
        total = idle = 0
        with use_facility(schema):
            sources = list(_sources.values())
            for source in chain.from_iterable(repeat(sources, rounds)):
                found = list(source.claim(self.batch))
                for item in found:
                    self._hand_out(schema, source, item)
                total, idle = total + len(found), 0 if found else idle + 1
                if idle == len(sources):
                    break
        return total

    def _hand_out(self, schema: str, source: WorkSource, item: int) -> None:
        if self.use_broker and time.monotonic() >= self.broker_rests_until:
            from ris.events.tasks import do_work

            try:
                do_work.apply_async(kwargs={"source": source.name, "item": item}, retry=False)
                return
            except Exception as exc:  # kombu wraps a broker's failures in many classes
                self.broker_rests_until = time.monotonic() + BROKER_REST
                log.warning("broker_does_not_answer", error=type(exc).__name__)
        if self.pool is None:
            source.run(item)
        else:
            self.pool.submit(_do, schema, source, item)

    def run_forever(self, *, poll: float = 0.2, stop: Callable[[], bool] = lambda: False) -> None:
        idle = poll
        while not stop():
            try:
                found = self.tick()
            except (DatabaseError, InterfaceError) as exc:
                log.error("database_does_not_answer", error=type(exc).__name__)
                close_old_connections()
                found = 0
                time.sleep(1)
            idle = poll if found else min(idle * 1.5, IDLE_AT_MOST if poll >= 0.2 else poll)
            if not found:
                time.sleep(min(idle, 0.5))
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


def _do(schema: str, source: WorkSource, item: int) -> None:
    """One piece of work in a thread of its own connection; whatever it raises is known and claimed again later."""
    try:
        with use_facility(schema):
            source.run(item)
    except Exception as exc:  # a defect of one source must not stop the others
        log.error("work_failed", source=source.name, item=item, error=type(exc).__name__)
    finally:
        connections.close_all()


def drain(schema: str | None = None, *, rounds: int = 100) -> int:
    """Do all that is due, here and now; what tests and commands call."""
    dispatcher = Dispatcher(use_broker=False)
    return sum(dispatcher.exhaust(one, rounds) for one in ([schema] if schema else list(active_schemas())))
