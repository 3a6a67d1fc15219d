"""The radiologist's list: what waits to be read, what is due first, who has it open, and why something is not here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.models import Modality, PatientClass, Priority, ProcedureStatus, RequestedProcedure
from reporting.models import CriticalResult, Report, SavedList
from reporting.querysets import LOCK_IDLE
from ris.accounts.models import Site
from ris.core.actor import Actor
from ris.core.permissions import RADIOLOGIST
from worklist.models import ImagingStudy, ScheduledProcedureStep

S = ProcedureStatus
ON_THE_LIST = (S.READY_TO_READ, S.READING, S.PRELIMINARY)
#: Minutes from complete images to the report, by priority.
SLA_MINUTES: dict[str, int] = {Priority.STAT: 30, Priority.ASAP: 60, Priority.URGENT: 120, Priority.ROUTINE: 1440}
CHILD_UNTIL = 16  # years
SORTS = {
    "due": ("due_at", "pk"),
    "-due": ("-due_at", "-pk"),
    "images": ("images_complete_at", "pk"),
    "-images": ("-images_complete_at", "-pk"),
    "exam": ("description", "pk"),
    "-exam": ("-description", "-pk"),
}


@dataclass(frozen=True)
class ReadingFilter:
    """What the URL narrows the list to: codes only, never a name or an identifier."""

    modality: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    patient_class: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    reader: str = ""  # me, free
    age: str = ""  # child, adult
    due: str = ""  # over
    sort: str = field(default="due", compare=False)

    @classmethod
    def from_query(cls, query: Any) -> ReadingFilter:
        """From a QueryDict, or from the mapping that a saved list keeps; unknown names and values are dropped."""
        choices: dict[str, Iterable[str] | None] = {
            "modality": Modality.values,
            "priority": Priority.values,
            "patient_class": PatientClass.values,
            "status": ON_THE_LIST,
            "site": None,
            "region": None,
        }
        several = {name: _several(query, name, allowed) for name, allowed in choices.items()}
        one = {
            "reader": _one(query, "reader", ("me", "free")),
            "age": _one(query, "age", ("child", "adult")),
            "due": _one(query, "due", ("over",)),
            "sort": _one(query, "sort", SORTS) or "due",
        }
        return cls(**several, **one)

    def as_query(self) -> dict[str, Any]:
        """What differs from everything, for a link or a saved list."""
        values = {row.name: getattr(self, row.name) for row in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value and not (name == "sort" and value == "due")
        }

    def condition(self, actor: Actor) -> Q:
        condition = Q()
        for name, path in (
            ("modality", "modality"),
            ("site", "order__site__code"),
            ("priority", "order__priority"),
            ("patient_class", "order__patient_class"),
            ("status", "status"),
            ("region", "body_region"),
        ):
            if getattr(self, name):
                condition &= Q(**{f"{path}__in": getattr(self, name)})
        fresh = Q(reading_lock__heartbeat_at__gt=timezone.now() - LOCK_IDLE)
        if self.reader == "me":
            condition &= fresh & Q(reading_lock__user=actor.user)
        elif self.reader == "free":
            condition &= ~fresh | Q(reading_lock__isnull=True)
        if self.age:
            today = timezone.localdate()
            born = today.replace(year=today.year - CHILD_UNTIL, day=min(today.day, 28))
            side = "gt" if self.age == "child" else "lte"
            condition &= Q(**{f"order__patient__birth_date__{side}": born})
        if self.due == "over":
            condition &= Q(due_at__lt=timezone.now())
        return condition


def _several(query: Any, name: str, allowed: Iterable[str] | None) -> tuple[str, ...]:
    found = query.getlist(name) if hasattr(query, "getlist") else query.get(name, ())
    values = (found,) if isinstance(found, str) else tuple(str(value) for value in found or ())
    return tuple(value[:40] for value in values if value and (allowed is None or value in allowed))


def _one(query: Any, name: str, allowed: Iterable[str]) -> str:
    value = query.get(name, "") or ""
    return value if value in allowed else ""


def _with_due(rows: QuerySet[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    """``due_at``: images complete plus what the priority allows."""
    allowed = Case(
        *(When(order__priority=key, then=Value(timedelta(minutes=minutes))) for key, minutes in SLA_MINUTES.items()),
        default=Value(timedelta(minutes=SLA_MINUTES[Priority.ROUTINE])),
    )
    begun = Coalesce("images_complete_at", "performed_at", "status_changed_at")
    return rows.annotate(due_at=ExpressionWrapper(begun + allowed, output_field=DateTimeField()))


def _base(actor: Actor) -> QuerySet[RequestedProcedure]:
    return _with_due(RequestedProcedure.objects.visible_to(actor).filter(status__in=ON_THE_LIST))


def reading_list(*, actor: Actor, filters: ReadingFilter | None = None) -> QuerySet[RequestedProcedure]:
    """What waits to be read, due first, each with all that its row shows; a fixed number of queries."""
    filters = filters or ReadingFilter()
    links = ImagingStudy.procedures.through
    images = links.objects.filter(requestedprocedure=OuterRef("pk")).values("requestedprocedure")
    priors = RequestedProcedure.objects.filter(
        order__patient=OuterRef("order__patient"), status__in=(S.FINAL, S.AMENDED, S.DISTRIBUTED)
    ).exclude(pk=OuterRef("pk"))
    steps = ScheduledProcedureStep.objects.filter(procedure=OuterRef("pk"), station__isnull=False).order_by("-pk")
    alerts = CriticalResult.objects.filter(procedure=OuterRef("pk"), status__in=("open", "communicated"))
    live = Report.objects.exclude(status__in=("cancelled", "entered-in-error")).select_related(
        "author", "preliminary_by"
    )
    return (
        _base(actor)
        .filter(filters.condition(actor))
        .annotate(
            image_count=Coalesce(
                Subquery(
                    images.annotate(n=Sum("imagingstudy__instance_count")).values("n"), output_field=IntegerField()
                ),
                0,
            ),
            prior_count=Coalesce(
                Subquery(
                    priors.order_by().values("order__patient").annotate(n=Count("pk")).values("n"),
                    output_field=IntegerField(),
                ),
                0,
            ),
            last_prior_at=Subquery(priors.order_by("-performed_at").values("performed_at")[:1]),
            station_name=Subquery(steps.values("station__name")[:1]),
            has_critical=Exists(alerts),
        )
        .select_related("order__patient", "order__requester", "order__site", "catalogue", "reading_lock__user")
        .prefetch_related(
            "order__patient__identifiers",
            "order__patient__alert_rows",
            Prefetch("reports", queryset=live, to_attr="live_reports"),
        )
        .order_by(*SORTS[filters.sort])
    )


def fingerprint(*, actor: Actor, filters: ReadingFilter) -> str:
    """Changes when the list does; one cheap query, for a poll's ETag."""
    state = (
        _base(actor)
        .filter(filters.condition(actor))
        .aggregate(
            rows=Count("pk"),
            changed=Max("updated_at"),
            orders=Max("order__updated_at"),
            locks=Count("pk", filter=Q(reading_lock__heartbeat_at__gt=timezone.now() - LOCK_IDLE)),
            claimed=Max("reading_lock__claimed_at"),
            critical=Max("critical_results__updated_at"),
            over=Count("pk", filter=Q(due_at__lt=timezone.now())),
        )
    )
    words = f"{getattr(actor.user, 'pk', '')}|{filters}|{filters.sort}|{sorted(state.items())}"
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


