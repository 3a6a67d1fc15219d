"""Rounds: planned, looked at, launched, reminded of, closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.events import RoundClosed, RoundLaunched
from peerreview.models import CaseStatus, Mode, ReviewCase, ReviewRound, RoundStatus, Scale, ScaleGrade
from peerreview.services.sampling import sample
from reporting.models import Report
from ris.accounts.models import Site, User
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import Conflict, InvalidData
from ris.events.bus import publish

PER_READER_MOST = 1000
WEIGHT_MOST = 100


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
    mode: str = Mode.RANDOM,
    body_region: str = "",
    site: Site | None = None,
    readers: Iterable[User] = (),
    targets: Iterable[Report] = (),
    per_reader: int | None = None,
    weights: Mapping[str, float] | None = None,
    exclude_days: int = 0,
    same_competence: bool = True,
    double_blind: bool = False,
    scale: str = Scale.RADPEER,
    actor: Actor,
) -> ReviewRound:
    """Plan a round; nothing is drawn before it is launched."""
    people, chosen = list(reviewers), list(targets)
    review_round = ReviewRound(
        name=name,
        signed_from=signed_from,
        signed_until=signed_until,
        percent=percent,
        seed=seed,
        modality=modality,
        due_on=due_on,
        mode=mode,
        body_region=body_region,
        site=site,
        per_reader=per_reader,
        weights=dict(weights or {}),
        exclude_days=exclude_days,
        same_competence=same_competence,
        double_blind=double_blind,
        scale=scale,
    )
    errors = _wrong_plan(review_round, people, chosen, actor)
    if errors:
        raise InvalidData(_("The round cannot be planned like this."), errors=errors)
    review_round.save_as(actor, "Planned")
    review_round.reviewers.set(people)
    review_round.readers.set(readers)
    review_round.targets.set(chosen)
    return review_round


def _wrong_plan(plan: ReviewRound, reviewers: list[User], targets: list[Report], actor: Actor) -> dict[str, str]:
    errors: dict[str, str] = {}
    if plan.signed_until < plan.signed_from:
        errors["signed_until"] = _("The round ends before it starts.")
    if plan.due_on is not None and plan.due_on < timezone.localdate():
        errors["due_on"] = _("Lies in the past.")
    if not 1 <= plan.percent <= 100:
        errors["percent"] = _("A percentage is 1 to 100.")
    if plan.per_reader is not None and not 1 <= plan.per_reader <= PER_READER_MOST:
        errors["per_reader"] = _("A number is 1 to %(most)d.") % {"most": PER_READER_MOST}
    if plan.mode not in Mode.values or plan.mode == Mode.IMPORTED:
        errors["mode"] = _("There is no such way to draw cases.")
    if plan.scale not in Scale.values:
        errors["scale"] = _("There is no such scale.")
    elif plan.scale == Scale.SITE and not ScaleGrade.objects.filter(is_active=True).exists():
        errors["scale"] = _("The site has no scale of its own yet.")
    if any(
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= WEIGHT_MOST
        for value in plan.weights.values()
    ):
        errors["weights"] = _("A weight is a number above 0, up to %(most)d.") % {"most": WEIGHT_MOST}
    if plan.mode == Mode.TARGETED and not targets:
        errors["targets"] = _("Choose the reports.")
    elif targets and Report.objects.visible_to(actor).filter(pk__in=[row.pk for row in targets]).count() < len(targets):
        errors["targets"] = _("A report is not yours to see.")
    if not reviewers or not all(person.may(perms.SCORE_CASE) for person in reviewers):
        errors["reviewers"] = _("Choose reviewers who may score cases.")
    if ReviewRound.objects.filter(name=plan.name).exists():
        errors["name"] = _("There is a round of this name.")
    return errors


@service(perms.MANAGE_ROUND, action=Action.EXECUTE)
def launch_round(review_round: ReviewRound, *, expected_cases: int | None = None, actor: Actor) -> ReviewRound:
    """Draw the sample and give the cases out. ``expected_cases``: as many as were previewed, or nothing happens."""
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
    if expected_cases is not None and expected_cases != len(drawn):
        raise Conflict(
            _("The reports have changed since you looked."),
            asked=_("To give out %(count)d cases.") % {"count": expected_cases},
            found=_("Now %(count)d would be drawn.") % {"count": len(drawn)},
            todo=_("Look at the round once more, then launch it."),
        )
    is_conference = review_round.mode == Mode.CONFERENCE
    for number, (version, reviewer) in enumerate(drawn, start=1):
        case = ReviewCase(round=review_round, report=version.report, report_version=version, reviewer=reviewer)
        case.position = number if is_conference else None
        case.save_as(actor, "Drawn")
    review_round.save_as(actor, "Launched")
    publish(RoundLaunched(str(review_round.uuid), version=review_round.version), actor=actor)
    return review_round


@service(perms.MANAGE_ROUND, action=Action.EXECUTE)
def close_round(review_round: ReviewRound, *, without_waiting: bool = False, actor: Actor) -> ReviewRound:
    """When every case is decided. ``without_waiting``, once the due date is over: what nobody scored is listed as such.

    What waits for an arbiter keeps the round open in any case: somebody found something.
    """
    review_round = ReviewRound.locked(review_round.pk)
    open_cases = review_round.cases.filter(status__in=(CaseStatus.ASSIGNED, CaseStatus.ARBITRATION))
    waiting = list(open_cases.select_for_update(of=("self",)).order_by("pk"))
    unscored = [case for case in waiting if case.status == CaseStatus.ASSIGNED]
    if len(waiting) > len(unscored) or (unscored and not without_waiting):
        raise Conflict(
            _("The round is not finished."),
            asked=_("To close the round."),
            found=_("%(count)s cases wait for a score or an arbiter.") % {"count": len(waiting)},
            todo=_("Remind the reviewers, or arbitrate what is open."),
        )
    if unscored and not review_round.is_past_due:
        raise Conflict(
            _("The due date is not over."),
            asked=_("To close the round without what nobody has scored."),
            todo=_("Wait for it, or set an earlier one."),
        )
    review_round.move_to(RoundStatus.CLOSED)
    for case in unscored:
        case.move_to(CaseStatus.LAPSED)
        case.save_as(actor, "Not reviewed in time")
    review_round.save_as(actor, "Closed")
    told = RoundClosed(
        str(review_round.uuid),
        version=review_round.version,
        not_reviewed=len(unscored),
        by_itself=actor.is_system,
    )
    publish(told, actor=actor)
    return review_round
