"""Webhooks are kept, tested, paused, given new secrets; what waits for them is sent again or dropped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.models import Webhook, WebhookDelivery, WebhookDeliveryStatus
from interop.webhooks import catalogue, queue
from interop.webhooks.signing import new_secret
from ris.accounts.outbound import check_host
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition

#: After a change both secrets sign for so long.
BOTH_SIGN_FOR = timedelta(hours=24)
KEEP = timedelta(days=30)


@service(perms.MANAGE_INTERFACES, action=Action.CREATE)
def create_webhook(*, name: str, url: str, events: list[str], is_active: bool = True, actor: Actor) -> Webhook:
    """The answer's ``plain_secret`` is shown this once. The host must be on the facility's allow-list."""
    webhook = Webhook(
        name=_free_name(name), url=_checked_url(url), events=_checked_events(events), secret=new_secret(),
        is_active=is_active,
    )  # fmt: skip
    webhook.save_as(actor, "Webhook created")
    webhook.plain_secret = webhook.secret
    queue.forget_listeners()
    return webhook


@service(perms.MANAGE_INTERFACES)
def change_webhook(webhook: Webhook, *, actor: Actor, **changes: Any) -> Webhook:
    """``name``, ``url``, ``events``, ``is_active``: those that are given."""
    webhook = Webhook.locked(webhook.pk)
    if "name" in changes and changes["name"] != webhook.name:
        webhook.name = _free_name(changes["name"])
    if "url" in changes:
        webhook.url = _checked_url(changes["url"])
    if "events" in changes:
        webhook.events = _checked_events(changes["events"])
    webhook.is_active = changes.get("is_active", webhook.is_active)
    webhook.failures, webhook.rests_until = 0, None
    webhook.save_as(actor, "Webhook changed")
    queue.forget_listeners()
    return webhook


@service(perms.MANAGE_INTERFACES)
def pause_webhook(webhook: Webhook, *, actor: Actor) -> Webhook:
    """What happens meanwhile waits, in order."""
    return _set_paused(webhook, True, actor)


@service(perms.MANAGE_INTERFACES)
def resume_webhook(webhook: Webhook, *, actor: Actor) -> Webhook:
    return _set_paused(webhook, False, actor)


def _set_paused(webhook: Webhook, is_paused: bool, actor: Actor) -> Webhook:
    webhook = Webhook.locked(webhook.pk)
    if webhook.is_paused == is_paused:
        raise InvalidTransition(_("It is so already."))
    webhook.is_paused, webhook.rests_until, webhook.failures = is_paused, None, 0
    webhook.save_as(actor, "Webhook paused" if is_paused else "Webhook resumed")
    return webhook


@service(perms.MANAGE_INTERFACES)
def rotate_webhook_secret(webhook: Webhook, *, actor: Actor) -> Webhook:
    """A new secret, in ``plain_secret`` this once; for a day the earlier one signs as well."""
    webhook = Webhook.locked(webhook.pk)
    webhook.earlier_secret, webhook.earlier_secret_until = webhook.secret, timezone.now() + BOTH_SIGN_FOR
    webhook.secret = new_secret()
    webhook.save_as(actor, "Webhook's secret changed")
    webhook.plain_secret = webhook.secret
    return webhook


@service(perms.MANAGE_INTERFACES, action=Action.EXECUTE)
def test_webhook(webhook: Webhook, *, actor: Actor) -> WebhookDelivery:
    """Something to send that means nothing, to see that it arrives."""
    if not webhook.is_active or webhook.is_paused:
        raise InvalidTransition(_("Nothing is sent: it is paused or switched off."), todo=_("Resume it first."))
    Webhook.objects.filter(pk=webhook.pk).update(rests_until=None)
    return queue.enqueue([webhook.pk], catalogue.TEST, subject="", resource="", version=None)[0]


@service(perms.REPLAY_MESSAGE)
def deliver_again(delivery: WebhookDelivery, *, actor: Actor) -> WebhookDelivery:
    """At once, under the same ``webhook-id``."""
    delivery = WebhookDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    delivery.status, delivery.attempts = WebhookDeliveryStatus.PENDING, 0
    delivery.next_attempt_at, delivery.claimed_until, delivery.delivered_at = timezone.now(), None, None
    delivery.save(update_fields=["status", "attempts", "next_attempt_at", "claimed_until", "delivered_at"])
    Webhook.objects.filter(pk=delivery.webhook_id).update(rests_until=None)
    return delivery


@service(perms.REPLAY_MESSAGE)
def drop_delivery(delivery: WebhookDelivery, *, actor: Actor) -> WebhookDelivery:
    """It is not to be told any more; what waits behind it goes on."""
    delivery = WebhookDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    if delivery.status not in (WebhookDeliveryStatus.PENDING, WebhookDeliveryStatus.PARKED):
        raise InvalidTransition(_("It does not wait any more."))
    delivery.status, delivery.claimed_until = WebhookDeliveryStatus.CANCELLED, None
    delivery.save(update_fields=["status", "claimed_until"])
    return delivery


@transaction.atomic
def forget_old_deliveries() -> int:
    """What is done and older than a month; what waits or is parked stays."""
    done = (WebhookDeliveryStatus.DELIVERED, WebhookDeliveryStatus.CANCELLED)
    old = WebhookDelivery.objects.filter(created_at__lt=timezone.now() - KEEP, status__in=done)
    return old.delete()[0]


def _free_name(name: str) -> str:
    name = name.strip()[:64]
    if not name:
        raise InvalidData(_("A webhook needs a name."), errors={"name": _("Needed.")})
    if Webhook.objects.filter(name=name).exists():
        raise AlreadyExists(_("A webhook has this name."), errors={"name": _("Taken.")})
    return name


def _checked_url(url: str) -> str:
    try:
        address = httpx.URL(url.strip())
    except (httpx.InvalidURL, UnicodeError):
        address = httpx.URL("")
    if address.scheme not in ("https", "http") or not address.host or address.userinfo or len(str(address)) > 500:
        message = _("An address like https://example.org/hooks, without a password in it.")
        raise InvalidData(_("This is no address that can be told."), errors={"url": message})
    check_host(address.host)
    return str(address)


def _checked_events(events: list[str]) -> list[str]:
    wanted = sorted({event.strip() for event in events if event.strip()})
    unknown = catalogue.unknown(wanted)
    if not wanted or unknown:
        errors = [_("There is no event %(name)s.") % {"name": name[:60]} for name in unknown] or [
            _("Choose at least one.")
        ]
        raise InvalidData(_("It is not clear what is to be told."), errors={"events": errors})
    return wanted
