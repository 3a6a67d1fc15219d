"""``/api/v1/worklist-items/``: the modality worklist as a resource, under our names and under those of Pylantir.

A client of Pylantir finds the fields it knows in every item (``patient_name``, ``scheduled_start_date``,
``performed_procedure_step_status`` ...), and may write them: create, PUT and DELETE do what they did there, by the
services of the house. What is deleted there is taken from the worklist here; nothing is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import MultipleChoiceFilter
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from orders import services as orders
from orders.models import Modality
from orders.permissions import UPDATE_PATIENT
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.api_parsers import JSONParser
from ris.core.errors import InvalidData
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api import filters
from worklist.api import serializers as shapes
from worklist.data import WorklistItem
from worklist.models import OFFERED, ScheduledProcedureStep, SPSStatus, Station
from worklist.services.images import parse_date, parse_time
from worklist.services.item_reading import item_of_json
from worklist.services.support import lock_procedure

DICOM_JSON = "application/dicom+json"
KG_IN_A_POUND = 0.45359237
#: Pylantir's status -> ours
STATUSES = {
    "SCHEDULED": SPSStatus.SCHEDULED,
    "IN_PROGRESS": SPSStatus.STARTED,
    "COMPLETED": SPSStatus.COMPLETED,
    "DISCONTINUED": SPSStatus.DISCONTINUED,
}
PYLANTIRS = {
    SPSStatus.STARTED: "IN_PROGRESS",
    SPSStatus.COMPLETED: "COMPLETED",
    SPSStatus.DISCONTINUED: "DISCONTINUED",
    SPSStatus.CANCELED: "DISCONTINUED",
}
UNSPECIFIED = "110513"
PLAN = ("starts_at", "station_ae_title")
PERSON = ("family_name", "given_name", "middle_name", "prefix", "suffix", "birth_date", "sex", "weight_kg")


def _of_pylantirs(wanted: Iterable[str]) -> list[str]:
    """Our statuses that Pylantir calls so."""
    return [one.value for one in SPSStatus if PYLANTIRS.get(one, "SCHEDULED") in wanted]


class DicomJsonParser(JSONParser):
    """PS3.18 F: the DICOM JSON model."""

    media_type = DICOM_JSON


class DicomJsonRenderer(JSONRenderer):
    media_type = DICOM_JSON
    format = "dicom"


def _optional(length: int, words: str = "") -> serializers.CharField:
    return serializers.CharField(
        max_length=length, required=False, allow_blank=True, allow_null=True, default="", help_text=words
    )


class PylantirFields(serializers.Serializer):
    """The names of Pylantir; each may be given instead of ours."""

    patient_name = _optional(200, "Family^Given. Pylantir's name for family_name and given_name.")
    patient_birth_date = _optional(10, "YYYYMMDD. Pylantir's name for birth_date.")
    patient_sex = _optional(1)
    patient_weight_lb = _optional(10, "Pounds; kept as kilograms.")
    referring_physician_name = _optional(130)
    study_description = _optional(100)
    procedure_description = _optional(200)
    protocol_name = _optional(100)
    scheduled_station_aetitle = _optional(100)
    station_name = _optional(100)
    scheduled_start_date = _optional(8, "YYYYMMDD, by the facility's clock.")
    scheduled_start_time = _optional(8, "HHMMSS, by the facility's clock.")
    performed_procedure_step_status = serializers.ChoiceField(
        choices=list(STATUSES), required=False, allow_null=True, default=None
    )


class WorklistItemWriteSerializer(shapes.WorklistItemCreateSerializer, PylantirFields):
    """As plain JSON, under our names or Pylantir's; as ``application/dicom+json`` the data set of an item instead."""

    family_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    weight_kg = serializers.FloatField(required=False, allow_null=True, default=None, min_value=0.1, max_value=700)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if data.pop("performed_procedure_step_status", None) not in (None, "SCHEDULED"):
            raise serializers.ValidationError({"performed_procedure_step_status": [_("A new item is SCHEDULED.")]})
        given = ours_of(data)
        cleaned = {name: value for name, value in data.items() if name not in PylantirFields._declared_fields}
        for name, value in given.items():
            if cleaned.get(name) in (None, "") or (name == "sex" and value):
                cleaned[name] = value
        if not cleaned.get("family_name"):
            raise serializers.ValidationError({"family_name": [_("This is needed.")]})
        return cleaned


