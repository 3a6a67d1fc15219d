"""What is asked about downtimes: packs with their counts, the sheet of a number, and what is still open of a period."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import Count, Q, QuerySet

from orders.downtime_parts import Waiting, department
from orders.models import DowntimeForm, DowntimePack, DowntimePeriod, FormStatus, PeriodStatus
from ris.accounts.models import Site
from ris.core.actor import Actor

S = FormStatus


def packs(*, actor: Actor) -> QuerySet[DowntimePack]:
    """Newest first, each with how many of its forms are where."""
    counts = {f"{status.value}_count": Count("forms", filter=Q(forms__status=status)) for status in S}
    return DowntimePack.objects.visible_to(actor).select_related("site", "made_by").annotate(**counts).order_by("-pk")


def forms(*, actor: Actor) -> QuerySet[DowntimeForm]:
    return (
        DowntimeForm.objects.visible_to(actor)
        .select_related("pack__site", "period", "entered_by", "procedure__order__patient")
        .order_by("pack", "number")
    )


def periods(*, actor: Actor) -> QuerySet[DowntimePeriod]:
    counts = {f"{status.value}_count": Count("forms", filter=Q(forms__status=status)) for status in S}
    return (
        DowntimePeriod.objects.visible_to(actor)
        .select_related("site", "declared_by", "closed_by")
        .annotate(**counts)
        .order_by("-started_at", "-pk")
    )


def form_of_number(words: str, *, actor: Actor) -> DowntimeForm | None:
    """By what the scanner reads from the sheet: accession number, Study Instance UID, or the label in its corner."""
    words = words.strip()
    rows = forms(actor=actor)
    found = rows.filter(Q(accession_number__iexact=words) | Q(study_instance_uid=words)).first()
    head, _dash, tail = words.upper().rpartition("-")
    if found is None and head[:1] == "P" and (head[1:] + tail).isdecimal() and len(words) < 20 and head[1:] and tail:
        found = rows.filter(pack__number=int(head[1:]), number=int(tail)).first()
    return found


def running_downtime(*, actor: Actor) -> DowntimePeriod | None:
    """The downtime that concerns this person now."""
    rows = DowntimePeriod.objects.concerning(actor).filter(status=PeriodStatus.DECLARED)
    return rows.select_related("site").order_by("started_at").first()


def open_period_of(site: Site | None) -> DowntimePeriod | None:
    """The downtime that a sheet of this site belongs to when nobody gave it out: of the site, else of the house."""
    rows = DowntimePeriod.objects.exclude(status=PeriodStatus.CLOSED).order_by("-started_at")
    return rows.filter(site=site).first() or rows.filter(site__isnull=True).first()


@dataclass(frozen=True)
class ClosingList:
    """Forms issued, entered, void, blank; what is out, and what came from scanners without its paper."""

    period: DowntimePeriod
    counts: dict[str, int]
    open_forms: list[DowntimeForm] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.open_forms and not self.waiting

    @property
    def issued_in_all(self) -> int:
        return sum(self.counts.values())

    @property
    def open_count(self) -> int:
        return len(self.open_forms) + len(self.waiting)


def closing_list(period: DowntimePeriod) -> ClosingList:
    rows = list(period.forms.select_related("pack__site").order_by("pack", "number"))
    counts = {status.value: 0 for status in (S.ISSUED, S.ENTERED, S.VOID)}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    counts["blank"] = period.blank_count
    return ClosingList(
        period=period,
        counts=counts,
        open_forms=[row for row in rows if row.status == S.ISSUED],
        waiting=department().waiting_in(period),
    )
