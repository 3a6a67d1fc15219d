"""What happens to a frame, from the door to the answer. Blocking: the listener calls it in a thread.

Stored raw, and committed, before anything is answered; processed and answered in one transaction, so that an effect and
the answer that tells of it exist together or not at all. Where nothing is said in between (original mode) and nothing
stands in the way, that is one commit for all. The sender repeats until it is answered, and a repeat (same MSH-3, MSH-4,
MSH-10) gets the stored answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from interop.hl7 import acknowledgements as ack
from interop.hl7 import batches
from interop.hl7.door import Door
from interop.hl7.doors import facility_of
from interop.hl7.messages import (
    DATA_TYPE,
    DUPLICATE_KEY,
    REQUIRED_MISSING,
    TOO_LONG,
    UNKNOWN_KEY,
    Header,
    Hl7Error,
    Location,
    parse,
    peek,
)
from interop.hl7.processor import process, process_new
from interop.hl7.senders import STANDING, sender_of
from interop.models import InboundMessage, MessageStatus
from ris.accounts.memory import remembering
from ris.audit.models import Action
from ris.audit.service import correlation_id, flush_refusals, refused
from ris.core.actor import Actor
from ris.tenants.context import use_facility
from ris.tenants.routing import MLLP, record_refusal

LONGEST_PARTY, LONGEST_CONTROL_ID = 180, 199
NOT_ADMITTED = "No receiver is registered here for MSH-5 and MSH-6 from where you are."


@dataclass
class Reception:
    """What is to be sent back now, whether the connection ends, and what is still to be processed after that."""

    replies: list[bytes] = field(default_factory=list)
    closes: bool = False
    schema: str = ""
    message: int | None = None
    header: Header | None = None
    door: Door | None = None
    seen: Any = None


def actor_of_sender(header: Header | None, address: str) -> Actor:
    return Actor("hl7", ae_title=(header.sending_application if header else "")[:16], address=address[:64])


def receive(raw: bytes, door: Door) -> Reception:
    """Route, store, acknowledge. Original mode: the message is processed here; enhanced mode: by ``finish``, or by the
    dispatcher where nothing more is to be said on this connection."""
    is_batch = batches.is_batch(raw)
    header = batches.head_of(raw.lstrip(b"\r\n \t")) if is_batch else peek(raw)
    facility = facility_of(header, door)
    if facility is None:
        problem = ack.Problem(UNKNOWN_KEY, Location("MSH", 1, 6), NOT_ADMITTED)
        return Reception(_refusal(header, problem), closes=True)
    with use_facility(facility), remembering(STANDING):
        reception = _receive_batch(raw, door) if is_batch else _receive(raw, header, door)
        reception.schema = facility.schema_name
        return reception


def receive_here(raw: bytes, door: Door) -> list[bytes]:
    """All answers to a message that did not come over a connection, for the facility whose turn it is."""
    if batches.is_batch(raw):
        return _receive_batch(raw, door).replies
    reception = _receive(raw, peek(raw), door)
    if reception.header is None or not reception.header.is_enhanced or reception.closes:
        return reception.replies
    known = InboundMessage.objects.filter(
        sending_application=reception.header.sending_application,
        sending_facility=reception.header.sending_facility,
        control_id=reception.header.control_id,
    ).first()
    if known is None:
        return reception.replies
    row = process_message(known.pk, actor_of_sender(reception.header, door.address), reception.seen)
    return [bytes(row.acknowledgement or b"")]


def finish(reception: Reception) -> list[bytes]:
    """The application's answer to what ``receive`` has stored, as far as the sender wants one."""
    assert reception.header is not None and reception.door is not None and reception.message is not None
    with use_facility(reception.schema), remembering(STANDING):
        row = process_message(
            reception.message, actor_of_sender(reception.header, reception.door.address), reception.seen
        )
        sender = sender_of(row.sending_application, row.sending_facility)
        if sender.answers_to is not None:
            return []
        return _wanted(reception.header.application_acknowledgement, row)


def refuse_too_large(head: bytes, door: Door) -> list[bytes]:
    """A frame beyond the limit: counted, answered, not kept."""
    header = peek(head)
    sender = header.sending_application if header else ""
    record_refusal(MLLP, called=str(door.port), calling=sender, address=door.address, reason="too_large")
    return _refusal(header, ack.Problem(TOO_LONG, Location("MSH"), "The message is longer than is taken here."))


def refuse_not_mllp(door: Door) -> None:
    record_refusal(MLLP, called=str(door.port), address=door.address, reason="not_mllp")


def _refusal(header: Header | None, problem: ack.Problem, *, code: str = "R") -> list[bytes]:
    """AR or AE, in enhanced mode CR or CE."""
    level = "C" if header is not None and header.is_enhanced else "A"
    if (
        header is not None
        and header.is_enhanced
        and not ack.wants(header.accept_acknowledgement or "ER", success=False)
    ):
        return []
    return [ack.acknowledge(header, level + code, problems=(problem,))]


