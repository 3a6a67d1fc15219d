from __future__ import annotations

from typing import Any

from rest_framework import serializers

from peerreview.models import ReviewCase, ReviewRound, Score
from ris.accounts.models import User


class RoundSerializer(serializers.ModelSerializer):
    id = serializers.UUIDField(source="uuid", read_only=True)
    reviewers = serializers.SlugRelatedField(slug_field="uuid", many=True, queryset=User.objects.all())
    case_count = serializers.IntegerField(read_only=True, default=0)
    done_count = serializers.IntegerField(read_only=True, default=0)
    arbitration_count = serializers.IntegerField(read_only=True, default=0)

    class Meta:
        model = ReviewRound
        fields = [
            "id",
            "name",
            "modality",
            "signed_from",
            "signed_until",
            "percent",
            "seed",
            "due_on",
            "status",
            "reviewers",
            "case_count",
            "done_count",
            "arbitration_count",
        ]
        read_only_fields = ["status"]


class CaseSerializer(serializers.ModelSerializer):
    """Blinded: neither the author nor the date of the report."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    round = serializers.UUIDField(source="round.uuid", read_only=True)
    sections = serializers.SerializerMethodField()

    class Meta:
        model = ReviewCase
        fields = ["id", "round", "status", "sections", "score", "comment", "scored_at", "arbitrated_score"]
        read_only_fields = fields

    def get_sections(self, case: ReviewCase) -> dict[str, Any]:
        return case.report_version.sections


class ScoreSerializer(serializers.Serializer):
    score = serializers.ChoiceField(choices=Score.choices)
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
