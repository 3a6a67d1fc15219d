"""``/api/v1/`` + ``studies exceptions``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import selectors as orders
from ris.accounts.api.base import FacilityViewSet, ListMixin, RetrieveMixin
from ris.core.errors import NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api import filters
from worklist.api import serializers as shapes
from worklist.api.reconciliation import CandidateSearchSerializer, CandidatesMixin
from worklist.api.schedule import procedure_named
from worklist.models import ExceptionItem, ImagingInstance, ImagingStudy


class StudyViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Studies as acquired, with their series and instances. Patient fields are as the objects say."""

    queryset = ImagingStudy.objects.none()
    serializer_class = shapes.StudySerializer
    serializer_classes = {
        "link": shapes.LinkToExamSerializer,
        "unlink": shapes.UnlinkFromExamSerializer,
        "series": shapes.SeriesSerializer,
        "instances": shapes.InstanceSerializer,
    }
    filterset_class = filters.StudyFilter
    permission_codes = {
        "list": perms.VIEW_STUDY,
        "retrieve": perms.VIEW_STUDY,
        "series": perms.VIEW_STUDY,
        "instances": perms.VIEW_STUDY,
        "link": perms.RESOLVE_EXCEPTION,
        "unlink": perms.RESOLVE_EXCEPTION,
    }

    def get_queryset(self) -> QuerySet[ImagingStudy]:
        return selectors.studies(actor=self.actor)

    @extend_schema(responses=shapes.SeriesSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def series(self, request: Request, uuid: str | None = None) -> Response:
        """Its series, by number."""
        study = self.get_object()
        self.audit_read(study)
        return Response(shapes.SeriesSerializer(study.series.filter(instance_count__gt=0), many=True).data)

    @extend_schema(
        responses=shapes.InstanceSerializer(many=True),
        parameters=[OpenApiParameter("uuid", OpenApiTypes.UUID, OpenApiParameter.PATH)],
    )
    @action(
        detail=True, methods=["get"], filterset_class=filters.InstanceFilter, queryset=ImagingInstance.objects.none()
    )
    def instances(self, request: Request, uuid: str | None = None) -> Response:
        """Its instances, page by page."""
        study = self.get_object()
        rows = ImagingInstance.objects.filter(series__study=study).select_related("series")
        page = self.paginate_queryset(self.filter_queryset(rows))
        self.audit_read(study, rows=len(page or ()))
        return self.get_paginated_response(shapes.InstanceSerializer(page, many=True).data)

    @extend_schema(request=shapes.LinkToExamSerializer, responses=shapes.StudySerializer)
    @action(detail=True, methods=["post"])
    def link(self, request: Request, uuid: str | None = None) -> Response:
        """Say whose images these are."""
        study, data = self.get_object(), self.validated()
        procedure = procedure_named(data["procedure"], self)
        return self.answer(services.link_study(study, procedure=procedure, reason=data["reason"], actor=self.actor))

    @extend_schema(request=shapes.UnlinkFromExamSerializer, responses=shapes.StudySerializer)
    @action(detail=True, methods=["post"])
    def unlink(self, request: Request, uuid: str | None = None) -> Response:
        """Take them from an exam; they wait for a person again."""
        study, data = self.get_object(), self.validated()
        procedure = procedure_named(data["procedure"], self) if data.get("procedure") else None
        return self.answer(services.unlink_study(study, procedure=procedure, reason=data["reason"], actor=self.actor))


class ExceptionViewSet(CandidatesMixin, ListMixin, RetrieveMixin, FacilityViewSet):
    """What a person must look at."""

    queryset = ExceptionItem.objects.none()
    serializer_class = shapes.ExceptionSerializer
    serializer_classes = {
        "resolve": shapes.ResolutionSerializer,
        "read_limited": shapes.ResolutionSerializer,
        "link": shapes.LinkToExamSerializer,
        "order": shapes.OrderFromExceptionSerializer,
        "search": CandidateSearchSerializer,
    }
    filterset_class = filters.ExceptionFilter
    permission_codes = dict.fromkeys(
        ("list", "retrieve", "resolve", "read_limited", "link", "order", "candidates", "search"),
        perms.RESOLVE_EXCEPTION,
    )

    def get_queryset(self) -> QuerySet[ExceptionItem]:
        return selectors.exceptions(actor=self.actor)

    @extend_schema(request=shapes.ResolutionSerializer, responses=shapes.ExceptionSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, uuid: str | None = None) -> Response:
        """Settle it with a sentence."""
        return self.answer(services.resolve_exception(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ResolutionSerializer, responses=shapes.ExceptionSerializer)
    @action(detail=True, methods=["post"], url_path="read-limited")
    def read_limited(self, request: Request, uuid: str | None = None) -> Response:
        """The exam was discontinued; what there is of images shall be read."""
        item, words = self.get_object(), self.validated()["resolution"]
        return self.answer(services.read_limited_study(item, reason=words, actor=self.actor))

    @extend_schema(request=shapes.LinkToExamSerializer, responses=shapes.ExceptionSerializer)
    @action(detail=True, methods=["post"])
    def link(self, request: Request, uuid: str | None = None) -> Response:
        """Link its images and its performed step to an exam, which settles it."""
        item, data = self.get_object(), self.validated()
        procedure: Any = procedure_named(data["procedure"], self)
        services.link_exception(item, procedure=procedure, reason=data["reason"], actor=self.actor)
        return self.answer(self.get_queryset().get(pk=item.pk))

    @extend_schema(request=shapes.OrderFromExceptionSerializer, responses={201: shapes.ExceptionSerializer})
    @action(detail=True, methods=["post"])
    def order(self, request: Request, uuid: str | None = None) -> Response:
        """Order what was done without an order, for a known patient or a new one, and link it; all or nothing."""
        item, data = self.get_object(), self.validated()
        if "patient" in data:
            data["patient"] = _patient_named(data["patient"], self)
        services.order_from_exception(item, **data, actor=self.actor)
        return self.answer(self.get_queryset().get(pk=item.pk), 201)


def _patient_named(uuid: Any, view: FacilityViewSet) -> Any:
    patient = orders.patients(actor=view.actor).filter(uuid=uuid).first()
    if patient is None:
        raise NotKnown(_("There is no such patient."))
    return patient
