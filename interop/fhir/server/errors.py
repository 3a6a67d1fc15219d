"""Every refusal as an OperationOutcome: what was asked, what was found, what to do; never a traceback or a name.

What a person may meet is told in their language; what is wrong with the form of a question stays in the English of the
standard, for whoever wrote the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions

from interop.fhir.server.call import Resource
from ris.core.errors import DomainError

log = structlog.get_logger("interop.fhir")

#: issue-type of each HTTP status
ISSUE_TYPES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    410: "deleted",
    412: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    428: "required",
    429: "throttled",
    500: "exception",
    503: "transient",
}
OURS = {"invalid_transition": "business-rule", "already_exists": "duplicate", "reauthentication_required": "login"}


class Refused(DomainError):
    """A refusal of the server itself. ``issue`` is of the value set issue-type, ``expression`` a FHIRPath."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        issue: str = "",
        expression: str = "",
        headers: Mapping[str, str] | None = None,
        issues: list[Resource] | None = None,
    ) -> None:
        super().__init__(detail)
        self.http_status = status
        self.issue = issue or ISSUE_TYPES.get(status, "processing")
        self.expression = expression
        self.headers = dict(headers or {})
        self.issues = issues


def issue(code: str, words: str, *, severity: str = "error", expression: str = "", diagnostics: str = "") -> Resource:
    made: Resource = {"severity": severity, "code": code, "details": {"text": words}}
    if diagnostics:
        made["diagnostics"] = diagnostics
    if expression:
        made["expression"] = [expression]
    return made


def outcome(*issues: Resource) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def said(words: str) -> Resource:
    """An outcome that is good news."""
    return outcome(issue("informational", words, severity="information"))


def outcome_of(exc: Exception) -> tuple[int, Resource, dict[str, str]]:
    """Status, OperationOutcome and headers of any exception. What is not known is 500 and says nothing."""
    if isinstance(exc, Refused):
        issues = exc.issues or [issue(exc.issue, exc.detail, expression=exc.expression)]
        return exc.http_status, outcome(*issues), exc.headers
    if isinstance(exc, DomainError):
        return exc.http_status, _of_domain(exc), {}
    if isinstance(exc, DjangoValidationError):
        return 422, outcome(*(issue("invariant", str(words)) for words in exc.messages)), {}
    if isinstance(exc, exceptions.APIException):
        code = ISSUE_TYPES.get(exc.status_code, "processing")
        return exc.status_code, outcome(issue(code, str(exc.detail))), _headers_of(exc)
    if isinstance(exc, PermissionDenied):
        return 403, outcome(issue("forbidden", _("You do not hold the right for this."))), {}
    if isinstance(exc, Http404):
        return 404, outcome(issue("not-found", _("There is nothing at this address."))), {}
    if isinstance(exc, IntegrityError):
        constraint = getattr(getattr(exc.__cause__, "diag", None), "constraint_name", "")
        log.warning("integrity_error", constraint=constraint)
        return 409, outcome(issue("conflict", _("This contradicts what is stored."))), {}
    if isinstance(exc, (OperationalError, InterfaceError)):
        log.error("database_unavailable", error=type(exc).__name__)
        words = _("The database does not answer. Nothing was stored; ask again.")
        return 503, outcome(issue("transient", words)), {"Retry-After": "5"}
    if isinstance(exc, DatabaseError):
        return 400, outcome(issue("value", _("A value cannot be stored or searched for."))), {}
    log.exception("fhir_failed", error=type(exc).__name__)
    words = _("Something went wrong here, and it is recorded. Nothing was stored.")
    return 500, outcome(issue("exception", words)), {}


def _of_domain(exc: DomainError) -> Resource:
    code = OURS.get(exc.code) or ISSUE_TYPES.get(exc.http_status, "processing")
    more = " ".join(str(part) for part in (exc.found, exc.todo) if part and part != exc.detail)
    issues = [issue(code, exc.detail, diagnostics=more)]
    for name, words in exc.errors.items():
        for word in words if isinstance(words, (list, tuple)) else [words]:
            issues.append(issue("value", f"{name}: {word}"))
    return outcome(*issues)


def _headers_of(exc: Any) -> dict[str, str]:
    headers = {}
    if getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = exc.auth_header
    if getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(exc.wait))
    return headers
