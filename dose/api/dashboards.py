"""REST: the numbers of each chart of doses."""

from __future__ import annotations

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dose import permissions as perms
from dose.bands import BANDS
from dose.dashboards import KINDS, ask, make_chart
from dose.dashboards.question import PERIODS
from dose.quantities import QUANTITIES, TABS
from ris.accounts.api.base import FacilityAPIView
from ris.audit.service import record_read
from ris.core.errors import NotKnown

ASKED = [
    OpenApiParameter("tab", str, enum=list(TABS), description="The kind of exams; CT by default."),
    OpenApiParameter("exam", str, description="A code of `exams`; the most frequent by default."),
    OpenApiParameter("quantity", str, enum=list(QUANTITIES), description="The tab's first by default."),
    OpenApiParameter("band", str, enum=list(BANDS), description="The patients' age or weight; adults by default."),
    OpenApiParameter("days", int, enum=list(PERIODS), description="Looks back so many days; 90 by default."),
    OpenApiParameter("level", str, description='A reference level\'s id, or "none"; the suggested one by default.'),
    OpenApiParameter("room", str, description="Only exams of this room."),
]


class DoseChartSerializer(serializers.Serializer):
    kind = serializers.CharField()
    tab = serializers.CharField()
    exam = serializers.CharField(allow_null=True)
    quantity = serializers.CharField()
    unit = serializers.CharField(help_text="Of the values in the rows.")
    band = serializers.CharField(help_text="Of the patients.")
    days = serializers.IntegerField()
    level = serializers.UUIDField(allow_null=True, help_text="The reference level compared with.")
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(
        child=serializers.ListField(child=serializers.JSONField()), help_text="One list per row, in `columns`' order."
    )


class DoseChartView(FacilityAPIView):
    permission_codes = {"get": perms.VIEW_DOSE}

    @extend_schema(
        operation_id="dose_charts_retrieve",
        parameters=[OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=list(KINDS)), *ASKED],
        responses=DoseChartSerializer,
    )
    def get(self, request: Request, kind: str) -> Response:
        """The table under one chart: quantiles per room, medians by month, bins, size bands, hours, what is missing."""
        if kind not in KINDS:
            raise NotKnown(_("There is no such chart."), todo=_("One of: %(all)s.") % {"all": ", ".join(KINDS)})
        question = ask(request.query_params.dict(), actor=self.actor, strict=True)
        chart = make_chart(kind, question, actor=self.actor)
        detail = {**question.params(), "chart": kind, "rows": len(chart.rows)}
        record_read(self.actor, perms.VIEW_DOSE, detail=detail)
        body = {
            "kind": kind,
            "tab": question.tab,
            "exam": question.exam.code if question.exam is not None else None,
            "quantity": question.quantity.key,
            "unit": question.quantity.unit,
            "band": question.band,
            "days": question.days,
            "level": question.level.uuid if question.level is not None else None,
            "columns": chart.heads,
            "rows": chart.rows,
        }
        return Response(DoseChartSerializer(body).data)
