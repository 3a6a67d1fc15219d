"""What is asked about names: rules with what they reach, reports that no rule names, what a text would lead to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from dose import permissions as perms
from dose.models import DoseReport, ExamRule, MatchField, NotPatientRule, StandardExam
from dose.naming import Facts, first_fit, fits
from dose.services.naming import NAMED, active_rules, facts_of_row, named_groups
from ris.core.actor import Actor

#: Names by which a rule is made from an unnamed report, the most telling first
TELLING = (
    MatchField.PROCEDURE_CODE, MatchField.DESCRIPTION, MatchField.PROTOCOL, MatchField.STUDY_DESCRIPTION,
    MatchField.SERIES_DESCRIPTION, MatchField.BODY_PART,
)  # fmt: skip


def standard_exams(*, actor: Actor) -> QuerySet[StandardExam]:
    return StandardExam.objects.all() if actor.may(perms.VIEW_DOSE) else StandardExam.objects.none()


def exam_rules(*, actor: Actor) -> QuerySet[ExamRule]:
    found = ExamRule.objects.select_related("exam").order_by("position", "pk")
    return found if actor.may(perms.VIEW_DOSE) else found.none()


def not_patient_rules(*, actor: Actor) -> QuerySet[NotPatientRule]:
    return NotPatientRule.objects.all() if actor.may(perms.VIEW_DOSE) else NotPatientRule.objects.none()


@dataclass
class Unnamed:
    """Reports that are called alike and that no rule names."""

    modality: str
    names: list[tuple[str, str]]
    count: int
    newest: datetime | None


@dataclass
class Mapping:
    """How the reports of the facility are named by the rules of today."""

    reached: Counter[int]
    unnamed: list[Unnamed]
    unnamed_count: int
    named_count: int
    #: would be called otherwise than they are
    outdated: int


def mapping(*, actor: Actor) -> Mapping:
    """Two queries, however many reports."""
    found = Mapping(Counter(), [], 0, 0, 0)
    if not actor.may(perms.VIEW_DOSE):
        return found
    rules = active_rules()
    for row in named_groups(rules).filter(is_of_a_patient=True):
        facts = facts_of_row(row)
        rule = first_fit(rules, facts)
        if (rule.exam_id if rule is not None else None) != row["standard_exam"]:
            found.outdated += row["count"]
        if rule is not None:
            found.reached[rule.pk] += row["count"]
            found.named_count += row["count"]
            continue
        found.unnamed_count += row["count"]
        found.unnamed.append(Unnamed(row["modality"], _names(row), row["count"], row["newest"]))
    return found


def _names(row: dict[str, Any]) -> list[tuple[str, str]]:
    names = {(str(field), row[path]) for path, field in NAMED.items() if row.get(path) and field in TELLING}
    order = [str(field) for field in TELLING]
    return sorted(names, key=lambda pair: (order.index(pair[0]), pair[1]))


def tried(text: str, modality: str, *, actor: Actor) -> tuple[ExamRule | None, list[NotPatientRule]]:
    """The rule that a text would be named by, whatever field it stood in; the rules that would call it no patient."""
    if not actor.may(perms.VIEW_DOSE):
        return None, []
    names = {str(field): (text,) for field in TELLING}
    rules = [rule for rule in active_rules() if not modality or not rule.modality or rule.modality == modality]
    facts = Facts(modality or "", names)
    if not modality:
        rule = next((one for one in rules if first_fit([one], Facts(one.modality, names)) is not None), None)
    else:
        rule = first_fit(rules, facts)
    not_patients = [row for row in NotPatientRule.objects.filter(is_active=True) if fits(row.match, row.pattern, text)]
    return rule, not_patients


def reports_to_name(*, actor: Actor) -> int:
    """Those whose turn in the background has not come yet."""
    return DoseReport.objects.filter(is_to_classify=True).count() if actor.may(perms.VIEW_DOSE) else 0
