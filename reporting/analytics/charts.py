"""Bars as SVG, drawn by the server from numbers that the table beside them shows too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import date_format

from reporting.analytics.selectors import Volume

WIDTH, HEIGHT, LEFT, FOOT, TOP = 940, 190, 34, 22, 8
TONES = 6


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    tone: int
    words: str


def stacked_bars(days: Sequence[date], volumes: Sequence[Volume]) -> dict[str, Any]:
    """One column a day, one layer a modality; with the lines and labels of its axis."""
    sums = [sum(volume.by_day[place] for volume in volumes) for place in range(len(days))]
    top = _round_up(max(sums, default=0))
    step = (WIDTH - LEFT) / max(1, len(days))
    room = HEIGHT - FOOT - TOP
    bars = []
    for place, day in enumerate(days):
        base = HEIGHT - FOOT
        for tone, volume in enumerate(volumes):
            number = volume.by_day[place]
            if number:
                tall = number * room / top
                base -= tall
                words = f"{date_format(day, 'j M')}: {volume.modality} {number}"
                x = LEFT + place * step + step * 0.15
                bars.append(Bar(round(x, 1), round(base, 1), round(step * 0.7, 1), round(tall, 1), tone % TONES, words))
    every = max(1, len(days) // 10)
    labels = [(round(LEFT + (place + 0.5) * step, 1), day) for place, day in enumerate(days) if place % every == 0]
    lines = [(round(HEIGHT - FOOT - room * part / 4, 1), round(top * part / 4)) for part in range(5)]
    return {
        "bars": bars,
        "labels": labels,
        "lines": lines,
        "sums": sums,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
    }


def _round_up(value: int) -> int:
    """The next number that divides well by four."""
    for step in (4, 8, 12, 20, 40, 60, 80, 120, 160, 200, 400, 600, 800, 1000):
        if value <= step:
            return step
    return -(-value // 1000) * 1000
