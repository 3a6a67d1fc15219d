"""Whose exam is it? By modality, region, site, class, age or by name to a group; in the group to who is on shift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count, DecimalField, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import RequestedProcedure
from reporting import permissions as perms
from reporting.models import Assigns, ReaderProfile, ReadingGroup, ReadingItem
from reporting.reading_times import CHILD_UNTIL, ON_THE_LIST
from ris.accounts.memory import remembered
from ris.accounts.models import User
from ris.accounts.selectors import users_with_role
from ris.core.actor import Actor
from ris.core.permissions import READERS
from ris.notifications.models import RotaShift
from ris.notifications.rota import holder, live_shifts

#: The duty of the rota that says somebody reads; ``reading-<code of the group>`` reads that group's exams only.
READING_DUTY = "reading"


def groups() -> list[ReadingGroup]:
    """Active groups with their exams, first in line first."""
    return remembered(
        "reading groups", lambda: list(ReadingGroup.objects.filter(is_active=True).prefetch_related("catalogue"))
    )


def child_born_after(today: date | None = None) -> date:
    today = today or timezone.localdate()
    return today.replace(year=today.year - CHILD_UNTIL, day=min(today.day, 28))


def group_for(procedure: RequestedProcedure) -> ReadingGroup | None:
    """The first group that names the exam, else the first whose rules it fits."""
    rows = groups()
    for group in rows:
        if procedure.catalogue_id and any(exam.pk == procedure.catalogue_id for exam in group.catalogue.all()):
            return group
    return next((group for group in rows if fits(group, procedure)), None)


def fits(group: ReadingGroup, procedure: RequestedProcedure) -> bool:
    if not group.has_rules:
        return False
    order = procedure.order
    born = order.patient.birth_date
    return (
        (not group.modalities or procedure.modality in group.modalities)
        and (not group.body_regions or procedure.body_region in group.body_regions)
        and (not group.priorities or order.priority in group.priorities)
        and (not group.patient_classes or order.patient_class in group.patient_classes)
        and (group.site_id is None or group.site_id == order.site_id)
        and (not group.children_only or (born is not None and born > child_born_after()))
    )


# --- shifts


def shifts_now(at: datetime | None = None) -> list[RotaShift]:
    """Everybody's reading shifts that run at a moment."""
    at = at or timezone.now()
    rows = live_shifts().filter(duty__startswith=READING_DUTY, starts_at__lte=at, ends_at__gt=at)
    return [row for row in rows.order_by("ends_at") if row.duty == READING_DUTY or row.duty[7:8] == "-"]


def shift_group(shift: RotaShift) -> str:
    """The code of the one group that the shift is for; empty: all."""
    return shift.duty.removeprefix(READING_DUTY).removeprefix("-")


# --- load and eligibility


@dataclass(frozen=True)
class Load:
    count: int = 0
    weight: float = 0.0


def loads(user_ids: list[int]) -> dict[int, Load]:
    """What waits for each: exams assigned to them, and their weight."""
    rows = (
        ReadingItem.objects.filter(assigned_to__in=user_ids, procedure__status__in=ON_THE_LIST)
        .order_by()
        .values("assigned_to")
        .annotate(
            n=Count("pk"),
            weight=Sum(Coalesce("procedure__catalogue__rvu", Value(1), output_field=DecimalField())),
        )
    )
    return {row["assigned_to"]: Load(row["n"], float(row["weight"])) for row in rows}


def may_see(user: User, procedure: RequestedProcedure) -> bool:
    """Site and restriction, as everywhere."""
    return RequestedProcedure.objects.visible_to(Actor("system", user=user)).filter(pk=procedure.pk).exists()


def reader_for(group: ReadingGroup, procedure: RequestedProcedure) -> tuple[User, datetime] | None:
    """Of the group's readers on shift whoever has the least to read, and the end of their shift."""
    if group.assigns != Assigns.LEAST_LOAD:
        return None
    ends = {holder(row).pk: row.ends_at for row in shifts_now() if shift_group(row) in ("", group.code)}
    members = group.members.filter(pk__in=ends, is_active=True, is_service=False).prefetch_related("roles")
    people = [user for user in members if user.may(perms.CLAIM_PROCEDURE)]
    busy, caps = loads([user.pk for user in people]), caps_of(people)
    for user in sorted(people, key=lambda person: (busy.get(person.pk, Load()).weight, person.pk)):
        cap = caps.get(user.pk)
        if (cap is None or busy.get(user.pk, Load()).count < cap) and may_see(user, procedure):
            return user, ends[user.pk]
    return None


def caps_of(people: list[User]) -> dict[int, int | None]:
    return dict(ReaderProfile.objects.filter(user__in=people).values_list("user", "most_at_once"))


@dataclass(frozen=True)
class Candidate:
    """Somebody an exam could be given to; ``against`` says what speaks against it, in words."""

    user: User
    load: int
    against: str = ""


def candidates(procedure: RequestedProcedure, *, group: ReadingGroup | None) -> list[Candidate]:
    """All readers, those who fit first: eligible ones free of words, the others with the reason."""
    people = list(users_with_role(*READERS).prefetch_related("roles", "sites").order_by("family_name", "given_name"))
    busy, caps = loads([user.pk for user in people]), caps_of(people)
    on_shift = {holder(row).pk for row in shifts_now()}
    members = set(group.members.values_list("pk", flat=True)) if group is not None else None
    site = procedure.order.site_id
    found = []
    for user in people:
        load = busy.get(user.pk, Load()).count
        against: Any = ""
        sites = {row.pk for row in user.sites.all()}
        cap = caps.get(user.pk)
        if sites and site is not None and site not in sites:
            against = _("does not work at this site")
        elif members is not None and user.pk not in members:
            against = _("does not read for %(group)s") % {"group": group.name if group else ""}
        elif cap is not None and load >= cap:
            against = _("has %(count)d exams, the most for them") % {"count": load}
        elif on_shift and user.pk not in on_shift:
            against = _("is not on shift")
        found.append(Candidate(user, load, str(against)))
    return sorted(found, key=lambda row: (bool(row.against), row.load))
