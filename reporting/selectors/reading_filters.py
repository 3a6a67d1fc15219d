"""What narrows the reading list: codes in the URL, never a name or an identifier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from django.db.models import Case, DateTimeField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from orders.models import Modality, PatientClass, Priority, ProcedureStatus, RequestedProcedure
from reporting.models import ReadingGroup, Report
from reporting.models.reports import DRAFTS
from reporting.querysets import LOCK_IDLE
from reporting.reading_times import CHILD_UNTIL, ON_THE_LIST, SLA_MINUTES
from ris.accounts.memory import remembered
from ris.accounts.models import Site, User
from ris.core.actor import Actor
from ris.core.permissions import RADIOLOGIST
from ris.notifications.models import RotaShift
from ris.notifications.rota import live_shifts

S = ProcedureStatus
SORTS = {
    "due": ("due_at", "pk"),
    "-due": ("-due_at", "-pk"),
    "images": ("images_complete_at", "pk"),
    "-images": ("-images_complete_at", "-pk"),
    "exam": ("description", "pk"),
    "-exam": ("-description", "-pk"),
}
#: Filters that hold several codes, the way to what they narrow, and their word.
SEVERAL = {
    "modality": ("modality", _("Modality")),
    "site": ("order__site__code", _("Site")),
    "priority": ("order__priority", _("Priority")),
    "patient_class": ("order__patient_class", _("Class")),
    "status": ("status", _("Status")),
    "region": ("body_region", _("Region")),
    "group": ("reading_item__group__code", _("Group")),
}
ONE = {
    "reader": (("me", "free", "draft"), _("Read by")),
    "assigned": (("me", "group", "nobody", "suits"), _("Assigned")),
    "age": (("child", "adult"), _("Age")),
    "due": (("over", "soon"), _("Due")),
}
SOON = 3600  # seconds


# --- what a reader is for


@dataclass(frozen=True)
class Scope:
    """The groups whose exams suit a reader now."""

    groups: tuple[int, ...] = ()
    shift: tuple[str, ...] = ()


def running_shifts(user: User) -> list[RotaShift]:
    """The reading shifts that a person holds or stands in for now: duty ``reading``, or ``reading-<group>``."""

    def ask() -> list[RotaShift]:
        now = timezone.now()
        held = Q(user=user, substitute__isnull=True) | Q(substitute=user)
        rows = live_shifts().filter(held, duty__startswith="reading", starts_at__lte=now, ends_at__gt=now)
        return [row for row in rows.order_by("starts_at") if row.duty == "reading" or row.duty.startswith("reading-")]

    return remembered(f"reading shifts of user {user.pk}", ask)


def scope_of(user: User) -> Scope:
    """Groups one reads for, and those without readers; a shift for certain groups narrows it to them."""

    def ask() -> Scope:
        rows = ReadingGroup.objects.filter(is_active=True).filter(Q(members=user) | Q(members__isnull=True))
        groups = list(rows.order_by().values_list("pk", "code").distinct())
        codes = {row.duty.removeprefix("reading").removeprefix("-") for row in running_shifts(user)}
        if codes and "" not in codes:
            groups = [(pk, code) for pk, code in groups if code in codes]
            return Scope(tuple(pk for pk, _code in groups), tuple(sorted(codes)))
        return Scope(tuple(pk for pk, _code in groups))

    return remembered(f"reading scope of user {user.pk}", ask)


def is_held() -> Q:
    return Q(reading_lock__heartbeat_at__gt=timezone.now() - LOCK_IDLE)


def is_free() -> Q:
    return Q(reading_lock__isnull=True) | Q(reading_lock__heartbeat_at__lte=timezone.now() - LOCK_IDLE)


def suits(actor: Actor) -> Q:
    """Mine by hand, or nobody's in particular and of a group that I read for; open at nobody else; not my own first
    reading to be checked."""
    user = actor.user
    if user is None:
        return Q()
    scope = scope_of(user)
    of_group = Q(reading_item__group__in=scope.groups)
    if not scope.shift:
        of_group |= Q(reading_item__group__isnull=True)
    mine = Q(reading_item__assigned_to=user)
    condition = (mine | (Q(reading_item__assigned_to__isnull=True) & of_group)) & (
        is_free() | Q(reading_lock__user=user)
    )
    if not user.has_role(RADIOLOGIST):
        return condition & ~Q(status=S.PRELIMINARY)
    own = Report.objects.filter(procedures=OuterRef("pk"), status="preliminary", preliminary_by=user)
    return condition & ~Q(Q(status=S.PRELIMINARY) & Exists(own))


# --- the filter


@dataclass(frozen=True)
class ReadingFilter:
    modality: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    patient_class: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    reader: str = ""  # me, free, draft
    assigned: str = ""  # me, group, nobody, suits
    age: str = ""  # child, adult
    due: str = ""  # over, soon
    sort: str = field(default="due", compare=False)

    @classmethod
    def from_query(cls, query: Any) -> ReadingFilter:
        """From a QueryDict, or from the mapping that a saved list keeps; unknown names and values are dropped."""
        choices: dict[str, Iterable[str] | None] = {
            "modality": Modality.values,
            "priority": Priority.values,
            "patient_class": PatientClass.values,
            "status": ON_THE_LIST,
        }
        several = {name: _several(query, name, choices.get(name)) for name in SEVERAL}
        one = {name: _one(query, name, allowed) for name, (allowed, _word) in ONE.items()}
        return cls(**several, **one, sort=_one(query, "sort", SORTS) or "due")

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
        for _name, part in self.parts(actor):
            condition &= part
        return condition

    def parts(self, actor: Actor) -> list[tuple[str, Q]]:
        """Each filter by itself: its name, and what it asks."""
        found = [(name, Q(**{f"{path}__in": getattr(self, name)})) for name, (path, _w) in SEVERAL.items()]
        found = [(name, part) for name, part in found if getattr(self, name)]
        if self.reader:
            found.append(("reader", self._reader(actor)))
        if self.assigned:
            found.append(("assigned", self._assigned(actor)))
        if self.age:
            today = timezone.localdate()
            born = today.replace(year=today.year - CHILD_UNTIL, day=min(today.day, 28))
            side = "gt" if self.age == "child" else "lte"
            found.append(("age", Q(**{f"order__patient__birth_date__{side}": born})))
        if self.due:
            limit = timezone.now() + timedelta(seconds=SOON if self.due == "soon" else 0)
            found.append(("due", Q(due_at__lt=limit)))
        return found

    def _reader(self, actor: Actor) -> Q:
        if self.reader == "me":
            return is_held() & Q(reading_lock__user=actor.user)
        if self.reader == "draft":
            return Q(Exists(Report.objects.filter(procedures=OuterRef("pk"), author=actor.user, status__in=DRAFTS)))
        return is_free()

    def _assigned(self, actor: Actor) -> Q:
        if self.assigned == "me":
            return Q(reading_item__assigned_to=actor.user)
        if self.assigned == "group":
            mine = scope_of(actor.user).groups if actor.user is not None else ()
            return Q(reading_item__assigned_to__isnull=True, reading_item__group__in=mine)
        if self.assigned == "nobody":
            return Q(reading_item__assigned_to__isnull=True)
        return suits(actor)


def _several(query: Any, name: str, allowed: Iterable[str] | None) -> tuple[str, ...]:
    found = query.getlist(name) if hasattr(query, "getlist") else query.get(name, ())
    values = (found,) if isinstance(found, str) else tuple(str(value) for value in found or ())
    return tuple(value[:40] for value in values if value and (allowed is None or value in allowed))


def _one(query: Any, name: str, allowed: Iterable[str]) -> str:
    value = query.get(name, "") or ""
    return value if value in allowed else ""


def filter_choices(*, actor: Actor) -> dict[str, list[tuple[str, Any]]]:
    """What the filters offer."""
    return {
        "modality": list(Modality.choices),
        "priority": list(Priority.choices),
        "patient_class": list(PatientClass.choices),
        "status": [(value, S(value).label) for value in ON_THE_LIST],
        "site": list(Site.objects.filter(is_active=True).values_list("code", "name")),
        "group": list(ReadingGroup.objects.filter(is_active=True).values_list("code", "name")),
        "reader": [("me", _("me")), ("free", _("nobody")), ("draft", _("my drafts"))],
        "assigned": [
            ("me", _("me")),
            ("group", _("my groups")),
            ("nobody", _("nobody")),
            ("suits", _("suits me")),
        ],
        "age": [("child", _("children")), ("adult", _("adults"))],
        "due": [("over", _("over time")), ("soon", _("within an hour"))],
    }


def words_of(filters: ReadingFilter, name: str) -> str:
    """ "Modality: CT, MR": one filter as a person reads it."""
    word = SEVERAL[name][1] if name in SEVERAL else ONE[name][1]
    known = {
        "modality": dict(Modality.choices),
        "priority": dict(Priority.choices),
        "patient_class": dict(PatientClass.choices),
        "status": dict(S.choices),
        "reader": {"me": _("me"), "free": _("nobody"), "draft": _("my drafts")},
        "assigned": {"me": _("me"), "group": _("my groups"), "nobody": _("nobody"), "suits": _("suits me")},
        "age": {"child": _("children"), "adult": _("adults")},
        "due": {"over": _("over time"), "soon": _("within an hour")},
    }.get(name, {})
    value = getattr(filters, name)
    values = value if isinstance(value, tuple) else (value,)
    return f"{word}: {', '.join(str(known.get(one, one)) for one in values)}"


# --- due


def with_due(rows: QuerySet[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
    """``due_at``: as written when the images were complete; counted here where that was before lists had places."""
    allowed = Case(
        *(When(order__priority=key, then=Value(timedelta(minutes=minutes))) for key, minutes in SLA_MINUTES.items()),
        default=Value(timedelta(minutes=SLA_MINUTES[Priority.ROUTINE])),
    )
    begun = Coalesce("images_complete_at", "performed_at", "status_changed_at")
    counted = ExpressionWrapper(begun + allowed, output_field=DateTimeField())
    return rows.annotate(due_at=Coalesce("reading_item__due_at", counted, output_field=DateTimeField()))


def unread(actor: Actor) -> QuerySet[RequestedProcedure]:
    """All that waits for a report, as far as the actor may see it."""
    return with_due(RequestedProcedure.objects.visible_to(actor).filter(status__in=ON_THE_LIST))
