"""``/api/v1/patients/``, their merges and their documents."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import selectors, services
from orders.api import filters
from orders.api import serializers as shapes
from orders.api.identity import AfterMergeActions, IdentityActions
from orders.api.records import RecordActions
from orders.api.support import of_this_facility
from orders.models import Document, Order, Patient, PatientMerge
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.audit.service import record_read

FOUND_AT_MOST = 50


class PatientViewSet(
    IdentityActions, RecordActions, ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet
):
    """Patients. Names and identifiers are searched by POST, so that they never stand in a log."""

    queryset = Patient.objects.none()
    serializer_class = shapes.PatientSerializer
    filterset_class = filters.PatientFilter
    ordering_fields = ("id", "created_at", "updated_at")
    permission_codes = {
        "list": perms.VIEW_PATIENT,
        "retrieve": perms.VIEW_PATIENT,
        "create": perms.REGISTER_PATIENT,
        "partial_update": perms.UPDATE_PATIENT,
        "search": perms.VIEW_PATIENT,
        "duplicates": perms.VIEW_PATIENT,
        "merge": perms.MERGE_PATIENTS,
        "add_alert": perms.UPDATE_PATIENT,
        **IdentityActions.identity_codes,
        **RecordActions.record_codes,
    }
    serializer_classes = {
        "create": shapes.PatientCreateSerializer,
        "partial_update": shapes.PatientChangeSerializer,
        "search": shapes.PatientSearchSerializer,
        "duplicates": shapes.PatientQuerySerializer,
        "merge": shapes.MergeRequestSerializer,
        "add_alert": shapes.AlertInputSerializer,
        **IdentityActions.identity_shapes,
        **RecordActions.record_shapes,
    }

    def get_queryset(self) -> QuerySet[Patient]:
        if self.action == "list":
            return selectors.patients(actor=self.actor).select_related("merged_into")
        return selectors.all_patients(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Patient:
        return services.register_patient(**data, actor=self.actor)

    def service_change(self, patient: Patient, data: dict[str, Any]) -> Patient:
        return services.update_patient(patient, **data, actor=self.actor)

    @extend_schema(request=shapes.PatientCreateSerializer, responses={201: shapes.PatientSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.PatientChangeSerializer, responses=shapes.PatientSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=shapes.PatientSearchSerializer, responses=shapes.PatientsFoundSerializer, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def search(self, request: Request) -> Response:
        """Patients by name parts, phone or identifier; at most 50, alphabetically."""
        data = self.validated()
        rows = self._found(data)
        if data["birth_date"]:
            rows = rows.filter(birth_date=data["birth_date"])
        found = list(rows.select_related("merged_into").order_by("family_name", "given_name", "pk")[:FOUND_AT_MOST])
        self.audit_read(found)
        return Response({"results": shapes.PatientSerializer(found, many=True).data})

    def _found(self, data: dict[str, Any]) -> QuerySet[Patient]:
        if data["identifier"]:
            patient = selectors.patient_by_identifier(data["identifier"], data["issuer"], actor=self.actor)
            rows = selectors.patients(actor=self.actor)
            return rows.filter(pk=patient.pk) if patient is not None else rows.none()
        words = " ".join(part for part in (data["query"], data["family_name"], data["given_name"]) if part)
        if not words and data["birth_date"]:
            return selectors.patients(actor=self.actor)
        return selectors.search_patients(words, actor=self.actor)

    @extend_schema(request=shapes.PatientQuerySerializer, responses=shapes.CandidatesSerializer, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def duplicates(self, request: Request) -> Response:
        """Who a person to be registered may be, best first, with the reasons."""
        data = self.validated()
        data.pop("sex", None)
        candidates = services.find_duplicates(**data, actor=self.actor)
        return Response({"results": shapes.CandidateSerializer(candidates, many=True).data})

    @extend_schema(request=shapes.MergeRequestSerializer, responses=shapes.MergeSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, uuid: str | None = None) -> Response:
        """Merge another record into this one; repeating it changes nothing."""
        survivor = self.get_object()
        data = self.validated()
        loser = of_this_facility(selectors.all_patients(actor=self.actor), "loser", uuid=data["loser"])
        merge = services.merge_patients(survivor=survivor, loser=loser, reason=data["reason"], actor=self.actor)
        return Response(shapes.MergeSerializer(merge).data)

    @extend_schema(request=shapes.AlertInputSerializer, responses={201: shapes.AlertSerializer})
    @action(detail=True, methods=["post"], url_path="add-alert")
    def add_alert(self, request: Request, uuid: str | None = None) -> Response:
        alert = services.add_alert(self.get_object(), **self.validated(), actor=self.actor)
        return Response(shapes.AlertSerializer(alert).data, status=status.HTTP_201_CREATED)


class MergeViewSet(AfterMergeActions, ListMixin, RetrieveMixin, FacilityViewSet):
    """Merges that were made, and the way back."""

    queryset = PatientMerge.objects.none()
    serializer_class = shapes.MergeSerializer
    ordering_fields = ("id", "merged_at")
    permission_codes = {
        "list": perms.MERGE_PATIENTS,
        "retrieve": perms.MERGE_PATIENTS,
        "undo": perms.MERGE_PATIENTS,
        **AfterMergeActions.after_codes,
    }
    serializer_classes = {"undo": shapes.UndoSerializer, **AfterMergeActions.after_shapes}

    def get_queryset(self) -> QuerySet[PatientMerge]:
        return selectors.merges(actor=self.actor)

    @extend_schema(request=shapes.UndoSerializer, responses=shapes.MergeSerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, uuid: str | None = None) -> Response:
        """Give every moved row back. What came since stays: see ``later``."""
        return self.answer(services.unmerge_patients(self.get_object(), **self.validated(), actor=self.actor))


class DocumentViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Papers of patients and orders, sent as ``multipart/form-data``."""

    queryset = Document.objects.none()
    serializer_class = shapes.DocumentSerializer
    serializer_classes = {"create": shapes.DocumentInputSerializer, "withdraw": shapes.PlainReasonSerializer}
    filterset_class = filters.DocumentFilter
    ordering_fields = ("id", "added_at")
    permission_codes = {
        "list": perms.VIEW_DOCUMENT,
        "retrieve": perms.VIEW_DOCUMENT,
        "content": perms.VIEW_DOCUMENT,
        "create": perms.ADD_DOCUMENT,
        "withdraw": perms.ADD_DOCUMENT,
    }

    def get_queryset(self) -> QuerySet[Document]:
        return selectors.documents(actor=self.actor)

    def get_parsers(self) -> list[Any]:
        if self.action_map and self.action_map.get("post") == "create":
            return [MultiPartParser()]
        return super().get_parsers()

    def service_create(self, data: dict[str, Any]) -> Document:
        patient = of_this_facility(selectors.patients(actor=self.actor), "patient", uuid=data.pop("patient"))
        wanted = data.pop("order")
        order: Order | None = None
        if wanted is not None:
            order = of_this_facility(selectors.orders(actor=self.actor), "order", uuid=wanted)
        return services.add_document(patient, order=order, **data, actor=self.actor)

    @extend_schema(request=shapes.DocumentInputSerializer, responses={201: shapes.DocumentSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def content(self, request: Request, uuid: str | None = None) -> FileResponse:
        """The file itself."""
        document = self.get_object()
        record_read(self.actor, perms.VIEW_DOCUMENT, entity=document, detail={"content": True})
        return FileResponse(
            document.file.open("rb"),
            content_type=document.content_type,
            as_attachment=True,
            filename=f"{document.uuid}",
        )

    @extend_schema(request=shapes.PlainReasonSerializer, responses=shapes.DocumentSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        return self.answer(services.withdraw_document(self.get_object(), **self.validated(), actor=self.actor))
