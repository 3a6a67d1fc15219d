"""``/api/v1/critical-categories/`` and ``/api/v1/wall-displays/``: what a site decides about critical results."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reporting import permissions as perms
from reporting.api.serializers import NothingSerializer
from reporting.models import AlertCategory, CriticalCategory, EscalationRule, WallDisplay
from reporting.models.critical_setup import ICONS, TONES
from reporting.services.critical_setup import prepare_display, revoke_display, save_category
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.notifications.models import Channel


class LevelSerializer(serializers.ModelSerializer):
    class Meta:
        model = EscalationRule
        fields = ("level", "contact", "wait_minutes", "channels")


class CategorySerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    findings = serializers.SerializerMethodField()
    chain = serializers.SerializerMethodField()

    class Meta:
        model = AlertCategory
        fields = (
            "id", "code", "name", "severity", "minutes", "needs_read_back", "tone", "icon", "is_solid", "position",
            "is_active", "findings", "chain",
        )  # fmt: skip
        read_only_fields = fields

    def get_findings(self, category: AlertCategory) -> list[str]:
        return [row.text for row in category.findings.all() if row.is_active]

    @extend_schema(responses=LevelSerializer(many=True))
    def get_chain(self, category: AlertCategory) -> list[dict[str, Any]]:
        return list(LevelSerializer([row for row in category.chain.all() if row.is_active], many=True).data)


class LevelInputSerializer(serializers.Serializer):
    contact = serializers.SlugField(max_length=50, help_text="`requester`, or the code of a duty.")
    wait_minutes = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    channels = serializers.ListField(child=serializers.ChoiceField(choices=Channel.choices), required=False)


class CategoryInputSerializer(serializers.Serializer):
    code = serializers.SlugField(max_length=20)
    name = serializers.CharField(max_length=60)
    severity = serializers.ChoiceField(choices=CriticalCategory.choices)
    minutes = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    needs_read_back = serializers.BooleanField(required=False)
    tone = serializers.ChoiceField(choices=TONES, required=False)
    icon = serializers.ChoiceField(choices=ICONS, required=False)
    is_solid = serializers.BooleanField(required=False)
    position = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    is_active = serializers.BooleanField(required=False)
    findings = serializers.ListField(child=serializers.CharField(max_length=200), required=False)
    chain = LevelInputSerializer(many=True, required=False, help_text="The levels in their order, from 0.")


class CategoryViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """The site's categories of critical results, with the findings to choose from and the chain of contacts."""

    queryset = AlertCategory.objects.none()
    http_method_names = ["get", "post", "patch", "head", "options"]
    serializer_class = CategorySerializer
    serializer_classes = {"create": CategoryInputSerializer, "partial_update": CategoryInputSerializer}
    permission_codes = {
        "list": perms.VIEW_CRITICAL,
        "retrieve": perms.VIEW_CRITICAL,
        "create": perms.MANAGE_CRITICAL,
        "partial_update": perms.MANAGE_CRITICAL,
    }

    def get_queryset(self) -> QuerySet[AlertCategory]:
        return AlertCategory.objects.prefetch_related("findings", "chain").order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> AlertCategory:
        return self._again(save_category(**data, actor=self.actor))

    def service_change(self, category: AlertCategory, data: dict[str, Any]) -> AlertCategory:
        return self._again(save_category(category, **data, actor=self.actor))

    def _again(self, category: AlertCategory) -> AlertCategory:
        return self.get_queryset().get(pk=category.pk)

    @extend_schema(request=CategoryInputSerializer, responses={201: CategorySerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A category of the site's own."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=CategoryInputSerializer, responses=CategorySerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change it. Findings and chain, where given, replace what was offered; running alerts keep their deadline."""
        return super().partial_update(request, *args, **kwargs)


class WallDisplaySerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = WallDisplay
        fields = ("id", "label", "expires_at", "revoked_at", "seen_at", "pairing_expires_at")
        read_only_fields = fields


class DisplayInputSerializer(serializers.Serializer):
    label = serializers.CharField(max_length=80)


class PreparedDisplaySerializer(WallDisplaySerializer):
    code = serializers.CharField(read_only=True, help_text="Typed on the screen at /sign-in/display/; shown once.")

    class Meta(WallDisplaySerializer.Meta):
        fields = (*WallDisplaySerializer.Meta.fields, "code")
        read_only_fields = fields


class WallDisplayViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Screens that show the board of critical results on a wall, without names."""

    queryset = WallDisplay.objects.none()
    serializer_class = WallDisplaySerializer
    serializer_classes = {"create": DisplayInputSerializer, "revoke": NothingSerializer}
    permission_codes = {
        "list": perms.MANAGE_DISPLAYS,
        "retrieve": perms.MANAGE_DISPLAYS,
        "create": perms.MANAGE_DISPLAYS,
        "revoke": perms.MANAGE_DISPLAYS,
    }

    def get_queryset(self) -> QuerySet[WallDisplay]:
        return WallDisplay.objects.order_by("-pk")

    @extend_schema(request=DisplayInputSerializer, responses={201: PreparedDisplaySerializer})
    def create(self, request: Request) -> Response:
        """Prepare one: the answer holds the code that is typed on the screen within a quarter of an hour."""
        display, code = prepare_display(**self.validated(), actor=self.actor)
        display.code = code  # shown once, never stored
        return Response(PreparedDisplaySerializer(display).data, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=WallDisplaySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, uuid: str | None = None) -> Response:
        """It shows nothing any more."""
        return Response(WallDisplaySerializer(revoke_display(self.get_object(), actor=self.actor)).data)
