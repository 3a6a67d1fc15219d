"""What the database answers to a chart's question. Quantiles are interpolated (SQL ``percentile_cont``, "type 7")."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Avg, Exists, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from dose.dashboards.question import Question, exam_rows, reports_of
from dose.models import DoseReport, IrradiationEvent
from dose.selectors import PERFORMED
from dose.statistics import nice_step, quantile
from orders.models import RequestedProcedure
from ris.core.actor import Actor
from worklist.models import Room, ScheduledProcedureStep, Station

MOST_OUTSIDE = 12
MOST_POINTS = 1000
BINS = 20


def _over(rows: QuerySet, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    """The statement over ``rows``, which it calls ``exams``. Nothing where the actor may see nothing."""
    try:
        inner, inner_params = rows.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"with exams as ({inner}) {statement}", [*inner_params, *params])
        return list(cursor.fetchall())


def _zone() -> str:
    return timezone.get_current_timezone_name()


# --- a box per room


@dataclass(frozen=True)
class RoomBox:
    """Exams of one room: n, quantiles, the highest values outside of the whiskers."""

    room: str
    count: int
    low: float
    lower: float
    median: float
    upper: float
    high: float
    outside: tuple[float, ...]
    needed: int
    limit: float | None

    @property
    def is_enough(self) -> bool:
        return self.count >= self.needed

    @property
    def against(self) -> float | None:
        """Percent of the level that the median lies above (or below) it; only of enough exams."""
        return 100 * (self.median / self.limit - 1) if self.limit is not None and self.is_enough else None

    @property
    def verdict(self) -> str:
        """few, above, below; "" without a level."""
        if not self.is_enough:
            return "few"
        if self.limit is None:
            return ""
        return "above" if self.median > self.limit else "below"


def boxes(question: Question, *, actor: Actor) -> list[RoomBox]:
    rows = _over(
        exam_rows(question, actor=actor),
        "select exam_room, count(*), percentile_cont(array[0.05, 0.25, 0.5, 0.75, 0.95]) within group (order by value),"
        f" (array_agg(value order by value desc))[1:{MOST_OUTSIDE}]"
        " from exams group by exam_room order by count(*) desc, exam_room",
    )
    found = []
    for room, count, (low, lower, median, upper, high), top in rows:
        outside = tuple(value for value in top if value > high)
        box = RoomBox(room, count, low, lower, median, upper, high, outside, question.needed, question.limit)
        found.append(box)
    return found


# --- medians by month


@dataclass(frozen=True)
class Trend:
    """``medians`` and ``counts``: (room, first day of the month) -> value."""

    months: list[dt.date]
    rooms: list[str]
    medians: dict[tuple[str, dt.date], float]
    counts: dict[tuple[str, dt.date], int]


def trend(question: Question, *, actor: Actor) -> Trend:
    rows = _over(
        exam_rows(question, actor=actor),
        "select exam_room, date_trunc('month', at at time zone %s)::date as month, count(*),"
        " percentile_cont(0.5) within group (order by value) from exams group by 1, 2",
        _zone(),
    )
    totals: dict[str, int] = {}
    for room, _month, count, _median in rows:
        totals[room] = totals.get(room, 0) + count
    months = sorted({row[1] for row in rows})
    rooms = sorted(totals, key=lambda room: (-totals[room], room))
    return Trend(
        _every_month(months),
        rooms,
        {(room, month): median for room, month, _count, median in rows},
        {(room, month): count for room, month, count, _median in rows},
    )


def _every_month(months: Sequence[dt.date]) -> list[dt.date]:
    if not months:
        return []
    found = [months[0]]
    while found[-1] < months[-1]:
        found.append((found[-1] + dt.timedelta(days=32)).replace(day=1))
    return found


# --- how often which dose


@dataclass(frozen=True)
class Histogram:
    """``counts``: exams from ``step * i`` to below ``step * (i + 1)``; the last holds all that is higher."""

    step: float
    counts: list[int]
    median: float | None = None
    #: Where the bars of their own end
    top: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts)


def histogram(question: Question, *, actor: Actor) -> Histogram:
    """Bins of a round width up to the 99th percentile: a single monster does not squeeze the others together."""
    rows = exam_rows(question, actor=actor)
    found = _over(
        rows,
        "select percentile_cont(array[0.5, 0.99]) within group (order by value), array_agg(value::float8) from exams",
    )
    if not found or found[0][0] is None:
        return Histogram(1.0, [])
    (median, most), values = found[0]
    step = nice_step(most / BINS * 4)
    bins = max(1, int(most // step) + 1)
    counted = Counter(min(int(value // step), bins) for value in values)
    counts = [counted.get(place, 0) for place in range(bins + 1)]
    return Histogram(step, counts if counts[-1] else counts[:-1], median, step * bins)


# --- against the size of the patient


@dataclass(frozen=True)
class Point:
    room: str
    size: float
    value: float
    report: str


@dataclass(frozen=True)
class Scatter:
    """``by``: kg or mm. ``asked``: exams that were looked at, the newest; ``points``: those whose size is known."""

    by: str
    asked: int
    points: list[Point]

    @property
    def unit(self) -> str:
        return "kg" if self.by == "kg" else "mm"


def scatter(question: Question, *, actor: Actor, by: str = "") -> Scatter:
    """By the patient's weight, or by the water-equivalent diameter that a CT reports; whichever more exams say."""
    rows = list(
        exam_rows(question, actor=actor)
        .order_by("-newest")
        .values_list("procedure", "exam_room", "value", "kg", "newest")[:MOST_POINTS]
    )
    weights = {procedure: kg for procedure, _room, _value, kg, _newest in rows if kg}
    diameters: dict[int, float] = {}
    if question.tab == "CT" and by != "kg":
        found = (
            IrradiationEvent.objects.filter(
                report__procedure__in=[row[0] for row in rows], water_equivalent_diameter__gt=0
            )
            .values_list("report__procedure")
            .annotate(mean=Avg("water_equivalent_diameter"))
        )
        diameters = dict(found)
    by = by or ("mm" if len(diameters) > len(weights) else "kg")
    sizes = diameters if by == "mm" else weights
    uuids = dict(DoseReport.objects.filter(pk__in=[row[4] for row in rows]).values_list("pk", "uuid"))
    points = [
        Point(room, sizes[procedure], value, str(uuids[newest]))
        for procedure, room, value, _kg, newest in rows
        if procedure in sizes
    ]
    return Scatter(by, len(rows), points)


