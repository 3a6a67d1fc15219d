"""REST: FHIR servers that we send to, programs that come by SMART, subscriptions to what happens here."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.fhir import servers
from interop.fhir.smart import clients
from interop.fhir.subscriptions import queue, services
from interop.models import FhirServer, FhirSubscription, SmartClient
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import User
from ris.core.errors import InvalidData


class FhirServerSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    name = serializers.CharField(source="queue.name", read_only=True)
    resources = serializers.ListField(source="queue.messages", child=serializers.CharField(), read_only=True)
    is_active = serializers.BooleanField(source="queue.is_active", read_only=True)
    is_paused = serializers.BooleanField(source="queue.is_paused", read_only=True)

    class Meta:
        model = FhirServer
        fields = (
            "id", "name", "base_url", "release", "resources", "token_url", "client_id", "scope", "is_active",
            "is_paused", "created_at", "updated_at", "version",
        )  # fmt: skip
        read_only_fields = fields


class FhirServerInputSerializer(serializers.Serializer):
    name = serializers.SlugField(max_length=64, help_text="What delivery rules call it by; it cannot be changed.")
    base_url = serializers.URLField(max_length=300, help_text="Its host is on the facility's allow-list.")
    release = serializers.ChoiceField(choices=[("r4", "R4"), ("r5", "R5")], required=False)
    resources = serializers.ListField(
        child=serializers.ChoiceField(choices=[(name, name) for name in servers.TYPES]),
        allow_empty=False,
        required=False,
        help_text="What it is sent. Reports as delivery rules say, the others whenever they change.",
    )
    token = serializers.CharField(required=False, allow_blank=True, write_only=True, max_length=4000)
    token_url = serializers.URLField(required=False, allow_blank=True, max_length=300)
    client_id = serializers.CharField(required=False, allow_blank=True, max_length=255)
    client_secret = serializers.CharField(required=False, allow_blank=True, write_only=True, max_length=1000)
    scope = serializers.CharField(required=False, allow_blank=True, max_length=500)
    is_active = serializers.BooleanField(required=False)


class FhirServerChangeSerializer(FhirServerInputSerializer):
    name = None


class WordsSerializer(serializers.Serializer):
    detail = serializers.CharField()


class FhirServerViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """FHIR servers that reports, studies, orders and patients are put on. Secrets go in and never come out."""

    queryset = FhirServer.objects.none()
    serializer_class = FhirServerSerializer
    serializer_classes = {"create": FhirServerInputSerializer, "partial_update": FhirServerChangeSerializer}
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_INTERFACES,
        "partial_update": perms.MANAGE_INTERFACES,
        "test": perms.MANAGE_INTERFACES,
    }

    def get_queryset(self) -> QuerySet[FhirServer]:
        return servers.fhir_servers(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> FhirServer:
        return servers.save_fhir_server(**data, actor=self.actor)

    def service_change(self, server: FhirServer, data: dict[str, Any]) -> FhirServer:
        return servers.change_fhir_server(server, **data, actor=self.actor)

    @extend_schema(request=FhirServerInputSerializer, responses={201: FhirServerSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Keep a server; its messages wait in a queue of its own, among hl7-destinations."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=FhirServerChangeSerializer(partial=True), responses=FhirServerSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Another address, other resources, another way to be known."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=None, responses=WordsSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, uuid: str | None = None) -> Response:
        """Ask it now what it can do; 502 when it does not answer as agreed."""
        return Response({"detail": servers.ask_fhir_server(self.get_object(), actor=self.actor)})


class SmartClientSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    user = serializers.CharField(source="user.username", read_only=True, help_text="Whom it acts as.")
    jwks = serializers.DictField(read_only=True, help_text="The public keys that are kept here.")

    class Meta:
        model = SmartClient
        fields = (
            "id", "name", "client_id", "user", "scopes", "jwks", "jwks_url", "allowed_addresses", "token_minutes",
            "is_active", "last_used_at", "created_at", "updated_at", "version",
        )  # fmt: skip
        read_only_fields = fields


class SmartClientInputSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=100)
    user = serializers.CharField(max_length=150, help_text="The name of a user; the program never reaches further.")
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=100), allow_empty=False, help_text="For example system/Patient.rs."
    )
    jwks = serializers.DictField(required=False, help_text="A JSON Web Key Set, public keys only.")
    jwks_url = serializers.URLField(required=False, allow_blank=True, max_length=300)
    allowed_addresses = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    token_minutes = serializers.IntegerField(required=False, min_value=1, max_value=60)
    is_active = serializers.BooleanField(required=False)


class SmartClientViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Programs that get tokens by SMART Backend Services: assertions signed with a key of their own."""

    queryset = SmartClient.objects.none()
    serializer_class = SmartClientSerializer
    serializer_classes = {"create": SmartClientInputSerializer, "partial_update": SmartClientInputSerializer}
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "create": perms.MANAGE_CLIENTS,
        "partial_update": perms.MANAGE_CLIENTS,
    }

    def get_queryset(self) -> QuerySet[SmartClient]:
        return clients.smart_clients(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> SmartClient:
        return clients.register_client(**self._named(data), actor=self.actor)

    def service_change(self, client: SmartClient, data: dict[str, Any]) -> SmartClient:
        return clients.change_client(client, **self._named(data), actor=self.actor)

    @staticmethod
    def _named(data: dict[str, Any]) -> dict[str, Any]:
        if "user" not in data:
            return data
        user = User.objects.filter(username=data["user"], is_active=True).first()
        if user is None:
            raise InvalidData("The client cannot be kept.", errors={"user": ["There is no such active user."]})
        return {**data, "user": user}

    @extend_schema(request=SmartClientInputSerializer, responses={201: SmartClientSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Register a program; its client id is made here."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=SmartClientInputSerializer(partial=True), responses=SmartClientSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A change of its user, scopes, keys or state ends the tokens that it holds."""
        return super().partial_update(request, *args, **kwargs)


class FhirSubscriptionSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    owner = serializers.CharField(source="owner.username", read_only=True)
    waiting = serializers.SerializerMethodField(help_text="Notifications that wait.")
    parked = serializers.SerializerMethodField(help_text="Notifications that nobody tries any more.")

    class Meta:
        model = FhirSubscription
        fields = (
            "id", "release", "reason", "topic", "criteria", "endpoint", "content", "content_type", "status",
            "is_paused", "owner", "waiting", "parked", "failures", "last_error", "last_success_at", "ends_at",
            "created_at", "version",
        )  # fmt: skip
        read_only_fields = fields

    def get_waiting(self, row: FhirSubscription) -> int:
        return getattr(row, "waiting", 0)

    def get_parked(self, row: FhirSubscription) -> int:
        return getattr(row, "parked", 0)


class FhirSubscriptionViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Subscriptions, asked for at /fhir/r4/Subscription and /fhir/r5/Subscription; here they are looked after."""

    queryset = FhirSubscription.objects.none()
    serializer_class = FhirSubscriptionSerializer
    filterset_fields = ("status", "release", "topic", "is_paused")
    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "pause": perms.SUBSCRIBE,
        "resume": perms.SUBSCRIBE,
        "begin": perms.SUBSCRIBE,
        "end": perms.SUBSCRIBE,
        "send_again": perms.REPLAY_MESSAGE,
    }

    def get_queryset(self) -> QuerySet[FhirSubscription]:
        return services.subscriptions(actor=self.actor)

    @extend_schema(request=None, responses=FhirSubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, uuid: str | None = None) -> Response:
        """Tell it nothing for now; what happens meanwhile waits in its order."""
        return self.answer(services.pause_subscription(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=FhirSubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, uuid: str | None = None) -> Response:
        """Tell it again, beginning with what has waited longest."""
        return self.answer(services.resume_subscription(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=FhirSubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def begin(self, request: Request, uuid: str | None = None) -> Response:
        """Begin again after an error or an end; R5 shakes hands first."""
        return self.answer(services.begin_again(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=FhirSubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, uuid: str | None = None) -> Response:
        """Switch it off; what waits is not sent any more."""
        return self.answer(services.end_subscription(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=FhirSubscriptionSerializer)
    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, uuid: str | None = None) -> Response:
        """What was parked goes back into the queue."""
        return self.answer(queue.send_again(self.get_object(), actor=self.actor))
