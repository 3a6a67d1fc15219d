"""Medians of rooms held against reference levels: standard exams, patients of the level's own band, enough of them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Max, Min, QuerySet, Sum
from django.utils import timezone

from dose import permissions as perms
from dose.bands import ADULT, ADULT_FROM, BANDS, WEIGHT_BANDS
from dose.models import DoseReport, LevelScope, ReferenceLevel, StandardExam
from dose.naming import plain
from dose.quantities import QUANTITIES, TABS, Shown, rounded
from dose.statistics import quantile
from ris.core.actor import Actor

PERIOD = 365
CHILD_WEIGHTS = frozenset(band.code for band in WEIGHT_BANDS)


@dataclass
class Exam:
    """One examination of one patient in one room; ``values``: per quantity, in shown units."""

    patient: int
    standard_exam: int
    room: str
    age: float | None
    weight: float | None
    values: dict[str, float] = field(default_factory=dict)


def tab_of(modality: str) -> str:
    return next((tab for tab, (modalities, _keys, _needed) in TABS.items() if modality in modalities), "CT")


def needed_for(modality: str) -> int:
    """20 patients; 30 of fluoroscopy, 50 of mammography."""
    return TABS[tab_of(modality)][2]


def is_of(level: ReferenceLevel, age: float | None, weight: float | None) -> bool:
    """Does a patient belong to the level's population? Who has no known age belongs to none of them."""
    by_age = level.age_from is not None or level.age_below is not None
    by_weight = level.weight_from is not None or level.weight_below is not None
    if not by_age and not by_weight:
        band = BANDS.get(level.band)
        if band is None:
            return False
        if band.code in CHILD_WEIGHTS:
            return age is not None and age < ADULT_FROM and weight is not None and band.holds(weight)
        return age is not None and band.holds(age)
    if age is None:
        return False
    if by_age and not (level.age_from or 0) <= age < (level.age_below or 1e9):
        return False
    if by_weight:
        if weight is None or not (level.weight_from or 0) <= weight < (level.weight_below or 1e9):
            return False
        return by_age or level.band == ADULT or age < ADULT_FROM
    return True


def applies_to(level: ReferenceLevel, exam: StandardExam) -> bool:
    """A level of an indication is for exams with that indication only."""
    return level.standard_exam_id == exam.pk and (
        not level.indication or plain(level.indication) == plain(exam.indication)
    )


@dataclass
class Comparison:
    """A room's median of one exam beside one level."""

    room: str
    exam: StandardExam
    level: ReferenceLevel
    quantity: Shown
    patients: int
    exams: int
    median: float | None

    @property
    def needed(self) -> int:
        return needed_for(self.exam.modality)

    @property
    def is_enough(self) -> bool:
        return self.patients >= self.needed

    @property
    def verdict(self) -> str:
        if not self.is_enough or self.median is None:
            return "few"
        return "above" if self.median > self.level.value else "below"

    @property
    def against(self) -> float | None:
        """Percent that the median lies above (or below) the level; only of enough patients."""
        if not self.is_enough or self.median is None:
            return None
        return 100 * (self.median / self.level.value - 1)

    @property
    def median_shown(self) -> float | int | None:
        return rounded(self.median)

    @property
    def is_local(self) -> bool:
        return self.level.scope == LevelScope.LOCAL


def counted_reports(*, actor: Actor, since: dt.datetime) -> QuerySet[DoseReport]:
    """Of patients, linked to their exam, under a standard name, from the best source."""
    if not actor.may(perms.VIEW_DOSE):
        return DoseReport.objects.none()
    return (
        DoseReport.objects.visible_to(actor)
        .counted()
        .filter(is_of_a_patient=True, procedure__isnull=False, standard_exam__isnull=False, performed_at__gte=since)
        .order_by()
    )


