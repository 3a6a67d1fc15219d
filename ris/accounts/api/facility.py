"""What a facility decides for itself, access in an emergency, and the outbox."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import CreateMixin, FacilityAPIView, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import BreakGlass, FacilitySettings
from ris.accounts.selectors import facility_settings
from ris.accounts.services.emergency import break_glass, end_break_glass
from ris.accounts.services.outbox import deliver_again_by_hand
from ris.accounts.services.settings import change_settings
from ris.core.api import check_if_match, etag_of
from ris.events.models import Delivery, DeliveryStatus


class SettingsSerializer(serializers.ModelSerializer):
    """The gateway's token goes in and never comes out."""

    class Meta:
        model = FacilitySettings
        exclude = ("id",)
        read_only_fields = ("uuid", "created_at", "updated_at", "version")
        extra_kwargs = {"sms_gateway_token": {"write_only": True}}


class SettingsView(FacilityAPIView):
    """The facility's own decisions."""

    permission_codes = {"get": "accounts.view_settings", "patch": "accounts.change_settings"}
    requires_if_match = ("patch",)

    @extend_schema(operation_id="facility_settings_retrieve", responses=SettingsSerializer, tags=["facility-settings"])
    def get(self, request: Request) -> Response:
        """Everything that the facility has decided."""
        row = facility_settings()
        self.audit_read(row)
        return self._shown(row)

    @extend_schema(
        operation_id="facility_settings_change",
        request=SettingsSerializer(partial=True),
        responses=SettingsSerializer,
        tags=["facility-settings"],
    )
    def patch(self, request: Request) -> Response:
        """Decide otherwise; what is not named stays."""
        row = facility_settings()
        check_if_match(request, row, is_required=True)
        asked = SettingsSerializer(row, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        return self._shown(change_settings(actor=self.actor, **asked.validated_data))

    @staticmethod
    def _shown(row: FacilitySettings) -> Response:
        return Response(SettingsSerializer(row).data, headers={"ETag": etag_of(row)})


class BreakGlassSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    user = serializers.UUIDField(source="user.uuid", read_only=True)
    user_name = serializers.CharField(source="user.display_name", read_only=True)

    class Meta:
        model = BreakGlass
        fields = ("id", "user", "user_name", "patient", "reason", "started_at", "expires_at", "ended_at")
        read_only_fields = fields


class BreakGlassInputSerializer(serializers.Serializer):
    patient = serializers.UUIDField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=500)


class BreakGlassViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Access taken in an emergency; one's own, and everybody's for who watches over it."""

    queryset = BreakGlass.objects.none()
    serializer_class = BreakGlassSerializer
    serializer_classes = {"create": BreakGlassInputSerializer}
    ordering_fields = ("id", "started_at")
    permission_codes = dict.fromkeys(("list", "retrieve", "create", "end"), "accounts.break_glass")
    also_allowed = ("accounts.view_break_glass",)

    def get_queryset(self) -> QuerySet[BreakGlass]:
        found = BreakGlass.objects.select_related("user").order_by("-pk")
        return found if self.actor.may("accounts.view_break_glass") else found.filter(user=self.actor.user)

    def service_create(self, data: dict[str, Any]) -> BreakGlass:
        return break_glass(**data, actor=self.actor)

    @extend_schema(request=BreakGlassInputSerializer, responses={201: BreakGlassSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """See one restricted patient for an hour, with a reason; quality leads and administrators are told at once."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=None, responses=BreakGlassSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, uuid: str | None = None) -> Response:
        """Give it back before the hour is over."""
        return self.answer(end_break_glass(self.get_object(), actor=self.actor))


class OutboxDeliverySerializer(serializers.ModelSerializer):
    event = serializers.CharField(source="event.name", read_only=True)
    event_id = serializers.UUIDField(source="event.uuid", read_only=True)
    subject = serializers.CharField(source="event.subject", read_only=True)
    occurred_at = serializers.DateTimeField(source="event.occurred_at", read_only=True)

    class Meta:
        model = Delivery
        fields = (
            "id", "event", "event_id", "subject", "occurred_at", "subscriber", "status", "attempts",
            "next_attempt_at", "delivered_at", "last_error",
        )  # fmt: skip
        read_only_fields = fields


class OutboxFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=DeliveryStatus.choices)
    subscriber = filters.CharFilter(max_length=100)
    event = filters.CharFilter(field_name="event__name", max_length=100)

    class Meta:
        model = Delivery
        fields: list[str] = []


class OutboxViewSet(ListMixin, FacilityViewSet):
    """Who within the house is still to hear of what has happened; named by number, for nothing outside points here."""

    queryset = Delivery.objects.none()
    serializer_class = OutboxDeliverySerializer
    filterset_class = OutboxFilter
    lookup_field = "id"
    ordering_fields = ("id",)
    permission_codes = {"list": "events.view_event", "again": "events.deliver_again"}

    def get_queryset(self) -> QuerySet[Delivery]:
        return Delivery.objects.select_related("event").order_by("-pk")

    @extend_schema(request=None, responses=OutboxDeliverySerializer)
    @action(detail=True, methods=["post"])
    def again(self, request: Request, id: str | None = None) -> Response:
        """Hand it over once more, whatever became of it."""
        return Response(OutboxDeliverySerializer(deliver_again_by_hand(self.get_object(), actor=self.actor)).data)
