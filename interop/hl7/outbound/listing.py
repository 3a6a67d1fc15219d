"""Messages of both directions as lists: filtered, searched, with what is needed to say how each one stands."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from interop import permissions as perms
from interop.hl7 import selectors
from interop.models import Hl7Destination, InboundMessage, OutboundMessage, OutboundStatus
from orders.models import PatientIdentifier
from ris.core.actor import Actor

LONGEST_WORDS = 64


def outgoing(*, actor: Actor, status: str = "", destination: str = "", kind: str = "") -> QuerySet[OutboundMessage]:
    """``is_behind``: an earlier message about the same patient is still to go to the same place."""
    found = selectors.outbound(actor=actor, status=status, destination=destination)
    if kind:
        found = found.filter(message_type__startswith=kind)
    earlier = OutboundMessage.objects.filter(
        destination=OuterRef("destination"),
        ordering_key=OuterRef("ordering_key"),
        status__in=(OutboundStatus.PENDING, OutboundStatus.PARKED),
        pk__lt=OuterRef("pk"),
    )
    return found.annotate(is_behind=Exists(earlier))


def incoming(*, actor: Actor, status: str = "", kind: str = "") -> QuerySet[InboundMessage]:
    return selectors.inbound(actor=actor, status=status, message_type=kind)


def _span(since: date | None, until: date | None) -> tuple[datetime | None, datetime | None]:
    """From the first moment of a day to the last of another, by the facility's clock."""
    begin = timezone.make_aware(datetime.combine(since, time.min)) if since else None
    end = timezone.make_aware(datetime.combine(until, time.min)) + timedelta(days=1) if until else None
    return begin, end


def search(
    words: str, *, actor: Actor, since: date | None = None, until: date | None = None
) -> tuple[QuerySet[InboundMessage], QuerySet[OutboundMessage]]:
    """By control id, accession number or message type; by a patient's number for those who may open messages."""
    words = words.strip()[:LONGEST_WORDS]
    condition = Q(control_id=words) | Q(accession_number=words)
    if words.isascii() and words[:3].isalpha() and len(words) in (3, 7):
        condition |= Q(message_type__istartswith=words)
    if actor.may(perms.VIEW_MESSAGE):
        patients = PatientIdentifier.objects.filter(value__iexact=words).values("patient__uuid")
        condition |= Q(patient__in=patients)
    came, went = incoming(actor=actor), outgoing(actor=actor)
    if words:
        came, went = came.filter(condition), went.filter(condition)
    begin, end = _span(since, until)
    if begin is not None:
        came, went = came.filter(received_at__gte=begin), went.filter(created_at__gte=begin)
    if end is not None:
        came, went = came.filter(received_at__lt=end), went.filter(created_at__lt=end)
    return came, went


def destination_named(name: str, *, actor: Actor) -> Hl7Destination | None:
    return selectors.destinations(actor=actor).filter(name=name).first() if name else None


def fingerprint_of(rows: Any) -> list[tuple[Any, ...]]:
    """What of a page of rows is seen to change."""
    return [(row.pk, row.status, getattr(row, "attempts", 0), getattr(row, "last_error", "")) for row in rows]
