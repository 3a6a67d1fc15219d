"""What a webhook is to hear is a row first, written with what it speaks of; sending is the dispatcher's.

Which webhooks there are is remembered for some seconds in each process, so that a house without any pays nothing: a
new webhook hears at the latest after LISTENERS_KNOWN_FOR.
"""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from interop.models import Webhook, WebhookDelivery
from interop.webhooks.catalogue import wants
from ris.notifications.words import absolute

LISTENERS_KNOWN_FOR = 5
KEY = "webhooks:listeners"


def listeners(event_type: str) -> list[int]:
    """The keys of the active webhooks that want this event; a paused one collects."""
    known: list[tuple[int, list[str]]] | None = cache.get(KEY)
    if known is None:
        known = list(Webhook.objects.filter(is_active=True).order_by("pk").values_list("pk", "events"))
        cache.set(KEY, known, LISTENERS_KNOWN_FOR)
    return [pk for pk, patterns in known if wants(patterns, event_type)]


def forget_listeners() -> None:
    """Now, and again when the change is visible to others."""
    cache.delete(KEY)
    transaction.on_commit(lambda: cache.delete(KEY))


def enqueue(
    webhooks: list[int], event_type: str, *, subject: str, resource: str, version: int | None
) -> list[WebhookDelivery]:
    """One row for each; runs in the caller's transaction."""
    data: dict[str, Any] = {}
    if subject:
        data = {"id": subject, "resource": resource, "href": absolute(f"/api/v1/{resource}/{subject}/")}
    if version is not None:
        data["version"] = version
    body = {"type": event_type, "timestamp": timezone.now().isoformat(), "data": data}
    return WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook_id=pk, event=event_type, subject=subject[:64], body=body) for pk in webhooks
    )
