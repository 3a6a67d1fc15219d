"""REST: where messages go and where they come in."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.api.serializers import (
    DestinationInputSerializer,
    DestinationSerializer,
    ParkSerializer,
    ReachedSerializer,
    ReceiverSerializer,
    ReplayedSerializer,
    ReplayRangeSerializer,
)
from interop.hl7 import selectors, services
from interop.hl7.outbound import reach
from interop.hl7.outbound import services as outbound
from interop.models import Hl7Destination
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.outbound import OutsideFailed
from ris.core.api import CursorPagination
from ris.core.errors import AlreadyExists


class DestinationViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Where HL7 v2 messages go, and how they are written for each."""

    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_INTERFACES,
        "partial_update": perms.MANAGE_INTERFACES,
        "pause": perms.MANAGE_INTERFACES,
        "resume": perms.MANAGE_INTERFACES,
        "test": perms.MANAGE_INTERFACES,
        "replay_range": perms.REPLAY_MESSAGE,
    }
    serializer_class = DestinationSerializer
    serializer_classes = {"create": DestinationInputSerializer, "partial_update": DestinationInputSerializer}
    queryset = Hl7Destination.objects.none()

    def get_queryset(self) -> QuerySet:
        return selectors.destinations(actor=self.actor).filter(fhir_server__isnull=True)

    def service_create(self, data: dict[str, Any]) -> Hl7Destination:
        if selectors.destinations(actor=self.actor).filter(name=data["name"]).exists():
            words = "There is a destination of this name."
            raise AlreadyExists(words, todo="Change that one.", errors={"name": [words]})
        return services.add_destination(**data, actor=self.actor)

    def service_change(self, destination: Hl7Destination, data: dict[str, Any]) -> Hl7Destination:
        data.pop("name", None)
        kept = {name: getattr(destination, name) for name in ("host", "port", "messages", "is_active")}
        return services.add_destination(**{**kept, **data, "name": destination.name}, actor=self.actor)

    @extend_schema(request=DestinationInputSerializer, responses={201: DestinationSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send messages somewhere. One that takes ORU gets a rule of delivery."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=DestinationInputSerializer(partial=True), responses=DestinationSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is given; the name stays."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=ParkSerializer, responses=DestinationSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uuid: str | None = None) -> Response:
        """Send nothing until it is resumed; the queue keeps its order."""
        asked = ParkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        row = services.pause_destination(self.get_object(), reason=asked.validated_data["reason"], actor=self.actor)
        return self.answer(row)

    @extend_schema(request=None, responses=DestinationSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uuid: str | None = None) -> Response:
        """Send what waits, at once."""
        return self.answer(services.resume_destination(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=ReachedSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, uuid: str | None = None) -> Response:
        """Send its `test_message` and tell what came back; without one only the connection (and TLS) is tried."""
        try:
            return Response({"is_reached": True, "words": reach.probe(self.get_object().name)})
        except OutsideFailed as failure:
            return Response({"is_reached": False, "words": failure.detail})

    @extend_schema(request=ReplayRangeSerializer, responses=ReplayedSerializer)
    @action(detail=True, methods=["post"], url_path="replay-range")
    def replay_range(self, request: Request, uuid: str | None = None) -> Response:
        """Send a range again. Without `expected` it only counts; with it that very number is sent, or none (409)."""
        row = self.get_object()
        asked = ReplayRangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = dict(asked.validated_data)
        expected, reason = data.pop("expected", None), data.pop("reason", "")
        if expected is None:
            return Response({"count": outbound.range_to_replay(row, **data).count(), "queued": 0})
        queued = outbound.replay_range(row, **data, expected=expected, reason=reason, actor=self.actor)
        return Response({"count": expected, "queued": queued})


class _ReceiverPagination(CursorPagination):
    ordering = ("id",)


class ReceiverViewSet(ListMixin, FacilityViewSet):
    """By which port or names, and from where, messages come in."""

    permission_codes = {"list": perms.VIEW_INTERFACES}
    serializer_class = ReceiverSerializer
    pagination_class = _ReceiverPagination
    queryset = Hl7Destination.objects.none()
    filter_backends = ()

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return Hl7Destination.objects.none()
        return selectors.receivers(actor=self.actor)
