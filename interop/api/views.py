"""REST: messages of both directions, where they go and where they come in."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.api.serializers import DestinationSerializer, MessageSerializer, ParkSerializer, ReceiverSerializer
from interop.hl7 import selectors, services
from interop.hl7.messages import Hl7Error, parse
from interop.models import Hl7Destination, InboundMessage, MessageStatus, OutboundMessage, OutboundStatus
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.api import CursorPagination
from ris.core.errors import NotKnown

STATUSES = {"in": MessageStatus.values, "out": OutboundStatus.values}


class MessageViewSet(ListMixin, FacilityViewSet):
    """HL7 messages: stored as they came, queued as they go."""

    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "replay": perms.REPLAY_MESSAGE,
        "park": perms.REPLAY_MESSAGE,
    }
    serializer_class = MessageSerializer
    queryset = OutboundMessage.objects.none()

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return OutboundMessage.objects.none()
        asked = self.request.query_params
        direction, status = asked.get("direction", "out"), asked.get("status", "")
        if direction not in STATUSES:
            raise ValidationError({"direction": ["Ask for in or out."]})
        if status and status not in STATUSES[direction]:
            raise ValidationError({"status": [f"One of: {', '.join(STATUSES[direction])}."]})
        if direction == "in":
            return selectors.inbound(actor=self.actor, status=status, message_type=asked.get("message_type", ""))
        return selectors.outbound(actor=self.actor, status=status, destination=asked.get("destination", ""))

    def get_object(self) -> InboundMessage | OutboundMessage:
        return selectors.message(self.kwargs["uuid"], actor=self.actor)

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return queryset

    @extend_schema(
        parameters=[
            OpenApiParameter("direction", str, enum=["in", "out"], default="out"),
            OpenApiParameter("status", str),
            OpenApiParameter("destination", str, description="Name of a destination (out)."),
            OpenApiParameter("message_type", str, description="Beginning of the type, for example ADT (in)."),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One message; its content only for who may open it, which is recorded."""
        row, raw = self.get_object(), None
        if self.actor.may(perms.VIEW_MESSAGE):
            try:
                raw = _text_of(services.open_message(row, actor=self.actor))
            except NotKnown:
                raw = None
        self.audit_read(row, opened=raw is not None)
        return self._shown(row, raw)

    @extend_schema(request=None, responses=MessageSerializer)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, uuid: str | None = None) -> Response:
        """Out: send it (again). In: process it again. Nothing known is doubled."""
        row = self.get_object()
        if isinstance(row, OutboundMessage):
            return self._shown(services.send_again(row, actor=self.actor))
        return self._shown(services.process_again(row, actor=self.actor))

    @extend_schema(request=ParkSerializer, responses=MessageSerializer)
    @action(detail=True, methods=["post"])
    def park(self, request: Request, uuid: str | None = None) -> Response:
        """Take a waiting message out of the queue."""
        row = self.get_object()
        asked = ParkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if not isinstance(row, OutboundMessage):
            raise NotKnown("Only messages that go out can be parked.")
        return self._shown(services.park(row, reason=asked.validated_data["reason"], actor=self.actor))

    def _shown(self, row: InboundMessage | OutboundMessage, raw: str | None = None) -> Response:
        return Response(MessageSerializer(row, context={"raw": raw}).data)


def _text_of(row: InboundMessage | OutboundMessage) -> str:
    raw = bytes(row.body if isinstance(row, OutboundMessage) else row.raw)
    try:
        return parse(raw).text
    except Hl7Error:
        return raw.decode("utf-8", errors="replace")


class DestinationViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Where messages go."""

    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "pause": perms.MANAGE_INTERFACES,
        "resume": perms.MANAGE_INTERFACES,
    }
    serializer_class = DestinationSerializer
    queryset = Hl7Destination.objects.none()

    def get_queryset(self) -> QuerySet:
        return selectors.destinations(actor=self.actor)

    @extend_schema(request=None, responses=DestinationSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uuid: str | None = None) -> Response:
        return self.answer(services.pause_destination(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=DestinationSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uuid: str | None = None) -> Response:
        return self.answer(services.resume_destination(self.get_object(), actor=self.actor))


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
