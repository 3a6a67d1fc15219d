"""What lists are narrowed by. Never names or identifiers of patients: those are searched by POST."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters

from orders import queues
from orders.models import (
    LIFE_CYCLE,
    CatalogueProcedure,
    Charge,
    ChargeStatus,
    Document,
    DocumentKind,
    Modality,
    Order,
    Patient,
    PatientClass,
    Priority,
    ProcedureStatus,
    RequestedProcedure,
    Sex,
)
from orders.services.lifecycle import HELD
from ris.accounts.models import Practitioner


class PatientFilter(filters.FilterSet):
    sex = filters.ChoiceFilter(choices=Sex.choices)
    is_unverified = filters.BooleanFilter(field_name="identity_is_unverified")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    updated_after = filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = Patient
        fields: list[str] = []


class OrderFilter(filters.FilterSet):
    patient = filters.UUIDFilter(field_name="patient__uuid")
    requester = filters.UUIDFilter(field_name="requester__uuid")
    site = filters.CharFilter(field_name="site__code")
    status = filters.MultipleChoiceFilter(choices=ProcedureStatus.choices)
    priority = filters.MultipleChoiceFilter(choices=Priority.choices)
    patient_class = filters.ChoiceFilter(choices=PatientClass.choices)
    ordered_after = filters.IsoDateTimeFilter(field_name="ordered_at", lookup_expr="gte")
    ordered_before = filters.IsoDateTimeFilter(field_name="ordered_at", lookup_expr="lt")

    class Meta:
        model = Order
        fields: list[str] = []


class ProcedureFilter(filters.FilterSet):
    order = filters.UUIDFilter(field_name="order__uuid")
    patient = filters.UUIDFilter(field_name="order__patient__uuid")
    accession_number = filters.CharFilter(max_length=16)
    study_instance_uid = filters.CharFilter(max_length=64)
    status = filters.MultipleChoiceFilter(choices=ProcedureStatus.choices)
    life_cycle = filters.ChoiceFilter(
        choices=[(name, name) for name in dict.fromkeys(LIFE_CYCLE.values())], method="of_life_cycle"
    )
    modality = filters.MultipleChoiceFilter(choices=Modality.choices)
    priority = filters.MultipleChoiceFilter(field_name="order__priority", choices=Priority.choices)
    is_unmapped = filters.BooleanFilter()
    site = filters.CharFilter(field_name="order__site__code")
    held_by = filters.UUIDFilter(field_name="held_by__uuid")
    is_overdue = filters.BooleanFilter(method="of_overdue", help_text="On hold or asked about, past its time.")
    needs_protocol = filters.BooleanFilter(method="of_protocol", help_text="Accepted, to be protocolled, not yet done.")
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = RequestedProcedure
        fields: list[str] = []

    def of_life_cycle(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        return queryset.filter(status__in=[status for status, state in LIFE_CYCLE.items() if state == value])

    def of_overdue(self, queryset: QuerySet, name: str, value: bool) -> QuerySet:
        late = Q(status__in=HELD, held_until__lt=timezone.now())
        return queryset.filter(late if value else ~late)

    def of_protocol(self, queryset: QuerySet, name: str, value: bool) -> QuerySet:
        waits = queues.needs_protocol()
        return queryset.filter(waits if value else ~waits)


class CatalogueFilter(filters.FilterSet):
    q = filters.CharFilter(method="by_words", help_text="Parts of the name or the code.")
    code = filters.CharFilter()
    modality = filters.MultipleChoiceFilter(choices=Modality.choices)
    body_region = filters.CharFilter(lookup_expr="iexact")
    has_laterality = filters.BooleanFilter()
    uses_contrast = filters.BooleanFilter()

    class Meta:
        model = CatalogueProcedure
        fields: list[str] = []

    def by_words(self, queryset: QuerySet, name: str, value: str) -> QuerySet:
        for word in value.split():
            queryset = queryset.filter(Q(name__icontains=word) | Q(name_sw__icontains=word) | Q(code__istartswith=word))
        return queryset


class ChargeFilter(filters.FilterSet):
    procedure = filters.UUIDFilter(field_name="procedure__uuid")
    status = filters.MultipleChoiceFilter(choices=ChargeStatus.choices)
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = Charge
        fields: list[str] = []


class DocumentFilter(filters.FilterSet):
    patient = filters.UUIDFilter(field_name="patient__uuid")
    order = filters.UUIDFilter(field_name="order__uuid")
    kind = filters.MultipleChoiceFilter(choices=DocumentKind.choices)

    class Meta:
        model = Document
        fields: list[str] = []


class PractitionerFilter(filters.FilterSet):
    is_active = filters.BooleanFilter()
    specialty = filters.CharFilter(lookup_expr="iexact")

    class Meta:
        model = Practitioner
        fields: list[str] = []
