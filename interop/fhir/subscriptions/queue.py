"""Notifications on their way: in order per subscription, counted before they are tried, no transaction open meanwhile.

No answer, 5xx, 408, 409, 425 and 429 are tried again with growing pauses; any other refusal parks this one and the
next goes on. So many failures in a row put the subscription in error: it is still tried, ever more rarely, and what
happens waits. One try that succeeds ends the error; two days of it, or 410, end the subscription, and people are told.
It ends as well with the key, the program or the person that asked for it.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, LiteralString

import httpx
import structlog
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.fhir.asking import base_of
from interop.fhir.subscriptions.ending import over_because, switch_off
from interop.fhir.subscriptions.notifications import Parcel, parcel_of
from interop.models import (
    FhirNotification,
    FhirRelease,
    FhirSubscription,
    NotificationKind,
    NotificationStatus,
    SubscriptionStatus,
)
from interop.permissions import REPLAY_MESSAGE
from interop.webhooks.signing import headers as signed
from ris.accounts.outbound import client
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import DomainError

log = structlog.get_logger(__name__)

CLAIM_FOR = timedelta(seconds=90)
FAILURES_TO_ERROR = 12
LONGEST_PAUSE = timedelta(minutes=10)
FIRST_REST, LONGEST_REST, ERROR_AT_MOST = timedelta(minutes=30), timedelta(hours=6), timedelta(days=2)
AGAIN, GONE = (408, 409, 425, 429), 410
NOTIFY = "interop.notify_subscriber"

CLAIM: LiteralString = """
update interop_fhirnotification set claimed_until = clock_timestamp() + %(claim)s
where id in (
    select n.id from interop_fhirnotification n
    join interop_fhirsubscription s on s.id = n.subscription_id
    where n.status = 'pending' and n.next_attempt_at <= clock_timestamp()
      and (n.claimed_until is null or n.claimed_until < clock_timestamp())
      and not s.is_paused
      and (s.status in ('active', 'error') or (s.status = 'requested' and n.kind = 'handshake'))
      and not exists (
          select 1 from interop_fhirnotification e
          where e.subscription_id = n.subscription_id and e.status = 'pending'
            and (e.kind <> 'handshake', e.id) < (n.kind <> 'handshake', n.id))
    order by n.id limit %(limit)s for update of n skip locked)
