"""What every REST resource stands on: problem documents (RFC 9457), cursor pagination, ETag and If-Match."""

from __future__ import annotations

import hashlib
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions, filters, pagination, status
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from ris.core.errors import DomainError, PreconditionRequired
from ris.core.expectations import changed_meanwhile, expect

log = structlog.get_logger(__name__)
PROBLEM = "application/problem+json"


def problem(
    http_status: int,
    code: str,
    detail: str,
    *,
    instance: str = "",
    errors: Any = None,
    extra: dict[str, str] | None = None,
) -> Response:
    """A problem document: type, title, status, detail, instance, errors."""
    body: dict[str, Any] = {
        "type": f"urn:picha:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": http_status,
        "detail": detail,
        "instance": instance,
        "errors": errors or {},
    }
    body.update({key: value for key, value in (extra or {}).items() if value})
    return Response(body, status=http_status, content_type=PROBLEM)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every refusal of a REST call, translated once; no view catches a DomainError."""
    response = _translated(exc, context)
    request = context.get("request")
    if response is not None and isinstance(response.data, dict):
        known = getattr(request, "correlation_id", "")
        if known:
            response.data["correlation_id"] = known
    return response


def _translated(exc: Exception, context: dict[str, Any]) -> Response | None:
    request = context.get("request")
    instance = request.path if request is not None else ""
    if isinstance(exc, DomainError):
        set_rollback()
        return problem(
            exc.http_status,
            exc.code,
            exc.detail,
            instance=instance,
            errors=exc.errors,
            extra={"asked": exc.asked, "found": exc.found, "todo": exc.todo},
        )
    if isinstance(exc, DjangoValidationError):
        exc = exceptions.ValidationError(exc.message_dict if hasattr(exc, "error_dict") else exc.messages)
    if isinstance(exc, IntegrityError):
        set_rollback()
        log.warning("integrity_error", constraint=getattr(getattr(exc.__cause__, "diag", None), "constraint_name", ""))
        return problem(409, "conflict", "The database refused this: it contradicts what is stored.", instance=instance)
    if isinstance(exc, (OperationalError, InterfaceError)):
        set_rollback()
        log.error("database_unavailable", error=type(exc).__name__)
        answer = problem(
            503, "unavailable", "The database does not answer. Nothing was stored; ask again.", instance=instance
        )
        answer["Retry-After"] = "5"
        return answer
    if isinstance(exc, DatabaseError):
        set_rollback()
        return problem(400, "invalid", "A value cannot be stored.", instance=instance)
    response = drf_exception_handler(exc, context)
    if response is None:
        return None
    code, detail, errors = _describe(exc, response)
    answer = problem(response.status_code, code, detail, instance=instance, errors=errors)
    for header in ("WWW-Authenticate", "Retry-After", "Allow"):
        if header in response.headers:
            answer[header] = response.headers[header]
    return answer


def _describe(exc: Exception, response: Response) -> tuple[str, str, Any]:
    if isinstance(exc, exceptions.ValidationError):
        errors = exc.detail if isinstance(exc.detail, dict) else {"non_field_errors": exc.detail}
        return "invalid", "The request holds values that cannot be accepted: see errors.", errors
    if isinstance(exc, Http404) or response.status_code == status.HTTP_404_NOT_FOUND:
        return "not_known", "There is no such object in this facility.", {}
    if isinstance(exc, PermissionDenied):
        return "not_permitted", "You do not hold the right for this.", {}
    code = getattr(exc, "default_code", "refused")
    return str(code), str(getattr(exc, "detail", exc)), {}


class PlainRenderer(BaseRenderer):
    """What a view gives as it is (a paper, an archive, a page); a refusal, which is an object, as JSON."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return JSONRenderer().render(data) if isinstance(data, dict) else data


class CursorPagination(pagination.CursorPagination):
    """``{results, next, previous}``; keyset on (ordering, id), never COUNT or OFFSET."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = ("-id",)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {"results": schema, "next": link, "previous": link},
        }


class HouseOrdering(filters.OrderingFilter):
    """``?ordering=-created_at``: by one of the view's ``ordering_fields``, and what is none of them is refused."""

    #: Where a view names none: those of these that its model has. None of them is ever empty.
    USUAL = ("id", "created_at", "updated_at", "name", "code")

    def fields_of(self, view: Any) -> list[str]:
        named = getattr(view, "ordering_fields", None)
        if named is not None:
            return list(named)
        model = getattr(getattr(view, "queryset", None), "model", None)
        if model is None:
            return []
        known = {field.name for field in model._meta.concrete_fields if not field.null}
        return [name for name in self.USUAL if name in known]

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> Any:
        given = [part.strip() for part in request.query_params.get(self.ordering_param, "").split(",") if part.strip()]
        wrong = [part for part in given if part.removeprefix("-") not in self.fields_of(view)]
        if wrong:
            raise exceptions.ValidationError({self.ordering_param: [f"One of: {', '.join(self.fields_of(view))}."]})
        return given or None

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        ordering = self.get_ordering(request, queryset, view)
        return queryset.order_by(*ordering) if ordering else queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        names = self.fields_of(view)
        if not names:
            return []
        return [
            {
                "name": self.ordering_param,
                "required": False,
                "in": "query",
                "description": "Sorts by this field; with a minus before it, the other way round.",
                "schema": {"type": "string", "enum": [sign + name for name in names for sign in ("", "-")]},
            }
        ]


def tags_match(header: str, etag: str) -> bool:
    """Whether If-None-Match names the ETag (RFC 9110 13.1.2: a weak comparison), or anything at all."""
    given = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return bool(header) and ("*" in given or etag.removeprefix("W/") in given)


def weak_etag(content: bytes) -> str:
    """A validator of an answer as it was written."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'


def etag_of(obj: Any) -> str:
    """A strong validator: the row's identity and the number of its saves."""
    return '"' + hashlib.sha256(f"{obj.uuid}:{obj.version}".encode()).hexdigest()[:20] + '"'


def check_if_match(request: Any, obj: Any, *, is_required: bool = False) -> None:
    """Refuse a write whose If-Match is not the current version (RFC 9110 13.1.1), or is missing where it must be.

    It is compared again under the row's lock: see ``ris.core.expectations``.
    """
    wanted = request.headers.get("If-Match")
    if is_required and not wanted:
        raise PreconditionRequired(
            "Say which version you have read.",
            asked="A change to whatever is stored.",
            found="Somebody else may have changed it since you read it.",
            todo="Repeat the change with the ETag that you read in If-Match.",
        )
    if not wanted or wanted.strip() == "*":
        return
    if etag_of(obj) not in {tag.strip() for tag in wanted.split(",")}:
        raise changed_meanwhile()
    expect(obj)
