"""Reject and repeat analysis (AAPM report 305): exposures that no radiologist is shown, by room, view and reason.

Three sources tell of one exam's rejects: the technologist at the console (CID 7011), the device's dose report (the
flags of an event), a rejection note for quality (113001). They tell of the same exposures, so for each exam the source
that tells most is believed, the console before the device before the note. Exposures are the irradiation events of an
exam with a dose report, which hold the rejected ones as well; of one without, its images and its rejects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.dashboards.data import performed
from dose.dashboards.question import Question, reports_of
from dose.models import DoseReport, IrradiationEvent, RejectTarget
from dose.quantities import TABS
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from worklist.codes import REJECT_REASONS
from worklist.models import ImageRejection, ImagingInstance, RejectedExposure, RejectionReason, ScheduledProcedureStep

#: Exposures that a rate needs before it is judged
ENOUGH = 100
UNSAID = "–"
CONSOLE, DEVICE, NOTE = "console", "device", "note"


@dataclass(frozen=True)
class Reject:
    """``count`` exposures of one exam, thrown away for one reason."""

    exam: int
    room: str
    view: str
    reason: str
    count: int
    source: str


@dataclass
class Rate:
    """``repeats``: acquisitions that the device flags as made again; they were read, and count as accepted."""

    name: str
    exposures: int = 0
    rejects: int = 0
    repeats: int = 0
    low: float | None = None
    high: float | None = None

    @property
    def percent(self) -> float | None:
        """Of all exposures; None where they are not counted."""
        return 100 * self.rejects / self.exposures if self.exposures else None

    @property
    def repeat_percent(self) -> float | None:
        return 100 * self.repeats / self.exposures if self.exposures else None

    @property
    def verdict(self) -> str:
        """few, high, low, within; "" without a target."""
        if self.exposures < ENOUGH or self.percent is None:
            return "few"
        if self.low is None or self.high is None:
            return ""
        return "high" if self.percent > self.high else "low" if self.percent < self.low else "within"


@dataclass
class Analysis:
    target: RejectTarget | None
    total: Rate
    rooms: list[Rate]
    views: list[Rate]
    #: (reason, its name, exposures, percent of all rejects), most frequent first
    reasons: list[tuple[str, str, int, float]]
    #: reasons of what the device flags as made again
    repeat_reasons: list[tuple[str, int]]
    rejects: list[Reject] = field(default_factory=list)


def reason_words(code: str) -> str:
    if code == RejectionReason.QUALITY:
        return str(RejectionReason.QUALITY.label)
    return str(REJECT_REASONS.get(code, code)) or _("Not said")


def _room() -> Coalesce:
    """The room of the exam's first step, for rows that name their exam as ``procedure``."""
    steps = ScheduledProcedureStep.objects.filter(procedure=OuterRef("exam"), station__isnull=False).order_by("pk")
    return Coalesce(Subquery(steps.values("station__room__name")[:1]), Value(UNSAID))


def _events(question: Question, actor: Actor) -> QuerySet[IrradiationEvent]:
    reports = reports_of(question, actor=actor).values("pk")
    return IrradiationEvent.objects.filter(report__in=reports).annotate(
        exam=F("report__procedure"), place=Coalesce(F("report__station__room__name"), F("report__station_name"))
    )


def _of_console(question: Question, exams: QuerySet) -> Iterable[Reject]:
    rows = RejectedExposure.objects.filter(procedure__in=exams, withdrawn_at__isnull=True).annotate(
        exam=F("procedure"), place=Coalesce(F("station__room__name"), _room())
    )
    for exam, place, view, reason, count in rows.values_list("exam", "place", "view", "reason_code", "count"):
        yield Reject(exam, place, view or UNSAID, reason, count, CONSOLE)


def _of_device(question: Question, actor: Actor) -> Iterable[Reject]:
    rows = _events(question, actor).filter(is_rejected=True)
    for exam, place, view, reason in rows.values_list("exam", "place", "view", "repeat_reason"):
        yield Reject(exam, place or UNSAID, view or UNSAID, reason, 1, DEVICE)


def _of_notes(exams: QuerySet) -> Iterable[Reject]:
    rows = (
        ImageRejection.objects.filter(
            study__procedures__in=exams, code=RejectionReason.QUALITY, restored_at__isnull=True
        )
        .annotate(exam=F("study__procedures"))
        .annotate(place=_room())
    )
    for exam, place, instances in rows.values_list("exam", "place", "instances"):
        yield Reject(exam, place, UNSAID, str(RejectionReason.QUALITY), len(instances), NOTE)


def _believed(rows: Iterable[Reject]) -> list[Reject]:
    """Of each exam the source that tells of most exposures; the first of several in the order of the sources."""
    by_exam: dict[int, dict[str, list[Reject]]] = defaultdict(lambda: {CONSOLE: [], DEVICE: [], NOTE: []})
    for row in rows:
        by_exam[row.exam][row.source].append(row)
    found: list[Reject] = []
    for sources in by_exam.values():
        found += max(sources.values(), key=lambda some: sum(row.count for row in some))
    return found


