"""Hours and moments of a source: opening hours across midnight, and its wall clock across changes of summer time.

Pure. All moments are aware; a wall time is what the source's own clock shows, without a zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

STEP = timedelta(minutes=15)
LONGEST_TURN = timedelta(hours=3)


def is_open(moment: datetime, opens_at: time, closes_at: time, zone: ZoneInfo) -> bool:
    """From ``opens_at`` until before ``closes_at``; the same twice is all day; the second earlier: over midnight."""
    if opens_at == closes_at:
        return True
    clock = moment.astimezone(zone).time().replace(tzinfo=None)
    if opens_at < closes_at:
        return opens_at <= clock < closes_at
    return clock >= opens_at or clock < closes_at


def next_opening(moment: datetime, opens_at: time, closes_at: time, zone: ZoneInfo) -> datetime:
    """The moment itself while it is open, else the next time it opens. An hour that the clock leaps over opens with
    the leap.
    """
    if is_open(moment, opens_at, closes_at, zone):
        return moment
    today = moment.astimezone(zone).date()
    for days in range(3):
        opening = datetime.combine(today + timedelta(days=days), opens_at, tzinfo=zone).astimezone(UTC)
        if opening > moment:
            return opening
    raise AssertionError("A day has an opening.")


def day_of(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Midnight to midnight over there: 23, 24 or 25 hours."""
    today = moment.astimezone(zone).date()
    ends = [datetime.combine(today + timedelta(days=days), time(0), tzinfo=zone).astimezone(UTC) for days in (0, 1)]
    return ends[0], ends[1]


def walls(since: datetime, until: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Wall times between which everything lies that happened from ``since`` to ``until``.

    When the clock was put back in between, its times come twice; then the earliest and the latest that it showed.
    """
    moments = [since, until]
    for end, direction in ((since, 1), (until, -1)):
        moment = end + direction * STEP
        while since < moment < until and abs(moment - end) <= LONGEST_TURN:
            moments.append(moment)
            moment += direction * STEP
    clocks = [moment.astimezone(zone).replace(tzinfo=None, fold=0) for moment in moments]
    return min(clocks), max(clocks)


def moment_of(day: datetime, zone: ZoneInfo) -> datetime:
    """A wall time of the source as a moment; one that comes twice is the first, one that is leapt over is just after.

    Aware ones stay what they are.
    """
    if day.tzinfo is not None:
        return day.astimezone(UTC)
    return day.replace(tzinfo=zone).astimezone(UTC)
