"""``/api/v1/catalogue/``, ``charges/`` and ``practitioners/``."""

from __future__ import annotations

import io
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import selectors, services
from orders.api import filters, intake
from orders.api import serializers as shapes
from orders.api.billing_serializers import ChargeInputSerializer
from orders.api.support import of_this_facility
from orders.models import CatalogueProcedure, Charge
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Practitioner


class CatalogueViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What can be ordered."""

    queryset = CatalogueProcedure.objects.none()
    serializer_class = shapes.CatalogueSerializer
    serializer_classes = {"load": shapes.CatalogueTableSerializer, "preview": shapes.CatalogueTableSerializer}
    filterset_class = filters.CatalogueFilter
    ordering_fields = ("id", "code", "name")
    permission_codes = {
        "list": perms.VIEW_CATALOGUE,
        "retrieve": perms.VIEW_CATALOGUE,
        "table": perms.VIEW_CATALOGUE,
        "load": perms.MANAGE_CATALOGUE,
        "preview": perms.MANAGE_CATALOGUE,
    }

    def get_queryset(self) -> QuerySet[CatalogueProcedure]:
        return selectors.catalogue(active_only=self.action == "list")

    @extend_schema(responses=shapes.CatalogueTableSerializer)
    @action(detail=False, methods=["get"], filterset_class=None, pagination_class=None, filter_backends=())
    def table(self, request: Request) -> Response:
        """The whole catalogue as a CSV table."""
        return Response({"csv": services.export_catalogue(actor=self.actor)})

    @extend_schema(request=shapes.CatalogueTableSerializer, responses=intake.CataloguePreviewSerializer)
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None, filter_backends=())
    def preview(self, request: Request) -> Response:
        """What a CSV table would change, line by line, with everything that is wrong; changes nothing."""
        lines = services.preview_catalogue(io.StringIO(self.validated()["csv"]), actor=self.actor)
        return Response(intake.CataloguePreviewSerializer({"results": lines}).data)

    @extend_schema(request=shapes.CatalogueTableSerializer, responses=shapes.ImportResultSerializer)
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None, filter_backends=())
    def load(self, request: Request) -> Response:
        """Add and change exams by a CSV table; all of its lines or none."""
        result: Any = services.import_catalogue(io.StringIO(self.validated()["csv"]), actor=self.actor)
        return Response(shapes.ImportResultSerializer(result).data)


class ChargeViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Charges, drafted from what was performed; others are added by hand."""

    queryset = Charge.objects.none()
    serializer_class = shapes.ChargeSerializer
    serializer_classes = {"void": shapes.PlainReasonSerializer, "create": ChargeInputSerializer}
    filterset_class = filters.ChargeFilter
    ordering_fields = ("id", "created_at")
    permission_codes = {
        "list": perms.VIEW_CHARGE,
        "retrieve": perms.VIEW_CHARGE,
        "create": perms.MANAGE_CHARGE,
        "confirm": perms.MANAGE_CHARGE,
        "bill": perms.MANAGE_CHARGE,
        "void": perms.MANAGE_CHARGE,
    }

    def get_queryset(self) -> QuerySet[Charge]:
        return selectors.charges(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Charge:
        procedure = of_this_facility(selectors.procedures(actor=self.actor), "procedure", uuid=data.pop("procedure"))
        return services.add_charge(procedure, **data, actor=self.actor)

    @extend_schema(request=ChargeInputSerializer, responses={201: shapes.ChargeSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=None, responses=shapes.ChargeSerializer)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, uuid: str | None = None) -> Response:
        """It is to be billed."""
        return self.answer(services.confirm_charge(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=shapes.ChargeSerializer)
    @action(detail=True, methods=["post"])
    def bill(self, request: Request, uuid: str | None = None) -> Response:
        """It has been billed."""
        return self.answer(services.bill_charge(self.get_object(), actor=self.actor))

    @extend_schema(request=shapes.PlainReasonSerializer, responses=shapes.ChargeSerializer)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, uuid: str | None = None) -> Response:
        """It is not owed."""
        return self.answer(services.void_charge(self.get_object(), **self.validated(), actor=self.actor))


class PractitionerViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Who may request exams and get copies."""

    queryset = Practitioner.objects.none()
    serializer_class = shapes.PractitionerSerializer
    filterset_class = filters.PractitionerFilter
    ordering_fields = ("id", "family_name")
    permission_codes = {"list": "accounts.view_practitioner", "retrieve": "accounts.view_practitioner"}

    def get_queryset(self) -> QuerySet[Practitioner]:
        return Practitioner.objects.select_related("user")
