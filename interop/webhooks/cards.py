"""Webhooks on the queue monitor: one card each."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils.translation import gettext as _

from interop.models import Webhook
from interop.permissions import MANAGE_INTERFACES
from interop.webhooks import selectors
from ris.core.actor import Actor
from ris.core.cards import Card, CardAction

ALERT_AFTER = timedelta(minutes=15)


def state_of(webhook: Webhook) -> tuple[str, str, str]:
    """Tone, icon and words."""
    if not webhook.is_active:
        return "slate", "ban", _("Switched off")
    if webhook.is_paused:
        return "slate", "player-pause", _("Paused")
    if webhook.parked:
        return "red", "hand-stop", _("Parked %(n)s") % {"n": webhook.parked}
    if webhook.failures:
        return "amber", "refresh", _("Retrying")
    return "green", "circle-check", _("Running")


def webhook_cards(*, actor: Actor) -> list[Card]:
    """One query."""
    return [_card(webhook) for webhook in selectors.webhooks(actor=actor).order_by("name")]


def _card(webhook: Webhook) -> Card:
    tone, icon, state = state_of(webhook)
    verb = "resume" if webhook.is_paused else "pause"
    label = _("Resume") if webhook.is_paused else _("Pause")
    action = CardAction(label, reverse("webhook_action", args=[webhook.uuid, verb]), permission=MANAGE_INTERFACES)
    return Card(
        key=f"webhook:{webhook.uuid}",
        name=webhook.name,
        group="REST",
        kind=_("out") + " · webhook",
        tone=tone,
        icon=icon,
        state=state,
        waiting=webhook.waiting,
        parked=webhook.parked,
        oldest=webhook.oldest,
        last_success=webhook.last_success_at,
        error=webhook.last_error,
        address=webhook.url,
        url=reverse("webhook", args=[webhook.uuid]),
        actions=(action,) if webhook.is_active else (),
        alert_after=ALERT_AFTER if webhook.is_active and not webhook.is_paused else None,
    )
