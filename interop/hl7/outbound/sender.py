"""Sending: claimed, sent, recorded; no transaction is open while the network is used.

In order per destination and patient, always under the same MSH-10. No answer and AE are tried again with growing
pauses; AR is parked, and the messages behind it go on, unless the destination holds them back: each says a whole state,
so a later one is worth more late than never, and waiting for a person would keep a patient's results from everybody.

A destination that cannot be reached, or keeps silent, rests as a whole, for 1 s, 2 s ... 60 s: what waits for it and
what is queued meanwhile is not tried before the rest is over, and then one message goes first. An answer of any kind, a
test that succeeds and a person who sends something again end the rest.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

import structlog
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.hl7 import acknowledgements as ack
from interop.hl7.messages import Hl7Error
from interop.hl7.mllp import FrameTooLarge, NotMllp, frame
from interop.hl7.outbound import connections
from interop.hl7.outbound.connections import ANSWER_LIMIT
from interop.hl7.outbound.queue import wake
from interop.hl7.outbound.reports import others_on_their_way
from interop.models import AcknowledgementMode, Hl7Destination, OutboundAttempt, OutboundMessage, OutboundStatus
from reporting import services as reporting
from reporting.models import AttemptOutcome, ReportDelivery
from ris.accounts.outbound import HostNotAllowed, OutsideFailed, pinned_address
from ris.core.actor import Actor
from ris.core.errors import DomainError
from ris.tenants.context import require_schema

log = structlog.get_logger(__name__)

CLAIM_FOR = timedelta(seconds=60)
MARGIN = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=5)
LONGEST_REST = timedelta(minutes=1)

CLAIM: LiteralString = """
update interop_outboundmessage set claimed_until = clock_timestamp() + %(claim)s
where id in (
    select m.id from interop_outboundmessage m
    join interop_hl7destination d on d.id = m.destination_id
    where m.status = 'pending' and m.protocol = 'hl7' and m.next_attempt_at <= clock_timestamp()
      and (m.claimed_until is null or m.claimed_until < clock_timestamp())
      and d.is_active and not d.is_paused and (d.rests_until is null or d.rests_until <= clock_timestamp())
      and not exists (
          select 1 from interop_outboundmessage e
          where e.destination_id = m.destination_id and e.ordering_key = m.ordering_key and e.id < m.id
            and (e.status = 'pending' or (e.status = 'parked' and d.holds_behind_parked)))
    order by m.id limit %(limit)s for update of m skip locked)
returning id
"""


class NoAnswer(OSError):
    """The peer closed without an answer to this message."""


class Silence(NoAnswer):
    """The peer took the message and said nothing in time, or nothing that answers it."""


@dataclass(frozen=True)
class Shipment:
    """A message as it goes out; read once, so that nothing is asked of the database while it is under way."""

    pk: int
    destination: str
    host: str
    port: int
    uses_tls: bool
    timeout: int
    control_id: str
    body: bytes
    attempts: int
    keeps_connection: bool = False
    waits_for_application: bool = False


def claim(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run(pk: int) -> bool:
    """One try of one message; True when it is acknowledged. Safe to call twice at once: the second does nothing."""
    key = OutboundMessage.objects.filter(pk=pk).values_list("destination_id", "ordering_key").first()
    if key is None:
        return False
    with alone(f"hl7:{key[0]}:{key[1]}") as is_alone:
        shipment = _begin(pk) if is_alone else None
        if shipment is None:
            return False
        return _try(shipment)


def _try(shipment: Shipment) -> bool:
    try:
        address = pinned_address(shipment.host, shipment.port)
        answer, raw = exchange(shipment, address)
    except (HostNotAllowed, OutsideFailed) as refusal:
        _postpone(shipment, refusal.detail, rests=True)
        return False
    except (OSError, Hl7Error, FrameTooLarge, NotMllp) as failure:
        _postpone(shipment, words_of(failure), rests=isinstance(failure, Silence) or not isinstance(failure, NoAnswer))
        return False
    return _record(shipment, answer, raw)


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """A lock of this session (never of a transaction) on one destination's messages about one patient."""
    arguments = [f"{require_schema()}:{name}"]
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", arguments)
        (got,) = cursor.fetchone()
    try:
        yield got
    finally:
        if got:
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", arguments)


