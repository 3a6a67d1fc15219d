"""A person's wish about the outbox."""

from __future__ import annotations

from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.events.models import Delivery
from ris.events.services import deliver_again


@service("events.deliver_again", action=Action.EXECUTE)
def deliver_again_by_hand(delivery: Delivery, *, actor: Actor) -> Delivery:
    """Hand it over once more, whatever became of it."""
    return deliver_again(delivery)
