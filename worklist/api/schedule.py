"""``/api/v1/`` + ``rooms stations appointments``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers as drf
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import selectors as orders
from orders.models import RequestedProcedure
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import User
from ris.core.errors import InvalidData, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.api import filters
from worklist.api import serializers as shapes
from worklist.models import Reservation, ReservationKind, Room, Station
from worklist.services.slots import duration_of, next_free, priority_of, rooms_for
from worklist.services.support import now

FREE_SLOTS = 12
EXAM = "0199a2f0-7b1e-7c3a-9d55-0242ac120002"


def is_uuid(value: Any) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def _one(queryset: QuerySet, what: str, **lookup: Any) -> Any:
    row = queryset.filter(**lookup).first()
    if row is None:
        raise NotKnown(f"There is no such {what} in this facility.", errors={what: ["Not known."]})
    return row


def procedure_named(uuid: Any, view: Any) -> RequestedProcedure:
    rows = orders.procedures(actor=view.actor)
    return _one(rows, "procedure", uuid=uuid)


def station_named(value: str | None) -> Station | None:
    if not value:
        return None
    lookup = {"uuid": value} if is_uuid(value) else {"ae_title": value}
    return _one(Station.objects.select_related("room"), "station", **lookup)


def room_named(value: str | None, view: Any) -> Room | None:
    if not value:
        return None
    lookup = {"uuid": value} if is_uuid(value) else {"code__iexact": value}
    return _one(selectors.rooms(actor=view.actor), "room", **lookup)


def placed(data: dict[str, Any], view: Any) -> dict[str, Any]:
    """Station, room and technologist by what the body named them with."""
    data["station"] = station_named(data.get("station"))
    data["room"] = room_named(data.get("room"), view)
    if data.get("technologist"):
        data["technologist"] = _one(User.objects.filter(is_active=True), "technologist", uuid=data["technologist"])
    return data


class WeekSerializer(drf.Serializer):
    """A room's whole week. Empty: always open."""

    hours = shapes.OpeningHoursSerializer(many=True)


class RoomViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Rooms with their stations and opening hours."""

    queryset = Room.objects.none()
    serializer_class = shapes.RoomSerializer
    filterset_class = filters.RoomFilter
    serializer_classes = {"opening_hours": WeekSerializer}
    permission_codes = {"list": perms.VIEW_ROOM, "retrieve": perms.VIEW_ROOM, "opening_hours": perms.MANAGE_ROOMS}

    def get_queryset(self) -> QuerySet[Room]:
        return selectors.rooms(actor=self.actor)

    @extend_schema(
        request=WeekSerializer,
        responses=shapes.RoomSerializer,
        examples=[
            OpenApiExample(
                "Mondays",
                value={"hours": [{"weekday": 0, "opens_at": "08:00", "closes_at": "17:00"}]},
                request_only=True,
            )
        ],
    )
    @action(detail=True, methods=["post"], url_path="opening-hours")
    def opening_hours(self, request: Request, uuid: str | None = None) -> Response:
        """Set the room's whole week anew; nothing means that it is always open."""
        room = self.get_object()
        hours = [(row["weekday"], row["opens_at"], row["closes_at"]) for row in self.validated()["hours"]]
        services.set_opening_hours(room, hours=hours, actor=self.actor)
        return self.answer(self.get_queryset().get(pk=room.pk))


class StationViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Scanners."""

    queryset = Station.objects.none()
    serializer_class = shapes.StationSerializer
    filterset_class = filters.StationFilter
    permission_codes = {"list": perms.VIEW_ROOM, "retrieve": perms.VIEW_ROOM}

    def get_queryset(self) -> QuerySet[Station]:
        return selectors.stations(actor=self.actor)


class AppointmentViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Appointments, held and blocked time. Creating one books; a taken time is 409 with who has it and what is free."""

    queryset = Reservation.objects.none()
    serializer_class = shapes.AppointmentSerializer
    serializer_classes = {
        "create": shapes.AppointmentCreateSerializer,
        "reschedule": shapes.AppointmentMoveSerializer,
        "cancel": shapes.WorklistReasonSerializer,
        "hold": shapes.HoldSlotSerializer,
        "block": shapes.BlockSerializer,
        "block_many": shapes.BlockManySerializer,
    }
    filterset_class = filters.AppointmentFilter
    permission_codes = {
        "list": perms.VIEW_SCHEDULE,
        "retrieve": perms.VIEW_SCHEDULE,
        "create": perms.BOOK_APPOINTMENT,
        "reschedule": perms.BOOK_APPOINTMENT,
        "cancel": perms.BOOK_APPOINTMENT,
        "arrive": perms.ARRIVE_PATIENT,
        "undo_arrival": perms.ARRIVE_PATIENT,
        "no_show": perms.ARRIVE_PATIENT,
        "hold": perms.BOOK_APPOINTMENT,
        "release": perms.BOOK_APPOINTMENT,
        "block": perms.BLOCK_ROOM,
        "block_many": perms.BLOCK_ROOM,
        "unblock": perms.BLOCK_ROOM,
        "free": perms.VIEW_SCHEDULE,
    }

    def get_queryset(self) -> QuerySet[Reservation]:
        return selectors.appointments(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Reservation:
        procedure = procedure_named(data.pop("procedure"), self)
        return services.book_appointment(procedure, **placed(data, self), actor=self.actor)

    @extend_schema(
        request=shapes.AppointmentCreateSerializer,
        responses={201: shapes.AppointmentSerializer},
        examples=[
            OpenApiExample(
                "Book",
                value={"procedure": EXAM, "station": "CT1", "starts_at": "2026-11-23T09:00:00+03:00"},
                request_only=True,
            ),
            OpenApiExample(
                "Overbook, with the right for it",
                value={
                    "procedure": EXAM,
                    "station": "CT1",
                    "starts_at": "2026-11-23T09:00:00+03:00",
                    "overbook": True,
                    "reason": "Stroke",
                },
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Book: reserve the room, plan the step, offer it to the scanner."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.AppointmentMoveSerializer, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"])
    def reschedule(self, request: Request, uuid: str | None = None) -> Response:
        """Another time or place; what was stays in its history."""
        appointment = self.get_object()
        data = placed(self.validated(), self)
        return self.answer(services.reschedule_appointment(appointment, **data, actor=self.actor))

    @extend_schema(request=shapes.WorklistReasonSerializer, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Give the time back; the exam waits for a new one."""
        return self.answer(services.cancel_appointment(self.get_object(), **self.validated(), actor=self.actor))

    @extend_schema(request=None, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"])
    def arrive(self, request: Request, uuid: str | None = None) -> Response:
        """The patient is here."""
        return self._with_exam(services.arrive_patient)

    @extend_schema(request=None, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"], url_path="undo-arrival")
    def undo_arrival(self, request: Request, uuid: str | None = None) -> Response:
        """It was somebody else, or they left again."""
        return self._with_exam(services.undo_arrival)

    @extend_schema(request=None, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"], url_path="no-show")
    def no_show(self, request: Request, uuid: str | None = None) -> Response:
        """The patient did not come."""
        return self._with_exam(services.mark_no_show)

    def _with_exam(self, service: Callable[..., RequestedProcedure]) -> Response:
        appointment = self.get_object()
        if appointment.kind != ReservationKind.APPOINTMENT or appointment.procedure is None:
            raise InvalidData("This is not an appointment of an exam.", errors={"kind": appointment.kind})
        service(appointment.procedure, actor=self.actor)
        return self.answer(self.get_queryset().get(pk=appointment.pk))

    @extend_schema(request=shapes.HoldSlotSerializer, responses={201: shapes.AppointmentSerializer}, filters=False)
    @action(detail=False, methods=["post"])
    def hold(self, request: Request) -> Response:
        """Keep a time for five minutes in the caller's name."""
        data = self.validated()
        procedure = procedure_named(data.pop("procedure"), self) if data.get("procedure") else None
        data.pop("procedure", None)
        room = room_named(data.pop("room"), self)
        hold = services.hold_slot(room, procedure=procedure, **data, actor=self.actor)
        return self.answer(hold, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uuid: str | None = None) -> Response:
        """Let a held time go."""
        return self.answer(services.release_hold(self.get_object(), actor=self.actor))

    @extend_schema(request=shapes.BlockSerializer, responses={201: shapes.AppointmentSerializer}, filters=False)
    @action(detail=False, methods=["post"])
    def block(self, request: Request) -> Response:
        """Keep a room free of appointments."""
        data = self.validated()
        room = room_named(data.pop("room"), self)
        return self.answer(services.block_room(room, **data, actor=self.actor), status.HTTP_201_CREATED)

    @extend_schema(request=shapes.BlockManySerializer, responses={201: shapes.BlockedSerializer}, filters=False)
    @action(detail=False, methods=["post"], url_path="block-many", pagination_class=None)
    def block_many(self, request: Request) -> Response:
        """Keep several times free, all of them or none: one that is taken leaves every one as it is."""
        with transaction.atomic():
            rows = []
            for data in self.validated()["blocks"]:
                room = room_named(data.pop("room"), self)
                rows.append(services.block_room(room, **data, actor=self.actor))
        found = self.get_queryset().filter(pk__in=[row.pk for row in rows]).order_by("pk")
        return Response(shapes.BlockedSerializer({"results": found}).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=shapes.AppointmentSerializer)
    @action(detail=True, methods=["post"])
    def unblock(self, request: Request, uuid: str | None = None) -> Response:
        """Open a blocked time again."""
        return self.answer(services.unblock_room(self.get_object(), actor=self.actor))

    @extend_schema(
        filters=False,
        parameters=[
            OpenApiParameter("procedure", OpenApiTypes.UUID, required=True),
            OpenApiParameter("after", OpenApiTypes.DATETIME),
            OpenApiParameter("duration_minutes", OpenApiTypes.INT),
        ],
        responses=shapes.FreeSlotSerializer(many=True),
    )
    @action(detail=False, methods=["get"], pagination_class=None, filterset_class=None)
    def free(self, request: Request) -> Response:
        """The soonest free times in all rooms that can do an exam."""
        query = shapes.FreeQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        procedure = procedure_named(query.validated_data["procedure"], self)
        rooms = rooms_for(procedure)
        if not rooms:
            return Response([])
        minutes = duration_of(procedure, rooms[0], query.validated_data.get("duration_minutes"))
        after = query.validated_data.get("after") or now()
        priority = priority_of(procedure)
        found = next_free(
            rooms, timedelta(minutes=minutes), after=after, limit=FREE_SLOTS, per_room=6, priority=priority
        )
        return Response(shapes.FreeSlotSerializer(found, many=True).data)
