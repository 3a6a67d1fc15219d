"""Threads that may wait: what associations ask of handlers, in the order in which each association asked it.

A thread holds its database connection while it works; when nothing has come for a while, it gives it back.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from ris.audit.service import correlation_id, flush_refusals
from ris.tenants.context import use_facility
from ris.tenants.models import Facility

log = structlog.get_logger("interop.dicom")

QUIET_SECONDS = 5.0
Job = Callable[[], None]


class Pool:
    """``size`` threads, made when they are needed, and one queue. ``stop`` ends them when the queue is empty."""

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._free = 0

    def put(self, job: Job) -> None:
        with self._lock:
            self._free -= 1
            if self._free < 0 and len(self._threads) < self._size:
                self._free += 1
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                close_old_connections()
                job()
                _flush_refusals()
            except Exception:
                log.exception("work_failed")
            finally:
                if connection.settings_dict["OPTIONS"].get("pool"):
                    connection.close()
                with self._lock:
                    self._free += 1
        connection.close()

    def _next(self) -> Job | None:
        try:
            return self._jobs.get(timeout=QUIET_SECONDS)
        except queue.Empty:
            connection.close()
            return self._jobs.get()

    def stop(self) -> None:
        for _thread in self._threads:
            self._jobs.put(None)

    def join(self, seconds: Callable[[], float]) -> None:
        for thread in self._threads:
            thread.join(max(0.0, seconds()))


def clean_up() -> None:
    """After a failure in the middle of a long job, as after a job."""
    _flush_refusals()
    close_old_connections()


def _flush_refusals() -> None:
    try:
        flush_refusals()
    except (DatabaseError, InterfaceError) as error:
        log.warning("refusals_not_written_down", error=type(error).__name__)


class Lane:
    """The jobs of one association: in order, never two at a time, in its facility."""

    def __init__(self, pool: Pool, facility: Facility, token: str) -> None:
        self._pool, self._facility, self._token = pool, facility, token
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        self._is_running = False

    def put(self, job: Job, pool: Pool | None = None) -> None:
        with self._lock:
            self._jobs.append(job)
            if self._is_running:
                return
            self._is_running = True
        (pool or self._pool).put(self._run)

    def _run(self) -> None:
        with in_facility(self._facility, self._token):
            while True:
                with self._lock:
                    if not self._jobs:
                        self._is_running = False
                        return
                    job = self._jobs.popleft()
                try:
                    job()
                except Exception:
                    log.exception("work_failed")


@contextlib.contextmanager
def in_facility(facility: Facility, token: str) -> Iterator[None]:
    reset = correlation_id.set(token)
    try:
        with use_facility(facility):
            yield
            _flush_refusals()
    finally:
        correlation_id.reset(reset)
