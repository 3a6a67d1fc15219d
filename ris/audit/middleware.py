"""A correlation id for every request, and refusals written however the request ended."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from ris.audit.service import correlation_id, flush_refusals

GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


class AuditMiddleware:
    """Stands inside tenant routing: refusals belong to the facility that refused."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "") or request.headers.get("X-Correlation-ID", "")
        value = given if GIVEN.fullmatch(given) else uuid.uuid4().hex
        token = correlation_id.set(value)
        structlog.contextvars.bind_contextvars(correlation_id=value)
        request.correlation_id = value
        try:
            response = self.get_response(request)
            response["X-Correlation-ID"] = response["X-Request-ID"] = value
            return response
        finally:
            flush_refusals()
            structlog.contextvars.unbind_contextvars("correlation_id")
            correlation_id.reset(token)
