"""One card per partner of the house on /integrations/: what the queue monitor shows without knowing whose it is.

Whoever keeps a connection with somebody outside (a FHIR server, a subscription, a webhook, a source) registers, where
its models live, a function that answers its cards; in ``AppConfig.ready()`` or in a module that every process loads::

    from interop.web.cards import Card, CardAction, register_cards    # below interop: ris.core.cards

    def webhook_cards(*, actor):
        return [
            Card(
                key=f"webhook:{row.uuid}",            # stable: alerts remember by it what they have told
                name=row.name,
                group="REST",                          # the tab that it stands under
                kind=_("out") + " · webhook",          # direction and what goes over it
                tone="green", icon="circle-check", state=_("Running"),
                waiting=3, oldest=oldest, last_success=last, error=last_error_in_words,
                actions=(CardAction(_("Pause"), reverse("webhook_pause", args=[row.uuid])),),
                alert_after=timedelta(minutes=15),     # None: nobody is told when something waits
            )
            for row in ...
        ]

    register_cards("rest.webhooks", webhook_cards, order=40)

The function asks a fixed number of queries, shows nothing of a patient, and checks no rights: it is asked only for
those who may look at the interfaces, once per view, and by the alert (with the system as actor). Pages of its own (a
list, a form) it puts into the slot ``integrations.more`` with ``ris.core.panels.register_panel``; a card leads there
by ``url``. Whoever raises an exception is shown as one broken card, the others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from ris.core.actor import Actor

log = structlog.get_logger(__name__)

TONES = ("green", "amber", "red", "slate", "blue")


@dataclass(frozen=True)
class CardAction:
    """A button of a card: it posts to ``url``. ``permission``: the right that it needs, "" for all who see it."""

    label: Any
    url: str
    permission: str = ""
    confirm: Any = ""


@dataclass(frozen=True)
class Card:
    """A partner, in one glance. ``error``: the last one in words. ``points``: a line of 60 by 18, of the last hours.
    ``waits_since``: something is parked for a person since then.
    """

    key: str
    name: str
    group: str
    kind: Any
    tone: str
    icon: str
    state: Any
    waiting: int | None = None
    parked: int = 0
    oldest: datetime | None = None
    last_success: datetime | None = None
    error: str = ""
    points: str = ""
    per_minute: float | None = None
    address: str = ""
    url: str = ""
    actions: tuple[CardAction, ...] = ()
    alert_after: timedelta | None = None
    waits_since: datetime | None = None

    @property
    def stuck_since(self) -> datetime | None:
        """Since when something waits for its delivery or, where ``waits_since`` says so, for a person."""
        moments = [moment for moment in (self.oldest, self.waits_since) if moment is not None]
        return min(moments, default=None)

    @property
    def waits_too_long(self) -> bool:
        """Whether somebody is to be told: it waits longer than this partner may take."""
        since = self.stuck_since
        return self.alert_after is not None and since is not None and timezone.now() - since > self.alert_after


class Source(Protocol):
    def __call__(self, *, actor: Actor) -> Iterable[Card]: ...


_sources: dict[str, tuple[int, Callable[..., Iterable[Card]]]] = {}


def register_cards(name: str, source: Source, *, order: int = 100) -> None:
    """Under a stable name, so that a second import replaces and does not double."""
    _sources[name] = (order, source)


def forget_cards(name: str) -> None:
    _sources.pop(name, None)


def cards_of(actor: Actor) -> list[Card]:
    """All cards in their order. One source that fails is one broken card: then each is asked by itself."""
    try:
        with transaction.atomic():
            ordered = sorted(_sources.items(), key=lambda entry: (entry[1][0], entry[0]))
            return [card for _name, (_order, source) in ordered for card in source(actor=actor)]
    except Exception as failure:
        log.warning("cards_asked_one_by_one", error=type(failure).__name__)
        return _one_by_one(actor)


def _one_by_one(actor: Actor) -> list[Card]:
    found: list[Card] = []
    for name, (_order, source) in sorted(_sources.items(), key=lambda entry: (entry[1][0], entry[0])):
        try:
            with transaction.atomic():
                found += source(actor=actor)
        except Exception as failure:  # somebody else's defect must not hide the other partners
            log.error("cards_failed", source=name, error=type(failure).__name__)
            found.append(_broken(name))
    return found


def _broken(name: str) -> Card:
    words = _("Its state cannot be shown")
    return Card(key=f"broken:{name}", name=name, group="", kind="", tone="red", icon="alert-triangle", state=words)
