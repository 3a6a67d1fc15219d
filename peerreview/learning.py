"""What is asked about peer learning. Numbers are of the department; of a person there are only the author's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, Prefetch, Q, QuerySet
from django.db.models.functions import TruncMonth
from django.utils import timezone

from peerreview import permissions as perms
from peerreview.models import Conference, ConferenceEntry, LearningCase, LearningKind, LearningStatus
from reporting.models import TeachingImage, TeachingStatus
from ris.core.actor import Actor

MONTHS = 12
L = LearningStatus


def _shown_images() -> Prefetch:
    images = TeachingImage.objects.shown().exclude(case__status=TeachingStatus.WITHDRAWN).order_by("number", "pk")
    return Prefetch("case__teaching__images", queryset=images, to_attr="pictures")


def learning_cases(*, actor: Actor) -> QuerySet[LearningCase]:
    """The coordinator's, but those of their own reports; one's own submissions. Newest first."""
    return LearningCase.objects.visible_to(actor).select_related("teaching").order_by("-pk")


def to_prepare(*, actor: Actor) -> QuerySet[LearningCase]:
    """What waits for the coordinator, and what is ready, never of their own reports."""
    if not actor.may(perms.COORDINATE_LEARNING):
        return LearningCase.objects.none()
    rows = learning_cases(actor=actor)
    return rows.exclude(author=actor.user) if actor.user is not None else rows


def submissions(*, actor: Actor) -> QuerySet[LearningCase]:
    return LearningCase.objects.filter(submitted_by=actor.user).order_by("-pk")


def feedback(*, actor: Actor) -> QuerySet[LearningCase]:
    """The author's own."""
    return LearningCase.objects.told_to(actor).select_related("report", "report_version").order_by("-feedback_at")


def conferences(*, actor: Actor) -> QuerySet[Conference]:
    """All of them, for whoever may see conferences; the latest first."""
    if not actor.may(perms.VIEW_LEARNING):
        return Conference.objects.none()
    standing = Q(entries__removed_at__isnull=True)
    return Conference.objects.annotate(
        case_count=Count("entries", filter=standing),
        shown_count=Count("entries", filter=standing & Q(entries__shown_at__isnull=False)),
    ).order_by("-held_on", "-pk")


def entries(conference: Conference) -> list[ConferenceEntry]:
    """In their order, with the pictures that may be shown as ``case.teaching.pictures``. Two queries."""
    rows = conference.entries.standing().select_related("case__teaching").prefetch_related(_shown_images())
    return list(rows.order_by("position", "pk"))


def pictures(case: LearningCase) -> list[TeachingImage]:
    """De-identified copies that may be shown."""
    if case.teaching is None or case.teaching.status == TeachingStatus.WITHDRAWN:
        return []
    return list(case.teaching.images.shown().order_by("number", "pk"))


def shown_picture(uuid: object, *, actor: Actor) -> TeachingImage | None:
    """A picture of a case that a conference lists, or that the actor prepares."""
    if not actor.may(perms.VIEW_LEARNING):
        return None
    listed = ConferenceEntry.objects.standing().values("case__teaching")
    mine = to_prepare(actor=actor).exclude(status=L.DECLINED).values("teaching")
    rows = TeachingImage.objects.shown().exclude(case__status=TeachingStatus.WITHDRAWN)
    return rows.filter(Q(case__in=listed) | Q(case__in=mine), uuid=uuid).first()


@dataclass(frozen=True)
class Statistics:
    """``rows``: (kind, numbers by month, sum); ``months`` oldest first. Nobody's name belongs to a number."""

    months: list[date]
    rows: list[tuple[str, list[int], int]]

    @property
    def sums(self) -> list[int]:
        return [sum(numbers[place] for _kind, numbers, _sum in self.rows) for place in range(len(self.months))]

    @property
    def total(self) -> int:
        return sum(self.sums)


def statistics(*, actor: Actor, own: bool = False) -> Statistics:
    """Cases of the last twelve months by kind, but those not taken. ``own``: of the actor's reports, with feedback."""
    actor.require(perms.VIEW_LEARNING)
    months = _months()
    rows = LearningCase.objects.told_to(actor) if own else LearningCase.objects.all()
    counted = (
        rows.exclude(status=L.DECLINED)
        .filter(created_at__date__gte=months[0])
        .annotate(month=TruncMonth("created_at"))
        .order_by()
        .values_list("month", "kind")
        .annotate(number=Count("pk"))
    )
    found = Counter({(timezone.localdate(month), kind): number for month, kind, number in counted})
    table = []
    for kind in LearningKind:
        numbers = [found[month, kind.value] for month in months]
        table.append((str(kind.label), numbers, sum(numbers)))
    return Statistics(months, table)


def _months() -> list[date]:
    first = timezone.localdate().replace(day=1)
    months = [first]
    while len(months) < MONTHS:
        first = (first.replace(month=first.month - 1)) if first.month > 1 else first.replace(first.year - 1, 12)
        months.append(first)
    return months[::-1]
