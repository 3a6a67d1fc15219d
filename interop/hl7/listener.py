"""``run_mllp``: the asyncio listener. It frames, limits and times; what is said is interop.hl7.intake's, in threads.

One connection's messages are taken one after the other, in order; connections run beside each other. While the database
does not answer, a connection is closed without an acknowledgement (in enhanced mode after CE): the sender repeats.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connection, connections

from interop.hl7 import intake, storing
from interop.hl7.line import READ_SIZE, Line, cannot_now
from interop.hl7.mllp import DEFAULT_LIMIT, Deframer, FrameTooLarge, NotMllp, frame

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    message: int = DEFAULT_LIMIT
    first_byte: float = 60.0
    inside_frame: float = 4.0
    whole_frame: float = 60.0
    between_frames: float = 3600.0
    writing: float = 10.0
    storing: float = 30.0
    connections: int = 500
    connections_per_address: int = 100
    workers: int = 8


class DatabaseThreads:
    """Threads for the ORM: each job begins and ends in `public`, with connections that live."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="mllp")

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._job, function, arguments)

    @staticmethod
    def _job(function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        close_old_connections()
        try:
            connection.set_schema_to_public()
            return function(*arguments)
        finally:
            close_old_connections()

    def close(self) -> None:
        """Every thread closes its connection, all at once so that none does it for another."""
        barrier = Barrier(self.workers)

        def last_job() -> None:
            try:
                barrier.wait(timeout=5)
            except BrokenBarrierError:
                log.warning("mllp_thread_was_busy")
            connections.close_all()

        for _worker in range(self.workers):
            self._pool.submit(last_job)
        self._pool.shutdown(wait=True)


class Listener:
    """One or two ports, clear and TLS."""

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.threads = DatabaseThreads(self.limits.workers)
        self.storer = storing.Storer(self.limits.storing)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: Counter[str] = Counter()

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen; answers the port (the system's choice for 0)."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Line(self.storer, self._accepted), host, port, ssl=tls, backlog=256)
        self._servers.append(server)
        bound = int(server.sockets[0].getsockname()[1])
        log.info("mllp_listening", port=bound, tls=tls is not None)
        return bound

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        await asyncio.to_thread(self.threads.close)
        self.storer.close()

    async def _accepted(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        address = str(writer.get_extra_info("peername")[0])
        self._open[address] += 1
        try:
            crowded = self._open[address] > self.limits.connections_per_address
            if crowded or self._open.total() > self.limits.connections:
                log.warning("mllp_too_many_connections", address=address)
                return
            await Conversation(self, line, reader, writer, address).hold()
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError) as ended:
            log.info("mllp_connection_ended", address=address, reason=type(ended).__name__)
        except asyncio.CancelledError as ended:  # the listener closes; this task ends here in any case
            log.info("mllp_connection_ended", address=address, reason=type(ended).__name__)
        finally:
            self._tasks.discard(task)
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
            writer.close()


class Conversation:
    """One connection, from its first byte to its last."""

    def __init__(
        self, listener: Listener, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        self.line, self.limits, self.threads, self.storer = line, listener.limits, listener.threads, listener.storer
        self.reader, self.writer = reader, writer
        secured = writer.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True) if secured is not None else None
        self.door = intake.Door(
            port=int(writer.get_extra_info("sockname")[1]),
            address=address,
            certificate=hashlib.sha256(certificate).hexdigest() if certificate else None,
            is_tls=secured is not None,
        )

    async def hold(self) -> None:
        deframer = Deframer(limit=self.limits.message)
        patience, frame_began = self.limits.first_byte, 0.0
        clock = asyncio.get_running_loop().time
        while True:
            self.line.idle_at = None if deframer.is_inside else self.door
            try:
                async with asyncio.timeout(patience):
                    data = await self.reader.read(READ_SIZE)
            except TimeoutError:
                # what came whole and quick woke nobody here
                patience = self.line.spoke_at + self.limits.between_frames - clock()
                if deframer.is_inside or not self.line.spoke_at or patience <= 0:
                    raise
                continue
            self.line.idle_at = None
            if not data:
                return
            was_inside = deframer.is_inside
            try:
                frames = deframer.feed(data)
            except FrameTooLarge as large:
                await self._write(await self._safely(intake.refuse_too_large, large.head, self.door) or [])
                return
            except NotMllp:
                await self._safely(intake.refuse_not_mllp, self.door)
                return
            if not await self._take(frames):
                return
            if not deframer.is_inside:
                patience = self.limits.between_frames
                continue
            if frames or not was_inside:
                frame_began = clock()
            patience = min(self.limits.inside_frame, frame_began + self.limits.whole_frame - clock())
            if patience <= 0:
                return

    async def _take(self, frames: list[bytes]) -> bool:
        """What has come at once, answered in order; False when the connection is to end."""
        quicks: list[storing.Quick] = []
        for raw in frames:
            one = storing.quick(raw, self.door)
            if one is not None and (not quicks or quicks[0].schema == one.schema):
                quicks.append(one)
                continue
            if not await self._store(quicks) or not await self._answer(raw):
                return False
            quicks = []
        return await self._store(quicks)

    async def _store(self, quicks: list[storing.Quick]) -> bool:
        if not quicks:
            return True
        replies: list[bytes] = []
        try:
            answers = await self.storer.ask(quicks)
        except (DatabaseError, InterfaceError):
            await self._write(cannot_now(quicks[0].raw))
            return False
        for one, is_new in zip(quicks, answers, strict=True):
            if is_new:
                replies += one.reply()
                continue
            await self._write(replies)
            replies = []
            if not await self._answer(one.raw):
                return False
        await self._write(replies)
        return True

    async def _answer(self, raw: bytes) -> bool:
        """Take one message; False when the connection is to end. What is stored already is never taken back by a CE."""
        refusal = cannot_now(raw)
        try:
            reception = await self.threads.run(intake.receive, raw, self.door)
            refusal = []
            await self._write(reception.replies)
            if reception.message is not None:
                await self._write(await self.threads.run(intake.finish, reception))
        except (DatabaseError, InterfaceError) as failure:
            log.error("mllp_database_does_not_answer", error=type(failure).__name__)
            await self._write(refusal)
            return False
        return not reception.closes

    async def _safely(self, function: Callable[..., T], *arguments: object) -> T | None:
        """For refusals: they are told and counted where the database lets us."""
        try:
            return await self.threads.run(function, *arguments)
        except (DatabaseError, InterfaceError) as failure:
            log.error("mllp_database_does_not_answer", error=type(failure).__name__)
            return None

    async def _write(self, replies: list[bytes]) -> None:
        if replies:
            self.writer.write(b"".join(frame(reply) for reply in replies))
            async with asyncio.timeout(self.limits.writing):
                await self.writer.drain()
