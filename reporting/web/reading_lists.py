"""Lists that people keep, and the columns they like."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from reporting import permissions as perms
from reporting import services
from reporting.models import ReaderProfile, SavedList
from reporting.selectors.reading_filters import ReadingFilter
from reporting.web.reading import COLUMNS, IN_ORDER, back_to_list, columns_of
from ris.accounts.web import ActorRequest, page
from ris.core.errors import NotKnown


def _kept(request: ActorRequest, uuid: UUID) -> SavedList:
    """One's own; the facility's for who shares lists."""
    row = SavedList.objects.visible_to(request.actor).filter(uuid=uuid).first()
    shared = row is not None and row.owner_id is None and request.actor.may(perms.SHARE_LIST)
    if row is None or not (shared or row.owner_id == request.user.pk):
        raise NotKnown(_("You keep no such list."))
    return row


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_list_save(request: ActorRequest) -> HttpResponse:
    """Keep this filter as a list of one's own."""
    filters = ReadingFilter.from_query(QueryDict(request.POST.get("query", "")))
    services.save_list(name=request.POST.get("name", ""), filters=filters, actor=request.actor)
    return back_to_list(request)


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_list_change(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """Another name; with ``filters`` also the filter that is shown."""
    row = _kept(request, uuid)
    filters = ReadingFilter.from_query(QueryDict(request.POST["filters"])) if "filters" in request.POST else None
    services.change_list(row, name=request.POST.get("name"), filters=filters, actor=request.actor)
    return back_to_list(request)


@require_POST
@page(perms.SHARE_LIST)
def reading_list_share(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """``with``: nobody, everybody, or a role."""
    whom = request.POST.get("with", "")
    role = "" if whom in ("", "everybody") else whom
    row = services.share_list(_kept(request, uuid), is_shared=bool(whom), role=role, actor=request.actor)
    said = _("Others see this list now.") if row.is_shared else _("The list is yours alone now.")
    messages.success(request, said)
    return back_to_list(request)


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_list_move(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.move_list(_kept(request, uuid), up=request.POST.get("to") == "up", actor=request.actor)
    return back_to_list(request)


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_list_remove(request: ActorRequest, uuid: UUID) -> HttpResponse:
    services.remove_list(_kept(request, uuid), actor=request.actor)
    return HttpResponseRedirect(reverse("reading_list"))


@require_POST
@page(perms.VIEW_READING_LIST)
def reading_columns(request: ActorRequest) -> HttpResponse:
    """Which columns this person wants to see, and in which order; ``earlier`` moves one a place."""
    shown = request.POST.getlist("column")
    profile = ReaderProfile.objects.filter(user=request.user).first() or ReaderProfile(user=request.user)
    order = columns_of(profile)
    moved = request.POST.get("earlier", "")
    if moved in order and order.index(moved):
        at = order.index(moved)
        order[at - 1 : at + 1] = [moved, order[at - 1]]
    profile.column_order = [] if order == list(IN_ORDER) else order
    profile.hidden_columns = [name for name in COLUMNS if name not in shown]
    profile.save_as(request.actor, "Columns chosen")
    return back_to_list(request)
