"""An event becomes a notification for each subscriber who may see its resource and whose criteria it meets."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from interop.fhir.asking import exists
from interop.fhir.smart import scopes as smart
from interop.fhir.subscriptions.topics import Topic
from interop.models import FhirNotification, FhirSubscription, NotificationKind, SubscriptionStatus
from ris.accounts.actors import expand_scopes
from ris.core.actor import Actor

LISTENING = (SubscriptionStatus.REQUESTED, SubscriptionStatus.ACTIVE, SubscriptionStatus.ERROR)


def owner_of(row: FhirSubscription) -> Actor:
    """In whose right a subscriber is told: the person's, as far as their credential reached when they asked."""
    return Actor("fhir", row.owner, ae_title="subscription", scopes=expand_scopes(row.owner_scopes))


def may_hear(row: FhirSubscription, resource_type: str) -> bool:
    """Whether the owner is still somebody, and their scopes let them read this type."""
    return row.owner.is_active and smart.allows(row.owner_scopes, resource_type, "read")


def matches(row: FhirSubscription, resource_type: str, uuid: UUID | str) -> bool:
    """Whether the resource, as it is now, is one that the criteria find for the owner."""
    params = [(name, value) for _type, name, value in row.filters]
    return exists(row.release, resource_type, [("_id", str(uuid)), *params], actor=owner_of(row))


def hear(topic: Topic, uuid: UUID | str) -> int:
    """Note it for every subscription that it concerns; answers how many. Nothing is sent here."""
    now = timezone.now()
    rows = FhirSubscription.objects.select_related("owner").filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=now), topic=topic.key, status__in=LISTENING
    )
    told = 0
    for row in rows.order_by("pk"):
        if may_hear(row, topic.resource) and matches(row, topic.resource, uuid):
            _note(row.pk, topic.resource, uuid)
            told += 1
    return told


def _note(key: int, resource_type: str, uuid: UUID | str) -> None:
    """Numbers have no gaps, so that a receiver knows when it has missed something."""
    row = FhirSubscription.objects.select_for_update(of=("self",)).get(pk=key)
    number = row.events_since_start + 1
    FhirSubscription.objects.filter(pk=key).update(events_since_start=number)
    FhirNotification.objects.create(
        subscription=row,
        kind=NotificationKind.EVENT,
        number=number,
        resource_type=resource_type,
        resource=uuid,
    )
