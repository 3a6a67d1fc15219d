"""The radiologist's list: what waits to be read, what is due first, who has it, and how much each list holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Exists, IntegerField, Max, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy

from orders.models import Priority, ProcedureStatus, RequestedProcedure
from reporting.models import CriticalResult, ReadingReturn, Report, SavedList
from reporting.querysets import LOCK_IDLE
from reporting.reading_times import ON_THE_LIST, SLA_MINUTES
from reporting.selectors.reading_filters import (
    SORTS,
    ReadingFilter,
    filter_choices,
    is_free,
    suits,
    unread,
    with_due,
)
from reporting.selectors.reading_page import rows_of
from ris.core.actor import Actor
from ris.core.permissions import RADIOLOGIST
from worklist.models import AdverseEvent, ImagingStudy, ScheduledProcedureStep, TechnologistNote

__all__ = ["ON_THE_LIST", "SLA_MINUTES", "ReadingFilter", "filter_choices"]

S = ProcedureStatus


def _images() -> Subquery:
    links = ImagingStudy.procedures.through
    rows = links.objects.filter(requestedprocedure=OuterRef("pk")).values("requestedprocedure")
    return Subquery(rows.annotate(n=Sum("imagingstudy__instance_count")).values("n"), output_field=IntegerField())


def with_columns(rows: QuerySet[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    """What a row tells beside its own fields: images, priors, station, flags."""
    priors = RequestedProcedure.objects.filter(
        order__patient=OuterRef("order__patient"), status__in=(S.FINAL, S.AMENDED, S.DISTRIBUTED)
    ).exclude(pk=OuterRef("pk"))
    counted = priors.order_by().values("order__patient").annotate(n=Count("pk")).values("n")
    steps = ScheduledProcedureStep.objects.filter(procedure=OuterRef("pk"), station__isnull=False).order_by("-pk")
    alerts = CriticalResult.objects.filter(procedure=OuterRef("pk"), status__in=("open", "communicated"))
    of_exam = {"procedure": OuterRef("pk")}
    return rows.annotate(
        image_count=Coalesce(_images(), 0),
        prior_count=Coalesce(Subquery(counted, output_field=IntegerField()), 0),
        last_prior_at=Subquery(priors.order_by("-performed_at").values("performed_at")[:1]),
        station_name=Subquery(steps.values("station__name")[:1]),
        has_critical=Exists(alerts),
        has_note=Exists(TechnologistNote.objects.filter(**of_exam)),
        has_reaction=Exists(AdverseEvent.objects.filter(**of_exam, withdrawn_at__isnull=True)),
        came_back=Exists(ReadingReturn.objects.filter(**of_exam, closed_at__isnull=False)),
    )


def reading_list(*, actor: Actor, filters: ReadingFilter | None = None) -> QuerySet[RequestedProcedure]:
    """What waits to be read, due first, each with all that its row shows; a fixed number of queries."""
    filters = filters or ReadingFilter()
    live = Report.objects.exclude(status__in=("cancelled", "entered-in-error")).select_related(
        "author", "preliminary_by"
    )
    return (
        with_columns(unread(actor).filter(filters.condition(actor)))
        .select_related(
            "order__patient",
            "order__requester",
            "order__site",
            "catalogue",
            "reading_lock__user",
            "reading_item__group",
            "reading_item__assigned_to",
        )
        .prefetch_related(
            "order__patient__identifiers",
            "order__patient__alert_rows",
            Prefetch("reports", queryset=live, to_attr="live_reports"),
        )
        .order_by(*SORTS[filters.sort])
    )


def _columns_of_a_page(rows: QuerySet[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    return with_columns(with_due(rows))


def reading_keys(*, actor: Actor, filters: ReadingFilter) -> QuerySet[Any]:
    """The same rows in the same order, their keys alone: a page is cut from these, and only its rows are dressed."""
    rows = unread(actor).filter(filters.condition(actor)).order_by(*SORTS[filters.sort])
    return rows.values_list("pk", flat=True)


def rows_of_keys(keys: Iterable[int]) -> list[Any]:
    """The rows of a page, in the order of its keys, which come from ``reading_keys``."""
    return rows_of(keys, annotated=_columns_of_a_page)


def dress(rows: Any, *, user: Any) -> None:
    """What a row says beside its columns: time left, who has it open, whose it is, its report."""
    for row in rows:
        row.minutes_left, row.minutes_total = minutes_left(row)
        lock = getattr(row, "reading_lock", None)
        row.read_by = lock.user if lock is not None and lock.is_live else None
        row.read_since = lock.claimed_at if row.read_by is not None else None
        row.is_mine = row.read_by is not None and row.read_by == user
        row.report = row.live_reports[0] if row.live_reports else None
        row.place = getattr(row, "reading_item", None)
        row.is_my_draft = row.report is not None and row.report.is_draft and row.report.author_id == user.pk


def fingerprint(*, actor: Actor, filters: ReadingFilter | None = None) -> str:
    """Changes when the list does (without filters: when any unread exam does); for a poll's ETag."""
    now, filters = timezone.now(), filters or ReadingFilter()
    state = (
        unread(actor)
        .filter(filters.condition(actor))
        .aggregate(
            rows=Count("pk"),
            keys=Sum("pk"),
            changed=Max("updated_at"),
            orders=Max("order__updated_at"),
            patients=Max("order__patient__updated_at"),
            places=Max("reading_item__updated_at"),
            locks=Count("pk", filter=Q(reading_lock__heartbeat_at__gt=now - LOCK_IDLE)),
            claimed=Max("reading_lock__claimed_at"),
            over=Count("pk", filter=Q(due_at__lt=now)),
        )
    )
    critical = CriticalResult.objects.filter(status__in=("open", "communicated")).aggregate(
        n=Count("pk"), changed=Max("updated_at")
    )
    who = getattr(actor.user, "pk", "")
    words = f"{who}|{filters}|{filters.sort}|{sorted(state.items())}|{sorted(critical.items())}"
    return hashlib.sha256(words.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class ListEntry:
    """A list at the left: built in, or kept by somebody."""

    key: str
    label: Any
    icon: str
    filters: ReadingFilter
    group: str
    is_hot: bool = False
    saved: SavedList | None = None

    @property
    def query(self) -> str:
        """Its address, after the question mark."""
        asked = self.filters.as_query()
        return urlencode({**asked, "list": self.key} if self.saved else asked, doseq=True)


def _entry(key: str, label: Any, icon: str, group: Any, *, hot: bool = False, **filters: Any) -> ListEntry:
    return ListEntry(key, label, icon, ReadingFilter(**filters), group, is_hot=hot)


def built_in_lists(actor: Actor) -> list[ListEntry]:
    mine, house = gettext_lazy("Mine"), gettext_lazy("Department")
    lists = [
        _entry("suits", gettext_lazy("For me"), "star", mine, assigned="suits"),
        _entry("assigned", gettext_lazy("Assigned to me"), "user", mine, assigned="me"),
        _entry("reading", gettext_lazy("I am reading"), "lock", mine, reader="me"),
        _entry("drafts", gettext_lazy("My drafts"), "file-pencil", mine, reader="draft"),
    ]
    if actor.user is not None and actor.user.has_role(RADIOLOGIST):
        lists.append(
            _entry(
                "preliminary", gettext_lazy("To check"), "users-group", mine, status=(S.PRELIMINARY,), assigned="suits"
            )
        )
    return [
        *lists,
        _entry("all", gettext_lazy("All unread"), "list-check", house),
        _entry("stat", gettext_lazy("STAT"), "bolt", house, hot=True, priority=(Priority.STAT,)),
        _entry("over", gettext_lazy("Over time"), "alarm", house, hot=True, due="over"),
        _entry("free", gettext_lazy("Free to read"), "eye", house, reader="free", status=(S.READY_TO_READ,)),
        _entry("children", gettext_lazy("Children"), "mood-kid", house, age="child"),
    ]


def saved_lists(*, actor: Actor) -> list[ListEntry]:
    """Built-in lists, then one's own, those of one's roles and the shared ones."""
    kept, shared = gettext_lazy("Kept by me"), gettext_lazy("Shared with me")
    own, others = [], []
    for row in SavedList.objects.visible_to(actor).select_related("owner"):
        is_own = actor.user is not None and row.owner_id == actor.user.pk
        icon = "star" if is_own and not row.is_shared else "share" if is_own else "tag"
        entry = ListEntry(
            str(row.uuid), row.name, icon, ReadingFilter.from_query(row.query), kept if is_own else shared, saved=row
        )
        (own if is_own else others).append(entry)
    return [*built_in_lists(actor), *own, *others]


def list_counts(entries: list[ListEntry], *, actor: Actor) -> list[tuple[ListEntry, int]]:
    """How many exams each list holds, all in one query; lists with the same filter are counted once."""
    names = {filters: f"n{n}" for n, filters in enumerate(dict.fromkeys(entry.filters for entry in entries))}
    counted = {name: Count("pk", filter=filters.condition(actor)) for filters, name in names.items()}
    numbers = unread(actor).aggregate(**counted)
    return [(entry, numbers[names[entry.filters]]) for entry in entries]


def next_candidates(*, actor: Actor, filters: ReadingFilter) -> QuerySet[RequestedProcedure]:
    """What this reader could read next, most urgent first: open at nobody, assigned to nobody else, of their groups."""
    rows = unread(actor).filter(filters.condition(actor)).filter(suits(actor)).filter(is_free())
    return rows.select_related("order").order_by("due_at", "pk")


def next_best(
    *, actor: Actor, filters: ReadingFilter | None = None, after: int | None = None
) -> RequestedProcedure | None:
    """A look at what ``services.open_next`` would open."""
    rows = next_candidates(actor=actor, filters=filters or ReadingFilter())
    if after is not None:
        rows = rows.exclude(pk=after)
    return rows.first()


def minutes_left(procedure: Any) -> tuple[int, int]:
    """Minutes until the row is due, and how many there were."""
    place = getattr(procedure, "reading_item", None)
    total = SLA_MINUTES.get(procedure.order.priority, SLA_MINUTES[Priority.ROUTINE]) if place is None else place.minutes
    return round((procedure.due_at - timezone.now()).total_seconds() / 60), total
