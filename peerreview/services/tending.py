"""A round that runs: its due date, reminders, cases swapped for others, and the order of a conference."""

from __future__ import annotations

import random
from datetime import date

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.models import CaseStatus, Mode, ReviewCase, ReviewRound, RoundStatus
from peerreview.services.sampling import competent, is_eligible, population, reports_seen_by
from peerreview.services.telling import tell_due
from reporting.models import ReportVersion
from ris.accounts.models import User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted

WAITING = (CaseStatus.ASSIGNED, CaseStatus.ARBITRATION)


def _running(review_round: ReviewRound) -> ReviewRound:
    review_round = ReviewRound.locked(review_round.pk)
    if review_round.status != RoundStatus.RUNNING:
        raise InvalidTransition(
            _("This round does not run."),
            found=_("It is: %(status)s.") % {"status": review_round.get_status_display()},
        )
    return review_round


@service(perms.MANAGE_ROUND)
def change_due(review_round: ReviewRound, *, due_on: date | None, actor: Actor) -> ReviewRound:
    """Another day, or none. Reviewers are reminded anew before it."""
    review_round = _running(review_round)
    if due_on is not None and due_on < timezone.localdate():
        raise InvalidData(_("The due date cannot be this."), errors={"due_on": _("Lies in the past.")})
    if due_on != review_round.due_on:
        for case in review_round.cases.filter(status__in=WAITING, reminded_at__isnull=False):
            case.reminded_at = None
            case.save_as(actor, "Due date changed")
        review_round.due_on = due_on
        review_round.save_as(actor, "Due date changed")
    return review_round


@service(perms.MANAGE_ROUND, action=Action.EXECUTE)
def remind_reviewers(review_round: ReviewRound, *, actor: Actor) -> ReviewRound:
    """Now, whoever has cases left: one message for each of them and day, however often it is asked."""
    review_round = _running(review_round)
    waiting = review_round.cases.filter(status=CaseStatus.ASSIGNED).select_related("reviewer", "round")
    if not waiting:
        raise Conflict(_("No case waits for its score."), todo=_("Close the round, or arbitrate what is open."))
    first = {case.reviewer_id: case for case in waiting.order_by("-pk")}
    for case in first.values():
        tell_due(case, f"asked:{review_round.uuid}:{timezone.localdate()}:{case.reviewer_id}")
    for case in waiting:
        case.reminded_at = timezone.now()
        case.save_as(actor, "Reminded")
    return review_round


def _of_presenter(case: ReviewCase, actor: Actor) -> ReviewCase:
    """The case of whoever scores it, or of who manages rounds."""
    case = ReviewCase.locked(case.pk)
    if actor.user is None or (actor.user.pk != case.reviewer_id and not actor.may(perms.MANAGE_ROUND)):
        raise NotPermitted(_("This case is somebody else's."), todo=_("Ask the lead."))
    return case


@service(perms.VIEW_ROUND)
def swap_case(case: ReviewCase, *, reason: str, actor: Actor) -> ReviewCase:
    """Another report of the same round for this one: of the same author where there is one, else of anybody's.

    Which one the round's seed says. What was swapped away does not come back.
    """
    reason = " ".join(reason.split())[:200]
    if not reason:
        raise InvalidData(_("Say why it is swapped."), errors={"reason": _("Needed.")})
    case = _of_presenter(case, actor)
    if case.status != CaseStatus.ASSIGNED or case.round is None:
        raise InvalidTransition(_("Only a case of a round that waits for its score is swapped."))
    version = _another(case.round, case, case.reviewer)
    if version is None:
        raise Conflict(
            _("There is nothing to swap it for."),
            found=_("Every report of the round is drawn, or not for this reviewer."),
            todo=_("Ask the lead to pass the case on."),
        )
    case.report, case.report_version = version.report, version
    case.swapped_reason, case.discussed_at = reason, None
    case.own_impression, case.impression_at = "", None
    case.save_as(actor, f"Swapped: {reason}")
    return case


def _another(review_round: ReviewRound, case: ReviewCase, reviewer: User) -> ReportVersion | None:
    were_there = set(ReviewCase.history.filter(round=review_round).values_list("report", flat=True))
    rows = [row for row in population(review_round) if row.report_id not in were_there and is_eligible(reviewer, row)]
    seen = reports_seen_by([reviewer], rows)[reviewer.pk]
    random.Random(f"{review_round.seed}:{case.pk}").shuffle(rows)
    rows.sort(key=lambda row: row.signed_by_id != case.report_version.signed_by_id)
    for row in rows:
        if row.report_id in seen and (not review_round.same_competence or competent([reviewer], row)):
            return row
    return None


def _in_conference(case: ReviewCase, actor: Actor) -> ReviewCase:
    case = _of_presenter(case, actor)
    if case.round is None or case.round.mode != Mode.CONFERENCE or case.round.status != RoundStatus.RUNNING:
        raise InvalidTransition(_("This case is of no conference that runs."))
    return case


@service(perms.VIEW_ROUND)
def tick_case(case: ReviewCase, *, discussed: bool, actor: Actor) -> ReviewCase:
    """Discussed in the conference, or not after all. The score is another matter."""
    case = _in_conference(case, actor)
    if discussed != (case.discussed_at is not None):
        case.discussed_at = timezone.now() if discussed else None
        case.save_as(actor, "Discussed" if discussed else "Not discussed")
    return case


@service(perms.VIEW_ROUND)
def move_case(case: ReviewCase, *, up: bool, actor: Actor) -> ReviewCase:
    """Swaps places with the case before or after it; at either end nothing changes."""
    case = _in_conference(case, actor)
    others = ReviewCase.objects.filter(round=case.round).exclude(pk=case.pk)
    if up:
        other = others.filter(position__lt=case.position).order_by("-position").first()
    else:
        other = others.filter(position__gt=case.position).order_by("position").first()
    if other is not None:
        case.position, other.position = other.position, case.position
        other.save_as(actor, "Moved")
        case.save_as(actor, "Moved")
    return case
