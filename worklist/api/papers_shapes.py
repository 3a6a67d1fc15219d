"""What the technologist's papers look like over REST. ``id`` is always the UUID."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from worklist.models import (
    AdverseEvent,
    ConsumableUse,
    ExamCompletion,
    Exposure,
    ImageCount,
    Product,
    Question,
    Questionnaire,
    RejectedExposure,
    TimeOut,
)


class OfExamSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    procedure = serializers.UUIDField(source="procedure.uuid", read_only=True)


class TimeOutReadSerializer(OfExamSerializer):
    done_by = serializers.UUIDField(source="done_by.uuid", read_only=True, allow_null=True)
    still_holds = serializers.BooleanField(read_only=True)

    class Meta:
        model = TimeOut
        fields = (
            "id",
            "procedure",
            "identifiers",
            "checks",
            "is_wristband_verified",
            "laterality",
            "still_holds",
            "done_at",
            "done_by",
        )
        read_only_fields = fields


class ImageCountSerializer(OfExamSerializer):
    class Meta:
        model = ImageCount
        fields = ("id", "procedure", "count", "recorded_at")
        read_only_fields = fields


class CompletionSerializer(OfExamSerializer):
    class Meta:
        model = ExamCompletion
        fields = ("id", "procedure", "missing", "explanation", "recorded_at")
        read_only_fields = fields


class ConsumableUseSerializer(OfExamSerializer):
    product = serializers.UUIDField(source="product.uuid", read_only=True, allow_null=True)
    given_by = serializers.UUIDField(source="given_by.uuid", read_only=True, allow_null=True)
    corrects = serializers.UUIDField(source="corrects.uuid", read_only=True, allow_null=True)
    was_expired = serializers.BooleanField(read_only=True)

    class Meta:
        model = ConsumableUse
        fields = (
            "id",
            "procedure",
            "label",
            "code",
            "kind",
            "product",
            "quantity",
            "unit",
            "rate",
            "lot",
            "expires_on",
            "was_expired",
            "route",
            "has_extravasated",
            "given_by",
            "used_at",
            "corrects",
            "withdrawn_at",
        )
        read_only_fields = fields


class ConsumableChangeSerializer(serializers.ModelSerializer):
    product = serializers.UUIDField(required=False, allow_null=True)
    given_by = serializers.UUIDField(required=False, allow_null=True, help_text="A user; without it the caller.")
    label = serializers.CharField(required=False, allow_blank=True, max_length=100)
    quantity = serializers.DecimalField(max_digits=8, decimal_places=2, required=False)
    route = serializers.CharField(required=False, allow_blank=True, max_length=40, help_text="Of CID 11, or IV, PO ...")

    class Meta:
        model = ConsumableUse
        fields = (
            "label",
            "code",
            "kind",
            "product",
            "quantity",
            "unit",
            "rate",
            "lot",
            "expires_on",
            "route",
            "has_extravasated",
            "given_by",
            "used_at",
        )
        extra_kwargs = {name: {"required": False} for name in ("code", "kind", "unit", "lot", "used_at")}


class ConsumableCreateSerializer(ConsumableChangeSerializer):
    procedure = serializers.UUIDField()

    class Meta(ConsumableChangeSerializer.Meta):
        fields = ("procedure", *ConsumableChangeSerializer.Meta.fields)


class ExposureSerializer(OfExamSerializer):
    station = serializers.UUIDField(source="station.uuid", read_only=True, allow_null=True)

    class Meta:
        model = Exposure
        fields = (
            "id",
            "procedure",
            "station",
            "view",
            "laterality",
            "count",
            "kvp",
            "mas",
            "dap",
            "fluoroscopy_seconds",
            "recorded_at",
            "withdrawn_at",
        )
        read_only_fields = fields


class ExposureChangeSerializer(serializers.ModelSerializer):
    class Meta:
        model = Exposure
        fields = ("view", "laterality", "count", "kvp", "mas", "dap", "fluoroscopy_seconds")


class ExposureCreateSerializer(ExposureChangeSerializer):
    procedure = serializers.UUIDField()
    station = serializers.CharField(required=False, help_text="The station's id or AE title.")

    class Meta(ExposureChangeSerializer.Meta):
        fields = ("procedure", "station", *ExposureChangeSerializer.Meta.fields)


class RejectReadSerializer(OfExamSerializer):
    station = serializers.UUIDField(source="station.uuid", read_only=True, allow_null=True)
    made_by = serializers.UUIDField(source="made_by.uuid", read_only=True, allow_null=True)

    class Meta:
        model = RejectedExposure
        fields = (
            "id",
            "procedure",
            "station",
            "reason_code",
            "view",
            "note",
            "count",
            "is_repeated",
            "made_by",
            "recorded_at",
            "withdrawn_at",
        )
        read_only_fields = fields


class AdverseEventSerializer(OfExamSerializer):
    consumable = serializers.UUIDField(source="consumable.uuid", read_only=True, allow_null=True)

    class Meta:
        model = AdverseEvent
        fields = (
            "id",
            "procedure",
            "consumable",
            "kind",
            "severity",
            "outcome",
            "happened_at",
            "description",
            "treatment",
            "recorded_at",
            "withdrawn_at",
        )
        read_only_fields = fields


class AdverseEventChangeSerializer(serializers.ModelSerializer):
    class Meta:
        model = AdverseEvent
        fields = ("kind", "severity", "outcome", "happened_at", "description", "treatment")


class AdverseEventCreateSerializer(AdverseEventChangeSerializer):
    procedure = serializers.UUIDField()
    consumable = serializers.UUIDField(required=False, allow_null=True, help_text="What was given, when it caused it.")
    keep_as_allergy = serializers.BooleanField(default=False, help_text="Warn of it from now on.")

    class Meta(AdverseEventChangeSerializer.Meta):
        fields = ("procedure", "consumable", "keep_as_allergy", *AdverseEventChangeSerializer.Meta.fields)


class ProductSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = Product
        fields = ("id", "code", "name", "kind", "gtin", "unit", "usual_quantity", "route", "is_active")
        validators: list[Any] = []
        extra_kwargs = {"code": {"validators": []}, "gtin": {"validators": []}}


class QuestionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Question
        fields = (
            "key",
            "text",
            "text_sw",
            "kind",
            "unit",
            "is_required",
            "effect",
            "when_answer",
            "when_below",
            "when_above",
            "when_older_days",
        )


class QuestionnaireSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    questions = QuestionSerializer(many=True, read_only=True)

    class Meta:
        model = Questionnaire
        fields = ("id", "name", "name_sw", "edition", "is_active", "override_by", "questions")
        read_only_fields = fields


class ScanSerializer(serializers.Serializer):
    code = serializers.CharField(max_length=128, help_text="As the scanner sent it.", trim_whitespace=False)


class ScannedExamSerializer(serializers.Serializer):
    procedure = serializers.UUIDField(source="uuid")
    accession_number = serializers.CharField()
    status = serializers.CharField()


class ScanAnswerSerializer(serializers.Serializer):
    kind = serializers.CharField(help_text="exam, ticket, patient or pack")
    exams = ScannedExamSerializer(many=True)
    product = serializers.UUIDField(source="product.uuid", allow_null=True, default=None)
    lot = serializers.CharField(source="pack.lot", default="")
    expires_on = serializers.DateField(source="pack.expires_on", allow_null=True, default=None)
