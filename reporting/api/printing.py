"""``/api/v1/print-queue/``: results that go out on paper."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reporting import permissions as perms
from reporting.api.serializers import DeliverySerializer
from reporting.models import ReportDelivery
from reporting.services.printing import MOST_AT_ONCE, mark_printed, print_deliveries, waiting_for_print
from ris.accounts.api.base import FacilityViewSet, ListMixin
from ris.core.errors import NotKnown


class LinesSerializer(serializers.Serializer):
    deliveries = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE)


class PrintedSerializer(serializers.Serializer):
    printed = serializers.IntegerField()


class PrintQueueViewSet(ListMixin, FacilityViewSet):
    """What waits for the printer. A line stays until somebody says that its paper is there."""

    queryset = ReportDelivery.objects.none()
    serializer_class = DeliverySerializer
    serializer_classes = {"pdf": LinesSerializer, "done": LinesSerializer}
    ordering_fields = ("id",)
    permission_codes = dict.fromkeys(("list", "pdf", "done"), perms.MANAGE_DELIVERY)

    def get_queryset(self) -> QuerySet[ReportDelivery]:
        if getattr(self, "swagger_fake_view", False):
            return ReportDelivery.objects.none()
        return waiting_for_print(actor=self.actor)

    def _chosen(self) -> list[ReportDelivery]:
        wanted = set(self.validated()["deliveries"])
        rows = list(self.get_queryset().filter(uuid__in=wanted))
        if len(rows) != len(wanted):
            raise NotKnown("One of these does not wait for the printer.", errors={"deliveries": ["Not known."]})
        return rows

    @extend_schema(request=LinesSerializer, responses={(200, "application/pdf"): OpenApiTypes.BINARY}, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def pdf(self, request: Request) -> HttpResponse:
        """The chosen results as one PDF; they wait on."""
        return HttpResponse(print_deliveries(self._chosen(), actor=self.actor), content_type="application/pdf")

    @extend_schema(request=LinesSerializer, responses=PrintedSerializer, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def done(self, request: Request) -> Response:
        """The paper is there and goes out."""
        told: dict[str, Any] = {"printed": mark_printed(self._chosen(), actor=self.actor)}
        return Response(PrintedSerializer(told).data)
