"""Names, levels and alerts as REST shows and takes them."""

from __future__ import annotations

from rest_framework import serializers

from dose.models import (
    AlertKind,
    DoseAlertRule,
    ExamRule,
    LevelAlert,
    LevelCheck,
    MatchField,
    MatchKind,
    NotPatientField,
    NotPatientRule,
    SkinFinding,
    SkinFollowUp,
    StandardExam,
)
from dose.services.drl import UNITS
from orders.models import Modality
from ris.core.permissions import ROLES
from ris.notifications.models import Channel


class StandardExamSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = StandardExam
        fields = ("id", "code", "name", "modality", "body_region", "indication", "is_active")
        read_only_fields = fields


class StandardExamChangeSerializer(serializers.Serializer):
    code = serializers.SlugField(max_length=40, required=False)
    name = serializers.CharField(max_length=64, required=False)
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)
    body_region = serializers.CharField(max_length=40, required=False, allow_blank=True)
    indication = serializers.CharField(max_length=100, required=False, allow_blank=True)
    is_active = serializers.BooleanField(required=False)


class StandardExamCreateSerializer(StandardExamChangeSerializer):
    code = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=64)
    modality = serializers.ChoiceField(choices=Modality.choices)


class ExamRuleSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    exam = serializers.SlugRelatedField(slug_field="code", read_only=True)

    class Meta:
        model = ExamRule
        fields = (
            "id", "position", "field", "match", "pattern", "modality", "also_field", "also_pattern", "exam",
            "is_active",
        )  # fmt: skip
        read_only_fields = fields


class ExamRuleChangeSerializer(serializers.Serializer):
    position = serializers.IntegerField(min_value=1, required=False)
    field = serializers.ChoiceField(choices=MatchField.choices, required=False)
    match = serializers.ChoiceField(choices=MatchKind.choices, required=False)
    pattern = serializers.CharField(max_length=128, required=False)
    modality = serializers.ChoiceField(choices=Modality.choices, required=False, allow_blank=True)
    also_field = serializers.ChoiceField(choices=MatchField.choices, required=False, allow_blank=True)
    also_pattern = serializers.CharField(max_length=128, required=False, allow_blank=True)
    exam = serializers.CharField(max_length=40, required=False, help_text="Code of the standard exam.")
    is_active = serializers.BooleanField(required=False)


class ExamRuleCreateSerializer(ExamRuleChangeSerializer):
    field = serializers.ChoiceField(choices=MatchField.choices)
    pattern = serializers.CharField(max_length=128)
    exam = serializers.CharField(max_length=40, help_text="Code of the standard exam.")


class TryNameSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=128)
    modality = serializers.ChoiceField(choices=Modality.choices, required=False, allow_blank=True, default="")


class TriedNameSerializer(serializers.Serializer):
    exam = serializers.CharField(allow_null=True, help_text="Code of the standard exam.")
    rule = serializers.UUIDField(allow_null=True)
    is_not_a_patient = serializers.BooleanField()


class RenamedReportsSerializer(serializers.Serializer):
    reports = serializers.IntegerField(help_text="So many are named anew in the background.")


class ExamNameSerializer(serializers.Serializer):
    field = serializers.ChoiceField(choices=MatchField.choices)
    text = serializers.CharField()


class UnnamedReportsSerializer(serializers.Serializer):
    modality = serializers.CharField(allow_blank=True)
    names = ExamNameSerializer(many=True)
    reports = serializers.IntegerField()
    newest = serializers.DateTimeField(allow_null=True)


class NotPatientRuleSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = NotPatientRule
        fields = ("id", "field", "match", "pattern", "is_active")
        read_only_fields = fields


class NotPatientRuleChangeSerializer(serializers.Serializer):
    field = serializers.ChoiceField(choices=NotPatientField.choices, required=False)
    match = serializers.ChoiceField(choices=MatchKind.choices, required=False)
    pattern = serializers.CharField(max_length=64, required=False)
    is_active = serializers.BooleanField(required=False)


class NotPatientRuleCreateSerializer(NotPatientRuleChangeSerializer):
    field = serializers.ChoiceField(choices=NotPatientField.choices)
    pattern = serializers.CharField(max_length=64)


