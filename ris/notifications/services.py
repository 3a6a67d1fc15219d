"""Tell a person something: a row in the caller's transaction, sent by the dispatcher.

    notify(user=report.author, channel=Channel.IN_APP, template="peerreview.discrepancy",
           subject=str(report.uuid), url="/reports/...", dedupe_key=f"discrepancy:{case.uuid}")

The words come from ``templates/<app>/notifications/<name>.txt`` in the reader's language: the first line is the title,
the rest the body. ``context`` holds codes, counts and times; never a name or an identifier of a patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone, translation

from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import DomainError, InvalidData
from ris.events.bus import publish
from ris.notifications.channels import PermanentFailure, deliver
from ris.notifications.events import MessageFailed, MessageTried
from ris.notifications.models import Channel, Notification, NotificationStatus
from ris.notifications.rota import holder, shifts_of

log = structlog.get_logger(__name__)

CLAIM_FOR = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=10)
ATTEMPTS = 10
#: After so many tries, or when it is given up, whoever sent it hears that this way does not work now.
TELL_AFTER = 3
_followed: set[str] = set()

CLAIM = """
update notifications_notification set claimed_until = statement_timestamp() + %(claim)s
where id in (
    select id from notifications_notification
    where status = 'pending' and next_attempt_at <= statement_timestamp()
      and (claimed_until is null or claimed_until < statement_timestamp())
    order by id limit %(limit)s for update skip locked)
returning id
"""


def notify(
    *,
    template: str,
    user: User | None = None,
    address: str = "",
    channel: Channel | str = Channel.IN_APP,
    context: dict[str, Any] | None = None,
    subject: str = "",
    url: str = "",
    dedupe_key: str = "",
    language: str = "",
) -> Notification:
    """Put one message to one person by one channel into the caller's transaction.

    Without ``address`` an e-mail or an SMS goes where the user is known to be; nowhere means a visible failure. With a
    ``dedupe_key`` that was used before, the earlier message is the answer and nothing new is sent.
    """
    if user is None and not address:
        raise InvalidData("A notification needs somebody to go to.")
    channel = Channel(channel)
    if not address and user is not None and channel != Channel.IN_APP:
        address = address_of(user, channel)
    now = timezone.now()
    values: dict[str, Any] = {
        "recipient": user,
        "address": address,
        "channel": channel,
        "template": template,
        "context": context or {},
        "language": language or (user.language if user is not None else "") or _facility_language(),
        "subject": subject,
        "url": url,
    }
    if channel == Channel.IN_APP:
        values.update(status=NotificationStatus.SENT, sent_at=now)
    elif not address:
        values.update(status=NotificationStatus.FAILED, last_error="No address is known.")
    if not dedupe_key:
        return Notification.objects.create(**values)
    return Notification.objects.get_or_create(dedupe_key=dedupe_key[:150], defaults=values)[0]


def notify_all(
    users: Iterable[User], *, channels: Iterable[Channel] = (Channel.IN_APP,), dedupe_key: str = "", **message: Any
) -> list[Notification]:
    """The same to several people by several channels; e-mail and SMS only to who has an address."""
    rows = []
    for user in users:
        for channel in channels:
            if channel != Channel.IN_APP and not address_of(user, channel):
                continue
            key = f"{dedupe_key}:{user.pk}:{channel}" if dedupe_key else ""
            rows.append(notify(user=user, channel=channel, dedupe_key=key, **message))
    return rows


def address_of(user: User, channel: Channel) -> str:
    """Where a user is reached by a channel; empty when nowhere."""
    if channel == Channel.EMAIL:
        return user.email
    if channel == Channel.SMS:
        practitioner = getattr(user, "practitioner", None)
        return practitioner.phone if practitioner is not None else ""
    return ""


def _facility_language() -> str:
    return getattr(connection.tenant, "language", "") or translation.get_language() or settings.LANGUAGE_CODE


# --- sending: what the dispatcher calls


def claim_notifications(limit: int = 50) -> list[int]:
    """Take due messages for this process; another takes them over when the claim runs out."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


