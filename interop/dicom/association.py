"""One association on its socket: reads with deadlines, lets handlers answer, writes down what happened.

The thread works for the facility that was called. Its database connection is given back whenever the line is silent,
so that a hundred idle scanners hold no connection.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import close_old_connections, connection
from django.db.utils import DatabaseError, InterfaceError
from django.utils import timezone

from interop.dicom import admission, dimse, pdu
from interop.dicom.dimse import Answer, Caller, Handler, Lost, Request, Status
from interop.dicom.elements import Malformed
from interop.dicom.headers import MAX_META, read_file_start
from interop.dicom.messages import (
    RESPONSE,
    Command,
    Field,
    Message,
    MessageReader,
    Sink,
    encode_response,
    encode_store_request,
)
from interop.dicom.upper_layer import Aborted, Data, Event, ReleaseRequested, Requested, UpperLayer
from interop.models import AssociationLog
from ris.audit.models import Action
from ris.audit.service import correlation_id, flush_refusals, record
from ris.tenants.context import use_facility
from worklist.permissions import STORE_STUDY

log = structlog.get_logger("interop.dicom")

SEND_BATCH = 64 * 1024
QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)
STATUSES_COUNTED = 20
#: Seconds in which the peer may close after the last word.
LINGER = 1.0


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. ``pdu_seconds``: a begun PDU, or message part, must be whole by then."""

    max_length: int = 131072
    request_seconds: float = 30
    idle_seconds: float = 300
    pdu_seconds: float = 60
    quiet_seconds: float = 1


@dataclass
class Tally:
    """What an association was used for; becomes its AssociationLog."""

    started_at: Any = field(default_factory=timezone.now)
    counts: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    #: by key of the series: its study, and how many objects came
    stored: dict[int, list[Any]] = field(default_factory=dict)
    outcome: str = "lost"


class DiscardSink:
    """Swallows the data set of a request that is refused anyway; answers with the refusal afterwards."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def write(self, chunk: memoryview) -> None:
        """Not kept."""


class MemorySink:
    """Keeps an identifier or an attribute list, and no more than one of those can be long."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_too_long = False

    def write(self, chunk: memoryview) -> None:
        if len(self.data) + len(chunk) > dimse.MAX_DATA_SET:
            self.is_too_long = True
            self.data.clear()
        if not self.is_too_long:
            self.data += chunk


class StoreSinkGuard:
    """A C-STORE on its way: after an error in the middle the rest is swallowed, and the answer comes at the end."""

    def __init__(self, sink: dimse.StoreSink, handler: Handler, request: Request) -> None:
        self.sink, self.handler, self.request = sink, handler, request
        self.failure: Answer | None = None

    def write(self, chunk: memoryview) -> None:
        if self.failure is None:
            try:
                self.sink.write(chunk)
            except Exception as error:
                self.sink.discard()
                self.failure = dimse.answer_to(error, Field.C_STORE, self.request)

    def finish(self) -> tuple[Answer, Any]:
        """The answer, and what was stored."""
        if self.failure is not None:
            return self.failure, None
        try:
            stored = self.sink.finish()
        except Exception as error:
            return dimse.answer_to(error, Field.C_STORE, self.request), None
        return Answer(Status.SUCCESS, sop_instance_uid=self.request.sop_instance_uid), stored


