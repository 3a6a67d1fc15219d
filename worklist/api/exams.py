"""``/api/v1/`` + ``steps performed-steps screenings worklist-items``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import InvalidData
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api import filters
from worklist.api import serializers as shapes
from worklist.api.schedule import is_uuid, procedure_named, station_named
from worklist.models import (
    PerformedProcedureStep,
    Questionnaire,
    ScheduledProcedureStep,
    ScreeningAnswer,
)


class StepViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Scheduled steps with the performed ones; the console's verbs."""

    queryset = ScheduledProcedureStep.objects.none()
    serializer_class = shapes.StepSerializer
    serializer_classes = {
        "start": shapes.StartExamSerializer,
        "complete": shapes.CompleteSerializer,
        "image_count": shapes.ImageCountCreateSerializer,
        "discontinue": shapes.DiscontinueSerializer,
        "time_out": shapes.TimeOutSerializer,
        "consumables": shapes.ConsumableSerializer,
        "rejects": shapes.RejectSerializer,
        "note": shapes.NoteSerializer,
        "cancel": shapes.WorklistReasonSerializer,
    }
    filterset_class = filters.StepFilter
    permission_codes = {
        "list": perms.VIEW_STEP,
        "retrieve": perms.VIEW_STEP,
        "start": perms.PERFORM_STEP,
        "complete": perms.PERFORM_STEP,
        "discontinue": perms.PERFORM_STEP,
        "time_out": perms.PERFORM_STEP,
        "consumables": perms.PERFORM_STEP,
        "rejects": perms.PERFORM_STEP,
        "note": perms.PERFORM_STEP,
        "image_count": perms.PERFORM_STEP,
        "cancel": perms.BOOK_APPOINTMENT,
    }

    def get_queryset(self) -> QuerySet[ScheduledProcedureStep]:
        return selectors.steps(actor=self.actor)

    def _again(self, step: ScheduledProcedureStep, http_status: int = status.HTTP_200_OK) -> Response:
        return self.answer(self.get_queryset().get(pk=step.pk), http_status)

    @extend_schema(request=shapes.StartExamSerializer, responses=shapes.StepSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, uuid: str | None = None) -> Response:
        """Start by hand, where the scanner sends no MPPS. Refused while safety answers block or lack, and without the
        time-out where the facility asks for it.
        """
        step = self.get_object()
        station = station_named(self.validated().get("station"))
        services.start_exam(step.procedure, station=station, needs_time_out=True, actor=self.actor)
        return self._again(step)

    @extend_schema(request=shapes.CompleteSerializer, responses=shapes.StepSerializer)
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, uuid: str | None = None) -> Response:
        """The technologist has done all there is to do. With ``asks_for_all`` it is refused while something is missing
        that the explanation does not explain.
        """
        step = self.get_object()
        services.complete_exam(step.procedure, **self.validated(), actor=self.actor)
        return self._again(step)

    @extend_schema(request=shapes.DiscontinueSerializer, responses=shapes.StepSerializer)
    @action(detail=True, methods=["post"])
    def discontinue(self, request: Request, uuid: str | None = None) -> Response:
        """Stop a running exam; the coded reason decides what comes next."""
        step = self.get_object()
        services.discontinue_exam(step.procedure, **self.validated(), actor=self.actor)
        return self._again(step)

    @extend_schema(request=shapes.WorklistReasonSerializer, responses=shapes.StepSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Take it from the worklist; the exam waits for a new time."""
        step = self.get_object()
        services.cancel_step(step, **self.validated(), actor=self.actor)
        return self._again(step)

    @extend_schema(request=shapes.TimeOutSerializer, responses={201: shapes.StepSerializer})
    @action(detail=True, methods=["post"], url_path="time-out")
    def time_out(self, request: Request, uuid: str | None = None) -> Response:
        """The last look before the exam."""
        step = self.get_object()
        services.record_time_out(step.procedure, **self.validated(), actor=self.actor)
        return self._again(step, status.HTTP_201_CREATED)

    @extend_schema(request=shapes.ConsumableSerializer, responses={201: shapes.ConsumableSerializer})
    @action(detail=True, methods=["post"])
    def consumables(self, request: Request, uuid: str | None = None) -> Response:
        """What was used."""
        row = services.record_consumable(self.get_object().procedure, **self.validated(), actor=self.actor)
        return Response(shapes.ConsumableSerializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=shapes.RejectSerializer, responses={201: shapes.RejectSerializer})
    @action(detail=True, methods=["post"])
    def rejects(self, request: Request, uuid: str | None = None) -> Response:
        """An exposure that was thrown away (CID 7011)."""
        row = services.record_reject(self.get_object().procedure, **self.validated(), actor=self.actor)
        return Response(shapes.RejectSerializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=shapes.NoteSerializer, responses={201: shapes.StepSerializer})
    @action(detail=True, methods=["post"])
    def note(self, request: Request, uuid: str | None = None) -> Response:
        """What the technologist tells the radiologist."""
        step = self.get_object()
        services.write_note(step.procedure, **self.validated(), actor=self.actor)
        return self._again(step, status.HTTP_201_CREATED)

    @extend_schema(request=shapes.ImageCountCreateSerializer, responses={201: shapes.StepSerializer})
    @action(detail=True, methods=["post"], url_path="image-count")
    def image_count(self, request: Request, uuid: str | None = None) -> Response:
        """How many images the technologist made."""
        step = self.get_object()
        services.count_images(step.procedure, **self.validated(), actor=self.actor)
        return self._again(step, status.HTTP_201_CREATED)


class PerformedStepViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Modality performed procedure steps, matched or not."""

    queryset = PerformedProcedureStep.objects.none()
    serializer_class = shapes.PerformedStepSerializer
    serializer_classes = {"link": shapes.LinkToExamSerializer, "unlink": shapes.LinkToExamSerializer}
    filterset_class = filters.PerformedStepFilter
    permission_codes = {
        "list": perms.VIEW_STEP,
        "retrieve": perms.VIEW_STEP,
        "link": perms.RESOLVE_EXCEPTION,
        "unlink": perms.RESOLVE_EXCEPTION,
    }

    def get_queryset(self) -> QuerySet[PerformedProcedureStep]:
        return selectors.performed_steps(actor=self.actor)

    @extend_schema(request=shapes.LinkToExamSerializer, responses=shapes.PerformedStepSerializer)
    @action(detail=True, methods=["post"])
    def link(self, request: Request, uuid: str | None = None) -> Response:
        """Say which exam this was."""
        return self._do(services.link_performed_step)

    @extend_schema(request=shapes.LinkToExamSerializer, responses=shapes.PerformedStepSerializer)
    @action(detail=True, methods=["post"])
    def unlink(self, request: Request, uuid: str | None = None) -> Response:
        """It was another exam's."""
        return self._do(services.unlink_performed_step)

    def _do(self, service: Any) -> Response:
        step, data = self.get_object(), self.validated()
        procedure = procedure_named(data.pop("procedure"), self)
        return self.answer(service(step, procedure=procedure, **data, actor=self.actor))


class ScreeningViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Answers to safety questionnaires; a newer answer supersedes, none is changed."""

    queryset = ScreeningAnswer.objects.none()
    serializer_class = shapes.ScreeningSerializer
    serializer_classes = {
        "create": shapes.ScreeningCreateSerializer,
        "override": shapes.WorklistReasonSerializer,
        "allow": shapes.WorklistReasonSerializer,
    }
    filterset_class = filters.ScreeningFilter
    permission_codes = {
        "list": perms.VIEW_STEP,
        "retrieve": perms.VIEW_STEP,
        "create": perms.SCREEN_PATIENT,
        "override": perms.OVERRIDE_SCREENING,
        "allow": perms.PERFORM_STEP,
    }

    def get_queryset(self) -> QuerySet[ScreeningAnswer]:
        return selectors.screenings(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> ScreeningAnswer:
        procedure = procedure_named(data["procedure"], self)
        name = data["questionnaire"]
        forms = Questionnaire.objects.filter(is_active=True).order_by("-edition")
        form = forms.filter(uuid=name).first() if is_uuid(name) else forms.filter(name__iexact=name).first()
        if form is None:
            raise InvalidData("There is no such questionnaire.", errors={"questionnaire": ["Not known."]})
        return services.record_screening(procedure, questionnaire=form, answers=data["answers"], actor=self.actor)

    @extend_schema(request=shapes.ScreeningCreateSerializer, responses={201: shapes.ScreeningSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.WorklistReasonSerializer, responses=shapes.ScreeningSerializer)
    @action(detail=True, methods=["post"])
    def override(self, request: Request, uuid: str | None = None) -> Response:
        """A radiologist allows the exam in spite of the answers."""
        return self.answer(services.override_screening(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.WorklistReasonSerializer, responses=shapes.ScreeningSerializer)
    @action(detail=True, methods=["post"])
    def allow(self, request: Request, uuid: str | None = None) -> Response:
        """A technologist allows the exam, where the questionnaire leaves that to technologists."""
        return self.answer(services.allow_screening(self.get_object(), **self.validated(), actor=self.actor))
