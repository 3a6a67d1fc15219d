"""``/api/v1/`` + ``skills staff shifts closures reserved-times slots series waiting-list slot-offers``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from orders.models import CatalogueProcedure
from ris.accounts.api.base import ChangeMixin, CreateMixin, FacilityViewSet, ListMixin, RetrieveMixin
from ris.accounts.models import Site, User
from ris.core.api import CursorPagination
from ris.core.errors import Conflict, InvalidData
from worklist import permissions as perms
from worklist import services
from worklist.api import planning_shapes as shapes
from worklist.api.schedule import _one, placed, procedure_named, room_named
from worklist.api.serializers import AppointmentSerializer, WorklistReasonSerializer
from worklist.models import (
    AppointmentSeries,
    Closure,
    OfferStatus,
    Reservation,
    ReservedTime,
    Shift,
    Skill,
    SlotOffer,
    StaffProfile,
    WaitingEntry,
    WaitingStatus,
)
from worklist.selectors import planning


def example(name: str, **value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


EXAM = "0199a2f0-7b1e-7c3a-9d55-0242ac120002"
OTHER_EXAM = "0199a2f0-7b1e-7c3a-9d55-0242ac120003"
PERSON = "0199a2f0-7b1e-7c3a-9d55-0242ac120009"


def skills_named(codes: list[str]) -> list[Skill]:
    found = {row.code: row for row in Skill.objects.filter(code__in=codes)}
    missing = sorted(set(codes) - set(found))
    if missing:
        raise InvalidData("There is no such skill.", errors={"skills": f"Not known: {', '.join(missing)}."})
    return list(found.values())


# --- people


class SkillViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """What somebody must have learned for certain exams; an administrator keeps the list."""

    queryset = Skill.objects.none()
    serializer_class = shapes.SkillSerializer
    permission_codes = {"list": perms.VIEW_ROOM, "retrieve": perms.VIEW_ROOM}

    def get_queryset(self) -> QuerySet[Skill]:
        return planning.skills(actor=self.actor)


class StaffViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Skills and sex of who is planned."""

    queryset = StaffProfile.objects.none()
    serializer_class = shapes.StaffProfileSerializer
    serializer_classes = {"create": shapes.StaffProfileWriteSerializer}
    permission_codes = {"list": perms.VIEW_ROOM, "retrieve": perms.VIEW_ROOM, "create": perms.PLAN_STAFF}

    def get_queryset(self) -> QuerySet[StaffProfile]:
        return planning.staff_profiles(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> StaffProfile:
        person = _one(User.objects.filter(is_active=True), "person", uuid=data["person"])
        skills = skills_named(data["skills"]) if "skills" in data else None
        return services.set_staff_profile(person, sex=data.get("sex", ""), skills=skills, actor=self.actor)

    @extend_schema(
        request=shapes.StaffProfileWriteSerializer,
        responses={201: shapes.StaffProfileSerializer},
        examples=[example("Skills", person=PERSON, sex="F", skills=["contrast", "cardiac-ct"])],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Set what the planning knows of a person; said again, it replaces what was."""
        return super().create(request, *args, **kwargs)


class ShiftFilter(filters.FilterSet):
    technologist = filters.UUIDFilter(field_name="technologist__uuid")
    room = filters.CharFilter(field_name="room__code")
    ends_after = filters.IsoDateTimeFilter(field_name="ends_at", lookup_expr="gt")
    starts_before = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")
    is_withdrawn = filters.BooleanFilter(field_name="withdrawn_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Shift
        fields: list[str] = []


class ShiftViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Who works where and when."""

    queryset = Shift.objects.none()
    serializer_class = shapes.ShiftSerializer
    serializer_classes = {
        "create": shapes.ShiftCreateSerializer,
        "partial_update": shapes.ShiftChangeSerializer,
        "withdraw": shapes.OptionalReasonSerializer,
    }
    filterset_class = ShiftFilter
    permission_codes = {
        "list": perms.VIEW_ROOM,
        "retrieve": perms.VIEW_ROOM,
        "create": perms.PLAN_STAFF,
        "partial_update": perms.PLAN_STAFF,
        "withdraw": perms.PLAN_STAFF,
    }

    def get_queryset(self) -> QuerySet[Shift]:
        return planning.shifts(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Shift:
        return services.plan_shift(**placed(data, self), actor=self.actor)

    def service_change(self, shift: Shift, data: dict[str, Any]) -> Shift:
        return services.change_shift(shift, **placed(data, self), actor=self.actor)

    @extend_schema(
        request=shapes.ShiftCreateSerializer,
        responses={201: shapes.ShiftSerializer},
        examples=[
            example(
                "Early shift",
                technologist=PERSON,
                room="ct1",
                starts_at="2026-11-23T07:00:00+03:00",
                ends_at="2026-11-23T15:00:00+03:00",
            )
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Plan somebody; ``warnings`` says where else they are planned then."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.ShiftChangeSerializer, responses=shapes.ShiftSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Another place or time."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=shapes.OptionalReasonSerializer, responses=shapes.ShiftSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """They do not come."""
        return self.answer(services.withdraw_shift(self.get_object(), **self.validated(), actor=self.actor))


# --- closed and kept time


class ClosureFilter(filters.FilterSet):
    room = filters.CharFilter(field_name="room__code")
    ends_after = filters.IsoDateTimeFilter(field_name="ends_at", lookup_expr="gt")
    starts_before = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")
    is_withdrawn = filters.BooleanFilter(field_name="withdrawn_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Closure
        fields: list[str] = []


class ClosureViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Holidays, maintenance, faults: a room, a site or all closed for a time."""

    queryset = Closure.objects.none()
    serializer_class = shapes.ClosureSerializer
    serializer_classes = {"create": shapes.ClosureCreateSerializer, "withdraw": shapes.OptionalReasonSerializer}
    filterset_class = ClosureFilter
    permission_codes = {
        "list": perms.VIEW_ROOM,
        "retrieve": perms.VIEW_ROOM,
        "create": perms.CLOSE_ROOM,
        "withdraw": perms.CLOSE_ROOM,
    }

    def get_queryset(self) -> QuerySet[Closure]:
        return planning.closures(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> Closure:
        data["room"] = room_named(data.get("room"), self)
        data["site"] = _one(Site.objects.all(), "site", code=data["site"]) if data.get("site") else None
        return services.close_time(**data, actor=self.actor)

    @extend_schema(
        request=shapes.ClosureCreateSerializer,
        responses={201: shapes.ClosureSerializer},
        examples=[
            example(
                "Maintenance",
                room="ct1",
                kind="maintenance",
                starts_at="2026-11-24T08:00:00+03:00",
                ends_at="2026-11-24T13:00:00+03:00",
                reason="Tube exchange",
            )
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Close; ``affected`` counts the appointments in that time, which stay until somebody moves them."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=shapes.OptionalReasonSerializer, responses=shapes.ClosureSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Open again."""
        return self.answer(services.withdraw_closure(self.get_object(), **self.validated(), actor=self.actor))


class ReservedTimeViewSet(ListMixin, RetrieveMixin, CreateMixin, FacilityViewSet):
    """Time of a weekday that a room keeps for emergencies."""

    queryset = ReservedTime.objects.none()
    serializer_class = shapes.ReservedTimeSerializer
    serializer_classes = {"create": shapes.ReservedTimeCreateSerializer}
    permission_codes = {
        "list": perms.VIEW_ROOM,
        "retrieve": perms.VIEW_ROOM,
        "create": perms.CLOSE_ROOM,
        "withdraw": perms.CLOSE_ROOM,
    }

    def get_queryset(self) -> QuerySet[ReservedTime]:
        return planning.reserved_times(actor=self.actor)

    def service_create(self, data: dict[str, Any]) -> ReservedTime:
        room = room_named(data.pop("room"), self)
        return services.reserve_time(room, **data, actor=self.actor)

    @extend_schema(
        request=shapes.ReservedTimeCreateSerializer,
        responses={201: shapes.ReservedTimeSerializer},
        examples=[example("Stroke", room="ct1", weekday=0, begins="12:00", ends="13:00", purpose="Stroke")],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Keep it; what is left of it opens to all shortly before."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=None, responses=shapes.ReservedTimeSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Open to all again."""
        return self.answer(services.withdraw_reserved_time(self.get_object(), actor=self.actor))


# --- free times


class SlotViewSet(FacilityViewSet):
    """Free times, asked for by POST."""

    queryset = Reservation.objects.none()
    serializer_class = shapes.SearchResultSerializer
    serializer_classes = {"search": shapes.SlotSearchSerializer, "chain": shapes.ChainQuerySerializer}
    permission_codes = {"search": perms.VIEW_SCHEDULE, "chain": perms.VIEW_SCHEDULE}
    pagination_class = None

    @extend_schema(
        request=shapes.SlotSearchSerializer,
        responses=shapes.SearchResultSerializer,
        examples=[
            example(
                "The earliest CT with contrast before 14:00 this week",
                modality="CT",
                with_contrast=True,
                time_until="14:00",
                before="2026-11-28T00:00:00+03:00",
            ),
            example("A requested exam, by a woman", procedure=EXAM, technologist_sex="F", weekdays=[0, 2, 4]),
        ],
    )
    @action(detail=False, methods=["post"])
    def search(self, request: Request) -> Response:
        """The next free times, each with the reason why there is none before it in that room."""
        data = self.validated()
        wish = services.SlotSearch(
            procedure=procedure_named(data["procedure"], self) if data.get("procedure") else None,
            catalogue=_one(CatalogueProcedure.objects.all(), "exam", code=data["exam"]) if data.get("exam") else None,
            room=room_named(data.get("room"), self),
            site=_one(Site.objects.all(), "site", code=data["site"]) if data.get("site") else None,
            skills=frozenset(row.pk for row in skills_named(data.get("skills", []))),
            weekdays=frozenset(data.get("weekdays", ())),
            **{key: data[key] for key in PLAIN_WISHES if data.get(key) is not None},
        )
        result = services.find_slots(wish, actor=self.actor)
        return Response(shapes.SearchResultSerializer(result).data)

    @extend_schema(
        request=shapes.ChainQuerySerializer,
        responses=shapes.LinkSerializer(many=True),
        examples=[example("Two exams", procedures=[EXAM, OTHER_EXAM], gap_minutes=15, in_any_order=True)],
    )
    @action(detail=False, methods=["post"])
    def chain(self, request: Request) -> Response:
        """Times for several exams of one patient, one after the other; empty when there are none."""
        return Response(shapes.LinkSerializer(_find_chain(self, self.validated()), many=True).data)


PLAIN_WISHES = (
    "modality",
    "with_contrast",
    "after",
    "before",
    "time_from",
    "time_until",
    "technologist_sex",
    "duration_minutes",
    "priority",
    "limit",
)


def _find_chain(view: Any, data: dict[str, Any]) -> list[Any]:
    exams = [procedure_named(uuid, view) for uuid in data.pop("procedures")]
    return services.find_chain(exams, **data, actor=view.actor)


# --- series


class SeriesViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Appointments of one patient that were booked together: every week, or one after the other."""

    queryset = AppointmentSeries.objects.none()
    serializer_class = shapes.SeriesSerializer
    serializer_classes = {
        "create": shapes.SeriesCreateSerializer,
        "chain": shapes.ChainQuerySerializer,
        "cancel": WorklistReasonSerializer,
    }
    permission_codes = {
        "list": perms.VIEW_SCHEDULE,
        "retrieve": perms.VIEW_SCHEDULE,
        "create": perms.BOOK_APPOINTMENT,
        "chain": perms.BOOK_APPOINTMENT,
        "cancel": perms.BOOK_APPOINTMENT,
    }

    def get_queryset(self) -> QuerySet[AppointmentSeries]:
        return planning.series(actor=self.actor)

    @extend_schema(
        request=shapes.SeriesCreateSerializer,
        responses={201: shapes.SeriesResultSerializer},
        examples=[
            example("Every week", procedure=EXAM, times=6, station="US1", starts_at="2026-11-23T09:00:00+03:00"),
            example(
                "Exams that there are",
                procedures=[EXAM, OTHER_EXAM],
                room="ct1",
                starts_at="2026-11-23T09:00:00+03:00",
                every_days=14,
                skip_taken=True,
            ),
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Book a recurring series: all, or with ``skip_taken`` what is free, the rest in ``skipped``."""
        data = placed(self.validated(), self)
        several = data.pop("procedures", None)
        if several is not None:
            exams = [procedure_named(uuid, self) for uuid in several]
            result = services.book_series(exams, **data, actor=self.actor)
        else:
            result = services.book_repeated(procedure_named(data.pop("procedure"), self), **data, actor=self.actor)
        return Response(shapes.SeriesResultSerializer(result).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        request=shapes.ChainQuerySerializer,
        responses={201: shapes.SeriesResultSerializer},
        filters=False,
        examples=[example("Two exams", procedures=[EXAM, OTHER_EXAM], gap_minutes=15)],
    )
    @action(detail=False, methods=["post"])
    def chain(self, request: Request) -> Response:
        """Find the soonest times for several exams of one patient one after the other, and book them all."""
        data = self.validated()
        gap = data["gap_minutes"]
        links = _find_chain(self, data)
        if not links:
            raise Conflict(
                "No times were found for these exams one after the other.",
                todo="Allow a longer wait, more days, or any order.",
            )
        result = services.book_chain(links, gap_minutes=gap, actor=self.actor)
        return Response(shapes.SeriesResultSerializer(result).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=WorklistReasonSerializer, responses=AppointmentSerializer(many=True))
    @action(detail=True, methods=["post"], pagination_class=None)
    def cancel(self, request: Request, uuid: str | None = None) -> Response:
        """Call off what is still to come of it."""
        rows = services.cancel_series(self.get_object(), **self.validated(), actor=self.actor)
        return Response(AppointmentSerializer(rows, many=True).data)


# --- the waiting list


class WaitingFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=WaitingStatus.choices)
    modality = filters.CharFilter(field_name="procedure__modality")
    procedure = filters.UUIDFilter(field_name="procedure__uuid")

    class Meta:
        model = WaitingEntry
        fields: list[str] = []


class InOrder(CursorPagination):
    """As they are asked: the urgent first, then who waits longer."""

    ordering = ("rank", "created_at", "id")


class WaitingViewSet(ListMixin, RetrieveMixin, CreateMixin, ChangeMixin, FacilityViewSet):
    """Exams that wait for a time that gets free."""

    queryset = WaitingEntry.objects.none()
    serializer_class = shapes.WaitingEntrySerializer
    serializer_classes = {
        "create": shapes.WaitingCreateSerializer,
        "partial_update": shapes.WaitingWishesSerializer,
        "withdraw": WorklistReasonSerializer,
    }
    filterset_class = WaitingFilter
    pagination_class = InOrder
    permission_codes = {
        "list": perms.VIEW_SCHEDULE,
        "retrieve": perms.VIEW_SCHEDULE,
        "create": perms.BOOK_APPOINTMENT,
        "partial_update": perms.BOOK_APPOINTMENT,
        "withdraw": perms.BOOK_APPOINTMENT,
    }

    def get_queryset(self) -> QuerySet[WaitingEntry]:
        return planning.waiting_list(actor=self.actor)

    def _wishes(self, data: dict[str, Any]) -> dict[str, Any]:
        if "room" in data:
            data["room"] = room_named(data["room"], self)
        return data

    def service_create(self, data: dict[str, Any]) -> WaitingEntry:
        procedure = procedure_named(data.pop("procedure"), self)
        return services.add_to_waiting_list(procedure, **self._wishes(data), actor=self.actor)

    def service_change(self, entry: WaitingEntry, data: dict[str, Any]) -> WaitingEntry:
        return services.change_waiting_entry(entry, **self._wishes(data), actor=self.actor)

    @extend_schema(
        request=shapes.WaitingCreateSerializer,
        responses={201: shapes.WaitingEntrySerializer},
        examples=[
            example("Mornings", procedure=EXAM, time_until="12:00", weekdays=[0, 1, 2], note="Call the daughter first")
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Put an exam on the list; one that has an appointment waits for an earlier one."""
        return super().create(request, *args, **kwargs)

    @extend_schema(
        request=shapes.WaitingWishesSerializer,
        responses=shapes.WaitingEntrySerializer,
        examples=[example("More urgent", priority="urgent", latest="2026-11-30")],
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Other wishes."""
        return super().partial_update(request, *args, **kwargs)

    @extend_schema(request=WorklistReasonSerializer, responses=shapes.WaitingEntrySerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, uuid: str | None = None) -> Response:
        """Take it from the list; what is offered to it goes to the next."""
        return self.answer(services.withdraw_waiting_entry(self.get_object(), **self.validated(), actor=self.actor))


class OfferFilter(filters.FilterSet):
    status = filters.MultipleChoiceFilter(choices=OfferStatus.choices)
    entry = filters.UUIDFilter(field_name="entry__uuid")
    room = filters.CharFilter(field_name="room__code")

    class Meta:
        model = SlotOffer
        fields: list[str] = []


class OfferViewSet(ListMixin, RetrieveMixin, FacilityViewSet):
    """Times that got free, each kept for a while for who is next on the waiting list."""

    queryset = SlotOffer.objects.none()
    serializer_class = shapes.OfferSerializer
    serializer_classes = {"decline": shapes.OptionalReasonSerializer}
    filterset_class = OfferFilter
    permission_codes = {
        "list": perms.VIEW_SCHEDULE,
        "retrieve": perms.VIEW_SCHEDULE,
        "accept": perms.BOOK_APPOINTMENT,
        "decline": perms.BOOK_APPOINTMENT,
    }

    def get_queryset(self) -> QuerySet[SlotOffer]:
        return planning.offers(actor=self.actor)

    @extend_schema(request=None, responses=AppointmentSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, uuid: str | None = None) -> Response:
        """They come: the time is booked, or their appointment moved there."""
        appointment = services.accept_offer(self.get_object(), actor=self.actor)
        return Response(AppointmentSerializer(appointment).data)

    @extend_schema(request=shapes.OptionalReasonSerializer, responses=shapes.OfferSerializer)
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, uuid: str | None = None) -> Response:
        """They cannot come: the next is asked."""
        return self.answer(services.decline_offer(self.get_object(), **self.validated(), actor=self.actor))
