"""Orders beyond one at a time: their history, numbers about them, the next accession number, cancelling several."""

from __future__ import annotations

from typing import Any

from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import selectors, services
from orders.api import intake
from orders.api import serializers as shapes
from orders.models import LIFE_CYCLE, Order
from orders.services.accession import next_accession_number
from ris.core.errors import DomainError, NotKnown

MOST_AT_ONCE = 100


class ChangeSerializer(serializers.Serializer):
    at = serializers.DateTimeField(source="history_date")
    by = serializers.CharField(source="history_user.display_name", default="", help_text="Empty: a program of ours.")
    reason = serializers.CharField(source="history_change_reason", allow_null=True)
    version = serializers.IntegerField()


class HistorySerializer(serializers.Serializer):
    results = ChangeSerializer(many=True)


class StatsQuerySerializer(serializers.Serializer):
    since = serializers.DateTimeField(required=False, help_text="Orders from this time on.")
    until = serializers.DateTimeField(required=False, help_text="And before this one.")


class StatsSerializer(serializers.Serializer):
    orders = serializers.IntegerField()
    procedures = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_life_cycle = serializers.DictField(child=serializers.IntegerField())
    by_priority = serializers.DictField(child=serializers.IntegerField(), help_text="Orders.")
    by_modality = serializers.DictField(child=serializers.IntegerField())


class NextNumberSerializer(serializers.Serializer):
    accession_number = serializers.CharField(help_text="What would be given now; it is not kept for anybody.")


class CancelManySerializer(shapes.CodedReasonSerializer):
    orders = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE)


class CancelledManySerializer(serializers.Serializer):
    cancelled = serializers.ListField(child=serializers.UUIDField())
    refused = intake.RefusedSerializer(many=True)


class ChargesMadeSerializer(serializers.Serializer):
    results = serializers.ListField(child=serializers.UUIDField(), help_text="Ids of the charges.")


class OrderMoreActions:
    """Mixed into the resource ``orders``."""

    more_codes = {
        "history": perms.VIEW_ORDER,
        "stats": perms.VIEW_ORDER,
        "next_accession_number": perms.CREATE_ORDER,
        "cancel_many": perms.CANCEL_ORDER,
        "reprice_charges": perms.MANAGE_CHARGE,
    }
    more_shapes = {"cancel_many": CancelManySerializer}

    @extend_schema(responses=HistorySerializer)
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def history(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Every change of the order: who, when, why; newest first."""
        order = self.get_object()
        self.audit_read(order, page="history")
        rows = order.history.select_related("history_user").order_by("-history_id")[:500]
        return Response(HistorySerializer({"results": rows}).data)

    @extend_schema(parameters=[StatsQuerySerializer], responses=StatsSerializer, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None, filterset_class=None)
    def stats(self: Any, request: Request) -> Response:
        """How many orders and exams there are, by status, priority and modality; of those that the caller may see."""
        asked = StatsQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        found = Order.objects.visible_to(self.actor)
        if asked.validated_data.get("since"):
            found = found.filter(ordered_at__gte=asked.validated_data["since"])
        if asked.validated_data.get("until"):
            found = found.filter(ordered_at__lt=asked.validated_data["until"])
        found = Order.objects.filter(pk__in=found.values("pk"))
        self.audit_read([], page="stats")
        by_status = counted(found.filter(procedures__isnull=False), "procedures__status")
        by_life_cycle: dict[str, int] = {}
        for name, number in by_status.items():
            by_life_cycle[LIFE_CYCLE[name]] = by_life_cycle.get(LIFE_CYCLE[name], 0) + number
        told = {
            "orders": found.count(),
            "procedures": sum(by_status.values()),
            "by_status": by_status,
            "by_life_cycle": by_life_cycle,
            "by_priority": counted(found, "priority"),
            "by_modality": counted(found.filter(procedures__isnull=False), "procedures__modality"),
        }
        return Response(StatsSerializer(told).data)

    @extend_schema(responses=NextNumberSerializer, filters=False)
    @action(
        detail=False, methods=["get"], url_path="next-accession-number", pagination_class=None, filterset_class=None
    )
    def next_accession_number(self: Any, request: Request) -> Response:
        """The accession number that the next exam would get, were it ordered now."""
        self.audit_read([], page="next-accession-number")
        return Response({"accession_number": next_accession_number()})

    @extend_schema(request=CancelManySerializer, responses=CancelledManySerializer, filters=False)
    @action(detail=False, methods=["post"], url_path="cancel-many", pagination_class=None)
    def cancel_many(self: Any, request: Request) -> Response:
        """Cancel each that has not begun; the others stay as they are and are told with their reasons."""
        data = self.validated()
        wanted = set(data.pop("orders"))
        rows = list(selectors.orders(actor=self.actor).filter(uuid__in=wanted).order_by("pk"))
        if len(rows) != len(wanted):
            raise NotKnown("There is no such order in this facility.", errors={"orders": ["Not known."]})
        told: dict[str, list[Any]] = {"cancelled": [], "refused": []}
        for row in rows:
            try:
                services.cancel_order(row, **data, actor=self.actor)
            except DomainError as no:
                words = {"code": no.code, "detail": no.detail, "found": no.found, "todo": no.todo}
                told["refused"].append({"id": row.uuid, **words})
            else:
                told["cancelled"].append(row.uuid)
        return Response(CancelledManySerializer(told).data)

    @extend_schema(request=None, responses=ChargesMadeSerializer)
    @action(detail=True, methods=["post"], url_path="reprice-charges")
    def reprice_charges(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Price the order's open charges anew, by what its payer agrees to today."""
        charges = services.reprice_charges(self.get_object(), actor=self.actor)
        return Response(ChargesMadeSerializer({"results": [row.uuid for row in charges]}).data)


class ProcedureMoreActions:
    """Mixed into the resource ``procedures``."""

    more_codes = {"draft_charges": perms.MANAGE_CHARGE}

    @extend_schema(request=None, responses=ChargesMadeSerializer)
    @action(detail=True, methods=["post"], url_path="draft-charges")
    def draft_charges(self: Any, request: Request, uuid: str | None = None) -> Response:
        """Write the charges that the exam's codes and prices give; repeating it adds nothing."""
        charges = services.draft_charges(self.get_object(), actor=self.actor)
        return Response(ChargesMadeSerializer({"results": [row.uuid for row in charges]}).data)


def counted(rows: Any, field: str) -> dict[str, int]:
    return {str(name): number for name, number in rows.order_by().values_list(field).annotate(n=Count("pk"))}
