"""What is asked about webhooks."""

from __future__ import annotations

from django.db.models import Count, Min, Q, QuerySet

from interop.models import Webhook, WebhookDelivery, WebhookDeliveryStatus
from interop.permissions import VIEW_INTERFACES
from ris.core.actor import Actor

_WAITS = Q(deliveries__status=WebhookDeliveryStatus.PENDING)


def webhooks(*, actor: Actor) -> QuerySet[Webhook]:
    """With what waits for each, in one query."""
    found = Webhook.objects.order_by("-pk")
    if not actor.may(VIEW_INTERFACES):
        return found.none()
    return found.annotate(
        waiting=Count("deliveries", filter=_WAITS),
        parked=Count("deliveries", filter=Q(deliveries__status=WebhookDeliveryStatus.PARKED)),
        oldest=Min("deliveries__created_at", filter=_WAITS),
    )


def deliveries(*, actor: Actor) -> QuerySet[WebhookDelivery]:
    found = WebhookDelivery.objects.select_related("webhook").order_by("-pk")
    return found if actor.may(VIEW_INTERFACES) else found.none()
