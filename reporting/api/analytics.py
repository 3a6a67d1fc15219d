"""``/api/v1/analytics/``: the department's numbers, without people."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from reporting import permissions as perms
from reporting.analytics import selectors
from reporting.api.serializers import AnalyticsSerializer
from ris.accounts.api.base import FacilityAPIView
from ris.audit.models import Action
from ris.audit.service import record
from ris.core.errors import InvalidData


class AnalyticsView(FacilityAPIView):
    permission_codes = {"get": perms.VIEW_ANALYTICS}

    @extend_schema(
        operation_id="analytics_retrieve",
        parameters=[OpenApiParameter("days", int, description="Looks back so many days: 1 to 366, 30 by default.")],
        responses=AnalyticsSerializer,
    )
    def get(self, request: Request) -> Response:
        """Turnaround by step and priority, volumes by day and modality, backlog now."""
        asked = request.query_params.get("days", "30")
        days = int(asked) if asked.isdecimal() and len(asked) < 4 else 0
        if not 1 <= days <= 366:
            raise InvalidData("days is a number from 1 to 366.", errors={"days": ["1 to 366."]})
        shown, volumes = selectors.volumes(actor=self.actor, days=days)
        record(self.actor, perms.VIEW_ANALYTICS, Action.READ, detail={"days": days})
        body = {
            "days": days,
            "turnaround": [row.as_dict() for row in selectors.turnaround(actor=self.actor, days=days)],
            "volumes": [
                {
                    "modality": volume.modality,
                    "by_day": {day.isoformat(): number for day, number in zip(shown, volume.by_day, strict=True)},
                }
                for volume in volumes
            ],
            "backlog": [
                {"status": row.status, "count": row.count, "oldest": row.oldest}
                for row in selectors.backlog(actor=self.actor)
            ],
        }
        return Response(AnalyticsSerializer(body).data)
