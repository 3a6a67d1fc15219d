"""Rounds, scores, arbitration."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.events import DiscrepancyConfirmed, RoundLaunched
from peerreview.models import CaseStatus, ReviewCase, ReviewRound, RoundStatus, Score
from reporting.models import Report, ReportVersion, VersionKind
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from ris.events.bus import publish

#: Scores that a second person looks at before they count
ARBITRATED = frozenset({Score.UNDERSTANDABLE_B, Score.MOST_OF_TIME_A, Score.MOST_OF_TIME_B})
COMMENTED = ARBITRATED


@service(perms.MANAGE_ROUND, action=Action.CREATE)
def create_round(
    *,
    name: str,
    signed_from: date,
    signed_until: date,
    reviewers: Iterable[User],
    percent: int = 5,
    seed: int = 1,
    modality: str = "",
    due_on: date | None = None,
    actor: Actor,
) -> ReviewRound:
    """Plan a round; nothing is drawn before it is launched."""
    people = list(reviewers)
    errors: dict[str, str] = {}
    if signed_until < signed_from:
        errors["signed_until"] = _("The round ends before it starts.")
    if not 1 <= percent <= 100:
        errors["percent"] = _("A percentage is 1 to 100.")
    if not people or not all(person.may(perms.SCORE_CASE) for person in people):
        errors["reviewers"] = _("Choose reviewers who may score cases.")
    if ReviewRound.objects.filter(name=name).exists():
        errors["name"] = _("There is a round of this name.")
    if errors:
        raise InvalidData(_("The round cannot be planned like this."), errors=errors)
    review_round = ReviewRound(
        name=name,
        signed_from=signed_from,
        signed_until=signed_until,
        percent=percent,
        seed=seed,
        modality=modality,
        due_on=due_on,
    )
    review_round.save_as(actor, "Planned")
    review_round.reviewers.set(people)
    return review_round


def sample(review_round: ReviewRound) -> list[tuple[ReportVersion, User]]:
    """Which reports go to whom: the same seed and data give the same answer.

    Of every author's final reports in the period, ``percent`` (at least one); never to the author, spread evenly.
    """
    versions = (
        ReportVersion.objects.filter(
            kind=VersionKind.FINAL,
            signed_at__date__gte=review_round.signed_from,
            signed_at__date__lte=review_round.signed_until,
        )
        .select_related("report", "signed_by")
        .order_by("pk")
    )
    if review_round.modality:
        versions = versions.filter(report__procedures__modality=review_round.modality).distinct()
    by_author: dict[int, list[ReportVersion]] = defaultdict(list)
    for version in versions:
        by_author[version.signed_by_id].append(version)
    draw = random.Random(review_round.seed)
    load: dict[int, int] = defaultdict(int)
    reviewers = list(review_round.reviewers.order_by("pk"))
    drawn: list[tuple[ReportVersion, User]] = []
    for author in sorted(by_author):
        mine = by_author[author]
        count = max(1, round(len(mine) * review_round.percent / 100))
        for version in sorted(draw.sample(mine, min(count, len(mine))), key=lambda row: row.pk):
            eligible = [person for person in reviewers if person.pk != author]
            if not eligible:
                continue
            reviewer = min(eligible, key=lambda person: (load[person.pk], person.pk))
            load[reviewer.pk] += 1
            drawn.append((version, reviewer))
    return drawn


@service(perms.MANAGE_ROUND, action=Action.EXECUTE)
def launch_round(review_round: ReviewRound, *, actor: Actor) -> ReviewRound:
    review_round = ReviewRound.locked(review_round.pk)
    review_round.move_to(RoundStatus.RUNNING)
    drawn = sample(review_round)
    if not drawn:
        raise Conflict(
            _("No report can be drawn."),
            asked=_("To launch the round."),
            found=_("No final report of the period has an author other than its reviewers."),
            todo=_("Choose a longer period, another modality, or more reviewers."),
        )
    for version, reviewer in drawn:
        case = ReviewCase(round=review_round, report=version.report, report_version=version, reviewer=reviewer)
        case.save_as(actor, "Drawn")
    review_round.save_as(actor, "Launched")
    publish(RoundLaunched(str(review_round.uuid), version=review_round.version), actor=actor)
    return review_round


@service(perms.MANAGE_ROUND, action=Action.EXECUTE)
def close_round(review_round: ReviewRound, *, actor: Actor) -> ReviewRound:
    review_round = ReviewRound.locked(review_round.pk)
    waiting = review_round.cases.filter(status__in=(CaseStatus.ASSIGNED, CaseStatus.ARBITRATION)).count()
    if waiting:
        raise Conflict(
            _("The round is not finished."),
            asked=_("To close the round."),
            found=_("%(count)s cases wait for a score or an arbiter.") % {"count": waiting},
            todo=_("Remind the reviewers, or arbitrate what is open."),
        )
    review_round.move_to(RoundStatus.CLOSED)
    review_round.save_as(actor, "Closed")
    return review_round


@service(perms.SCORE_CASE)
def score_case(case: ReviewCase, *, score: str, comment: str = "", actor: Actor) -> ReviewCase:
    """The reviewer's verdict; 2b, 3a and 3b need a comment and go to arbitration."""
    case = ReviewCase.locked(case.pk)
    if actor.user is None or actor.user.pk != case.reviewer_id:
        raise Conflict(
            _("This case is somebody else's."),
            asked=_("To score the case."),
            found=_("It was drawn for another reviewer."),
            todo=_("Score your own cases; ask the lead to reassign this one."),
        )
    if score not in Score.values:
        raise InvalidData(_("There is no such score."), errors={"score": _("Choose 1, 2a, 2b, 3a or 3b.")})
    if score in COMMENTED and not comment.strip():
        raise InvalidData(_("A comment is missing."), errors={"comment": _("Say what was missed and why it matters.")})
    case.move_to(CaseStatus.ARBITRATION if score in ARBITRATED else CaseStatus.SCORED)
    case.score, case.comment, case.scored_at = score, comment.strip(), timezone.now()
    case.save_as(actor, "Scored")
    return case


@service(perms.ARBITRATE_CASE)
def arbitrate_case(case: ReviewCase, *, score: str, comment: str = "", actor: Actor) -> ReviewCase:
    """Somebody who is neither reviewer nor author decides."""
    case = ReviewCase.locked(case.pk)
    person = actor.user.pk if actor.user else None
    if person in (case.reviewer_id, case.report_version.signed_by_id):
        raise Conflict(
            _("Reviewer and author do not arbitrate their own case."),
            asked=_("To arbitrate the case."),
            found=_("You wrote the report or gave the score."),
            todo=_("Let a colleague arbitrate."),
        )
    if score not in Score.values:
        raise InvalidData(_("There is no such score."), errors={"score": _("Choose 1, 2a, 2b, 3a or 3b.")})
    if score in COMMENTED and not comment.strip():
        raise InvalidData(_("A comment is missing."), errors={"comment": _("Say what was missed and why it matters.")})
    case.move_to(CaseStatus.CLOSED)
    case.arbiter, case.arbitrated_score, case.arbitration_comment = actor.user, score, comment.strip()
    case.save_as(actor, "Arbitrated")
    if score in ARBITRATED:
        report: Report = case.report
        publish(
            DiscrepancyConfirmed(str(case.uuid), version=case.version, report=str(report.uuid)),
            actor=actor,
        )
    return case
