"""Somebody is told when something waits too long at a partner: one message for all of it, and one when it is over.

What was found and told is in the database (``InterfaceAlert``), written with the messages in one transaction: neither a
restart nor a second dispatcher tells it twice. After a message there is quiet for a while; what is found meanwhile goes
into the next one. That all is well again is told at once. No message holds more than names, counts and minutes: what a
partner answered may speak of a patient, and is to be read on the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import Max, Q
from django.utils import timezone

from interop.models import InterfaceAlert
from ris.accounts.selectors import users_with_role
from ris.core.actor import SYSTEM
from ris.core.cards import Card, cards_of
from ris.core.permissions import IT_ADMIN
from ris.events.dispatcher import register_companion
from ris.notifications.models import Channel
from ris.notifications.services import notify_all
from ris.tenants.context import active_schemas, require_schema, use_facility

log = structlog.get_logger(__name__)

EVERY = 30.0
QUIET = timedelta(minutes=30)
TEMPLATE = "interop.waiting_too_long"
LOCK = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
PAGE = "/integrations/"


@transaction.atomic
def check(now: datetime | None = None) -> bool:
    """Look at all partners and tell what is to be told; True when somebody was. Another that is at it suffices."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [f"{require_schema()}:interop.alerts"])
        (is_alone,) = cursor.fetchone()
    if not is_alone:
        return False
    now = now or timezone.now()
    _note(cards_of(SYSTEM), now)
    return _tell(now)


def _note(cards: list[Card], now: datetime) -> None:
    known = {row.key: row for row in InterfaceAlert.objects.select_for_update().filter(recovered_at__isnull=True)}
    late = {card.key: card for card in cards if card.waits_too_long}
    for key, card in late.items():
        row = known.get(key) or InterfaceAlert(key=key, opened_at=now)
        row.name, row.waiting = card.name[:100], (card.waiting or 0) + card.parked
        row.since, row.error = card.stuck_since or now, card.error[:500]
        row.save()
    if any(card.key.startswith("broken:") for card in cards):  # what cannot be looked at is not known to be over
        return
    for key, row in known.items():
        if key not in late:
            row.recovered_at = now
            row.save(update_fields=["recovered_at"])


def _tell(now: datetime) -> bool:
    new = list(InterfaceAlert.objects.filter(recovered_at__isnull=True, told_at__isnull=True).order_by("since"))
    told = InterfaceAlert.objects.filter(told_at__isnull=False)
    over = list(told.filter(recovered_at__isnull=False, recovery_told_at__isnull=True).order_by("pk"))
    if not new and not over:
        return False
    last = InterfaceAlert.objects.aggregate(told=Max("told_at"), over=Max("recovery_told_at"))
    still = told.filter(recovered_at__isnull=True)
    is_all_well = (
        bool(over) and not new and not still.exists() and (last["over"] is None or last["over"] < last["told"])
    )
    latest = max((moment for moment in last.values() if moment is not None), default=None)
    if latest is not None and now - latest < QUIET and not is_all_well:
        return False
    context = {
        "new": [_line(row, now) for row in new],
        "over": [row.name for row in over],
        "still": [_line(row, now) for row in still.order_by("since")],
    }
    notify_all(
        users_with_role(IT_ADMIN),
        channels=(Channel.IN_APP, Channel.EMAIL),
        template=TEMPLATE,
        context=context,
        url=PAGE,
        dedupe_key=f"interfaces:{now.isoformat(timespec='seconds')}",
    )
    InterfaceAlert.objects.filter(pk__in=[row.pk for row in new]).update(told_at=now)
    InterfaceAlert.objects.filter(pk__in=[row.pk for row in over]).update(recovery_told_at=now)
    log.warning("interfaces_wait", new=len(new), over=len(over))
    return True


def _line(row: InterfaceAlert, now: datetime) -> dict[str, object]:
    return {"name": row.name, "waiting": row.waiting, "minutes": int((now - row.since).total_seconds() // 60)}


def recent_alerts(limit: int = 20) -> list[InterfaceAlert]:
    """Open ones first, then what was over in the last days."""
    lately = timezone.now() - timedelta(days=7)
    rows = InterfaceAlert.objects.filter(Q(recovered_at__isnull=True) | Q(recovered_at__gte=lately))
    return sorted(rows.order_by("-pk")[:limit], key=lambda row: row.recovered_at is not None)


def watch(stop: Callable[[], bool]) -> None:
    """Beside the dispatcher, however busy it is."""
    while not stop():
        for schema in active_schemas():
            try:
                with use_facility(schema):
                    check()
            except DatabaseError as failure:
                log.error("alerts_not_checked", facility=schema, error=type(failure).__name__)
                close_old_connections()
        ends = time.monotonic() + EVERY
        while not stop() and time.monotonic() < ends:
            time.sleep(0.5)


register_companion("interop.alerts", watch)
