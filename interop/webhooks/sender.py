"""Sending: claimed, counted, posted, recorded; no transaction is open while the network is used.

In order per webhook and subject, under the same ``webhook-id`` on every try. Whatever is not 2xx is tried again with
growing pauses and parked in the end; 410 pauses the webhook (its receiver says that it is gone). One that cannot be
reached rests as a whole. Hosts and addresses are those of the facility's allow-list (``ris.accounts.outbound``).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

import httpx
import structlog
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.models import Webhook, WebhookAttempt, WebhookDelivery, WebhookDeliveryStatus
from interop.webhooks.signing import headers
from ris.accounts.outbound import client
from ris.core.errors import DomainError

log = structlog.get_logger(__name__)

CLAIM_FOR = timedelta(seconds=90)
#: Seconds before the next try; after the last of them it is parked. Two days in all.
PAUSES = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 57600)
LONGEST_REST = timedelta(minutes=5)
LONGEST_WISH = timedelta(hours=1)
UNREACHABLE_STATUSES = (429, 502, 503, 504)
GONE = 410

CLAIM: LiteralString = """
update interop_webhookdelivery set claimed_until = clock_timestamp() + %(claim)s
where id in (
    select d.id from interop_webhookdelivery d
    join interop_webhook w on w.id = d.webhook_id
    where d.status = 'pending' and d.next_attempt_at <= clock_timestamp()
      and (d.claimed_until is null or d.claimed_until < clock_timestamp())
      and w.is_active and not w.is_paused and (w.rests_until is null or w.rests_until <= clock_timestamp())
      and not exists (
          select 1 from interop_webhookdelivery e
          where e.webhook_id = d.webhook_id and e.subject = d.subject and e.status = 'pending' and e.id < d.id)
    order by d.id limit %(limit)s for update of d skip locked)
returning id
"""


@dataclass(frozen=True)
class Parcel:
    """A delivery as it goes out; nothing is asked of the database while it is under way."""

    pk: int
    url: str
    headers: dict[str, str]
    body: bytes
    attempts: int


@dataclass(frozen=True)
class Answer:
    """What came of one try."""

    http_status: int | None
    error: str
    milliseconds: int
    wished_pause: timedelta | None = None

    @property
    def is_success(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300


def claim(limit: int = 50) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def run(pk: int) -> bool:
    """One try of one delivery; True when it has arrived. The second of two at once finds nothing to do."""
    parcel = _begin(pk)
    return False if parcel is None else _record(parcel, _post(parcel))


@transaction.atomic
def _begin(pk: int) -> Parcel | None:
    """Count the try before it is made."""
    row = (
        WebhookDelivery.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("webhook")
        .filter(pk=pk, status=WebhookDeliveryStatus.PENDING, next_attempt_at__lte=timezone.now())
        .first()
    )
    if row is None:
        return None
    row.attempts += 1
    row.claimed_until = timezone.now() + CLAIM_FOR
    #: another worker that was handed the same row sees that its time has not come
    row.next_attempt_at = row.claimed_until
    row.save(update_fields=["attempts", "claimed_until", "next_attempt_at"])
    hook, body = row.webhook, json.dumps(row.body, separators=(",", ":")).encode()
    secrets = [hook.secret]
    if hook.earlier_secret and hook.earlier_secret_until and hook.earlier_secret_until > timezone.now():
        secrets.append(hook.earlier_secret)
    signed = headers(secrets, str(row.uuid), int(time.time()), body)
    told = {"Content-Type": "application/json", "User-Agent": "Picha-Webhooks/1", **signed}
    return Parcel(row.pk, hook.url, told, body, row.attempts)


def _post(parcel: Parcel) -> Answer:
    """The body of the answer is not read: nothing in it is for us."""
    started = time.monotonic()

    def after(status: int | None, error: str = "", wished: timedelta | None = None) -> Answer:
        return Answer(status, error[:300], int((time.monotonic() - started) * 1000), wished)

    try:
        with (
            client() as session,
            session.stream("POST", parcel.url, headers=parcel.headers, content=parcel.body) as got,
        ):
            if 200 <= got.status_code < 300:
                return after(got.status_code)
            words = _("The receiver answered %(status)d.") % {"status": got.status_code}
            return after(got.status_code, words, _wished(got.headers.get("Retry-After", "")))
    except DomainError as refusal:
        return after(None, refusal.detail)
    except httpx.TimeoutException:
        return after(None, _("The receiver did not answer in time."))
    except (httpx.HTTPError, httpx.InvalidURL):
        return after(None, _("The receiver cannot be reached."))


def _wished(header: str) -> timedelta | None:
    return min(timedelta(seconds=int(header)), LONGEST_WISH) if header.isascii() and header.isdigit() else None


@transaction.atomic
def _record(parcel: Parcel, answer: Answer) -> bool:
    row = WebhookDelivery.objects.select_for_update(of=("self",)).get(pk=parcel.pk)
    hook = Webhook.objects.select_for_update(no_key=True).get(pk=row.webhook_id)
    WebhookAttempt.objects.create(
        delivery=row, milliseconds=answer.milliseconds, http_status=answer.http_status, error=answer.error
    )
    now = timezone.now()
    row.claimed_until, row.last_error = None, answer.error
    if answer.is_success:
        row.status, row.delivered_at = WebhookDeliveryStatus.DELIVERED, now
        Webhook.objects.filter(pk=hook.pk).update(failures=0, rests_until=None, last_error="", last_success_at=now)
    else:
        _postpone(row, hook, answer)
    row.save(update_fields=["status", "claimed_until", "last_error", "delivered_at", "next_attempt_at"])
    return answer.is_success


def _postpone(row: WebhookDelivery, hook: Webhook, answer: Answer) -> None:
    now = timezone.now()
    if row.attempts > len(PAUSES) and row.status == WebhookDeliveryStatus.PENDING:
        row.status = WebhookDeliveryStatus.PARKED
    else:
        pause = timedelta(seconds=PAUSES[min(row.attempts, len(PAUSES)) - 1])
        row.next_attempt_at = now + max(pause, answer.wished_pause or timedelta())
    changes = {"failures": hook.failures + 1, "last_error": answer.error}
    if answer.http_status is None or answer.http_status in UNREACHABLE_STATUSES:
        rest = min(timedelta(seconds=2 ** min(hook.failures + 1, 10)), LONGEST_REST)
        changes["rests_until"] = now + max(rest, answer.wished_pause or timedelta())
    if answer.http_status == GONE:
        changes["is_paused"] = True
    Webhook.objects.filter(pk=hook.pk).update(**changes)
    log.warning("webhook_failed", webhook=hook.name, status=answer.http_status, attempts=row.attempts)
