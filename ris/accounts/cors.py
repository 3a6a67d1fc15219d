"""Web pages of other origins (CORS): none, but for those that the facility's settings name.

Only what carries its own credential in ``Authorization`` is let in: no cookie is ever allowed across origins.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from ris.accounts.selectors import facility_settings

DOORS = ("/api/", "/fhir/")
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
HEADERS = (
    "Accept, Accept-Language, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Exist, If-None-Match, "
    "Prefer, X-Correlation-ID, X-Request-ID"
)
EXPOSED = (
    "API-Version, Content-Disposition, Content-Location, Deprecation, ETag, Idempotency-Replayed, Last-Modified, Link, "
    "Location, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, Sunset, "
    "X-Correlation-ID, X-Request-ID"
)
REMEMBERED_FOR = 600  # seconds; how long a browser believes a preflight


class CorsMiddleware:
    """Answers preflights itself; without a listed origin it adds nothing, and the browser refuses."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origin = request.headers.get("Origin", "")
        if not origin or not request.path.startswith(DOORS):
            return self.get_response(request)
        is_allowed = origin.rstrip("/").lower() in {
            entry.strip().rstrip("/").lower() for entry in facility_settings().api_origins
        }
        if is_allowed and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = HttpResponse(status=204)
            response["Access-Control-Allow-Methods"] = METHODS
            response["Access-Control-Allow-Headers"] = HEADERS
            response["Access-Control-Max-Age"] = str(REMEMBERED_FOR)
        else:
            response = self.get_response(request)
        if is_allowed:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Expose-Headers"] = EXPOSED
        patch_vary_headers(response, ("Origin",))
        return response
