"""REST: dose reports with their events, triggers, reference levels."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from dose import investigations, selectors, services
from dose import permissions as perms
from dose.api.serializers import (
    ActionSerializer,
    DoseInvestigationSerializer,
    DoseReportListSerializer,
    DoseReportSerializer,
    DoseTriggerSerializer,
    ExplainSerializer,
    LinkSerializer,
    OpenInvestigationSerializer,
    ReferenceLevelSerializer,
    UnlinkSerializer,
)
from dose.models import DoseInvestigation, DoseReport, DoseTrigger, ReferenceLevel
from orders.models import RequestedProcedure
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown


class DoseReportViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Doses as the devices reported them. SI: DLP mGy.cm, CTDIvol mGy, DAP Gy.m2, dose Gy, activity Bq, time s."""

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "link": perms.MANAGE_DOSE,
        "unlink": perms.MANAGE_DOSE,
    }
    serializer_class = DoseReportSerializer
    serializer_classes = {"list": DoseReportListSerializer, "link": LinkSerializer, "unlink": UnlinkSerializer}
    queryset = DoseReport.objects.none()
    filterset_fields = ("modality", "accession_number", "study_instance_uid", "is_of_a_patient")

    def get_queryset(self) -> QuerySet:
        found = selectors.dose_reports(actor=self.actor)
        return found if self.action == "list" else found.prefetch_related("events")

    @extend_schema(request=LinkSerializer, responses=DoseReportSerializer)
    @action(detail=True, methods=["post"])
    def link(self, request: Request, uuid: str | None = None) -> Response:
        """Say which exam it belongs to."""
        report, asked = self.get_object(), self.validated()
        procedure = RequestedProcedure.objects.visible_to(self.actor).filter(uuid=asked["procedure"]).first()
        if procedure is None:
            raise NotKnown(_("There is no such exam in this facility."))
        report = services.link_dose_report(report, procedure=procedure, reason=asked["reason"], actor=self.actor)
        return self.answer(report)

    @extend_schema(request=UnlinkSerializer, responses=DoseReportSerializer)
    @action(detail=True, methods=["post"])
    def unlink(self, request: Request, uuid: str | None = None) -> Response:
        """It does not belong to that exam."""
        report, asked = self.get_object(), self.validated()
        return self.answer(services.unlink_dose_report(report, reason=asked["reason"], actor=self.actor))


class DoseTriggerViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Single exams above the facility's trigger levels."""

    permission_codes = {"list": perms.VIEW_DOSE, "retrieve": perms.VIEW_DOSE, "explain": perms.EXPLAIN_TRIGGER}
    serializer_class = DoseTriggerSerializer
    serializer_classes = {"explain": ExplainSerializer}
    queryset = DoseTrigger.objects.none()
    filterset_fields = ("status", "quantity")

    def get_queryset(self) -> QuerySet:
        return selectors.triggers(actor=self.actor)

    @extend_schema(request=ExplainSerializer, responses=DoseTriggerSerializer)
    @action(detail=True, methods=["post"])
    def explain(self, request: Request, uuid: str | None = None) -> Response:
        """Say why the dose was what it was."""
        trigger = self.get_object()
        return self.answer(
            services.explain_trigger(trigger, explanation=self.validated()["explanation"], actor=self.actor)
        )


class DoseInvestigationViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Medians of one exam in one room above a reference level: cause, action, and what was measured after."""

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "create": perms.MANAGE_LEVELS,
        "act": perms.MANAGE_LEVELS,
        "measure": perms.MANAGE_LEVELS,
    }
    serializer_class = DoseInvestigationSerializer
    serializer_classes = {"create": OpenInvestigationSerializer, "act": ActionSerializer}
    queryset = DoseInvestigation.objects.none()
    filterset_fields = ("status", "quantity", "room")

    def get_queryset(self) -> QuerySet:
        return selectors.investigations(actor=self.actor)

    @extend_schema(request=OpenInvestigationSerializer, responses={201: DoseInvestigationSerializer})
    def create(self, request: Request) -> Response:
        """Open one; refused without enough exams, or when their median is not above the level."""
        asked = self.validated()
        level, catalogue = selectors.level_and_exam(asked["level"], asked["exam"], actor=self.actor)
        made = investigations.open_investigation(level, catalogue=catalogue, room=asked["room"], actor=self.actor)
        return self.answer(made, 201)

    @extend_schema(request=ActionSerializer, responses=DoseInvestigationSerializer)
    @action(detail=True, methods=["post"])
    def act(self, request: Request, uuid: str | None = None) -> Response:
        """Record the cause and what was done."""
        return self.answer(investigations.record_action(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=DoseInvestigationSerializer)
    @action(detail=True, methods=["post"])
    def measure(self, request: Request, uuid: str | None = None) -> Response:
        """Measure the exams since the action: closed at or below the level, open again above it."""
        return self.answer(investigations.measure_again(self.get_object(), actor=self.actor))


class ReferenceLevelViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Diagnostic reference levels with their sources. Compared with medians of many, never with one exam."""

    permission_codes = {"list": perms.VIEW_DOSE, "retrieve": perms.VIEW_DOSE}
    serializer_class = ReferenceLevelSerializer
    queryset = ReferenceLevel.objects.none()
    filterset_fields = ("modality", "authority", "quantity")

    def get_queryset(self) -> QuerySet:
        return selectors.reference_levels(actor=self.actor)
