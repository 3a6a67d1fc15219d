"""WADO-URI (PS3.18 chapter 9): one object by parameters of a query, as older viewers ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import QueryDict
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from interop.dicom.index_search import current_of
from interop.dicomweb.base import DicomWebView
from interop.dicomweb.launches import study_of_launch
from interop.dicomweb.matching import bad
from interop.dicomweb.media import DICOM, EXPLICIT_LITTLE, MediaType, Offer, choose
from interop.dicomweb.rendering import FORMATS, Rendering, rendered
from interop.dicomweb.resources import Target, instances_of
from interop.dicomweb.views import binary, frame_numbers, object_bytes, object_offers

UIDS = ("studyUID", "seriesUID", "objectUID")
#: What would change the object, which is not done: to send it as it is would be another thing than was asked for.
REFUSED = ("anonymize", "presentationUID", "presentationSeriesUID", "region")


class WadoUriView(DicomWebView):
    """An object as application/dicom, or one of its frames as a picture."""

    @extend_schema(
        summary="WADO-URI: retrieve an object",
        parameters=[
            OpenApiParameter("requestType", str, required=True, enum=["WADO"]),
            *(OpenApiParameter(name, str, required=True) for name in UIDS),
            OpenApiParameter("contentType", str, description="application/dicom, image/jpeg or image/png"),
            OpenApiParameter("transferSyntax", str),
            *(OpenApiParameter(name, int) for name in ("frameNumber", "rows", "columns", "imageQuality")),
            *(OpenApiParameter(name, str) for name in ("windowCenter", "windowWidth")),
        ],
        responses=binary(DICOM, *FORMATS),
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = request.query_params
        target = _target(asked)
        study_of_launch(request, target.study)
        study, rows = instances_of(target, actor=self.actor)
        row = rows[0]
        pictures = [Offer(name, is_multipart=False) for name in FORMATS]
        objects = [offer for offer in object_offers(row, True) if not offer.is_multipart]
        form = choose(_wanted(asked), [*pictures, *objects] if row.rows else objects)
        number = frame_numbers(asked.get("frameNumber") or "1")[0]
        current = current_of([study.pk])[study.pk]
        etag, same = self.not_modified(rows, "uri", form, sorted(asked.items()), current.key)
        if same is not None:
            return same
        self.note_retrieval(study, "object", 1)
        if form.name == DICOM:
            content: Iterator[bytes] = object_bytes(row, form, current)
            return self.stream(content, DICOM, etag=etag)
        return self.whole(rendered(row, number, _rendering(asked), form.name), form.name, etag=etag)


def _target(asked: QueryDict) -> Target:
    if asked.get("requestType") != "WADO":
        raise bad("requestType", _("This must be WADO."))
    for name in UIDS:
        if not asked.get(name):
            raise bad(name, _("This is missing."))
    for name in REFUSED:
        if asked.get(name):
            raise bad(name, _("This is not supported."))
    return Target(*(asked[name] for name in UIDS))


def _wanted(asked: QueryDict) -> list[MediaType]:
    """``contentType`` in order of preference; without one, a picture of what has one, else the object."""
    syntax = asked.get("transferSyntax") or EXPLICIT_LITTLE
    names = [name.strip().lower() for name in asked.get("contentType", "").split(",") if name.strip()] or ["*/*"]
    return [MediaType(name, {"transfer-syntax": syntax} if name == DICOM else {}) for name in names]


def _rendering(asked: QueryDict) -> Rendering:
    """The same as the parameters of rendered resources."""
    told: dict[str, Any] = {"quality": asked.get("imageQuality", "")}
    if asked.get("windowCenter") or asked.get("windowWidth"):
        told["window"] = f"{asked.get('windowCenter', '')},{asked.get('windowWidth', '')}"
    if asked.get("rows") or asked.get("columns"):
        edges = asked.get("columns") or asked["rows"], asked.get("rows") or asked["columns"]
        told["viewport"] = ",".join(edges)
    made = QueryDict(mutable=True)
    made.update(told)
    return Rendering.of(made)