def built_in_lists(actor: Actor) -> list[ListEntry]:
    mine, house = gettext_lazy("Mine"), gettext_lazy("Department")
    lists = [
        ListEntry("reading", gettext_lazy("I am reading"), "lock", ReadingFilter(reader="me"), mine),
        ListEntry(
            "free", gettext_lazy("Free to read"), "eye", ReadingFilter(reader="free", status=(S.READY_TO_READ,)), mine
        ),
        ListEntry("all", gettext_lazy("All unread"), "list-check", ReadingFilter(), house),
        ListEntry("stat", gettext_lazy("STAT"), "bolt", ReadingFilter(priority=(Priority.STAT,)), house, is_hot=True),
        ListEntry("over", gettext_lazy("Over time"), "alarm", ReadingFilter(due="over"), house, is_hot=True),
        ListEntry("children", gettext_lazy("Children"), "mood-kid", ReadingFilter(age="child"), house),
    ]
    if actor.user is not None and actor.user.has_role(RADIOLOGIST):
        check = ListEntry(
            "preliminary",
            gettext_lazy("To check"),
            "users-group",
            ReadingFilter(status=(S.PRELIMINARY,)),
            mine,
        )
        lists.insert(2, check)
    return lists


def saved_lists(*, actor: Actor) -> list[ListEntry]:
    """Built-in lists, then one's own, those of one's roles and the shared ones."""
    entries = built_in_lists(actor)
    for row in SavedList.objects.visible_to(actor).select_related("owner"):
        group = gettext_lazy("Kept by me") if row.owner_id else gettext_lazy("Shared with me")
        filters = ReadingFilter.from_query(row.query)
        entries.append(ListEntry(str(row.uuid), row.name, "star", filters, group, saved=row))
    return entries


def list_counts(entries: list[ListEntry], *, actor: Actor) -> list[tuple[ListEntry, int]]:
    """How many exams each list holds, all in one query."""
    counted = {f"n{n}": Count("pk", filter=entry.filters.condition(actor)) for n, entry in enumerate(entries)}
    numbers = _base(actor).aggregate(**counted)
    return [(entry, numbers[f"n{n}"]) for n, entry in enumerate(entries)]


