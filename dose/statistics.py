"""Quantiles of doses, judged against a level. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest (the common "type 7")."""
    position = (len(ordered) - 1) * share
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


@dataclass
class Group:
    """Exams of one room."""

    name: str
    values: list[float]
    needed: int
    level: float | None = None

    @property
    def count(self) -> int:
        return len(self.values)

    def at(self, share: float) -> float:
        return quantile(sorted(self.values), share)

    @property
    def median(self) -> float:
        return self.at(0.5)

    @property
    def lower(self) -> float:
        return self.at(0.25)

    @property
    def upper(self) -> float:
        return self.at(0.75)

    @property
    def is_enough(self) -> bool:
        return self.count >= self.needed

    @property
    def against(self) -> float | None:
        """Percent of the level that the median lies above (or below) it; only of enough exams."""
        if self.level is None or not self.is_enough:
            return None
        return 100 * (self.median / self.level - 1)

    @property
    def verdict(self) -> str:
        """few, above, below; "" without a level."""
        if not self.is_enough:
            return "few"
        if self.level is None:
            return ""
        return "above" if self.median > self.level else "below"


def nice_step(largest: float) -> float:
    """1, 2, 2.5 or 5 times a power of ten, for about five ticks."""
    if largest <= 0:
        return 1.0
    rough = largest / 4
    power = 10 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough)
