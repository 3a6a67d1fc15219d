"""Where the data set of a request goes while it comes, and what a thread does with a C-STORE's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from interop.dicom import dimse
from interop.dicom.dimse import Answer, Handler, Request, Status
from interop.dicom.messages import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from interop.dicom.receiving import Receiver

#: Bytes of an object that go to its thread at once, and so many may wait there.
HAND_OVER, MOST_QUEUED = 1 << 20, 4 << 20
#: Pieces in one call of the system; it takes no more than 1024.
MOST_TOGETHER = 256


class Budget:
    """Bytes of data sets that the whole server holds; on the loop only."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    @property
    def is_spent(self) -> bool:
        return self.held > self.most


class DiscardSink:
    """Swallows the data set of a request that is refused anyway; answers with the refusal afterwards."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def write(self, chunk: memoryview) -> None:
        """Not kept."""

    def release(self) -> None:
        """Nothing is held."""


class MemorySink:
    """Keeps an identifier or an attribute list; ``refusal`` says why not, where there is no room for it."""

    def __init__(self, budget: Budget) -> None:
        self.data = bytearray()
        self.refusal: Exception | None = None
        self._budget = budget

    def write(self, chunk: memoryview) -> None:
        if self.refusal is not None:
            return
        if len(self.data) + len(chunk) > dimse.MAX_DATA_SET:
            self._refuse(dimse.Malformed(f"More than {dimse.MAX_DATA_SET} bytes are no request."))
        elif self._budget.is_spent:
            self._refuse(dimse.DimseError(Status.OUT_OF_RESOURCES, "Too much is on its way."))
        else:
            self.data += chunk
            self._budget.held += len(chunk)

    def _refuse(self, why: Exception) -> None:
        self.release()
        self.refusal = why

    def release(self) -> None:
        self._budget.held -= len(self.data)
        self.data = bytearray()


class Storing:
    """One C-STORE in its thread: after an error in the middle the rest is swallowed; the answer comes at the end."""

    def __init__(self, handler: Handler, request: Request) -> None:
        self.handler, self.request = handler, request
        self._sink: dimse.StoreSink | None = None
        self._failure: Answer | None = None

    def take(self, pieces: list[bytes]) -> None:
        try:
            sink = self._opened()
            if sink is not None:
                for piece in pieces:
                    sink.write(memoryview(piece))
        except Exception as error:
            self._fail(error)

    def write(self, pieces: list[memoryview]) -> None:
        """At once, without another stop."""
        try:
            sink = self._sink or self._opened()
            if sink is not None:
                sink.write(*pieces)
        except Exception as error:
            self._fail(error)

    def look(self, pieces: list[memoryview]) -> bool:
        """At what has come and may stay where it is. True: it need not come again."""
        try:
            sink = self._sink or self._opened()
            return sink is None or sink.look(*pieces)
        except Exception as error:
            self._fail(error)
            return True

    def _fail(self, error: Exception) -> None:
        self.drop()
        self._failure = dimse.answer_to(error, Field.C_STORE, self.request)

    def _opened(self) -> dimse.StoreSink | None:
        if self._sink is None and self._failure is None:
            dimse.allow(self.handler, self.request)
            actor = self.request.caller.actor(self.handler.door)
            self._sink = self.handler.function(self.request, actor)
        return self._sink

    def finish(self, rest: Iterable[memoryview] = ()) -> tuple[Answer, Any]:
        """The answer, and what was stored."""
        self.take([])
        sink, self._sink = self._sink, None
        if self._failure is not None or sink is None:
            return self._failure or Answer(Status.CANNOT_UNDERSTAND), None
        try:
            stored = sink.finish(*rest)
        except Exception as error:
            return dimse.answer_to(error, Field.C_STORE, self.request), None
        return Answer(Status.SUCCESS, sop_instance_uid=self.request.sop_instance_uid), stored

    def drop(self) -> None:
        """Leave nothing of it."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()


class Taker(Protocol):
    """The association that an intake works for."""

    budget: Budget
    #: while it reads in a thread
    receiver: Receiver | None

    def hand_over(self, job: Callable[[], None], size: int) -> None: ...


class StoreIntake:
    """A C-STORE's data set on its way to its thread, in pieces of a mebibyte; where it is read, when read there."""

    def __init__(self, taker: Taker, storing: Storing) -> None:
        self._taker, self.storing = taker, storing
        self._pieces: list[bytes] = []
        self._size = 0
        #: Where it is read: what still lies in the buffer; so many were looked at.
        self.here: list[memoryview] = []
        self._looked = 0

    def write(self, chunk: memoryview) -> None:
        if self._taker.receiver is not None:
            self.here.append(chunk)
            if len(self.here) == MOST_TOGETHER:
                self.flush()
            return
        self._pieces.append(bytes(chunk))
        self._size += len(chunk)
        budget = self._taker.budget
        budget.held += len(chunk)
        if self._size >= HAND_OVER or budget.is_spent:
            pieces, size = self.taken()
            storing = self.storing
            self._taker.hand_over(lambda: storing.take(pieces), size)

    def look(self) -> None:
        """While the next bytes are on their way."""
        if len(self.here) > self._looked:
            if self.storing.look(self.here[self._looked :]):
                self.here.clear()
            self._looked = len(self.here)

    def flush(self) -> None:
        """Write what lies in the buffer, before that is used again."""
        if self.here:
            pieces, self.here, self._looked = self.here, [], 0
            self.storing.write(pieces)

    def finish(self) -> tuple[Answer, Any]:
        pieces, self.here, self._looked = self.here, [], 0
        return self.storing.finish(pieces)

    def taken(self) -> tuple[list[bytes], int]:
        """What has not been handed over, and how much it is."""
        pieces, size = self._pieces, self._size
        self._pieces, self._size = [], 0
        return pieces, size

    def release(self) -> None:
        self._taker.budget.held -= self.taken()[1]
