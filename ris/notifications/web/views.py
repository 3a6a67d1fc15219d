"""The inbox behind the bell."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from ris.accounts.web import page
from ris.core.errors import NotKnown
from ris.notifications.services import inbox, mark_read, unread_count
from ris.notifications.words import words_of

PER_PAGE = 50


@page()
def notifications(request: HttpRequest) -> HttpResponse:
    """One's own messages, the newest first."""
    rows = inbox(request.user)
    if request.GET.get("show") == "unread":
        rows = rows.filter(read_at__isnull=True)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    shown = list(rows[: PER_PAGE + 1])
    language = get_language() or "en"
    entries = [{"row": row, "words": words_of(row, language=language)} for row in shown[:PER_PAGE]]
    older = shown[PER_PAGE - 1].pk if len(shown) > PER_PAGE else None
    context = {"entries": entries, "older": older, "unread": unread_count(request.user)}
    return render(request, "notifications/inbox.html", context)


@require_POST
@page()
def open_notification(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Read it, and go where it leads."""
    rows = inbox(request.user).filter(uuid=uuid)
    row = rows.first()
    if row is None:
        raise NotKnown(_("There is no such message that you may read."))
    mark_read(rows)
    ours = row.url and url_has_allowed_host_and_scheme(row.url, {request.get_host()})
    return HttpResponseRedirect(row.url if ours else reverse("notifications"))


@require_POST
@page()
def read_all(request: HttpRequest) -> HttpResponse:
    mark_read(inbox(request.user))
    return HttpResponseRedirect(reverse("notifications"))


@page()
def bell(request: HttpRequest) -> HttpResponse:
    """How many are unread; what a poll asks."""
    return JsonResponse({"unread": unread_count(request.user)})
