"""What the interfaces tell us about the ways that they carry: names to send to, and whether one answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Carrier:
    """``names``: the destinations in use. ``probe``: asks one whether it is there, in words, or raises DomainError.
    ``takes``: whether the destination of this name wants reports of these exams; None: it wants all.
    """

    names: Callable[[], list[str]]
    probe: Callable[[str], str]
    takes: Callable[[str, Sequence[Any]], bool] | None = None


_carriers: dict[str, Carrier] = {}


def register_carrier(channel: str, carrier: Carrier) -> None:
    _carriers[channel] = carrier


def carrier_of(channel: str) -> Carrier | None:
    return _carriers.get(channel)


def destination_names(channel: str) -> list[str]:
    found = _carriers.get(channel)
    return found.names() if found is not None else []


def takes(channel: str, destination: str, procedures: Sequence[Any]) -> bool:
    found = _carriers.get(channel)
    return found is None or found.takes is None or not destination or found.takes(destination, procedures)
