"""REST: a signed version in the forms that other systems read."""

from __future__ import annotations

import json

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from interop.dicom.report_document import document_file
from interop.fhir.diagnostic_report import diagnostic_report
from reporting import selectors
from reporting.api.views import PdfRenderer
from reporting.models import Report, ReportVersion
from reporting.permissions import VIEW_REPORT
from reporting.selectors.reports import version_of
from ris.accounts.api.base import FacilityViewSet
from ris.audit.service import record_read

NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH)


class DicomRenderer(PdfRenderer):
    media_type = "application/dicom"
    format = "dcm"


class FhirRenderer(JSONRenderer):
    media_type = "application/fhir+json"
    format = "fhir"


class ReportVersionViewSet(FacilityViewSet):
    """A signed version as DICOM and as FHIR; its content hash is verified first (409 when it fails)."""

    queryset = Report.objects.none()
    permission_codes = {"dicom": VIEW_REPORT, "fhir": VIEW_REPORT}

    def get_queryset(self) -> QuerySet[Report]:
        return selectors.reports(actor=self.actor)

    def _version(self, number: str, form: str) -> ReportVersion:
        version = version_of(self.get_object(), number, actor=self.actor)
        detail = {"page": form, "version": version.number}
        record_read(self.actor, VIEW_REPORT, entity=version, detail=detail)
        return version

    @extend_schema(parameters=[NUMBER], responses={(200, "application/dicom"): OpenApiTypes.BINARY})
    @action(
        detail=True,
        url_path=r"versions/(?P<number>\d{1,5})/dicom",
        renderer_classes=[DicomRenderer, JSONRenderer],
        pagination_class=None,
    )
    def dicom(self, request: Request, uuid: str | None = None, number: str = "") -> HttpResponse:
        """A DICOM Basic Text SR file (PS3.10, TID 2000)."""
        version = self._version(number, "dicom")
        response = HttpResponse(document_file(version), content_type="application/dicom")
        response["Content-Disposition"] = f'attachment; filename="report-{uuid}-{version.number}.dcm"'
        return response

    @extend_schema(parameters=[NUMBER], responses={(200, "application/fhir+json"): OpenApiTypes.OBJECT})
    @action(
        detail=True,
        url_path=r"versions/(?P<number>\d{1,5})/fhir",
        renderer_classes=[FhirRenderer, JSONRenderer],
        pagination_class=None,
    )
    def fhir(self, request: Request, uuid: str | None = None, number: str = "") -> HttpResponse:
        """A FHIR R4 DiagnosticReport with the paper as presentedForm."""
        body = diagnostic_report(self._version(number, "fhir"))
        return HttpResponse(json.dumps(body, ensure_ascii=False), content_type="application/fhir+json; charset=utf-8")
