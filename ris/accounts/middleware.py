"""Around every request: one memory for what is asked often, the idle lock, and refusals in three sentences."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from ris.accounts import selectors
from ris.accounts.actors import actor_of, stranger
from ris.accounts.lockout import count_failures_now
from ris.accounts.memory import remembering
from ris.accounts.services.totp import has_totp
from ris.audit.models import Action
from ris.audit.service import flush_refusals, refused
from ris.core.api import PROBLEM
from ris.core.errors import DomainError

GetResponse = Callable[[HttpRequest], HttpResponse]

NOTE_ACTIVITY_EVERY = 30  # seconds
GRACE = 60  # seconds; the browser locks on the minute, the server a little later
#: Statuses whose fragment static/js/app.js puts where the request came from.
LANDS_BY_ITSELF = (403, 404, 409, 412, 423)
OPEN_WHEN_LOCKED = ("/session/", "/sign-in/", "/sign-out/", "/static/", "/i18n/")


class RequestMemoryMiddleware:
    """The facility's settings are read once per request; wrong passwords given in it count when it is over."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with remembering():
            response = self.get_response(request)
            count_failures_now(request)
            return response


class SessionLockMiddleware:
    """A session nobody has touched for the facility's idle minutes answers nothing until its person is back.

    A request that no hand made (polling) says so with ``X-Background: 1`` and does not keep the session awake.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.session_is_locked = False
        if "Authorization" in request.headers or not request.user.is_authenticated:
            return self.get_response(request)
        request.idle_minutes = selectors.facility_settings().idle_minutes
        self._look_at_the_clock(request)
        if request.session.get("locked") and not request.path.startswith(OPEN_WHEN_LOCKED):
            request.session_is_locked = True
            if not request.path.startswith(("/api/", "/fhir/", "/dicomweb/", "/gateway/")):
                return self._locked(request)
        return self.get_response(request)

    @staticmethod
    def _look_at_the_clock(request: HttpRequest) -> None:
        now, session = time.time(), request.session
        seen = session.get("seen_at", now)
        idle_minutes = request.idle_minutes
        if idle_minutes and now - seen > idle_minutes * 60 + GRACE:
            if not session.get("locked"):
                session["locked"] = True
            return
        by_hand = not request.headers.get("X-Background")
        if by_hand and ("seen_at" not in session or now - seen > NOTE_ACTIVITY_EVERY):
            session["seen_at"] = now

    @staticmethod
    def _locked(request: HttpRequest) -> HttpResponse:
        if wants_fragment(request):
            response: HttpResponse = JsonResponse(
                {
                    "type": "urn:picha:problem:session_locked",
                    "title": "Session locked",
                    "status": 401,
                    "detail": _("The screen is locked. Unlock it with your password."),
                },
                status=401,
                content_type=PROBLEM,
            )
            response["X-Session-Locked"] = "1"
            return response
        back = request.get_full_path() if request.method == "GET" else "/"
        context = {"next": back, "otp_required": has_totp(request.user)}
        return render(request, "accounts/lock.html", context, status=401)


class DomainErrorMiddleware:
    """A refusal that a page met: a page or a fragment with what was asked, what was found and what to do."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, PermissionDenied):
            self._record(request, exception)
            return None
        if not isinstance(exception, DomainError):
            return None
        flush_refusals()
        return refusal_response(request, exception)

    @staticmethod
    def _record(request: HttpRequest, exception: Exception) -> None:
        match = request.resolver_match
        who = actor_of(request) if request.user.is_authenticated else stranger(request)
        action = Action.READ if request.method in ("GET", "HEAD") else Action.EXECUTE
        refused(who, f"page:{match.view_name if match else request.path}"[:100], action, exception)


def wants_fragment(request: HttpRequest) -> bool:
    """htmx and scripts take a part of a page or JSON, not a whole one."""
    return request.headers.get("HX-Request") == "true" or "text/html" not in request.headers.get("Accept", "text/html")


def refusal_response(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    """The three sentences with the refusal's own status; JSON for who asked for JSON."""
    if "application/json" in request.headers.get("Accept", "") or request.content_type == "application/json":
        body = {
            "type": f"urn:picha:problem:{refusal.code}",
            "title": refusal.code.replace("_", " ").capitalize(),
            "status": refusal.http_status,
            "detail": refusal.detail,
            "asked": refusal.asked,
            "found": refusal.found,
            "todo": refusal.todo,
            "errors": refusal.errors,
        }
        return JsonResponse(body, status=refusal.http_status, content_type=PROBLEM)
    fragment = request.headers.get("HX-Request") == "true"
    template = "accounts/_refused.html" if fragment else "accounts/refused.html"
    response = render(request, template, {"refusal": refusal, "back": _way_back(request)}, status=refusal.http_status)
    if fragment and refusal.http_status not in LANDS_BY_ITSELF:
        response["HX-Reswap"] = "innerHTML"
        response["HX-Retarget"] = "#messages"
    return response


def _way_back(request: HttpRequest) -> str:
    """The page of ours that the refused request came from."""
    referrer = request.headers.get("Referer", "")
    host = f"://{request.get_host()}/"
    return "/" + referrer.partition(host)[2] if host in referrer else "/"