def _receive(raw: bytes, header: Header | None, door: Door, *, batch: InboundMessage | None = None) -> Reception:
    actor = actor_of_sender(header, door.address)
    try:
        header = checked_header(header)
        parse(raw)
    except Hl7Error as error:
        return Reception(_store_refused(raw, header, door, actor, error, batch=batch))
    if not header.is_enhanced:
        new = row_of(raw, header, door)
        new.batch = batch
        answer = process_new(new, actor)
        if answer is not None:
            flush_refusals()
            return Reception([answer])
    row, is_repeat = _store(raw, header, door, batch)
    if is_repeat and not _same_content(bytes(row.raw), raw):
        text = "MSH-10 was used before, for a message with another content."
        error = Hl7Error(DUPLICATE_KEY, Location("MSH", 1, 10), text, fatal=True)
        return Reception(_store_refused(raw, header, door, actor, error, batch=batch))
    reception = Reception([], False, "", row.pk, header, door, row.processed_at)
    if header.is_enhanced:
        if ack.wants(header.accept_acknowledgement, success=True):
            reception.replies = [ack.acknowledge(header, ack.COMMIT_ACCEPT)]
        if is_deferred(header) and not is_repeat and batch is None:
            reception.message = None
        return reception
    row = process_message(row.pk, actor, row.processed_at)
    return Reception([bytes(row.acknowledgement or b"")])


def checked_header(header: Header | None) -> Header:
    """What must be right before a message can be told from another."""
    if header is None:
        raise Hl7Error("100", Location("MSH"), "The message does not begin with a usable MSH.", fatal=True)
    if not header.control_id:
        raise Hl7Error(REQUIRED_MISSING, Location("MSH", 1, 10), "MSH-10 is empty.", fatal=True)
    if not header.message_type:
        raise Hl7Error(REQUIRED_MISSING, Location("MSH", 1, 9), "MSH-9 is empty.", fatal=True)
    for number, value, length in (
        (3, header.sending_application, LONGEST_PARTY),
        (4, header.sending_facility, LONGEST_PARTY),
        (9, header.message_type, 20),
        (10, header.control_id, LONGEST_CONTROL_ID),
    ):
        if len(value) > length:
            raise Hl7Error(TOO_LONG, Location("MSH", 1, number), f"MSH-{number} is longer than {length}.", fatal=True)
        if "\x00" in value:
            raise Hl7Error(
                DATA_TYPE, Location("MSH", 1, number), f"MSH-{number} holds a control character.", fatal=True
            )
    return header


def row_of(raw: bytes, header: Header | None, door: Door) -> InboundMessage:
    clean = dict.fromkeys(("sending_application", "sending_facility", "control_id", "message_type"), "")
    if header is not None:
        lengths = {"sending_application": 180, "sending_facility": 180, "control_id": 199, "message_type": 20}
        clean = {name: getattr(header, name).replace("\x00", "")[:length] for name, length in lengths.items()}
    return InboundMessage(raw=raw, encoding=(header.codec if header else "")[:20], address=door.address[:64], **clean)


def is_deferred(header: Header) -> bool:
    """Enhanced mode without a wish for an application acknowledgement: the dispatcher processes it, in order."""
    return header.is_enhanced and header.application_acknowledgement in ("", "NE")


def _store(raw: bytes, header: Header, door: Door, batch: InboundMessage | None = None) -> tuple[InboundMessage, bool]:
    """The stored message, committed; and whether it was here before."""
    row = row_of(raw, header, door)
    row.batch = batch
    if is_deferred(header) and batch is None:
        row.acknowledgement_code = ack.COMMIT_ACCEPT
    known = _same_key(row)
    if known is None:
        try:
            with transaction.atomic():
                row.save()
            return row, False
        except IntegrityError:  # its twin came over another connection at the same moment
            known = _same_key(row)
            if known is None:
                raise
    return known, True


def _same_key(row: InboundMessage) -> InboundMessage | None:
    return InboundMessage.objects.filter(
        sending_application=row.sending_application,
        sending_facility=row.sending_facility,
        control_id=row.control_id,
        protocol=row.protocol,
    ).first()


def _same_content(stored: bytes, raw: bytes) -> bool:
    """Whether a repeat is one: some senders write a new MSH (time, security) on every try."""
    if stored == raw:
        return True

    def body(message: bytes) -> list[bytes]:
        return message.replace(b"\n", b"\r").strip().split(b"\r", 1)[1:]

    first, second = peek(stored), peek(raw)
    return (
        first is not None
        and second is not None
        and first.message_type == second.message_type
        and body(stored) == body(raw)
    )


