"""Subscriptions on the queue monitor: one card each. Servers that we send to stand among the destinations."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils.translation import gettext as _

from interop.fhir.subscriptions.services import subscriptions
from interop.models import FhirSubscription, SubscriptionStatus
from interop.permissions import MANAGE_INTERFACES
from ris.core.actor import Actor
from ris.core.cards import Card, CardAction

ALERT_AFTER = timedelta(minutes=15)


def state_of(row: FhirSubscription) -> tuple[str, str, str]:
    """Tone, icon and words."""
    if row.status == SubscriptionStatus.OFF:
        return "slate", "ban", _("Switched off")
    if row.status == SubscriptionStatus.ERROR:
        return "red", "hand-stop", _("In error: tried ever more rarely, for two days")
    if row.is_paused:
        return "slate", "player-pause", _("Paused")
    if getattr(row, "parked", 0):
        return "red", "hand-stop", _("Parked %(n)s") % {"n": row.parked}
    if row.failures:
        return "amber", "refresh", _("Retrying")
    if row.status == SubscriptionStatus.REQUESTED:
        return "amber", "clock", _("Waits for the handshake")
    return "green", "circle-check", _("Running")


def subscription_cards(*, actor: Actor) -> list[Card]:
    """One query; those that are switched off have no card."""
    rows = subscriptions(actor=actor).exclude(status=SubscriptionStatus.OFF)
    return [_card(row) for row in rows]


def _card(row: FhirSubscription) -> Card:
    tone, icon, state = state_of(row)
    if row.status == SubscriptionStatus.ERROR:
        verb, label = "begin", _("Begin again")
    else:
        verb, label = ("resume", _("Resume")) if row.is_paused else ("pause", _("Pause"))
    action = CardAction(label, reverse("fhir_subscription_action", args=[row.uuid, verb]), MANAGE_INTERFACES)
    is_quiet = row.is_paused or row.status == SubscriptionStatus.ERROR
    return Card(
        key=f"fhir:{row.uuid}",
        name=row.reason,
        group="FHIR",
        kind=_("out") + f" · {row.get_release_display()} · {row.criteria or row.topic}",
        tone=tone,
        icon=icon,
        state=state,
        waiting=row.waiting,
        parked=row.parked,
        oldest=row.oldest,
        last_success=row.last_success_at,
        error=row.last_error,
        address=row.endpoint,
        url=reverse("fhir_subscription", args=[row.uuid]),
        actions=(action,),
        alert_after=None if is_quiet else ALERT_AFTER,
    )