@dataclass(frozen=True)
class SizeBand:
    start: float | None
    end: float | None
    count: int
    median: float | None


EDGES = {"kg": (50.0, 60.0, 70.0, 80.0, 100.0), "mm": (200.0, 240.0, 280.0, 320.0, 360.0)}
#: Where every patient is lighter than the lightest band of adults
EDGES_OF_CHILDREN = (5.0, 15.0, 30.0)


def size_bands(found: Scatter) -> list[SizeBand]:
    edges: tuple[float | None, ...] = (None, *EDGES[found.by], None)
    if found.by == "kg" and found.points and max(point.size for point in found.points) < EDGES["kg"][0]:
        edges = (None, *EDGES_OF_CHILDREN, None)
    bands = []
    for start, end in itertools.pairwise(edges):
        values = sorted(
            point.value
            for point in found.points
            if (start is None or point.size >= start) and (end is None or point.size < end)
        )
        bands.append(SizeBand(start, end, len(values), quantile(values, 0.5) if values else None))
    return bands


# --- when


def workload(question: Question, *, actor: Actor) -> dict[tuple[int, int], int]:
    """(ISO weekday, hour by the facility's clock) -> dose reports, of every exam in the tab."""
    rows = reports_of(question, actor=actor).values("performed_at")
    found = _over(
        rows,
        "select extract(isodow from at)::int, extract(hour from at)::int, count(*)"
        " from (select performed_at at time zone %s as at from exams) reports group by 1, 2",
        _zone(),
    )
    return {(weekday, hour): count for weekday, hour, count in found}


# --- what is missing


@dataclass(frozen=True)
class Missing:
    """Exams done: without a dose; with one, but without the patient's weight; with one, but of no standard exam."""

    room: str
    exams: int
    without_dose: int
    without_size: int
    unmapped: int

    @property
    def share(self) -> float:
        return 100 * self.without_dose / self.exams


MISSING = ("dose", "size", "exam")


def performed(question: Question, *, actor: Actor) -> QuerySet[RequestedProcedure]:
    return (
        RequestedProcedure.objects.visible_to(actor)
        .filter(modality__in=question.modalities, status__in=PERFORMED, performed_at__gte=question.since)
        .order_by()
    )


def missing(question: Question, *, actor: Actor) -> list[Missing]:
    """Per room of the exam; of several the one that was made first."""
    step, station, room, report = (
        model._meta.db_table for model in (ScheduledProcedureStep, Station, Room, DoseReport)
    )
    rows = performed(question, actor=actor).values("id")
    found = _over(
        rows,
        f"""
        select coalesce(room.name, '–'), count(*), count(*) filter (where not has_dose),
            count(*) filter (where has_dose and not has_size), count(*) filter (where has_dose and not has_name)
        from (
            select exams.id, min(station.room_id) as room_id, bool_or(report.id is not null) as has_dose,
                bool_or(report.patient_weight_kg is not null) as has_size,
                bool_or(report.standard_exam_id is not null) as has_name
            from exams left join {report} report on report.procedure_id = exams.id
            left join {step} step on step.procedure_id = exams.id
            left join {station} station on station.id = step.station_id
            group by exams.id
        ) each left join {room} room on room.id = each.room_id group by 1
        """,
    )
    return sorted((Missing(*row) for row in found), key=lambda row: (-row.without_dose, row.room))


def missing_exams(question: Question, what: str, *, actor: Actor) -> QuerySet[RequestedProcedure]:
    """The exams behind a number of ``missing``: what is dose, size or exam."""
    exams = performed(question, actor=actor)
    doses = DoseReport.objects.filter(procedure=OuterRef("pk"))
    if what == "dose":
        exams = exams.filter(~Exists(doses))
    elif what == "size":
        exams = exams.filter(Exists(doses), ~Exists(doses.filter(patient_weight_kg__isnull=False)))
    else:
        exams = exams.filter(Exists(doses), ~Exists(doses.filter(standard_exam__isnull=False)))
    if question.room:
        steps = ScheduledProcedureStep.objects.filter(procedure=OuterRef("pk"), station__isnull=False)
        steps = steps.order_by("station__room_id")
        place = Coalesce(Subquery(steps.values("station__room__name")[:1]), Value("–"))
        exams = exams.annotate(place=place).filter(place=question.room)
    return exams.select_related("order__patient", "catalogue").order_by("-performed_at", "-pk")