def exams_since(
    *, actor: Actor, since: dt.datetime, exam: StandardExam | None = None, modalities: Iterable[str] = ()
) -> list[Exam]:
    """Several reports of one exam are one value: sums add up, of CTDIvol the highest counts. One query."""
    rows = counted_reports(actor=actor, since=since)
    if exam is not None:
        rows = rows.filter(standard_exam=exam)
    if modalities:
        rows = rows.filter(modality__in=tuple(modalities))
    sums = {f"q_{row.key}": (Sum if row.sums else Max)(row.field) for row in QUANTITIES.values()}
    found: dict[int, Exam] = {}
    keys = ("procedure", "procedure__order__patient", "standard_exam", "station__room__name", "station_name")
    grouped = rows.values(*keys).annotate(age=Min("patient_age_years"), weight=Max("patient_weight_kg"), **sums)
    for row in grouped.order_by("procedure").iterator(chunk_size=5000):
        room = row["station__room__name"] or row["station_name"] or "–"
        one = found.setdefault(
            row["procedure"],
            Exam(row["procedure__order__patient"], row["standard_exam"], room, row["age"], row["weight"]),
        )
        for shown in QUANTITIES.values():
            value = row[f"q_{shown.key}"]
            if value is None:
                continue
            value, known = value * shown.factor, one.values.get(shown.key)
            one.values[shown.key] = value if known is None else known + value if shown.sums else max(known, value)
    return list(found.values())


def levels_in_force(*, exam: StandardExam | None = None) -> list[ReferenceLevel]:
    found = ReferenceLevel.objects.filter(is_active=True, standard_exam__isnull=False).select_related("standard_exam")
    if exam is not None:
        found = found.filter(standard_exam=exam)
    usable = [row for row in found if row.quantity in QUANTITIES and QUANTITIES[row.quantity].unit == row.unit]
    return [row for row in usable if row.standard_exam is not None and applies_to(row, row.standard_exam)]


def compare(
    *,
    actor: Actor,
    days: int = PERIOD,
    since: dt.datetime | None = None,
    exam: StandardExam | None = None,
    levels: list[ReferenceLevel] | None = None,
    modalities: Iterable[str] = (),
) -> list[Comparison]:
    """Every room and exam against every level that speaks of it; a level without a patient of its band is not shown."""
    since = since or timezone.now() - dt.timedelta(days=days)
    exams: dict[tuple[int, str], list[Exam]] = defaultdict(list)
    for one in exams_since(actor=actor, since=since, exam=exam, modalities=modalities):
        exams[(one.standard_exam, one.room)].append(one)
    by_exam: dict[int, list[ReferenceLevel]] = defaultdict(list)
    for level in levels_in_force(exam=exam) if levels is None else levels:
        by_exam[level.standard_exam_id].append(level)
    found = []
    for (standard_exam, room), group in exams.items():
        for level in by_exam.get(standard_exam, ()):
            of_it = [one for one in group if level.quantity in one.values and is_of(level, one.age, one.weight)]
            if not of_it:
                continue
            values = sorted(one.values[level.quantity] for one in of_it)
            found.append(
                Comparison(
                    room,
                    level.standard_exam,
                    level,
                    QUANTITIES[level.quantity],
                    len({one.patient for one in of_it}),
                    len(of_it),
                    quantile(values, 0.5),
                )
            )
    return sorted(found, key=_order)


def _order(row: Comparison) -> tuple[Any, ...]:
    order = {"above": 0, "below": 1, "few": 2}
    return (order[row.verdict], row.exam.name, row.room, row.quantity.key, row.level.scope, row.level.authority)


def one_median(
    level: ReferenceLevel, exam: StandardExam, room: str, *, actor: Actor, since: dt.datetime | None = None
) -> Comparison | None:
    """One room's median of one exam with one level, be it meant for that exam or chosen by a person."""
    chosen = copy(level)
    chosen.standard_exam = exam
    found = compare(actor=actor, since=since, exam=exam, levels=[chosen])
    return next((row for row in found if row.room == room), None)


def quarter_of(day: dt.date) -> str:
    return f"{day.year}-Q{(day.month + 2) // 3}"
