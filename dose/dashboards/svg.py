"""Charts drawn by the server. Rooms differ in colour, in the shape of their marks and in the dash of their lines, so
that a chart is read without telling colours apart; every mark says its numbers when pointed at, and links to its exams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dose.dashboards.data import Histogram, RoomBox, Scatter, Trend
from dose.quantities import rounded
from dose.statistics import nice_step

WIDTH, LEFT, RIGHT, TOP, FOOT = 640.0, 44.0, 12.0, 18.0, 34.0
ROOM_LEFT, ROW = 96.0, 46.0
TONES = 6
MOST_ROOMS = 6
#: Of the largest size, what the axis of sizes spans at least
LEAST_SPAN = 0.2
Link = Callable[..., str]


def words_of(value: float | None) -> str:
    found = rounded(value)
    if found is None:
        return "–"
    return f"{found:,}".replace(",", "\u2009") if abs(found) >= 1000 else f"{found}"


def band_words(start: float | None, end: float | None) -> str:
    if start is None:
        return f"< {end:g}"
    return f"≥ {start:g}" if end is None else f"{start:g} – < {end:g}"


def n(value: float) -> str:
    """A coordinate; never by the reader's locale."""
    return f"{value:.1f}"


@dataclass
class Drawing:
    height: float
    parts: list[SafeString] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "ax") -> None:
        shape = '<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>'
        self.parts.append(format_html(shape, kind, n(x1), n(y1), n(x2), n(y2)))

    def text(self, x: float, y: float, words: object, anchor: str = "start", kind: str = "") -> None:
        shape = '<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>'
        self.parts.append(format_html(shape, kind, n(x), n(y), anchor, words))

    def path(self, points: str, kind: str) -> None:
        self.parts.append(format_html('<path class="{}" d="{}"/>', kind, points))

    def linked(self, href: str, words: str, *shapes: SafeString) -> None:
        """Marks that say their numbers and lead to their exams; the table below has the same link for keyboards."""
        inner = format_html("<title>{}</title>{}", words, format_html_join("", "{}", ((shape,) for shape in shapes)))
        if href:
            inner = format_html('<a href="{}" tabindex="-1">{}</a>', href, inner)
        else:
            inner = format_html("<g>{}</g>", inner)
        self.parts.append(inner)

    def done(self, words: str) -> SafeString:
        return format_html(
            '<svg class="svgc ds-chart" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>',
            n(WIDTH), n(self.height), words, format_html_join("", "{}", ((part,) for part in self.parts)),
        )  # fmt: skip


def rect(x: float, y: float, width: float, height: float, kind: str, radius: int = 0) -> SafeString:
    shape = '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="{}"/>'
    return format_html(shape, kind, n(x), n(y), n(max(width, 0.8)), n(max(height, 0.0)), radius)


def mark(tone: int, x: float, y: float, size: float = 4.0) -> SafeString:
    """Circle, triangle, square, diamond, cross, star-like plus: one shape per tone."""
    ways = (
        f"M{n(x - size)} {n(y)}a{n(size)} {n(size)} 0 1 0 {n(2 * size)} 0a{n(size)} {n(size)} 0 1 0 {n(-2 * size)} 0z",
        f"M{n(x)} {n(y - size)}L{n(x + size)} {n(y + size)}H{n(x - size)}z",
        f"M{n(x - size)} {n(y - size)}h{n(2 * size)}v{n(2 * size)}h{n(-2 * size)}z",
        f"M{n(x)} {n(y - size - 1)}L{n(x + size + 1)} {n(y)}L{n(x)} {n(y + size + 1)}L{n(x - size - 1)} {n(y)}z",
        f"M{n(x - size)} {n(y - size)}l{n(2 * size)} {n(2 * size)}m0 {n(-2 * size)}l{n(-2 * size)} {n(2 * size)}",
        f"M{n(x - size - 1)} {n(y)}h{n(2 * size + 2)}M{n(x)} {n(y - size - 1)}v{n(2 * size + 2)}",
    )
    return format_html('<path class="ds-mark tone-{}" d="{}"/>', tone % TONES, ways[tone % TONES])


