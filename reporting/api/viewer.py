"""``/api/v1/viewer-links/``: links to viewers outside this house, and signed launches of one study."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reporting import permissions as perms
from reporting.models import ExternalViewer
from reporting.selectors.viewer import visible_study
from reporting.services.launch import launch_study, sample_link, save_external_viewer
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from worklist.permissions import VIEW_STUDY


class ViewerLinkSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    sample = serializers.SerializerMethodField(help_text="The address with values that open nothing.")

    class Meta:
        model = ExternalViewer
        fields = ["id", "name", "url_template", "minutes", "position", "is_active", "sample", "version", "updated_at"]
        read_only_fields = ["version", "updated_at"]

    def get_sample(self, row: ExternalViewer) -> str:
        return sample_link(row)


class LaunchInputSerializer(serializers.Serializer):
    study = serializers.UUIDField(help_text="The study, as /api/v1/studies/ names it.")


class LaunchSerializer(serializers.Serializer):
    url = serializers.CharField()
    token = serializers.CharField(help_text="Authorization: Bearer, at /dicomweb/, for this study alone.")
    study_instance_uid = serializers.CharField(source="study.study_instance_uid")
    expires_at = serializers.DateTimeField()


class ViewerLinkViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Links to OHIF, Weasis and others."""

    permission_codes = {
        "list": perms.MANAGE_VIEWERS,
        "retrieve": perms.MANAGE_VIEWERS,
        "create": perms.MANAGE_VIEWERS,
        "partial_update": perms.MANAGE_VIEWERS,
        "launch": VIEW_STUDY,
    }
    serializer_class = ViewerLinkSerializer
    serializer_classes = {"launch": LaunchInputSerializer}
    http_method_names = ("get", "post", "patch", "head", "options")
    ordering_fields = ("id", "name")

    def get_queryset(self) -> QuerySet[ExternalViewer]:
        return ExternalViewer.objects.order_by("pk")

    def service_create(self, data: dict[str, Any]) -> ExternalViewer:
        return save_external_viewer(ExternalViewer(**data), actor=self.actor)

    def service_change(self, row: ExternalViewer, data: dict[str, Any]) -> ExternalViewer:
        for name, value in data.items():
            setattr(row, name, value)
        return save_external_viewer(row, actor=self.actor)

    @extend_schema(
        summary="Launch a study in this viewer",
        description="A signed address for the caller, for one study and some minutes. The launch is recorded.",
        request=LaunchInputSerializer,
        responses={201: LaunchSerializer},
    )
    @action(detail=True, methods=["post"])
    def launch(self, request: Request, uuid: UUID | None = None) -> Response:
        link = self.get_object()
        study = visible_study(self.validated()["study"], actor=self.actor)
        made = launch_study(study, viewer=link, actor=self.actor)
        return Response(LaunchSerializer(made).data, status=status.HTTP_201_CREATED)
