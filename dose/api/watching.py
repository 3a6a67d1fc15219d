"""REST: reference levels and their editions, medians beside them, alerts, who is told, skins to look at."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dose import alert_lists, compliance, services
from dose import permissions as perms
from dose.api import naming_shapes as shapes
from dose.api.serializers import ReferenceLevelSerializer
from dose.models import DoseAlertRule, LevelAlert, ReferenceLevel, SkinFollowUp
from dose.quantities import TABS
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin


class ReferenceLevelViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Diagnostic reference levels with their sources. Compared with medians of many, never with one exam. A level is
    never overwritten: a change makes a new edition.
    """

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "create": perms.MANAGE_LEVELS,
        "revise": perms.MANAGE_LEVELS,
        "withdraw": perms.MANAGE_LEVELS,
        "load": perms.MANAGE_LEVELS,
    }
    serializer_class = ReferenceLevelSerializer
    serializer_classes = {
        "create": shapes.LevelChangeSerializer,
        "revise": shapes.LevelReviseSerializer,
        "withdraw": shapes.LevelWithdrawSerializer,
        "load": shapes.LevelTableSerializer,
    }
    queryset = ReferenceLevel.objects.none()
    filterset_fields = ("modality", "authority", "quantity", "is_active")

    def get_queryset(self) -> QuerySet:
        """The list: those in force, unless ``is_active`` is asked for."""
        found = alert_lists.all_levels(actor=self.actor).order_by("-pk")
        is_all = self.action != "list" or "is_active" in self.request.query_params
        return found if is_all else found.filter(is_active=True)

    def service_create(self, data: dict[str, Any]) -> ReferenceLevel:
        return services.add_level(**data, actor=self.actor)

    @extend_schema(request=shapes.LevelChangeSerializer, responses={201: ReferenceLevelSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.LevelReviseSerializer, responses=ReferenceLevelSerializer)
    @action(detail=True, methods=["post"])
    def revise(self, request: Request, uuid: str | None = None) -> Response:
        """A new edition with what is named; what is not stays as it was."""
        return self.answer(services.revise_level(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.LevelWithdrawSerializer, responses=ReferenceLevelSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Nothing is compared with it any more."""
        return self.answer(services.withdraw_level(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.LevelTableSerializer, responses=shapes.LevelLineSerializer(many=True))
    @action(detail=False, methods=["post"])
    def load(self, request: Request) -> Response:
        """A table: looked at, or loaded; wrong rows are left out and say why."""
        asked = self.validated()
        table = asked["table"].encode()
        do = services.preview_levels if asked["is_preview"] else services.import_levels
        return Response(shapes.LevelLineSerializer(do(table, actor=self.actor), many=True).data)


class LevelAlertViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Medians that passed a level: once per room, exam, quantity, edition of the level and quarter."""

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "comparisons": perms.VIEW_DOSE,
        "check": perms.MANAGE_LEVELS,
    }
    serializer_class = shapes.LevelAlertSerializer
    queryset = LevelAlert.objects.none()
    filterset_fields = ("quantity", "room", "period")

    def get_queryset(self) -> QuerySet:
        return alert_lists.level_alerts(actor=self.actor)

    @extend_schema(
        parameters=[OpenApiParameter("tab", str, enum=list(TABS), description="The kind of exams; all by default.")],
        responses=shapes.LevelComparisonSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[])
    def comparisons(self, request: Request) -> Response:
        """Every room and exam of the last year beside every level that speaks of it."""
        tab = request.query_params.get("tab", "")
        modalities = TABS[tab][0] if tab in TABS else ()
        rows = compliance.compare(actor=self.actor, modalities=modalities)
        return Response(shapes.LevelComparisonSerializer(rows, many=True).data)

    @extend_schema(request=None, responses=shapes.LevelCheckSerializer)
    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Look at all medians now instead of tonight."""
        return Response(shapes.LevelCheckSerializer(services.check_medians(actor=self.actor)).data)


class DoseAlertRuleViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Who is told of which alert, by which channel."""

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "create": perms.MANAGE_ALERTS,
        "partial_update": perms.MANAGE_ALERTS,
    }
    serializer_class = shapes.DoseAlertRuleSerializer
    serializer_classes = {
        "create": shapes.DoseAlertRuleCreateSerializer,
        "partial_update": shapes.DoseAlertRuleChangeSerializer,
    }
    queryset = DoseAlertRule.objects.none()
    filterset_fields = ("kind", "role", "is_active")

    def get_queryset(self) -> QuerySet:
        return alert_lists.alert_rules(actor=self.actor).order_by("-pk")

    def service_create(self, data: dict[str, Any]) -> DoseAlertRule:
        return services.save_alert_rule(**data, actor=self.actor)

    def service_change(self, row: DoseAlertRule, data: dict[str, Any]) -> DoseAlertRule:
        return services.save_alert_rule(row, **data, actor=self.actor)

    @extend_schema(request=shapes.DoseAlertRuleCreateSerializer, responses={201: shapes.DoseAlertRuleSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.DoseAlertRuleChangeSerializer, responses=shapes.DoseAlertRuleSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)


class SkinFollowUpViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Patients whose skin is looked at after a substantial dose."""

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "tell": perms.FOLLOW_SKIN,
        "close": perms.FOLLOW_SKIN,
    }
    serializer_class = shapes.SkinFollowUpSerializer
    serializer_classes = {"tell": shapes.TellPatientSerializer, "close": shapes.CloseSkinSerializer}
    queryset = SkinFollowUp.objects.none()
    filterset_fields = ("status",)

    def get_queryset(self) -> QuerySet:
        return alert_lists.skin_follow_ups(actor=self.actor).order_by("-pk")

    @extend_schema(request=shapes.TellPatientSerializer, responses=shapes.SkinFollowUpSerializer)
    @action(detail=True, methods=["post"])
    def tell(self, request: Request, uuid: str | None = None) -> Response:
        """The patient was told what to watch for."""
        return self.answer(services.tell_patient(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.CloseSkinSerializer, responses=shapes.SkinFollowUpSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """What was seen of the skin."""
        return self.answer(services.close_skin_follow_up(self.get_object(), **self.validated(), actor=self.actor))
