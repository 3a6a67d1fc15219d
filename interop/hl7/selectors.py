"""What is asked about destinations, receivers and messages. Lists show no content; opening one is a service."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.db.models.functions import Extract, Floor
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.models import Hl7Destination, InboundMessage, MessageStatus, OutboundMessage, OutboundStatus
from orders.models import PatientIdentifier
from ris.accounts.memory import remembered
from ris.core import text
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.tenants.context import require_facility
from ris.tenants.models import MLLPReceiver, RefusedConnection

AMBER_AFTER, RED_AFTER = timedelta(minutes=2), timedelta(minutes=15)
HOURS_DRAWN = 12
RATE_OVER = timedelta(minutes=15)


def _may_look(actor: Actor) -> bool:
    return actor.may(perms.VIEW_INTERFACES) or actor.may(perms.VIEW_MESSAGE)


def inbound(*, actor: Actor, status: str = "", message_type: str = "") -> QuerySet[InboundMessage]:
    found = InboundMessage.objects.filter(protocol="hl7").defer("raw", "acknowledgement")
    if not _may_look(actor):
        return found.none()
    if status:
        found = found.filter(status=status)
    if message_type:
        found = found.filter(message_type__startswith=message_type)
    return found.order_by("-pk")


def outbound(*, actor: Actor, status: str = "", destination: str = "") -> QuerySet[OutboundMessage]:
    found = OutboundMessage.objects.select_related("destination", "copy_of").defer(
        "body", "acknowledgement", "copy_of__body", "copy_of__acknowledgement"
    )
    if not _may_look(actor):
        return found.none()
    if status:
        found = found.filter(status=status)
    if destination:
        found = found.filter(destination__name=destination)
    return found.order_by("-pk")


def message(uuid: UUID | str, *, actor: Actor) -> InboundMessage | OutboundMessage:
    """Of either direction. Raises NotKnown."""
    found: Any = inbound(actor=actor).filter(uuid=uuid).first() or outbound(actor=actor).filter(uuid=uuid).first()
    if found is None:
        raise NotKnown(_("There is no such message in this facility."))
    return found


def search(words: str, *, actor: Actor) -> tuple[QuerySet[InboundMessage], QuerySet[OutboundMessage]]:
    """By control id or accession number."""
    condition = Q(control_id=words) | Q(accession_number=words)
    return inbound(actor=actor).filter(condition), outbound(actor=actor).filter(condition)


def destinations(*, actor: Actor) -> QuerySet[Hl7Destination]:
    found = Hl7Destination.objects.all()
    return found.order_by("name") if _may_look(actor) else found.none()


def receivers(*, actor: Actor) -> QuerySet[MLLPReceiver]:
    found = MLLPReceiver.objects.filter(facility=require_facility())
    return found if _may_look(actor) else found.none()


# --- cards


@dataclass(frozen=True)
class DestinationCard:
    destination: Hl7Destination
    tone: str
    icon: str
    state: str
    waiting: int
    parked: int
    oldest: datetime | None
    last_success: datetime | None
    error: str
    points: str
    per_minute: float
    waits_since: datetime | None


def destination_cards(*, actor: Actor) -> list[DestinationCard]:
    """Each destination with the state of its queue; a fixed number of queries."""
    rows = list(destinations(actor=actor).select_related("fhir_server"))
    lately = Q(acknowledged_at__gte=timezone.now() - RATE_OVER)
    pending, parked = Q(status=OutboundStatus.PENDING), Q(status=OutboundStatus.PARKED)
    found = OutboundMessage.objects.filter(destination__in=rows).values("destination").order_by("destination")
    figures = {
        row["destination"]: row
        for row in found.annotate(
            waiting=Count("pk", filter=pending),
            parked=Count("pk", filter=parked),
            retrying=Count("pk", filter=pending & Q(attempts__gt=0)),
            oldest=Min("created_at", filter=pending),
            parked_since=Min("created_at", filter=parked),
            last_success=Max("acknowledged_at"),
            lately=Count("pk", filter=lately),
        )
    }
    errors = _newest_errors()
    drawn = _points()
    return [_card(row, figures.get(row.pk, {}), errors.get(row.pk, ""), drawn.get(row.pk, "")) for row in rows]


def _newest_errors() -> dict[int, str]:
    rows = (
        OutboundMessage.objects.filter(status__in=[OutboundStatus.PENDING, OutboundStatus.PARKED])
        .exclude(last_error="")
        .order_by("destination", F("sent_at").desc(nulls_last=True), "-pk")
        .distinct("destination")
    )
    return {row["destination"]: row["last_error"] for row in rows.values("destination", "last_error")}


def _points() -> dict[int, str]:
    """Deliveries per hour as the points of a line, 60 by 18; counted by the database."""
    since = timezone.now() - timedelta(hours=HOURS_DRAWN)
    hour = Floor((Extract("acknowledged_at", "epoch") - since.timestamp()) / 3600.0)
    rows = OutboundMessage.objects.filter(acknowledged_at__gte=since).order_by().annotate(hour=hour)
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for destination, number, count in rows.values_list("destination", "hour").annotate(count=Count("pk")):
        counts[destination][int(number)] += count
    lines = {}
    for destination, hours in counts.items():
        most = max(hours.values())
        step = 60 / (HOURS_DRAWN - 1)
        lines[destination] = " ".join(f"{n * step:.1f},{17 - 15 * hours[n] / most:.1f}" for n in range(HOURS_DRAWN))
    return lines


def _card(row: Hl7Destination, figures: dict[str, Any], error: str, points: str) -> DestinationCard:
    waiting, parked = figures.get("waiting") or 0, figures.get("parked") or 0
    oldest = figures.get("oldest")
    age = timezone.now() - oldest if oldest else timedelta()
    if not row.is_active:
        look = ("slate", "ban", _("Switched off"))
    elif row.is_paused:
        look = ("slate", "player-pause", _paused(row))
    elif parked:
        look = ("red", "hand-stop", _("Parked %(count)d") % {"count": parked})
    elif age > min(RED_AFTER, timedelta(minutes=row.alert_after_minutes or RED_AFTER.seconds // 60)):
        look = ("red", "alarm", _("Waits too long"))
    elif figures.get("retrying") or age > AMBER_AFTER:
        look = ("amber", "refresh", _("Retrying"))
    else:
        look = ("green", "circle-check", _("Running"))
    if row.is_paused and row.paused_reason:
        error = row.paused_reason
    elif row.rests_until is not None and row.rests_until > timezone.now() and waiting:
        clock = timezone.localtime(row.rests_until).strftime("%H:%M:%S")
        error = _("Next try %(time)s. %(error)s") % {"time": clock, "error": error}
    rate = (figures.get("lately") or 0) / (RATE_OVER.seconds / 60)
    waits = [moment for moment in (oldest, figures.get("parked_since")) if moment is not None]
    return DestinationCard(
        row, *look, waiting, parked, oldest, figures.get("last_success"), error, points, rate, min(waits, default=None)
    )


def _paused(row: Hl7Destination) -> str:
    return _("Paused by %(name)s") % {"name": row.paused_by} if row.paused_by else _("Paused")


@dataclass(frozen=True)
class ReceiverCard:
    receiver: MLLPReceiver
    name: str
    addresses: str


@dataclass(frozen=True)
class InboundState:
    """What came in: today's figures, the last message, and who was turned away at the door."""

    today: int
    rejected: int
    unmapped: int
    left: int
    last: datetime | None
    senders: list[dict[str, Any]]
    refused: list[RefusedConnection]
    left_since: datetime | None = None
    per_minute: float = 0.0