class WorklistItemChangeSerializer(shapes.WorklistItemStatusSerializer, PylantirFields):
    """The new ``status`` (with ``code`` for DISCONTINUED, ``reason`` for CANCELED), or what is to be corrected."""

    status = serializers.ChoiceField(
        choices=shapes.WorklistItemStatusSerializer().fields["status"].choices, required=False
    )
    starts_at = serializers.DateTimeField(required=False, allow_null=True)
    station_ae_title = serializers.CharField(max_length=16, required=False, allow_blank=True)


class WorklistItemOutSerializer(shapes.WorklistItemSerializer):
    """A scheduled step as an item of the worklist, with the names that clients of Pylantir know."""

    patient_name = serializers.CharField(source="procedure.order.patient.dicom_name", read_only=True)
    patient_id = serializers.SerializerMethodField()
    patient_birth_date = serializers.SerializerMethodField()
    patient_sex = serializers.CharField(source="procedure.order.patient.sex", read_only=True)
    patient_weight_lb = serializers.SerializerMethodField()
    referring_physician_name = serializers.SerializerMethodField()
    study_description = serializers.CharField(source="procedure.description", read_only=True)
    procedure_description = serializers.CharField(source="description", read_only=True)
    protocol_name = serializers.CharField(source="procedure.protocol", read_only=True)
    scheduled_station_aetitle = serializers.CharField(source="station.ae_title", read_only=True, allow_null=True)
    station_name = serializers.CharField(source="station.name", read_only=True, allow_null=True)
    scheduled_start_date = serializers.SerializerMethodField()
    scheduled_start_time = serializers.SerializerMethodField()
    performed_procedure_step_status = serializers.SerializerMethodField()

    class Meta(shapes.WorklistItemSerializer.Meta):
        fields = (
            *shapes.WorklistItemSerializer.Meta.fields, "patient_name", "patient_id", "patient_birth_date",
            "patient_sex", "patient_weight_lb", "referring_physician_name", "study_description",
            "procedure_description", "protocol_name", "scheduled_station_aetitle", "station_name",
            "scheduled_start_date", "scheduled_start_time", "performed_procedure_step_status",
        )  # fmt: skip
        read_only_fields = fields

    def get_patient_id(self, step: ScheduledProcedureStep) -> str:
        identifier = step.procedure.order.patient.primary_identifier
        return identifier.value if identifier is not None else ""

    def get_patient_birth_date(self, step: ScheduledProcedureStep) -> str:
        born = step.procedure.order.patient.birth_date
        return f"{born:%Y%m%d}" if born else ""

    def get_patient_weight_lb(self, step: ScheduledProcedureStep) -> str:
        weight = step.procedure.order.patient.weight_kg
        return f"{float(weight) / KG_IN_A_POUND:.1f}" if weight else ""

    def get_referring_physician_name(self, step: ScheduledProcedureStep) -> str:
        requester = step.procedure.order.requester
        return f"{requester.family_name}^{requester.given_name}".rstrip("^") if requester is not None else ""

    def get_scheduled_start_date(self, step: ScheduledProcedureStep) -> str:
        return f"{timezone.localtime(step.starts_at):%Y%m%d}"

    def get_scheduled_start_time(self, step: ScheduledProcedureStep) -> str:
        return f"{timezone.localtime(step.starts_at):%H%M%S}"

    def get_performed_procedure_step_status(self, step: ScheduledProcedureStep) -> str:
        return PYLANTIRS.get(SPSStatus(step.status), "SCHEDULED")


class WorklistSearchSerializer(serializers.Serializer):
    """Looked for in the body, so that no number stands in an address."""

    patient_id = serializers.CharField(max_length=64, required=False, help_text="A part of the patient's number.")
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)
    performed_procedure_step_status = serializers.ListField(
        child=serializers.ChoiceField(choices=list(STATUSES)), required=False
    )
    data_source = serializers.CharField(max_length=20, required=False, help_text="The door that it came by.")


class TakenOffSerializer(serializers.Serializer):
    message = serializers.CharField()


