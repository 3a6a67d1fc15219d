"""``/api/v1/rejections/``: images taken out of use, and back into it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api.serializers import uuid_of
from worklist.models import ImageRejection, RejectionReason
from worklist.selectors.rejections import rejections


class RejectionSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    study = uuid_of("study.uuid")
    study_instance_uid = serializers.CharField(source="study.study_instance_uid", read_only=True)
    instances = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ImageRejection
        fields = (
            "id",
            "study",
            "study_instance_uid",
            "code",
            "reason",
            "instances",
            "rejected_at",
            "received_from",
            "note_sop_instance_uid",
            "restored_at",
            "restored_reason",
        )
        read_only_fields = fields


class ImageRejectSerializer(serializers.Serializer):
    study = serializers.UUIDField()
    instances = serializers.ListField(child=serializers.CharField(max_length=64), help_text="SOP Instance UIDs.")
    code = serializers.ChoiceField(choices=RejectionReason.choices, help_text="Title of the rejection note, CID 7010.")
    reason = serializers.CharField(max_length=200)


class RestoreSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class RejectionViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Rejected images: hidden from viewer, queries and counts, told to archives, never deleted."""

    queryset = ImageRejection.objects.none()
    serializer_class = RejectionSerializer
    serializer_classes = {"create": ImageRejectSerializer, "restore": RestoreSerializer}
    permission_codes = {
        "list": perms.VIEW_STUDY,
        "retrieve": perms.VIEW_STUDY,
        "create": perms.REJECT_IMAGES,
        "restore": perms.REJECT_IMAGES,
    }

    def get_queryset(self) -> QuerySet[ImageRejection]:
        return rejections(actor=self.actor)

    @extend_schema(request=ImageRejectSerializer, responses={201: RejectionSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Take images of a study out of use."""
        data = self.validated()
        study = selectors.studies(actor=self.actor).filter(uuid=data.pop("study")).first()
        if study is None:
            raise NotKnown("There is no such study that you may see.")
        rejection = services.reject_images(study, **data, actor=self.actor)
        return Response(RejectionSerializer(rejection).data, status=201)

    @extend_schema(request=RestoreSerializer, responses=RejectionSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, uuid: str | None = None) -> Response:
        """Undo it: its images are in use again."""
        row, data = self.get_object(), self.validated()
        return self.answer(services.restore_images(row, reason=data["reason"], actor=self.actor))
