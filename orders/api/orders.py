"""``/api/v1/orders/`` and ``/api/v1/procedures/``: placed, changed and moved by the services only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import permissions as perms
from orders import queues, selectors, services
from orders.api import filters, intake
from orders.api import serializers as shapes
from orders.api.more import OrderMoreActions, ProcedureMoreActions
from orders.api.support import of_this_facility
from orders.models import Order, RequestedProcedure
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Practitioner, Site, User
from ris.core.errors import NotKnown

#: What of an address only turns pages.
PAGING = frozenset({"cursor", "page_size"})


class OrderViewSet(OrderMoreActions, ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Orders with their procedures."""

    queryset = Order.objects.none()
    serializer_class = shapes.OrderSerializer
    serializer_classes = {
        "create": shapes.OrderCreateSerializer,
        "partial_update": shapes.OrderChangeSerializer,
        "cancel": shapes.CodedReasonSerializer,
        **OrderMoreActions.more_shapes,
    }
    filterset_class = filters.OrderFilter
    ordering_fields = ("id", "ordered_at", "created_at")
    permission_codes = {
        "list": perms.VIEW_ORDER,
        "retrieve": perms.VIEW_ORDER,
        "create": perms.CREATE_ORDER,
        "partial_update": perms.CHANGE_ORDER,
        "cancel": perms.CANCEL_ORDER,
        **OrderMoreActions.more_codes,
    }

    def get_queryset(self) -> QuerySet[Order]:
        told = ("copies_to", "procedures__held_by", "procedures__replaced_by")
        return selectors.orders(actor=self.actor).prefetch_related(*told)

    def _people(self, data: dict[str, Any]) -> dict[str, Any]:
        """Requester, copies and site by what the body named them with."""
        active = Practitioner.objects.filter(is_active=True)
        if data.get("requester"):
            data["requester"] = of_this_facility(active, "requester", uuid=data["requester"])
        if "copies_to" in data:
            data["copies_to"] = [of_this_facility(active, "copies_to", uuid=uuid) for uuid in data["copies_to"]]
        if "site" in data:
            data["site"] = of_this_facility(Site.objects.all(), "site", code=data["site"]) if data["site"] else None
        return data

    def service_create(self, data: dict[str, Any]) -> Order:
        data = self._people(data)
        patient = of_this_facility(selectors.all_patients(actor=self.actor), "patient", uuid=data.pop("patient"))
        requests = [services.ProcedureRequest(**line) for line in data.pop("procedures")]
        return services.create_order(patient=patient, procedures=requests, **data, actor=self.actor)

    def service_change(self, order: Order, data: dict[str, Any]) -> Order:
        return services.change_order(order, **self._people(data), actor=self.actor)

    @extend_schema(request=shapes.OrderCreateSerializer, responses={201: shapes.OrderSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.OrderChangeSerializer, responses=shapes.OrderSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=shapes.CodedReasonSerializer, responses=shapes.OrderSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Cancel what has not begun; refused as a whole when one of its exams has."""
        return self.answer(services.cancel_order(self.get_object(), **self.validated(), actor=self.actor))


class ProcedureViewSet(ProcedureMoreActions, ListMixin, RetrieveMixin, ChangeMixin, FacilityViewSet):
    """Requested procedures. ``status`` is the full one, ``life_cycle`` one of the eight classic states."""

    queryset = RequestedProcedure.objects.none()
    serializer_class = shapes.ProcedureSerializer
    serializer_classes = {
        "partial_update": shapes.ProcedureChangeSerializer,
        "accept": shapes.AcceptSerializer,
        "accept_many": intake.AcceptManySerializer,
        "hold": shapes.HoldSerializer,
        "request_information": shapes.AskSerializer,
        "answer_information": intake.AnswerSerializer,
        "release": shapes.OptionalReasonSerializer,
        "return_to_vetting": intake.ReasonTextSerializer,
        "reopen": intake.ReasonTextSerializer,
        "reject": shapes.CodedReasonSerializer,
        "cancel": shapes.CodedReasonSerializer,
        "protocol": shapes.ProtocolSerializer,
        "replace": shapes.ReplaceSerializer,
    }
    filterset_class = filters.ProcedureFilter
    ordering_fields = ("id", "created_at", "status_changed_at")
    permission_codes = {
        "list": perms.VIEW_ORDER,
        "retrieve": perms.VIEW_ORDER,
        "timeline": perms.VIEW_ORDER,
        "partial_update": perms.CHANGE_ORDER,
        "accept": perms.VET_PROCEDURE,
        "accept_many": perms.VET_PROCEDURE,
        "hold": perms.HOLD_PROCEDURE,
        "request_information": perms.HOLD_PROCEDURE,
        "answer_information": perms.ANSWER_INQUIRY,
        "inquiries": perms.VIEW_ORDER,
        "protocol_picks": perms.VET_PROCEDURE,
        "release": perms.HOLD_PROCEDURE,
        "return_to_vetting": perms.VET_PROCEDURE,
        "reopen": perms.CHANGE_ORDER,
        "reject": perms.VET_PROCEDURE,
        "cancel": perms.CANCEL_ORDER,
        "protocol": perms.VET_PROCEDURE,
        "replace": perms.CHANGE_ORDER,
        **ProcedureMoreActions.more_codes,
    }

    def get_queryset(self) -> QuerySet[RequestedProcedure]:
        if self.action == "list":
            return queues.procedures_to_list(actor=self.actor)
        return selectors.procedures(actor=self.actor).select_related("held_by", "replaced_by")

    def filter_queryset(self, queryset: QuerySet[RequestedProcedure]) -> QuerySet[RequestedProcedure]:
        """Pages that are not narrowed need no form of filters."""
        is_narrowed = not PAGING.issuperset(self.request.query_params)
        return super().filter_queryset(queryset) if is_narrowed else queryset

    def service_change(self, procedure: RequestedProcedure, data: dict[str, Any]) -> RequestedProcedure:
        return services.change_procedure(procedure, **data, actor=self.actor)

    def _do(self, service: Callable[..., RequestedProcedure]) -> Response:
        return self.answer(service(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=shapes.ProcedureChangeSerializer, responses=shapes.ProcedureSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Another exam or side before it begins, under the same numbers."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=shapes.AcceptSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, uuid: str | None = None) -> Response:
        """It is to be done."""
        return self._do(services.accept_procedure)

    @extend_schema(request=intake.AcceptManySerializer, responses=intake.BatchResultSerializer, filters=False)
    @action(detail=False, methods=["post"], url_path="accept-many", pagination_class=None)
    def accept_many(self, request: Request) -> Response:
        """Accept each that can be; the others stay where they are and are told with their reasons."""
        wanted = self.validated()["procedures"]
        rows = list(self.get_queryset().filter(uuid__in=wanted).order_by("pk"))
        if len(rows) != len(set(wanted)):
            raise NotKnown("There is no such procedure in this facility.", errors={"procedures": ["Not known."]})
        result = services.accept_procedures(rows, actor=self.actor)
        refused = [
            {"id": row.uuid, "code": no.code, "detail": no.detail, "found": no.found, "todo": no.todo}
            for row, no in result.refused
        ]
        return Response(intake.BatchResultSerializer({"accepted": result.accepted, "refused": refused}).data)

    @extend_schema(request=shapes.HoldSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, uuid: str | None = None) -> Response:
        """Put aside until it is released; its time in the schedule is given back."""
        procedure, data = self.get_object(), self.validated()
        if data["owner"] is not None:
            data["owner"] = of_this_facility(User.objects.filter(is_active=True), "owner", uuid=data["owner"])
        return self.answer(services.hold_procedure(procedure, **data, actor=self.actor))

    @extend_schema(request=shapes.AskSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"], url_path="request-information")
    def request_information(self, request: Request, uuid: str | None = None) -> Response:
        """Ask the requester; ``reason_text`` is the question."""
        return self._do(services.request_information)

    @extend_schema(request=intake.AnswerSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"], url_path="answer-information")
    def answer_information(self, request: Request, uuid: str | None = None) -> Response:
        """Answer the open question; the request goes back to where it was."""
        return self._do(services.answer_information)

    @extend_schema(responses=intake.InquiriesSerializer)
    @action(detail=True, methods=["get"])
    def inquiries(self, request: Request, uuid: str | None = None) -> Response:
        """What was asked about the request, and what was answered."""
        procedure = self.get_object()
        self.audit_read(procedure, page="inquiries")
        rows = procedure.inquiries.select_related("asked_by", "answered_by")
        return Response(intake.InquiriesSerializer({"results": rows}).data)

    @extend_schema(responses=intake.ProtocolPicksSerializer)
    @action(detail=True, methods=["get"], url_path="protocol-picks")
    def protocol_picks(self, request: Request, uuid: str | None = None) -> Response:
        """How the exam was done last time for this patient, and how it is usually done here."""
        procedure = self.get_object()
        self.audit_read(procedure, page="protocol_picks")
        last = queues.last_protocol(procedure, actor=self.actor)
        return Response(intake.ProtocolPicksSerializer({"last": last, "picks": queues.protocol_picks(procedure)}).data)

    @extend_schema(request=intake.ReasonTextSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"], url_path="return-to-vetting")
    def return_to_vetting(self, request: Request, uuid: str | None = None) -> Response:
        """What was accepted is to be looked at again."""
        return self._do(services.return_to_vetting)

    @extend_schema(request=intake.ReasonTextSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, uuid: str | None = None) -> Response:
        """What was cancelled, rejected, missed or stopped is done after all, unless a sender was told otherwise."""
        return self._do(services.reopen_procedure)

    @extend_schema(request=shapes.OptionalReasonSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uuid: str | None = None) -> Response:
        """End a hold or a question."""
        return self._do(services.release_procedure)

    @extend_schema(request=shapes.CodedReasonSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, uuid: str | None = None) -> Response:
        """It is not to be done."""
        return self._do(services.reject_procedure)

    @extend_schema(request=shapes.CodedReasonSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Refused once the exam has begun."""
        return self._do(services.cancel_procedure)

    @extend_schema(request=shapes.ProtocolSerializer, responses=shapes.ProcedureSerializer)
    @action(detail=True, methods=["post"])
    def protocol(self, request: Request, uuid: str | None = None) -> Response:
        """How the exam is to be done."""
        return self._do(services.protocol_procedure)

    @extend_schema(request=shapes.ReplaceSerializer, responses={201: shapes.ProcedureSerializer})
    @action(detail=True, methods=["post"])
    def replace(self, request: Request, uuid: str | None = None) -> Response:
        """Another exam in its place, with numbers of its own; answers the new one."""
        procedure, data = self.get_object(), self.validated()
        data["by"] = services.ProcedureRequest(**data["by"])
        new = services.replace_procedure(procedure, **data, actor=self.actor)
        return self.answer(new, status.HTTP_201_CREATED)

    @extend_schema(responses=shapes.TimelineSerializer)
    @action(detail=True, methods=["get"])
    def timeline(self, request: Request, uuid: str | None = None) -> Response:
        """Who did each step, through which door, when; newest first."""
        procedure = self.get_object()
        entries = selectors.procedure_timeline(procedure, actor=self.actor, request=request)
        self.audit_read(procedure, page="timeline")
        return Response({"results": [entry.as_dict() for entry in entries]})
