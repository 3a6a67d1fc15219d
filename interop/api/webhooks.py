"""REST: webhooks, what was and is to be told to them, and every try."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.models import Webhook, WebhookAttempt, WebhookDelivery, WebhookDeliveryStatus
from interop.webhooks import catalogue, selectors, services
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin

ATTEMPTS_SHOWN = 20


class WebhookSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    waiting = serializers.SerializerMethodField(help_text="Deliveries that wait.")
    parked = serializers.SerializerMethodField(help_text="Deliveries that nobody tries any more.")
    secret = serializers.SerializerMethodField(help_text="Only in the answers that made it; null in all others.")

    class Meta:
        model = Webhook
        fields = (
            "id", "name", "url", "events", "is_active", "is_paused", "waiting", "parked", "failures", "last_error",
            "last_success_at", "created_at", "updated_at", "version", "secret",
        )  # fmt: skip
        read_only_fields = fields

    def get_waiting(self, webhook: Webhook) -> int:
        return getattr(webhook, "waiting", 0)

    def get_parked(self, webhook: Webhook) -> int:
        return getattr(webhook, "parked", 0)

    def get_secret(self, webhook: Webhook) -> str | None:
        return getattr(webhook, "plain_secret", None)


class WebhookInputSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=64)
    url = serializers.URLField(max_length=500, help_text="Its host is on the facility's allow-list.")
    events = serializers.ListField(
        child=serializers.CharField(max_length=60),
        allow_empty=False,
        help_text="Types such as report.finalized, or patterns such as report.* or *.",
    )
    is_active = serializers.BooleanField(required=False)


class AttemptSerializer(serializers.ModelSerializer):
    class Meta:
        model = WebhookAttempt
        fields = ("started_at", "milliseconds", "http_status", "error")
        read_only_fields = fields


class WebhookDeliverySerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True, help_text="The header webhook-id.")
    webhook = serializers.UUIDField(source="webhook.uuid", read_only=True)
    tries = serializers.SerializerMethodField(help_text=f"The last {ATTEMPTS_SHOWN}, newest first.")
    body = serializers.DictField(read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = (
            "id", "webhook", "event", "subject", "body", "status", "attempts", "created_at", "next_attempt_at",
            "delivered_at", "last_error", "tries",
        )  # fmt: skip
        read_only_fields = fields

    def get_tries(self, delivery: WebhookDelivery) -> list[dict[str, Any]]:
        return list(AttemptSerializer(list(delivery.tries.all())[:ATTEMPTS_SHOWN], many=True).data)


class EventTypeSerializer(serializers.Serializer):
    type = serializers.CharField()
    label = serializers.CharField()
    resource = serializers.CharField(help_text="What data.id names: /api/v1/<resource>/<id>/.")


class EventTypesSerializer(serializers.Serializer):
    results = EventTypeSerializer(many=True)


class WebhookViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Programs elsewhere that hear by HTTP what has happened here (Standard Webhooks): ids and links, never names."""

    queryset = Webhook.objects.none()
    serializer_class = WebhookSerializer
    serializer_classes = {"create": WebhookInputSerializer, "partial_update": WebhookInputSerializer}
    filterset_fields = ("is_active", "is_paused")
    ordering_fields = ("id", "name", "created_at")
    requires_if_match = ("partial_update",)
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_INTERFACES,
        "partial_update": perms.MANAGE_INTERFACES,
        "event_types": perms.VIEW_INTERFACES,
        "pause": perms.MANAGE_INTERFACES,
        "resume": perms.MANAGE_INTERFACES,
        "rotate_secret": perms.MANAGE_INTERFACES,
        "test": perms.MANAGE_INTERFACES,
    }

    def get_queryset(self) -> QuerySet[Webhook]:
        return selectors.webhooks(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Webhook:
        return services.create_webhook(**data, actor=self.actor)

    def service_change(self, webhook: Webhook, data: dict[str, Any]) -> Webhook:
        return services.change_webhook(webhook, **data, actor=self.actor)

    @extend_schema(request=WebhookInputSerializer, responses={201: WebhookSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Tell an address what happens; the secret that signs is in this answer and in no other."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=WebhookInputSerializer(partial=True), responses=WebhookSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Another name, address, choice of events, or switched off."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(responses=EventTypesSerializer, filters=False)
    @action(detail=False, methods=["get"], url_path="event-types", pagination_class=None)
    def event_types(self, request: Request) -> Response:
        """Everything that can be heard."""
        rows = [
            {"type": entry.type, "label": str(entry.label), "resource": entry.resource} for entry in catalogue.PUBLISHED
        ]
        return Response({"results": rows})

    @extend_schema(request=None, responses=WebhookSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uuid: str | None = None) -> Response:
        """Send nothing for now; what happens meanwhile waits in its order."""
        return self.answer(services.pause_webhook(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=WebhookSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uuid: str | None = None) -> Response:
        """Send again, beginning with what has waited longest."""
        return self.answer(services.resume_webhook(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=WebhookSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, uuid: str | None = None) -> Response:
        """A new secret, in this answer alone; for 24 hours both sign."""
        return self.answer(services.rotate_webhook_secret(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses={202: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, uuid: str | None = None) -> Response:
        """Send an event `webhook.test`; what became of it is read at `webhook-deliveries`."""
        delivery = services.test_webhook(self.get_object(), actor=self.actor)
        return Response(WebhookDeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


class WebhookDeliveryFilter(filters.FilterSet):
    webhook = filters.UUIDFilter(field_name="webhook__uuid")
    status = filters.MultipleChoiceFilter(choices=WebhookDeliveryStatus.choices)
    event = filters.CharFilter(max_length=60)
    subject = filters.UUIDFilter()
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []


class WebhookDeliveryViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What was and is to be told to webhooks, newest first, with every try."""

    queryset = WebhookDelivery.objects.none()
    serializer_class = WebhookDeliverySerializer
    filterset_class = WebhookDeliveryFilter
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "again": perms.REPLAY_MESSAGE,
        "cancel": perms.REPLAY_MESSAGE,
    }

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        tries = Prefetch("tries", WebhookAttempt.objects.order_by("-pk"))
        return selectors.deliveries(actor=self.actor).prefetch_related(tries)

    @extend_schema(request=None, responses=WebhookDeliverySerializer)
    @action(detail=True, methods=["post"])
    def again(self, request: Request, uuid: str | None = None) -> Response:
        """Send it (again), at once and under the same webhook-id."""
        return self.answer(services.deliver_again(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=WebhookDeliverySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Do not tell it any more; what waits behind it goes on."""
        return self.answer(services.drop_delivery(self.get_object(), actor=self.actor))
