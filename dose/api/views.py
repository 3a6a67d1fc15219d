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
    CorrectDoseSerializer,
    DoseInvestigationSerializer,
    DoseReportListSerializer,
    DoseReportSerializer,
    DoseTriggerSerializer,
    EnterDoseSerializer,
    ExplainSerializer,
    LinkSerializer,
    OpenInvestigationSerializer,
    UnlinkSerializer,
)
from dose.models import DoseInvestigation, DoseReport, DoseTrigger
from orders.models import RequestedProcedure
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown


class DoseReportViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Doses as the devices reported them. SI: DLP mGy.cm, CTDIvol mGy, DAP Gy.m2, dose Gy, activity Bq, time s."""

    permission_codes = {
        "list": perms.VIEW_DOSE,
        "retrieve": perms.VIEW_DOSE,
        "create": perms.ENTER_DOSE,
        "correct": perms.ENTER_DOSE,
        "link": perms.MANAGE_DOSE,
        "unlink": perms.MANAGE_DOSE,
    }
    serializer_class = DoseReportSerializer
    serializer_classes = {
        "list": DoseReportListSerializer,
        "create": EnterDoseSerializer,
        "correct": CorrectDoseSerializer,
        "link": LinkSerializer,
        "unlink": UnlinkSerializer,
    }
    queryset = DoseReport.objects.none()
    filterset_fields = ("modality", "accession_number", "study_instance_uid", "is_of_a_patient", "source")

    def get_queryset(self) -> QuerySet:
        if self.action == "list":
            return selectors.dose_reports(actor=self.actor)
        return selectors.every_dose_report(actor=self.actor).prefetch_related("events")

    @extend_schema(request=EnterDoseSerializer, responses={201: DoseReportSerializer})
    def create(self, request: Request) -> Response:
        """Enter a dose that no device sends, in the units of the clinic; refused where a device has told."""
        asked = self.validated()
        procedure = RequestedProcedure.objects.visible_to(self.actor).filter(uuid=asked.pop("procedure")).first()
        if procedure is None:
            raise NotKnown(_("There is no such exam in this facility."))
        return self.answer(services.enter_dose(procedure, **asked, actor=self.actor), 201)

    @extend_schema(request=CorrectDoseSerializer, responses=DoseReportSerializer)
    @action(detail=True, methods=["post"])
    def correct(self, request: Request, uuid: str | None = None) -> Response:
        """Correct what was entered by hand; the history keeps what stood there."""
        return self.answer(services.correct_dose(self.get_object(), **self.validated(), actor=self.actor))

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
    filterset_fields = ("status", "quantity", "kind")

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
