"""``/api/v1/`` + ``queue-tickets waiting-room-displays contact-preferences reminders``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders import selectors as orders
from orders.models import Patient
from ris.accounts.api.base import CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from worklist import permissions as perms
from worklist import services
from worklist.api.schedule import _one, room_named
from worklist.api.serializers import uuid_of
from worklist.models import (
    AppointmentReminder,
    ContactPreference,
    QueueTicket,
    ReminderChannel,
    ReminderStatus,
    WaitingRoomDisplay,
)
from worklist.selectors import arrivals


def example(title: str, /, **value: Any) -> OpenApiExample:
    return OpenApiExample(title, value=value, request_only=True)


PATIENT = "0199a2f0-7b1e-7c3a-9d55-0242ac120007"


# --- shapes


class TicketSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    label = serializers.CharField(read_only=True, help_text="What is printed, shown and called: CT-007.")
    procedure = uuid_of("procedure.uuid")
    accession_number = serializers.CharField(read_only=True)
    is_waiting = serializers.BooleanField(read_only=True)
    called_to = serializers.SlugRelatedField(slug_field="code", read_only=True)

    class Meta:
        model = QueueTicket
        fields = (
            "id",
            "label",
            "day",
            "procedure",
            "accession_number",
            "is_waiting",
            "issued_at",
            "printed_count",
            "called_at",
            "called_to",
            "call_count",
        )
        read_only_fields = fields


class CallSerializer(serializers.Serializer):
    room = serializers.CharField(
        required=False, help_text="The room's id or code; where the exam is booked when left out."
    )


class DisplaySerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    rooms = serializers.SlugRelatedField(slug_field="code", many=True, read_only=True)
    link = serializers.SerializerMethodField(help_text="Told once, by the answer that made it.")

    class Meta:
        model = WaitingRoomDisplay
        fields = ("id", "name", "rooms", "language", "revoked_at", "link")
        read_only_fields = fields

    def get_link(self, display: WaitingRoomDisplay) -> str:
        token = getattr(display, "token", "")
        if not token:
            return ""
        return self.context["request"].build_absolute_uri(reverse("waiting_room_display", args=[token]))


class DisplayCreateSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=64)
    rooms = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Ids or codes of rooms; none: all."
    )
    language = serializers.ChoiceField(choices=settings.LANGUAGES, required=False)


class NothingSerializer(serializers.Serializer):
    """No body."""


class ContactPreferenceSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")

    class Meta:
        model = ContactPreference
        fields = ("id", "patient", "channel", "decided_at")
        read_only_fields = fields


class ContactPreferenceWriteSerializer(serializers.Serializer):
    patient = serializers.UUIDField()
    channel = serializers.ChoiceField(choices=ReminderChannel.choices, allow_blank=True, help_text="Empty: none.")


class ReminderSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    appointment = uuid_of("appointment.uuid")
    delivery = serializers.CharField(source="notification.status", read_only=True, allow_null=True, default=None)

    class Meta:
        model = AppointmentReminder
        fields = ("id", "appointment", "status", "starts_at", "due_at", "channel", "reason", "delivery")
        read_only_fields = fields


# --- tickets and displays


class TicketFilter(filters.FilterSet):
    day = filters.DateFilter()
    is_waiting = filters.BooleanFilter(method="by_waiting", label="Arrived and not begun.")

    class Meta:
        model = QueueTicket
        fields: list[str] = []

    def by_waiting(self, rows: QuerySet, name: str, wanted: bool) -> QuerySet:
        return rows.filter(procedure__status="arrived") if wanted else rows.exclude(procedure__status="arrived")


class TicketViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Waiting numbers; an arrival gives one (``POST procedures/{id}/arrive/``)."""

    queryset = QueueTicket.objects.none()
    serializer_class = TicketSerializer
    serializer_classes = {"call": CallSerializer}
    filterset_class = TicketFilter
    permission_codes = {
        "list": perms.VIEW_SCHEDULE,
        "retrieve": perms.VIEW_SCHEDULE,
        "call": perms.CALL_PATIENT,
        "print": perms.ARRIVE_PATIENT,
    }

    def get_queryset(self) -> QuerySet[QueueTicket]:
        return arrivals.tickets(actor=self.actor)

    @extend_schema(request=CallSerializer, responses=TicketSerializer, examples=[example("To a room", room="ct1")])
    @action(detail=True, methods=["post"])
    def call(self, request: Request, uuid: str | None = None) -> Response:
        """Show the number with a room on the displays."""
        room = room_named(self.validated().get("room"), self)
        return self.answer(services.call_patient(self.get_object().procedure, room=room, actor=self.actor))

    @extend_schema(request=None, responses=TicketSerializer)
    @action(detail=True, methods=["post"])
    def print(self, request: Request, uuid: str | None = None) -> Response:
        """The number for paper, counted as printed; as often as it gets lost."""
        return self.answer(services.print_ticket(self.get_object().procedure, actor=self.actor))


class DisplayViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Screens in waiting rooms, each opened by a link of its own."""

    queryset = WaitingRoomDisplay.objects.none()
    serializer_class = DisplaySerializer
    serializer_classes = {"create": DisplayCreateSerializer, "renew": NothingSerializer, "close": NothingSerializer}
    permission_codes = {
        "list": perms.VIEW_ROOM,
        "retrieve": perms.VIEW_ROOM,
        "create": perms.MANAGE_ROOMS,
        "renew": perms.MANAGE_ROOMS,
        "close": perms.MANAGE_ROOMS,
    }

    def get_queryset(self) -> QuerySet[WaitingRoomDisplay]:
        return arrivals.displays(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> WaitingRoomDisplay:
        rooms = [room_named(value, self) for value in data.pop("rooms", [])]
        return services.open_display(**data, rooms=[row for row in rooms if row is not None], actor=self.actor)

    @extend_schema(
        request=DisplayCreateSerializer,
        responses={201: DisplaySerializer},
        examples=[example("One hall", name="Hall A", rooms=["ct1", "ct2"], language="sw")],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A display; its ``link`` is in this answer and never again."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=None, responses=DisplaySerializer)
    @action(detail=True, methods=["post"])
    def renew(self, request: Request, uuid: str | None = None) -> Response:
        """A new link; the old one shows nothing any more."""
        return self.answer(services.renew_display(self.get_object(), actor=self.actor))

    @extend_schema(request=None, responses=DisplaySerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, uuid: str | None = None) -> Response:
        """Its link shows nothing from now on."""
        return self.answer(services.close_display(self.get_object(), actor=self.actor))


# --- reminders


class ContactPreferenceViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Who agreed to be reminded, and how."""

    queryset = ContactPreference.objects.none()
    serializer_class = ContactPreferenceSerializer
    serializer_classes = {"create": ContactPreferenceWriteSerializer}
    permission_codes = {
        "list": perms.VIEW_SCHEDULE,
        "retrieve": perms.VIEW_SCHEDULE,
        "create": perms.BOOK_APPOINTMENT,
    }

    def get_queryset(self) -> QuerySet[ContactPreference]:
        return arrivals.contact_preferences(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> ContactPreference:
        patient: Patient = _one(orders.patients(actor=self.actor), "patient", uuid=data["patient"])
        return services.set_contact_preference(patient, channel=data["channel"], actor=self.actor)

    @extend_schema(
        request=ContactPreferenceWriteSerializer,
        responses={201: ContactPreferenceSerializer},
        examples=[example("By SMS", patient=PATIENT, channel="sms"), example("No more", patient=PATIENT, channel="")],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What a patient decided; said again, it replaces what was, and planned reminders follow."""
        return super().create(request, *args, **kwargs)


class ReminderFilter(filters.FilterSet):
    appointment = filters.UUIDFilter(field_name="appointment__uuid")
    status = filters.MultipleChoiceFilter(choices=ReminderStatus.choices)
    due_before = filters.IsoDateTimeFilter(field_name="due_at", lookup_expr="lt")

    class Meta:
        model = AppointmentReminder
        fields: list[str] = []


class ReminderViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Reminders as planned, sent and called off."""

    queryset = AppointmentReminder.objects.none()
    serializer_class = ReminderSerializer
    filterset_class = ReminderFilter
    permission_codes = {"list": perms.VIEW_SCHEDULE, "retrieve": perms.VIEW_SCHEDULE}

    def get_queryset(self) -> QuerySet[AppointmentReminder]:
        return arrivals.reminders(actor=self.actor)
