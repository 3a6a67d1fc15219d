"""REST: a dose report's original, and the registry's rows without a name."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from dose import exports, selectors
from dose import permissions as perms
from dose.api.dashboards import ASKED
from dose.dashboards import ask
from dose.web.exports import registry_file
from ris.accounts.api.base import FacilityAPIView
from ris.audit.service import record_read
from ris.core.errors import NotKnown


class DoseOriginalView(FacilityAPIView):
    permission_codes = {"get": perms.VIEW_DOSE}

    @extend_schema(
        operation_id="dose_reports_original",
        responses={(200, "application/dicom"): OpenApiResponse(OpenApiTypes.BINARY, "The object as it came.")},
    )
    def get(self, request: Request, uuid: UUID) -> HttpResponse:
        """The DICOM object that the dose was read from; 404 for what was entered by hand."""
        report = selectors.dose_reports(actor=self.actor).filter(uuid=uuid).first()
        if report is None:
            raise NotKnown(_("There is no such dose report in this facility."))
        content = exports.original(report)
        record_read(self.actor, perms.VIEW_DOSE, entity=report, detail={"export": "original"})
        return HttpResponse(content, content_type="application/dicom")


class DoseRegistryView(FacilityAPIView):
    permission_codes = {"get": perms.MANAGE_DOSE}

    @extend_schema(
        operation_id="dose_registry_retrieve",
        parameters=[
            OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=list(exports.FORMATS)),
            *(one for one in ASKED if one.name in ("tab", "days")),
        ],
        responses={
            (200, content.split(";")[0]): OpenApiResponse(
                OpenApiTypes.OBJECT if content.startswith("application/json") else OpenApiTypes.BINARY, "The file."
            )
            for content in exports.CONTENT_TYPES.values()
        },
    )
    def get(self, request: Request, kind: str) -> StreamingHttpResponse:
        """Irradiation events without identity, named by a key of this one export; docs/dose.md has the columns."""
        question = ask(request.query_params.dict(), actor=self.actor, strict=True)
        return registry_file(exports.registry(question, kind, actor=self.actor), question.tab, kind)
