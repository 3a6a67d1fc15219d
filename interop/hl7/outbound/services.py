"""What a person does to messages that go out, beyond sending one again: edit it, send a range again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.hl7.acknowledgements import new_control_id
from interop.hl7.charsets import UndecodableText, UnknownCharset, codec_of
from interop.hl7.messages import Hl7Error, parse, peek
from interop.hl7.outbound.queue import wake
from interop.hl7.services import requeue, with_control_id
from interop.models import Hl7Destination, OutboundMessage, OutboundOrigin, OutboundOriginal, OutboundStatus
from orders.models import Patient
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotKnown

MOST_AT_ONCE = 5000
LONGEST_BODY = 4 * 1024 * 1024
AGAIN = (OutboundStatus.ACKNOWLEDGED, OutboundStatus.PARKED)


def _who(actor: Actor) -> str:
    return (actor.user.display_name if actor.user is not None else str(actor))[:150]


def _reason(reason: str) -> str:
    if not reason.strip():
        raise InvalidData(_("Say why."), errors={"reason": [_("This is needed.")]})
    return reason.strip()[:300]


def _visible(message: OutboundMessage, actor: Actor) -> None:
    """Whose content one may not read one may not write either."""
    actor.require(perms.VIEW_MESSAGE)
    if message.patient is not None and not Patient.objects.visible_to(actor).filter(uuid=message.patient).exists():
        raise NotKnown(_("There is no such message that you may read."))


# --- edit and send


@service(perms.EDIT_MESSAGE, action=Action.UPDATE)
def edit_and_send(message: OutboundMessage, *, text: str, reason: str, actor: Actor) -> OutboundMessage:
    """Other words in its place. What has not arrived keeps its place in the queue, and its original; of what was
    delivered a copy goes out. It gets an MSH-10 of its own: the peer must not take it for a repeat.
    """
    reason = _reason(reason)
    rows = OutboundMessage.objects.select_for_update(of=("self",)).select_related("destination")
    message = rows.get(pk=message.pk)
    _visible(message, actor)
    if message.protocol != "hl7":
        raise InvalidTransition(_("Only HL7 v2 messages can be edited."), todo=_("Send it again from its source."))
    if message.claimed_until is not None and message.claimed_until > timezone.now():
        raise Conflict(
            _("The message is just being sent."),
            asked=_("To edit it."),
            found=_("A try is under way."),
            todo=_("Wait a minute, or pause the destination first."),
        )
    control_id = new_control_id()
    body = with_control_id(_checked(text, message), control_id)
    if message.status == OutboundStatus.ACKNOWLEDGED:
        return _copy(message, OutboundOrigin.EDIT, actor, reason, body=body, control_id=control_id)
    OutboundOriginal.objects.create(
        message=message,
        control_id=message.control_id,
        body=bytes(message.body),
        acknowledgement=message.acknowledgement,
        last_error=message.last_error,
        replaced_by=_who(actor),
        reason=reason,
    )
    message.body, message.control_id, message.acknowledgement = body, control_id, None
    message.origin, message.made_by, message.reason = OutboundOrigin.EDIT, _who(actor), reason
    return requeue(message, at=timezone.now())


def _checked(text: str, message: OutboundMessage) -> bytes:
    """The edited text as bytes, if it is still a message of this type that its MSH-18 can write."""
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    joined = "\r".join(lines) + "\r"
    header = peek(joined.encode("utf-8"))
    try:
        body = joined.encode(codec_of(header.charset if header is not None else ""))
        found = parse(body)
    except UnicodeEncodeError as refusal:
        character = f"U+{ord(refusal.object[refusal.start]):04X}"
        words = _("The character set of MSH-18 cannot write %(character)s.") % {"character": character}
        raise _wrong(words) from None
    except (UnknownCharset, UndecodableText):
        raise _wrong(_("MSH-18 names a character set that is not known here.")) from None
    except Hl7Error as error:
        raise _wrong(f"{error.location}: {error.text}") from None
    if len(body) > LONGEST_BODY:
        raise _wrong(_("The message is too long."))
    if found.header.message_type.split("^")[:2] != message.message_type.split("^")[:2]:
        raise _wrong(_("The message type (MSH-9) must stay %(type)s.") % {"type": message.message_type})
    return body


def _wrong(words: str) -> InvalidData:
    return InvalidData(_("The message was not changed."), errors={"text": [words]})


def _copy(
    message: OutboundMessage,
    origin: OutboundOrigin,
    actor: Actor,
    reason: str,
    *,
    body: bytes | None = None,
    control_id: str = "",
) -> OutboundMessage:
    control_id = control_id or new_control_id()
    wake(message.destination)
    return OutboundMessage.objects.create(
        protocol=message.protocol,
        destination=message.destination,
        message_type=message.message_type,
        control_id=control_id,
        body=body if body is not None else with_control_id(bytes(message.body), control_id),
        ordering_key=message.ordering_key,
        patient=message.patient,
        accession_number=message.accession_number,
        subject=message.subject,
        dedupe_key=f"{message.dedupe_key[:110]}:{origin}:{control_id}",
        origin=origin,
        copy_of=message,
        made_by=_who(actor),
        reason=reason,
    )


# --- a range again


def range_to_replay(
    destination: Hl7Destination,
    *,
    since: datetime,
    until: datetime,
    message_types: Iterable[str] = (),
    statuses: Iterable[str] = AGAIN,
) -> QuerySet[OutboundMessage]:
    """Messages made in that time, as far as they can go out again; no copies."""
    if since >= until:
        words = _("The end is after the beginning.")
        raise InvalidData(words, errors={"until": [words]})
    wanted = set(statuses) & set(AGAIN)
    found = OutboundMessage.objects.filter(
        destination=destination, protocol="hl7", created_at__gte=since, created_at__lt=until, status__in=wanted
    )
    kinds = [kind for kind in message_types if kind]
    if kinds:
        found = found.filter(message_type__in=kinds)
    return found.filter(copy_of__isnull=True).order_by("pk")


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def replay_range(
    destination: Hl7Destination,
    *,
    since: datetime,
    until: datetime,
    expected: int,
    reason: str,
    message_types: Iterable[str] = (),
    statuses: Iterable[str] = AGAIN,
    actor: Actor,
) -> int:
    """Send a range again in its order: what was parked goes back into the queue, of what was delivered a marked copy.

    ``expected`` is the count that the person has seen and confirmed; any other one is refused (Conflict).
    """
    reason = _reason(reason)
    destination = Hl7Destination.locked(destination.pk)
    found = range_to_replay(
        destination, since=since, until=until, message_types=message_types, statuses=statuses
    ).select_for_update(of=("self",))
    rows = list(found[: MOST_AT_ONCE + 1])
    if len(rows) > MOST_AT_ONCE:
        words = _("At most %(most)d messages at once.") % {"most": MOST_AT_ONCE}
        raise InvalidData(words, todo=_("Choose a shorter time."), errors={"since": [words]})
    if len(rows) != expected:
        raise Conflict(
            _("It is not the number that was confirmed."),
            asked=_("To send %(count)d messages again.") % {"count": expected},
            found=_("There are %(count)d now.") % {"count": len(rows)},
            todo=_("Look at the range again and confirm the new number."),
        )
    now = timezone.now()
    for row in rows:
        row.destination = destination
        if row.status == OutboundStatus.PARKED:
            row.origin, row.made_by, row.reason = OutboundOrigin.REPLAY, _who(actor), reason
            requeue(row, at=now)
        else:
            _copy(row, OutboundOrigin.REPLAY, actor, reason)
    return len(rows)


@service(perms.REPLAY_MESSAGE, action=Action.EXECUTE)
def send_from_here(message: OutboundMessage, *, actor: Actor) -> int:
    """A parked message and everything parked behind it for the same patient, in their order; how many that are."""
    rows = OutboundMessage.objects.select_for_update(of=("self",)).filter(
        destination=message.destination_id,
        ordering_key=message.ordering_key,
        status=OutboundStatus.PARKED,
        pk__gte=message.pk,
    )
    now, parked = timezone.now(), list(rows.order_by("pk"))
    for row in parked:
        requeue(row, at=now)
    return len(parked)
