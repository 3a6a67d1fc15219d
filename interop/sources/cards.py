"""Sources on the monitor of /integrations/."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from interop import permissions as perms
from interop.sources.selectors import Standing, sources, standings
from interop.sources.services import host_of
from ris.core.actor import Actor
from ris.core.cards import Card, CardAction, register_cards


def source_cards(*, actor: Actor) -> list[Card]:
    return [_card(one) for one in standings(sources(actor=actor))]


def _card(one: Standing) -> Card:
    """Failures are told by the source itself, so that the alarm of what waits leaves it alone."""
    source = one.source
    error = source.last_error
    if not error and one.rejected:
        error = ngettext("%(count)d row rejected", "%(count)d rows rejected", one.rejected) % {"count": one.rejected}
    return Card(
        key=f"source:{source.uuid}",
        name=source.name,
        group=_("Sources"),
        kind=f"{_('in')} · {one.kind}",
        tone=one.tone,
        icon=one.icon,
        state=one.words,
        parked=one.rejected,
        last_success=source.last_success_at,
        error=error,
        address=host_of(source),
        url=reverse("source", args=[source.uuid]),
        actions=(CardAction(_("Sync now"), reverse("source_action", args=[source.uuid, "sync"]), perms.REPLAY_MESSAGE),)
        if source.is_active
        else (),
    )


def register() -> None:
    register_cards("interop.sources", source_cards, order=35)
