"""REST: DICOM work that goes out by itself."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.api.serializers import ParkSerializer
from interop.dicom.outgoing import cancel_outgoing, outgoing, park_outgoing, retry_outgoing
from interop.models import OutgoingDicom, OutgoingStatus
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin


class OutgoingSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    peer = serializers.CharField(source="peer.ae_title", read_only=True, help_text="AE title.")
    subject = serializers.UUIDField(read_only=True, help_text="The performed step, the study or the rejection.")

    class Meta:
        model = OutgoingDicom
        fields = (
            "id", "kind", "peer", "subject", "accession_number", "status", "attempts", "created_at",
            "next_attempt_at", "tried_at", "done_at", "last_error",
        )  # fmt: skip
        read_only_fields = fields


class CancelSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300)


class OutgoingViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Performed steps, availability notifications, rejection notes and images on their way to DICOM peers."""

    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "retry": perms.REPLAY_MESSAGE,
        "park": perms.REPLAY_MESSAGE,
        "cancel": perms.REPLAY_MESSAGE,
    }
    serializer_class = OutgoingSerializer
    queryset = OutgoingDicom.objects.none()

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return OutgoingDicom.objects.none()
        asked = self.request.query_params if self.action == "list" else {}
        status = asked.get("status", "")
        if status and status not in OutgoingStatus.values:
            raise ValidationError({"status": [f"One of: {', '.join(OutgoingStatus.values)}."]})
        return outgoing(actor=self.actor, status=status, peer=asked.get("peer", ""))

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return queryset

    @extend_schema(
        parameters=[
            OpenApiParameter("status", str, enum=OutgoingStatus.values),
            OpenApiParameter("peer", str, description="AE title."),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(request=None, responses=OutgoingSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, uuid: str | None = None) -> Response:
        """Try it now; what was parked or cancelled goes back into the queue."""
        return self.answer(retry_outgoing(self.get_object(), actor=self.actor))

    @extend_schema(request=ParkSerializer, responses=OutgoingSerializer)
    @action(detail=True, methods=["post"])
    def park(self, request: Request, uuid: str | None = None) -> Response:
        """Take it out of the queue; what waits behind it goes on."""
        row, reason = self.get_object(), self._reason(ParkSerializer)
        return self.answer(park_outgoing(row, reason=reason, actor=self.actor))

    @extend_schema(request=CancelSerializer, responses=OutgoingSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Never send it, and say why."""
        row, reason = self.get_object(), self._reason(CancelSerializer)
        return self.answer(cancel_outgoing(row, reason=reason, actor=self.actor))

    def _reason(self, shape: type[serializers.Serializer]) -> str:
        asked = shape(data=self.request.data)
        asked.is_valid(raise_exception=True)
        return asked.validated_data["reason"]
