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


@dataclass(frozen=True)
class MessageTried(Event):
    """One try of a message whose template somebody follows. ``outcome``: sent, retry or given_up."""

    name: ClassVar[str] = "notifications.message_tried"

    about: str = ""
    template: str = ""
    channel: str = ""
    outcome: str = ""
    error: str = ""
