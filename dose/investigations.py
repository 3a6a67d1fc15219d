"""A room's median above a reference level: investigated, acted upon, measured again. And the levels computed here."""

from __future__ import annotations

import datetime as dt

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from dose import compliance, selectors
from dose import permissions as perms
from dose.bands import ADULT, ADULT_FROM
from dose.events import DoseInvestigationOpened
from dose.models import DoseInvestigation, DoseInvestigationStatus, LevelScope, ReferenceLevel, StandardExam
from dose.quantities import QUANTITIES, TABS, Shown, rounded
from dose.services import watching
from dose.statistics import Group, quantile
from orders.models import CatalogueProcedure
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData
from ris.events.bus import publish

PERIOD = 365
LOCAL = "Local"
#: ICRP 135: a level is the third quartile of the rooms' medians; of fewer rooms their median is a "typical value"
ROOMS_FOR_A_QUARTILE = 10


def _tab_of(modality: str) -> str:
    return next((tab for tab, (modalities, _keys, _needed) in TABS.items() if modality in modalities), "CT")


def _not_above(group: Group | None, needed: int) -> InvalidData:
    if group is None or not group.is_enough:
        count = group.count if group is not None else 0
        words = _("Not enough data (%(count)d/%(needed)d).") % {"count": count, "needed": needed}
    else:
        words = _("The median is not above the level.")
    return InvalidData(_("There is nothing to investigate."), errors={"room": [words]})


def _measured(
    level: ReferenceLevel, catalogue: CatalogueProcedure, room: str, actor: Actor, since: dt.datetime | None = None
) -> Group | None:
    found = selectors.groups(
        actor=actor,
        tab=_tab_of(level.modality),
        exam=catalogue,
        quantity=QUANTITIES[level.quantity],
        level=level,
        days=PERIOD,
        since=since,
    )
    return next((group for group in found if group.name == room), None)


@service(perms.MANAGE_LEVELS)
def open_investigation(
    level: ReferenceLevel, *, catalogue: CatalogueProcedure | StandardExam, room: str, actor: Actor
) -> DoseInvestigation:
    """Refused without enough exams, or when their median is not above the level. One at a time for a room and exam."""
    if isinstance(catalogue, StandardExam):
        return _open_of_standard_exam(level, catalogue, room, actor)
    known = (
        DoseInvestigation.objects.filter(catalogue=catalogue, room=room, quantity=level.quantity)
        .exclude(status=DoseInvestigationStatus.CLOSED)
        .first()
    )
    if known is not None:
        return known
    if level.quantity not in QUANTITIES or QUANTITIES[level.quantity].unit != level.unit:
        raise InvalidData(_("No report says this quantity."), errors={"level": [_("Choose another level.")]})
    group = _measured(level, catalogue, room, actor)
    if group is None or group.verdict != "above":
        raise _not_above(group, TABS[_tab_of(level.modality)][2])
    made = DoseInvestigation(
        level=level,
        catalogue=catalogue,
        room=room,
        quantity=level.quantity,
        unit=level.unit,
        limit=level.value,
        median=group.median,
        exam_count=group.count,
    )
    try:
        with transaction.atomic():
            made.save_as(actor, _("Median above the level"))
    except IntegrityError:
        return DoseInvestigation.objects.exclude(status=DoseInvestigationStatus.CLOSED).get(
            catalogue=catalogue, room=room, quantity=level.quantity
        )
    publish(DoseInvestigationOpened(str(made.uuid), "", made.version, quantity=level.quantity), actor=actor)
    return made


def _open_of_standard_exam(level: ReferenceLevel, exam: StandardExam, room: str, actor: Actor) -> DoseInvestigation:
    if level.quantity not in QUANTITIES or QUANTITIES[level.quantity].unit != level.unit:
        raise InvalidData(_("No report says this quantity."), errors={"level": [_("Choose another level.")]})
    row = compliance.one_median(level, exam, room, actor=actor)
    if row is None or row.verdict != "above":
        count, needed = (row.patients if row is not None else 0), compliance.needed_for(exam.modality)
        words = _("The median is not above the level.")
        if count < needed:
            words = _("Not enough data (%(count)d/%(needed)d).") % {"count": count, "needed": needed}
        raise InvalidData(_("There is nothing to investigate."), errors={"room": [words]})
    return watching.open_from(row, actor)


@service(perms.MANAGE_LEVELS)
def record_action(
    investigation: DoseInvestigation, *, cause: str, action: str, measure_again_on: dt.date | None = None, actor: Actor
) -> DoseInvestigation:
    """Why the median was what it was, and what was changed; from now on it is measured again."""
    said = {"cause": cause.strip(), "action": action.strip()}
    wrong = {name: [_("This is needed.")] for name, words in said.items() if not words}
    wrong |= {name: [_("At most 300 characters.")] for name, words in said.items() if len(words) > 300}
    if wrong:
        raise InvalidData(_("Say why, and what was done."), errors=wrong)
    investigation = DoseInvestigation.locked(investigation.pk)
    investigation.move_to(DoseInvestigationStatus.ACTED)
    investigation.cause, investigation.action = said["cause"], said["action"]
    investigation.acted_at, investigation.measure_again_on = timezone.now(), measure_again_on
    investigation.save_as(actor, _("Action taken"))
    return investigation


def _measured_again(investigation: DoseInvestigation, actor: Actor) -> tuple[float | None, int, bool]:
    """Median, exams (patients of a standard exam), whether they are enough: since the action."""
    level, since = investigation.level, investigation.acted_at
    if investigation.standard_exam is not None:
        row = compliance.one_median(level, investigation.standard_exam, investigation.room, actor=actor, since=since)
        return (row.median, row.patients, row.is_enough) if row is not None else (None, 0, False)
    group = _measured(level, investigation.catalogue, investigation.room, actor, since)
    return (group.median, group.count, group.is_enough) if group is not None else (None, 0, False)


