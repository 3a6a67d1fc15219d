"""REST: reject and repeat analysis, and the band that the facility wants to be in."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dose import permissions as perms
from dose import rejects
from dose.api.dashboards import ASKED
from dose.dashboards import ask
from dose.quantities import TABS
from ris.accounts.api.base import FacilityAPIView
from ris.audit.service import record_read


class RateSerializer(serializers.Serializer):
    name = serializers.CharField()
    exposures = serializers.IntegerField()
    rejects = serializers.IntegerField()
    repeats = serializers.IntegerField()
    percent = serializers.FloatField(allow_null=True, help_text="Rejects of all exposures.")
    repeat_percent = serializers.FloatField(allow_null=True)
    verdict = serializers.ChoiceField(
        ["few", "high", "low", "within", ""], help_text="few: too few exposures to judge; empty: no target is set."
    )


class RejectReasonSerializer(serializers.Serializer):
    code = serializers.CharField(help_text="CID 7011, or what the device wrote.")
    name = serializers.CharField()
    count = serializers.IntegerField()
    percent = serializers.FloatField(help_text="Of all rejects.")


class RepeatReasonSerializer(serializers.Serializer):
    name = serializers.CharField()
    count = serializers.IntegerField()


class RejectTargetSerializer(serializers.Serializer):
    tab = serializers.ChoiceField(list(TABS))
    low = serializers.FloatField(help_text="Percent.")
    high = serializers.FloatField(help_text="Percent.")


class RejectAnalysisSerializer(serializers.Serializer):
    tab = serializers.CharField()
    days = serializers.IntegerField()
    target = RejectTargetSerializer(allow_null=True)
    total = RateSerializer()
    rooms = RateSerializer(many=True)
    views = RateSerializer(many=True)
    reasons = RejectReasonSerializer(many=True)
    repeat_reasons = RepeatReasonSerializer(many=True)


class DoseRejectsView(FacilityAPIView):
    permission_codes = {"get": perms.VIEW_DOSE, "put": perms.MANAGE_LEVELS}

    @extend_schema(
        operation_id="dose_rejects_retrieve",
        parameters=[one for one in ASKED if one.name in ("tab", "days", "room")],
        responses=RejectAnalysisSerializer,
    )
    def get(self, request: Request) -> Response:
        """Rates of rejected and repeated exposures by room, view and reason."""
        question = ask({"tab": "DX", **request.query_params.dict()}, actor=self.actor, strict=True)
        found = rejects.analyse(question, actor=self.actor)
        record_read(self.actor, perms.VIEW_DOSE, detail={**question.params(), "list": "rejects"})
        body = {
            "tab": question.tab,
            "days": question.days,
            "target": found.target,
            "total": found.total,
            "rooms": found.rooms,
            "views": found.views,
            "reasons": [
                {"code": code, "name": name, "count": count, "percent": percent}
                for code, name, count, percent in found.reasons
            ],
            "repeat_reasons": [{"name": name, "count": count} for name, count in found.repeat_reasons],
        }
        return Response(RejectAnalysisSerializer(body).data)

    @extend_schema(
        operation_id="dose_rejects_target",
        request=RejectTargetSerializer,
        responses=RejectTargetSerializer,
    )
    def put(self, request: Request) -> Response:
        """Set the band, in percent, that the facility wants its reject rate of one kind of exams to be in."""
        asked = RejectTargetSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(
            RejectTargetSerializer(rejects.set_reject_target(**asked.validated_data, actor=self.actor)).data
        )
