"""Which reports go to whom. The same seed and data give the same answer, on any machine."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from orders.models import RequestedProcedure
from peerreview.models import Mode, ReviewRound
from reporting.models import ReportStatus, ReportVersion, VersionKind
from reporting.services.reading_rules import group_for
from ris.accounts.models import User
from ris.core.actor import Actor

Drawn = list[tuple[ReportVersion, User]]


@dataclass(frozen=True)
class Preview:
    """What a launch would do now."""

    population: int
    readers: int
    cases: int
    without_reviewer: int
    #: (reviewer, how many cases they would get)
    loads: Sequence[tuple[User, int]]


def population(review_round: ReviewRound) -> list[ReportVersion]:
    """The final reports that the round may draw from, oldest first; of a recalled one only what stands."""
    rows = ReportVersion.objects.filter(kind=VersionKind.FINAL, recall__isnull=True).exclude(
        report__status__in=(ReportStatus.CANCELLED, ReportStatus.ENTERED_IN_ERROR)
    )
    if review_round.mode == Mode.TARGETED:
        rows = rows.filter(report__in=review_round.targets.all())
    else:
        rows = _of_the_period(review_round, rows)
    exams = RequestedProcedure.objects.select_related("order__patient")
    signatures = ReportVersion.objects.only("report", "number", "signed_by").prefetch_related("co_signatures")
    return list(
        rows.select_related("report", "signed_by")
        .prefetch_related(
            Prefetch("report__procedures", queryset=exams), Prefetch("report__versions", queryset=signatures)
        )
        .distinct()
        .order_by("pk")
    )


def _of_the_period(review_round: ReviewRound, rows: QuerySet[ReportVersion]) -> QuerySet[ReportVersion]:
    last = review_round.signed_until
    if review_round.exclude_days:
        last = min(last, timezone.localdate() - timedelta(days=review_round.exclude_days))
    rows = rows.filter(signed_at__date__gte=review_round.signed_from, signed_at__date__lte=last)
    asked = {
        "report__procedures__modality": review_round.modality,
        "report__procedures__body_region": review_round.body_region,
        "report__procedures__order__site": review_round.site_id,
    }
    rows = rows.filter(**{name: value for name, value in asked.items() if value})
    readers = list(review_round.readers.values_list("pk", flat=True))
    return rows.filter(signed_by__in=readers) if readers else rows


def sample(review_round: ReviewRound) -> Drawn:
    """Of every author's reports the share or number asked for, spread evenly; never to the author."""
    return _drawn(review_round, population(review_round))[0]


def preview(review_round: ReviewRound) -> Preview:
    rows = population(review_round)
    drawn, without = _drawn(review_round, rows)
    counts: dict[int, int] = defaultdict(int)
    for _version, reviewer in drawn:
        counts[reviewer.pk] += 1
    reviewers = review_round.reviewers.order_by("pk")
    return Preview(
        population=len(rows),
        readers=len({version.signed_by_id for version, _reviewer in drawn}),
        cases=len(drawn),
        without_reviewer=without,
        loads=[(person, counts[person.pk]) for person in reviewers],
    )


def _drawn(review_round: ReviewRound, rows: list[ReportVersion]) -> tuple[Drawn, int]:
    by_author: dict[int, list[ReportVersion]] = defaultdict(list)
    for version in rows:
        by_author[version.signed_by_id].append(version)
    draw = random.Random(review_round.seed)
    load: dict[int, int] = defaultdict(int)
    reviewers = list(review_round.reviewers.order_by("pk"))
    chosen = [row for author in sorted(by_author) for row in _chosen(review_round, by_author[author], draw)]
    seen = reports_seen_by(reviewers, chosen)
    drawn: Drawn = []
    without = 0
    for version in chosen:
        able = [row for row in reviewers if is_eligible(row, version) and version.report_id in seen[row.pk]]
        if review_round.same_competence:
            able = competent(able, version)
        if not able:
            without += 1
            continue
        reviewer = able[0]
        if review_round.mode != Mode.CONFERENCE:  # there the first who may presents them all
            reviewer = min(able, key=lambda person: (load[person.pk], person.pk))
        load[reviewer.pk] += 1
        drawn.append((version, reviewer))
    return drawn, without


def is_eligible(person: User, version: ReportVersion) -> bool:
    """Neither who signed any version of the report, addenda too, nor who wrote in it or stands by it as co-signer."""
    report = version.report
    if person.pk in (version.signed_by_id, report.author_id, report.preliminary_by_id):
        return False
    return not any(
        person.pk == row.signed_by_id or any(person.pk == one.signed_by_id for one in row.co_signatures.all())
        for row in report.versions.all()
    )


def _chosen(review_round: ReviewRound, mine: list[ReportVersion], draw: random.Random) -> list[ReportVersion]:
    if review_round.mode == Mode.TARGETED:
        return mine
    count = review_round.per_reader or max(1, round(len(mine) * review_round.percent / 100))
    count = min(count, len(mine))
    if review_round.mode == Mode.CONSECUTIVE:
        return mine[:count]
    # Efraimidis and Spirakis 2006: the largest u^(1/w) are a weighted sample without replacement
    keys = {version.pk: draw.random() ** (1 / _weight(review_round, version)) for version in mine}
    best = sorted(mine, key=lambda version: (-keys[version.pk], version.pk))[:count]
    return sorted(best, key=lambda version: version.pk)


def _weight(review_round: ReviewRound, version: ReportVersion) -> float:
    exams = version.report.procedures.all()
    return max((float(review_round.weights.get(exam.modality, 1)) for exam in exams), default=1.0)


def competent(people: Sequence[User], version: ReportVersion) -> list[User]:
    """Members of the reading group that the exam belongs to; everybody where it belongs to none."""
    group = group_for(version.report.first_procedure)
    if group is None:
        return list(people)
    members = set(group.members.values_list("pk", flat=True))
    return [person for person in people if person.pk in members]


def reports_seen_by(people: Sequence[User], rows: Sequence[ReportVersion]) -> dict[int, set[int]]:
    """{reviewer: the reports whose exams they may see}: site and restriction, as everywhere. A query for each."""
    reports = [version.report_id for version in rows]
    return {
        person.pk: set(
            RequestedProcedure.objects.visible_to(Actor("system", user=person))
            .filter(reports__in=reports)
            .values_list("reports", flat=True)
        )
        for person in people
    }