def _store_refused(
    raw: bytes,
    header: Header | None,
    door: Door,
    actor: Actor,
    error: Hl7Error,
    *,
    batch: InboundMessage | None = None,
) -> list[bytes]:
    """A message that cannot be processed, kept with its answer. Without control id: it must not answer for another."""
    replies = _refusal(header, ack.Problem.of(error), code="R" if error.fatal else "E")
    row = row_of(raw, header, door)
    row.control_id, row.batch = "", batch
    row.status, row.processed_at = MessageStatus.REJECTED, timezone.now()
    row.acknowledgement = replies[0] if replies else None
    row.acknowledgement_code = ("A" if not (header and header.is_enhanced) else "C") + ("R" if error.fatal else "E")
    row.error = f"{error.location}: {error.text}"[:500]
    with transaction.atomic():
        row.save()
    refused(actor, "interop.receive_message", Action.EXECUTE, error, entity=row)
    flush_refusals()
    return replies


def _wanted(condition: str, row: InboundMessage) -> list[bytes]:
    accepted = row.acknowledgement_code == ack.ACCEPT
    return [bytes(row.acknowledgement)] if row.acknowledgement and ack.wants(condition, success=accepted) else []


# --- batches


def _receive_batch(raw: bytes, door: Door) -> Reception:
    """Stored as it came, then message by message; one batch of answers. A repeat gets the stored answers."""
    header = batches.head_of(raw.lstrip(b"\r\n \t"))
    actor = actor_of_sender(header, door.address)
    row = InboundMessage(raw=raw, address=door.address[:64], message_type=batches.BATCH)
    if header is not None:
        row.sending_application = header.sending_application.replace("\x00", "")[:LONGEST_PARTY]
        row.sending_facility = header.sending_facility.replace("\x00", "")[:LONGEST_PARTY]
    try:
        batch = batches.split(raw)
    except Hl7Error as error:
        named = batches.as_message(header) if header is not None else None
        reply = ack.acknowledge(named, ack.REJECT, problems=(ack.Problem.of(error),))
        row.acknowledgement = batches.refusal(header, reply) if header is not None else reply
        row.acknowledgement_code, row.error = ack.REJECT, f"{error.location}: {error.text}"[:500]
        row.status, row.processed_at = MessageStatus.REJECTED, timezone.now()
        row.save()
        refused(actor, "interop.receive_message", Action.EXECUTE, error, entity=row)
        flush_refusals()
        return Reception([bytes(row.acknowledgement)])
    row.control_id = f"{batches.BATCH} {batch.control_id}"[:LONGEST_CONTROL_ID] if batch.control_id else ""
    known = _same_key(row) if row.control_id else None
    if known is None:
        row.save()
    elif bytes(known.raw) == raw and known.acknowledgement is not None:
        return Reception([bytes(known.acknowledgement)])
    else:
        row = known if bytes(known.raw) == raw else row
        row.control_id = row.control_id if row is known else ""
        row.save()
    return Reception([take_batch(row, batch, door)])


def take_batch(row: InboundMessage, batch: batches.Batch, door: Door) -> bytes:
    """The messages of a stored batch, in order; those that were taken before answer as they did."""
    replies: list[list[bytes]] = []
    for group in batch.groups:
        answers: list[bytes] = []
        for part in group:
            answers += _of_batch(part, batch, door, row)
        replies.append(answers)
    row.acknowledgement = batches.answer(batch, replies)
    row.acknowledgement_code, row.status, row.processed_at = ack.ACCEPT, MessageStatus.PROCESSED, timezone.now()
    row.save()
    return row.acknowledgement


def _of_batch(part: bytes, batch: batches.Batch, door: Door, row: InboundMessage) -> list[bytes]:
    """A message that names another receiver than its batch is not taken: the batch has been let in, not it."""
    header = peek(part)
    if header is not None:
        named = (header.receiving_application, header.receiving_facility)
        own = (batch.header.receiving_application, batch.header.receiving_facility)
        if any(one and other and one != other for one, other in zip(named, own, strict=True)):
            return _refusal(header, ack.Problem(UNKNOWN_KEY, Location("MSH", 1, 6), NOT_ADMITTED))
    reception = _receive(part, header, door, batch=row)
    replies = list(reception.replies)
    if reception.message is not None and header is not None and header.is_enhanced:
        done = process_message(reception.message, actor_of_sender(header, door.address), reception.seen)
        replies += _wanted(header.application_acknowledgement, done)
    return replies


# --- processing


def process_message(pk: int, actor: Actor, seen: Any = None, *, again: bool = False) -> InboundMessage:
    """Process a stored message unless it has been since ``seen``; answer its row, with the acknowledgement.

    A message that was accepted or rejected keeps its answer. One that was answered AE is processed again when its
    sender repeats it: nothing of it took effect. ``again``: a person wants it processed whatever became of it.
    """
    token = correlation_id.set("")
    try:
        return process(pk, actor, seen=seen, again=again)
    finally:
        correlation_id.reset(token)
        flush_refusals()
