"""The cards of HL7: where messages go (queues of FHIR servers among them), and by which receivers they come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from interop import permissions as perms
from interop.hl7 import selectors
from interop.web.cards import Card, CardAction, register_cards
from ris.core.actor import Actor

HL7, FHIR = "HL7 v2", "FHIR"


def destination_cards(*, actor: Actor) -> Iterable[Card]:
    for card in selectors.destination_cards(actor=actor):
        row = card.destination
        is_fhir = hasattr(row, "fhir_server")
        verb, words = ("resume", _("Resume")) if row.is_paused else ("pause", _("Pause"))
        actions = [CardAction(words, reverse("destination_action", args=[row.uuid, verb]), perms.MANAGE_INTERFACES)]
        if not is_fhir:
            actions.append(
                CardAction(_("Test"), reverse("destination_action", args=[row.uuid, "test"]), perms.MANAGE_INTERFACES)
            )
        is_quiet = row.is_paused or not row.is_active or not row.alert_after_minutes
        yield Card(
            key=f"hl7:{row.uuid}",
            name=row.name,
            group=FHIR if is_fhir else HL7,
            kind=f"{_('out')} · {', '.join(row.messages)}",
            tone=card.tone,
            icon=card.icon,
            state=card.state,
            waiting=card.waiting,
            parked=card.parked,
            oldest=card.oldest,
            last_success=card.last_success,
            error=card.error,
            points=card.points,
            per_minute=card.per_minute,
            address="" if is_fhir else f"{row.host}:{row.port}",
            url=f"{reverse('integrations')}?destination={row.name}",
            actions=tuple(actions),
            alert_after=None if is_quiet else timedelta(minutes=row.alert_after_minutes),
            waits_since=card.waits_since,
        )


def receiver_cards(*, actor: Actor) -> Iterable[Card]:
    state = selectors.inbound_state(actor=actor)
    for card in selectors.receiver_cards(actor=actor):
        row = card.receiver
        if not row.is_active:
            look = ("slate", "ban", _("Switched off"))
        elif state.unmapped:
            words = ngettext("%(count)d waits for a code", "%(count)d wait for a code", state.unmapped)
            look = ("amber", "help-circle", words % {"count": state.unmapped})
        else:
            look = ("green", "circle-check", _("Running"))
        yield Card(
            key=f"mllp:{row.pk}",
            name=card.name,
            group=HL7,
            kind=_("in"),
            tone=look[0],
            icon=look[1],
            state=look[2],
            waiting=state.left,
            oldest=state.left_since,
            last_success=state.last,
            per_minute=state.per_minute,
            address=card.addresses,
            url=f"{reverse('integrations')}?direction=in",
            alert_after=timedelta(minutes=15),
        )


register_cards("hl7.destinations", destination_cards, order=10)
register_cards("hl7.receivers", receiver_cards, order=20)
