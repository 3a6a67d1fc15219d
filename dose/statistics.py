"""Quantiles of doses and the chart that shows them: a box per room against a level. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from dose.quantities import rounded

CHART_WIDTH, LABEL_WIDTH, ROW_HEIGHT, TOP = 640.0, 96.0, 50.0, 30.0
RIGHT = 16.0
MOST_POINTS = 12


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
    def median_shown(self) -> float | int | None:
        return rounded(self.median)

    @property
    def lower_shown(self) -> float | int | None:
        return rounded(self.lower)

    @property
    def upper_shown(self) -> float | int | None:
        return rounded(self.upper)

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


@dataclass
class Box:
    group: Group
    y: float
    left: float
    right: float
    width: float
    median: float
    low: float
    high: float
    points: list[float]

    @property
    def middle(self) -> float:
        return self.y + 12

    @property
    def bottom(self) -> float:
        return self.y + 24


@dataclass
class Chart:
    height: float
    boxes: list[Box]
    ticks: list[tuple[float, str]]
    level_x: float | None
    width: float = CHART_WIDTH
    top: float = TOP - 24
    bottom: float = field(init=False)

    @property
    def unit_y(self) -> float:
        return self.height - 5

    def __post_init__(self) -> None:
        self.bottom = self.height - 34


def nice_step(largest: float) -> float:
    """1, 2, 2.5 or 5 times a power of ten, for about five ticks."""
    if largest <= 0:
        return 1.0
    rough = largest / 4
    power = 10 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough)


def boxplot(groups: Sequence[Group], level: float | None) -> Chart:
    """Box: middle half; line: median; whiskers: 5 to 95 %; circles: what lies outside, the highest ones."""
    values = [value for group in groups for value in group.values]
    largest = max([*values, level or 0.0])
    step = nice_step(largest)
    end = step * max(1, math.ceil(largest / step))

    def x(value: float) -> float:
        return round(LABEL_WIDTH + (CHART_WIDTH - LABEL_WIDTH - RIGHT) * value / end, 1)

    boxes = []
    for row, group in enumerate(groups):
        low, high = group.at(0.05), group.at(0.95)
        outside = sorted((value for value in group.values if value > high), reverse=True)[:MOST_POINTS]
        left, right = x(group.lower), x(group.upper)
        boxes.append(
            Box(
                group,
                TOP + ROW_HEIGHT * row,
                left,
                right,
                max(1.0, round(right - left, 1)),
                x(group.median),
                x(low),
                x(high),
                [x(value) for value in outside],
            )
        )
    ticks = [(x(step * number), f"{step * number:g}") for number in range(round(end / step) + 1)]
    height = TOP + ROW_HEIGHT * len(groups) + 28
    return Chart(height, boxes, ticks, x(level) if level is not None else None)
