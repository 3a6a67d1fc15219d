"""What shifts, closures, free times, series and the waiting list look like in REST. ``id`` is always the UUID."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from orders.models import Modality, Priority, Sex
from worklist.api.serializers import AppointmentSerializer, uuid_of
from worklist.models import (
    AppointmentSeries,
    Closure,
    ClosureKind,
    KeptFor,
    ReservedTime,
    Shift,
    Skill,
    SlotOffer,
    StaffProfile,
    WaitingEntry,
)
from worklist.services.search import MOST_RESULTS, SearchResult
from worklist.services.series import Link, SeriesResult


class Weekdays(serializers.ListField):
    """0 is Monday."""

    child = serializers.IntegerField(min_value=0, max_value=6)


# --- people


class SkillSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")

    class Meta:
        model = Skill
        fields = ("id", "code", "name")
        read_only_fields = fields


class StaffProfileSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    person = uuid_of("user.uuid")
    name = serializers.CharField(source="user.display_name", read_only=True)
    skills = serializers.SlugRelatedField(slug_field="code", many=True, read_only=True)

    class Meta:
        model = StaffProfile
        fields = ("id", "person", "name", "sex", "skills")
        read_only_fields = fields


class StaffProfileWriteSerializer(serializers.Serializer):
    person = serializers.UUIDField()
    sex = serializers.ChoiceField(choices=Sex.choices, required=False)
    skills = serializers.ListField(child=serializers.SlugField(), required=False, help_text="Codes of skills; all.")


class ShiftSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    technologist = uuid_of("technologist.uuid")
    technologist_name = serializers.CharField(source="technologist.display_name", read_only=True)
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)
    station = serializers.CharField(source="station.ae_title", read_only=True, allow_null=True)
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = Shift
        fields = (
            "id",
            "technologist",
            "technologist_name",
            "room",
            "station",
            "starts_at",
            "ends_at",
            "note",
            "withdrawn_at",
            "warnings",
        )
        read_only_fields = fields

    def get_warnings(self, shift: Shift) -> list[str]:
        return list(getattr(shift, "warnings", ()))


class ShiftCreateSerializer(serializers.Serializer):
    technologist = serializers.UUIDField()
    room = serializers.CharField(required=False, help_text="The room's id or code.")
    station = serializers.CharField(required=False, help_text="The station's id or AE title.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    note = serializers.CharField(required=False, allow_blank=True, max_length=200)


class ShiftChangeSerializer(ShiftCreateSerializer):
    technologist = None


@extend_schema_serializer(component_name="PlanningReason")
class OptionalReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


# --- closed and kept time


class ClosureSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)
    site = serializers.SlugRelatedField(slug_field="code", read_only=True)
    affected = serializers.SerializerMethodField(
        help_text="Right after closing: appointments in that time, which must be moved."
    )

    class Meta:
        model = Closure
        fields = ("id", "room", "site", "kind", "starts_at", "ends_at", "reason", "withdrawn_at", "affected")
        read_only_fields = fields

    def get_affected(self, closure: Closure) -> int | None:
        return getattr(closure, "affected", None)


class ClosureCreateSerializer(serializers.Serializer):
    room = serializers.CharField(required=False, help_text="The room's id or code; without room and site: all.")
    site = serializers.CharField(required=False, help_text="The site's code.")
    kind = serializers.ChoiceField(choices=ClosureKind.choices, default=ClosureKind.OTHER)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=200)


class ReservedTimeSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)

    class Meta:
        model = ReservedTime
        fields = (
            "id",
            "room",
            "weekday",
            "begins",
            "ends",
            "kept_for",
            "purpose",
            "opens_minutes_before",
            "valid_from",
            "valid_until",
            "withdrawn_at",
        )
        read_only_fields = fields


class ReservedTimeCreateSerializer(serializers.Serializer):
    room = serializers.CharField(help_text="The room's id or code.")
    weekday = serializers.IntegerField(min_value=0, max_value=6)
    begins = serializers.TimeField()
    ends = serializers.TimeField()
    kept_for = serializers.ChoiceField(choices=KeptFor.choices, default=KeptFor.URGENT)
    purpose = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)
    opens_minutes_before = serializers.IntegerField(default=60, min_value=0, max_value=10080)
    valid_from = serializers.DateField(required=False, allow_null=True, default=None)
    valid_until = serializers.DateField(required=False, allow_null=True, default=None)


# --- free times


class SlotSearchSerializer(serializers.Serializer):
    """Either a requested exam, one of the catalogue, or a modality."""

    procedure = serializers.UUIDField(required=False)
    exam = serializers.CharField(required=False, help_text="Code of the catalogue.")
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)
    with_contrast = serializers.BooleanField(required=False, allow_null=True, default=None)
    after = serializers.DateTimeField(required=False)
    before = serializers.DateTimeField(required=False)
    time_from = serializers.TimeField(required=False, allow_null=True)
    time_until = serializers.TimeField(required=False, allow_null=True)
    weekdays = Weekdays(required=False, help_text="0 is Monday.")
    room = serializers.CharField(required=False, help_text="The room's id or code.")
    site = serializers.CharField(required=False, help_text="The site's code.")
    technologist_sex = serializers.ChoiceField(choices=Sex.choices, required=False, allow_blank=True)
    skills = serializers.ListField(child=serializers.SlugField(), required=False)
    duration_minutes = serializers.IntegerField(required=False, min_value=1, max_value=720)
    priority = serializers.ChoiceField(choices=Priority.choices, required=False)
    limit = serializers.IntegerField(default=8, min_value=1, max_value=MOST_RESULTS)


class FoundSlotSerializer(serializers.Serializer):
    rank = serializers.IntegerField()
    room = serializers.CharField(source="room.code")
    room_name = serializers.CharField(source="room.name")
    station = serializers.CharField(source="station.ae_title", allow_null=True, default=None)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    duration_minutes = serializers.IntegerField(source="minutes")
    technologists = serializers.ListField(child=serializers.CharField())
    why_not_earlier = serializers.ListField(child=serializers.CharField(), source="why")


class RoomWithoutSerializer(serializers.Serializer):
    room = serializers.CharField(source="room.code")
    why = serializers.ListField(child=serializers.CharField())


class SearchResultSerializer(serializers.Serializer):
    """``results``: the soonest first. ``without``: rooms that could do it and have no such time."""

    searched_from = serializers.DateTimeField(source="window.after")
    searched_until = serializers.DateTimeField(source="window.before")
    rooms = serializers.IntegerField()
    results = FoundSlotSerializer(many=True, source="found")
    without = RoomWithoutSerializer(many=True)

    def to_representation(self, instance: SearchResult) -> dict[str, Any]:
        return super().to_representation(instance)


class ChainQuerySerializer(serializers.Serializer):
    procedures = serializers.ListField(child=serializers.UUIDField(), min_length=2, max_length=6)
    after = serializers.DateTimeField(required=False)
    days = serializers.IntegerField(default=14, min_value=1, max_value=92)
    gap_minutes = serializers.IntegerField(default=10, min_value=0, max_value=1440)
    longest_wait_minutes = serializers.IntegerField(default=90, min_value=0, max_value=1440)
    in_any_order = serializers.BooleanField(default=False)


class LinkSerializer(serializers.Serializer):
    procedure = serializers.UUIDField(source="procedure.uuid")
    room = serializers.CharField(source="slot.room.code")
    station = serializers.CharField(source="station.ae_title", allow_null=True, default=None)
    starts_at = serializers.DateTimeField(source="slot.starts_at")
    ends_at = serializers.DateTimeField(source="slot.ends_at")

    def to_representation(self, instance: Link) -> dict[str, Any]:
        return super().to_representation(instance)


# --- series


class SkippedSerializer(serializers.Serializer):
    procedure = serializers.UUIDField(source="procedure.uuid")
    starts_at = serializers.DateTimeField()
    why = serializers.CharField()


@extend_schema_serializer(component_name="AppointmentSeries")
class SeriesSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    appointments = AppointmentSerializer(many=True, read_only=True)

    class Meta:
        model = AppointmentSeries
        fields = ("id", "kind", "every_days", "gap_minutes", "wanted", "created_at", "appointments")
        read_only_fields = fields


class SeriesResultSerializer(serializers.Serializer):
    id = serializers.UUIDField(source="series.uuid")
    kind = serializers.CharField(source="series.kind")
    wanted = serializers.IntegerField(source="series.wanted")
    booked = AppointmentSerializer(many=True)
    skipped = SkippedSerializer(many=True)

    def to_representation(self, instance: SeriesResult) -> dict[str, Any]:
        return super().to_representation(instance)


class SeriesCreateSerializer(serializers.Serializer):
    """One exam so many times (``procedure`` and ``times``), or exams that there are (``procedures``)."""

    procedure = serializers.UUIDField(required=False)
    times = serializers.IntegerField(required=False, min_value=2, max_value=52)
    procedures = serializers.ListField(child=serializers.UUIDField(), required=False, min_length=2, max_length=52)
    station = serializers.CharField(required=False, help_text="The station's id or AE title.")
    room = serializers.CharField(required=False, help_text="The room's id or code.")
    starts_at = serializers.DateTimeField()
    every_days = serializers.IntegerField(default=7, min_value=1, max_value=366)
    duration_minutes = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=720)
    technologist = serializers.UUIDField(required=False, allow_null=True)
    skip_taken = serializers.BooleanField(
        default=False, help_text="Leave taken times out and report them; else one taken time refuses all."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        by_copies = "procedure" in attrs and "times" in attrs
        if by_copies == ("procedures" in attrs):
            raise serializers.ValidationError("Give procedure and times, or procedures.")
        return attrs


# --- the waiting list


class OfferSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    entry = uuid_of("entry.uuid")
    procedure = uuid_of("entry.procedure.uuid")
    accession_number = serializers.CharField(read_only=True)
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)

    class Meta:
        model = SlotOffer
        fields = (
            "id",
            "status",
            "entry",
            "procedure",
            "accession_number",
            "room",
            "starts_at",
            "ends_at",
            "expires_at",
            "reason",
            "created_at",
        )
        read_only_fields = fields


class WaitingEntrySerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid")
    patient = uuid_of("procedure.order.patient.uuid")
    accession_number = serializers.CharField(read_only=True)
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)
    offer = serializers.SerializerMethodField()

    class Meta:
        model = WaitingEntry
        fields = (
            "id",
            "status",
            "procedure",
            "patient",
            "accession_number",
            "priority",
            "earliest",
            "latest",
            "time_from",
            "time_until",
            "weekdays",
            "room",
            "technologist_sex",
            "keeps_appointment",
            "note",
            "created_at",
            "offer",
        )
        read_only_fields = fields

    @extend_schema_field(OfferSerializer(allow_null=True))
    def get_offer(self, entry: WaitingEntry) -> dict[str, Any] | None:
        """What is offered to it now."""
        for offer in getattr(entry, "open_offers", ()):
            return {
                "id": str(offer.uuid),
                "room": offer.room.code,
                "starts_at": timezone.localtime(offer.starts_at).isoformat(),
                "expires_at": timezone.localtime(offer.expires_at).isoformat(),
            }
        return None


class WaitingWishesSerializer(serializers.Serializer):
    priority = serializers.ChoiceField(choices=Priority.choices, required=False)
    earliest = serializers.DateField(required=False, allow_null=True)
    latest = serializers.DateField(required=False, allow_null=True)
    time_from = serializers.TimeField(required=False, allow_null=True)
    time_until = serializers.TimeField(required=False, allow_null=True)
    weekdays = Weekdays(required=False, help_text="0 is Monday.")
    room = serializers.CharField(required=False, allow_null=True, help_text="Only in this room: its id or code.")
    technologist_sex = serializers.ChoiceField(choices=Sex.choices, required=False, allow_blank=True)
    note = serializers.CharField(required=False, allow_blank=True, max_length=200)


class WaitingCreateSerializer(WaitingWishesSerializer):
    procedure = serializers.UUIDField()