def send_notification(notification_id: int) -> bool:
    """Send one message that is still to go; True when there is nothing left to do. At least once, not inside
    a transaction: who sends does not know whether the other side got it before we died."""
    row = Notification.objects.select_related("recipient").filter(pk=notification_id).first()
    if row is None or row.status != NotificationStatus.PENDING:
        return True
    try:
        deliver(row)
    except PermanentFailure as exc:
        _note_failure(row, str(exc), permanent=True)
        return True
    except Exception as exc:  # whatever a mail server or a gateway does: recorded, tried again
        _note_failure(row, f"{type(exc).__name__}: {exc.code if isinstance(exc, DomainError) else ''}".rstrip(": "))
        return False
    pending = Notification.objects.filter(pk=row.pk, status=NotificationStatus.PENDING)
    with transaction.atomic():
        pending.update(
            status=NotificationStatus.SENT,
            sent_at=timezone.now(),
            claimed_until=None,
            last_error="",
            attempts=row.attempts + 1,
        )
        _tell_followers(row, "sent")
    return True


def follow_template(template: str) -> None:
    """Whoever sends by this template hears of every try (``MessageTried``)."""
    _followed.add(template)


def _tell_followers(row: Notification, outcome: str, error: str = "") -> None:
    if row.template in _followed:
        tried = {"about": row.subject, "template": row.template, "channel": row.channel}
        publish(MessageTried(str(row.uuid), **tried, outcome=outcome, error=error[:300]))


def _note_failure(row: Notification, error: str, *, permanent: bool = False) -> None:
    attempts = row.attempts + 1
    gave_up = permanent or attempts >= ATTEMPTS
    with transaction.atomic():
        Notification.objects.filter(pk=row.pk, status=NotificationStatus.PENDING).update(
            attempts=attempts,
            last_error=error[:500],
            claimed_until=None,
            next_attempt_at=timezone.now() + min(timedelta(seconds=2**attempts), LONGEST_WAIT),
            status=NotificationStatus.FAILED if gave_up else NotificationStatus.PENDING,
        )
        if gave_up or attempts == TELL_AFTER:
            publish(MessageFailed(str(row.uuid), about=row.subject, template=row.template, channel=row.channel))
        _tell_followers(row, "given_up" if gave_up else "retry", error)
    log.warning("notification_failed", notification=row.pk, channel=row.channel, gave_up=gave_up)


# --- reading, and what people do by hand


def inbox(user: User) -> QuerySet[Notification]:
    return Notification.objects.filter(recipient=user, channel=Channel.IN_APP)


def unread_count(user: User) -> int:
    return inbox(user).filter(read_at__isnull=True).count()


def mark_seen(user: User | None, subjects: Iterable[str]) -> int:
    """What the messages spoke of has been looked at elsewhere: the bell need not ring for it any more."""
    if user is None:
        return 0
    return mark_read(inbox(user).filter(subject__in=list(subjects)))


def mark_read(rows: QuerySet[Notification]) -> int:
    return rows.filter(read_at__isnull=True).update(read_at=timezone.now())


@service("notifications.send_again", action=Action.EXECUTE)
def send_again(row: Notification, *, actor: Actor) -> Notification:
    """A person's wish: try once more what was given up."""
    row = Notification.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if row.channel == Channel.IN_APP:
        raise InvalidData("A message in the application is there already.")
    if row.recipient is not None and not row.address:
        row.address = address_of(row.recipient, Channel(row.channel))
    row.status, row.attempts, row.claimed_until = NotificationStatus.PENDING, 0, None
    row.next_attempt_at = timezone.now()
    row.save()
    return row


def on_duty(duty: str, at: datetime | None = None) -> list[User]:
    """Who is on duty for a purpose at a moment (now), or stands in; whose shift began last comes first."""
    return list(dict.fromkeys(holder(shift) for shift in shifts_of(duty, at)))
