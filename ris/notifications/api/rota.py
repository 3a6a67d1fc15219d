"""``/api/v1/duties/``, ``/api/v1/rota-shifts/`` and ``/api/v1/on-duty/``: the rota."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import CreateMixin, FacilityAPIView, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import User
from ris.core.errors import InvalidData
from ris.notifications import permissions as perms
from ris.notifications import rota
from ris.notifications.models import Duty, RotaShift


class DutySerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = Duty
        fields = (
            "id", "code", "name", "position", "location", "phone", "must_be_staffed", "staffed_from", "staffed_until",
            "is_active",
        )  # fmt: skip
        read_only_fields = fields


class DutyViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What somebody can be on duty for. The administration keeps them."""

    queryset = Duty.objects.none()
    serializer_class = DutySerializer
    permission_codes = {"list": perms.VIEW_ROTA, "retrieve": perms.VIEW_ROTA}

    def get_queryset(self) -> QuerySet[Duty]:
        return Duty.objects.order_by("-pk")


class RotaShiftSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    user = serializers.UUIDField(source="user.uuid", read_only=True)
    user_name = serializers.CharField(source="user.display_name", read_only=True)
    substitute = serializers.UUIDField(source="substitute.uuid", read_only=True, allow_null=True, default=None)

    class Meta:
        model = RotaShift
        fields = ("id", "duty", "user", "user_name", "substitute", "starts_at", "ends_at", "note", "cancelled_at")
        read_only_fields = fields


class RotaShiftInputSerializer(serializers.Serializer):
    duty = serializers.SlugField(max_length=50)
    user = serializers.UUIDField()
    substitute = serializers.UUIDField(required=False, allow_null=True)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    repeat_weeks = serializers.IntegerField(min_value=0, max_value=rota.MOST_REPEATS, required=False, default=0)
    note = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")


class SubstituteSerializer(serializers.Serializer):
    substitute = serializers.UUIDField(allow_null=True, help_text="null: the holder of the shift is back.")


class NoBodySerializer(serializers.Serializer):
    """Nothing is asked for."""


class OnDutySerializer(serializers.Serializer):
    duty = serializers.CharField(source="duty.code")
    name = serializers.CharField(source="duty.name")
    phone = serializers.CharField(source="duty.phone")
    is_gap = serializers.BooleanField()
    shifts = RotaShiftSerializer(many=True)


class RotaShiftFilter(filters.FilterSet):
    duty = filters.CharFilter(max_length=50)
    user = filters.UUIDFilter(field_name="user__uuid")
    ends_after = filters.IsoDateTimeFilter(field_name="ends_at", lookup_expr="gt")
    starts_before = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")

    class Meta:
        model = RotaShift
        fields: list[str] = []


def person(uuid: UUID | None, field: str) -> User | None:
    if uuid is None:
        return None
    found = User.objects.filter(uuid=uuid, is_active=True, is_service=False).first()
    if found is None:
        raise InvalidData("This person is not known.", errors={field: ["There is no such person here."]})
    return found


class RotaShiftViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Shifts of the rota. One that should not be is cancelled, never deleted."""

    queryset = RotaShift.objects.none()
    serializer_class = RotaShiftSerializer
    serializer_classes = {
        "create": RotaShiftInputSerializer,
        "substitute": SubstituteSerializer,
        "cancel": NoBodySerializer,
    }
    filterset_class = RotaShiftFilter
    permission_codes = {
        "list": perms.VIEW_ROTA,
        "retrieve": perms.VIEW_ROTA,
        "create": perms.CHANGE_ROTA,
        "substitute": perms.CHANGE_ROTA,
        "cancel": perms.CHANGE_ROTA,
    }

    def get_queryset(self) -> QuerySet[RotaShift]:
        return RotaShift.objects.select_related("user", "substitute").order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> RotaShift:
        data["user"] = person(data["user"], "user")
        data["substitute"] = person(data.pop("substitute", None), "substitute")
        return rota.add_shift(**data, actor=self.actor)

    @extend_schema(request=RotaShiftInputSerializer, responses={201: RotaShiftSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Put somebody on duty; `repeat_weeks` again in each of the following weeks. Answers the first shift."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=SubstituteSerializer, responses=RotaShiftSerializer)
    @action(detail=True, methods=["post"])
    def substitute(self, request: Request, uuid: str | None = None) -> Response:
        """Somebody stands in for its holder."""
        shift = self.get_object()
        wanted = person(self.validated()["substitute"], "substitute")
        return self.answer(rota.substitute_shift(shift, substitute=wanted, actor=self.actor))

    @extend_schema(request=NoBodySerializer, responses=RotaShiftSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Take it off the rota."""
        return self.answer(rota.cancel_shift(self.get_object(), actor=self.actor))


class OnDutyView(FacilityAPIView):
    """Who is on duty now, and which duty that must be staffed is not."""

    permission_codes = {"get": perms.VIEW_ROTA}

    @extend_schema(responses=OnDutySerializer(many=True))
    def get(self, request: Request) -> Response:
        self.audit_read([], page="on-duty")
        return Response(OnDutySerializer(rota.on_duty_now(), many=True).data)
