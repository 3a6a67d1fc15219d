"""REST: messages of both directions; masked, or opened for a purpose; sent again, parked, skipped, edited."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.api.serializers import MessageSerializer, ParkSerializer
from interop.hl7 import dictionary, selectors, services
from interop.hl7.messages import Hl7Error, parse
from interop.hl7.outbound import listing
from interop.hl7.outbound import services as outbound
from interop.models import InboundMessage, MessageStatus, OutboundMessage, OutboundStatus
from interop.web.meanings import meaning_of
from interop.web.messages import PURPOSES
from interop.web.pane import readable
from ris.accounts.api.base import FacilityViewSet, ListMixin
from ris.audit.service import record_read
from ris.core.errors import NotKnown

STATUSES = {"in": MessageStatus.values, "out": OutboundStatus.values}
SEARCHED = 50
Row = InboundMessage | OutboundMessage


class FieldSerializer(serializers.Serializer):
    place = serializers.CharField(help_text="For example PID-3.")
    name = serializers.CharField()
    value = serializers.CharField()
    is_masked = serializers.BooleanField()
    means = serializers.CharField(help_text="What a code means.")


class TrySerializer(serializers.Serializer):
    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    code = serializers.CharField(help_text="MSA-1; empty when nobody answered.")
    error = serializers.CharField()


class OriginalSerializer(serializers.Serializer):
    control_id = serializers.CharField()
    replaced_at = serializers.DateTimeField()
    replaced_by = serializers.CharField()
    reason = serializers.CharField()


class MessageDetailSerializer(MessageSerializer):
    """``raw`` and unmasked ``fields`` stand in the answer of ``open`` alone."""

    fields_ = serializers.SerializerMethodField(method_name="get_lines")
    tries = serializers.SerializerMethodField(help_text="Those that did not deliver.")
    originals = serializers.SerializerMethodField(help_text="What it was before it was edited.")
    copy_of = serializers.UUIDField(source="copy_of.uuid", read_only=True, allow_null=True, default=None)
    origin = serializers.CharField(read_only=True, default="", help_text="copy, replay, edit, or empty.")
    reason = serializers.CharField(read_only=True, default="")

    def get_fields(self) -> dict[str, Any]:
        found = super().get_fields()
        found["fields"] = found.pop("fields_")
        return found

    @extend_schema_field(FieldSerializer(many=True))
    def get_lines(self, row: Row) -> list[dict[str, Any]]:
        if row.protocol != "hl7":
            return []
        try:
            message = parse(bytes(row.body if isinstance(row, OutboundMessage) else row.raw))
        except Hl7Error:
            return []
        lines = dictionary.lines(message, opened=self.context.get("raw") is not None)
        return [
            {
                "place": line.place,
                "name": str(line.name),
                "value": line.value,
                "is_masked": line.is_masked,
                "means": str(meaning_of(line.place, line.value, message)),
            }
            for line in lines
        ]

    @extend_schema_field(TrySerializer(many=True))
    def get_tries(self, row: Row) -> list[dict[str, Any]]:
        return list(TrySerializer(row.failures.all(), many=True).data) if isinstance(row, OutboundMessage) else []

    @extend_schema_field(OriginalSerializer(many=True))
    def get_originals(self, row: Row) -> list[dict[str, Any]]:
        return list(OriginalSerializer(row.originals.all(), many=True).data) if isinstance(row, OutboundMessage) else []


class OpenSerializer(serializers.Serializer):
    purpose = serializers.ChoiceField(choices=[code for code, _words in PURPOSES], help_text="Recorded.")


class SearchSerializer(serializers.Serializer):
    q = serializers.CharField(
        max_length=listing.LONGEST_WORDS,
        required=False,
        allow_blank=True,
        default="",
        help_text="Control id, accession number, type, or (for who may open messages) a patient's number.",
    )
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False, help_text="This day included.")


class MessagesFoundSerializer(serializers.Serializer):
    results = MessageSerializer(many=True)


class SkipSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300)


class EditSerializer(serializers.Serializer):
    text = serializers.CharField(trim_whitespace=False, help_text="The whole message, one segment a line.")
    reason = serializers.CharField(max_length=300)


class SentSerializer(serializers.Serializer):
    queued = serializers.IntegerField()


class MessageViewSet(ListMixin, FacilityViewSet):
    """HL7 messages (and what goes to FHIR servers): stored as they came, queued as they go."""

    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "search": perms.VIEW_INTERFACES,
        "open": perms.VIEW_MESSAGE,
        "replay": perms.REPLAY_MESSAGE,
        "from_here": perms.REPLAY_MESSAGE,
        "park": perms.REPLAY_MESSAGE,
        "skip": perms.REPLAY_MESSAGE,
        "edit": perms.EDIT_MESSAGE,
    }
    also_allowed = (perms.VIEW_MESSAGE,)
    serializer_class = MessageSerializer
    queryset = OutboundMessage.objects.none()

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return OutboundMessage.objects.none()
        asked = self.request.query_params
        direction, status = asked.get("direction", "out"), asked.get("status", "")
        kind = asked.get("message_type", "")
        if direction not in STATUSES:
            raise ValidationError({"direction": ["Ask for in or out."]})
        if status and status not in STATUSES[direction]:
            raise ValidationError({"status": [f"One of: {', '.join(STATUSES[direction])}."]})
        if "\x00" in kind or "\x00" in asked.get("destination", ""):
            raise ValidationError({"message_type": ["It holds a character that no message has."]})
        if direction == "in":
            return selectors.inbound(actor=self.actor, status=status, message_type=kind)
        found = selectors.outbound(actor=self.actor, status=status, destination=asked.get("destination", ""))
        return found.filter(message_type__startswith=kind) if kind else found

    def get_object(self) -> Row:
        return selectors.message(self.kwargs["uuid"], actor=self.actor)

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return queryset

    @extend_schema(
        parameters=[
            OpenApiParameter("direction", str, enum=["in", "out"], default="out"),
            OpenApiParameter("status", str),
            OpenApiParameter("destination", str, description="Name of a destination (out)."),
            OpenApiParameter("message_type", str, description="Beginning of the type, for example ADT."),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response | StreamingHttpResponse:
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=MessageDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One message, masked: what could tell of the patient is left out."""
        row = self.get_object()
        self.audit_read(row, opened=False)
        return self._shown(row)

    @extend_schema(request=SearchSerializer, responses=MessagesFoundSerializer)
    @action(detail=False, methods=["post"], pagination_class=None)
    def search(self, request: Request) -> Response:
        """Both directions, the newest first; what is searched for stays out of the address."""
        asked = SearchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        came, went = listing.search(data["q"], actor=self.actor, since=data.get("since"), until=data.get("until"))
        rows = [*went[:SEARCHED], *came[:SEARCHED]]
        self.audit_read(rows)
        return Response({"results": MessageSerializer(rows, many=True).data})

    @extend_schema(request=OpenSerializer, responses=MessageDetailSerializer)
    @action(detail=True, methods=["post"])
    def open(self, request: Request, uuid: str | None = None) -> Response:
        """The content, unmasked. Who looked, and what for, is recorded."""
        row = self.get_object()
        asked = OpenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        row = services.open_message(row, actor=self.actor)
        detail = {"opened": True, "purpose": asked.validated_data["purpose"]}
        record_read(self.actor, perms.VIEW_MESSAGE, entity=row, detail=detail)
        raw = bytes(row.body if isinstance(row, OutboundMessage) else row.raw)
        return self._shown(row, readable(raw))

    @extend_schema(request=None, responses=MessageDetailSerializer)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, uuid: str | None = None) -> Response:
        """Out: send it (again). In: process it again. Nothing known is doubled."""
        row = self.get_object()
        if isinstance(row, OutboundMessage):
            return self._shown(services.send_again(row, actor=self.actor))
        return self._shown(services.process_again(row, actor=self.actor))

    @extend_schema(request=None, responses=SentSerializer)
    @action(detail=True, methods=["post"], url_path="from-here")
    def from_here(self, request: Request, uuid: str | None = None) -> Response:
        """Send it and all that is parked behind it for the same patient."""
        return Response({"queued": outbound.send_from_here(self._outgoing(), actor=self.actor)})

    @extend_schema(request=ParkSerializer, responses=MessageDetailSerializer)
    @action(detail=True, methods=["post"])
    def park(self, request: Request, uuid: str | None = None) -> Response:
        """Take a waiting message out of the queue."""
        row = self._outgoing()
        asked = ParkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._shown(services.park(row, reason=asked.validated_data["reason"], actor=self.actor))

    @extend_schema(request=SkipSerializer, responses=MessageDetailSerializer)
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, uuid: str | None = None) -> Response:
        """Never send it, and say why."""
        row = self._outgoing()
        asked = SkipSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._shown(services.skip(row, reason=asked.validated_data["reason"], actor=self.actor))

    @extend_schema(request=EditSerializer, responses=MessageDetailSerializer)
    @action(detail=True, methods=["post"])
    def edit(self, request: Request, uuid: str | None = None) -> Response:
        """Send other words in its place; the original is kept. Of a delivered message a copy is sent."""
        row = self._outgoing()
        asked = EditSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._shown(outbound.edit_and_send(row, **asked.validated_data, actor=self.actor))

    def _outgoing(self) -> OutboundMessage:
        row = self.get_object()
        if not isinstance(row, OutboundMessage):
            raise NotKnown("Only messages that go out can be asked this.")
        return row

    def _shown(self, row: Row, raw: str | None = None) -> Response:
        return Response(MessageDetailSerializer(row, context={"raw": raw}).data)
