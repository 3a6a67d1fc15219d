"""The registry of partners for /integrations/. How to put a card there is written in ``ris.core.cards``, which holds it
so that the layers below interop reach it as well::

    register_cards("rest.webhooks", webhook_cards, order=40)    # webhook_cards(*, actor) -> Iterable[Card]

HL7's own cards are in ``interop.web.hl7_cards``.
"""

from __future__ import annotations

from ris.core.cards import Card, CardAction, Source, cards_of, forget_cards, register_cards

__all__ = ["Card", "CardAction", "Source", "cards_of", "forget_cards", "register_cards"]
