"""``/api/v1/follow-ups/``: exams that reports recommend, until they have happened."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import CatalogueProcedure, Modality
from reporting import permissions as perms
from reporting.models import FollowUp, FollowUpStatus, Report
from reporting.services import followups as services
from ris.accounts.api.base import CHANGED_BY_PATCH, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin


class FollowUpSerializer(serializers.ModelSerializer):
    report = serializers.UUIDField(source="report.uuid")
    procedure = serializers.UUIDField(source="procedure.uuid")
    patient = serializers.UUIDField(source="audit_patient")
    code = serializers.CharField(source="catalogue.code", default=None, allow_null=True)
    modality = serializers.ChoiceField(choices=Modality.choices)
    status = serializers.ChoiceField(choices=FollowUpStatus.choices)
    closed_by_exam = serializers.UUIDField(source="closed_by_exam.uuid", default=None, allow_null=True)

    class Meta:
        model = FollowUp
        fields = (
            "uuid", "report", "procedure", "patient", "accession_number", "code", "modality", "body_region", "due_on",
            "reason", "status", "closed_by_exam", "closed_reason", "reminded_at", "created_at", "updated_at",
        )  # fmt: skip


class RecommendSerializer(serializers.Serializer):
    """An exam by its code in the catalogue, or a modality and a region."""

    report = serializers.UUIDField()
    code = serializers.SlugRelatedField(
        source="catalogue",
        slug_field="code",
        queryset=CatalogueProcedure.objects.filter(is_active=True),
        required=False,
    )
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)
    body_region = serializers.CharField(max_length=40, required=False)
    due_on = serializers.DateField()
    reason = serializers.CharField(max_length=300)


class CloseSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=300)
    is_done = serializers.BooleanField(default=True, help_text="False: it will not be done.")


class ReopenSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class ChangeSerializer(serializers.Serializer):
    due_on = serializers.DateField()
    reason = serializers.CharField(max_length=300)


class FollowUpFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=FollowUpStatus.choices)
    modality = filters.MultipleChoiceFilter(choices=Modality.choices)
    due_before = filters.DateFilter(field_name="due_on", lookup_expr="lt")
    due_after = filters.DateFilter(field_name="due_on", lookup_expr="gt")
    report = filters.UUIDFilter(field_name="report__uuid")
    patient = filters.UUIDFilter(field_name="procedure__order__patient__uuid")

    class Meta:
        model = FollowUp
        fields: list[str] = []


class FollowUpViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Recommended exams. Each closes by itself when the exam is performed."""

    queryset = FollowUp.objects.none()
    serializer_class = FollowUpSerializer
    serializer_classes = {
        "create": RecommendSerializer,
        "close": CloseSerializer,
        "reopen": ReopenSerializer,
        "change": ChangeSerializer,
        "partial_update": ChangeSerializer,
    }
    filterset_class = FollowUpFilter
    permission_codes = {
        "list": perms.VIEW_FOLLOW_UP,
        "retrieve": perms.VIEW_FOLLOW_UP,
        "create": perms.RECOMMEND,
        "change": perms.RECOMMEND,
        "partial_update": perms.RECOMMEND,
        "reopen": perms.RECOMMEND,
        "close": perms.CLOSE_FOLLOW_UP,
    }

    def get_queryset(self) -> QuerySet[FollowUp]:
        return FollowUp.objects.visible_to(self.actor).select_related(
            "report", "catalogue", "closed_by_exam", "procedure__order__patient"
        )

    @extend_schema(request=RecommendSerializer, responses={201: FollowUpSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Recommend an exam in a report; of a draft it counts from the signature on."""
        data = self.validated()
        report = Report.objects.visible_to(self.actor).filter(uuid=data.pop("report")).first()
        if report is None:
            raise serializers.ValidationError({"report": ["There is no such report here."]})
        return self.answer(services.recommend(report, **data, actor=self.actor), status.HTTP_201_CREATED)

    @extend_schema(request=CloseSerializer, responses=FollowUpSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """It was done elsewhere, or it will not be done."""
        return self.answer(services.close_follow_up(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=ReopenSerializer, responses=FollowUpSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, uuid: str | None = None) -> Response:
        """It was closed by mistake."""
        return self.answer(services.reopen_follow_up(self.get_object(), **self.validated(), actor=self.actor))

    deprecated = {"change": CHANGED_BY_PATCH}

    @extend_schema(request=ChangeSerializer, responses=FollowUpSerializer)
    def partial_update(self, request: Request, uuid: str | None = None) -> Response:
        """Another day, another reason."""
        return self.answer(services.change_follow_up(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=ChangeSerializer, responses=FollowUpSerializer)
    @action(detail=True, methods=["post"])
    def change(self, request: Request, uuid: str | None = None) -> Response:
        """The same as PATCH, which takes its place."""
        return self.partial_update(request, uuid)
