"""Hears what is published and writes it down for the webhooks that want it. Loaded by every process."""

from __future__ import annotations

from collections.abc import Callable

from interop.webhooks import catalogue, queue, sender
from interop.webhooks.cards import webhook_cards
from ris.core.cards import register_cards
from ris.events.bus import Event, subscribe
from ris.events.dispatcher import register_work


def _teller(entry: catalogue.Published) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        found = queue.listeners(entry.type)
        if found:
            queue.enqueue(found, entry.type, subject=str(event.subject), resource=entry.resource, version=event.version)

    return tell


for _entry in catalogue.PUBLISHED:
    subscribe(_entry.event, name="interop.webhooks", in_transaction=True)(_teller(_entry))

register_work("interop.webhook", claim=sender.claim, run=sender.run)
register_cards("rest.webhooks", webhook_cards, order=40)
