"""``/api/v1/teaching-cases/``: what exams teach, without whose they were."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import Modality, Sex
from reporting import permissions as perms
from reporting.models import CopyState, Report, TeachingCase, TeachingImage, TeachingStatus
from reporting.selectors import teaching as selectors
from reporting.services import teaching as services
from ris.accounts.api.base import CHANGED_BY_PATCH, FacilityViewSet, ListMixin, RetrieveMixin

ROWS = 100


class TeachingImageSerializer(serializers.ModelSerializer):
    state = serializers.ChoiceField(choices=CopyState.choices, read_only=True)

    class Meta:
        model = TeachingImage
        fields = ("uuid", "number", "state", "frames")


class TeachingCaseSerializer(serializers.ModelSerializer):
    """Nothing here leads to the patient or the report."""

    owner = serializers.UUIDField(source="owner.uuid", read_only=True)
    status = serializers.ChoiceField(choices=TeachingStatus.choices, read_only=True)
    modality = serializers.ChoiceField(choices=Modality.choices, read_only=True)
    sex = serializers.ChoiceField(choices=Sex.choices, read_only=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=30), read_only=True)
    images = TeachingImageSerializer(source="pictures", many=True, read_only=True)

    class Meta:
        model = TeachingCase
        fields = (
            "uuid", "owner", "status", "title", "diagnosis", "tags", "modality", "body_region", "age_band", "sex",
            "text", "question", "answer", "images", "reviewed_at", "offered_at", "withdrawn_reason", "created_at",
            "updated_at",
        )  # fmt: skip


class KeepSerializer(serializers.Serializer):
    report = serializers.UUIDField()
    title = serializers.CharField(max_length=120, required=False, allow_blank=True)
    diagnosis = serializers.CharField(max_length=200, required=False, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=30), max_length=10, required=False)


class TeachingChangeSerializer(serializers.Serializer):
    title = serializers.CharField(max_length=120, required=False)
    diagnosis = serializers.CharField(max_length=200, required=False, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=30), max_length=10, required=False)
    text = serializers.CharField(max_length=20000, required=False, allow_blank=True)
    question = serializers.CharField(max_length=20000, required=False, allow_blank=True)
    answer = serializers.CharField(max_length=20000, required=False, allow_blank=True)
    is_read = serializers.BooleanField(default=False, help_text="The caller has read it, and nobody is named in it.")


class TeachingFindSerializer(serializers.Serializer):
    words = serializers.CharField(max_length=300)


class WithdrawSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300)


class ChooseImageSerializer(serializers.Serializer):
    sop_instance_uid = serializers.CharField(max_length=64, help_text="Of an image of the report's exams.")


class ImageActSerializer(serializers.Serializer):
    image = serializers.UUIDField()


class TeachingFilterSet(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=TeachingStatus.choices)
    modality = filters.MultipleChoiceFilter(choices=Modality.choices)
    tag = filters.CharFilter(method="with_tag", max_length=30)

    class Meta:
        model = TeachingCase
        fields: list[str] = []

    def with_tag(self, rows: QuerySet[TeachingCase], _name: str, tag: str) -> QuerySet[TeachingCase]:
        return rows.filter(tags__contains=[tag])


class TeachingCaseViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Teaching cases: those that are shared, and one's own. Pictures are at ``/teaching/images/<uuid>/<frame>.jpg``."""

    queryset = TeachingCase.objects.none()
    serializer_class = TeachingCaseSerializer
    serializer_classes = {
        "create": KeepSerializer,
        "change": TeachingChangeSerializer,
        "partial_update": TeachingChangeSerializer,
        "find": TeachingFindSerializer,
        "withdraw": WithdrawSerializer,
        "choose_image": ChooseImageSerializer,
        "remove_image": ImageActSerializer,
        "confirm_image": ImageActSerializer,
    }
    filterset_class = TeachingFilterSet
    permission_codes = {
        "list": perms.VIEW_TEACHING,
        "retrieve": perms.VIEW_TEACHING,
        "find": perms.VIEW_TEACHING,
        "create": perms.KEEP_TEACHING,
        "change": perms.KEEP_TEACHING,
        "partial_update": perms.KEEP_TEACHING,
        "offer": perms.KEEP_TEACHING,
        "withdraw": perms.KEEP_TEACHING,
        "choose_image": perms.KEEP_TEACHING,
        "remove_image": perms.KEEP_TEACHING,
        "confirm_image": perms.KEEP_TEACHING,
        "share": perms.SHARE_TEACHING,
    }

    def get_queryset(self) -> QuerySet[TeachingCase]:
        return selectors.for_cards(TeachingCase.objects.visible_to(self.actor)).order_by("-pk")

    def _as_now(self, row: TeachingCase, code: int = status.HTTP_200_OK) -> Response:
        return self.answer(selectors.case_by_uuid(row.uuid, actor=self.actor) or row, code)

    @extend_schema(request=KeepSerializer, responses={201: TeachingCaseSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Keep a report, private and without its patient; kept again it is the same case."""
        data = self.validated()
        report = Report.objects.visible_to(self.actor).filter(uuid=data.pop("report")).first()
        if report is None:
            raise serializers.ValidationError({"report": ["There is no such report here."]})
        return self._as_now(services.keep_case(report, **data, actor=self.actor), status.HTTP_201_CREATED)

    @extend_schema(request=TeachingFindSerializer, responses=TeachingCaseSerializer(many=True))
    @action(detail=False, methods=["post"], pagination_class=None, filterset_class=None)
    def find(self, request: Request) -> Response:
        """Shared cases that say this, the newest first, at most 100."""
        asked = selectors.TeachingFilter(words=self.validated()["words"])
        rows = selectors.teaching_cases(asked, actor=self.actor)[:ROWS]
        return Response(TeachingCaseSerializer(rows, many=True).data)

    deprecated = {"change": CHANGED_BY_PATCH}

    @extend_schema(request=TeachingChangeSerializer, responses=TeachingCaseSerializer)
    def partial_update(self, request: Request, uuid: str | None = None) -> Response:
        """Other words; with ``is_read`` they may be shared."""
        return self._as_now(services.change_case(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=TeachingChangeSerializer, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"])
    def change(self, request: Request, uuid: str | None = None) -> Response:
        """The same as PATCH, which takes its place."""
        return self.partial_update(request, uuid)

    @extend_schema(request=None, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"])
    def offer(self, request: Request, uuid: str | None = None) -> Response:
        """Ask radiologists to share it."""
        return self._as_now(services.offer_case(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"])
    def share(self, request: Request, uuid: str | None = None) -> Response:
        """Refused until it was read, and while a name, number or date stands in it."""
        return self._as_now(services.share_case(self.get_object(), actor=self.actor))

    @extend_schema(request=WithdrawSerializer, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Nobody else sees it any more."""
        return self._as_now(services.withdraw_case(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=ChooseImageSerializer, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"], url_path="choose-image")
    def choose_image(self, request: Request, uuid: str | None = None) -> Response:
        """Copy another image of the report's exams, de-identified."""
        return self._as_now(services.choose_image(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=ImageActSerializer, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"], url_path="remove-image")
    def remove_image(self, request: Request, uuid: str | None = None) -> Response:
        """Show it no more."""
        return self._as_now(services.remove_image(self._image(), actor=self.actor).case)

    @extend_schema(request=ImageActSerializer, responses=TeachingCaseSerializer)
    @action(detail=True, methods=["post"], url_path="confirm-image")
    def confirm_image(self, request: Request, uuid: str | None = None) -> Response:
        """The caller looked: nothing about the patient is written in the picture."""
        return self._as_now(services.confirm_image(self._image(), actor=self.actor).case)

    def _image(self) -> TeachingImage:
        case, asked = self.get_object(), self.validated()["image"]
        rows = TeachingImage.objects.visible_to(self.actor).select_related("case").filter(case=case)
        image = rows.filter(uuid=asked).first()
        if image is None:
            raise serializers.ValidationError({"image": ["There is no such image in this case."]})
        return image
