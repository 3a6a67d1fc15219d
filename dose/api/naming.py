"""REST: standard exams and the rules that lead to them, what no rule names, what is no patient."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dose import names, services
from dose import permissions as perms
from dose.api import naming_shapes as shapes
from dose.models import ExamRule, NotPatientRule, StandardExam
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown

CODES = {
    "list": perms.VIEW_DOSE, "retrieve": perms.VIEW_DOSE, "create": perms.MANAGE_NAMES,
    "partial_update": perms.MANAGE_NAMES,
}  # fmt: skip


class StandardExamViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """What exams are called whatever site, protocol and device call them."""

    permission_codes = CODES
    serializer_class = shapes.StandardExamSerializer
    serializer_classes = {
        "create": shapes.StandardExamCreateSerializer,
        "partial_update": shapes.StandardExamChangeSerializer,
    }
    queryset = StandardExam.objects.none()
    filterset_fields = ("modality", "is_active")

    def get_queryset(self) -> QuerySet:
        return names.standard_exams(actor=self.actor).order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> StandardExam:
        return services.save_standard_exam(**data, actor=self.actor)

    def service_change(self, row: StandardExam, data: dict[str, Any]) -> StandardExam:
        return services.save_standard_exam(row, **data, actor=self.actor)

    @extend_schema(request=shapes.StandardExamCreateSerializer, responses={201: shapes.StandardExamSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.StandardExamChangeSerializer, responses=shapes.StandardExamSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)


class ExamRuleViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Rules in their order: the first active one that fits names the exam."""

    permission_codes = CODES | {
        "unnamed": perms.VIEW_DOSE,
        "try_name": perms.VIEW_DOSE,
        "apply": perms.MANAGE_NAMES,
    }
    serializer_class = shapes.ExamRuleSerializer
    serializer_classes = {
        "create": shapes.ExamRuleCreateSerializer,
        "partial_update": shapes.ExamRuleChangeSerializer,
        "try_name": shapes.TryNameSerializer,
    }
    queryset = ExamRule.objects.none()
    filterset_fields = ("field", "modality", "is_active")

    def get_queryset(self) -> QuerySet:
        return names.exam_rules(actor=self.actor)

    def _with_exam(self, data: dict[str, Any]) -> dict[str, Any]:
        if "exam" not in data:
            return data
        exam = names.standard_exams(actor=self.actor).filter(code=data["exam"]).first()
        if exam is None:
            raise NotKnown(_("There is no such standard exam in this facility."))
        return data | {"exam": exam}

    def service_create(self, data: dict[str, Any]) -> ExamRule:
        return services.save_rule(**self._with_exam(data), actor=self.actor)

    def service_change(self, row: ExamRule, data: dict[str, Any]) -> ExamRule:
        return services.save_rule(row, **self._with_exam(data), actor=self.actor)

    @extend_schema(request=shapes.ExamRuleCreateSerializer, responses={201: shapes.ExamRuleSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.ExamRuleChangeSerializer, responses=shapes.ExamRuleSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(responses=shapes.UnnamedReportsSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[])
    def unnamed(self, request: Request) -> Response:
        """What reports are called that no rule names, the most frequent first."""
        found = names.mapping(actor=self.actor).unnamed[:500]
        rows = [
            {
                "modality": row.modality,
                "names": [{"field": field, "text": text} for field, text in row.names],
                "reports": row.count,
                "newest": row.newest,
            }
            for row in found
        ]
        return Response(shapes.UnnamedReportsSerializer(rows, many=True).data)

    @extend_schema(request=shapes.TryNameSerializer, responses=shapes.TriedNameSerializer)
    @action(detail=False, methods=["post"], url_path="try")
    def try_name(self, request: Request) -> Response:
        """What a text would be named by."""
        asked = self.validated()
        rule, not_patients = names.tried(asked["text"], asked["modality"], actor=self.actor)
        found = {
            "exam": rule.exam.code if rule is not None else None,
            "rule": rule.uuid if rule is not None else None,
            "is_not_a_patient": bool(not_patients),
        }
        return Response(shapes.TriedNameSerializer(found).data)

    @extend_schema(request=None, responses=shapes.RenamedReportsSerializer)
    @action(detail=False, methods=["post"])
    def apply(self, request: Request) -> Response:
        """Name the reports of yesterday by the rules of today."""
        return Response({"reports": services.reapply_rules(actor=self.actor)})


class NotPatientRuleViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Identifiers and names of phantoms and tests: such exposures leave every statistic."""

    permission_codes = CODES
    serializer_class = shapes.NotPatientRuleSerializer
    serializer_classes = {
        "create": shapes.NotPatientRuleCreateSerializer,
        "partial_update": shapes.NotPatientRuleChangeSerializer,
    }
    queryset = NotPatientRule.objects.none()
    filterset_fields = ("field", "is_active")

    def get_queryset(self) -> QuerySet:
        return names.not_patient_rules(actor=self.actor).order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> NotPatientRule:
        return services.save_not_patient_rule(**data, actor=self.actor)

    def service_change(self, row: NotPatientRule, data: dict[str, Any]) -> NotPatientRule:
        return services.save_not_patient_rule(row, **data, actor=self.actor)

    @extend_schema(request=shapes.NotPatientRuleCreateSerializer, responses={201: shapes.NotPatientRuleSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.NotPatientRuleChangeSerializer, responses=shapes.NotPatientRuleSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)
