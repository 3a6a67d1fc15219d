"""What is asked about dose: reports, medians per room, triggers, exams without a report."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import permissions as perms
from dose.bands import ADULT, BANDS
from dose.levels import SECOND_HAND
from dose.models import DoseInvestigation, DoseReport, DoseTrigger, DoseTriggerStatus, ReferenceLevel, StandardExam
from dose.quantities import QUANTITIES, TABS, Shown
from dose.querysets import of_band
from dose.statistics import Group
from orders.models import CatalogueProcedure, Patient, ProcedureStatus, RequestedProcedure
from ris.core.actor import Actor
from ris.core.errors import NotKnown

#: Before the code of a standard exam, where the catalogue's codes are taken too
STANDARD = "std:"
PERFORMED = (
    ProcedureStatus.PERFORMED, ProcedureStatus.READY_TO_READ, ProcedureStatus.READING, ProcedureStatus.PRELIMINARY,
    ProcedureStatus.FINAL, ProcedureStatus.AMENDED, ProcedureStatus.DISTRIBUTED,
)  # fmt: skip
#: What of a level's exam a catalogue's body region looks like
REGIONS = {"abdomenpelvis": "abdomen and pelvis", "spine": "lumbar spine", "brain": "head", "thorax": "chest"}


def dose_reports(*, actor: Actor) -> QuerySet[DoseReport]:
    """Those that count: what a better source has replaced is left out."""
    return every_dose_report(actor=actor).counted()


def every_dose_report(*, actor: Actor) -> QuerySet[DoseReport]:
    if not actor.may(perms.VIEW_DOSE):
        return DoseReport.objects.none()
    return (
        DoseReport.objects.visible_to(actor)
        .select_related(
            "procedure__order__patient",
            "procedure__catalogue",
            "station__room",
            "study",
            "standard_exam",
            "replaced_by",
        )
        .order_by("-pk")
    )


def waiting_reports(*, actor: Actor) -> QuerySet[DoseReport]:
    """Those that belong to no exam yet."""
    found = dose_reports(actor=actor).filter(procedure__isnull=True)
    return found if actor.may(perms.MANAGE_DOSE) else found.none()


def triggers(*, actor: Actor, status: str = "") -> QuerySet[DoseTrigger]:
    found = DoseTrigger.objects.filter(report__in=dose_reports(actor=actor).order_by().values("pk")).select_related(
        "report__procedure__order__patient", "report__station__room"
    )
    return found.filter(status=status) if status else found


def open_trigger_count(*, actor: Actor) -> int:
    return triggers(actor=actor, status=DoseTriggerStatus.OPEN).count()


def reference_levels(*, actor: Actor) -> QuerySet[ReferenceLevel]:
    found = ReferenceLevel.objects.filter(is_active=True)
    return found if actor.may(perms.VIEW_DOSE) else found.none()


def investigations(*, actor: Actor) -> QuerySet[DoseInvestigation]:
    found = DoseInvestigation.objects.select_related("level", "catalogue", "standard_exam").order_by("-pk")
    return found if actor.may(perms.VIEW_DOSE) else found.none()


def level_and_exam(level: Any, exam: str, *, actor: Actor) -> tuple[ReferenceLevel, CatalogueProcedure | StandardExam]:
    """Raises NotKnown."""
    found = reference_levels(actor=actor).filter(uuid=level).first()
    of = exam_of(exam)
    if found is None or of is None:
        raise NotKnown(_("There is no such level or exam in this facility."))
    return found, of


def exam_of(code: str) -> CatalogueProcedure | StandardExam | None:
    """By the code of the catalogue; by that of a standard exam after "std:"."""
    if code.startswith(STANDARD):
        return StandardExam.objects.filter(code=code.removeprefix(STANDARD)).first()
    return CatalogueProcedure.objects.filter(code=code).first()


def levels_for(*, actor: Actor, tab: str, quantity: str, band: str = ADULT) -> list[ReferenceLevel]:
    found = reference_levels(actor=actor).filter(modality__in=TABS[tab][0], quantity=quantity, band=band)
    return sorted(found.order_by("exam", "authority"), key=lambda level: level.certainty == SECOND_HAND)


def suggested_level(levels: list[ReferenceLevel], exam: Any) -> ReferenceLevel | None:
    """The first level whose exam begins like the body region; those that were read at second hand come last."""
    if exam is None or not exam.body_region:
        return None
    region = exam.body_region.casefold().replace("_", " ").replace("-", " ")
    region = REGIONS.get(region.replace(" ", ""), region)
    return next((level for level in levels if level.exam.casefold().startswith(region)), None)


# --- what investigations measure


def _in_period(actor: Actor, tab: str, days: int, since: datetime | None = None) -> QuerySet[DoseReport]:
    since = since or timezone.now() - timedelta(days=days)
    return dose_reports(actor=actor).filter(
        modality__in=TABS[tab][0], is_of_a_patient=True, performed_at__gte=since, procedure__isnull=False
    )


def groups(
    *,
    actor: Actor,
    tab: str,
    exam: CatalogueProcedure,
    quantity: Shown,
    level: ReferenceLevel | None,
    days: int,
    since: datetime | None = None,
) -> list[Group]:
    """Values of one exam per room, of adults or of the level's own band; the reports of one exam are one value."""
    band = level.band if level is not None and level.band in BANDS else ADULT
    rows = (
        _in_period(actor, tab, days, since)
        .filter(of_band(band), procedure__catalogue=exam)
        .exclude(**{f"{quantity.field}__isnull": True})
        .values_list("procedure", "station__room__name", "station_name", quantity.field)
    )
    exams: dict[int, tuple[str, float]] = {}
    for procedure, room, station_name, value in rows:
        name, known = exams.get(procedure, (room or station_name or "–", 0.0))
        value *= quantity.factor
        exams[procedure] = (name, known + value if quantity.sums else max(known, value))
    by_room: dict[str, list[float]] = defaultdict(list)
    for name, value in exams.values():
        by_room[name].append(value)
    limit = level.value if level is not None and level.unit == quantity.unit else None
    found = [Group(name, values, TABS[tab][2], limit) for name, values in by_room.items()]
    return sorted(found, key=lambda group: (-group.count, group.name))


# --- beside an exam, beside a patient


def reports_of(procedure: RequestedProcedure, *, actor: Actor) -> list[DoseReport]:
    found = dose_reports(actor=actor).filter(procedure=procedure)
    return list(found.prefetch_related("triggers").annotate(events_kept=Count("events")).order_by("performed_at", "pk"))


def totals_of(patient: Patient, *, actor: Actor, days: int = 365) -> list[dict[str, Any]]:
    """What a patient received in the period, per modality; for those who may see it."""
    if not actor.may(perms.VIEW_CUMULATIVE):
        return []
    since = timezone.now() - timedelta(days=days)
    fields = [shown.field for shown in QUANTITIES.values() if shown.sums]
    rows = (
        dose_reports(actor=actor)
        .filter(procedure__order__patient=patient, performed_at__gte=since, is_of_a_patient=True)
        .order_by("modality")
        .values("modality")
        .annotate(exams=Count("procedure", distinct=True), **{f"sum_{name}": Sum(name) for name in fields})
    )
    found = []
    for row in rows:
        lines = [
            (shown, row[f"sum_{shown.field}"] * shown.factor)
            for shown in QUANTITIES.values()
            if shown.sums and row[f"sum_{shown.field}"] is not None
        ]
        found.append({"modality": row["modality"], "exams": row["exams"], "lines": lines})
    return found
