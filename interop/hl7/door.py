"""Where a connection came in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Door:
    port: int
    address: str
    certificate: str | None = None
    is_tls: bool = False
