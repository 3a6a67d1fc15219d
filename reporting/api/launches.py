"""``/api/v1/viewer-launches/``: what was opened in other viewers and still opens there, and ending it."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reporting.models import ViewerLaunch
from reporting.services.launch import revoke_launch
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from worklist.permissions import VIEW_STUDY


class ViewerLaunchSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    viewer = serializers.CharField(source="viewer.name", default="")
    person = serializers.UUIDField(source="user.uuid")
    study = serializers.UUIDField(source="study.uuid")

    class Meta:
        model = ViewerLaunch
        fields = ("id", "viewer", "person", "study", "launched_at", "expires_at", "revoked_at")


class RevokeLaunchSerializer(serializers.Serializer):
    """Nothing is sent."""


class ViewerLaunchViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """One's own launches; everybody's for who looks after the links."""

    queryset = ViewerLaunch.objects.none()
    serializer_class = ViewerLaunchSerializer
    serializer_classes = {"revoke": RevokeLaunchSerializer}
    permission_codes = dict.fromkeys(("list", "retrieve", "revoke"), VIEW_STUDY)

    def get_queryset(self) -> QuerySet[ViewerLaunch]:
        return ViewerLaunch.objects.visible_to(self.actor).select_related("viewer", "user", "study")

    @extend_schema(summary="Revoke a launch", request=RevokeLaunchSerializer, responses=ViewerLaunchSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, uuid: str | None = None) -> Response:
        """Its token opens nothing from now on."""
        revoke_launch(self.get_object(), actor=self.actor)
        return self.answer(self.get_object())