class Association:
    """``run`` from accept to close, in a thread of its own."""

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        limits: Limits,
        *,
        may_open: Callable[[str], bool],
        stopping: threading.Event,
        certificate: str | None = None,
    ) -> None:
        self.sock, self.address, self.limits = sock, address, limits
        self.certificate, self.is_tls = certificate, isinstance(sock, ssl.SSLSocket)
        self._may_open, self._stopping = may_open, stopping
        self.layer = UpperLayer(max_length=limits.max_length)
        self.reader = MessageReader(self._open_sink)
        self.contexts: dict[int, pdu.ContextAnswer] = {}
        self.peer_length = 0
        self.taken_back: set[str] = set()
        self._stores = 0
        self.caller: Caller | None = None
        self.has_opened = False
        self.tally = Tally()
        self._later: deque[tuple[int, int, bytes]] = deque()
        self._cancelled: set[int] = set()
        self._replies: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    # --- the life of an association

    def run(self) -> None:
        token = correlation_id.set(f"dicom-{uuid.uuid4().hex[:16]}")
        close_old_connections()
        try:
            request = self._await_request()
            decision = self._decide(request)
            if isinstance(decision, admission.Refusal):
                self._send(pdu.associate_reject(decision.rejection))
                self.layer.closed()
                return
            self.caller = decision
            with use_facility(decision.facility):
                self._serve(request)
        except Lost as lost:
            log.info("connection_lost", outcome=lost.outcome, address=self.address)
        except pdu.ProtocolError as wrong:
            self._abort(wrong)
        except (OSError, ssl.SSLError) as error:
            log.info("connection_lost", error=type(error).__name__, address=self.address)
        finally:
            correlation_id.reset(token)
            self._close()
            connection.close()

    def _await_request(self) -> pdu.AssociateRequest:
        deadline = time.monotonic() + self.limits.request_seconds
        while True:
            event = self.layer.next_event()
            if isinstance(event, Requested):
                return event.request
            if event is not None:
                raise Lost("aborted")
            self._receive(deadline)

    def _decide(self, request: pdu.AssociateRequest) -> Caller | admission.Refusal:
        self.has_opened = self._may_open(self.address)
        if not self.has_opened:
            return admission.Refusal(pdu.Rejection.LOCAL_LIMIT)
        try:
            return admission.admit(request, self.address, certificate=self.certificate, tls=self.is_tls)
        except (DatabaseError, InterfaceError) as error:
            log.warning("database_unavailable", error=type(error).__name__)
            connection.close()
            return admission.Refusal(pdu.Rejection.CONGESTION)

    def _serve(self, request: pdu.AssociateRequest) -> None:
        try:
            answers = admission.negotiate(request.contexts)
            self.contexts = {answer.id: answer for answer in answers if answer.result == 0}
            sent_back = admission.sent_back()
            self.taken_back = {uid for uid, (_scu, scp) in request.roles.items() if scp and uid in sent_back}
            self.peer_length = request.max_length
            if 0 < self.peer_length < 64:
                raise pdu.ProtocolError(pdu.Abort.INVALID_PARAMETER, "The peer takes no data.")
            self.layer.accepted()
            self._send(pdu.associate_accept(request, answers, max_length=self.limits.max_length, scp_of=sent_back))
            self._converse()
        except pdu.ProtocolError as wrong:
            self.tally.outcome = "protocol_error"
            self._abort(wrong)
        except Lost as lost:
            self.tally.outcome = lost.outcome
            if lost.outcome in ("idle", "stalled", "stopped"):
                self._abort(None)
        except (OSError, ssl.SSLError):
            self.tally.outcome = "lost"
        finally:
            self._drop_unfinished()
            self._write_down()

    def _converse(self) -> None:
        while True:
            event = self._next_event()
            if isinstance(event, ReleaseRequested):
                self.tally.outcome = "released"
                if self.caller is not None:
                    dimse.ended(self.caller)
                self._send(pdu.release_response())
                return
            if isinstance(event, Aborted):
                raise Lost("aborted")
            if isinstance(event, Data):
                for unit in _units(event.body):
                    self._take(*unit)
                    while self._later:
                        self._take(*self._later.popleft())

    def _take(self, context_id: int, control: int, content: memoryview | bytes) -> None:
        if context_id not in self.contexts:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A presentation context was not accepted.")
        message = self.reader.take(context_id, control, content)  # type: ignore[arg-type]
        if message is not None:
            self._answer(message)

    # --- bytes

    def _next_event(self) -> Event:
        begun = time.monotonic()
        while True:
            event = self.layer.next_event()
            if event is not None:
                return event
            is_idle = self.layer.is_between_units and self.reader.is_idle
            seconds = self.limits.idle_seconds if is_idle else self.limits.pdu_seconds
            if not is_idle and QUICK_ACK is not None:
                with contextlib.suppress(OSError):
                    self.sock.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
            self._receive(begun + seconds, outcome="idle" if is_idle else "stalled")

    def _receive(self, deadline: float, outcome: str = "silent") -> None:
        """Take what has come; give the database connection back while nothing comes."""
        while True:
            wait = min(deadline - time.monotonic(), self.limits.quiet_seconds)
            if wait <= 0:
                raise Lost(outcome)
            if self._stopping.is_set() and outcome != "stalled":
                raise Lost("stopped")
            self.sock.settimeout(wait)
            try:
                count = self.sock.recv_into(self.layer.free_space())
            except TimeoutError:
                connection.close()
                continue
            if not count:
                raise Lost("lost")
            self.layer.received(count)
            return

    def _send(self, data: bytes) -> None:
        self.sock.settimeout(self.limits.pdu_seconds)
        self.sock.sendall(data)

    def _abort(self, wrong: pdu.ProtocolError | None) -> None:
        if wrong is not None:
            log.info("protocol_error", reason=wrong.reason.name, words=str(wrong), address=self.address)
        self.layer.closed()
        with contextlib.suppress(OSError, ssl.SSLError):
            self._send(pdu.abort(wrong.reason if wrong else pdu.Abort.NOT_SPECIFIED))

    def _close(self) -> None:
        """PS3.8: the requestor closes after a release or a rejection; it gets a moment to do so."""
        with contextlib.suppress(OSError, ssl.SSLError, ValueError):
            deadline = time.monotonic() + LINGER
            self.sock.settimeout(LINGER)
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
            else:
                self.sock.shutdown(socket.SHUT_WR)
                while time.monotonic() < deadline and self.sock.recv(65536):
                    continue
        with contextlib.suppress(OSError):
            self.sock.close()

    # --- requests

    def _request(self, context_id: int, command: Command, data: bytes = b"") -> Request:
        assert self.caller is not None
        return Request(
            caller=self.caller,
            message_id=command.message_id,
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=self.contexts[context_id].transfer_syntax,
            data=data,
            attribute_tags=command.attribute_tags,
            is_cancelled=lambda: self._is_cancelled(command.message_id),
            move_destination=command.move_destination,
            action_type_id=command.action_type_id,
            suboperations=self if command.field == Field.C_GET else dimse.NoSuboperations(),
        )

    def _open_sink(self, context_id: int, command: Command) -> Sink:
        """Where the data set that follows this command goes."""
        if command.field != Field.C_STORE:
            return MemorySink()
        request = self._request(context_id, command)
        handler, refusal = self._handler(context_id, command)
        if handler is None:
            return DiscardSink(refusal)
        try:
            dimse.allow(handler, request)
            sink = handler.function(request, request.caller.actor(handler.door))
        except Exception as error:
            return DiscardSink(dimse.answer_to(error, Field.C_STORE, request))
        return StoreSinkGuard(sink, handler, request)

    def _handler(self, context_id: int, command: Command) -> tuple[Handler | None, Answer]:
        """The handler of a command on a context, or None and why not."""
        abstract = self.contexts[context_id].abstract_syntax
        handler = dimse.handler_for(command.field, abstract)
        if handler is None:
            return None, Answer(Status.UNRECOGNIZED_OPERATION, comment="The context has no such operation.")
        if command.sop_class_uid != abstract:
            status = Status.NO_SUCH_CLASS if command.field >= Field.N_EVENT_REPORT else Status.CLASS_NOT_SUPPORTED
            return None, Answer(status, comment="The SOP class is not the context's.")
        return handler, Answer(Status.SUCCESS)

    def _answer(self, message: Message) -> None:
        command, sink = message.command, message.sink
        if command.field == Field.C_CANCEL:
            return  # the operation has ended before
        if command.field & 0x8000:
            raise pdu.ProtocolError(pdu.Abort.UNEXPECTED_PARAMETER, "A response came without a request.")
        self.tally.counts[_name(command.field)] += 1
        close_old_connections()
        if isinstance(sink, DiscardSink):
            self._respond(message, sink.answer)
        elif isinstance(sink, StoreSinkGuard):
            answer, stored = sink.finish()
            if stored is not None:
                self._note_stored(stored)
            self._respond(message, answer)
        else:
            self._perform(message, sink)
        self._cancelled.discard(command.message_id)
        self._flush_refusals()

    def _perform(self, message: Message, sink: Any) -> None:
        command = message.command
        data = bytes(sink.data) if sink is not None else b""
        request = self._request(message.context_id, command, data)
        handler, refusal = self._handler(message.context_id, command)
        if handler is None:
            self._respond(message, refusal)
        elif sink is not None and sink.is_too_long:
            too_long = Malformed(f"More than {dimse.MAX_DATA_SET} bytes are no request.")
            self._respond(message, dimse.answer_to(too_long, command.field, request))
        else:
            batch = bytearray()
            for answer in dimse.perform(handler, request):
                self._note(answer.status)
                batch += self._encoded(message, answer)
                if len(batch) >= SEND_BATCH or command.field in dimse.RETRIEVES:
                    self._send(bytes(batch))
                    batch.clear()
            if batch:
                self._send(bytes(batch))

    def _respond(self, message: Message, answer: Answer) -> None:
        self._note(answer.status)
        self._send(self._encoded(message, answer))

    def _note(self, status: int) -> None:
        if status not in (Status.SUCCESS, Status.PENDING, Status.PENDING_WARNING):
            self.tally.refused[f"{status:04X}"] += 1

    def _encoded(self, message: Message, answer: Answer) -> bytes:
        command = encode_response(
            message.command,
            answer.status,
            has_data_set=bool(answer.data),
            sop_instance_uid=answer.sop_instance_uid,
            comment=answer.comment,
            error_id=answer.error_id,
            counts=answer.counts,
        )
        units = pdu.p_data(message.context_id, command, is_command=True, max_length=self.peer_length)
        if answer.data:
            units += pdu.p_data(message.context_id, answer.data, is_command=False, max_length=self.peer_length)
        return b"".join(units)

    # --- C-STORE back to who asks with C-GET

    def accepts(self, sop_class_uid: str) -> tuple[str, ...]:
        if sop_class_uid not in self.taken_back:
            return ()
        return tuple(one.transfer_syntax for one in self.contexts.values() if one.abstract_syntax == sop_class_uid)

    def store(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, path: str | os.PathLike[str]
    ) -> int:
        context_id = next(
            (
                number
                for number, one in self.contexts.items()
                if (one.abstract_syntax, one.transfer_syntax) == (sop_class_uid, transfer_syntax_uid)
            ),
            None,
        )
        if context_id is None or sop_class_uid not in self.taken_back:
            return dimse.Status.CLASS_NOT_SUPPORTED
        self._stores = self._stores % 0xFFFF + 1
        with open(path, "rb") as file:
            file.seek(read_file_start(file.read(MAX_META)).offset)
            asked = encode_store_request(self._stores, sop_class_uid, sop_instance_uid)
            units = pdu.p_data(context_id, asked, is_command=True, max_length=self.peer_length)
            chunk = file.read(SEND_BATCH)
            while chunk:
                following = file.read(SEND_BATCH)
                units += pdu.p_data(
                    context_id, chunk, is_command=False, max_length=self.peer_length, is_last=not following
                )
                self._send(b"".join(units))
                units, chunk = [], following
        while self._stores not in self._replies:
            self._take_aside(time.monotonic() + self.limits.pdu_seconds)
        return self._replies.pop(self._stores)

    def _is_cancelled(self, message_id: int) -> bool:
        """Whether a C-CANCEL has come meanwhile; what else has come is kept for later."""
        while self._is_readable():
            self._take_aside(time.monotonic() + self.limits.pdu_seconds)
        return message_id in self._cancelled

    def _take_aside(self, deadline: float) -> None:
        """Take what comes while a request runs: a C-CANCEL, the answer to a C-STORE of ours, or something for later."""
        try:
            self._receive(deadline, outcome="stalled")
        except OSError:
            raise Lost("lost") from None
        while isinstance(event := self.layer.next_event(), Data):
            for context_id, control, content in pdu.pdvs(event.body):
                self._sort(context_id, control, bytes(content))
        if event is not None:
            raise Lost("aborted")

    def _sort(self, context_id: int, control: int, content: bytes) -> None:
        if control == 3 and not self._later:
            message = MessageReader(self._open_sink).take(context_id, control, memoryview(content))
            if message is not None and message.command.field == Field.C_CANCEL:
                self._cancelled.add(message.command.message_id)
                return
            if message is not None and message.command.field == Field.C_STORE | RESPONSE:
                self._replies[message.command.message_id] = message.command.status or 0
                return
        self._later.append((context_id, control, content))

    def _is_readable(self) -> bool:
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return bool(self._poll.poll(0))

    # --- what remains of it

    def _note_stored(self, instance: Any) -> None:
        kept = self.tally.stored.get(instance.series_id)
        if kept is None:
            kept = self.tally.stored[instance.series_id] = [instance.series.study, 0]
        kept[1] += 1

    def _drop_unfinished(self) -> None:
        waiting = self.reader.waiting_sink
        if isinstance(waiting, StoreSinkGuard) and waiting.failure is None:
            waiting.sink.discard()

    def _flush_refusals(self) -> None:
        try:
            flush_refusals()
        except (DatabaseError, InterfaceError) as error:
            log.warning("refusals_not_written_down", error=type(error).__name__)

    def _write_down(self) -> None:
        """One line per association, one audit row per association and study."""
        assert self.caller is not None
        try:
            close_old_connections()
            flush_refusals()
            dimse.ended(self.caller)
            counts: Counter = Counter()
            for study, count in self.tally.stored.values():
                counts[study] += count
            for study, count in counts.items():
                detail = {"instances": count}
                record(self.caller.actor("storage"), STORE_STUDY, Action.CREATE, entity=study, detail=detail)
            AssociationLog.objects.create(
                calling_ae_title=self.caller.calling_ae_title,
                called_ae_title=self.caller.called_ae_title,
                address=self.address,
                started_at=self.tally.started_at,
                ended_at=timezone.now(),
                outcome=self.tally.outcome,
                counts=dict(self.tally.counts),
                refused=dict(self.tally.refused.most_common(STATUSES_COUNTED)),
            )
        except (DatabaseError, InterfaceError) as error:
            log.warning("association_not_written_down", error=type(error).__name__)


def _units(body: memoryview) -> list[tuple[int, int, memoryview | bytes]]:
    """The values of a P-DATA-TF; copied when a message ends before the last one, for its handler may read on."""
    units: list[tuple[int, int, memoryview | bytes]] = list(pdu.pdvs(body))
    if any(control == 2 for _context, control, _content in units[:-1]):
        units = [(context_id, control, bytes(content)) for context_id, control, content in units]
    return units


def _name(command_field: int) -> str:
    try:
        return Field(command_field).name
    except ValueError:
        return f"{command_field:#06x}"
