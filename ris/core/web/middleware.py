"""Tells the browser that a form it keeps a draft of has arrived; answers in words where Django answers with nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from ris.core import panels
from ris.core.context import correlation_id
from ris.core.web import views

NUL = "\x00"
DRAFT_COOKIE = "picha_draft_done"
KEY = re.compile(r"[0-9a-f]{24}")
ARRIVED = (201, 204, 301, 302, 303)
READING = ("GET", "HEAD", "OPTIONS")


class DraftMiddleware:
    """A POST with ``_draft`` that ended in a redirect (or 201, 204) was stored: the browser may forget its copy.

    The cookie holds the opaque key for a minute and is read by app.js; a redirect to the sign-in page is no arrival.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method != "POST" or response.status_code not in ARRIVED:
            return response
        posted = getattr(request, "_post", None)  # only what somebody has read already: streams stay untouched
        key = posted.get("_draft", "") if posted else ""
        if KEY.fullmatch(key) and not response.headers.get("Location", "").startswith("/sign-in"):
            response.set_cookie(DRAFT_COOKIE, key, max_age=60, samesite="Lax", secure=request.is_secure())
        return response


class WordsMiddleware:
    """Two answers that people would meet as a blank page or as our failure.

    A form's address asked for by GET (a reload, a bookmark) gets a page that leads back; a NUL, which no field of the
    database can hold and no keyboard types, is refused before anything is asked.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code != 405 or response.content or request.path.startswith(views.PROGRAMS):
            return response
        answer = render(request, "405.html", {"correlation_id": correlation_id(request)}, status=405)
        answer.headers["Allow"] = response.headers.get("Allow", "POST")
        return answer

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponse | None:
        typed = [*request.GET.values()]
        if request.content_type == "application/x-www-form-urlencoded":
            typed += [value for values in request.POST.lists() for value in values[1]]
        return views.bad_request(request) if any(NUL in value for value in typed) else None


class MenuCountsMiddleware:
    """After whatever a person did, their menu counts anew."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method not in READING and request.user.is_authenticated:
            panels.forget_menu_counts(request)
        return response