def ours_of(data: dict[str, Any]) -> dict[str, Any]:
    """What is given under Pylantir's names, under ours."""
    found: dict[str, Any] = {}
    name = str(data.get("patient_name") or "")
    if name:
        parts = name.split("=")[0].split("^") if "^" in name else [part.strip() for part in name.split(",", 1)]
        fields = ("family_name", "given_name", "middle_name", "prefix", "suffix")
        found.update({field: part.strip()[:64] for field, part in zip(fields, parts, strict=False) if part.strip()})
    if data.get("patient_birth_date"):
        born = parse_date(str(data["patient_birth_date"]).replace("-", ""))
        if born is None:
            raise serializers.ValidationError({"patient_birth_date": [_("This is not a date.")]})
        found["birth_date"] = born
    if data.get("patient_sex"):
        found["sex"] = str(data["patient_sex"]).upper()
    if data.get("patient_weight_lb"):
        found["weight_kg"] = _kilograms(data["patient_weight_lb"])
    starts_at = _moment(data.get("scheduled_start_date"), data.get("scheduled_start_time"))
    if starts_at is not None:
        found["starts_at"] = starts_at
    title = data.get("scheduled_station_aetitle") or _title_of(data.get("station_name"))
    if title:
        found["station_ae_title"] = title
    described = data.get("study_description") or data.get("procedure_description") or data.get("protocol_name")
    if described:
        found["description"] = str(described)[:64]
    if data.get("protocol_name"):
        found["protocol"] = data["protocol_name"]
    requester = str(data.get("referring_physician_name") or "")
    if requester:
        family, _caret, given = requester.partition("^")
        found.update(requester_family_name=family.strip(), requester_given_name=given.strip())
    return found


def _kilograms(pounds: Any) -> float:
    try:
        weight = round(float(pounds) * KG_IN_A_POUND, 2)
    except ValueError:
        weight = 0.0
    if not 0.1 <= weight <= 700:
        raise serializers.ValidationError({"patient_weight_lb": [_("This is no weight.")]})
    return weight


def _moment(day: Any, clock: Any) -> datetime | None:
    if not day:
        return None
    date, time = parse_date(str(day)), parse_time(str(clock)) if clock else datetime.min.time()
    if date is None or time is None:
        raise serializers.ValidationError({"scheduled_start_date": [_("YYYYMMDD and HHMMSS are wanted.")]})
    return timezone.make_aware(datetime.combine(date, time))


def _title_of(name: Any) -> str:
    if not name:
        return ""
    station = Station.objects.filter(name__iexact=str(name), is_active=True).first()
    return station.ae_title if station is not None else str(name)[:16]


class WorklistItemFilter(filters.StepFilter):
    performed_procedure_step_status = MultipleChoiceFilter(
        choices=[(name, name) for name in STATUSES], method="by_pylantirs_status"
    )

    def by_pylantirs_status(self, queryset: QuerySet, name: str, wanted: list[str]) -> QuerySet:
        return queryset.filter(status__in=_of_pylantirs(wanted)) if wanted else queryset


class WorklistItemViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """The modality worklist as a resource: load items from outside, see them, correct and move them."""

    queryset = ScheduledProcedureStep.objects.none()
    serializer_class = WorklistItemOutSerializer
    serializer_classes = {
        "create": WorklistItemWriteSerializer,
        "update": WorklistItemChangeSerializer,
        "partial_update": WorklistItemChangeSerializer,
        "search": WorklistSearchSerializer,
    }
    filterset_class = WorklistItemFilter
    parser_classes = (JSONParser, DicomJsonParser)
    permission_codes = {
        "list": perms.VIEW_STEP,
        "retrieve": perms.VIEW_STEP,
        "search": perms.VIEW_STEP,
        "create": perms.LOAD_WORKLIST,
        "update": perms.VIEW_STEP,
        "partial_update": perms.VIEW_STEP,
        "destroy": perms.BOOK_APPOINTMENT,
        "dataset": perms.VIEW_STEP,
    }

    def get_queryset(self) -> QuerySet[ScheduledProcedureStep]:
        rows = selectors.steps(actor=self.actor).select_related("procedure__order__requester")
        rows = rows.prefetch_related(None).prefetch_related("procedure__order__patient__identifiers")
        return rows.defer(None) if self.action == "dataset" else rows

    @extend_schema(
        request={"application/json": WorklistItemWriteSerializer, DICOM_JSON: OpenApiTypes.OBJECT},
        responses={201: WorklistItemOutSerializer},
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

    @extend_schema(request=WorklistItemChangeSerializer, responses=WorklistItemOutSerializer)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """As PATCH: what is left out stays as it is (so did Pylantir's PUT)."""
        return self.partial_update(request, *args, **kwargs)

    @extend_schema(request=WorklistItemChangeSerializer, responses=WorklistItemOutSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Correct patient, time and place, or move the item by its status; each with the right of its service."""
        return super().partial_update(request, *args, **kwargs)

    def service_change(self, step: ScheduledProcedureStep, data: dict[str, Any]) -> ScheduledProcedureStep:
        ours = {**ours_of(data), **{name: value for name, value in data.items() if name in PLAN and value}}
        wanted = data.get("status") or STATUSES.get(data.get("performed_procedure_step_status") or "")
        if not ours and not wanted:
            raise InvalidData(_("Say the new status, or what is to be corrected."), errors={"status": [_("Needed.")]})
        person = {name: ours[name] for name in PERSON if name in ours}
        if person:
            self.actor.require(UPDATE_PATIENT)
            orders.update_patient(
                step.procedure.order.patient, reason=_("Worklist item corrected"), actor=self.actor, **person
            )
        if any(ours.get(name) for name in PLAN):
            station = self._station(ours.get("station_ae_title"))
            services.ensure_step(step.procedure, station=station, starts_at=ours.get("starts_at"), actor=self.actor)
        if wanted and not (wanted == SPSStatus.SCHEDULED and step.status == SPSStatus.SCHEDULED):
            self._move(step, wanted, data)
        return self.get_queryset().get(pk=step.pk)

    @staticmethod
    def _station(title: str | None) -> Station | None:
        if not title:
            return None
        station = Station.objects.filter(ae_title=title, is_active=True).first()
        if station is None:
            words = _("There is no station %(title)s.") % {"title": title[:16]}
            raise InvalidData(words, errors={"station_ae_title": words})
        return station

    def _move(self, step: ScheduledProcedureStep, wanted: str, data: dict[str, Any]) -> None:
        procedure, actor = lock_procedure(step.procedure), self.actor
        is_pylantirs = not data.get("status")
        match wanted:
            case SPSStatus.ARRIVED:
                services.arrive_patient(procedure, actor=actor)
            case SPSStatus.SCHEDULED:
                services.undo_arrival(procedure, actor=actor)
            case SPSStatus.STARTED:
                services.start_exam(procedure, actor=actor)
            case SPSStatus.COMPLETED:
                services.complete_exam(procedure, actor=actor)
            case SPSStatus.DISCONTINUED if is_pylantirs and step.status in OFFERED:
                services.cancel_step(step, reason=data.get("reason") or _("Discontinued before it began"), actor=actor)
            case SPSStatus.DISCONTINUED:
                code = data.get("code", "") or (UNSPECIFIED if is_pylantirs else "")
                services.discontinue_exam(procedure, code=code, actor=actor)
            case SPSStatus.CANCELED:
                services.cancel_step(step, reason=data.get("reason", ""), actor=actor)

    @extend_schema(request=None, responses={200: TakenOffSerializer})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Take it from the worklist. The exam and its history stay, and wait for a new time; refused once it runs."""
        step = self.get_object()
        services.cancel_step(step, reason=_("Taken from the worklist by a program"), actor=self.actor)
        return Response({"message": _("The item was taken from the worklist.")})

    @extend_schema(request=WorklistSearchSerializer, responses=WorklistItemOutSerializer(many=True))
    @action(detail=False, methods=["post"], filterset_class=None)
    def search(self, request: Request) -> Response:
        """The list by what may not stand in an address: a part of the patient's number, with status and modality."""
        data = self.validated()
        rows = self.get_queryset()
        if data.get("patient_id"):
            rows = rows.filter(procedure__order__patient__identifiers__value__icontains=data["patient_id"]).distinct()
        if data.get("modality"):
            rows = rows.filter(modality=data["modality"])
        if data.get("data_source"):
            rows = rows.filter(procedure__order__source=data["data_source"])
        wanted = data.get("performed_procedure_step_status")
        if wanted:
            rows = rows.filter(status__in=_of_pylantirs(wanted))
        page = self.paginate_queryset(rows)
        self.audit_read(page)
        serializer = WorklistItemOutSerializer(page, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(serializer.data)

    @extend_schema(responses={(200, kind): OpenApiTypes.OBJECT for kind in (DICOM_JSON, "application/json")})
    @action(detail=True, methods=["get"], renderer_classes=(DicomJsonRenderer, JSONRenderer))
    def dataset(self, request: Request, uuid: str | None = None) -> Response:
        """The item as scanners get it, in the DICOM JSON model. Empty when the step is not on the worklist."""
        step = self.get_object()
        self.audit_read(step)
        document = selectors.read_item(bytes(step.item)).to_json_dict() if step.item else {}
        return Response(json.loads(json.dumps(document)))
