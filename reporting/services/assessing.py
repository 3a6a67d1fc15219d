"""Scales applied to a report that is being written: calculated, kept with their version, said in the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone, translation
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.assessments import SCHEMES, NotApplicable, Result, Scheme, clean
from reporting.models import Assessment, CheckLevel, CheckSetting, Report
from reporting.services.checks import CHECKS, critical_words
from reporting.services.locks import claim, person
from reporting.services.writing import DEAD, already_signed, save_report
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, InvalidTransition, NotKnown


def scheme_of(key: str) -> Scheme:
    if key not in SCHEMES:
        words = _("There is no such scale.")
        raise InvalidData(words, errors={"scheme": words})
    return SCHEMES[key]


def assess(scheme: Scheme, raw: Mapping[str, Any]) -> tuple[dict[str, Any], Result]:
    """Clean answers and what follows from them. Raises InvalidData naming the answers that are wrong or missing."""
    answers, errors = clean(scheme, raw)
    if not errors:
        try:
            return answers, scheme.calculate(answers)
        except NotApplicable as refusal:
            errors = {refusal.field: str(refusal)}
    raise InvalidData(_("The scale cannot be applied."), errors=errors)


def _open(report: Report, actor: Actor) -> Report:
    """The report, locked, and its exams claimed; refused when signed or closed."""
    user = person(actor)
    procedures = list(report.procedures.all())
    report = Report.locked(report.pk)
    if report.is_signed:
        raise already_signed(report)
    if report.status in DEAD:
        raise InvalidTransition(_("This report is closed."), todo=_("Open the exam again from the reading list."))
    claim(procedures, user)
    return report


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def add_assessment(
    report: Report,
    *,
    scheme: str,
    inputs: Mapping[str, Any],
    label: str = "",
    into_text: bool = True,
    actor: Actor,
) -> Assessment:
    """Apply a scale and keep answers, category and version; ``into_text`` says it in the impression too."""
    chosen = scheme_of(scheme)
    report = _open(report, actor)
    with translation.override(report.language or "en"):
        answers, result = assess(chosen, inputs)
        row = Assessment(
            report=report,
            scheme=chosen.key,
            scheme_version=chosen.version,
            label=label.strip()[:80],
            inputs=answers,
            category=result.category,
            title=str(result.title)[:200],
            management=str(result.management),
            score=result.score,
            assessed_by=person(actor),
        )
    row.save_as(actor, "Assessed")
    if into_text:
        _say(report, row, actor)
    return row


def sentence(row: Assessment) -> str:
    """How an assessment is said in the text."""
    scheme = SCHEMES[row.scheme]
    return f"{scheme.describe(row.category, row.label)}: {row.title}. {row.management}"


def _say(report: Report, row: Assessment, actor: Actor) -> None:
    words = report.sections.get("impression", "").rstrip()
    said = sentence(row)
    if said not in words:
        impression = f"{words}\n{said}".strip()
        save_report(report, sections={"impression": impression}, revision=report.revision, actor=actor)


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def remove_assessment(report: Report, *, assessment: str, actor: Actor) -> Assessment:
    """Withdraw it, and take its own sentence out of the impression when it stands there unchanged."""
    report = _open(report, actor)
    row = report.assessments.standing().filter(uuid=assessment).first()
    if row is None:
        raise NotKnown(_("There is no such assessment in this report."))
    row.withdrawn_at = timezone.now()
    row.save_as(actor, "Withdrawn")
    words = report.sections.get("impression", "")
    left = "\n".join(line for line in words.split("\n") if line != sentence(row))
    if left != words:
        save_report(report, sections={"impression": left}, revision=report.revision, actor=actor)
    return row


@service(perms.WRITE_REPORT, action=Action.UPDATE)
def answer_not_critical(report: Report, *, actor: Actor) -> Report:
    """The reader says that the words of the impression, as they are now, need no alert."""
    report = _open(report, actor)
    words = critical_words(report.sections)
    report.not_critical = sorted({*report.not_critical, *words})
    report.save_as(actor, "Not critical")
    record(actor, perms.WRITE_REPORT, Action.UPDATE, entity=report, detail={"not_critical": len(words)})
    return report


@service(perms.MANAGE_CHECKS, action=Action.UPDATE)
def set_check_level(code: str, *, level: str, actor: Actor) -> CheckSetting:
    """How much a check weighs in this facility."""
    kind = CHECKS.get(code)
    if kind is None:
        words = _("There is no such check.")
        raise InvalidData(words, errors={"code": words})
    if level not in kind.may_be:
        allowed = ", ".join(str(CheckLevel(value).label) for value in kind.may_be)
        raise InvalidData(
            _("This check may not be weakened so far."), errors={"level": _("One of: %(codes)s.") % {"codes": allowed}}
        )
    row = CheckSetting.objects.select_for_update().filter(code=code).first() or CheckSetting(code=code)
    row.level = level
    row.save_as(actor, "Set")
    return row
