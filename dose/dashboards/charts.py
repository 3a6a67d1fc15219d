"""Each chart with the table under it: one answer for the page, for CSV and XLSX, and for REST."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dose.dashboards import data, svg
from dose.dashboards.question import Question
from dose.quantities import rounded
from ris.core.actor import Actor


@dataclass
class Chart:
    """``rows``: numbers and words as they are kept in files; ``links``: one address per row, "" for none;
    ``ways``: of a row, the addresses of further cells by their place."""

    key: str
    title: str
    note: str
    heads: list[str]
    rows: list[list[Any]]
    links: list[str]
    drawing: SafeString | None = None
    found: Any = None
    ways: list[dict[int, str]] = field(default_factory=list)
    shown: list[list[tuple[str, str]]] = field(init=False)

    def __post_init__(self) -> None:
        """As the page writes the rows: cells of (words, link)."""
        self.shown = []
        for place, (row, link) in enumerate(zip(self.rows, self.links, strict=True)):
            ways = {0: link} | (self.ways[place] if self.ways else {})
            cells = [cell if isinstance(cell, str) else svg.words_of(cell) for cell in row]
            self.shown.append([(cell, ways.get(number, "")) for number, cell in enumerate(cells)])


def _list(question: Question, **more: object) -> str:
    return f"{reverse('dose_exams')}?{question.query(**more)}"


def _boxplot(question: Question, actor: Actor) -> Chart:
    rows, unit = data.boxes(question, actor=actor), question.quantity.words
    heads = [_("Room"), "n", _("5 %"), _("25 %"), _("Median"), _("75 %"), _("95 %"), _("Level"), _("Percent of level")]
    table = [
        [
            row.room, row.count, *map(rounded, (row.low, row.lower, row.median, row.upper, row.high)), row.limit,
            None if row.against is None else rounded(100 + row.against),
        ]
        for row in rows
    ]  # fmt: skip
    link = lambda **more: _list(question, **more)  # noqa: E731
    return Chart(
        "boxplot",
        _("%(what)s by room") % {"what": question.quantity.label},
        _("box: middle half, line: median, whiskers: 5 to 95 %"),
        [f"{head}, {unit}" if place in range(2, 8) else head for place, head in enumerate(heads)],
        table,
        [link(room=row.room) for row in rows],
        svg.box_chart(rows, unit, question.limit, link) if rows else None,
        rows,
    )


def _trend(question: Question, actor: Actor) -> Chart:
    found, unit = data.trend(question, actor=actor), question.quantity.words
    table = [
        [
            f"{month:%Y-%m}",
            *(cell for room in found.rooms for cell in (
                found.counts.get((room, month), 0), rounded(found.medians.get((room, month))),
            )),
        ]
        for month in reversed(found.months)
    ]  # fmt: skip
    link = lambda **more: _list(question, **more)  # noqa: E731
    return Chart(
        "trend",
        _("Median of each month"),
        _("by room; a month of few exams moves much"),
        [_("Month"), *(head for room in found.rooms for head in (f"{room}, n", f"{room}, {unit}"))],
        table,
        [link(month=row[0]) for row in table],
        svg.trend_chart(found, unit, question.limit, link) if found.months else None,
        found,
    )


def _histogram(question: Question, actor: Actor) -> Chart:
    found, unit = data.histogram(question, actor=actor), question.quantity.words
    table, links = [], []
    for place, count in enumerate(found.counts):
        start, end = found.step * place, found.step * (place + 1)
        is_last = end > found.top
        table.append([rounded(start), None if is_last else rounded(end), count, rounded(100 * count / found.total)])
        links.append(_list(question, above=f"{start:g}", **({} if is_last else {"below": f"{end:g}"})) if count else "")
    return Chart(
        "histogram",
        _("How often which dose"),
        _("all rooms; the last bar holds all above it"),
        [_("From, %(unit)s") % {"unit": unit}, _("Below, %(unit)s") % {"unit": unit}, _("Exams"), _("Percent")],
        table,
        links,
        svg.histogram_chart(found, unit, question.limit, lambda **more: _list(question, **more)) if table else None,
        found,
    )


def _scatter(question: Question, actor: Actor) -> Chart:
    found, unit = data.scatter(question, actor=actor), question.quantity.words
    size = _("Weight, kg") if found.by == "kg" else _("Water-equivalent diameter, mm")
    title = _("Dose and weight") if found.by == "kg" else _("Dose and water-equivalent diameter")
    bands = data.size_bands(found)
    links = [reverse("dose_report", args=[point.report]) for point in found.points]
    return Chart(
        "scatter",
        title,
        _("of the newest %(asked)s exams %(said)s say it") % {"asked": found.asked, "said": len(found.points)},
        [size, _("from"), _("below"), _("Exams"), _("Median, %(unit)s") % {"unit": unit}],
        [
            [svg.band_words(band.start, band.end), band.start, band.end, band.count, rounded(band.median)]
            for band in bands
        ],
        [""] * len(bands),
        svg.scatter_chart(found, unit, question.limit, links) if found.points else None,
        found,
    )


def _workload(question: Question, actor: Actor) -> Chart:
    found = data.workload(question, actor=actor)
    # 1 January 2024 was a Monday
    names = [date_format(dt.date(2024, 1, day), "D") for day in range(1, 8)]
    link = lambda **more: _list(question, exam="", **more)  # noqa: E731
    table = [
        [name, sum(count for (day, _hour), count in found.items() if day == weekday)]
        + [found.get((weekday, hour), 0) for hour in range(24)]
        for weekday, name in enumerate(names, 1)
    ]
    return Chart(
        "workload",
        _("When exams are done"),
        _("dose reports, all of this kind; the facility's clock"),
        [_("Day"), _("All"), *(f"{hour:02d}" for hour in range(24))],
        table,
        [link(weekday=weekday) if table[weekday - 1][1] else "" for weekday in range(1, 8)],
        svg.workload_chart(found, names, link) if found else None,
        found,
    )


def _missing(question: Question, actor: Actor) -> Chart:
    rows = data.missing(question, actor=actor)
    return Chart(
        "missing",
        _("Missing data"),
        _("exams done; of those with a dose what else is not known"),
        [_("Room"), _("Exams"), _("Without dose"), _("Percent"), _("Without weight"), _("Without standard exam")],
        [
            [row.room, row.exams, row.without_dose, rounded(row.share), row.without_size, row.unmapped]
            for row in rows
        ],
        [""] * len(rows),
        None,
        rows,
        [
            {
                place: _list(question, room=row.room, missing=what, exam="")
                for place, what, count in (
                    (2, "dose", row.without_dose), (4, "size", row.without_size), (5, "exam", row.unmapped),
                )
                if count
            }
            for row in rows
        ],
    )  # fmt: skip


KINDS: dict[str, tuple[Any, Callable[[Question, Actor], Chart]]] = {
    "boxplot": (gettext_lazy("Boxplot per room"), _boxplot),
    "trend": (gettext_lazy("Trend of medians"), _trend),
    "histogram": (gettext_lazy("Histogram"), _histogram),
    "scatter": (gettext_lazy("Dose and size"), _scatter),
    "workload": (gettext_lazy("Workload by hour"), _workload),
    "missing": (gettext_lazy("Missing data"), _missing),
}
#: Charts that need no exam to be chosen
OF_ALL_EXAMS = ("workload", "missing")


def make_chart(kind: str, question: Question, *, actor: Actor) -> Chart:
    """``kind``: a key of KINDS. Of a kind of exam that has no dose in the period it is empty."""
    if question.exam is None and kind not in OF_ALL_EXAMS:
        return Chart(kind, str(KINDS[kind][0]), "", [], [], [])
    return KINDS[kind][1](question, actor)
