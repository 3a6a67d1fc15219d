"""What REST resources of schedule, steps, images and exceptions look like. ``id`` is always the UUID."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.api.serializers import PatientCreateSerializer
from orders.models import Laterality, Modality, Priority, Sex
from ris.core.concepts import DISCONTINUATION_REASONS
from worklist.codes import IDENTIFIED_BY, NOTE_CHIPS, REJECT_REASONS, TIME_OUT_CHECKS
from worklist.models import (
    ConsumableUse,
    DeviationReason,
    ExceptionItem,
    ImagingInstance,
    ImagingSeries,
    ImagingStudy,
    OpeningHours,
    PerformedProcedureStep,
    RejectedExposure,
    Reservation,
    Room,
    ScheduledProcedureStep,
    ScreeningAnswer,
    SPSStatus,
    Station,
)


def uuid_of(source: str, **kwargs: Any) -> serializers.UUIDField:
    return serializers.UUIDField(source=source, read_only=True, **kwargs)


# --- rooms and stations


class OpeningHoursSerializer(serializers.ModelSerializer):
    class Meta:
        model = OpeningHours
        fields = ("weekday", "opens_at", "closes_at")


class StationSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)

    class Meta:
        model = Station
        fields = ("id", "ae_title", "name", "modality", "room", "manufacturer", "model_name", "is_active")


class RoomSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    site = serializers.SlugRelatedField(slug_field="code", read_only=True)
    stations = StationSerializer(many=True, read_only=True)
    opening_hours = OpeningHoursSerializer(many=True, read_only=True)

    class Meta:
        model = Room
        fields = ("id", "code", "name", "site", "is_active", "stations", "opening_hours")


class FreeSlotSerializer(serializers.Serializer):
    room = serializers.CharField(source="room.code")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class FreeQuerySerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    after = serializers.DateTimeField(required=False)
    duration_minutes = serializers.IntegerField(required=False, min_value=1, max_value=720)


# --- appointments


class AppointmentSerializer(serializers.ModelSerializer):
    """An appointment of an exam; a hold or a block when ``kind`` says so."""

    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid", allow_null=True)
    patient = uuid_of("procedure.order.patient.uuid", allow_null=True)
    accession_number = serializers.CharField(read_only=True)
    room = serializers.SlugRelatedField(slug_field="code", read_only=True)
    station = uuid_of("station.uuid", allow_null=True)
    station_ae_title = serializers.CharField(source="station.ae_title", read_only=True, allow_null=True)
    duration_minutes = serializers.IntegerField(read_only=True)
    technologist = uuid_of("technologist.uuid", allow_null=True)
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = Reservation
        fields = (
            "id",
            "kind",
            "status",
            "procedure",
            "patient",
            "accession_number",
            "room",
            "station",
            "station_ae_title",
            "starts_at",
            "ends_at",
            "duration_minutes",
            "technologist",
            "is_overbooked",
            "reason",
            "hold_expires_at",
            "warnings",
            "created_at",
            "updated_at",
        )
        read_only_fields = fields

    def get_warnings(self, reservation: Reservation) -> list[str]:
        return list(getattr(reservation, "warnings", ()))


class PlaceMixin(serializers.Serializer):
    station = serializers.CharField(required=False, help_text="The station's id or AE title.")
    room = serializers.CharField(required=False, help_text="The room's id or code, when the station does not matter.")
    starts_at = serializers.DateTimeField()
    duration_minutes = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=720)
    overbook = serializers.BooleanField(default=False)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    technologist = serializers.UUIDField(required=False, allow_null=True)


class AppointmentCreateSerializer(PlaceMixin):
    procedure = serializers.UUIDField()


class AppointmentMoveSerializer(PlaceMixin):
    """Without a station or room it stays where it is."""


class WorklistReasonSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=200)


class HoldSlotSerializer(serializers.Serializer):
    room = serializers.CharField(help_text="The room's id or code.")
    starts_at = serializers.DateTimeField()
    duration_minutes = serializers.IntegerField(default=20, min_value=1, max_value=720)
    procedure = serializers.UUIDField(required=False, allow_null=True)


class BlockSerializer(serializers.Serializer):
    room = serializers.CharField(help_text="The room's id or code.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=200)


class BlockManySerializer(serializers.Serializer):
    blocks = serializers.ListField(child=BlockSerializer(), min_length=1, max_length=200)


class BlockedSerializer(serializers.Serializer):
    results = AppointmentSerializer(many=True)


# --- steps


class PerformedStepSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    station = uuid_of("station.uuid", allow_null=True)
    instance_count = serializers.IntegerField(read_only=True)
    series = serializers.JSONField(read_only=True)

    class Meta:
        model = PerformedProcedureStep
        fields = (
            "id",
            "sop_instance_uid",
            "performed_procedure_step_id",
            "status",
            "station",
            "station_ae_title",
            "modality",
            "study_instance_uid",
            "accession_number",
            "description",
            "started_at",
            "ended_at",
            "discontinuation_code",
            "discontinuation_meaning",
            "is_manual",
            "instance_count",
            "series",
        )
        read_only_fields = fields


class StepSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid")
    patient = uuid_of("procedure.order.patient.uuid")
    accession_number = serializers.CharField(read_only=True)
    study_instance_uid = serializers.CharField(source="procedure.study_instance_uid", read_only=True)
    station = uuid_of("station.uuid", allow_null=True)
    station_ae_title = serializers.CharField(source="station.ae_title", read_only=True, allow_null=True)
    appointment = uuid_of("appointment.uuid", allow_null=True)
    performed_steps = PerformedStepSerializer(many=True, read_only=True)

    class Meta:
        model = ScheduledProcedureStep
        fields = (
            "id",
            "scheduled_procedure_step_id",
            "status",
            "status_changed_at",
            "procedure",
            "patient",
            "accession_number",
            "study_instance_uid",
            "modality",
            "description",
            "station",
            "station_ae_title",
            "starts_at",
            "appointment",
            "is_blocked",
            "is_on_worklist",
            "performed_steps",
        )
        read_only_fields = fields


class StartExamSerializer(serializers.Serializer):
    station = serializers.CharField(required=False, help_text="The station's id or AE title, when it is another one.")


class DiscontinueSerializer(serializers.Serializer):
    code = serializers.ChoiceField(choices=[(code, row.meaning) for code, row in DISCONTINUATION_REASONS.items()])
    text = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)


class TimeOutSerializer(serializers.Serializer):
    identifiers = serializers.ListField(
        child=serializers.ChoiceField(choices=list(IDENTIFIED_BY.items())), min_length=1
    )
    checks = serializers.ListField(child=serializers.ChoiceField(choices=list(TIME_OUT_CHECKS.items())))
    wristband = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=128, help_text="As the scanner read it."
    )


class CompleteSerializer(serializers.Serializer):
    explanation = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    asks_for_all = serializers.BooleanField(default=False, help_text="Refuse while something is missing.")


class ImageCountCreateSerializer(serializers.Serializer):
    count = serializers.IntegerField(min_value=0, max_value=100_000)


class ConsumableSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")

    class Meta:
        model = ConsumableUse
        fields = (
            "id",
            "label",
            "code",
            "kind",
            "quantity",
            "unit",
            "rate",
            "lot",
            "expires_on",
            "route",
            "has_extravasated",
            "used_at",
        )
        extra_kwargs = {"used_at": {"required": False}}


class RejectSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    reason_code = serializers.ChoiceField(choices=list(REJECT_REASONS.items()))

    class Meta:
        model = RejectedExposure
        fields = ("id", "reason_code", "view", "note", "count", "is_repeated", "recorded_at")
        read_only_fields = ("recorded_at",)


class NoteSerializer(serializers.Serializer):
    text = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    chips = serializers.ListField(
        child=serializers.ChoiceField(choices=list(NOTE_CHIPS.items())), required=False, default=list
    )
    is_as_protocolled = serializers.BooleanField(default=True)
    protocol_used = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)
    deviation_reason = serializers.ChoiceField(
        choices=DeviationReason.choices, required=False, allow_blank=True, default=""
    )
    deviation = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


# --- screening


class ScreeningSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedure = uuid_of("procedure.uuid")
    questionnaire = serializers.CharField(source="questionnaire.name", read_only=True)
    edition = serializers.IntegerField(source="questionnaire.edition", read_only=True)
    answers = serializers.DictField(child=serializers.CharField(), read_only=True)
    is_overridden = serializers.SerializerMethodField()

    class Meta:
        model = ScreeningAnswer
        fields = (
            "id",
            "procedure",
            "questionnaire",
            "edition",
            "answers",
            "effect",
            "findings",
            "answered_at",
            "is_overridden",
            "override_reason",
            "superseded_at",
        )
        read_only_fields = fields

    def get_is_overridden(self, screening: ScreeningAnswer) -> bool:
        return screening.overridden_at is not None


class ScreeningCreateSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    questionnaire = serializers.CharField(max_length=64, help_text="The questionnaire's name or id.")
    answers = serializers.DictField(child=serializers.CharField(allow_blank=True), help_text="{question key: answer}")


# --- images


class StudySerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    procedures = serializers.SerializerMethodField()
    modalities = serializers.SerializerMethodField()

    class Meta:
        model = ImagingStudy
        fields = (
            "id",
            "study_instance_uid",
            "procedures",
            "accession_number",
            "patient_id",
            "issuer_of_patient_id",
            "patient_name",
            "patient_birth_date",
            "patient_sex",
            "study_id",
            "description",
            "referring_physician",
            "study_date",
            "study_time",
            "modalities",
            "series_count",
            "instance_count",
            "first_received_at",
            "last_received_at",
            "completed_at",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_procedures(self, study: ImagingStudy) -> list[str]:
        return [str(row.uuid) for row in study.procedures.all()]

    def get_modalities(self, study: ImagingStudy) -> list[str]:
        return [value for value in study.modalities.split("\\") if value]


class SeriesSerializer(serializers.ModelSerializer):
    class Meta:
        model = ImagingSeries
        fields = (
            "series_instance_uid",
            "modality",
            "number",
            "description",
            "body_part",
            "laterality",
            "station_name",
            "manufacturer",
            "instance_count",
        )


class InstanceSerializer(serializers.ModelSerializer):
    series_instance_uid = serializers.CharField(source="series.series_instance_uid", read_only=True)

    class Meta:
        model = ImagingInstance
        fields = (
            "sop_instance_uid",
            "sop_class_uid",
            "series_instance_uid",
            "transfer_syntax_uid",
            "number",
            "rows",
            "columns",
            "frames",
            "size",
            "fingerprint",
            "received_from",
            "received_at",
            "is_rejected",
        )


class LinkToExamSerializer(serializers.Serializer):
    procedure = serializers.UUIDField()
    reason = serializers.CharField(max_length=200)


class OrderFromExceptionSerializer(serializers.Serializer):
    patient = serializers.UUIDField(required=False, help_text="Who is known; or else new_patient.")
    new_patient = PatientCreateSerializer(required=False, help_text="Registered with the order.")
    code = serializers.CharField(max_length=16, help_text="Of the catalogue.")
    laterality = serializers.ChoiceField(choices=Laterality.choices, required=False, allow_blank=True, default="")
    indication = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    priority = serializers.ChoiceField(choices=Priority.choices, default=Priority.ROUTINE)
    reason = serializers.CharField(max_length=200)


class UnlinkFromExamSerializer(serializers.Serializer):
    procedure = serializers.UUIDField(required=False, help_text="From this exam only; without it from all.")
    reason = serializers.CharField(max_length=200)


class ExceptionSerializer(serializers.ModelSerializer):
    id = uuid_of("uuid")
    study = uuid_of("study.uuid", allow_null=True)
    performed_step = uuid_of("performed_step.uuid", allow_null=True)
    procedure = uuid_of("procedure.uuid", allow_null=True)
    station = uuid_of("station.uuid", allow_null=True)
    detail = serializers.JSONField(read_only=True)

    class Meta:
        model = ExceptionItem
        fields = (
            "id",
            "kind",
            "study",
            "performed_step",
            "procedure",
            "station",
            "detail",
            "created_at",
            "resolved_at",
            "resolution",
        )
        read_only_fields = fields


class ResolutionSerializer(serializers.Serializer):
    resolution = serializers.CharField(max_length=200)


# --- worklist items


class WorklistItemSerializer(StepSerializer):
    """A scheduled step as an item of the worklist."""

    requested_procedure_id = serializers.CharField(source="procedure.requested_procedure_id", read_only=True)
    item_version = serializers.IntegerField(read_only=True)

    class Meta(StepSerializer.Meta):
        fields = (
            *(name for name in StepSerializer.Meta.fields if name != "performed_steps"),
            "requested_procedure_id",
            "item_version",
        )
        read_only_fields = fields


class WorklistItemCreateSerializer(serializers.Serializer):
    """As plain JSON; as ``application/dicom+json`` it is the data set of a worklist item instead."""

    patient_id = serializers.CharField(max_length=64)
    issuer_of_patient_id = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    family_name = serializers.CharField(max_length=64)
    given_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    middle_name = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    birth_date = serializers.DateField(required=False, allow_null=True, default=None)
    sex = serializers.ChoiceField(choices=Sex.choices, default=Sex.UNKNOWN)
    accession_number = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    study_instance_uid = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    requested_procedure_id = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    scheduled_procedure_step_id = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    code = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    code_scheme = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    laterality = serializers.ChoiceField(choices=Laterality.choices, required=False, allow_blank=True, default="")
    modality = serializers.ChoiceField(choices=Modality.choices, required=False, allow_blank=True, default="")
    station_ae_title = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    starts_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    priority = serializers.ChoiceField(choices=Priority.choices, default=Priority.ROUTINE)
    indication = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)
    placer_order_number = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    placer_issuer = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")


class WorklistItemStatusSerializer(serializers.Serializer):
    """``code`` (CID 9300/9301) is for DISCONTINUED, ``reason`` for CANCELED."""

    status = serializers.ChoiceField(
        choices=[
            (value, value)
            for value in (
                SPSStatus.SCHEDULED,
                SPSStatus.ARRIVED,
                SPSStatus.STARTED,
                SPSStatus.COMPLETED,
                SPSStatus.DISCONTINUED,
                SPSStatus.CANCELED,
            )
        ]
    )
    code = serializers.CharField(required=False, allow_blank=True, default="", max_length=16)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
