"""What a chart is asked: which kind of exam, which quantity, which period, against which level.

One exam is one value: the reports of an exam add up (or, of a quantity that does not add up, the highest counts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, NullIf
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose import selectors
from dose.bands import ADULT, BANDS
from dose.models import DoseReport, ReferenceLevel, StandardExam
from dose.quantities import QUANTITIES, TABS, Shown
from dose.querysets import of_band
from orders.models import CatalogueProcedure
from orders.querysets import order_condition
from ris.core.actor import Actor
from ris.core.errors import InvalidData

PERIODS = (30, 90, 180, 365, 1095)
USUAL_PERIOD = 90
ROOM = Coalesce(NullIf(F("station__room__name"), Value("")), NullIf(F("station_name"), Value("")), Value("–"))


#: How an address names a standard exam; an exam of the catalogue is named by its code alone
STANDARD = "std:"


@dataclass(frozen=True)
class Exam:
    """A standard exam; or, of reports that no rule has mapped to one, an exam of the catalogue."""

    code: str
    name: str
    body_region: str
    count: int
    standard: StandardExam | None = None
    catalogue: CatalogueProcedure | None = None

    @property
    def condition(self) -> Q:
        if self.standard is not None:
            return Q(standard_exam=self.standard)
        return Q(standard_exam__isnull=True, procedure__catalogue=self.catalogue)


@dataclass(frozen=True)
class Question:
    """``exam``: None where no exam of this kind has a dose; ``level``: none chosen."""

    tab: str
    quantity: Shown
    days: int
    exam: Exam | None = None
    level: ReferenceLevel | None = None
    room: str = ""
    #: of the patients: a code of BANDS
    band: str = ADULT

    @property
    def modalities(self) -> tuple[str, ...]:
        return TABS[self.tab][0]

    @property
    def needed(self) -> int:
        """Exams that a median needs."""
        return TABS[self.tab][2]

    @property
    def limit(self) -> float | None:
        return self.level.value if self.level is not None and self.level.unit == self.quantity.unit else None

    @property
    def since(self) -> datetime:
        return timezone.now() - timedelta(days=self.days)

    def params(self, **more: object) -> dict[str, str]:
        """As an address says it."""
        asked = {"tab": self.tab, "quantity": self.quantity.key, "days": self.days, "room": self.room}
        if self.band != ADULT:
            asked["band"] = self.band
        if self.exam is not None:
            asked["exam"] = self.exam.code
        if self.level is not None:
            asked["level"] = str(self.level.uuid)
        return {name: str(value) for name, value in {**asked, **more}.items() if value not in ("", None)}

    def query(self, **more: object) -> str:
        return urlencode(self.params(**more))


def _chosen(params: Mapping[str, str], name: str, known: Mapping[str, object], usual: str, strict: bool) -> str:
    asked = params.get(name, "")
    if asked in known:
        return asked
    if asked and strict:
        words = _("One of: %(all)s.") % {"all": ", ".join(known)}
        raise InvalidData(_("The chart cannot be drawn."), errors={name: [words]})
    return usual


def ask(params: Mapping[str, str], *, actor: Actor, strict: bool = False) -> Question:
    """The question that an address asks; what it asks wrongly is the usual, or InvalidData when ``strict``."""
    tab = _chosen(params, "tab", TABS, "CT", strict)
    keys = TABS[tab][1]
    key = _chosen(params, "quantity", dict.fromkeys(keys), keys[0], strict)
    periods = {str(days): days for days in PERIODS}
    days = periods[_chosen(params, "days", periods, str(USUAL_PERIOD), strict)]
    band = _chosen(params, "band", BANDS, ADULT, strict)
    question = Question(tab, QUANTITIES[key], days, room=params.get("room", "")[:100], band=band)
    exams = {exam.code: exam for exam in exams_of(question, actor=actor)}
    code = _chosen(params, "exam", exams, next(iter(exams), ""), strict)
    question = replace(question, exam=exams.get(code))
    return replace(question, level=_level(params, question, actor, strict))


def exams_of(question: Question, *, actor: Actor) -> list[Exam]:
    """Those that have reports of the band's patients in the period, most frequent first."""
    rows = (
        reports_of(replace(question, room=""), actor=actor)
        .filter(of_band(question.band))
        .filter(Q(standard_exam__isnull=False) | Q(procedure__catalogue__isnull=False))
        .values_list("standard_exam", "procedure__catalogue")
        .annotate(count=Count("procedure", distinct=True))
    )
    by_standard: dict[int, int] = {}
    by_catalogue: dict[int, int] = {}
    for standard, catalogue, count in rows:
        counts, key = (by_catalogue, catalogue) if standard is None else (by_standard, standard)
        counts[key] = counts.get(key, 0) + count
    found = [
        Exam(STANDARD + row.code, row.name, row.body_region, by_standard[row.pk], standard=row)
        for row in StandardExam.objects.filter(pk__in=by_standard)
    ]
    found += [
        Exam(row.code, row.name, row.body_region, by_catalogue[row.pk], catalogue=row)
        for row in CatalogueProcedure.objects.filter(pk__in=by_catalogue)
    ]
    return sorted(found, key=lambda exam: (-exam.count, exam.name))


def levels_of(question: Question, *, actor: Actor) -> list[ReferenceLevel]:
    return selectors.levels_for(actor=actor, tab=question.tab, quantity=question.quantity.key, band=question.band)


def _level(params: Mapping[str, str], question: Question, actor: Actor, strict: bool) -> ReferenceLevel | None:
    """The one that was asked for, "none" for none, else the suggested one."""
    levels = levels_of(question, actor=actor)
    known: dict[str, object] = {"none": None, **{str(level.uuid): level for level in levels}}
    asked = _chosen(params, "level", known, "", strict)
    if asked:
        return next((level for level in levels if str(level.uuid) == asked), None)
    if question.exam is not None and question.exam.standard is not None:
        own = [level for level in levels if level.standard_exam_id == question.exam.standard.pk]
        if own:
            return own[0]
    return selectors.suggested_level(levels, question.exam)


def reports_of(question: Question, *, actor: Actor) -> QuerySet:
    """Reports of patients, linked to an exam that the actor may see, of the kind and the period. The rule of
    ``visible_to`` over the joins of the exam: of a million events it is looked up for those of the chart alone.
    """
    if not actor.may(perms.VIEW_DOSE):
        return DoseReport.objects.none()
    found = (
        DoseReport.objects.counted()
        .filter(
            order_condition(actor, "procedure__order__"),
            modality__in=question.modalities,
            is_of_a_patient=True,
            performed_at__gte=question.since,
            procedure__isnull=False,
        )
        .annotate(place=ROOM)
        .order_by()
    )
    return found.filter(place=question.room) if question.room else found


def exam_rows(question: Question, *, actor: Actor) -> QuerySet:
    """One row per exam that says the quantity, of the band's patients: procedure, room, value in shown units, when,
    weight."""
    name = question.quantity.field
    combine = Sum if question.quantity.sums else Max
    return (
        reports_of(question, actor=actor)
        .filter(
            of_band(question.band),
            question.exam.condition if question.exam is not None else Q(),
            **{f"{name}__isnull": False},
        )
        .values("procedure")
        .annotate(
            exam_room=Min("place"),
            value=combine(name) * question.quantity.factor,
            at=Min("performed_at"),
            kg=Max("patient_weight_kg"),
            newest=Max("pk"),
        )
    )
