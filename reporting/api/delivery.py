"""``/api/v1/delivery-rules/``: to whom results go, and how."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reporting import permissions as perms
from reporting.models import DeliveryChannel, DeliveryRule, MailForm
from reporting.services import delivery_rules as services
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Practitioner
from ris.core.errors import InvalidData


class DeliveryRuleSerializer(serializers.ModelSerializer):
    """Address and password are never shown; whether there are any is."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    requester = serializers.UUIDField(source="requester.uuid", read_only=True, allow_null=True, default=None)
    has_address = serializers.SerializerMethodField()
    has_password = serializers.SerializerMethodField()

    class Meta:
        model = DeliveryRule
        fields = (
            "id", "channel", "destination", "requester", "mail_form", "includes_copies", "includes_preliminary",
            "is_mandatory", "is_active", "has_address", "has_password",
        )  # fmt: skip
        read_only_fields = fields

    def get_has_address(self, rule: DeliveryRule) -> bool:
        return bool(rule.address)

    def get_has_password(self, rule: DeliveryRule) -> bool:
        return bool(rule.password)


class DeliveryRuleInputSerializer(serializers.Serializer):
    channel = serializers.ChoiceField(choices=DeliveryChannel.choices)
    destination = serializers.CharField(
        max_length=64,
        required=False,
        allow_blank=True,
        help_text="An HL7 destination, a FHIR server, or the name of a practice; empty: each requester's own address.",
    )
    requester = serializers.UUIDField(required=False, allow_null=True, help_text="Only this practitioner's results.")
    address = serializers.CharField(max_length=254, required=False, write_only=True)
    mail_form = serializers.ChoiceField(choices=MailForm.choices, required=False)
    password = serializers.CharField(
        max_length=80, required=False, write_only=True, help_text="Agreed with the practice."
    )
    includes_copies = serializers.BooleanField(required=False)
    includes_preliminary = serializers.BooleanField(required=False)
    is_mandatory = serializers.BooleanField(required=False)
    is_active = serializers.BooleanField(required=False)


class TrySerializer(serializers.Serializer):
    to = serializers.CharField(
        max_length=254, required=False, default="", help_text="Where the rule has no address of its own."
    )


class TriedSerializer(serializers.Serializer):
    detail = serializers.CharField()


class DeliveryRuleViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Rules of delivery. What was planned by a rule stays planned when it changes."""

    queryset = DeliveryRule.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = DeliveryRuleSerializer
    serializer_classes = {
        "create": DeliveryRuleInputSerializer,
        "partial_update": DeliveryRuleInputSerializer,
        "test": TrySerializer,
    }
    permission_codes = dict.fromkeys(
        ("list", "retrieve", "create", "partial_update", "test"), perms.MANAGE_DELIVERY_RULES
    )

    def get_queryset(self) -> QuerySet[DeliveryRule]:
        return DeliveryRule.objects.select_related("requester").order_by("-pk")

    def _values(self, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("requester"):
            person = Practitioner.objects.filter(uuid=data["requester"]).first()
            if person is None:
                raise InvalidData("The rule cannot be kept.", errors={"requester": ["There is no such practitioner."]})
            data["requester"] = person
        return data

    def service_create(self, data: dict[str, Any]) -> DeliveryRule:
        return services.save_delivery_rule(**self._values(data), actor=self.actor)

    def service_change(self, rule: DeliveryRule, data: dict[str, Any]) -> DeliveryRule:
        return services.save_delivery_rule(rule, **self._values(data), actor=self.actor)

    @extend_schema(request=TrySerializer, responses=TriedSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, uuid: str | None = None) -> Response:
        """Send a message without any result, or ask the other system whether it is there."""
        words = services.try_delivery_rule(self.get_object(), **self.validated(), actor=self.actor)
        return Response({"detail": words})
