"""Rates of rejects by room against the target band, and reasons, drawn."""

from __future__ import annotations

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dose.dashboards.svg import ROOM_LEFT, TOP, WIDTH, Drawing, rect, scale, words_of
from dose.rejects import Rate

RIGHT, ROW = 60.0, 34.0
LEFT = ROOM_LEFT + 24


def rate_chart(rows: list[Rate], low: float | None, high: float | None) -> SafeString:
    """A bar per room; the shaded band is where the facility wants to be."""
    bottom = TOP + ROW * len(rows) + 2
    drawing = Drawing(bottom + 30)
    x = scale(max([high or 0.0, 1.0, *(row.percent or 0.0 for row in rows)]), LEFT, WIDTH - RIGHT)
    if low is not None and high is not None:
        drawing.parts.append(rect(x(low), 8, x(high) - x(low), bottom - 8, "ds-band"))
    for value in x.ticks:
        drawing.line(x(value), 8, x(value), bottom)
        drawing.text(x(value), bottom + 14, words_of(value), "middle")
    for place, row in enumerate(rows):
        y = TOP + ROW * place
        drawing.text(0, y + 9, row.name[:17], kind="b")
        drawing.text(0, y + 21, f"n {words_of(row.exposures)}")
        kind = f"ds-bar{' hot' if row.verdict in ('high', 'low') else ''}{' few' if row.verdict == 'few' else ''}"
        words = _("%(name)s: %(rejects)s of %(exposures)s exposures rejected") % {
            "name": row.name, "rejects": words_of(row.rejects), "exposures": words_of(row.exposures),
        }  # fmt: skip
        drawing.linked("", words, rect(LEFT, y + 2, x(row.percent or 0.0) - LEFT, 20, kind, 2))
        drawing.text(x(row.percent or 0.0) + 6, y + 16, "–" if row.percent is None else f"{row.percent:.1f} %")
    return drawing.done(_("Reject rate per room against the target; the values are in the table below"))


def reason_chart(rows: list[tuple[str, str, int, float]]) -> SafeString:
    left = 170.0
    bottom = TOP + 26.0 * len(rows)
    drawing = Drawing(bottom + 6)
    x = scale(max(row[3] for row in rows), left, WIDTH - RIGHT)
    for place, (_code, name, count, percent) in enumerate(rows):
        y = TOP + 26.0 * place
        drawing.text(left - 8, y + 12, name[:28], "end")
        drawing.linked("", f"{name}: {words_of(count)}", rect(left, y, x(percent) - left, 17, "ds-bar", 2))
        drawing.text(x(percent) + 6, y + 13, f"{percent:.0f} %")
    return drawing.done(_("Reasons of the rejects; the values are in the table below"))
