"""Conferences: planned, put in order, shown on the wall, ticked, held."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from peerreview import learning as selectors
from peerreview import permissions as perms
from peerreview import services
from peerreview.models import Conference, ConferenceEntry, ConferenceStatus, LearningStatus
from peerreview.web.forms import DATE
from peerreview.web.views import add_errors, found
from ris.accounts.web import ActorRequest, page
from ris.audit.service import record_read
from ris.core.errors import InvalidData, NotKnown

READY_SHOWN = 100


class ConferenceForm(forms.Form):
    title = forms.CharField(label=gettext_lazy("Title"), max_length=100)
    held_on = forms.DateField(label=gettext_lazy("Day"), widget=DATE)
    place = forms.CharField(label=gettext_lazy("Place"), required=False, max_length=100)


@require_http_methods(["GET", "POST"])
@page(perms.COORDINATE_LEARNING)
def conference_create(request: ActorRequest) -> HttpResponse:
    form = ConferenceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = services.plan_conference(**form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            return redirect("conference", uuid=row.uuid)
    context = {"nav": "peer_learning", "form": form}
    return render(request, "peerreview/conference_form.html", context, status=400 if form.errors else 200)


def _conference(request: ActorRequest, uuid: UUID) -> Conference:
    return found(selectors.conferences(actor=request.actor), uuid)


@never_cache
@require_http_methods(["GET", "POST"])
@page(perms.VIEW_LEARNING)
def conference(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """The list; the coordinator orders, ticks, adds and removes, and changes day and place."""
    row = _conference(request, uuid)
    if request.method == "POST":
        request.actor.require(perms.COORDINATE_LEARNING)
    coordinates = request.actor.may(perms.COORDINATE_LEARNING) and row.status == ConferenceStatus.PLANNED
    initial = {"title": row.title, "held_on": row.held_on, "place": row.place}
    form = ConferenceForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_conference(row, **form.cleaned_data, actor=request.actor)
        except InvalidData as refusal:
            add_errors(form, refusal)
        else:
            messages.success(request, _("Saved."))
            return redirect("conference", uuid=uuid)
    listed = selectors.entries(row)
    ready = selectors.to_prepare(actor=request.actor).filter(status=LearningStatus.READY)
    ready = ready.exclude(pk__in=[entry.case_id for entry in listed])
    record_read(request.actor, perms.VIEW_LEARNING, entity=row)
    context = {
        "nav": "peer_learning",
        "conference": row,
        "entries": listed,
        "coordinates": coordinates,
        "form": form,
        "ready": list(ready[:READY_SHOWN]) if coordinates else [],
    }
    return render(request, "peerreview/conference.html", context, status=400 if form.errors else 200)


@never_cache
@require_GET
@page(perms.VIEW_LEARNING)
def conference_show(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """One case, large and dark; ``?case=`` its place. What it was stays closed until it is asked for."""
    row = _conference(request, uuid)
    listed = selectors.entries(row)
    if not listed:
        raise NotKnown(_("This conference lists no case yet."))
    wanted = request.GET.get("case", "1")
    place = min(max(int(wanted), 1), len(listed)) if wanted.isdecimal() and len(wanted) < 5 else 1
    entry = listed[place - 1]
    teaching = entry.case.teaching
    shows = teaching is not None and teaching.status != "withdrawn"
    record_read(request.actor, perms.VIEW_LEARNING, entity=row)
    context = {
        "conference": row,
        "entry": entry,
        "case": entry.case,
        "pictures": teaching.pictures if shows else [],
        "place": place,
        "total": len(listed),
        "before": place - 1,
        "after": place + 1 if place < len(listed) else 0,
        "coordinates": request.actor.may(perms.COORDINATE_LEARNING) and row.status == ConferenceStatus.PLANNED,
    }
    return render(request, "peerreview/conference_show.html", context)


def _entry(request: ActorRequest, uuid: UUID) -> ConferenceEntry:
    rows = ConferenceEntry.objects.standing().filter(conference__in=selectors.conferences(actor=request.actor))
    return found(rows.select_related("conference"), uuid)


ACTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "up": (services.move_entry, {"up": True}),
    "down": (services.move_entry, {"up": False}),
    "shown": (services.tick_entry, {"shown": True}),
    "not_shown": (services.tick_entry, {"shown": False}),
    "remove": (services.remove_entry, {}),
}


@require_POST
@page(perms.COORDINATE_LEARNING)
def conference_entry(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """``do``: up, down, shown, not_shown, remove. ``case``: back to the presentation, at that place."""
    row = _entry(request, uuid)
    act = ACTS.get(request.POST.get("do", ""))
    if act is None:
        raise InvalidData(_("There is no such act."), errors={"do": _("Choose one of the buttons.")})
    act[0](row, **act[1], actor=request.actor)
    place = request.POST.get("case", "")
    if place.isdecimal():
        return redirect(f"{reverse('conference_show', args=[row.conference.uuid])}?case={place[:4]}")
    return redirect("conference", uuid=row.conference.uuid)


@require_POST
@page(perms.COORDINATE_LEARNING)
def conference_add(request: ActorRequest, uuid: UUID) -> HttpResponse:
    cases = selectors.to_prepare(actor=request.actor)
    try:
        case = found(cases, UUID(request.POST.get("case", "")))
    except ValueError:
        raise InvalidData(_("Choose a case."), errors={"case": _("Needed.")}) from None
    services.add_to_conference(_conference(request, uuid), case=case, actor=request.actor)
    return redirect("conference", uuid=uuid)


@require_POST
@page(perms.COORDINATE_LEARNING)
def conference_end(request: ActorRequest, uuid: UUID) -> HttpResponse:
    """``do``: held or cancelled."""
    end = services.cancel_conference if request.POST.get("do") == "cancel" else services.hold_conference
    end(_conference(request, uuid), actor=request.actor)
    messages.success(request, _("The conference is closed."))
    return redirect("conference", uuid=uuid)
