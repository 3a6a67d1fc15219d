"""The board on a wall: no names, big type, on a screen that signs itself in by a token of its own."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from reporting import permissions as perms
from reporting.models import WallDisplay
from reporting.selectors.critical import fingerprint, shown, wall_rows
from reporting.services.critical_setup import DISPLAY_DAYS, display_of, pair_display, prepare_display, revoke_display
from ris.accounts.web import ActorRequest, admit, page
from ris.core.clock import database_now
from ris.core.errors import NotKnown
from ris.tenants.middleware import address_of

COOKIE = "picha_display"
MOST_ROWS = 24


@never_cache
@require_GET
def critical_wall(request: HttpRequest) -> HttpResponse:
    """For who may see the board, and for displays that were paired. Shows exams, wards and levels; no patients."""
    display = display_of(request.COOKIES.get(COOKIE, ""))
    if display is None:
        answer = admit(request, perms.VIEW_CRITICAL)
        if answer is not None:
            return answer
    rows = wall_rows()
    if display is None:
        rows = rows.visible_to(request.actor)
    etag = f'"{fingerprint(rows)}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    now = database_now()
    found = list(rows[: MOST_ROWS + 1])
    for row in found:
        row.shown = shown(row, now)
    context = {
        "rows": found[:MOST_ROWS],
        "more": rows.count() - MOST_ROWS if len(found) > MOST_ROWS else 0,
        "over": sum(row.shown.minutes_left < 0 for row in found),
        "display": display,
        "now": now,
    }
    response = render(request, "reporting/critical_wall.html", context)
    response["ETag"] = etag
    return response


@never_cache
@require_http_methods(["GET", "POST"])
def critical_pair(request: HttpRequest) -> HttpResponse:
    """Typed on the screen itself: the code from the page of displays, once."""
    if request.method == "GET":
        return render(request, "reporting/critical_pair.html")
    _display, token = pair_display(request.POST.get("code", ""), address=address_of(request))
    response = HttpResponseRedirect(reverse("critical_wall"))
    response.set_cookie(
        COOKIE, token, max_age=DISPLAY_DAYS * 86400, httponly=True, samesite="Lax", secure=request.is_secure()
    )
    return response


@require_http_methods(["GET", "POST"])
@page(perms.MANAGE_DISPLAYS)
def critical_displays(request: ActorRequest) -> HttpResponse:
    """The screens, and the code for a new one, shown once."""
    code = ""
    if request.method == "POST":
        _display, code = prepare_display(label=request.POST.get("label", ""), actor=request.actor)
    displays = WallDisplay.objects.select_related("made_by").order_by("revoked_at", "label")
    context = {
        "nav": "critical",
        "displays": displays,
        "code": code,
        "pair_url": request.build_absolute_uri(reverse("critical_pair")),
    }
    return render(request, "reporting/critical_displays.html", context)


@require_POST
@page(perms.MANAGE_DISPLAYS)
def critical_display_revoke(request: ActorRequest, uuid: UUID) -> HttpResponse:
    display = WallDisplay.objects.filter(uuid=uuid).first()
    if display is None:
        raise NotKnown(_("There is no such display in this facility."))
    revoke_display(display, actor=request.actor)
    messages.success(request, _("This screen shows nothing any more."))
    return HttpResponseRedirect(reverse("critical_displays"))
