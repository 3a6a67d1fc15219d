"""Whose request it is: found by the host name, before anything else is asked of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from ris.core.web.views import PROGRAMS, not_found, unavailable
from ris.tenants import operations
from ris.tenants.routing import HTTP, facility_for_host, record_refusal

GetResponse = Callable[[HttpRequest], HttpResponse]
log = structlog.get_logger("ris.request")


def address_of(request: HttpRequest) -> str:
    """The client's address; behind N trusted proxies the N-th last one of X-Forwarded-For."""
    address = request.META.get("REMOTE_ADDR", "")
    trusted = settings.RIS_TRUSTED_PROXIES
    if trusted:
        hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        if len(hops) >= trusted:
            return hops[-trusted]
    return address


class OperationsMiddleware:
    """Health and metrics answer whoever probes by address, before a facility is looked for."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = operations.VIEWS.get(request.path)
        if view is None:
            return self.get_response(request)
        connection.set_schema_to_public()
        return view(request)


class FacilityMiddleware:
    """Points the connection at the facility of the host. An unknown host is refused in plain words and counted.

    The schema is not put back afterwards: a streamed body runs after this, and the next request begins in `public`.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        connection.set_schema_to_public()
        try:
            host = split_domain_port(request.get_host())[0].rstrip(".")
        except DisallowedHost:
            host = ""
        try:
            facility = facility_for_host(host) if host else None
        except (OperationalError, InterfaceError) as exc:
            return self.process_exception(request, exc) or HttpResponse(status=503)
        if facility is None:
            record_refusal(HTTP, called=host, address=address_of(request), reason="host_unknown")
            if request.path.startswith(PROGRAMS):
                return not_found(request)
            return HttpResponse(
                _("No facility is known by this address.") + "\n", status=404, content_type="text/plain; charset=utf-8"
            )
        request.facility = request.tenant = facility
        connection.set_tenant(facility)
        structlog.contextvars.bind_contextvars(facility=facility.schema_name)
        with timezone.override(facility.zone):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A database that does not answer is a refusal that may be repeated, not an error of ours."""
        if not isinstance(exception, (OperationalError, InterfaceError)):
            return None
        log.error("database_unavailable", error=type(exception).__name__)
        connection.close()
        return unavailable(request)


class FacilityLocaleMiddleware:
    """The language: the one chosen (cookie), the one the person prefers, the one asked for, the facility's.

    Browsers send English by default, so English in Accept-Language says nothing and the facility decides.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = self.language_of(request)
        request.LANGUAGE_CODE = language
        with translation.override(language):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        return response

    def language_of(self, request: HttpRequest) -> str:
        known = {code for code, _name in settings.LANGUAGES}
        chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
        if chosen in known:
            return chosen
        for part in request.headers.get("Accept-Language", "").split(","):
            asked = part.split(";")[0].strip().lower().split("-")[0]
            if asked in known and asked != "en":
                return asked
        return request.facility.language


class TextCompressionMiddleware(GZipMiddleware):
    """Compresses pages and JSON; images and other streams are left as they are."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = response.headers.get("Content-Type", "")
        if response.streaming or not (kind.startswith("text/") or "json" in kind):
            return response
        return super().process_response(request, response)


class RequestLogMiddleware:
    """One line per request, without its query string: that is where a name would be."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            milliseconds=round((time.perf_counter() - started) * 1000, 1),
        )
        return response
