"""Groups of readers, written by the administrator; what waits just now is sorted anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reporting import permissions as perms
from reporting.models import ReaderProfile, ReadingGroup, ReadingItem
from reporting.reading_times import ON_THE_LIST
from reporting.services.reading_rules import group_for
from ris.accounts.memory import forget
from ris.accounts.models import User
from ris.audit.service import service
from ris.core.actor import Actor

PLAIN = (
    "code", "name", "position", "site", "modalities", "body_regions", "priorities", "patient_classes",
    "children_only", "assigns", "is_active",
)  # fmt: skip
SEVERAL = ("catalogue", "members")


@service(perms.MANAGE_READING)
def set_group(group: ReadingGroup | None, values: Mapping[str, Any], *, actor: Actor) -> ReadingGroup:
    """Make a group, or change it; what is not given stays."""
    row = ReadingGroup.locked(group.pk) if group is not None else ReadingGroup()
    for name in PLAIN:
        if name in values:
            setattr(row, name, values[name])
    row.save_as(actor, "Set")
    row._history_user = actor.user
    for name in SEVERAL:
        if name in values:
            getattr(row, name).set(values[name])
    forget()
    _sort_waiting(actor)
    return row


def _sort_waiting(actor: Actor) -> None:
    """What nobody has assigned by hand falls to the group that it fits now."""
    waiting = ReadingItem.objects.filter(procedure__status__in=ON_THE_LIST, is_by_hand=False)
    rows = waiting.select_for_update(of=("self",)).select_related("procedure__order__patient").order_by("pk")
    for item in rows:
        group = group_for(item.procedure)
        if item.group_id != (group.pk if group is not None else None):
            item.group = group
            item.save_as(actor, "Falls to another group")


@service(perms.MANAGE_READING)
def set_reader(user: User, *, most_at_once: int | None, actor: Actor) -> ReaderProfile:
    """How many exams may wait for a reader before rules pass them by."""
    row = ReaderProfile.objects.filter(user=user).first() or ReaderProfile(user=user)
    row.most_at_once = most_at_once
    row.save_as(actor, "Set")
    return row