class LevelChangeSerializer(serializers.Serializer):
    authority = serializers.CharField(max_length=100, required=False)
    year = serializers.IntegerField(required=False)
    exam = serializers.CharField(max_length=64, required=False, help_text="As published.")
    modality = serializers.ChoiceField(choices=Modality.choices, required=False)
    quantity = serializers.ChoiceField(choices=list(UNITS), required=False)
    value = serializers.FloatField(required=False)
    unit = serializers.ChoiceField(choices=sorted(set(UNITS.values())), required=False)
    indication = serializers.CharField(max_length=100, required=False, allow_blank=True)
    band = serializers.CharField(max_length=40, required=False, help_text="adult, or an age or weight band.")
    age_from = serializers.FloatField(required=False, allow_null=True, help_text="Years.")
    age_below = serializers.FloatField(required=False, allow_null=True, help_text="Years.")
    weight_from = serializers.FloatField(required=False, allow_null=True, help_text="kg")
    weight_below = serializers.FloatField(required=False, allow_null=True, help_text="kg")
    source = serializers.CharField(max_length=300, required=False)
    certainty = serializers.CharField(max_length=100, required=False, allow_blank=True)
    standard_exam = serializers.CharField(max_length=40, required=False, allow_blank=True, help_text="Its code.")
    is_watched = serializers.BooleanField(required=False)


class LevelReviseSerializer(LevelChangeSerializer):
    reason = serializers.CharField(max_length=100)


class LevelWithdrawSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=100)


class LevelTableSerializer(serializers.Serializer):
    table = serializers.CharField(help_text="The table as CSV text.", max_length=5_000_000)
    is_preview = serializers.BooleanField(default=True, help_text="True: nothing is written.")


class LevelLineSerializer(serializers.Serializer):
    row = serializers.IntegerField(source="number")
    outcome = serializers.ChoiceField(source="kind", choices=["new", "edition", "same", "wrong"])
    reasons = serializers.ListField(child=serializers.CharField())


class LevelComparisonSerializer(serializers.Serializer):
    exam = serializers.CharField(source="exam.code")
    room = serializers.CharField()
    quantity = serializers.CharField(source="quantity.key")
    unit = serializers.CharField(source="quantity.unit")
    level = serializers.UUIDField(source="level.uuid")
    level_value = serializers.FloatField(source="level.value")
    patients = serializers.IntegerField()
    exams = serializers.IntegerField()
    needed = serializers.IntegerField(help_text="So many patients make a median that is judged.")
    median = serializers.FloatField(allow_null=True)
    verdict = serializers.ChoiceField(choices=["few", "above", "below"])


class LevelAlertSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    exam = serializers.SlugRelatedField(slug_field="code", read_only=True)
    level = serializers.SlugRelatedField(slug_field="uuid", read_only=True)
    investigation = serializers.SlugRelatedField(slug_field="uuid", read_only=True, allow_null=True)

    class Meta:
        model = LevelAlert
        fields = (
            "id", "room", "exam", "level", "quantity", "period", "median", "limit", "unit", "patient_count",
            "investigation", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class LevelCheckSerializer(serializers.ModelSerializer):
    class Meta:
        model = LevelCheck
        fields = ("day", "compared", "above", "checked_at")
        read_only_fields = fields


class DoseAlertRuleSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)

    class Meta:
        model = DoseAlertRule
        fields = ("id", "kind", "modality", "role", "channel", "is_active")
        read_only_fields = fields


class DoseAlertRuleChangeSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=AlertKind.choices, required=False)
    modality = serializers.ChoiceField(choices=Modality.choices, required=False, allow_blank=True)
    role = serializers.ChoiceField(choices=list(ROLES), required=False)
    channel = serializers.ChoiceField(choices=Channel.choices, required=False)
    is_active = serializers.BooleanField(required=False)


class DoseAlertRuleCreateSerializer(DoseAlertRuleChangeSerializer):
    kind = serializers.ChoiceField(choices=AlertKind.choices)
    role = serializers.ChoiceField(choices=list(ROLES))


class SkinFollowUpSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    report = serializers.SlugRelatedField(slug_field="uuid", read_only=True)

    class Meta:
        model = SkinFollowUp
        fields = (
            "id",
            "report",
            "reasons",
            "status",
            "told_how",
            "told_at",
            "look_on",
            "finding",
            "note",
            "created_at",
        )
        read_only_fields = fields


class TellPatientSerializer(serializers.Serializer):
    told_how = serializers.CharField(max_length=200)
    look_on = serializers.DateField(required=False, allow_null=True, default=None)


class CloseSkinSerializer(serializers.Serializer):
    finding = serializers.ChoiceField(choices=SkinFinding.choices)
    note = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")
