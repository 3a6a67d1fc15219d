"""A case before its reviewer: impression, score, arbitration, passing on; and reviews that no round asked for."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.events import CasePassedOn, CaseToArbitrate, DiscrepancyConfirmed
from peerreview.models import (
    CaseStatus,
    Category,
    Discrepancy,
    Impact,
    LearningCase,
    LearningKind,
    ReviewCase,
    Scale,
    ScaleGrade,
    Score,
    Severity,
)
from peerreview.selectors import ARBITRATED
from peerreview.services.learning import KIND_OF, submit_learning
from peerreview.services.sampling import competent, is_eligible, reports_seen_by
from reporting.models import CriticalCategory, Report, ReportVersion, VersionKind
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.bus import publish

COMMENTED = ARBITRATED
SEVERITY = {
    Score.UNDERSTANDABLE_B: Severity.MODERATE,
    Score.MOST_OF_TIME_A: Severity.MINOR,
    Score.MOST_OF_TIME_B: Severity.MAJOR,
}


@service(perms.SCORE_CASE)
def give_impression(case: ReviewCase, *, text: str, actor: Actor) -> ReviewCase:
    """Double-blind: what the reviewer sees, before the report is shown. Said once, for good."""
    case = ReviewCase.locked(case.pk)
    _require_reviewer(case, actor)
    if not text.strip():
        raise InvalidData(_("The impression is empty."), errors={"own_impression": _("Say what you see.")})
    if not case.hides_report or case.status != CaseStatus.ASSIGNED:
        raise InvalidTransition(_("Your impression is written down already."), todo=_("Score the case."))
    case.own_impression, case.impression_at = text.strip(), timezone.now()
    case.save_as(actor, "Impression")
    return case


@service(perms.SCORE_CASE)
def score_case(
    case: ReviewCase,
    *,
    score: str = "",
    grade: str = "",
    comment: str = "",
    category: str = "",
    is_to_learn: bool = False,
    actor: Actor,
) -> ReviewCase:
    """The reviewer's verdict; 2b, 3a and 3b need a comment and go to arbitration. ``grade``: of the site's scale.

    ``is_to_learn``: good for the learning conference; it is submitted there, without the score.
    """
    case = ReviewCase.locked(case.pk)
    _require_reviewer(case, actor)
    if case.hides_report:
        raise InvalidTransition(
            _("This case is double-blind."), todo=_("Write down your own impression first; then the report is shown.")
        )
    case.grade = _grade_of(case, grade)
    score = case.grade.radpeer if case.grade is not None else score
    _check_verdict(score, comment, category)
    case.move_to(CaseStatus.ARBITRATION if score in ARBITRATED else CaseStatus.SCORED)
    case.score, case.comment, case.category, case.scored_at = score, comment.strip(), category, timezone.now()
    goes_on = case.status == CaseStatus.ARBITRATION
    if goes_on:
        case.reminded_at = None  # the reviewer was; now arbiters are
    case.save_as(actor, "Scored")
    if goes_on:
        publish(CaseToArbitrate(str(case.uuid), version=case.version), actor=actor)
    if is_to_learn:
        _submit_to_learn(case, actor)
    return case


def _submit_to_learn(case: ReviewCase, actor: Actor) -> None:
    if not LearningCase.objects.filter(report_version=case.report_version, submitted_by=actor.user).exists():
        kind = KIND_OF.get(Category(case.category)) if case.category else None
        submit_learning(case.report, kind=kind or LearningKind.INTERESTING, actor=actor)


def _require_reviewer(case: ReviewCase, actor: Actor) -> None:
    if actor.user is None or actor.user.pk != case.reviewer_id:
        raise Conflict(
            _("This case is somebody else's."),
            asked=_("To score the case."),
            found=_("It was drawn for another reviewer."),
            todo=_("Score your own cases; ask the lead to reassign this one."),
        )


def _grade_of(case: ReviewCase, grade: str) -> ScaleGrade | None:
    if case.round is None or case.round.scale != Scale.SITE:
        return None
    found = ScaleGrade.objects.filter(code=grade, is_active=True).first()
    if found is None:
        raise InvalidData(_("There is no such grade."), errors={"grade": _("Choose a grade of this site's scale.")})
    return found


def _check_verdict(score: str, comment: str, category: str) -> None:
    errors = {}
    if score not in Score.values:
        errors["score"] = _("Choose 1, 2a, 2b, 3a or 3b.")
    if score in COMMENTED and not comment.strip():
        errors["comment"] = _("Say what was missed and why it matters.")
    if category and category not in Category.values:
        errors["category"] = _("There is no such kind.")
    if errors:
        raise InvalidData(_("The case cannot be scored like this."), errors=errors)


@service(perms.ARBITRATE_CASE)
def arbitrate_case(
    case: ReviewCase,
    *,
    score: str,
    comment: str = "",
    category: str = "",
    impact: str = Impact.UNKNOWN,
    critical_category: int | None = None,
    actor: Actor,
) -> ReviewCase:
    """Somebody who is neither reviewer nor author decides; what is upheld becomes a discrepancy."""
    case = ReviewCase.locked(case.pk)
    if actor.user is None or actor.user.pk == case.reviewer_id or not _may_decide(actor.user, case.report_version):
        raise Conflict(
            _("Reviewer and author do not arbitrate their own case."),
            asked=_("To arbitrate the case."),
            found=_("You wrote the report, gave the score, or may not see the exam."),
            todo=_("Let a colleague arbitrate."),
        )
    _check_verdict(score, comment, category)
    if impact not in Impact.values:
        raise InvalidData(_("There is no such impact."), errors={"impact": _("Choose one of the list.")})
    if critical_category is not None and critical_category not in CriticalCategory.values:
        raise InvalidData(_("There is no such category."), errors={"critical_category": _("1, 2 or 3.")})
    case.move_to(CaseStatus.CLOSED)
    case.arbiter, case.arbitrated_score, case.arbitration_comment = actor.user, score, comment.strip()
    case.category = category or case.category
    case.save_as(actor, "Arbitrated")
    if score in ARBITRATED:
        _note_discrepancy(case, impact, critical_category, actor)
    return case


def _may_decide(person: User, version: ReportVersion) -> bool:
    return is_eligible(person, version) and version.report_id in reports_seen_by([person], [version])[person.pk]


def _note_discrepancy(case: ReviewCase, impact: str, critical_category: int | None, actor: Actor) -> None:
    Discrepancy(
        case=case,
        severity=SEVERITY[Score(case.arbitrated_score)],
        category=case.category or Category.INTERPRETIVE,
        impact=impact,
        critical_category=critical_category,
    ).save_as(actor, "Upheld")
    report: Report = case.report
    publish(DiscrepancyConfirmed(str(case.uuid), version=case.version, report=str(report.uuid)), actor=actor)


@service(perms.MANAGE_ROUND, action=Action.EXECUTE)
def reassign_case(case: ReviewCase, *, reviewer: User, reason: str, actor: Actor) -> ReviewCase:
    """Give a case that waits to another reviewer; what the first wrote down is not handed on."""
    case = ReviewCase.locked(case.pk)
    if case.status != CaseStatus.ASSIGNED:
        raise InvalidTransition(
            _("Only a case that waits for its score is passed on."),
            found=_("It is: %(status)s.") % {"status": case.get_status_display()},
        )
    errors = {}
    if not reason.strip():
        errors["reason"] = _("Needed.")
    if reviewer.pk == case.reviewer_id:
        errors["reviewer"] = _("The case is theirs already.")
    elif not may_review(reviewer, case.report_version, bool(case.round and case.round.same_competence)):
        errors["reviewer"] = _("They wrote the report, lack the competence, or may not see or score it.")
    if errors:
        raise InvalidData(_("The case cannot be passed on like this."), errors=errors)
    case.reviewer, case.passed_on_reason = reviewer, reason.strip()[:200]
    case.own_impression, case.impression_at, case.reminded_at = "", None, None
    case.save_as(actor, f"Passed on: {reason}")
    publish(CasePassedOn(str(case.uuid), version=case.version), actor=actor)
    return case


def may_review(person: User, version: ReportVersion, same_competence: bool = False) -> bool:
    able = person.is_active and person.may(perms.SCORE_CASE) and is_eligible(person, version)
    if able and same_competence:
        able = bool(competent([person], version))
    return able and version.report_id in reports_seen_by([person], [version])[person.pk]


@service(perms.SCORE_CASE, action=Action.CREATE)
def review_ad_hoc(report: Report, *, score: str, comment: str = "", category: str = "", actor: Actor) -> ReviewCase:
    """A second look that no round asked for: a prior opened for comparison, scored where one reads."""
    if actor.user is None:
        raise NotPermitted(_("A person reviews."))
    version = (
        ReportVersion.objects.select_related("report")
        .filter(report=report, kind=VersionKind.FINAL, recall__isnull=True)
        .order_by("-number")
        .first()
    )
    if version is None or not report.is_signed:
        raise InvalidTransition(_("This report is not signed."), todo=_("Only signed reports are reviewed."))
    if not may_review(actor.user, version):
        raise Conflict(
            _("You cannot review this report."),
            found=_("You wrote it, or may not see it."),
            todo=_("Let a colleague review it."),
        )
    if ReviewCase.objects.filter(reviewer=actor.user, report_version=version, round__isnull=True).exists():
        raise Conflict(_("You have reviewed this report already."))
    case = ReviewCase(report=version.report, report_version=version, reviewer=actor.user)
    case.save_as(actor, "Ad hoc")
    return score_case(case, score=score, comment=comment, category=category, actor=actor)
