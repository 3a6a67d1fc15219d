"""What every REST resource stands on.

    class OrderViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
        permission_codes = {"list": "orders.view_order", "retrieve": "orders.view_order",
                            "create": "orders.place_order", "cancel": "orders.cancel_order"}
        serializer_class = OrderSerializer

        def get_queryset(self):
            return selectors.orders(actor=self.actor)

        def service_create(self, data):
            return services.place_order(**data, actor=self.actor)

        @action(detail=True, methods=["post"])
        def cancel(self, request, uuid=None):
            return self.answer(services.cancel_order(self.get_object(), reason=..., actor=self.actor))

An action without a code is denied. Refusals (401, 403) and reads are recorded. Answers of one object carry its ETag,
all others one of their content; ``get_object`` in a write checks If-Match; a write with Idempotency-Key runs once; a
list is also CSV; a key or token asks so often per minute as it may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions, permissions, status, viewsets
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from ris.accounts import limits
from ris.accounts.actors import actor_of, stranger
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record_read, refused
from ris.core import api_csv
from ris.core.actor import SYSTEM, Actor
from ris.core.api import CursorPagination, HouseOrdering, check_if_match, etag_of, tags_match, weak_etag
from ris.core.errors import NotKnown, NotPermitted
from ris.core.expectations import expectations
from ris.events.idempotency import IdempotencyMixin
from ris.tenants.context import require_schema, use_facility

READS = {"GET", "HEAD", "OPTIONS"}
REST = "/api/"
#: Doors at which keys and tokens are counted
COUNTED = (REST, "/fhir/")
API_VERSION = "1"


@dataclass(frozen=True)
class Deprecated:
    """An action that will go: since when nobody should begin with it, when it ends at the earliest, then what."""

    since: datetime
    sunset: datetime
    successor: str

    @property
    def headers(self) -> dict[str, str]:
        """RFC 9745, RFC 8594."""
        return {
            "Deprecation": f"@{int(self.since.timestamp())}",
            "Sunset": format_datetime(self.sunset, usegmt=True),
            "Link": f'<{self.successor}>; rel="successor-version"',
        }


#: Actions ``change`` of the first days, where PATCH says it by its own name.
CHANGED_BY_PATCH = Deprecated(datetime(2026, 11, 21, tzinfo=UTC), datetime(2027, 11, 30, tzinfo=UTC), "/api/docs/")


class HoldsPermission(permissions.BasePermission):
    """The right that the view names for its action. What names none is denied."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (request.user and request.user.is_authenticated):
            return False
        if not view.handles_method:
            return True  # and is told 405 right after this
        code = view.permission_code
        return code is not None and any(view.actor.may(one) for one in (code, *view.also_allowed))


