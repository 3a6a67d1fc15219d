"""One association on the event loop: bytes in and out, timers, one request at a time; whatever waits goes to a thread.

What comes while a request runs is a C-CANCEL, the answer to a C-STORE of ours, a release, or something for later. The
peer's rights are looked at again before each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import structlog
from django.db.utils import DatabaseError, InterfaceError
from django.utils import timezone

from interop.dicom import admission, dimse, pdu
from interop.dicom.dimse import Answer, Caller, Handler, Request, Status
from interop.dicom.doorkeeper import Admitted, Decision, Knock
from interop.dicom.intake import MOST_QUEUED, Budget, DiscardSink, MemorySink, StoreIntake, Storing
from interop.dicom.logbook import LEAVES_NOTHING, settle
from interop.dicom.messages import RESPONSE, Command, Field, Message, MessageReader, Sink, encode_response
from interop.dicom.requests import Running, chunks_of
from interop.dicom.statements import Statement, StatementFailed
from interop.dicom.upper_layer import Aborted, Data, Requested, State, UpperLayer
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


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. ``pdu_seconds``: a begun PDU, or message part, must be whole by then."""

    max_length: int = 131072
    request_seconds: float = 30
    idle_seconds: float = 300
    pdu_seconds: float = 60


@dataclass
class Tally:
    """What an association was used for; becomes its AssociationLog."""

    started_at: Any = field(default_factory=timezone.now)
    counts: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    #: by key of the series: its study, and how many objects came
    stored: dict[int, list[Any]] = field(default_factory=dict)
    outcome: str = "lost"

    def note(self, status: int) -> None:
        if status not in (Status.SUCCESS, Status.PENDING, Status.PENDING_WARNING):
            self.refused[f"{status:04X}"] += 1

    def note_stored(self, instance: Any) -> None:
        kept = self.stored.get(instance.series_id)
        if kept is None:
            kept = self.stored[instance.series_id] = [instance.series.study, 0]
        kept[1] += 1


@dataclass(frozen=True)
class Terms:
    """What was agreed upon in answer to one association request."""

    contexts: dict[int, pdu.ContextAnswer]
    taken_back: frozenset[str]
    accept: bytes


@lru_cache(256)
def terms_for(request: pdu.AssociateRequest, max_length: int, _registered: int) -> Terms:
    answers = admission.negotiate(request.contexts)
    sent_back = admission.sent_back()
    return Terms(
        {answer.id: answer for answer in answers if answer.result == 0},
        frozenset(uid for uid, (_scu, scp) in request.roles.items() if scp and uid in sent_back),
        pdu.associate_accept(request, answers, max_length=max_length, scp_of=sent_back),
    )


