"""Numbers of one reader over windows: agreement with its uncertainty, discrepancies, changes by attendings, turnaround.

A person sees their own; the lead sees everybody's, in the order of the alphabet and never of a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median

from django.db.models import BooleanField, Case, Max, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from peerreview import permissions as perms
from peerreview.models import Category, Discrepancy, ReviewCase, Severity
from peerreview.selectors import CONCURRING, DECIDED, Agreement
from reporting.models import ReportVersion, VersionKind
from ris.accounts.models import User
from ris.core.actor import Actor
from ris.core.errors import NotPermitted

WINDOW = timedelta(days=91)
WINDOWS = 4


@dataclass(frozen=True)
class Window:
    starts_on: date
    ends_on: date
    #: peer review: the arbiter's score where there is one
    agreement: Agreement
    #: residents: finals whose impression the attending left as it was
    unchanged: Agreement
    reports: int
    #: minutes from the last image to the signature; None without a report
    turnaround: float | None


@dataclass(frozen=True)
class Scorecard:
    reader: User
    windows: Sequence[Window]
    severities: Sequence[tuple[str, int]]
    categories: Sequence[tuple[str, int]]

    @property
    def whole(self) -> Agreement:
        return _sum(window.agreement for window in self.windows)

    @property
    def unchanged(self) -> Agreement:
        return _sum(window.unchanged for window in self.windows)


def _sum(parts) -> Agreement:
    rows = list(parts)
    return Agreement(sum(row.scored for row in rows), sum(row.concurring for row in rows))


def readers(*, actor: Actor) -> list[User]:
    """Whose scorecards the actor may open: everybody's for the lead, by name; else one's own."""
    if actor.user is None or not actor.may(perms.MANAGE_ROUND):
        return [actor.user] if actor.user is not None else []
    people = User.objects.filter(is_service=False, report_versions__isnull=False).distinct()
    return list(people.order_by("family_name", "given_name", "pk"))


def scorecard(reader: User, *, actor: Actor, today: date | None = None) -> Scorecard:
    """Four windows of 13 weeks, the latest last; the same number of queries for whoever it is of."""
    actor.require(perms.VIEW_SCORECARD)
    if actor.user is not None and actor.user.pk != reader.pk and not actor.may(perms.MANAGE_ROUND):
        raise NotPermitted(_("A scorecard is its reader's own."), todo=_("Look at your own, or ask the lead."))
    ends = (today or timezone.localdate()) + timedelta(days=1)
    edges = [ends - WINDOW * number for number in range(WINDOWS, -1, -1)]
    since = edges[0]
    cases = [
        (at, concurring)
        for at, concurring in ReviewCase.objects.filter(DECIDED, report_version__signed_by=reader)
        .filter(scored_at__date__gte=since)
        .annotate(concurs=_is_concurring())
        .values_list("scored_at", "concurs")
    ]
    finals = _finals(reader, since)
    changes = _changes(reader, since)
    windows = [
        Window(
            starts_on=start,
            ends_on=end - timedelta(days=1),
            agreement=_agreement(row for row in cases if _within(row[0], start, end)),
            unchanged=_agreement(row for row in changes if _within(row[0], start, end)),
            reports=sum(_within(signed, start, end) for signed, _images in finals),
            turnaround=_median(signed - images for signed, images in finals if images and _within(signed, start, end)),
        )
        for start, end in pairwise(edges)
    ]
    found = Discrepancy.objects.filter(case__report_version__signed_by=reader, created_at__date__gte=since)
    pairs = list(found.values_list("severity", "category"))
    return Scorecard(
        reader,
        windows,
        _counted(Severity, [severity for severity, _category in pairs]),
        _counted(Category, [category for _severity, category in pairs]),
    )


def _is_concurring():
    return Case(When(CONCURRING, then=Value(True)), default=Value(False), output_field=BooleanField())


def _within(moment: datetime, start: date, end: date) -> bool:
    return start <= timezone.localtime(moment).date() < end


def _agreement(rows) -> Agreement:
    verdicts = [concurring for _at, concurring in rows]
    return Agreement(len(verdicts), sum(verdicts))


def _median(spans) -> float | None:
    minutes = [span.total_seconds() / 60 for span in spans]
    return median(minutes) if minutes else None


def _counted(kinds, values: list[str]) -> list[tuple[str, int]]:
    counts = Counter(values)
    return [(str(kind.label), counts[kind.value]) for kind in kinds]


def _finals(reader: User, since: date) -> list[tuple[datetime, datetime | None]]:
    """(signed, last image) of the final versions of a reader that stand."""
    rows = ReportVersion.objects.filter(
        signed_by=reader, kind=VersionKind.FINAL, recall__isnull=True, signed_at__date__gte=since
    )
    rows = rows.annotate(images=Max("report__procedures__images_complete_at")).order_by()
    return list(rows.values_list("signed_at", "images"))


def _changes(resident: User, since: date) -> list[tuple[datetime, bool]]:
    """(attending's signature, impression unchanged) of what somebody signed preliminary and another signed final."""
    finals = ReportVersion.objects.filter(
        kind=VersionKind.FINAL, recall__isnull=True, report__preliminary_by=resident, signed_at__date__gte=since
    ).exclude(signed_by=resident)
    final = {report: (at, words) for report, at, words in finals.values_list("report", "signed_at", "sections")}
    drafts = ReportVersion.objects.filter(report__in=list(final), kind=VersionKind.PRELIMINARY, signed_by=resident)
    before = dict(drafts.order_by("number").values_list("report", "sections"))
    return [
        (at, _impression(before[report]) == _impression(words))
        for report, (at, words) in final.items()
        if report in before
    ]


def _impression(sections: dict[str, str]) -> str:
    return " ".join(sections.get("impression", "").split())


def export_rows(*, actor: Actor) -> list[list[str]]:
    """All readers together, window by window: numbers, never a name or anything that stands for one."""
    actor.require(perms.MANAGE_ROUND)
    heads = [
        _("From"),
        _("Until"),
        _("Cases decided"),
        _("Agreement"),
        _("95 percent from"),
        _("95 percent until"),
        _("Attending left the impression"),
        _("of"),
    ]
    cards = [scorecard(reader, actor=actor) for reader in readers(actor=actor)]
    rows = [heads]
    for columns in zip(*(card.windows for card in cards), strict=True):
        agreed, left = _sum(row.agreement for row in columns), _sum(row.unchanged for row in columns)
        low, high = agreed.interval
        numbers = (agreed.share, low, high) if agreed.scored else ()
        shares = [f"{value:.3f}" for value in numbers] or ["", "", ""]
        first = columns[0]
        rows.append(
            [
                first.starts_on.isoformat(),
                first.ends_on.isoformat(),
                str(agreed.scored),
                *shares,
                str(left.concurring),
                str(left.scored),
            ]
        )
    return rows