def _receivers(actor: Actor) -> list[MLLPReceiver]:
    return remembered(f"hl7.receivers:{_may_look(actor)}", lambda: list(receivers(actor=actor)))


def receiver_cards(*, actor: Actor) -> list[ReceiverCard]:
    cards = []
    for row in _receivers(actor):
        name = (
            _("Port %(port)d") % {"port": row.port}
            if row.port
            else f"{row.receiving_application}|{row.receiving_facility}"
        )
        addresses = ", ".join(row.allowed_addresses)
        if row.certificate_fingerprints:
            certificates = _("%(count)d certificates") % {"count": len(row.certificate_fingerprints)}
            addresses = ", ".join(part for part in (addresses, certificates) if part)
        cards.append(ReceiverCard(row, name, addresses or _("nobody: no address is registered")))
    return cards


def inbound_state(*, actor: Actor) -> InboundState:
    return remembered(f"hl7.inbound:{_may_look(actor)}", lambda: _inbound_state(actor))


def _inbound_state(actor: Actor) -> InboundState:
    start = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    found = inbound(actor=actor)
    figures = found.order_by().aggregate(
        today=Count("pk", filter=Q(received_at__gte=start)),
        rejected=Count("pk", filter=Q(status=MessageStatus.REJECTED, received_at__gte=start)),
        unmapped=Count("pk", filter=Q(status=MessageStatus.UNMAPPED)),
        left=Count("pk", filter=Q(status=MessageStatus.RECEIVED)),
        last=Max("received_at"),
        left_since=Min("received_at", filter=Q(status=MessageStatus.RECEIVED)),
        lately=Count("pk", filter=Q(received_at__gte=timezone.now() - RATE_OVER)),
    )
    figures["per_minute"] = figures.pop("lately") / (RATE_OVER.seconds / 60)
    senders = (
        found.filter(received_at__gte=start - timedelta(days=7))
        .order_by("sending_application", "sending_facility")
        .values("sending_application", "sending_facility")
        .annotate(count=Count("pk"), last=Max("received_at"), rejected=Count("pk", filter=Q(status="rejected")))
    )
    names = {f"{row.receiving_application}|{row.receiving_facility}" for row in _receivers(actor)}
    refused = RefusedConnection.objects.filter(kind="mllp", called__in=names, last_at__gte=start - timedelta(days=7))
    return InboundState(**figures, senders=list(senders[:20]), refused=list(refused[:10]))


def status_counts(queryset: QuerySet) -> dict[str, int]:
    return dict(queryset.order_by("status").values_list("status").annotate(count=Count("pk")))


def masked_numbers(patients: Iterable[UUID | None]) -> dict[UUID, str]:
    """The last characters of each patient's number, by the patient's UUID; one query."""
    wanted = {uuid for uuid in patients if uuid is not None}
    rows = PatientIdentifier.objects.filter(patient__uuid__in=wanted).order_by("-use", "-pk")
    return {uuid: text.masked(value) for uuid, value in rows.values_list("patient__uuid", "value")}


def parked_count() -> int:
    """For the menu: messages that wait for a person."""
    return OutboundMessage.objects.filter(status=OutboundStatus.PARKED).count()