def next_best(
    *, actor: Actor, filters: ReadingFilter | None = None, after: int | None = None
) -> RequestedProcedure | None:
    """What this reader should read next: due first, not in another's hands; a preliminary only for who may sign it."""
    filters = filters or ReadingFilter()
    mine = Q(reading_lock__user=actor.user)
    stale = Q(reading_lock__isnull=True) | Q(reading_lock__heartbeat_at__lte=timezone.now() - LOCK_IDLE)
    rows = _base(actor).filter(filters.condition(actor)).filter(mine | stale)
    if actor.user is None or not actor.user.has_role(RADIOLOGIST):
        rows = rows.exclude(status=S.PRELIMINARY)
    if after is not None:
        rows = rows.exclude(pk=after)
    return rows.order_by("due_at", "pk").first()


@dataclass(frozen=True)
class Reason:
    """Why an exam is not on the list, or that it is."""

    words: str
    procedure: RequestedProcedure | None = None
    is_listed: bool = False


WAITS: Mapping[str, Any] = {
    S.REQUESTED: gettext_lazy("It was requested and waits for the department to accept it."),
    S.VETTING: gettext_lazy("A radiologist still has to vet the request."),
    S.INFO_REQUESTED: gettext_lazy("The requester was asked for information."),
    S.ON_HOLD: gettext_lazy("It is on hold."),
    S.ACCEPTED: gettext_lazy("It is accepted and has no appointment yet."),
    S.SCHEDULED: gettext_lazy("It is booked; the patient has not arrived."),
    S.ARRIVED: gettext_lazy("The patient has arrived; the exam has not begun."),
    S.IN_PROGRESS: gettext_lazy("The exam is running. It joins the list when its images are complete."),
    S.PERFORMED: gettext_lazy("It is performed. It joins the list when its images are complete."),
    S.FINAL: gettext_lazy("It is read: the report is signed."),
    S.AMENDED: gettext_lazy("It is read: the report is signed and was amended."),
    S.DISTRIBUTED: gettext_lazy("It is read, and the result is acknowledged."),
}


def why_not_here(accession_number: str, *, actor: Actor, filters: ReadingFilter | None = None) -> Reason:
    """What keeps an exam off the list, in a sentence."""
    wanted = accession_number.strip()[:16]
    rows = RequestedProcedure.objects.visible_to(actor).filter(accession_number__iexact=wanted)
    procedure = _with_due(rows).select_related("catalogue", "order__site").order_by("-pk").first() if wanted else None
    if procedure is None:
        return Reason(_("There is no exam with that number that you may see. Is it typed right, and at this facility?"))
    if procedure.status in ON_THE_LIST:
        shown = filters is None or _base(actor).filter(filters.condition(actor), pk=procedure.pk).exists()
        if shown:
            return Reason(_("It is on the list."), procedure, is_listed=True)
        return Reason(_("It is on the list; the filter that you have chosen hides it."), procedure, is_listed=True)
    if procedure.status == S.PERFORMED and _waits_for_technologist(procedure):
        return Reason(_("The images are complete. The technologist still has to complete the exam."), procedure)
    if procedure.status == S.PERFORMED:
        stored = procedure.studies.aggregate(n=Sum("instance_count"))["n"] or 0
        words = _("%(count)d images have arrived. It joins the list when all are there.") % {"count": stored}
        return Reason(words, procedure)
    return Reason(
        str(WAITS.get(procedure.status) or _("It will not be read: %s.") % procedure.get_status_display()), procedure
    )


def _waits_for_technologist(procedure: RequestedProcedure) -> bool:
    needs = procedure.catalogue is not None and procedure.catalogue.needs_completion_before_reading
    return needs and procedure.images_complete_at is not None and procedure.completed_by_technologist_at is None


def filter_choices(*, actor: Actor) -> dict[str, list[tuple[str, Any]]]:
    """What the filters offer."""
    return {
        "modality": list(Modality.choices),
        "priority": list(Priority.choices),
        "patient_class": list(PatientClass.choices),
        "status": [(value, S(value).label) for value in ON_THE_LIST],
        "site": list(Site.objects.filter(is_active=True).values_list("code", "name")),
        "reader": [("me", _("me")), ("free", _("nobody"))],
        "age": [("child", _("children")), ("adult", _("adults"))],
        "due": [("over", _("over time"))],
    }


def minutes_left(procedure: Any) -> tuple[int, int]:
    """Minutes until the row is due, and how many there were."""
    total = SLA_MINUTES.get(procedure.order.priority, SLA_MINUTES[Priority.ROUTINE])
    return round((procedure.due_at - timezone.now()).total_seconds() / 60), total
