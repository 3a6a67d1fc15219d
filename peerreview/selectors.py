"""What is asked about peer review."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from peerreview import permissions as perms
from peerreview.models import CaseStatus, Discrepancy, ReviewCase, ReviewRound, Score
from peerreview.querysets import written_by
from ris.core.actor import Actor


def rounds(*, actor: Actor) -> QuerySet[ReviewRound]:
    """All for the lead; for others those they review in."""
    queryset = ReviewRound.objects.annotate(
        case_count=Count("cases"),
        done_count=Count("cases", filter=Q(cases__status__in=(CaseStatus.SCORED, CaseStatus.CLOSED))),
        arbitration_count=Count("cases", filter=Q(cases__status=CaseStatus.ARBITRATION)),
        not_reviewed_count=Count("cases", filter=Q(cases__status=CaseStatus.LAPSED)),
    ).order_by("-pk")
    if actor.may(perms.MANAGE_ROUND) or actor.user is None:
        return queryset
    return queryset.filter(pk__in=ReviewCase.objects.filter(reviewer=actor.user).values("round"))


def cases(*, actor: Actor) -> QuerySet[ReviewCase]:
    return _whole(ReviewCase.objects.visible_to(actor))


def readable_cases(*, actor: Actor) -> QuerySet[ReviewCase]:
    """Those, and what the actor may arbitrate."""
    mine, waiting = ReviewCase.objects.visible_to(actor), to_arbitrate(actor=actor)
    either = Q(pk__in=mine.order_by().values("pk")) | Q(pk__in=waiting.order_by().values("pk"))
    return _whole(ReviewCase.objects.filter(either))


def _whole(rows: QuerySet[ReviewCase]) -> QuerySet[ReviewCase]:
    return (
        rows.select_related("round", "grade", "reviewer", "arbiter", "report_version", "report")
        .prefetch_related("report__procedures__order__patient")
        .order_by("pk")
    )


def my_cases(*, actor: Actor) -> QuerySet[ReviewCase]:
    """What is due first comes first."""
    return cases(actor=actor).filter(reviewer=actor.user).order_by(F("round__due_on").asc(nulls_last=True), "pk")


def discrepancies(*, actor: Actor) -> QuerySet[Discrepancy]:
    """The author's own; all for the lead. Newest first."""
    return (
        Discrepancy.objects.visible_to(actor)
        .select_related(
            *("case__round", "case__report_version", "case__report", "case__reviewer", "case__arbiter"),
            *("addendum", "critical_result"),
        )
        .prefetch_related("case__report__procedures__order__patient")
        .order_by("-pk")
    )


def to_arbitrate(*, actor: Actor) -> QuerySet[ReviewCase]:
    """Open discrepancies of exams that this person may see and neither scored nor wrote or signed in."""
    if not actor.may(perms.ARBITRATE_CASE):
        return ReviewCase.objects.none()
    seen = RequestedProcedure.objects.visible_to(actor)
    return (
        ReviewCase.objects.filter(status=CaseStatus.ARBITRATION)
        .filter(Exists(seen.filter(reports=OuterRef("report"))))
        .exclude(reviewer=actor.user)
        .exclude(written_by(actor.user))
        .select_related("round", "report_version", "report")
        .prefetch_related("report__procedures__order__patient")
        .order_by("pk")
    )


@dataclass(frozen=True)
class Agreement:
    """Share of cases in concurrence, with the Wilson score interval (95 %)."""

    scored: int
    concurring: int

    @property
    def share(self) -> float:
        return self.concurring / self.scored if self.scored else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.scored:
            return (0.0, 1.0)
        z, n, p = 1.96, self.scored, self.share
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return (max(0.0, centre - half), min(1.0, centre + half))

    @property
    def percent(self) -> int:
        return round(self.share * 100)

    @property
    def low(self) -> int:
        return round(self.interval[0] * 100)

    @property
    def high(self) -> int:
        return round(self.interval[1] * 100)


#: Scores that a second person looks at before they count
ARBITRATED = frozenset({Score.UNDERSTANDABLE_B, Score.MOST_OF_TIME_A, Score.MOST_OF_TIME_B})
DECIDED = Q(status__in=(CaseStatus.SCORED, CaseStatus.CLOSED))
CONCURRING = Q(arbitrated_score=Score.CONCUR) | Q(arbitrated_score="", score=Score.CONCUR)


def agreement(review_round: ReviewRound) -> Agreement:
    """What counts is the arbiter's score where there is one."""
    done = review_round.cases.filter(DECIDED)
    return Agreement(done.count(), done.filter(CONCURRING).count())


@dataclass(frozen=True)
class Group:
    """Agreement within one modality; a report of several counts in each."""

    modality: str
    agreement: Agreement


def agreement_by_modality(review_round: ReviewRound) -> list[Group]:
    """In one query. By exam and never by person."""
    rows = (
        review_round.cases.filter(DECIDED)
        .order_by()
        .values_list("report__procedures__modality")
        .annotate(scored=Count("pk", distinct=True), concurring=Count("pk", distinct=True, filter=CONCURRING))
        .order_by("report__procedures__modality")
    )
    return [Group(modality, Agreement(scored, concurring)) for modality, scored, concurring in rows]


@dataclass(frozen=True)
class Funnel:
    """How far the cases of a round came: each number is part of the one before."""

    drawn: int
    scored: int
    arbitrated: int
    upheld: int
    answered: int

    @property
    def steps(self) -> list[tuple[str, int]]:
        return [
            (_("Drawn"), self.drawn),
            (_("Scored"), self.scored),
            (_("To a third reader"), self.arbitrated),
            (_("Upheld"), self.upheld),
            (_("Answered by the author"), self.answered),
        ]


def funnel(review_round: ReviewRound) -> Funnel:
    """In one query."""
    asked = Q(score__in=ARBITRATED)
    found = review_round.cases.aggregate(
        drawn=Count("pk"),
        scored=Count("pk", filter=~Q(score="")),
        arbitrated=Count("pk", filter=asked),
        upheld=Count("pk", filter=Q(discrepancy__isnull=False)),
        answered=Count("pk", filter=Q(discrepancy__answered_at__isnull=False)),
    )
    return Funnel(**found)
