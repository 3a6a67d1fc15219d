"""The messages of one association: one request at a time on the event loop; whatever waits goes to a thread.

What comes while a request runs is a C-CANCEL, the answer to a C-STORE of ours, a release, or something for later. The
peer's rights are looked at again before each request.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import structlog

from interop.dicom import admission, dimse, pdu
from interop.dicom.connection import Connection, note_failure
from interop.dicom.dimse import Answer, Caller, Handler, Request, Status
from interop.dicom.doorkeeper import Admitted, Decision
from interop.dicom.extensions import is_relational
from interop.dicom.intake import MOST_QUEUED, Budget, DiscardSink, MemorySink, StoreIntake, Storing
from interop.dicom.logbook import LEAVES_NOTHING, settle
from interop.dicom.messages import RESPONSE, Command, Field, Message, MessageReader, Sink, encode_response
from interop.dicom.receiving import Receiver
from interop.dicom.requests import Running, chunks_of
from interop.dicom.statements import Statement, StatementFailed
from interop.dicom.work import Lane
from ris.audit.service import correlation_id

if TYPE_CHECKING:
    from interop.dicom.server import Hub

log = structlog.get_logger("interop.dicom")

QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)
#: Seconds in which the peer may close after the last word.
LINGER = 1.0
#: Bytes that are kept of what a peer sends before it was answered.
MOST_AHEAD = 256 * 1024
_scrap = bytearray(64 * 1024)


FINE = Answer(Status.SUCCESS)


@dataclass(frozen=True)
class Terms:
    """What was agreed upon in answer to one association request."""

    contexts: dict[int, pdu.ContextAnswer]
    taken_back: frozenset[str]
    accept: bytes
    #: by SOP class of a context that was accepted: the class whose handlers serve it
    served_as: dict[str, str]
    #: the classes of Query/Retrieve for which relational queries were agreed upon
    relational: frozenset[str]


@lru_cache(256)
def terms_for(request: pdu.AssociateRequest, max_length: int, _registered: int) -> Terms:
    answers = admission.negotiate(request)
    sent_back, extended = admission.sent_back(), admission.extended(request)
    contexts = {answer.id: answer for answer in answers if answer.result == 0}
    return Terms(
        contexts,
        frozenset(uid for uid, (_scu, scp) in request.roles.items() if scp and uid in sent_back),
        pdu.associate_accept(request, answers, max_length=max_length, scp_of=sent_back, extended=extended),
        {one.abstract_syntax: admission.served_as(request, one.abstract_syntax) for one in contexts.values()},
        frozenset(uid for uid, information in extended.items() if is_relational(uid, information)),
    )


class Association(Connection):
    """From connect to close. Every method runs on the loop."""

    caller: Caller
    terms: Terms

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.budget: Budget = hub.budget
        self.reader = MessageReader(self._open_sink)
        self.token = ""
        self.running: Running | None = None
        #: While it reads in a thread.
        self.receiver: Receiver | None = None
        self._wants_release = self._is_working = self._is_draining = False
        self._queued = 0
        self._outgoing: Iterator[tuple[bytes, bool]] | None = None
        self._later: deque[tuple[int, int, bytes]] = deque()
        self._ahead = 0

    # --- the line

    @property
    def is_between_messages(self) -> bool:
        return self.reader.is_idle

    def open(self) -> bytes:
        knock, admitted = self.knock, self.admitted
        self.caller = Caller(
            admitted.facility, admitted.peer, knock.calling, knock.called, knock.address, admitted.plans
        )
        self.token = f"dicom-{os.urandom(8).hex()}"
        self.terms = terms_for(self.request, self.limits.max_length, dimse.registrations())
        return self.terms.accept

    @cached_property
    def lane(self) -> Lane:
        return Lane(self.hub.pool, self.admitted.facility, self.token)

    def resume(self) -> None:
        if self.running is not None:
            self.running.resume()
        if self._outgoing is not None:
            self._pump()

    def lost(self) -> None:
        if self.running is not None:
            self.running.lost()
        if self.receiver is not None:
            self.receiver.lost()
        self._outgoing = None
        if not self._is_working:
            self._wind_up()

    def _wind_up(self) -> None:
        """Nothing comes any more and nothing runs: clean up, and write down what happened."""
        waiting = self.reader.waiting_sink
        if waiting is not None:
            waiting.release()
        self.hub.wind_up(self, waiting.storing if isinstance(waiting, StoreIntake) else None)

    def release_requested(self) -> None:
        if self.is_busy:
            self._wants_release = True
        else:
            self._release()

    def _release(self) -> None:
        """Answered when what handlers leave for the end of an association is done."""
        self.tally.outcome = "released"
        if self.tally.counts.keys() <= LEAVES_NOTHING:
            self.settled()
            return
        self.is_busy = self._is_working = True

        def work() -> None:
            try:
                settle(self.caller, self.tally)
            finally:
                self.loop.call_soon_threadsafe(self.settled)

        self.lane.put(work)

    def settled(self) -> None:
        self.is_busy = self._is_working = False
        self.gone = self.gone or "released"
        if self.is_disconnected:
            self._wind_up()
        else:
            self.released()

    # --- messages

    def take(self, context_id: int, control: int, content: memoryview) -> None:
        if self.gone:
            return
        self.check_context(context_id)
        if self.is_busy:
            self._take_aside(context_id, control, content)
            return
        message = self.reader.take(context_id, control, content)
        if message is not None:
            self._answer(message)

    def check_context(self, context_id: int) -> None:
        if context_id not in self.terms.contexts:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A presentation context was not accepted.")

    def _take_aside(self, context_id: int, control: int, content: memoryview) -> None:
        """What comes while a request runs."""
        if control == 3 and not self._later and self.running is not None:
            message = MessageReader(self._open_sink).take(context_id, control, content)
            if message is not None and self.running.hears(message.command):
                return
        self._later.append((context_id, control, bytes(content)))
        self._ahead += len(content)
        if self._ahead > MOST_AHEAD:
            self.hold(True)

    def _open_sink(self, context_id: int, command: Command) -> Sink:
        """Where the data set that follows this command goes."""
        if command.field != Field.C_STORE:
            return MemorySink(self.budget)
        handler, refusal = self._handler(context_id, command)
        if handler is None:
            return DiscardSink(refusal)
        if self.receiver is not None:
            self.receiver.look_again()
        elif not self.hub.doorkeeper.is_fresh(self.admitted):
            self.hub.doorkeeper.ask(self.knock, self.request, self._refreshed)
        return StoreIntake(self, Storing(handler, self._request(context_id, command)))

    def _handler(self, context_id: int, command: Command) -> tuple[Handler | None, Answer]:
        """The handler of a command on a context, or None and why not."""
        abstract = self.terms.contexts[context_id].abstract_syntax
        handler = dimse.handler_for(command.field, self.terms.served_as[abstract])
        if handler is None:
            return None, Answer(Status.UNRECOGNIZED_OPERATION, comment="The context has no such operation.")
        if command.sop_class_uid != abstract:
            status = Status.NO_SUCH_CLASS if command.field >= Field.N_EVENT_REPORT else Status.CLASS_NOT_SUPPORTED
            return None, Answer(status, comment="The SOP class is not the context's.")
        return handler, FINE

    def _request(self, context_id: int, command: Command, data: bytes = b"") -> Request:
        running = self.running
        return Request(
            caller=self.caller,
            message_id=command.message_id,
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=self.terms.contexts[context_id].transfer_syntax,
            data=data,
            attribute_tags=command.attribute_tags,
            is_cancelled=running.is_cancelled if running is not None else _never,
            move_destination=command.move_destination,
            action_type_id=command.action_type_id,
            is_relational=command.sop_class_uid in self.terms.relational,
            suboperations=running if running is not None and command.field == Field.C_GET else dimse.NO_SUBOPERATIONS,
        )

    def _answer(self, message: Message) -> None:
        command = message.command
        if command.field == Field.C_CANCEL:
            return  # the operation has ended before
        if command.field & RESPONSE:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A response came without a request.")
        self.tally.counts[_name(command.field)] += 1
        self.is_busy = True
        self.running = Running(self, message)
        if isinstance(message.sink, DiscardSink):
            self._respond(message, message.sink.answer)
        elif isinstance(message.sink, StoreIntake):
            self._is_working = True
            self.loop.call_soon(self._leave, message)
        elif self.hub.doorkeeper.is_fresh(self.admitted):
            self._perform(message)
        else:

            def then(decision: Decision) -> None:
                self._refreshed(decision)
                if self.gone:
                    self._done()
                else:
                    self._perform(message)

            self._is_working = True
            self.hub.doorkeeper.ask(self.knock, self.request, then)

    def _refreshed(self, decision: Decision) -> None:
        """The peer's rights as they are now. When PostgreSQL is away, the request itself will find out."""
        if isinstance(decision, Admitted):
            self.admitted = decision
            self.caller.peer, self.caller.plans = decision.peer, decision.plans
        elif isinstance(decision, admission.Refusal):
            self.caller.is_withdrawn = True
        else:
            note_failure(decision)

    def _perform(self, message: Message) -> None:
        command, sink = message.command, message.sink
        data, refused = b"", None
        if isinstance(sink, MemorySink):
            data, refused = bytes(sink.data), sink.refusal
            sink.release()
        request = self._request(message.context_id, command, data)
        handler, refusal = self._handler(message.context_id, command)
        if handler is None:
            self._respond(message, refusal)
        elif refused is not None:
            self._respond(message, dimse.answer_to(refused, command.field, request))
        elif handler.field == Field.C_ECHO:
            self._respond(message, *dimse.perform(handler, request))
        elif handler.asks is not None:
            self._ask(message, handler, request)
        else:
            self._in_lane(message, handler, request)

    def _in_lane(self, message: Message, handler: Handler, request: Request) -> None:
        assert self.running is not None
        running, self._is_working = self.running, True
        pool = self.hub.long_pool if handler.field in dimse.RETRIEVES else None
        self.lane.put(lambda: running.perform(handler, request), pool)

    def _ask(self, message: Message, handler: Handler, request: Request) -> None:
        """A query that is one statement: nothing waits for it but its association."""
        try:
            dimse.allow(handler, request)
            assert handler.asks is not None
            reset = correlation_id.set(self.token)
            try:
                question = handler.asks(request, request.caller.actor(handler.door))
            finally:
                correlation_id.reset(reset)
        except Exception as error:
            self._respond(message, dimse.answer_to(error, handler.field, request))
            return
        if question is None:
            self._in_lane(message, handler, request)
            return

        def then(result: Any, error: Exception | None) -> None:
            if self.gone:
                self._done()
            elif isinstance(error, StatementFailed):
                log.warning("statement_failed", sqlstate=str(error))
                self._in_lane(message, handler, request)
            elif error is not None:
                self._respond(message, dimse.answer_to(error, handler.field, request))
            else:
                column = [result.get_value(row, 0) for row in range(result.ntuples)]
                self._send(message, question.answers(column))

        self._is_working = True
        self.hub.lines.run(Statement(question.sql, question.parameters), then)

    def look_again(self, then: Callable[[], None]) -> None:
        """Ask for the peer's rights; ``then`` is called when they are known."""

        def decided(decision: Decision) -> None:
            self._refreshed(decision)
            then()

        self.hub.doorkeeper.ask(self.knock, self.request, decided)

    # --- a C-STORE on its way

    def buffer_updated(self, count: int) -> None:
        super().buffer_updated(count)
        if not self.is_busy and not self.gone and isinstance(self.reader.waiting_sink, StoreIntake):
            self._leave(None)

    def _leave(self, message: Message | None) -> None:
        """Into a thread, where one is free: with a data set that has begun, or a message that is whole."""
        if self.gone or self._later or self.knock.is_tls or self.hub.receiving >= self.hub.settings.receivers:
            if message is not None:
                self._finish_storing(message)
            return
        intake = self.reader.waiting_sink if message is None else message.sink
        assert isinstance(intake, StoreIntake)
        try:
            receiver = Receiver(self)
        except OSError:  # out of descriptors: the loop needs none
            if message is not None:
                self._finish_storing(message)
            return
        pieces, size = intake.taken()
        self.budget.held -= size
        self.hold(True)
        self.receiver, self.running = receiver, None
        self.is_busy = self._is_working = True
        self.hub.receiving += 1

        def work() -> None:
            intake.storing.take(pieces)
            receiver.run(message)

        self.lane.put(work, self.hub.store_pool)

    def came_back(self, then: Callable[[], None]) -> None:
        """From the thread: go on here."""
        self.hub.receiving -= 1
        self.receiver = None
        self.is_busy = self._is_working = False
        if self.gone:
            if self.is_disconnected:
                self._wind_up()
            return
        then()
        if self.hub.is_stopping and not self.is_busy:
            self.abort("stopped")
        if not self.gone:
            self.read_on()
        if not self.is_disconnected:
            self.hold(False)

    def go_on(self, message: Message | None, units: Iterable[tuple[int, int, memoryview]]) -> None:
        """With what the thread has read and is no C-STORE."""
        try:
            if message is not None:
                self._answer(message)
            for unit in units:
                self.take(*unit)
        except pdu.ProtocolError as wrong:
            self.broken(wrong)

    def hold(self, hold: bool) -> None:
        if self.receiver is None:
            super().hold(hold)

    def hand_over(self, job: Callable[[], None], size: int) -> None:

        def work() -> None:
            try:
                job()
            finally:
                self.loop.call_soon_threadsafe(self._took, size)

        self._queued += size
        if self._queued > MOST_QUEUED or self.budget.is_spent:
            self.hold(True)
        self.lane.put(work)

    def _took(self, size: int) -> None:
        self.budget.held -= size
        self._queued -= size
        if self._queued <= MOST_QUEUED // 2 and not self.gone:
            self.hold(False)

    def _finish_storing(self, message: Message) -> None:
        intake = message.sink
        assert isinstance(intake, StoreIntake)
        pieces, size = intake.taken()
        storing, self._is_working = intake.storing, True

        def work() -> None:
            storing.take(pieces)
            answer, stored = storing.finish()
            if stored is not None:
                self.tally.stored[stored.series_id] += 1
            self.loop.call_soon_threadsafe(self._stored, message, answer, size)

        self._queued += size
        self.lane.put(work)

    def _stored(self, message: Message, answer: Answer, size: int) -> None:
        self._took(size)
        if self.gone:
            self._done()
        else:
            self._respond(message, answer)

    # --- answers

    def encoded(self, message: Message, answer: Answer) -> bytes:
        command = encode_response(
            message.command,
            answer.status,
            has_data_set=bool(answer.data),
            sop_instance_uid=answer.sop_instance_uid,
            comment=answer.comment,
            error_id=answer.error_id,
            counts=answer.counts,
        )
        room = self.request.max_length
        units = pdu.p_data(message.context_id, command, is_command=True, max_length=room)
        if answer.data:
            units += pdu.p_data(message.context_id, answer.data, is_command=False, max_length=room)
        return b"".join(units)

    def _respond(self, message: Message, answer: Answer) -> None:
        self.tally.note(answer.status)
        self.write(self.encoded(message, answer))
        self._done()

    def _send(self, message: Message, answers: Iterable[tuple[int, bytes]]) -> None:
        self._is_working = False
        self._outgoing = chunks_of(message, answers, self.request.max_length)
        self._pump()

    def _pump(self) -> None:
        """The next chunk, when the peer takes it and has not cancelled; what it sends is read in between."""
        if self._outgoing is None or self.gone or self.blocked_at is not None:
            return
        assert self.running is not None
        if self.running.has_been_cancelled:
            self._outgoing = None
            self._respond(self.running.message, Answer(Status.CANCELLED))
            return
        try:
            chunk, is_last = next(self._outgoing)
        except Exception as error:
            self._outgoing = None
            command = self.running.message.command
            request = self._request(self.running.message.context_id, command)
            self._respond(self.running.message, dimse.answer_to(error, command.field, request))
            return
        self.write(chunk)
        if is_last:
            self._outgoing = None
            self._done()
        else:
            self.loop.call_soon(self._pump)

    def finished(self, last: bytes) -> None:
        """The thread is through with the request."""
        if not self.gone:
            self.write(last)
        self._done()

    def _done(self) -> None:
        self.is_busy = self._is_working = False
        self.running = None
        self.since = self.loop.time()
        if self.gone:
            if self.is_disconnected:
                self._wind_up()
        elif self.hub.is_stopping:
            self.abort("stopped")
        elif not self._is_draining:
            self._is_draining = True
            try:
                self._drain()
            finally:
                self._is_draining = False

    def _drain(self) -> None:
        """Take what came meanwhile, until the next request runs."""
        try:
            while self._later and not self.is_busy:
                context_id, control, content = self._later.popleft()
                self._ahead -= len(content)
                self.take(context_id, control, memoryview(content))
        except pdu.ProtocolError as wrong:
            self.broken(wrong)
            return
        if not self.gone and not self.is_busy:
            if self._wants_release:
                self._release()
            else:
                self.hold(False)


def _never() -> bool:
    return False


@lru_cache(64)
def _name(command_field: int) -> str:
    try:
        return Field(command_field).name
    except ValueError:
        return f"{command_field:#06x}"