class FacilityViewMixin(APIView):
    """Actor, right and record of refusals, for viewsets and plain API views alike."""

    permission_classes = (HoldsPermission,)
    #: action (viewset) or lower-case method (plain view) -> code
    permission_codes: ClassVar[Mapping[str, str]] = {}
    #: rights any of which opens all actions as well
    also_allowed: ClassVar[tuple[str, ...]] = ()
    #: actions that are on their way out
    deprecated: ClassVar[Mapping[str, Deprecated]] = {}
    action: str | None
    allowance: limits.Allowance | None = None

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with expectations():
            return super().dispatch(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Who has shown a key or a token is counted before anything is looked up for them."""
        super().perform_authentication(request)
        if request.path.startswith(COUNTED):
            self.allowance = limits.count(request.auth)
            if self.allowance is not None and self.allowance.is_exceeded:
                raise exceptions.Throttled(self.allowance.resets_in)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        response = super().finalize_response(request, response, *args, **kwargs)
        if self.allowance is not None:
            for name, value in self.allowance.headers.items():
                response[name] = value
        if not request.path.startswith(REST):
            return response
        response["API-Version"] = API_VERSION
        notice = self.deprecated.get(getattr(self, "action", None) or "")
        if notice is not None:
            for name, value in notice.headers.items():
                response[name] = value
        if request.method in ("GET", "HEAD") and response.status_code == status.HTTP_200_OK:
            response.headers.setdefault("Cache-Control", "private, no-cache")
            if isinstance(response, Response) and "ETag" not in response.headers:
                response.add_post_render_callback(_conditional(request.headers.get("If-None-Match", "")))
        return response

    @property
    def permission_code(self) -> str | None:
        name = getattr(self, "action", None) or (self.request.method or "").lower()
        if name == "metadata":
            name = "list" if "list" in self.permission_codes else "retrieve"
        return self.permission_codes.get("retrieve" if name == "head" else name)

    @property
    def handles_method(self) -> bool:
        method = (self.request.method or "").lower()
        if method in ("options", "head"):
            return True
        if hasattr(self, "action_map"):
            return method in self.action_map
        return hasattr(self, method)

    @property
    def actor(self) -> Actor:
        """The signed-in caller; while the OpenAPI document is made there is none."""
        if getattr(self, "swagger_fake_view", False):
            return SYSTEM
        if not hasattr(self, "_actor"):
            self._actor = actor_of(self.request)
        return self._actor

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> None:
        if not request.user or not request.user.is_authenticated:
            raise exceptions.NotAuthenticated()
        raise NotPermitted(
            f"This needs the right {self.permission_code or 'that nobody holds'}.",
            found="You do not hold that right, or your key or token does not reach that far.",
            todo="Ask your administrator.",
        )

    def handle_exception(self, exc: Exception) -> Response:
        self._note_refusal(exc)
        response = super().handle_exception(exc)
        flush_refusals()
        return response

    def _note_refusal(self, exc: Exception) -> None:
        """401 and 403 of the edge itself; what a service refused has recorded itself."""
        unknown_caller = isinstance(
            exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed, exceptions.PermissionDenied)
        )
        if not unknown_caller and not (isinstance(exc, NotPermitted) and self._was_denied_here(exc)):
            return
        who = stranger(self.request._request) if unknown_caller else self.actor
        action = Action.READ if self.request.method in READS else Action.EXECUTE
        subject = self.permission_code or f"{type(self).__name__}.{getattr(self, 'action', '') or self.request.method}"
        refused(who, subject[:100], action, exc)

    @staticmethod
    def _was_denied_here(exc: NotPermitted) -> bool:
        traceback = exc.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code is FacilityViewMixin.permission_denied.__code__:
                return True
            traceback = traceback.tb_next
        return False

    def audit_read(self, shown: models.Model | Iterable[Any], **detail: Any) -> None:
        """One row for what this answer shows: a page of a list, or one object."""
        if getattr(self, "swagger_fake_view", False):
            return
        code = self.permission_code or type(self).__name__
        if isinstance(shown, models.Model):
            record_read(self.actor, code, entity=shown, detail=detail)
            return
        rows = list(shown)
        patients = {patient for row in rows if (patient := getattr(row, "audit_patient", None)) is not None}
        record_read(self.actor, code, patients=sorted(patients), detail={"rows": len(rows), **detail})


def _conditional(known: str) -> Any:
    """After rendering: the answer with the ETag of its content, or 304 for who holds that already."""

    def add(response: Response) -> Response | None:
        response["ETag"] = weak_etag(response.content)
        if tags_match(known, response["ETag"]):
            return _not_modified(response)
        return None

    return add


def _not_modified(response: Any) -> Response:
    """Without a body, and without what would describe one."""
    response.status_code = status.HTTP_304_NOT_MODIFIED
    response.content = b""
    response.headers.pop("Content-Type", None)
    return response


class FacilityAPIView(IdempotencyMixin, FacilityViewMixin):
    """A plain endpoint: ``permission_codes = {"get": ..., "post": ...}``."""


class FacilityViewSet(IdempotencyMixin, FacilityViewMixin, viewsets.GenericViewSet):
    """A resource, named by UUID, reached through what its caller may see."""

    lookup_field = "uuid"
    pagination_class = CursorPagination
    filter_backends: Any = (DjangoFilterBackend, HouseOrdering)
    #: actions that are refused without If-Match (428), as a lost update would hurt
    requires_if_match: ClassVar[tuple[str, ...]] = ()
    #: action -> serializer, where it is not ``serializer_class``
    serializer_classes: ClassVar[Mapping[str, type[BaseSerializer]]] = {}

    def get_serializer_class(self) -> type[BaseSerializer]:
        return self.serializer_classes.get(self.action or "") or super().get_serializer_class()

    def get_object(self) -> Any:
        """The object, if the caller may know of it; in a write only in the version that If-Match names."""
        try:
            obj = self.get_queryset().get(**{self.lookup_field: self.kwargs[self.lookup_field]})
        except (models.ObjectDoesNotExist, DjangoValidationError, ValueError, Http404):
            raise NotKnown("There is no such object in this facility.") from None
        self.check_object_permissions(self.request, obj)
        if self.request.method not in READS and hasattr(obj, "version"):
            check_if_match(self.request, obj, is_required=self.action in self.requires_if_match)
        return obj

    def answer(self, obj: Any, http_status: int = status.HTTP_200_OK, **headers: str) -> Response:
        """One object, as its resource shows it, with its ETag."""
        serializer_class = self.serializer_class or self.get_serializer_class()
        data = serializer_class(obj, context=self.get_serializer_context()).data
        response = Response(data, status=http_status, headers=headers)
        if hasattr(obj, "uuid") and hasattr(obj, "version"):
            response["ETag"] = etag_of(obj)
        return response

    def validated(self, **kwargs: Any) -> dict[str, Any]:
        """The body, checked by the action's serializer."""
        serializer = self.get_serializer(data=self.request.data, **kwargs)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class ListMixin:
    """``GET /``: a cursor page, recorded as one read; for ``Accept: text/csv`` (``?format=csv``) all rows, streamed."""

    exports_csv: ClassVar[bool] = True
    #: What answers with a list of its own, by ``list``
    list_actions: ClassVar[tuple[str, ...]] = ("list",)

    def get_renderers(self: Any) -> list[BaseRenderer]:
        found = super().get_renderers()
        return [*found, api_csv.CsvRenderer()] if self.exports_csv and self.action in self.list_actions else found

    def list(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        queryset = self.filter_queryset(self.get_queryset())
        if request.accepted_renderer.format == api_csv.CsvRenderer.format:
            return self._csv(queryset)
        page = self.paginate_queryset(queryset)
        self.audit_read(page)
        serializer = self.get_serializer(page, many=True)
        return self.get_paginated_response(serializer.data)

    def _csv(self: Any, queryset: models.QuerySet) -> Any:
        """In the order of the pages; every portion is recorded as a read before it leaves."""
        ordering = self.paginator.get_ordering(self.request, queryset, self)
        rows = queryset.order_by(*ordering).iterator(chunk_size=api_csv.PORTION)
        schema, serializer = require_schema(), self.get_serializer()

        def serialize(portion: list[Any]) -> list[Any]:
            self.audit_read(portion, format="csv")
            return self.get_serializer(portion, many=True).data

        told = api_csv.stream(rows, serialize, api_csv.columns_of(serializer))

        def lines() -> Iterator[bytes]:
            with use_facility(schema):
                yield from told

        name = self.request.path.rstrip("/").rpartition("/")[2]
        return StreamingHttpResponse(
            lines(),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
        )


class RetrieveMixin:
    """``GET /{uuid}/``, recorded."""

    def retrieve(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        obj = self.get_object()
        self.audit_read(obj)
        response = self.answer(obj)
        if tags_match(request.headers.get("If-None-Match", ""), response.headers.get("ETag", "")):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": response["ETag"]})
        return response


class CreateMixin:
    """``POST /``: ``service_create(data)`` does it."""

    def create(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        obj = self.service_create(self.validated())
        location = request.build_absolute_uri(f"{request.path.rstrip('/')}/{obj.uuid}/")
        return self.answer(obj, status.HTTP_201_CREATED, Location=location)


class ChangeMixin:
    """``PATCH /{uuid}/``: ``service_change(obj, data)`` does it."""

    def partial_update(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        obj = self.get_object()
        return self.answer(self.service_change(obj, self.validated(instance=obj, partial=True)))
