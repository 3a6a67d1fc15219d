"""REST: the images of a teaching case to take along."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from interop.imaging.teaching_export import answer
from reporting.api.views import PdfRenderer
from reporting.models import TeachingCase
from reporting.permissions import VIEW_TEACHING
from ris.accounts.api.base import FacilityViewSet


class ZipRenderer(PdfRenderer):
    media_type = "application/zip"
    format = "zip"


class TeachingExportViewSet(FacilityViewSet):
    """A shared teaching case as files; 409 while it is not shared."""

    queryset = TeachingCase.objects.none()
    permission_codes = {"export": VIEW_TEACHING}

    def get_queryset(self) -> QuerySet[TeachingCase]:
        return TeachingCase.objects.visible_to(self.actor)

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    @action(detail=True, renderer_classes=[ZipRenderer, JSONRenderer], pagination_class=None)
    def export(self, request: Request, uuid: str | None = None) -> FileResponse:
        """Its de-identified images as DICOM files, with a Key Object Selection (For Teaching), in a zip."""
        return answer(self.get_object(), actor=self.actor)
