"""The waiting-room display: numbers and rooms on a full screen, for a signed-in person or by a display's own link."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from ris.accounts.web import page
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import WaitingRoomDisplay
from worklist.selectors.waiting_room import Board, board, board_of
from worklist.services.tickets import display_of
from worklist.web.forms import add_refusal


@page(perms.VIEW_SCHEDULE)
def waiting_room(request: HttpRequest) -> HttpResponse:
    shown = board(actor=request.actor)
    return _screen(request, shown, reverse("waiting_room_rows"))


@page(perms.VIEW_SCHEDULE)
def waiting_room_rows(request: HttpRequest) -> HttpResponse:
    return _rows(request, board(actor=request.actor))


def display(request: HttpRequest, token: str) -> HttpResponse:
    """The same, opened by the display's link: no sign-in, and nothing on it but numbers and rooms."""
    known = _display(token)
    with translation.override(known.language or translation.get_language()):
        return _screen(request, board_of(known), reverse("waiting_room_display_rows", args=[token]), known)


def display_rows(request: HttpRequest, token: str) -> HttpResponse:
    known = _display(token)
    with translation.override(known.language or translation.get_language()):
        return _rows(request, board_of(known))


def _display(token: str) -> WaitingRoomDisplay:
    known = display_of(token)
    if known is None:
        raise Http404
    return known


def _screen(request: HttpRequest, shown: Board, poll: str, known: WaitingRoomDisplay | None = None) -> HttpResponse:
    may_manage = known is None and request.user.may(perms.MANAGE_ROOMS)
    context = {"board": shown, "poll": poll, "display": known, "may_manage": may_manage}
    response = render(request, "worklist/board.html", context)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response


def _rows(request: HttpRequest, shown: Board) -> HttpResponse:
    """The numbers alone, for the poll; 304 when nothing has changed."""
    body = render_to_string("worklist/_board.html", {"board": shown})
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": "no-store"}
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(body, headers=headers)


# --- the displays themselves


class DisplayForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=64)
    rooms = forms.MultipleChoiceField(
        label=gettext_lazy("Rooms"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: all rooms."),
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        required=False,
        choices=[("", gettext_lazy("As the browser is set")), *settings.LANGUAGES],
    )

    def __init__(self, *args: Any, rooms: Any = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rooms_by_code = {row.code: row for row in rooms}
        self.fields["rooms"].choices = [(row.code, row.name) for row in rooms]


@never_cache
@page(perms.MANAGE_ROOMS)
def displays(request: HttpRequest) -> HttpResponse:
    """Every display with its rooms; a new one shows its link once, on the page that made it."""
    rooms = list(selectors.rooms(actor=request.actor).filter(is_active=True))
    form = DisplayForm(request.POST or None, rooms=rooms)
    link, refusal, status = "", None, 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            data = form.cleaned_data
            chosen = [form.rooms_by_code[code] for code in data["rooms"]]
            try:
                made = services.open_display(
                    name=data["name"],
                    rooms=chosen,
                    language=data["language"],
                    actor=request.actor,
                )
                link, status, form = _link(request, made), 200, DisplayForm(rooms=rooms)
            except DomainError as caught:
                add_refusal(form, caught)
                refusal, status = caught, caught.http_status
    return _displays_page(request, form, link=link, refusal=refusal, status=status)


def _displays_page(
    request: HttpRequest, form: DisplayForm, *, link: str = "", refusal: DomainError | None = None, status: int = 200
) -> HttpResponse:
    rows = WaitingRoomDisplay.objects.prefetch_related("rooms").order_by("revoked_at", "name")
    context = {"nav": "waiting_room_displays", "rows": list(rows), "form": form, "link": link, "refusal": refusal}
    return render(request, "worklist/displays.html", context, status=status)


def _link(request: HttpRequest, made: WaitingRoomDisplay) -> str:
    return request.build_absolute_uri(reverse("waiting_room_display", args=[made.token]))


@require_POST
@never_cache
@page(perms.MANAGE_ROOMS)
def display_change(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    """A new link (the old one ends), or no link any more."""
    row = WaitingRoomDisplay.objects.filter(uuid=uuid).first()
    if row is None or verb not in ("renew", "close"):
        raise NotKnown(_("There is no such display."))
    if verb == "renew":
        renewed = services.renew_display(row, actor=request.actor)
        rooms = list(selectors.rooms(actor=request.actor).filter(is_active=True))
        return _displays_page(request, DisplayForm(rooms=rooms), link=_link(request, renewed))
    services.close_display(row, actor=request.actor)
    messages.success(request, _("%(name)s shows nothing any more.") % {"name": row.name})
    return HttpResponseRedirect(reverse("waiting_room_displays"))
