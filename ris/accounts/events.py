"""What others may hear about people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ris.events.bus import Event


@dataclass(frozen=True)
class GlassBroken(Event):
    """Somebody took access in an emergency; ``subject`` is the UUID of the BreakGlass row."""

    name: ClassVar[str] = "accounts.glass_broken"
