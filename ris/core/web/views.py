"""The frame's own pages: theme and language switch, shortcuts, the menu as a page, error pages, the component sheet."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from ris.core.context import THEME_COOKIE, THEMES, correlation_id

ONE_YEAR = 365 * 24 * 3600


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """To where the person came from, never off this host."""
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return HttpResponseRedirect(target if safe else "/")


def _remember(response: HttpResponse, request: HttpRequest, name: str, value: str) -> HttpResponse:
    response.set_cookie(name, value, max_age=ONE_YEAR, samesite="Lax", secure=request.is_secure())
    return response


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or as the device is set. A cookie, so that the server paints the right one at once."""
    wanted = request.POST.get("theme", "")
    if wanted == "toggle":
        wanted = "light" if request.COOKIES.get(THEME_COOKIE) == "dark" else "dark"
    return _remember(_back(request), request, THEME_COOKIE, wanted if wanted in THEMES else "auto")


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    wanted = request.POST.get("language", "")
    if wanted not in dict(settings.LANGUAGES):
        wanted = settings.LANGUAGE_CODE
    translation.activate(wanted)
    return _remember(_back(request), request, settings.LANGUAGE_COOKIE_NAME, wanted)


def shortcut_groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """The key list. Single keys never sign, send or delete, and rest while a field has the focus."""
    return [
        (
            _("Everywhere"),
            [
                ("/", _("Search")),
                ("?", _("This list")),
                ("Esc", _("Close; leave the field")),
                ("Ctrl S", _("Save")),
                ("Ctrl Enter", _("Save and go on")),
            ],
        ),
        (
            _("Lists"),
            [
                ("j  k", _("Row down, row up")),
                ("Enter", _("Open the row")),
                (".", _("Menu of the row")),
                ("n", _("Next best, or register")),
                ("a", _("Assign")),
                ("c", _("Claim")),
                ("x", _("Choose for a batch")),
                ("v", _("View only")),
                ("r", _("Show what is new")),
            ],
        ),
        (
            _("Console"),
            [
                ("s", _("Scan or type a code")),
                ("Alt T", _("Time-out")),
                ("Alt Q", _("Safety questions")),
                ("Alt U", _("What was used")),
                ("Alt N", _("Note to the radiologist")),
                ("Ctrl Enter", _("Start, or complete")),
            ],
        ),
        (
            _("Report"),
            [
                ("Ctrl Enter", _("Preliminary")),
                ("F9", _("Sign final")),
                ("Ctrl Shift Enter", _("Sign final and next")),
                ("F2  Shift F2", _("Next field, previous field")),
                ("Alt 1 … Alt 9", _("The sections")),
                ("Alt T", _("Template")),
                ("F8", _("Dictate")),
                ("F1", _("All keys of the editor")),
                ("Alt C", _("Critical result")),
                ("Alt P", _("Prior exams")),
                ("Alt V", _("Viewer")),
                ("Alt M", _("Macro")),
            ],
        ),
        (
            _("Peer review"),
            [
                ("1  2 A … 3 B", _("The score")),
                ("N", _("Later")),
                ("Ctrl Enter", _("Submit, next")),
                ("← →  Space  T", _("Conference: turn, reveal, shown")),
            ],
        ),
    ]


@require_GET
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """What waits for this person: the panels that the apps above put into the slots of home, by right."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    return render(request, "home.html", {"nav": "home"})


@require_GET
def shortcuts(request: HttpRequest) -> HttpResponse:
    """The key list, as a page or as the inside of the `?` dialog."""
    fragment = request.headers.get("HX-Request") == "true"
    template = "components/shortcuts_list.html" if fragment else "components/shortcuts.html"
    return render(request, template, {"groups": shortcut_groups()})


@require_GET
def ping(request: HttpRequest) -> HttpResponse:
    """A hand is on the keyboard though no page was asked for: the session's idle clock starts anew."""
    return HttpResponse(status=204)


@require_GET
def menu(request: HttpRequest) -> HttpResponse:
    """The whole menu as a page: what the menu button opens where there is no JavaScript."""
    return render(request, "components/menu.html")


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component once. Only in development and in the demo."""
    if not (settings.DEBUG or getattr(settings, "RIS_DEMO", False)):
        raise Http404
    from ris.core.styleguide import sheet

    return render(request, "components/styleguide.html", sheet())


# ---------------------------------------------------------------------------------------------------------- error pages


#: Doors of programs: errors are problem documents there (RFC 9457), never pages
PROGRAMS = ("/api/", "/fhir/", "/dicomweb/", "/gateway/")
PROBLEMS = {
    400: ("invalid", "The request cannot be understood."),
    403: ("not_permitted", "You do not hold the right for this."),
    404: ("not_known", "There is nothing at this address in this facility."),
    500: ("internal_error", "Something went wrong here, and it is recorded. Nothing was stored."),
    503: ("unavailable", "The database does not answer. Nothing was stored; ask again."),
}


#: The same as FHIR says it (value set issue-type)
FHIR_ISSUES = {400: "invalid", 403: "forbidden", 404: "not-found", 500: "exception", 503: "transient"}


def _problem(request: HttpRequest, status: int) -> HttpResponse | None:
    if not request.path.startswith(PROGRAMS):
        return None
    code, detail = PROBLEMS[status]
    if request.path.startswith("/fhir/"):
        told = {"severity": "error", "code": FHIR_ISSUES[status], "details": {"text": detail}}
        outcome = {"resourceType": "OperationOutcome", "issue": [told]}
        return JsonResponse(outcome, status=status, content_type="application/fhir+json; charset=utf-8")
    body = {
        "type": f"urn:picha:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": request.path,
        "errors": {},
        "correlation_id": correlation_id(request),
    }
    return JsonResponse(body, status=status, content_type="application/problem+json")


def _error_page(
    request: HttpRequest, template: str, status: int, context: dict[str, Any] | None = None
) -> HttpResponse:
    problem = _problem(request, status)
    if problem is not None:
        return problem
    return render(request, template, {"correlation_id": correlation_id(request), **(context or {})}, status=status)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _error_page(request, "404.html", 404)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _error_page(request, "403.html", 403)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _error_page(request, "400.html", 400)


def server_error(request: HttpRequest) -> HttpResponse:
    """Must not need the database: the session and the user are not asked. If it is what failed, that is said."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return unavailable(request)
    problem = _problem(request, 500)
    if problem is not None:
        return problem
    text = render_to_string(
        "500.html", {"correlation_id": correlation_id(request), "theme": request.COOKIES.get(THEME_COOKIE, "auto")}
    )
    return HttpResponse(text, status=500)


def unavailable(request: HttpRequest) -> HttpResponse:
    """The database or a service we cannot do without does not answer; the browser may ask again."""
    problem = _problem(request, 503)
    if problem is not None:
        problem["Retry-After"] = "10"
        return problem
    text = render_to_string(
        "503.html", {"correlation_id": correlation_id(request), "theme": request.COOKIES.get(THEME_COOKIE, "auto")}
    )
    return HttpResponse(text, status=503, headers={"Retry-After": "10"})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form is too old, or came from elsewhere. The reason is for the log, not for the page."""
    return _error_page(request, "403_csrf.html", 403)