def analyse(question: Question, *, actor: Actor) -> Analysis:
    """Of all exams of the question's kind that were done in its period."""
    if not actor.may(perms.VIEW_DOSE):
        return Analysis(None, Rate(""), [], [], [], [])
    exams = performed(question, actor=actor).values("pk")
    rejects = _believed((*_of_console(question, exams), *_of_device(question, actor), *_of_notes(exams)))
    if question.room:
        rejects = [row for row in rejects if row.room == question.room]
    target = RejectTarget.objects.filter(tab=question.tab).first()
    band = {"low": target.low, "high": target.high} if target is not None else {}
    rooms: dict[str, Rate] = {}
    views: dict[str, Rate] = {}
    events = _events(question, actor).order_by().values_list("place", "view")
    for place, view, count, repeats in events.annotate(
        count=Count("pk"), repeats=Count("pk", filter=Q(is_repeated=True))
    ):
        for rates, name in ((rooms, place or UNSAID), (views, view or UNSAID)):
            rate = rates.setdefault(name, Rate(name, **band))
            rate.exposures, rate.repeats = rate.exposures + count, rate.repeats + repeats
    with_dose = set(reports_of(question, actor=actor).values_list("procedure", flat=True).distinct())
    for name, count in _images(question, exams):
        rooms.setdefault(name, Rate(name, **band)).exposures += count
    for row in rejects:
        for rates, name in ((rooms, row.room), (views, row.view)):
            rate = rates.setdefault(name, Rate(name, **band))
            rate.rejects += row.count
            if rates is rooms and row.exam not in with_dose:
                rate.exposures += row.count
    if UNSAID in views:
        views[UNSAID].low = views[UNSAID].high = None
    whole = [sum(getattr(rate, name) for rate in rooms.values()) for name in ("exposures", "rejects", "repeats")]
    total = Rate(_("All"), *whole, **band)
    reasons, repeats = _reasons(rejects), _repeats(question, actor)
    return Analysis(target, total, _sorted(rooms), _sorted(views), reasons, repeats, rejects)


def _images(question: Question, exams: QuerySet) -> Iterable[tuple[str, int]]:
    """(room, images that were not rejected) of exams without a dose report."""
    rows = (
        ImagingInstance.objects.filter(
            series__study__procedures__in=exams, series__modality__in=question.modalities, is_rejected=False
        )
        .annotate(exam=F("series__study__procedures"))
        .filter(~Exists(DoseReport.objects.filter(procedure=OuterRef("exam"))))
        .order_by()
        .values("exam")
        .annotate(count=Count("pk"), place=_room())
    )
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        if not question.room or row["place"] == question.room:
            counts[row["place"]] += row["count"]
    return counts.items()


def _sorted(rates: dict[str, Rate]) -> list[Rate]:
    return sorted(rates.values(), key=lambda rate: (-rate.rejects, -rate.exposures, rate.name))


def _reasons(rejects: list[Reject]) -> list[tuple[str, str, int, float]]:
    counts: dict[str, int] = defaultdict(int)
    for row in rejects:
        counts[row.reason] += row.count
    whole = sum(counts.values())
    found = [(code, reason_words(code), count, 100 * count / whole) for code, count in counts.items()]
    return sorted(found, key=lambda row: (-row[2], row[1]))


def _repeats(question: Question, actor: Actor) -> list[tuple[str, int]]:
    rows = _events(question, actor).filter(is_repeated=True).order_by().values_list("repeat_reason")
    found = [(reason or _("Not said"), count) for reason, count in rows.annotate(count=Count("pk"))]
    return sorted(found, key=lambda row: (-row[1], row[0]))


HEADS = ("room", "view", "reason_code", "reason", "source", "rejects")


def table(found: Analysis) -> list[list[Any]]:
    """Room by view by reason, for files."""
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for row in found.rejects:
        counts[row.room, row.view, row.reason, row.source] += row.count
    return [
        [room, view, reason, reason_words(reason), source, count]
        for (room, view, reason, source), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


@service(perms.MANAGE_LEVELS)
def set_reject_target(tab: str, *, low: float, high: float, actor: Actor) -> RejectTarget:
    """Between which rates, in percent, the facility wants to be; below is looked at as above."""
    errors = {}
    if tab not in TABS:
        errors["tab"] = [_("One of: %(all)s.") % {"all": ", ".join(TABS)}]
    if not 0 <= low < high <= 100:
        errors["high"] = [_("Percent from 0 to 100, the highest above the lowest.")]
    if errors:
        raise InvalidData(_("The target was not set."), errors=errors)
    target = RejectTarget.objects.select_for_update().filter(tab=tab).first() or RejectTarget(tab=tab)
    target.low, target.high = low, high
    target.save_as(actor, _("Target of the reject rate"))
    return target
