"""What people do with destinations, receivers and messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.hl7.acknowledgements import new_control_id
from interop.hl7.intake import process_message
from interop.hl7.messages import peek
from interop.hl7.outbound.orders import check_order_states
from interop.hl7.outbound.queue import wake
from interop.hl7.outbound.shaping import check_field_map, check_filters
from interop.models import Hl7Destination, InboundMessage, OutboundMessage, OutboundStatus
from orders.models import Patient
from reporting import services as reporting
from reporting.models import DeliveryChannel, DeliveryRule
from ris.accounts.memory import forget
from ris.accounts.models import FacilitySettings
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotKnown
from ris.tenants.context import require_facility
from ris.tenants.models import MLLPReceiver

DESTINATION_FIELDS = frozenset(
    {
        "host", "port", "uses_tls", "messages", "receiving_application", "receiving_facility", "hl7_version",
        "character_set", "includes_pdf", "ack_timeout_seconds", "is_active", "acknowledgement_mode", "keeps_connection",
        "one_message_per_exam", "field_map", "filters", "order_states", "holds_behind_parked", "alert_after_minutes",
        "test_message",
    }
)  # fmt: skip
LONGEST_TIMEOUT = 300
LONGEST_PATIENCE = 7 * 24 * 60


# --- destinations


def _clean_destination(destination: Hl7Destination) -> None:
    destination.messages = sorted({entry.strip().upper() for entry in destination.messages if entry.strip()})
    if not destination.messages:
        raise InvalidData(_("Name the messages that go there."), errors={"messages": [_("For example ORU.")]})
    if not 1 <= destination.ack_timeout_seconds <= LONGEST_TIMEOUT:
        text = _("Between 1 and %(most)d seconds.") % {"most": LONGEST_TIMEOUT}
        raise InvalidData(text, errors={"ack_timeout_seconds": [text]})
    if destination.alert_after_minutes > LONGEST_PATIENCE:
        text = _("At most %(most)d minutes.") % {"most": LONGEST_PATIENCE}
        raise InvalidData(text, errors={"alert_after_minutes": [text]})
    destination.field_map = check_field_map(destination.field_map or [])
    destination.filters = check_filters(destination.filters or {})
    destination.order_states = check_order_states(destination.order_states or {})
    try:
        destination.full_clean()
    except ValidationError as error:
        raise InvalidData(_("The destination cannot be stored."), errors=error.message_dict) from None


@service(perms.MANAGE_INTERFACES, action=Action.CREATE)
def add_destination(
    *, name: str, host: str, port: int, messages: Iterable[str], actor: Actor, **fields: Any
) -> Hl7Destination:
    """Make a destination, or bring the one of this name to what is asked. One that takes ORU is delivered to."""
    for field in fields.keys() - DESTINATION_FIELDS:
        raise InvalidData(_("The destination cannot be stored."), errors={field: [_("There is no such field.")]})
    destination = Hl7Destination.objects.filter(name=name).first() or Hl7Destination(name=name)
    wanted = {"host": host.strip(), "port": port, "messages": list(messages), "is_active": True, **fields}
    before = {field: getattr(destination, field) for field in wanted}
    for field, value in wanted.items():
        setattr(destination, field, value)
    _clean_destination(destination)
    if destination.pk is None or before != {field: getattr(destination, field) for field in wanted}:
        destination.rests_until = None
        destination.save_as(actor, _("Destination set"))
    if {"ORU", "ORU^R01", "*"} & set(destination.messages):
        _deliver_reports_to(destination, actor)
    return destination


def _deliver_reports_to(destination: Hl7Destination, actor: Actor) -> None:
    """The rule of the delivery ledger: every final report, and it must be acknowledged."""
    key = {"channel": DeliveryChannel.HL7, "destination": destination.name, "requester": None}
    rule = DeliveryRule.objects.filter(**key).first()
    if rule is None:
        DeliveryRule(**key).save_as(actor, _("Destination set"))
    elif not rule.is_active:
        rule.is_active = True
        rule.save_as(actor, _("Destination set"))


@service(perms.MANAGE_INTERFACES)
def allow_host(host: str, *, actor: Actor) -> FacilitySettings:
    """Put a host on the list of those that this facility connects to. Whoever adds one on the command line means it."""
    row = FacilitySettings.locked(facility_settings().pk)
    if host.strip().lower() not in (entry.lower() for entry in row.allowed_hosts):
        row.allowed_hosts = [*row.allowed_hosts, host.strip()]
        row.save_as(actor, _("Host allowed"))
        forget()
    return row


@service(perms.MANAGE_INTERFACES)
def pause_destination(destination: Hl7Destination, *, reason: str = "", actor: Actor) -> Hl7Destination:
    """Nothing is sent until it is resumed; the queue keeps its order."""
    return _set_paused(destination, True, actor, reason)


@service(perms.MANAGE_INTERFACES)
def resume_destination(destination: Hl7Destination, *, actor: Actor) -> Hl7Destination:
    """Send what waits, at once."""
    destination = _set_paused(destination, False, actor)
    waiting = OutboundMessage.objects.filter(destination=destination, status=OutboundStatus.PENDING)
    waiting.update(next_attempt_at=timezone.now())
    wake(destination)
    return destination


def _set_paused(destination: Hl7Destination, is_paused: bool, actor: Actor, reason: str = "") -> Hl7Destination:
    destination = Hl7Destination.locked(destination.pk)
    if destination.is_paused != is_paused:
        destination.is_paused = is_paused
        destination.paused_at = timezone.now() if is_paused else None
        destination.paused_by = actor.user.display_name[:150] if is_paused and actor.user else ""
        destination.paused_reason = reason.strip()[:200] if is_paused else ""
        destination.save_as(actor, reason.strip() or (_("Paused") if is_paused else _("Resumed")))
    return destination


# --- receivers


@service(perms.MANAGE_INTERFACES, action=Action.CREATE)
def add_receiver(
    *,
    application: str = "",
    facility_name: str = "",
    port: int | None = None,
    addresses: Iterable[str] = (),
    require_tls: bool = False,
    certificates: Iterable[str] = (),
    actor: Actor,
) -> MLLPReceiver:
    """A port of this facility's own, or MSH-5 and MSH-6, with the addresses they count from; addresses are added.

    Raises AlreadyExists when the port or the names are another facility's.
    """
    facility = require_facility()
    names = {"port": port, "receiving_application": application, "receiving_facility": facility_name}
    key = {"port": port} if port is not None else names
    receiver = MLLPReceiver.objects.filter(**key).first()
    if receiver is not None and receiver.facility_id != facility.pk:
        raise AlreadyExists(
            _("The port, or MSH-5 with MSH-6, is in use by another facility."),
            todo=_("Choose another one."),
        )
    receiver = receiver or MLLPReceiver(facility=facility, **names)
    networks = [network if "/" in network else _as_network(network) for network in addresses]
    receiver.allowed_addresses = [
        *receiver.allowed_addresses,
        *(n for n in networks if n not in receiver.allowed_addresses),
    ]
    prints = [value.lower().replace(":", "") for value in certificates]
    known = receiver.certificate_fingerprints
    receiver.certificate_fingerprints = [*known, *(value for value in prints if value not in known)]
    receiver.require_tls, receiver.is_active = require_tls or receiver.require_tls, True
    try:
        receiver.full_clean()
        with transaction.atomic():
            receiver.save()
    except ValidationError as error:
        raise InvalidData(_("The receiver cannot be stored."), errors=error.message_dict) from None
    except IntegrityError:
        raise AlreadyExists(
            _("This receiver cannot be added."), todo=_("Choose another port or other names.")
        ) from None
    return receiver


@service(perms.MANAGE_INTERFACES)
def change_receiver(
    receiver: MLLPReceiver,
    *,
    allowed_addresses: Iterable[str],
    certificate_fingerprints: Iterable[str] = (),
    require_tls: bool = False,
    is_active: bool = True,
    actor: Actor,
) -> MLLPReceiver:
    """From where it may be used, as a whole. Raises NotKnown for a receiver of another facility."""
    found = MLLPReceiver.objects.select_for_update().filter(pk=receiver.pk, facility=require_facility()).first()
    if found is None:
        raise NotKnown(_("There is no such receiver in this facility."))
    found.allowed_addresses = [
        network if "/" in network else _as_network(network) for network in allowed_addresses or ()
    ]
    found.certificate_fingerprints = [value.lower().replace(":", "") for value in certificate_fingerprints or ()]
    found.require_tls, found.is_active = require_tls, is_active
    try:
        found.full_clean()
    except ValidationError as error:
        raise InvalidData(_("The receiver cannot be stored."), errors=error.message_dict) from None
    found.save()
    return found


def _as_network(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


# --- messages


def with_control_id(body: bytes, control_id: str) -> bytes:
    """The same message under another MSH-10; JSON names no control id."""
    if body.startswith(b"{"):
        return body
    header = peek(body)
    separator = (header.delimiters.field if header else "|").encode()
    first, rest = body.split(b"\r", 1)
    fields = first.split(separator)
    fields[9] = control_id.encode()
    return separator.join(fields) + b"\r" + rest


def requeue(message: OutboundMessage, *, at: datetime) -> OutboundMessage:
    """Back into the queue. What was answered gets a new MSH-10, or the peer would only repeat its answer."""
    if message.acknowledgement is not None:
        message.control_id = new_control_id()
        message.body = with_control_id(bytes(message.body), message.control_id)
    message.status, message.next_attempt_at, message.claimed_until = OutboundStatus.PENDING, at, None
    message.acknowledgement, message.acknowledged_at, message.last_error = None, None, ""
    message.save()
    wake(message.destination)
    return message


def _locked_outbound(message: OutboundMessage) -> OutboundMessage:
    return OutboundMessage.objects.select_for_update(of=("self",)).select_related("destination").get(pk=message.pk)


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def send_again(message: OutboundMessage, *, actor: Actor) -> OutboundMessage:
    """What waits goes at once, what was parked goes back into the queue; what was delivered goes out as a copy."""
    message = _locked_outbound(message)
    now = timezone.now()
    if message.status == OutboundStatus.PENDING:
        message.next_attempt_at = now
        message.save(update_fields=["next_attempt_at"])
        wake(message.destination)
        return message
    if message.status != OutboundStatus.ACKNOWLEDGED:
        return requeue(message, at=now)
    wake(message.destination)
    copies = OutboundMessage.objects.filter(dedupe_key__startswith=f"{message.dedupe_key[:120]}:copy").count()
    control_id = new_control_id()
    return OutboundMessage.objects.create(
        protocol=message.protocol,
        destination=message.destination,
        message_type=message.message_type,
        control_id=control_id,
        body=with_control_id(bytes(message.body), control_id),
        ordering_key=message.ordering_key,
        patient=message.patient,
        accession_number=message.accession_number,
        subject=message.subject,
        dedupe_key=f"{message.dedupe_key[:120]}:copy{copies + 1}",
    )


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def park(message: OutboundMessage, *, reason: str = "", actor: Actor) -> OutboundMessage:
    """Taken out of the queue, so that what waits behind it goes on."""
    message = _locked_outbound(message)
    if message.status == OutboundStatus.PARKED:
        return message
    if message.status != OutboundStatus.PENDING:
        raise InvalidTransition(
            _("Only a message that waits can be parked."),
            found=_("It is: %(status)s.") % {"status": message.get_status_display()},
            todo=_("Nothing is left to do here."),
        )
    message.status, message.claimed_until = OutboundStatus.PARKED, None
    message.last_error = reason.strip()[:500] or _("Parked by %(name)s") % {"name": actor.name}
    message.save()
    return message


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def skip(message: OutboundMessage, *, reason: str, actor: Actor) -> OutboundMessage:
    """Never to be sent, and why; the delivery that it carried has failed."""
    from interop.hl7.outbound.sender import delivery_of

    message = _locked_outbound(message)
    if not reason.strip():
        raise InvalidData(_("Say why it is not to be sent."), errors={"reason": [_("This is needed.")]})
    if message.status not in (OutboundStatus.PENDING, OutboundStatus.PARKED):
        raise InvalidTransition(
            _("Only a message that waits or is parked can be skipped."),
            found=_("It is: %(status)s.") % {"status": message.get_status_display()},
            todo=_("Nothing is left to do here."),
        )
    message.status, message.claimed_until, message.last_error = OutboundStatus.CANCELLED, None, reason.strip()[:500]
    message.save()
    if delivery := delivery_of(message):
        sender = Actor("hl7", ae_title=message.destination.name[:16])
        reporting.mark_delivery_failed(
            delivery, error=_("Skipped: %(reason)s") % {"reason": reason.strip()}, actor=sender
        )
    return message


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def process_again(message: InboundMessage, *, actor: Actor) -> InboundMessage:
    """Process a stored message once more, as its sender; known orders and patients are found, not doubled."""
    sender = Actor("hl7", ae_title=message.sending_application[:16], address=message.address)
    return process_message(message.pk, sender, again=True)


@service(perms.VIEW_MESSAGE, action=Action.READ)
def open_message(message: InboundMessage | OutboundMessage, *, actor: Actor) -> InboundMessage | OutboundMessage:
    """Let somebody read its content. Of a patient that they may not see there is no message either."""
    if message.patient is not None and not Patient.objects.visible_to(actor).filter(uuid=message.patient).exists():
        raise NotKnown(_("There is no such message that you may read."))
    return message
