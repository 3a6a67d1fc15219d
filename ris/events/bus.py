"""Calls go down, events go up.

``publish`` writes the event and one delivery per subscriber in the caller's transaction. A subscriber declared
``in_transaction=True`` touches only the database and runs right there; all others run after the commit, at least
once, in order per (subscriber, ordering key), handed over by the dispatcher.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from django.db import transaction

from ris.core.actor import Actor
from ris.events.models import Delivery, OutboxEvent


@dataclass(frozen=True)
class Event:
    """A fact in the past tense. ``subject`` is the UUID of what it is about, ``version`` that row's version."""

    name: ClassVar[str]

    subject: str
    accession_number: str = ""
    version: int | None = None


@dataclass(frozen=True)
class Subscriber:
    name: str
    event_class: type[Event]
    handler: Callable[[Any], None]
    in_transaction: bool
    latest_only: bool


_subscribers: dict[str, dict[str, Subscriber]] = defaultdict(dict)


def subscribe(
    event_class: type[Event], *, name: str, in_transaction: bool = False, latest_only: bool = False
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register ``handler(event)`` under a stable name, stored with each delivery.

    ``latest_only``: a delivery is dropped when a newer version of the same subject has been published since.
    """

    def register(handler: Callable[[Any], None]) -> Callable[[Any], None]:
        known = _subscribers[event_class.name].get(name)
        if known is not None and known.handler.__qualname__ != handler.__qualname__:
            raise ValueError(f"two subscribers of {event_class.name} are called {name}")
        _subscribers[event_class.name][name] = Subscriber(name, event_class, handler, in_transaction, latest_only)
        return handler

    return register


def publish(event: Event, *, actor: Actor | None = None) -> OutboxEvent:
    """Store the event with the data it speaks of; to be called inside the transaction that changed them."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{event.name} was published outside a transaction")
    payload = {key: str(value) if hasattr(value, "hex") else value for key, value in asdict(event).items()}
    row = OutboxEvent.objects.create(
        name=event.name,
        payload=payload,
        ordering_key=event.accession_number or str(event.subject),
        subject=str(event.subject),
        subject_version=event.version,
        actor=str(actor or "")[:150],
    )
    subscribers = _subscribers[event.name].values()
    Delivery.objects.bulk_create(
        Delivery(event=row, subscriber=subscriber.name, ordering_key=row.ordering_key)
        for subscriber in subscribers
        if not subscriber.in_transaction
    )
    for subscriber in subscribers:
        if subscriber.in_transaction:
            subscriber.handler(event)
    return row


def subscriber_of(delivery: Delivery) -> Subscriber | None:
    return _subscribers[delivery.event.name].get(delivery.subscriber)


def event_of(subscriber: Subscriber, row: OutboxEvent) -> Event:
    return subscriber.event_class(**row.payload)
