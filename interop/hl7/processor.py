"""The edge between HL7 v2 and the services: one table of message types, one place where a refusal becomes AE or AR."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction
from django.utils import timezone

from interop.hl7 import acknowledgements as ack
from interop.hl7 import senders
from interop.hl7.maps import Maps
from interop.hl7.messages import (
    DATA_TYPE,
    DUPLICATE_KEY,
    INTERNAL_ERROR,
    RECORD_LOCKED,
    UNKNOWN_KEY,
    UNSUPPORTED_EVENT,
    UNSUPPORTED_PROCESSING,
    UNSUPPORTED_TYPE,
    UNSUPPORTED_VERSION,
    Hl7Error,
    Location,
    Message,
    parse,
    peek,
)
from interop.hl7.outbound.application_answers import goes_elsewhere, queue_answer
from interop.models import Hl7Sender, InboundMessage, MessageStatus
from orders.services.documents import papers_fall_with_it
from ris.accounts.memory import forget
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import correlation_id, refused, told_by_the_next_try
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, Conflict, DomainError, InvalidData, NotKnown, NotPermitted
from ris.tenants.context import require_facility

log = structlog.get_logger(__name__)

TRIES = 3
DEADLOCKS = {"40P01", "40001"}
#: what a message may make a handler raise, beside refusals
FAILURES = (DatabaseError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
ANSWER = ("status", "error", "patient", "accession_number", "acknowledgement", "acknowledgement_code", "processed_at")

#: field of a service's InvalidData -> where a sender wrote it
PLACES: dict[str, Location] = {
    "family_name": Location("PID", 1, 5, 1),
    "given_name": Location("PID", 1, 5, 2),
    "middle_name": Location("PID", 1, 5, 3),
    "suffix": Location("PID", 1, 5, 4),
    "prefix": Location("PID", 1, 5, 5),
    "birth_date": Location("PID", 1, 7),
    "sex": Location("PID", 1, 8),
    "address": Location("PID", 1, 11),
    "phone": Location("PID", 1, 13),
    "email": Location("PID", 1, 13),
    "identifiers": Location("PID", 1, 3),
    "visit_number": Location("PV1", 1, 19),
    "priority": Location("TQ1", 1, 9),
    "placer_order_number": Location("ORC", 1, 2),
    "code": Location("OBR", 1, 4),
    "procedures": Location("OBR", 1, 4),
    "laterality": Location("OBR", 1, 15, 5),
    "accession_number": Location("OBR", 1, 18),
    "study_instance_uid": Location("ZDS", 1, 1),
    "indication": Location("OBR", 1, 31),
    "reason_code": Location("ORC", 1, 16),
    "starts_at": Location("SCH", 1, 11, 4),
    "duration_minutes": Location("SCH", 1, 9),
    "station": Location("AIL", 1, 3),
    "room": Location("AIL", 1, 3),
    "file": Location("OBX", 1, 5),
    "text": Location("OBX", 1, 5),
}


@dataclass(frozen=True)
class Context:
    """For whom and when a message is processed. ``is_trial``: nothing of it will stay, so no file is written."""

    actor: Actor
    zone: zoneinfo.ZoneInfo
    issuer: str
    row: InboundMessage
    sender: Hl7Sender
    maps: Maps
    is_trial: bool = False

    @classmethod
    def of(cls, row: InboundMessage, actor: Actor, *, is_trial: bool = False) -> Context:
        sender = senders.sender_of(row.sending_application, row.sending_facility)
        issuer = sender.issuer or facility_settings().patient_id_issuer
        return cls(actor, require_facility().zone, issuer, row, sender, senders.maps_of(sender), is_trial)


@dataclass(frozen=True)
class Outcome:
    """What became of a message that was accepted."""

    status: str = MessageStatus.PROCESSED
    patient: UUID | None = None
    accession_number: str = ""
    text: str = ""


Handler = Callable[[Message, Context], Outcome]
_handlers: dict[tuple[str, str], Handler] = {}
#: the types that are treated alike, and what they do
_told: list[tuple[tuple[str, ...], str]] = []


def handles(*types: str, does: str) -> Callable[[Handler], Handler]:
    """``@handles("ADT^A04", "ADT^A08", does="registers the patient")``"""

    def register(handler: Handler) -> Handler:
        for name in types:
            kind, _caret, event = name.partition("^")
            _handlers[kind, event] = handler
        _told.append((types, does))
        return handler

    return register


def known_types() -> list[str]:
    _load()
    return sorted(f"{kind}^{event}" for kind, event in _handlers)


def told_types() -> list[tuple[tuple[str, ...], str]]:
    """Types that are treated alike, with what they do; for the pages and the documentation."""
    _load()
    return sorted(_told)


def _load() -> None:
    """The handlers stand on the services, which stand on everything: they are loaded when the first message comes."""
    import interop.hl7.inbound.adt
    import interop.hl7.inbound.appointments
    import interop.hl7.inbound.orders
    import interop.hl7.inbound.results  # noqa: F401


def handler_of(message: Message) -> Handler:
    _load()
    kind, event = message.type, message.event
    if (kind, event) in _handlers:
        return _handlers[kind, event]
    if any(known == kind for known, _event in _handlers):
        raise Hl7Error(
            UNSUPPORTED_EVENT, Location("MSH", 1, 9, 2), f"{kind} with this event is not taken here.", fatal=True
        )
    raise Hl7Error(UNSUPPORTED_TYPE, Location("MSH", 1, 9, 1), "This message type is not taken here.", fatal=True)


def handled(message: Message, context: Context) -> Outcome:
    """Do what the message asks; raises Hl7Error or DomainError."""
    _check(message)
    return handler_of(message)(message, context)


def _check(message: Message) -> None:
    version, processing = message.header.version, message.header.text(11).upper()
    if version and not version.startswith("2"):
        raise Hl7Error(UNSUPPORTED_VERSION, Location("MSH", 1, 12), "Only HL7 version 2 is taken.", fatal=True)
    if processing not in ("", "P", "T", "D"):
        raise Hl7Error(UNSUPPORTED_PROCESSING, Location("MSH", 1, 11), "MSH-11 is not P, T or D.", fatal=True)


def _is_deadlock(failure: BaseException) -> bool:
    return getattr(failure.__cause__, "sqlstate", "") in DEADLOCKS


def process_new(row: InboundMessage, actor: Actor) -> bytes | None:
    """Store a message, with its effect and its answer, in one commit; the answer.

    None when anything stands in the way (a repeat, a refusal, a failure): then nothing has happened, and the message
    is to be stored first and processed after that. Raises when the database is away, as ``process`` does.
    """
    token = correlation_id.set(f"hl7:{row.uuid}")
    try:
        with told_by_the_next_try(), papers_fall_with_it(), transaction.atomic():
            row.save(force_insert=True)
            return bytes(_accept(row, actor).acknowledgement or b"")
    except (OperationalError, InterfaceError) as failure:
        if not _is_deadlock(failure):
            raise
    except (DomainError, Hl7Error, *FAILURES):
        pass
    finally:
        correlation_id.reset(token)
    forget()
    return None


def process(pk: int, actor: Actor, *, seen: datetime | None, again: bool) -> InboundMessage:
    """Run the handler in the transaction that stores its answer; a refusal rolls back and is stored by itself.

    Raises OperationalError and InterfaceError when the database is away: then nothing is answered.
    """
    for attempt in range(TRIES):
        try:
            with papers_fall_with_it(), transaction.atomic():
                row = InboundMessage.objects.select_for_update().get(pk=pk)
                if _is_settled(row, seen, again):
                    return row
                correlation_id.set(f"hl7:{row.uuid}")
                return _accept(row, actor)
        except DomainError as refusal:
            return _reject(pk, actor, translated(refusal), seen, again)
        except Hl7Error as refusal:
            refused(actor, "interop.process_message", Action.EXECUTE, refusal)
            return _reject(pk, actor, refusal, seen, again)
        except (OperationalError, InterfaceError) as failure:
            if not _is_deadlock(failure):
                raise
            if attempt == TRIES - 1:
                return _reject(pk, actor, _busy(), seen, again)
        except IntegrityError as failure:
            constraint = getattr(getattr(failure.__cause__, "diag", None), "constraint_name", "")
            log.warning("hl7_message_contradicts", message=pk, constraint=constraint)
            error = Hl7Error(DUPLICATE_KEY, Location("MSH"), "The message contradicts what is stored here.")
            return _reject(pk, actor, error, seen, again)
        except FAILURES as failure:
            log.exception("hl7_message_failed", message=pk, error=type(failure).__name__)
            error = Hl7Error(
                INTERNAL_ERROR, Location("MSH"), "The message could not be processed; it is kept for a person."
            )
            return _reject(pk, actor, error, seen, again)
    raise AssertionError("unreachable")


def _busy() -> Hl7Error:
    return Hl7Error(RECORD_LOCKED, Location("MSH"), "The record is being changed; send it again.")


def _is_settled(row: InboundMessage, seen: datetime | None, again: bool) -> bool:
    """Answered for good, or answered by another process since this one looked."""
    if row.acknowledgement is None or again:
        return False
    return row.acknowledgement_code != ack.ERROR or row.processed_at != seen


def _accept(row: InboundMessage, actor: Actor) -> InboundMessage:
    message = parse(bytes(row.raw))
    outcome = handled(message, Context.of(row, actor))
    row.status, row.error = outcome.status, ""
    row.patient, row.accession_number = outcome.patient, outcome.accession_number[:16]
    _answer(row, ack.ACCEPT, text=outcome.text)
    return row


def _reject(pk: int, actor: Actor, error: Hl7Error, seen: datetime | None, again: bool) -> InboundMessage:
    with transaction.atomic():
        row = InboundMessage.objects.select_for_update().get(pk=pk)
        if _is_settled(row, seen, again):
            return row
        row.status, row.error = MessageStatus.REJECTED, f"{error.location}: {error.text}"[:500]
        _answer(row, ack.REJECT if error.fatal else ack.ERROR, problems=(ack.Problem.of(error),))
        return row


def _answer(row: InboundMessage, code: str, **said: Any) -> None:
    header = peek(bytes(row.raw))
    row.acknowledgement = ack.acknowledge(header, code, **said)
    row.acknowledgement_code, row.processed_at = code, timezone.now()
    row.save(update_fields=ANSWER)
    sender = senders.sender_of(row.sending_application, row.sending_facility)
    if header is not None and goes_elsewhere(sender, header, code):
        queue_answer(row, sender, header, code, **said)


def translated(refusal: DomainError) -> Hl7Error:
    """A service's refusal in HL7's terms. Its detail names no patient."""
    field = next((name for name in refusal.errors if name in PLACES), "")
    place = PLACES.get(field, Location("MSH"))
    text = refusal.detail
    if field and refusal.errors[field]:
        value = refusal.errors[field]
        text = str(value[0] if isinstance(value, (list, tuple)) else value)
    if isinstance(refusal, NotPermitted):
        return Hl7Error(INTERNAL_ERROR, place, text, fatal=True)
    if isinstance(refusal, NotKnown):
        return Hl7Error(UNKNOWN_KEY, place, text)
    if isinstance(refusal, AlreadyExists):
        return Hl7Error(DUPLICATE_KEY, place, text)
    if isinstance(refusal, InvalidData):
        return Hl7Error(DATA_TYPE, place, text)
    if isinstance(refusal, Conflict):
        return Hl7Error(DUPLICATE_KEY, place, text)
    return Hl7Error(INTERNAL_ERROR, place, text)
