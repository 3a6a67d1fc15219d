"""``/api/v1/share-links/``: links by which patients open their report. The code is answered once, when it is made."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reporting import permissions as perms
from reporting.models import Report, ShareAccess, ShareLink
from reporting.services import sharing as services
from reporting.services.sharing import DAYS_AT_MOST, Shared
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin


class VisitSerializer(serializers.ModelSerializer):
    class Meta:
        model = ShareAccess
        fields = ("at", "outcome", "version")


class ShareLinkSerializer(serializers.ModelSerializer):
    report = serializers.UUIDField(source="report.uuid")
    is_live = serializers.BooleanField()
    visits = VisitSerializer(many=True)

    class Meta:
        model = ShareLink
        fields = (
            "uuid", "report", "recipient", "channel", "opens_at", "expires_at", "is_live", "revoked_at",
            "revoked_reason", "visits", "created_at",
        )  # fmt: skip


class NewShareLinkSerializer(ShareLinkSerializer):
    path = serializers.CharField(help_text="Of the facility's own address.")
    code = serializers.CharField(help_text="Shown this once; give it by another way than the link.")

    class Meta(ShareLinkSerializer.Meta):
        fields = (*ShareLinkSerializer.Meta.fields, "path", "code")


class ShareReportSerializer(serializers.Serializer):
    report = serializers.UUIDField()
    recipient = serializers.CharField(max_length=120)
    days = serializers.IntegerField(min_value=1, max_value=DAYS_AT_MOST, required=False)
    channel = serializers.ChoiceField(choices=["sms", "email"], required=False)
    send_to = serializers.CharField(max_length=254, required=False)


class EndShareSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class NoBodySerializer(serializers.Serializer):
    """Nothing is sent."""


class ShareLinkViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Links for patients."""

    queryset = ShareLink.objects.none()
    serializer_class = ShareLinkSerializer
    serializer_classes = {"create": ShareReportSerializer, "end": EndShareSerializer, "new_code": NoBodySerializer}
    permission_codes = dict.fromkeys(("list", "retrieve", "create", "end", "new_code"), perms.SHARE_REPORT)

    def get_queryset(self) -> QuerySet[ShareLink]:
        return ShareLink.objects.visible_to(self.actor).select_related("report").prefetch_related("visits")

    def _new(self, new: Shared, http_status: int) -> Response:
        link = self.get_queryset().get(pk=new.link.pk)
        link.code, link.path = new.code, services.url_of(link)
        return Response(NewShareLinkSerializer(link).data, status=http_status)

    @extend_schema(request=ShareReportSerializer, responses={201: NewShareLinkSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A link for a final report, and its code."""
        data = self.validated()
        report = Report.objects.visible_to(self.actor).filter(uuid=data.pop("report")).first()
        if report is None:
            raise serializers.ValidationError({"report": ["There is no such report here."]})
        return self._new(services.share_report(report, **data, actor=self.actor), status.HTTP_201_CREATED)

    @extend_schema(request=NoBodySerializer, responses=NewShareLinkSerializer)
    @action(detail=True, methods=["post"], url_path="new-code")
    def new_code(self, request: Request, uuid: str | None = None) -> Response:
        """Another code; the old one works no more."""
        return self._new(services.new_share_code(self.get_object(), actor=self.actor), status.HTTP_200_OK)

    @extend_schema(request=EndShareSerializer, responses=ShareLinkSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, uuid: str | None = None) -> Response:
        """The link opens nothing from now on."""
        services.end_share(self.get_object(), **self.validated(), actor=self.actor)
        return self.answer(self.get_object())