@transaction.atomic
def _begin(pk: int) -> Shipment | None:
    """Count the try before it is made; None when there is nothing to do (any more, or yet)."""
    row = OutboundMessage.objects.select_for_update(of=("self",)).select_related("destination").get(pk=pk)
    destination, now = row.destination, timezone.now()
    if row.status != OutboundStatus.PENDING or row.next_attempt_at > now:
        _not_now(row)
        return None
    holding = [OutboundStatus.PENDING, *([OutboundStatus.PARKED] if destination.holds_behind_parked else [])]
    earlier = OutboundMessage.objects.filter(
        destination=destination, ordering_key=row.ordering_key, status__in=holding, pk__lt=row.pk
    )
    if earlier.exists() or destination.is_paused or not destination.is_active:
        return None
    if destination.rests_until is not None and not _goes_first(destination, now):
        _not_now(row)
        return None
    row.attempts += 1
    row.sent_at = now
    row.claimed_until = now + MARGIN + timedelta(seconds=destination.ack_timeout_seconds)
    row.save(update_fields=["attempts", "sent_at", "claimed_until"])
    return Shipment(
        row.pk,
        destination.name,
        destination.host,
        destination.port,
        destination.uses_tls,
        destination.ack_timeout_seconds,
        row.control_id,
        bytes(row.body),
        row.attempts,
        destination.keeps_connection,
        destination.acknowledgement_mode == AcknowledgementMode.BOTH,
    )


def _not_now(row: OutboundMessage) -> None:
    if row.claimed_until is not None:
        row.claimed_until = None
        row.save(update_fields=["claimed_until"])


def _goes_first(destination: Hl7Destination, now: datetime) -> bool:
    """After a rest one message alone finds out whether the destination is back; until it knows, the rest goes on."""
    if destination.rests_until is None or destination.rests_until > now:
        return False
    until = now + MARGIN + timedelta(seconds=destination.ack_timeout_seconds)
    resting = Hl7Destination.objects.filter(pk=destination.pk, rests_until=destination.rests_until)
    return bool(resting.update(rests_until=until))


# --- the network


def exchange(shipment: Shipment, address: str) -> tuple[ack.Answer, bytes]:
    """Send and wait for the answer to this very message; answers to others (late ones) are passed over."""
    deadline = time.monotonic() + shipment.timeout
    key = (require_schema(), address, shipment.port, shipment.host if shipment.uses_tls else "")
    connection = connections.take(key, shipment.timeout)
    try:
        found = _converse(connection, shipment, deadline)
    except ConnectionError:
        connection.close()
        if not connection.is_kept:
            raise
        return _anew(key, shipment, deadline)
    except BaseException:
        connection.close()
        raise
    _keep(key, connection, shipment)
    return found


def _anew(key: connections.Key, shipment: Shipment, deadline: float) -> tuple[ack.Answer, bytes]:
    """A connection that was kept had died unnoticed: once more over a new one, under the same MSH-10."""
    connections.drop(key)
    connection = connections.take(key, shipment.timeout)
    try:
        found = _converse(connection, shipment, deadline)
    except BaseException:
        connection.close()
        raise
    _keep(key, connection, shipment)
    return found


def _keep(key: connections.Key, connection: connections.Connection, shipment: Shipment) -> None:
    if shipment.keeps_connection:
        connections.give_back(key, connection)
    else:
        connection.close()


def _converse(connection: connections.Connection, shipment: Shipment, deadline: float) -> tuple[ack.Answer, bytes]:
    """In enhanced mode the receipt (CA) settles it, or only precedes the application's answer: as was asked for."""
    peer = connection.peer
    peer.settimeout(max(0.1, deadline - time.monotonic()))
    peer.sendall(frame(shipment.body))
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Silence(_("No answer in %(count)d seconds.") % {"count": shipment.timeout})
        peer.settimeout(left)
        try:
            data = peer.recv(65536)
        except TimeoutError:
            continue
        if not data:
            raise NoAnswer(_("The other side closed the connection without an answer."))
        for raw in connection.deframer.feed(data):
            answer = ack.read(raw)
            if answer.control_id == shipment.control_id and not (
                shipment.waits_for_application and answer.code == ack.COMMIT_ACCEPT
            ):
                return answer, raw


def words_of(failure: Exception) -> str:
    """What happened, in words a person understands."""
    if isinstance(failure, NoAnswer):
        return str(failure)
    if isinstance(failure, ConnectionRefusedError):
        return _("Nobody listens there: the connection was refused.")
    if isinstance(failure, TimeoutError):
        return _("The host does not answer.")
    if isinstance(failure, socket.gaierror):
        return _("The host's name cannot be resolved.")
    if isinstance(failure, ssl.SSLError):
        return _("TLS failed: %(reason)s.") % {"reason": failure.reason or type(failure).__name__}
    if isinstance(failure, ConnectionError):
        return _("The connection broke.")
    if isinstance(failure, OSError):
        return _("The network refused: %(reason)s.") % {"reason": failure.strerror or type(failure).__name__}
    return _("What came back is no HL7 acknowledgement.")


