from __future__ import annotations

from typing import Any

from rest_framework import serializers

from peerreview import permissions as perms
from peerreview.blinding import blinded, blinded_sections, unsigned
from peerreview.models import Category, Discrepancy, Impact, ReviewCase, ReviewRound, Score
from peerreview.scorecards import Scorecard
from reporting.models import CriticalCategory, Report
from ris.accounts.actors import actor_of
from ris.accounts.models import Site, User

#: With these and the reports anybody could tell who reviewed what.
LEADS_ONLY = ("reviewers", "readers", "targets", "seed")


class RoundSerializer(serializers.ModelSerializer):
    """A round. Reviewers, readers, chosen reports and the seed are shown to who manages rounds, and to nobody else."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    reviewers = serializers.SlugRelatedField(slug_field="uuid", many=True, queryset=User.objects.all())
    readers = serializers.SlugRelatedField(slug_field="uuid", many=True, queryset=User.objects.all(), required=False)
    targets = serializers.SlugRelatedField(slug_field="uuid", many=True, queryset=Report.objects.all(), required=False)
    site = serializers.SlugRelatedField(slug_field="uuid", queryset=Site.objects.all(), required=False, allow_null=True)
    case_count = serializers.IntegerField(read_only=True, default=0)
    done_count = serializers.IntegerField(read_only=True, default=0)
    arbitration_count = serializers.IntegerField(read_only=True, default=0)
    not_reviewed_count = serializers.IntegerField(read_only=True, default=0, help_text="Given up when it closed.")

    class Meta:
        model = ReviewRound
        fields = [
            "id",
            "name",
            "mode",
            "modality",
            "body_region",
            "site",
            "signed_from",
            "signed_until",
            "percent",
            "per_reader",
            "weights",
            "exclude_days",
            "same_competence",
            "double_blind",
            "scale",
            "seed",
            "due_on",
            "status",
            "reviewers",
            "readers",
            "targets",
            "case_count",
            "done_count",
            "arbitration_count",
            "not_reviewed_count",
        ]
        read_only_fields = ["status"]

    def validate_weights(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise serializers.ValidationError("{modality: weight}")
        return value

    def to_representation(self, instance: ReviewRound) -> dict[str, Any]:
        shown = super().to_representation(instance)
        request = self.context.get("request")
        if request is None or not actor_of(request).may(perms.MANAGE_ROUND):
            for name in LEADS_ONLY:
                shown.pop(name, None)
        return shown


class RoundPreviewSerializer(serializers.Serializer):
    population = serializers.IntegerField(help_text="Reports that could be drawn.")
    readers = serializers.IntegerField(help_text="Authors whose reports would be drawn.")
    cases = serializers.IntegerField()
    without_reviewer = serializers.IntegerField(help_text="Left out: nobody may review them.")


class CaseRowSerializer(serializers.ModelSerializer):
    """A case of a list: what was decided; the text is read one case at a time."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    round = serializers.UUIDField(source="round.uuid", read_only=True, allow_null=True, default=None)
    grade = serializers.CharField(source="grade.code", read_only=True, allow_null=True, default=None)

    class Meta:
        model = ReviewCase
        fields = [
            "id",
            "round",
            "status",
            "own_impression",
            "score",
            "grade",
            "category",
            "comment",
            "scored_at",
            "arbitrated_score",
            "position",
            "discussed_at",
        ]
        read_only_fields = fields


class CaseSerializer(CaseRowSerializer):
    """Blinded: neither author nor date, nor names in the text; double-blind, no report before the impression."""

    sections = serializers.SerializerMethodField()
    comment = serializers.SerializerMethodField()

    class Meta(CaseRowSerializer.Meta):
        fields = [*CaseRowSerializer.Meta.fields, "sections"]
        read_only_fields = fields

    def get_comment(self, case: ReviewCase) -> str:
        return blinded(case, case.comment) if case.comment else ""

    def get_sections(self, case: ReviewCase) -> dict[str, str]:
        return blinded_sections(case)


class ImpressionSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=4000, help_text="What the reviewer sees, before the report is shown.")


class ScoreSerializer(serializers.Serializer):
    score = serializers.ChoiceField(choices=Score.choices, required=False, allow_blank=True, default="")
    grade = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=8,
        help_text="Of the site's scale, where the round has it.",
    )
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    category = serializers.ChoiceField(choices=Category.choices, required=False, allow_blank=True, default="")
    is_to_learn = serializers.BooleanField(
        required=False, default=False, help_text="Good for the learning conference; submitted there without the score."
    )


