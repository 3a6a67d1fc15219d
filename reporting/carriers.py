"""What the interfaces tell us about the ways that they carry: names to send to, and whether one answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Carrier:
    """``names``: the destinations in use. ``probe``: asks one whether it is there, in words, or raises DomainError."""

    names: Callable[[], list[str]]
    probe: Callable[[str], str]


_carriers: dict[str, Carrier] = {}


def register_carrier(channel: str, carrier: Carrier) -> None:
    _carriers[channel] = carrier


def carrier_of(channel: str) -> Carrier | None:
    return _carriers.get(channel)


def destination_names(channel: str) -> list[str]:
    found = _carriers.get(channel)
    return found.names() if found is not None else []