# --- what became of it


def _locked(shipment: Shipment) -> OutboundMessage | None:
    """The row, unless a person has parked or cancelled it meanwhile."""
    row = OutboundMessage.objects.select_for_update(of=("self",)).select_related("destination").get(pk=shipment.pk)
    return row if row.status == OutboundStatus.PENDING and row.control_id == shipment.control_id else None


def back_off(attempts: int, longest: timedelta = LONGEST_WAIT) -> timedelta:
    """1, 2, 4 ... seconds, capped."""
    return min(timedelta(seconds=2 ** min(max(attempts - 1, 0), 12)), longest)


@transaction.atomic
def _postpone(shipment: Shipment, error: str, *, rests: bool) -> None:
    """``rests``: it is the destination that cannot be reached or keeps silent, so all its messages wait; the others go
    before this one, which may be what it chokes on.
    """
    row = _locked(shipment)
    if row is None:
        return
    attempts = row.attempts
    if rests:
        waiting = OutboundMessage.objects.filter(destination=row.destination, status=OutboundStatus.PENDING)
        attempts = waiting.aggregate(most=Max("attempts"))["most"] or attempts
    now, pause = timezone.now(), back_off(attempts, LONGEST_REST if rests else LONGEST_WAIT)
    row.next_attempt_at, row.claimed_until, row.last_error = now + pause * (2 if rests else 1), None, error[:500]
    row.save()
    _note_failure(row)
    _note_retry(row)
    if rests:
        Hl7Destination.objects.filter(pk=row.destination_id).update(rests_until=now + pause)
    else:
        wake(row.destination)
    log.warning("hl7_not_sent", destination=shipment.destination, attempts=row.attempts, rests=rests)


@transaction.atomic
def _record(shipment: Shipment, answer: ack.Answer, raw: bytes) -> bool:
    row = _locked(shipment)
    if row is None:
        return False
    row.acknowledgement, row.claimed_until = raw[:ANSWER_LIMIT], None
    row.answered_in_ms = _milliseconds_since(row.sent_at)
    wake(row.destination)
    actor = Actor("hl7", ae_title=row.destination.name[:16], address=row.destination.host[:64])
    if answer.is_accepted:
        row.status, row.acknowledged_at, row.last_error = OutboundStatus.ACKNOWLEDGED, timezone.now(), ""
        row.save()
        delivery = delivery_of(row)
        if delivery is not None and not others_on_their_way(row):
            _tell(lambda: reporting.mark_delivery_acknowledged(delivery, actor=actor), row)
        return True
    row.last_error = answer.words[:500]
    _note_failure(row, answer.code)
    if answer.is_rejected:
        row.status = OutboundStatus.PARKED
        row.save()
        if delivery := delivery_of(row):
            error = _("%(destination)s refused it: %(code)s.") % {
                "destination": row.destination.name,
                "code": answer.code,
            }
            _tell(lambda: reporting.mark_delivery_failed(delivery, error=error, actor=actor), row)
        log.warning("hl7_parked", destination=shipment.destination, code=answer.code)
        return False
    row.next_attempt_at = timezone.now() + back_off(row.attempts)
    row.save()
    _note_retry(row)
    return False


def _milliseconds_since(moment: datetime | None) -> int | None:
    return None if moment is None else max(0, int((timezone.now() - moment).total_seconds() * 1000))


def _note_failure(row: OutboundMessage, code: str = "") -> None:
    """Every try that did not deliver stays with the message."""
    OutboundAttempt.objects.create(message=row, number=row.attempts, code=code[:2], error=row.last_error)


def _note_retry(row: OutboundMessage) -> None:
    """The ledger shows every try."""
    if delivery := delivery_of(row):
        actor = Actor(row.protocol, ae_title=row.destination.name[:16])
        reporting.note_try(delivery, AttemptOutcome.RETRY, error=row.last_error, actor=actor)


def _tell(ledger: Callable[[], object], row: OutboundMessage) -> None:
    """What the peer has answered stays answered, also where the ledger does not take it any more."""
    try:
        with transaction.atomic():
            ledger()
    except DomainError as refusal:
        log.warning("hl7_ledger_refused", message=row.pk, error=refusal.code)


def delivery_of(row: OutboundMessage) -> ReportDelivery | None:
    """The line of the delivery ledger that a report message carries out."""
    if not row.message_type.startswith(("ORU", "DiagnosticReport")) or not row.subject:
        return None
    return ReportDelivery.objects.filter(uuid=row.subject).first()
