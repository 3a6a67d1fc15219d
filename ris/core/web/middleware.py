"""Tells the browser that a form it keeps a draft of has arrived."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

DRAFT_COOKIE = "picha_draft_done"
KEY = re.compile(r"[0-9a-f]{24}")
ARRIVED = (201, 204, 301, 302, 303)


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
