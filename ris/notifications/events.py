"""What others may hear about messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ris.events.bus import Event


@dataclass(frozen=True)
class MessageFailed(Event):
    """A message was tried several times, or given up. ``about``: the UUID of what it speaks of."""

    name: ClassVar[str] = "notifications.message_failed"

    about: str = ""
    template: str = ""
    channel: str = ""