class Association(asyncio.BufferedProtocol):
    """From connect to close. Every method runs on the loop."""

    transport: asyncio.Transport
    request: pdu.AssociateRequest
    knock: Knock
    admitted: Admitted
    terms: Terms

    def __init__(self, hub: Hub) -> None:
        self.hub, self.loop, self.limits = hub, hub.loop, hub.settings.limits
        self.budget: Budget = hub.budget
        self.layer = UpperLayer(max_length=self.limits.max_length)
        self.reader = MessageReader(self._open_sink)
        self.caller: Caller | None = None
        self.lane: Lane | None = None
        self.tally = Tally()
        self.address, self.token = "", ""
        self.since = self.loop.time()
        #: Empty while it lives; afterwards why it does not.
        self.gone = ""
        #: (facility, calling AE title), once it is counted under them
        self.title: tuple[str, str] | None = None
        self.has_opened = self.is_busy = self.is_held = False
        self.closing_at: float | None = None
        self.blocked_at: float | None = None
        self.running: Running | None = None
        self._wants_release = self._is_working = self._is_draining = self.is_disconnected = False
        self._queued = 0
        self._outgoing: Iterator[tuple[bytes, bool]] | None = None
        self._later: deque[tuple[int, int, bytes]] = deque()
        self._ahead = 0

    # --- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.address = (transport.get_extra_info("peername") or ("",))[0]
        self.hub.connected(self)

    def get_buffer(self, _sizehint: int) -> Any:
        return self.layer.free_space() if self.layer.state is not State.CLOSED else memoryview(_scrap)

    def buffer_updated(self, count: int) -> None:
        if self.layer.state is State.CLOSED:
            return
        self.layer.received(count)
        self._read_on()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = self.tally.outcome
        if self.layer.state is not State.CLOSED:
            self.layer.closed()
        if error is not None:
            log.info("connection_lost", error=type(error).__name__, address=self.address)
        self.is_disconnected = True
        self.hub.disconnected(self)
        if self.running is not None:
            self.running.lost()
        self._outgoing = None
        if not self._is_working:
            self._wind_up()

    def pause_writing(self) -> None:
        self.blocked_at = self.loop.time()

    def resume_writing(self) -> None:
        self.blocked_at = None
        if self.running is not None:
            self.running.resume()
        if self._outgoing is not None:
            self._pump()

    def tick(self, now: float) -> None:
        """Look at the timers."""
        if self.closing_at is not None:
            if now > self.closing_at:
                self.transport.abort()
        elif self.caller is None:
            if now > self.since + self.limits.request_seconds and not self.is_held:
                self._hang_up("silent")
        elif self.blocked_at is not None and now > self.blocked_at + self.limits.pdu_seconds:
            self._hang_up("stalled")
        elif not self.is_busy:
            is_idle = self.layer.is_between_units and self.reader.is_idle
            if now > self.since + (self.limits.idle_seconds if is_idle else self.limits.pdu_seconds):
                self.abort("idle" if is_idle else "stalled")

    # --- the end

    def write(self, data: bytes) -> None:
        if not self.is_disconnected:
            self.transport.write(data)

    def abort(self, outcome: str, reason: pdu.Abort = pdu.Abort.NOT_SPECIFIED) -> None:
        """A-ABORT, with which the association ends."""
        if self.gone:
            return
        self.tally.outcome = self.gone = outcome
        self.write(pdu.abort(reason))
        self._last_word()

    def _hang_up(self, outcome: str) -> None:
        self.tally.outcome = self.gone = outcome
        self.layer.closed()
        if not self.is_disconnected:
            self.transport.abort()

    def _last_word(self) -> None:
        """PS3.8: the requestor closes after a release or a rejection; it gets a moment to do so."""
        self.layer.closed()
        if self.is_disconnected:
            return
        self.closing_at = self.loop.time() + LINGER
        self._hold(False)
        if self.hub.is_stopping:
            self.transport.close()
        elif self.transport.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                self.transport.write_eof()

    def _wind_up(self) -> None:
        """Nothing comes any more and nothing runs: clean up, and write down what happened."""
        waiting = self.reader.waiting_sink
        if waiting is not None:
            waiting.release()
        self.hub.wind_up(self, waiting.storing if isinstance(waiting, StoreIntake) else None)

    def stop(self) -> None:
        """The server stops: a running request may end."""
        if self.closing_at is not None:
            self.transport.close()
        elif self.caller is None:
            self._hang_up("stopped")
        elif not self.is_busy:
            self.abort("stopped")

    # --- opening

    def _read_on(self) -> None:
        try:
            while not self.is_held and (event := self.layer.next_event()) is not None:
                self.since = self.loop.time()
                if isinstance(event, Data):
                    for unit in pdu.pdvs(event.body):
                        self._take(*unit)
                elif isinstance(event, Requested):
                    self._decide(event.request)
                elif isinstance(event, Aborted):
                    self._hang_up("aborted")
                elif self.is_busy:
                    self._wants_release = True
                else:
                    self._release()
        except pdu.ProtocolError as wrong:
            self._break(wrong)
            return
        if QUICK_ACK is not None and not (self.layer.is_between_units and self.reader.is_idle):
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def _break(self, wrong: pdu.ProtocolError) -> None:
        log.info("protocol_error", reason=wrong.reason.name, words=str(wrong), address=self.address)
        self.abort("protocol_error", wrong.reason)

    def _release(self) -> None:
        """Answered when what handlers leave for the end of an association is done."""
        self.tally.outcome = "released"
        caller, lane = self.caller, self.lane
        if caller is None or lane is None or self.tally.counts.keys() <= LEAVES_NOTHING:
            self._released()
            return
        self.is_busy = self._is_working = True

        def work() -> None:
            try:
                settle(caller, self.tally)
            finally:
                self.loop.call_soon_threadsafe(self._released)

        lane.put(work)

    def _released(self) -> None:
        self.is_busy = self._is_working = False
        self.gone = self.gone or "released"
        if self.is_disconnected:
            self._wind_up()
            return
        self.write(pdu.release_response())
        self.layer.closed()
        self.closing_at = self.loop.time() + LINGER

    def _decide(self, request: pdu.AssociateRequest) -> None:
        self.request = request
        malformed = admission.why_malformed(request)
        if not self.hub.may_open(self):
            self._reject(pdu.Rejection.LOCAL_LIMIT)
        elif malformed is not None:
            self._reject(malformed)
        else:
            certificate, is_tls = self.hub.certificate_of(self.transport)
            called, calling = request.called_ae_title.strip(" "), request.calling_ae_title.strip(" ")
            self.knock = Knock(called, calling, self.address, certificate, is_tls)
            self.is_held = True
            self.hub.doorkeeper.ask(self.knock, request, self._decided)
            if self.is_held:
                self.transport.pause_reading()

    def _reject(self, rejection: pdu.Rejection) -> None:
        self.write(pdu.associate_reject(rejection))
        self._last_word()

    def _decided(self, decision: Decision) -> None:
        was_paused, self.is_held = not self.transport.is_reading(), False
        if self.gone:
            return
        if was_paused:
            self.transport.resume_reading()
        if isinstance(decision, admission.Refusal):
            self._reject(decision.rejection)
        elif isinstance(decision, Exception):
            _note_failure(decision)
            self._reject(pdu.Rejection.CONGESTION)
        elif not self.hub.may_open_for(self, decision):
            self._reject(pdu.Rejection.LOCAL_LIMIT)
        elif 0 < self.request.max_length < 64:
            self._break(pdu.ProtocolError(pdu.Abort.INVALID_PARAMETER, "The peer takes no data."))
        else:
            self._accept(decision)
            if was_paused:
                self._read_on()

    def _accept(self, admitted: Admitted) -> None:
        knock = self.knock
        self.admitted = admitted
        self.caller = Caller(
            admitted.facility, admitted.peer, knock.calling, knock.called, knock.address, admitted.plans
        )
        self.token = f"dicom-{os.urandom(8).hex()}"
        self.lane = Lane(self.hub.pool, admitted.facility, self.token)
        self.terms = terms_for(self.request, self.limits.max_length, dimse.registrations())
        self.layer.accepted()
        self.write(self.terms.accept)
        if self.hub.is_stopping:
            self.abort("stopped")

    # --- messages

    def _take(self, context_id: int, control: int, content: memoryview) -> None:
        if self.gone:
            return
        if context_id not in self.terms.contexts:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A presentation context was not accepted.")
        if self.is_busy:
            self._take_aside(context_id, control, content)
            return
        message = self.reader.take(context_id, control, content)
        if message is not None:
            self._answer(message)

    def _take_aside(self, context_id: int, control: int, content: memoryview) -> None:
        """What comes while a request runs."""
        if control == 3 and not self._later and self.running is not None:
            message = MessageReader(self._open_sink).take(context_id, control, content)
            if message is not None and self.running.hears(message.command):
                return
        self._later.append((context_id, control, bytes(content)))
        self._ahead += len(content)
        if self._ahead > MOST_AHEAD:
            self._hold(True)

    def _hold(self, hold: bool) -> None:
        """Read on, or let the peer wait."""
        if hold == self.transport.is_reading():
            if hold:
                self.transport.pause_reading()
            elif not self.transport.is_closing():
                self.transport.resume_reading()

    def _open_sink(self, context_id: int, command: Command) -> Sink:
        """Where the data set that follows this command goes."""
        if command.field != Field.C_STORE:
            return MemorySink(self.budget)
        handler, refusal = self._handler(context_id, command)
        if handler is None:
            return DiscardSink(refusal)
        if not self.hub.doorkeeper.is_fresh(self.admitted):
            self.hub.doorkeeper.ask(self.knock, self.request, self._refreshed)
        return StoreIntake(self, Storing(handler, self._request(context_id, command)))

    def _handler(self, context_id: int, command: Command) -> tuple[Handler | None, Answer]:
        """The handler of a command on a context, or None and why not."""
        abstract = self.terms.contexts[context_id].abstract_syntax
        handler = dimse.handler_for(command.field, abstract)
        if handler is None:
            return None, Answer(Status.UNRECOGNIZED_OPERATION, comment="The context has no such operation.")
        if command.sop_class_uid != abstract:
            status = Status.NO_SUCH_CLASS if command.field >= Field.N_EVENT_REPORT else Status.CLASS_NOT_SUPPORTED
            return None, Answer(status, comment="The SOP class is not the context's.")
        return handler, Answer(Status.SUCCESS)

    def _request(self, context_id: int, command: Command, data: bytes = b"") -> Request:
        assert self.caller is not None
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
            self._finish_storing(message, message.sink)
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
        assert self.caller is not None
        if isinstance(decision, Admitted):
            self.admitted = decision
            self.caller.peer, self.caller.plans = decision.peer, decision.plans
        elif isinstance(decision, admission.Refusal):
            self.caller.is_withdrawn = True
        else:
            _note_failure(decision)

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
        assert self.running is not None and self.lane is not None
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
                column = (result.get_value(row, 0) for row in range(result.ntuples))
                self._send(message, question.answers(column))

        self._is_working = True
        self.hub.lines.run(Statement(question.sql, question.parameters), then)

    # --- a C-STORE on its way

    def hand_over(self, job: Callable[[], None], size: int) -> None:
        assert self.lane is not None

        def work() -> None:
            try:
                job()
            finally:
                self.loop.call_soon_threadsafe(self._took, size)

        self._queued += size
        if self._queued > MOST_QUEUED or self.budget.is_spent:
            self._hold(True)
        self.lane.put(work)

    def _took(self, size: int) -> None:
        self.budget.held -= size
        self._queued -= size
        if self._queued <= MOST_QUEUED // 2 and not self.gone:
            self._hold(False)

    def _finish_storing(self, message: Message, intake: StoreIntake) -> None:
        assert self.lane is not None
        pieces, size = intake.taken()
        storing, self._is_working = intake.storing, True

        def work() -> None:
            storing.take(pieces)
            answer, stored = storing.finish()
            try:
                if stored is not None:
                    self.tally.note_stored(stored)
            except Exception as error:
                answer = dimse.answer_to(error, Field.C_STORE, storing.request)
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
                self._take(context_id, control, memoryview(content))
        except pdu.ProtocolError as wrong:
            self._break(wrong)
            return
        if not self.gone and not self.is_busy:
            if self._wants_release:
                self._release()
            else:
                self._hold(False)


def _never() -> bool:
    return False


def _note_failure(error: Exception) -> None:
    if isinstance(error, DatabaseError | InterfaceError):
        log.warning("database_unavailable", error=type(error).__name__)
    else:
        log.error("admission_failed", error=type(error).__name__, exc_info=error)


@lru_cache(64)
def _name(command_field: int) -> str:
    try:
        return Field(command_field).name
    except ValueError:
        return f"{command_field:#06x}"
