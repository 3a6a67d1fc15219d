"""Hand one event to one subscriber; what the dispatcher, the worker and the admin's "deliver again" call."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone

from ris.core.errors import NotKnown
from ris.events import bus
from ris.events.models import Delivery, DeliveryStatus, IdempotencyRecord, OutboxEvent

log = structlog.get_logger(__name__)

CLAIM_FOR = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=10)
ATTEMPTS_BEFORE_PARKING = 20
KEEP_IDEMPOTENCY_RECORDS = timedelta(days=7)

CLAIM = """
update events_delivery set claimed_until = statement_timestamp() + %(claim)s
where id in (
    select d.id from events_delivery d
    where d.status = 'pending' and d.next_attempt_at <= statement_timestamp()
      and (d.claimed_until is null or d.claimed_until < statement_timestamp())
      and not exists (
          select 1 from events_delivery e
          where e.subscriber = d.subscriber and e.ordering_key = d.ordering_key
            and e.status = 'pending' and e.id < d.id)
    order by d.id limit %(limit)s for update skip locked)
returning id
"""


def claim_deliveries(limit: int = 50) -> list[int]:
    """Take due deliveries for this process; another takes them over when the claim runs out."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def back_off(attempts: int) -> timedelta:
    """1, 2, 4 ... seconds, capped."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), LONGEST_WAIT)


def hand_over(delivery_id: int) -> bool:
    """Run the subscriber once; True when the delivery is finished. Safe to call twice at once.

    The handler runs in the transaction that marks the delivery, so what it writes to the database happens once;
    what it does to the outside happens at least once.
    """
    try:
        with transaction.atomic():
            delivery = (
                Delivery.objects.select_for_update(of=("self",), skip_locked=True)
                .select_related("event")
                .filter(pk=delivery_id, status=DeliveryStatus.PENDING)
                .first()
            )
            if delivery is None:
                return True
            subscriber = bus.subscriber_of(delivery)
            if subscriber is None:
                raise NotKnown(f"no subscriber is called {delivery.subscriber}")
            if subscriber.latest_only and _is_overtaken(delivery.event):
                delivery.status = DeliveryStatus.OVERTAKEN
            else:
                subscriber.handler(bus.event_of(subscriber, delivery.event))
                delivery.status = DeliveryStatus.DELIVERED
            delivery.delivered_at = timezone.now()
            delivery.claimed_until, delivery.last_error = None, ""
            delivery.attempts += 1
            delivery.save(update_fields=["status", "delivered_at", "claimed_until", "last_error", "attempts"])
            return True
    except Exception as exc:  # whatever a subscriber raises: recorded, logged, tried again
        _record_failure(delivery_id, exc)
        return False


def _is_overtaken(event: OutboxEvent) -> bool:
    return (
        event.subject_version is not None
        and OutboxEvent.objects.filter(
            name=event.name, ordering_key=event.ordering_key, subject=event.subject, pk__gt=event.pk
        ).exists()
    )


def _record_failure(delivery_id: int, exc: Exception) -> None:
    with transaction.atomic():
        delivery = Delivery.objects.select_for_update().filter(pk=delivery_id).first()
        if delivery is None or delivery.status != DeliveryStatus.PENDING:
            return
        delivery.attempts += 1
        delivery.last_error = f"{type(exc).__name__}: {exc}"[:500]
        delivery.next_attempt_at = timezone.now() + back_off(delivery.attempts)
        delivery.claimed_until = None
        if delivery.attempts >= ATTEMPTS_BEFORE_PARKING:
            delivery.status = DeliveryStatus.PARKED
        delivery.save()
    log.warning("delivery_failed", subscriber=delivery.subscriber, delivery=delivery_id, error=type(exc).__name__)


@transaction.atomic
def deliver_again(delivery: Delivery) -> Delivery:
    """A person's wish: whatever became of it, hand it over once more."""
    delivery = Delivery.objects.select_for_update().get(pk=delivery.pk)
    delivery.status, delivery.attempts = DeliveryStatus.PENDING, 0
    delivery.next_attempt_at, delivery.claimed_until, delivery.delivered_at = timezone.now(), None, None
    delivery.save()
    return delivery


def forget_old_idempotency_records() -> int:
    oldest = timezone.now() - KEEP_IDEMPOTENCY_RECORDS
    return IdempotencyRecord.objects.filter(created_at__lt=oldest).delete()[0]
