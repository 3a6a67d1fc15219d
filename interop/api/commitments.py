"""REST: storage commitment requests and their reports."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from interop import permissions as perms
from interop.dicom.commitment_reports import park_report, report_again
from interop.dicom.commitments import commitments
from interop.models import CommitmentStatus, StorageCommitment
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin


class CommitmentFailureSerializer(serializers.Serializer):
    sop_class_uid = serializers.CharField()
    sop_instance_uid = serializers.CharField()
    reason = serializers.IntegerField(help_text="Failure Reason (0008,1197): 272 processing, 274 absent, 281 class.")


class CommitmentSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    asked_count = serializers.IntegerField(read_only=True)
    failed_count = serializers.IntegerField(read_only=True)
    failures = serializers.SerializerMethodField()

    class Meta:
        model = StorageCommitment
        fields = (
            "id", "transaction_uid", "calling_ae_title", "status", "asked_count", "failed_count", "failures",
            "requested_at", "checked_at", "attempts", "next_attempt_at", "delivered_at", "last_error",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(CommitmentFailureSerializer(many=True))
    def get_failures(self, row: StorageCommitment) -> list[dict[str, Any]]:
        return [
            {"sop_class_uid": sop_class, "sop_instance_uid": uid, "reason": reason}
            for sop_class, uid, reason in row.failures
        ]


class CommitmentViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Who asked us to answer for stored instances, what was found, and whether the report was taken."""

    permission_codes = {
        "list": perms.VIEW_INTERFACES,
        "retrieve": perms.VIEW_INTERFACES,
        "report": perms.MANAGE_INTERFACES,
        "park": perms.MANAGE_INTERFACES,
    }
    serializer_class = CommitmentSerializer
    queryset = StorageCommitment.objects.none()

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return StorageCommitment.objects.none()
        status = self.request.query_params.get("status", "") if self.action == "list" else ""
        if status and status not in CommitmentStatus.values:
            raise ValidationError({"status": [f"One of: {', '.join(CommitmentStatus.values)}."]})
        return commitments(actor=self.actor, status=status)

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return queryset

    @extend_schema(parameters=[OpenApiParameter("status", str, enum=CommitmentStatus.values)])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(request=None, responses=CommitmentSerializer)
    @action(detail=True, methods=["post"])
    def report(self, request: Request, uuid: str | None = None) -> Response:
        """Look again at what is stored, and report it (again)."""
        return self.answer(report_again(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=CommitmentSerializer)
    @action(detail=True, methods=["post"])
    def park(self, request: Request, uuid: str | None = None) -> Response:
        """Stop trying."""
        return self.answer(park_report(self.get_object(), actor=self.actor))
