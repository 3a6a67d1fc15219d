"""What lists are narrowed by. Never names or identifiers of patients."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from orders.models import Modality
from worklist.models import (
    ExceptionItem,
    ExceptionKind,
    ImagingInstance,
    ImagingStudy,
    PerformedProcedureStep,
    PPSStatus,
    Reservation,
    ReservationKind,
    ReservationStatus,
    Room,
    ScheduledProcedureStep,
    ScreeningAnswer,
    SPSStatus,
    Station,
)


class RoomFilter(filters.FilterSet):
    is_active = filters.BooleanFilter()
    modality = filters.ChoiceFilter(field_name="stations__modality", choices=Modality.choices, distinct=True)

    class Meta:
        model = Room
        fields: list[str] = []


class StationFilter(filters.FilterSet):
    ae_title = filters.CharFilter()
    modality = filters.MultipleChoiceFilter(choices=Modality.choices)
    is_active = filters.BooleanFilter()

    class Meta:
        model = Station
        fields: list[str] = []


class AppointmentFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    room = filters.CharFilter(field_name="room__code")
    station = filters.CharFilter(field_name="station__ae_title")
    status = filters.MultipleChoiceFilter(choices=ReservationStatus.choices)
    kind = filters.MultipleChoiceFilter(choices=ReservationKind.choices)
    date = filters.DateFilter(field_name="starts_at", lookup_expr="date")
    starts_after = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="gte")
    starts_before = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")

    class Meta:
        model = Reservation
        fields: list[str] = []


class StepFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    accession_number = filters.CharFilter(field_name="procedure__accession_number")
    scheduled_procedure_step_id = filters.CharFilter()
    station = filters.CharFilter(field_name="station__ae_title")
    modality = filters.MultipleChoiceFilter(choices=Modality.choices)
    status = filters.MultipleChoiceFilter(choices=SPSStatus.choices)
    is_on_worklist = filters.BooleanFilter()
    date = filters.DateFilter(field_name="starts_at", lookup_expr="date")
    starts_after = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="gte")
    starts_before = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")

    class Meta:
        model = ScheduledProcedureStep
        fields: list[str] = []


class PerformedStepFilter(filters.FilterSet):
    sop_instance_uid = filters.CharFilter()
    study_instance_uid = filters.CharFilter()
    accession_number = filters.CharFilter()
    status = filters.MultipleChoiceFilter(choices=PPSStatus.choices)
    is_matched = filters.BooleanFilter(field_name="scheduled_steps", lookup_expr="isnull", exclude=True, distinct=True)

    class Meta:
        model = PerformedProcedureStep
        fields: list[str] = []


class StudyFilter(filters.FilterSet):
    study_instance_uid = filters.CharFilter()
    accession_number = filters.CharFilter()
    procedure = filters.UUIDFilter(field_name="procedures__uuid", distinct=True)
    modality = filters.ChoiceFilter(field_name="series__modality", choices=Modality.choices, distinct=True)
    study_date = filters.DateFilter()
    is_matched = filters.BooleanFilter(method="by_match")
    is_complete = filters.BooleanFilter(field_name="completed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ImagingStudy
        fields: list[str] = []

    def by_match(self, queryset: QuerySet, name: str, value: bool) -> QuerySet:
        return queryset.filter(procedures__isnull=not value).distinct()


class InstanceFilter(filters.FilterSet):
    series_instance_uid = filters.CharFilter(field_name="series__series_instance_uid")
    sop_class_uid = filters.CharFilter()

    class Meta:
        model = ImagingInstance
        fields: list[str] = []


class ExceptionFilter(filters.FilterSet):
    kind = filters.MultipleChoiceFilter(choices=ExceptionKind.choices)
    is_open = filters.BooleanFilter(field_name="resolved_at", lookup_expr="isnull")
    study = filters.UUIDFilter(field_name="study__uuid")
    procedure = filters.UUIDFilter(field_name="procedure__uuid")

    class Meta:
        model = ExceptionItem
        fields: list[str] = []


class ScreeningFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    is_current = filters.BooleanFilter(field_name="superseded_at", lookup_expr="isnull")

    class Meta:
        model = ScreeningAnswer
        fields: list[str] = []