@dataclass(frozen=True)
class Scale:
    """Values 0 (or ``start``) to ``end`` onto ``low`` to ``high``."""

    end: float
    low: float
    high: float
    step: float
    start: float = 0.0

    def __call__(self, value: float) -> float:
        return self.low + (self.high - self.low) * (value - self.start) / (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        return [self.start + self.step * number for number in range(round((self.end - self.start) / self.step) + 1)]


def scale(largest: float, low: float, high: float, smallest: float = 0.0, *, is_whole: bool = False) -> Scale:
    """``is_whole``: of things that are counted, of which there is no half."""
    step = nice_step(largest - smallest)
    if is_whole:
        step = max(1.0, math.ceil(step))
    start = math.floor(smallest / step) * step
    return Scale(start + step * max(1, math.ceil((largest - start) / step - 1e-9)), low, high, step, start)


def _level(drawing: Drawing, x: float, bottom: float, value: float) -> None:
    drawing.line(x, 8, x, bottom, "drl")
    end = x > WIDTH * 0.75
    drawing.text(x - 5 if end else x + 5, 16, _("level %(value)g") % {"value": value}, "end" if end else "start", "lbl")


def _y_axis(drawing: Drawing, y: Scale) -> None:
    for value in y.ticks:
        drawing.line(LEFT, y(value), WIDTH - RIGHT, y(value))
        drawing.text(LEFT - 6, y(value) + 4, words_of(value), "end")


def box_chart(rows: Sequence[RoomBox], unit: str, limit: float | None, link: Link) -> SafeString:
    """Box: middle half; line: median; whiskers: 5 to 95 %; circles: the highest outside. Dashed: too few exams."""
    bottom = TOP + ROW * len(rows) + 4
    drawing = Drawing(bottom + FOOT)
    largest = max([limit or 0.0, *(max([row.high, *row.outside]) for row in rows)])
    x = scale(largest, ROOM_LEFT, WIDTH - 2 * RIGHT)
    for value in x.ticks:
        drawing.line(x(value), 8, x(value), bottom)
        drawing.text(x(value), bottom + 14, words_of(value), "middle")
    drawing.text(WIDTH - 4, bottom + 29, unit, "end")
    if limit is not None:
        _level(drawing, x(limit), bottom, limit)
    for place, row in enumerate(rows):
        y = TOP + ROW * place + 8
        drawing.text(0, y + 10, row.room[:14], kind="b")
        drawing.text(0, y + 23, f"n {words_of(row.count)}")
        kind = f"bx{' hot' if row.verdict == 'above' else ''}{'' if row.is_enough else ' few'}"
        whiskers = (
            f"M{n(x(row.low))} {n(y + 12)}H{n(x(row.lower))}M{n(x(row.upper))} {n(y + 12)}H{n(x(row.high))}"
            f"M{n(x(row.low))} {n(y + 6)}v12M{n(x(row.high))} {n(y + 6)}v12"
        )
        words = _("%(room)s: n %(count)s, median %(median)s, middle half %(lower)s to %(upper)s %(unit)s") % {
            "room": row.room, "count": words_of(row.count), "median": words_of(row.median), "unit": unit,
            "lower": words_of(row.lower), "upper": words_of(row.upper),
        }  # fmt: skip
        points = [format_html('<circle class="pt" cx="{}" cy="{}" r="3"/>', n(x(v)), n(y + 12)) for v in row.outside]
        middle = format_html(
            '<line class="md" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>', n(x(row.median)), n(y), n(y + 24)
        )
        box = rect(x(row.lower), y, x(row.upper) - x(row.lower), 24, kind, 2)
        stems = format_html('<path class="ds-stem" d="{}"/>', whiskers)
        drawing.linked(link(room=row.room), words, stems, box, middle, *points)
    return drawing.done(_("Boxplot per room; the values are in the table below"))


def trend_chart(found: Trend, unit: str, limit: float | None, link: Link) -> SafeString:
    """Median of each month, of the rooms with most exams; below few exams are hollow in the table only."""
    height = 250.0
    drawing = Drawing(height)
    rooms = found.rooms[:MOST_ROOMS]
    right = WIDTH - 116
    values = [value for (room, _month), value in found.medians.items() if room in rooms]
    y = scale(max([limit or 0.0, *values]), height - FOOT, TOP)
    for value in y.ticks:
        drawing.line(LEFT, y(value), right, y(value))
        drawing.text(LEFT - 6, y(value) + 4, words_of(value), "end")
    step = (right - LEFT) / max(1, len(found.months))
    every = max(1, math.ceil(len(found.months) / 12))
    for place, month in enumerate(found.months):
        if place % every == 0:
            drawing.text(LEFT + (place + 0.5) * step, height - 16, date_format(month, "M y"), "middle")
    if limit is not None:
        drawing.line(LEFT, y(limit), right, y(limit), "drl")
    for tone, room in enumerate(rooms):
        spots = [
            (LEFT + (place + 0.5) * step, y(found.medians[room, month]), month)
            for place, month in enumerate(found.months)
            if (room, month) in found.medians
        ]
        way = "M" + "L".join(f"{n(px)} {n(py)}" for px, py, _month in spots)
        drawing.path(way, f"ds-line tone-{tone}")
        for px, py, month in spots:
            words = _("%(room)s, %(month)s: n %(count)s, median %(median)s %(unit)s") % {
                "room": room, "month": date_format(month, "F Y"), "count": words_of(found.counts[room, month]),
                "median": words_of(found.medians[room, month]), "unit": unit,
            }  # fmt: skip
            drawing.linked(link(room=room, month=f"{month:%Y-%m}"), words, mark(tone, px, py))
    _key(drawing, rooms, right + 12, limit)
    drawing.text(0, 10, unit)
    return drawing.done(_("Median of each month, by room; the values are in the table below"))


def _key(drawing: Drawing, rooms: Sequence[str], x: float, limit: float | None = None) -> None:
    for tone, room in enumerate(rooms):
        drawing.parts.append(mark(tone, x + 6, 30 + 20 * tone))
        drawing.text(x + 18, 34 + 20 * tone, room[:14])
    if limit is not None:
        drawing.line(x, 30 + 20 * len(rooms), x + 13, 30 + 20 * len(rooms), "drl")
        drawing.text(x + 18, 34 + 20 * len(rooms), _("level %(value)g") % {"value": limit})


def histogram_chart(found: Histogram, unit: str, limit: float | None, link: Link) -> SafeString:
    height = 230.0
    drawing = Drawing(height)
    y = scale(max(found.counts), height - FOOT, TOP, is_whole=True)
    _y_axis(drawing, y)
    wide = (WIDTH - RIGHT - LEFT) / len(found.counts)
    every = max(1, math.ceil(len(found.counts) / 12))
    for place, count in enumerate(found.counts):
        start = found.step * place
        is_rest = start + found.step > found.top
        if place % every == 0:
            drawing.text(LEFT + wide * place, height - 18, words_of(start), "middle")
        if count:
            words = _("%(start)s to below %(end)s %(unit)s: %(count)s exams") % {
                "start": words_of(start), "end": "∞" if is_rest else words_of(start + found.step), "unit": unit,
                "count": words_of(count),
            }  # fmt: skip
            where = {"above": f"{start:g}", **({} if is_rest else {"below": f"{start + found.step:g}"})}
            bar = rect(LEFT + wide * place + 1, y(count), wide - 2, height - FOOT - y(count), "ds-bar", 1)
            drawing.linked(link(**where), words, bar)
    end = WIDTH - RIGHT
    if limit is not None and limit < found.step * len(found.counts):
        _level(drawing, LEFT + wide * limit / found.step, height - FOOT, limit)
    if found.median is not None:
        x = min(end, LEFT + wide * found.median / found.step)
        drawing.line(x, 20, x, height - FOOT, "md")
        words, is_far = _("median %(value)s") % {"value": words_of(found.median)}, x > WIDTH * 0.75
        drawing.text(x - 4 if is_far else x + 4, 30, words, "end" if is_far else "start")
    drawing.text(end, height - 3, unit, "end")
    drawing.text(0, 10, _("exams"))
    return drawing.done(_("How many exams had which dose; the values are in the table below"))


def scatter_chart(found: Scatter, unit: str, limit: float | None, links: Iterable[str]) -> SafeString:
    height = 280.0
    drawing = Drawing(height)
    right = WIDTH - 116
    factor, size_unit = (0.1, "cm") if found.by == "mm" else (1.0, "kg")
    sizes = [point.size * factor for point in found.points]
    y = scale(max([limit or 0.0, *(point.value for point in found.points)]), height - FOOT, TOP)
    least, most = min(sizes), max(sizes)
    if most - least < LEAST_SPAN * most:  # patients of about one size: not stretched over the chart
        least, most = most * (1 - LEAST_SPAN), most * (1 + LEAST_SPAN)
    x = scale(most + 1e-6, LEFT, right, least if least > 0.3 * most else 0.0)
    for value in y.ticks:
        drawing.line(LEFT, y(value), right, y(value))
        drawing.text(LEFT - 6, y(value) + 4, words_of(value), "end")
    for value in x.ticks:
        drawing.text(x(value), height - 18, words_of(value), "middle")
    if limit is not None:
        drawing.line(LEFT, y(limit), right, y(limit), "drl")
    counts: dict[str, int] = {}
    for point in found.points:
        counts[point.room] = counts.get(point.room, 0) + 1
    rooms = sorted(counts, key=lambda room: (-counts[room], room))
    tones = {room: min(tone, TONES - 1) for tone, room in enumerate(rooms)}
    for point, size, href in zip(found.points, sizes, links, strict=True):
        words = f"{point.room}: {words_of(size)} {size_unit}, {words_of(point.value)} {unit}"
        drawing.linked(href, words, mark(tones[point.room], x(size), y(point.value), 2.6))
    shown = rooms if len(rooms) <= TONES else [*rooms[: TONES - 1], _("others")]
    _key(drawing, shown, right + 12, limit)
    drawing.text(0, 10, unit)
    drawing.text(right, height - 3, size_unit, "end")
    return drawing.done(_("Dose against the size of the patient; bands of it are in the table below"))


def workload_chart(found: dict[tuple[int, int], int], names: Sequence[str], link: Link) -> SafeString:
    """Weekday by hour; the darker, the more. The number stands in the cell."""
    tall, wide, left = 24.0, (WIDTH - 44.0 - 4) / 24, 44.0
    drawing = Drawing(TOP + 7 * tall + 6)
    most = max(found.values(), default=1)
    for hour in range(0, 24, 2):
        drawing.text(left + wide * (hour + 0.5), 12, f"{hour:02d}", "middle")
    for weekday, name in enumerate(names, 1):
        drawing.text(0, TOP + tall * (weekday - 1) + 16, name)
        for hour in range(24):
            count = found.get((weekday, hour), 0)
            shade = math.ceil(5 * count / most) if count else 0
            cell = rect(
                left + wide * hour, TOP + tall * (weekday - 1), wide - 1.5, tall - 1.5, f"ds-cell shade-{shade}", 2
            )
            words = _("%(day)s %(hour)s:00: %(count)s dose reports") % {
                "day": name, "hour": f"{hour:02d}", "count": words_of(count),
            }  # fmt: skip
            number = format_html(
                '<text class="ds-in shade-{}" x="{}" y="{}" text-anchor="middle">{}</text>',
                shade, n(left + wide * (hour + 0.5) - 0.7), n(TOP + tall * (weekday - 1) + 15.5),
                words_of(count) if 0 < count < 10_000 else "",
            )  # fmt: skip
            drawing.linked(link(weekday=weekday, hour=hour) if count else "", words, cell, number)
    return drawing.done(_("Dose reports by weekday and hour; the sums are in the table below"))
