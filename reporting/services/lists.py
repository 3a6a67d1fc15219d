"""Lists that people keep: a filter under a name, for oneself, for a role, for everybody who reads."""

from __future__ import annotations

from typing import Any

from django.db.models import Max
from django.utils.translation import gettext as _

from reporting import permissions as perms
from reporting.models import SavedList
from reporting.selectors.reading_filters import ReadingFilter
from reporting.services.locks import person
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidData, NotPermitted
from ris.core.permissions import READERS

LISTS_OF_ONE = 50


def _name(name: str) -> str:
    name = " ".join(name.split())[:60]
    if not name:
        raise InvalidData(_("Give the list a name."), errors={"name": _("Needed.")})
    return name


def _own(row: SavedList, actor: Actor) -> SavedList:
    """The owner's; one without an owner is the facility's, for whoever shares lists."""
    if row.owner_id is None:
        actor.require(perms.SHARE_LIST)
    elif row.owner_id != person(actor).pk:
        raise NotPermitted(
            _("This list is somebody else's."), todo=_("Keep a copy of it as your own: save the filter under a name.")
        )
    return SavedList.objects.select_for_update(of=("self",)).get(pk=row.pk)


@service(perms.VIEW_READING_LIST, action=Action.CREATE)
def save_list(*, name: str, filters: ReadingFilter, actor: Actor) -> SavedList:
    """Keep a filter as a list of one's own, below the others."""
    user = person(actor)
    mine = SavedList.objects.filter(owner=user)
    if mine.count() >= LISTS_OF_ONE:
        raise InvalidData(_("You keep as many lists as one can."), errors={"name": _("Remove one first.")})
    last: Any = mine.aggregate(last=Max("position"))["last"]
    position = 0 if last is None else last + 1
    return SavedList.objects.create(owner=user, name=_name(name), query=filters.as_query(), position=position)


@service(perms.VIEW_READING_LIST)
def change_list(
    row: SavedList, *, name: str | None = None, filters: ReadingFilter | None = None, actor: Actor
) -> SavedList:
    """Another name, another filter."""
    row = _own(row, actor)
    if name is not None:
        row.name = _name(name)
    if filters is not None:
        row.query = filters.as_query()
    row.save()
    return row


@service(perms.SHARE_LIST)
def share_list(row: SavedList, *, is_shared: bool, role: str = "", actor: Actor) -> SavedList:
    """Let everybody who reads see it, or those of a role; or keep it to oneself again."""
    row = _own(row, actor)
    if role and role not in READERS:
        raise InvalidData(_("Nobody of that role reads."), errors={"role": _("Choose a role that reads.")})
    row.is_shared, row.role = is_shared, role if is_shared else ""
    row.save()
    return row


@service(perms.VIEW_READING_LIST)
def move_list(row: SavedList, *, up: bool, actor: Actor) -> SavedList:
    """One place up or down among one's own."""
    row = _own(row, actor)
    mine = list(SavedList.objects.select_for_update(of=("self",)).filter(owner=row.owner_id))
    at = next(place for place, other in enumerate(mine) if other.pk == row.pk)
    to = at - 1 if up else at + 1
    if 0 <= to < len(mine):
        mine[at], mine[to] = mine[to], mine[at]
    for place, other in enumerate(mine):
        if other.position != place:
            other.position = place
            other.save(update_fields=["position"])
    return next(other for other in mine if other.pk == row.pk)


@service(perms.VIEW_READING_LIST, action=Action.DELETE)
def remove_list(row: SavedList, *, actor: Actor) -> None:
    _own(row, actor).delete()
