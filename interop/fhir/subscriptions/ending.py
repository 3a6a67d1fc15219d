"""Subscriptions that end by themselves: with their day, their key, their program, their owner, or a dead receiver."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from interop.models import FhirNotification, FhirSubscription, NotificationStatus, SubscriptionStatus
from ris.accounts.models import AccessToken, ApiKey, User
from ris.accounts.selectors import users_with_role
from ris.core.actor import SYSTEM, Actor
from ris.core.permissions import IT_ADMIN
from ris.notifications.models import Channel
from ris.notifications.services import notify_all


def bind(row: FhirSubscription, actor: Actor) -> None:
    """To the key or the program that asks; to nothing but its owner where a person does."""
    shown = actor.credential
    row.api_key = shown if isinstance(shown, ApiKey) else None
    grant = getattr(shown, "smart_grant", None) if isinstance(shown, AccessToken) else None
    row.smart_client = grant.client if grant is not None else None


def over_because(row: FhirSubscription, now: datetime) -> str:
    """Why it ends at this moment; empty while it goes on."""
    key = row.api_key
    if row.ends_at is not None and row.ends_at <= now:
        return _("Its end was set for this time.")
    if key is not None and (key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)):
        return _("The key that asked for it has ended.")
    if row.smart_client is not None and not row.smart_client.is_active:
        return _("The program that asked for it is switched off.")
    if not row.owner.is_active:
        return _("Who asked for it is no longer active.")
    return ""


def ended(now: datetime) -> Q:
    """The same as a filter."""
    by_key = Q(api_key__revoked_at__isnull=False) | Q(api_key__expires_at__lte=now)
    return Q(ends_at__lte=now) | by_key | Q(smart_client__is_active=False) | Q(owner__is_active=False)


@transaction.atomic
def switch_off(row: FhirSubscription, reason: str) -> None:
    """What waits is not sent any more; its owner and those who look after the interfaces are told."""
    row = FhirSubscription.locked(row.pk)
    if row.status == SubscriptionStatus.OFF:
        return
    row.status, row.next_heartbeat_at, row.error_since, row.last_error = SubscriptionStatus.OFF, None, None, reason
    row.save_as(SYSTEM, reason)
    pending = FhirNotification.objects.filter(subscription=row, status=NotificationStatus.PENDING)
    pending.update(status=NotificationStatus.CANCELLED, claimed_until=None)
    people = {
        user.pk: user for user in (*users_with_role(IT_ADMIN), *User.objects.filter(pk=row.owner_id, is_active=True))
    }
    notify_all(
        people.values(),
        channels=(Channel.IN_APP, Channel.EMAIL),
        template="interop.subscription_ended",
        context={"subscription": row.reason, "reason": reason},
        subject=str(row.uuid),
        url=reverse("fhir_subscription", args=[row.uuid]),
        dedupe_key=f"interop.subscription_ended:{row.uuid}:{row.version}",
    )


def claim_ended(limit: int = 50) -> list[int]:
    """Those whose time is over without anything on its way."""
    found = FhirSubscription.objects.filter(ended(timezone.now())).exclude(status=SubscriptionStatus.OFF)
    return list(found.order_by("pk").values_list("pk", flat=True)[:limit])


def end(pk: int) -> bool:
    row = FhirSubscription.objects.select_related("owner", "api_key", "smart_client").get(pk=pk)
    reason = over_because(row, timezone.now())
    if reason:
        switch_off(row, reason)
    return bool(reason)
