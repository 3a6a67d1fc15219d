"""What a facility starts with: exams and their rules, levels with their sources, triggers, who is told."""

from __future__ import annotations

from dose.levels import TRIGGERS, WATCHED, starter_levels
from dose.models import (
    AlertKind,
    DoseAlertRule,
    DoseReport,
    ExamRule,
    MatchField,
    MatchKind,
    NotPatientRule,
    ReferenceLevel,
    StandardExam,
    TriggerLevel,
)
from dose.starter_exams import EXAMS, NOT_PATIENTS
from ris.core.actor import SYSTEM
from ris.core.permissions import PHYSICIST

REASON = "Starter set"


def ensure_standard_exams() -> int:
    """Where there is no exam yet: the starter's, their rules, and what is no patient. Answers how many were made."""
    if StandardExam.objects.exists():
        return 0
    position = 0
    for row in EXAMS:
        exam = StandardExam(
            code=row.code, name=row.name, modality=row.modality, body_region=row.region, indication=row.indication
        )
        exam.save_as(SYSTEM, REASON)
        for field, pattern, question in row.rules:
            position += 10
            rule = ExamRule(
                position=position,
                field=field,
                match=MatchKind.WILDCARD,
                pattern=pattern,
                modality=row.modality,
                exam=exam,
            )
            if question:
                rule.also_field, rule.also_pattern = MatchField.INDICATION, question
            rule.save_as(SYSTEM, REASON)
    for field, match, pattern in NOT_PATIENTS:
        NotPatientRule(field=field, match=match, pattern=pattern).save_as(SYSTEM, REASON)
    return len(EXAMS)


def ensure_reference_levels() -> int:
    """The levels that a facility starts with; those it has are left as they are. Answers how many were made."""
    known = set(ReferenceLevel.objects.values_list("authority", "year", "exam", "quantity", "band"))
    exams = {row.code: row for row in StandardExam.objects.all()}
    starters = {(start.modality, words): start for start in EXAMS for words in start.levels}
    made = 0
    for level in starter_levels():
        if (level.authority, level.year, level.exam, level.quantity, "adult") in known:
            continue
        start = starters.get((level.modality, level.exam))
        row = ReferenceLevel(
            authority=level.authority,
            year=level.year,
            exam=level.exam,
            modality=level.modality,
            quantity=level.quantity,
            value=level.value,
            unit=level.unit,
            source=level.source,
            certainty=level.certainty,
            standard_exam=exams.get(start.code) if start is not None else None,
            indication=start.indication if start is not None else "",
            is_watched=level.authority in WATCHED,
        )
        row.save_as(SYSTEM, REASON)
        made += 1
    return made


def join_levels_to_exams() -> int:
    """Shipped levels that were there before the standard exams: they speak of them now."""
    exams, joined = {row.code: row for row in StandardExam.objects.all()}, 0
    shipped = {level.authority for level in starter_levels()}
    for start in EXAMS:
        loose = ReferenceLevel.objects.filter(
            standard_exam__isnull=True, modality=start.modality, exam__in=start.levels, authority__in=shipped
        )
        for row in loose if start.code in exams else ():
            row.standard_exam, row.indication = exams[start.code], row.indication or start.indication
            row.is_watched = row.authority in WATCHED
            row.save_as(SYSTEM, "Joined to its standard exam")
            joined += 1
    return joined


def ensure_trigger_levels() -> int:
    """Fluoroscopy's, until the physicist sets the facility's own."""
    made = 0
    for modality, quantity, limit, unit, kind, weeks in TRIGGERS:
        same = {"modality": modality, "quantity": quantity, "kind": kind, "weeks": weeks}
        if not TriggerLevel.objects.filter(**same).exists():
            row = TriggerLevel(limit=limit, unit=unit, **same)
            row._change_reason = REASON
            row.save()
            made += 1
    return made


def ensure_alert_rules() -> int:
    """The physicist hears of everything, in the application, until the facility says otherwise."""
    if DoseAlertRule.objects.exists():
        return 0
    for kind in AlertKind.values:
        DoseAlertRule(kind=kind, role=PHYSICIST).save_as(SYSTEM, REASON)
    return len(AlertKind.values)


def mark_unread_reports() -> int:
    """Reports that were kept before there were rules are named in the background."""
    found = DoseReport.objects.counted().filter(
        is_to_classify=False, age_band="", weight_band="", protocol="", standard_exam__isnull=True, event_count__gt=0
    )
    return found.filter(patient_age_years__isnull=False).update(is_to_classify=True)
