"""``/api/v1/`` + ``steps performed-steps screenings worklist-items``."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import InvalidData
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api import filters
from worklist.api import serializers as shapes
from worklist.api.schedule import is_uuid, procedure_named, station_named
from worklist.data import WorklistItem
from worklist.models import (
    PerformedProcedureStep,
    Questionnaire,
    ScheduledProcedureStep,
    ScreeningAnswer,
    SPSStatus,
)
from worklist.services.item_reading import item_of_json

DICOM_JSON = "application/dicom+json"


class DicomJsonParser(JSONParser):
    """PS3.18 F: the DICOM JSON model."""

    media_type = DICOM_JSON


class DicomJsonRenderer(JSONRenderer):
    media_type = DICOM_JSON
    format = "dicom"


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


class WorklistItemViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """The modality worklist as a resource: load items from outside, see them, move them."""

    queryset = ScheduledProcedureStep.objects.none()
    serializer_class = shapes.WorklistItemSerializer
    serializer_classes = {
        "create": shapes.WorklistItemCreateSerializer,
        "partial_update": shapes.WorklistItemStatusSerializer,
    }
    filterset_class = filters.StepFilter
    parser_classes = (JSONParser, DicomJsonParser)
    permission_codes = {
        "list": perms.VIEW_STEP,
        "retrieve": perms.VIEW_STEP,
        "create": perms.LOAD_WORKLIST,
        "partial_update": perms.VIEW_STEP,
        "dataset": perms.VIEW_STEP,
    }

    def get_queryset(self) -> QuerySet[ScheduledProcedureStep]:
        rows = selectors.steps(actor=self.actor)
        return rows.defer(None) if self.action == "dataset" else rows

    @extend_schema(
        request={"application/json": shapes.WorklistItemCreateSerializer, DICOM_JSON: OpenApiTypes.OBJECT},
        responses={201: shapes.WorklistItemSerializer},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create patient, order and step; UIDs and numbers are kept when valid and free. A repeat moves the step."""
        if (request.content_type or "").partition(";")[0].strip() == DICOM_JSON:
            document = request.data[0] if isinstance(request.data, list) and len(request.data) == 1 else request.data
            item = item_of_json(document)
        else:
            item = WorklistItem(**self.validated())
        step = services.load_worklist_item(item, actor=self.actor)
        location = request.build_absolute_uri(f"{request.path.rstrip('/')}/{step.uuid}/")
        return self.answer(self.get_queryset().get(pk=step.pk), status.HTTP_201_CREATED, Location=location)

    @extend_schema(request=shapes.WorklistItemStatusSerializer, responses=shapes.WorklistItemSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Move the item by its status; each status is the service of that name, with its own right."""
        return super().partial_update(request, *args, **kwargs)

    def service_change(self, step: ScheduledProcedureStep, data: dict[str, Any]) -> ScheduledProcedureStep:
        procedure, actor = step.procedure, self.actor
        match data.get("status"):
            case SPSStatus.ARRIVED:
                services.arrive_patient(procedure, actor=actor)
            case SPSStatus.SCHEDULED:
                services.undo_arrival(procedure, actor=actor)
            case SPSStatus.STARTED:
                services.start_exam(procedure, actor=actor)
            case SPSStatus.COMPLETED:
                services.complete_exam(procedure, actor=actor)
            case SPSStatus.DISCONTINUED:
                services.discontinue_exam(procedure, code=data.get("code", ""), actor=actor)
            case SPSStatus.CANCELED:
                services.cancel_step(step, reason=data.get("reason", ""), actor=actor)
            case _:
                raise InvalidData("Say the new status.", errors={"status": ["This is needed."]})
        return self.get_queryset().get(pk=step.pk)

    @extend_schema(responses={(200, DICOM_JSON): OpenApiTypes.OBJECT})
    @action(detail=True, methods=["get"], renderer_classes=(DicomJsonRenderer, JSONRenderer))
    def dataset(self, request: Request, uuid: str | None = None) -> Response:
        """The item as scanners get it, in the DICOM JSON model. Empty when the step is not on the worklist."""
        step = self.get_object()
        self.audit_read(step)
        document = selectors.read_item(bytes(step.item)).to_json_dict() if step.item else {}
        return Response(json.loads(json.dumps(document)))