class ArbitrationSerializer(serializers.Serializer):
    score = serializers.ChoiceField(choices=Score.choices)
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    category = serializers.ChoiceField(choices=Category.choices, required=False, allow_blank=True, default="")
    impact = serializers.ChoiceField(choices=Impact.choices, required=False, default=Impact.UNKNOWN)
    critical_category = serializers.ChoiceField(
        choices=CriticalCategory.choices, required=False, allow_null=True, default=None
    )


class AdHocSerializer(serializers.Serializer):
    report = serializers.SlugRelatedField(slug_field="uuid", queryset=Report.objects.all())
    score = serializers.ChoiceField(choices=Score.choices)
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=4000)
    category = serializers.ChoiceField(choices=Category.choices, required=False, allow_blank=True, default="")


class ReassignSerializer(serializers.Serializer):
    reviewer = serializers.SlugRelatedField(slug_field="uuid", queryset=User.objects.all())
    reason = serializers.CharField(max_length=200)


class DiscrepancySerializer(serializers.ModelSerializer):
    """What was found, never by whom."""

    id = serializers.UUIDField(source="uuid", read_only=True)
    report = serializers.UUIDField(source="case.report.uuid", read_only=True)
    comment = serializers.SerializerMethodField()
    arbitration_comment = serializers.SerializerMethodField()
    addendum = serializers.CharField(source="addendum.addendum", read_only=True, allow_null=True, default=None)
    critical_result = serializers.UUIDField(
        source="critical_result.uuid", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = Discrepancy
        fields = [
            "id",
            "report",
            "status",
            "severity",
            "category",
            "impact",
            "critical_category",
            "comment",
            "arbitration_comment",
            "declined_reason",
            "answered_at",
            "addendum",
            "critical_result",
            "resolution",
        ]
        read_only_fields = fields

    def get_comment(self, row: Discrepancy) -> str:
        return unsigned(row.case, row.case.comment)

    def get_arbitration_comment(self, row: Discrepancy) -> str:
        return unsigned(row.case, row.case.arbitration_comment)


class LaunchSerializer(serializers.Serializer):
    expected_cases = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=0,
        help_text="As many as the preview said: where it is another number now, nothing is launched (409).",
    )


class RoundCloseSerializer(serializers.Serializer):
    without_waiting = serializers.BooleanField(
        required=False, default=False, help_text="After the due date: what nobody scored is given up and counted."
    )


class AddendSerializer(serializers.Serializer):
    text = serializers.CharField(max_length=20000)
    password = serializers.CharField(required=False, allow_blank=True, default="", write_only=True)
    otp_token = serializers.CharField(required=False, allow_blank=True, default="", write_only=True)


class DeclineSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


class ResolveSerializer(serializers.Serializer):
    resolution = serializers.CharField(max_length=500)
    impact = serializers.ChoiceField(choices=Impact.choices, required=False, allow_blank=True, default="")


class ShareSerializer(serializers.Serializer):
    """A share with its Wilson score interval (95 %)."""

    scored = serializers.IntegerField()
    concurring = serializers.IntegerField()
    share = serializers.FloatField()
    interval = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)


class FunnelSerializer(serializers.Serializer):
    drawn = serializers.IntegerField()
    scored = serializers.IntegerField()
    arbitrated = serializers.IntegerField()
    upheld = serializers.IntegerField()
    answered = serializers.IntegerField(help_text="By an addendum, or a reason why not.")


class GroupSerializer(serializers.Serializer):
    modality = serializers.CharField()
    agreement = ShareSerializer()


class ResultsSerializer(serializers.Serializer):
    """What a round found. No reader's number is among them."""

    agreement = ShareSerializer(help_text="The arbiter's score counts where there is one.")
    groups = GroupSerializer(many=True)
    funnel = FunnelSerializer()
    not_reviewed = serializers.IntegerField()


class WindowSerializer(serializers.Serializer):
    starts_on = serializers.DateField()
    ends_on = serializers.DateField()
    agreement = ShareSerializer()
    unchanged = ShareSerializer(help_text="Own preliminary reports whose impression the attending left.")
    reports = serializers.IntegerField(help_text="Final reports signed.")
    turnaround = serializers.FloatField(allow_null=True, help_text="Median minutes, last image to signature.")


class ScorecardSerializer(serializers.Serializer):
    whole = ShareSerializer(help_text="Agreement over all windows.")
    windows = WindowSerializer(many=True, help_text="Windows of 13 weeks, the latest last.")
    severities = serializers.SerializerMethodField()
    categories = serializers.SerializerMethodField()

    def get_severities(self, card: Scorecard) -> dict[str, int]:
        return dict(card.severities)

    def get_categories(self, card: Scorecard) -> dict[str, int]:
        return dict(card.categories)