@service(perms.MANAGE_LEVELS)
def measure_again(investigation: DoseInvestigation, *, actor: Actor) -> DoseInvestigation:
    """The median of the exams since the action: at or below the level it is closed, above it is open again."""
    investigation = DoseInvestigation.locked(investigation.pk)
    if investigation.acted_at is None or investigation.status != DoseInvestigationStatus.ACTED:
        raise InvalidData(_("No action is recorded yet."), errors={"action": [_("Record it first.")]})
    median, count, is_enough = _measured_again(investigation, actor)
    if median is None or not is_enough:
        needed = TABS[_tab_of(investigation.level.modality)][2]
        words = _("Not enough data (%(count)d/%(needed)d).") % {"count": count, "needed": needed}
        raise InvalidData(_("It cannot be measured yet."), errors={"exams": [words]})
    investigation.new_median, investigation.new_exam_count = median, count
    is_well = median <= investigation.limit
    investigation.move_to(DoseInvestigationStatus.CLOSED if is_well else DoseInvestigationStatus.OPEN)
    investigation.save_as(actor, _("At or below the level") if is_well else _("Still above the level"))
    return investigation


@service(perms.MANAGE_LEVELS)
def compute_local_level(catalogue: CatalogueProcedure | StandardExam, *, quantity: str, actor: Actor) -> ReferenceLevel:
    """From the medians of this facility's rooms with enough adult exams of a year: their third quartile, of fewer than
    ten rooms their median ("typical value"). When the same year's is another now, it becomes a new edition.
    """
    if isinstance(catalogue, StandardExam):
        return compute_local_level_of(catalogue, quantity=quantity, actor=actor)
    shown = QUANTITIES.get(quantity)
    tab = _tab_of(catalogue.modality)
    if shown is None or quantity not in TABS[tab][1]:
        raise InvalidData(_("No report says this quantity."), errors={"quantity": [_("Choose another quantity.")]})
    found = selectors.groups(actor=actor, tab=tab, exam=catalogue, quantity=shown, level=None, days=PERIOD)
    enough = [group for group in found if group.is_enough]
    if not enough:
        most = max((group.count for group in found), default=0)
        words = _("Not enough data (%(count)d/%(needed)d).") % {"count": most, "needed": TABS[tab][2]}
        raise InvalidData(_("A local level cannot be computed yet."), errors={"exams": [words]})
    medians = [group.median for group in enough]
    return _keep_local(
        catalogue.name[:64], catalogue.modality, shown, medians, sum(group.count for group in enough), None, actor
    )


@service(perms.MANAGE_LEVELS)
def compute_local_level_of(exam: StandardExam, *, quantity: str, actor: Actor) -> ReferenceLevel:
    """The same of a standard exam, whatever the rooms call it."""
    shown = QUANTITIES.get(quantity)
    tab = _tab_of(exam.modality)
    if shown is None or quantity not in TABS[tab][1]:
        raise InvalidData(_("No report says this quantity."), errors={"quantity": [_("Choose another quantity.")]})
    probe = ReferenceLevel(standard_exam=exam, quantity=quantity, unit=shown.unit, value=1, band=ADULT)
    rows = compliance.compare(actor=actor, exam=exam, levels=[probe])
    enough = [row for row in rows if row.is_enough]
    if not enough:
        most = max((row.patients for row in rows), default=0)
        words = _("Not enough data (%(count)d/%(needed)d).") % {"count": most, "needed": TABS[tab][2]}
        raise InvalidData(_("A local level cannot be computed yet."), errors={"exams": [words]})
    medians = [row.median for row in enough if row.median is not None]
    return _keep_local(exam.name, exam.modality, shown, medians, sum(row.exams for row in enough), exam, actor)


def _keep_local(
    name: str,
    modality: str,
    shown: Shown,
    medians: list[float],
    exams: int,
    standard_exam: StandardExam | None,
    actor: Actor,
) -> ReferenceLevel:
    """The year's level; when it was computed before and is another now, a new edition."""
    is_quartile = len(medians) >= ROOMS_FOR_A_QUARTILE
    value = quantile(sorted(medians), 0.75 if is_quartile else 0.5)
    value = float(rounded(value) or value)
    today = timezone.localdate()
    key = {
        "authority": LOCAL,
        "year": today.year,
        "exam": name,
        "quantity": shown.key,
        "band": ADULT,
        "indication": standard_exam.indication if standard_exam is not None else "",
    }
    known = ReferenceLevel.objects.select_for_update().filter(is_active=True, **key).first()
    if known is not None and known.value == value and known.standard_exam == (standard_exam or known.standard_exam):
        return known
    level = ReferenceLevel(**key)
    if known is not None:
        known.is_active = False
        known.save_as(actor, _("Computed anew"))
        level.edition, level.replaces, level.standard_exam = known.edition + 1, known, known.standard_exam
    level.standard_exam = standard_exam or level.standard_exam
    level.modality, level.unit, level.scope, level.value = modality, shown.unit, LevelScope.LOCAL, value
    level.age_from = ADULT_FROM
    level.source = _("Computed here on %(day)s: %(rooms)d rooms, %(exams)d exams of a year.") % {
        "day": today.isoformat(),
        "rooms": len(medians),
        "exams": exams,
    }
    level.certainty = _("Third quartile of the rooms' medians.") if is_quartile else _("Typical value: their median.")
    level.save_as(actor, _("Computed"))
    return level