returning id
"""


def claim(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run(pk: int) -> bool:
    """One try of one notification (R5: with those behind it, as many as fit); True when it has been heard."""
    begun = _begin(pk)
    if begun is None:
        return False
    keys, parcel, seconds = begun
    if parcel is None:
        return False
    started = time.monotonic()
    try:
        with (
            client(seconds=seconds) as session,
            session.stream(parcel.method, parcel.url, content=parcel.body, headers=parcel.headers) as answer,
        ):
            status = answer.status_code
    except httpx.TimeoutException:
        return _note(keys, parcel, None, _("The receiver did not answer in time."))
    except (httpx.HTTPError, httpx.InvalidURL):
        return _note(keys, parcel, None, _("The receiver cannot be reached."))
    except DomainError as refusal:  # the facility does not connect there
        return _note(keys, parcel, None, refusal.detail)
    log.info("fhir_notified", status=status, milliseconds=int((time.monotonic() - started) * 1000))
    error = "" if 200 <= status < 300 else _("The receiver answered %(status)d.") % {"status": status}
    return _note(keys, parcel, status, error)


@transaction.atomic
def _begin(pk: int) -> tuple[list[int], Parcel | None, int] | None:
    """Count the try before it is made. What its owner may not hear any more is cancelled here."""
    found = FhirNotification.objects.select_for_update(of=("self",), skip_locked=True)
    now = timezone.now()
    first = found.filter(pk=pk, status=NotificationStatus.PENDING, next_attempt_at__lte=now).first()
    if first is None:
        return None
    row = FhirSubscription.objects.select_related("owner", "api_key", "smart_client").get(pk=first.subscription_id)
    if row.is_paused or row.status == SubscriptionStatus.OFF:
        return None
    if reason := over_because(row, now):
        switch_off(row, reason)
        return None
    notes = [first]
    if row.release == FhirRelease.R5 and first.kind == NotificationKind.EVENT and row.max_count > 1:
        behind = found.filter(subscription=row, status=NotificationStatus.PENDING, pk__gt=pk, kind=first.kind)
        notes += list(behind.order_by("pk")[: row.max_count - 1])
    keys = [note.pk for note in notes]
    parcel = parcel_of(row, notes, base_of(row.release))
    rows = FhirNotification.objects.filter(pk__in=keys)
    if parcel is None:
        rows.update(status=NotificationStatus.CANCELLED, claimed_until=None, last_error=_("Not to be told any more."))
        return keys, None, 0
    rows.update(attempts=F("attempts") + 1, claimed_until=now + CLAIM_FOR, next_attempt_at=now + CLAIM_FOR)
    if row.secret:
        parcel.headers |= signed([row.secret], str(first.uuid), int(time.time()), parcel.body)
    parcel.headers["User-Agent"] = "Picha-FHIR/1"
    return keys, parcel, row.timeout_seconds


@transaction.atomic
def _note(keys: list[int], parcel: Parcel, status: int | None, error: str) -> bool:
    notes = list(FhirNotification.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk"))
    row = FhirSubscription.objects.select_for_update(of=("self",)).get(pk=notes[0].subscription_id)
    notes = [note for note in notes if note.status == NotificationStatus.PENDING]
    now = timezone.now()
    if not error:
        for note in notes:
            note.status, note.delivered_at, note.claimed_until, note.last_error = (
                NotificationStatus.DELIVERED, now, None, "",
            )  # fmt: skip
            note.patient = parcel.patients[0] if len(parcel.patients) == 1 else None
        _save(notes)
        changes = {"failures": 0, "last_error": "", "error_since": None, "last_success_at": now, "last_tried_at": now}
        if row.status in (SubscriptionStatus.REQUESTED, SubscriptionStatus.ERROR):
            changes["status"] = SubscriptionStatus.ACTIVE
        FhirSubscription.objects.filter(pk=row.pk).update(**changes, next_heartbeat_at=_next_heartbeat(row))
        if parcel.patients:
            actor = Actor("fhir", row.owner, ae_title="subscription")
            record(actor, NOTIFY, Action.READ, entity=row, patients=sorted(set(parcel.patients)))
        return True
    log.warning(
        "fhir_not_notified", subscription=str(row.uuid), status=status, attempts=notes[0].attempts if notes else 0
    )
    _postpone(row, notes, status, error)
    return False


def _save(notes: list[FhirNotification]) -> None:
    for note in notes:
        note.save(update_fields=["status", "delivered_at", "claimed_until", "last_error", "patient", "next_attempt_at"])


def _postpone(row: FhirSubscription, notes: list[FhirNotification], status: int | None, error: str) -> None:
    now = timezone.now()
    is_in_error = row.status == SubscriptionStatus.ERROR
    is_final = status is not None and 300 <= status < 500 and status not in (*AGAIN, GONE)
    pause = rest_in_error(row.failures) if is_in_error else LONGEST_PAUSE
    for note in notes:
        note.claimed_until, note.last_error = None, error[:500]
        if is_final and not is_in_error and note.kind != NotificationKind.HANDSHAKE:
            note.status = NotificationStatus.PARKED
        else:
            quick = timedelta(seconds=2 ** min(note.attempts, 12))
            note.next_attempt_at = now + (pause if is_in_error else min(quick, pause))
    _save(notes)
    failures = row.failures + 1
    changes: dict[str, Any] = {"failures": failures, "last_error": error[:500], "last_tried_at": now}
    if failures >= FAILURES_TO_ERROR and not is_in_error:
        changes |= {"status": SubscriptionStatus.ERROR, "next_heartbeat_at": None, "error_since": now}
    FhirSubscription.objects.filter(pk=row.pk).update(**changes)
    if status == GONE:
        switch_off(row, _("The receiver says that it is gone for good."))
    elif is_in_error and row.error_since is not None and now - row.error_since >= ERROR_AT_MOST:
        switch_off(row, _("Its receiver has not answered for two days."))


def rest_in_error(failures: int) -> timedelta:
    """Half an hour, then twice as long each time, six hours at most."""
    return min(FIRST_REST * 2 ** min(max(0, failures - FAILURES_TO_ERROR), 8), LONGEST_REST)


# --- signs of life


def _next_heartbeat(row: FhirSubscription) -> object:
    if row.release != FhirRelease.R5 or not row.heartbeat_seconds:
        return None
    return timezone.now() + timedelta(seconds=row.heartbeat_seconds)


def claim_heartbeats(limit: int = 50) -> list[int]:
    """Subscriptions that have heard nothing for as long as they wanted to be told that we live."""
    due = FhirSubscription.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=timezone.now()),
        status=SubscriptionStatus.ACTIVE,
        is_paused=False,
        next_heartbeat_at__lte=timezone.now(),
    )
    return list(due.order_by("next_heartbeat_at").values_list("pk", flat=True)[:limit])


@transaction.atomic
def beat(pk: int) -> bool:
    """One sign of life into the queue, unless something is on its way anyway."""
    row = FhirSubscription.objects.select_for_update(of=("self",)).filter(pk=pk).first()
    if row is None or row.next_heartbeat_at is None or row.next_heartbeat_at > timezone.now():
        return False
    FhirSubscription.objects.filter(pk=pk).update(next_heartbeat_at=_next_heartbeat(row))
    if not row.notifications.filter(status=NotificationStatus.PENDING).exists():
        FhirNotification.objects.create(
            subscription=row, kind=NotificationKind.HEARTBEAT, number=row.events_since_start
        )
    return True


KEEP = timedelta(days=30)


def forget_old_notifications() -> int:
    """What is done and older than a month; what waits or is parked stays."""
    done = (NotificationStatus.DELIVERED, NotificationStatus.CANCELLED)
    old = FhirNotification.objects.filter(occurred_at__lt=timezone.now() - KEEP, status__in=done)
    return old.delete()[0]


# --- by hand


@service(REPLAY_MESSAGE, action=Action.EXECUTE)
def send_again(row: FhirSubscription, *, actor: Actor) -> FhirSubscription:
    """What was parked goes back into the queue."""
    parked = row.notifications.filter(status=NotificationStatus.PARKED)
    parked.update(
        status=NotificationStatus.PENDING, attempts=0, next_attempt_at=timezone.now(), claimed_until=None, last_error=""
    )
    return row
