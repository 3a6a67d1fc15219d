"""/dicomweb/: QIDO-RS, WADO-RS and STOW-RS (PS3.18 chapter 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from interop.dicom.coercion import Current
from interop.dicom.elements import Malformed
from interop.dicom.index_search import current_of
from interop.dicom.query_keys import Level
from interop.dicomweb import capabilities
from interop.dicomweb.base import JSON_OR_XML, DicomWebView, log
from interop.dicomweb.leaving import leaving_bytes, leaving_size
from interop.dicomweb.matching import read_query
from interop.dicomweb.media import (
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    EXPLICIT_LITTLE,
    MULTIPART,
    OCTETS,
    BadRequest,
    Offer,
    UnsupportedType,
    compressed_type,
    parse_media_types,
)
from interop.dicomweb.model import Model
from interop.dicomweb.multipart import MultipartReader
from interop.dicomweb.objects import FileMissing, opened
from interop.dicomweb.rendering import FORMATS, Rendering, no_such_frame, rendered, thumbnail
from interop.dicomweb.resources import Addresses, instances_of, not_known, representative
from interop.dicomweb.search import search
from interop.dicomweb.storing import Stored, TooLarge, response_model, store
from interop.dicomweb.transcoding import can_decode, explicit_little, is_native, native_frames
from interop.imaging.selectors import note_view
from ris.audit.service import record_read
from ris.core.ids import is_valid_uid
from worklist.models import ImagingInstance
from worklist.permissions import VIEW_STUDY

IMPLICIT_OR_BIG = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.2"})
MAX_FRAMES = 10_000
MAX_WARNINGS = 10

SEARCH_PARAMETERS = [
    OpenApiParameter("limit", int, description="Results of this answer."),
    OpenApiParameter("offset", int, description="Results to skip."),
    OpenApiParameter("includefield", str, description="Keywords or tags separated by commas, or all."),
    OpenApiParameter("fuzzymatching", bool, description="Not supported: a Warning header says so."),
]
MODEL = {(200, DICOM_JSON): OpenApiTypes.OBJECT, (200, f"{MULTIPART}; type={DICOM_XML}"): OpenApiTypes.STR}
STORED = {(code, DICOM_JSON): OpenApiTypes.OBJECT for code in (200, 202, 409, 413, 415)}
PICTURE_PARAMETERS = [
    OpenApiParameter("window", str, description="centre,width,linear or linear-exact"),
    OpenApiParameter("viewport", str, description="width,height[,left,top,width,height]"),
    OpenApiParameter("quality", int, description="1 to 100, of JPEG."),
]


def binary(*types: str) -> dict[tuple[int, str], Any]:
    return {(200, name): OpenApiTypes.BINARY for name in types}


# --- QIDO-RS


class SearchView(DicomWebView):
    """Studies, series or instances of the index."""

    level = Level.STUDY

    @extend_schema(
        summary="QIDO-RS: search",
        description="Attributes are matched by keyword or tag, as in `?PatientID=4711` or `?00100020=4711`.",
        parameters=SEARCH_PARAMETERS,
        responses=MODEL,
    )
    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        offer = self.chosen(*JSON_OR_XML)
        query = read_query(request.query_params, self.level)
        found = search(self.level, self.target, query, actor=self.actor, addresses=Addresses.of(request))
        record_read(
            self.actor,
            VIEW_STUDY,
            patients=found.patients,
            detail={"searched": self.level.name, "rows": len(found.results)},
        )
        if found.has_more:
            query.warnings.append(
                "The number of results exceeded the maximum supported by the server, or the limit asked for. "
                "Additional results can be requested."
            )
        response = self.models(found.results, offer)
        self.warn(response, query.warnings)
        return response


# --- WADO-RS: objects


class RetrieveMixin:
    """Instances of a study, a series, or one."""

    @extend_schema(
        summary="WADO-RS: retrieve instances",
        description="Accept names the transfer syntax; without one it is Explicit VR Little Endian, `*` is as stored.",
        responses=binary(f"{MULTIPART}; type={DICOM}", DICOM),
    )
    def get(self: Any, request: Request, **uids: str) -> HttpResponseBase:
        study, rows = instances_of(self.target, actor=self.actor)
        forms = [self.chosen(*object_offers(row, len(rows) == 1)) for row in rows]
        current = current_of([study.pk])[study.pk]
        etag, same = self.not_modified(rows, forms, current.key)
        if same is not None:
            return same
        self.note_retrieval(study, "instances", len(rows))
        if not forms[0].is_multipart:
            return _one_object(self, rows[0], forms[0], current, etag)
        addresses = Addresses.of(request)
        parts = (
            (
                {
                    "Content-Type": f"{DICOM}; transfer-syntax={form.syntax}",
                    "Content-Location": addresses.instance(row),
                },
                object_bytes(row, form, current),
            )
            for row, form in zip(rows, forms, strict=True)
        )
        return self.multipart(_ready(parts), DICOM, etag=etag)


def _ready(parts: Iterator[Any]) -> Iterator[Any]:
    """The first object is opened before its headers are sent: what cannot be read is then a refusal."""
    first = True
    for headers, pieces in parts:
        source = iter(pieces)
        if first:
            start, first = next(source, b""), False
            yield headers, _after(start, source)
        else:
            yield headers, source


def _after(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest


def _one_object(view: DicomWebView, row: ImagingInstance, form: Offer, current: Current, etag: str) -> HttpResponseBase:
    content = object_bytes(row, form, current)
    response = view.stream(content, f"{DICOM}; transfer-syntax={form.syntax}", etag=etag)
    size = leaving_size(row, row.size, current) if form.syntax == row.transfer_syntax_uid else None
    if size is not None:
        response["Content-Length"] = str(size)
    return response


def object_offers(row: ImagingInstance, is_alone: bool) -> list[Offer]:
    """As stored, unless that is one of the two syntaxes that RESTful services do not know; and uncompressed."""
    syntaxes = [] if row.transfer_syntax_uid in IMPLICIT_OR_BIG else [row.transfer_syntax_uid]
    if can_decode(row.transfer_syntax_uid) and EXPLICIT_LITTLE not in syntaxes:
        syntaxes.append(EXPLICIT_LITTLE)
    return [
        Offer(DICOM, syntax, many, syntax == row.transfer_syntax_uid)
        for many in ((True, False) if is_alone else (True,))
        for syntax in syntaxes
    ]


def object_bytes(row: ImagingInstance, form: Offer, current: Current) -> Iterator[bytes]:
    """With patient and exam as they are known now; the file in the store stays as it is."""
    is_as_stored = form.syntax == row.transfer_syntax_uid
    return leaving_bytes(row, current) if is_as_stored else explicit_little(row, current)


class MetadataView(DicomWebView):
    """Headers of a study, a series or an instance, without their bulk data."""

    @extend_schema(
        summary="WADO-RS: retrieve metadata",
        description="Long values and pixel data are addresses (BulkDataURI).",
        responses=MODEL,
    )
    def get(self, request: Request, **uids: str) -> HttpResponseBase:
        offer = self.chosen(*JSON_OR_XML)
        study, rows = instances_of(self.target, actor=self.actor)
        current = current_of([study.pk])[study.pk]
        etag, same = self.not_modified(rows, "metadata", offer, current.key)
        if same is not None:
            return same
        self.note_retrieval(study, "metadata", len(rows))
        addresses = Addresses.of(request)
        return self.models((metadata_of(row, addresses, current) for row in rows), offer, etag=etag)


def metadata_of(row: ImagingInstance, addresses: Addresses, current: Current) -> Model:
    """From the header, as it leaves; when it cannot be read, what the index knows: nothing is missing unnoticed."""
    own = addresses.instance(row)
    try:
        with opened(row, header_only=True) as stored:
            made = stored.model(lambda path: f"{own}/bulkdata/{path}", current)
    except (Malformed, FileMissing) as error:
        log.error("instance_unreadable", instance=row.pk, error=str(error))
        return _of_index(row)
    made["00083002"] = {"vr": "UI", "Value": [row.transfer_syntax_uid]}
    return dict(sorted(made.items()))


def _of_index(row: ImagingInstance) -> Model:
    return {
        "00080016": {"vr": "UI", "Value": [row.sop_class_uid]},
        "00080018": {"vr": "UI", "Value": [row.sop_instance_uid]},
        "00080056": {"vr": "CS", "Value": ["UNAVAILABLE"]},
        "00080060": {"vr": "CS", "Value": [row.series.modality]},
        "0020000D": {"vr": "UI", "Value": [row.series.study.study_instance_uid]},
        "0020000E": {"vr": "UI", "Value": [row.series.series_instance_uid]},
        "00200013": {"vr": "IS", "Value": [row.number]},
    }


# --- WADO-RS: frames and bulk data


def frame_numbers(text: str) -> list[int]:
    """``1,2,3``. Raises BadRequest."""
    parts = text.split(",")
    if len(parts) > MAX_FRAMES or not all(part.isascii() and part.isdecimal() and len(part) < 9 for part in parts):
        raise BadRequest(
            _("Frames are numbers separated by commas."), errors={"frames": _("For example 1,2,3; the first is 1.")}
        )
    return [int(part) for part in parts]


class FramesView(DicomWebView):
    """Frames as they are stored, or uncompressed."""

    @extend_schema(
        summary="WADO-RS: retrieve frames",
        description="Uncompressed as application/octet-stream, or as stored (`transfer-syntax=*`).",
        responses=binary(f"{MULTIPART}; type={OCTETS}", OCTETS),
    )
    def get(self, request: Request, frames: str, **uids: str) -> HttpResponseBase:
        study, rows = instances_of(self.target, actor=self.actor)
        row, numbers = rows[0], frame_numbers(frames)
        if not all(1 <= number <= row.frames for number in numbers):
            raise no_such_frame(row)
        form = self.chosen(*_frame_offers(row, len(numbers) == 1))
        etag, same = self.not_modified(rows, "frames", numbers, form)
        if same is not None:
            return same
        note_view(study, actor=self.actor)
        content = _frames(row, numbers, form)
        content_type = f"{form.name}; transfer-syntax={form.syntax}"
        if not form.is_multipart:
            return self.whole(next(content), content_type, etag=etag)
        own = Addresses.of(request).instance(row)
        parts = (
            ({"Content-Type": content_type, "Content-Location": f"{own}/frames/{number}"}, [frame])
            for number, frame in zip(numbers, content, strict=True)
        )
        return self.multipart(parts, form.name, etag=etag)


def _frame_offers(row: ImagingInstance, is_alone: bool) -> list[Offer]:
    stored = row.transfer_syntax_uid
    offers = [] if is_native(stored) else [(compressed_type(stored), stored)]
    if can_decode(stored):
        # Who says nothing gets what everybody can read; who says ``*`` what is stored.
        offers.insert(0, (OCTETS, EXPLICIT_LITTLE))
    return [
        Offer(name, syntax, many, syntax == stored)
        for many in ((True, False) if is_alone else (True,))
        for name, syntax in offers
    ]


def _frames(row: ImagingInstance, numbers: list[int], form: Offer) -> Iterator[bytes]:
    with opened(row) as stored:
        if form.syntax == EXPLICIT_LITTLE:
            yield from native_frames(stored, numbers)
        else:
            yield from (stored.frame(number) for number in numbers)


class BulkDataView(DicomWebView):
    """One value of an object, at the address that its metadata name."""

    @extend_schema(summary="WADO-RS: retrieve bulk data", responses=binary(OCTETS, f"{MULTIPART}; type={OCTETS}"))
    def get(self, request: Request, path: str, **uids: str) -> HttpResponseBase:
        study, rows = instances_of(self.target, actor=self.actor)
        row = rows[0]
        syntax = EXPLICIT_LITTLE
        if path.upper() == "7FE00010" and not is_native(row.transfer_syntax_uid):
            return self._frames(row, study)
        form = self.chosen(Offer(OCTETS, syntax, False), Offer(OCTETS, syntax))
        etag, same = self.not_modified(rows, "bulk", path, form)
        if same is not None:
            return same
        note_view(study, actor=self.actor)
        content_type = f"{OCTETS}; transfer-syntax={syntax}"
        if not form.is_multipart:
            return self.stream(_bulk(row, path), content_type, etag=etag)
        headers = {"Content-Type": content_type, "Content-Location": request.build_absolute_uri(request.path)}
        return self.multipart(_ready(iter([(headers, _bulk(row, path))])), OCTETS, etag=etag)

    def _frames(self, row: ImagingInstance, study: Any) -> HttpResponseBase:
        """Compressed pixel data: a part for each frame."""
        form = self.chosen(*_frame_offers(row, row.frames == 1))
        note_view(study, actor=self.actor)
        content = _frames(row, list(range(1, row.frames + 1)), form)
        headers = {"Content-Type": f"{form.name}; transfer-syntax={form.syntax}"}
        if not form.is_multipart:
            return self.stream(content, headers["Content-Type"])
        return self.multipart(((headers, [frame]) for frame in content), form.name)


def _bulk(row: ImagingInstance, path: str) -> Iterator[bytes]:
    with opened(row) as stored:
        yield from stored.bulk(path)


# --- WADO-RS: pictures


class PictureView(DicomWebView):
    """Rendered pictures: of a study or series one that stands for it, or each as a part."""

    draw: Callable[..., bytes] = staticmethod(rendered)
    is_thumbnail = False

    @extend_schema(
        summary="WADO-RS: retrieve rendered pictures or thumbnails",
        parameters=PICTURE_PARAMETERS,
        responses=binary(*FORMATS),
    )
    def get(self, request: Request, frames: str = "", **uids: str) -> HttpResponseBase:
        study, rows = instances_of(self.target, actor=self.actor)
        asked = Rendering.of(request.query_params, thumbnail=self.is_thumbnail)
        numbers = frame_numbers(frames) if frames else [1]
        offers = [Offer(name, is_multipart=False) for name in FORMATS] if len(numbers) == 1 else []
        form = self.chosen(*offers, *(Offer(name) for name in FORMATS))
        etag, same = self.not_modified(rows, "picture", self.is_thumbnail, numbers, asked.key, form)
        if same is not None:
            return same
        note_view(study, actor=self.actor)
        if not form.is_multipart:
            picture = self.draw(representative(rows), numbers[0], asked, form.name)
            return self.whole(picture, form.name, etag=etag)
        own = Addresses.of(request)
        pictures = [row for row in rows if row.rows] or rows
        parts = (
            (
                {"Content-Type": form.name, "Content-Location": f"{own.instance(row)}/frames/{number}/rendered"},
                [self.draw(row, number, asked, form.name)],
            )
            for row in pictures
            for number in numbers
        )
        return self.multipart(parts, form.name, etag=etag)


class ThumbnailView(PictureView):
    """Small pictures; of what has none, one with words."""

    draw = staticmethod(thumbnail)
    is_thumbnail = True


# --- STOW-RS


class StoreMixin:
    """Instances come in, of any study or of the one that the address names."""

    @extend_schema(
        summary="STOW-RS: store instances",
        description=f'The body is {MULTIPART}; type="{DICOM}"; each part an instance. The answer names what was stored '
        "and what failed, and why (PS3.18 Annex I).",
        request={f"{MULTIPART}; type={DICOM}": OpenApiTypes.BINARY},
        responses=STORED,
    )
    def post(self: Any, request: Request, study: str = "") -> HttpResponseBase:
        if study and not is_valid_uid(study):
            raise not_known()
        offer = self.chosen(*JSON_OR_XML)
        reader = MultipartReader(_limited(request._request), _boundary_of(request))
        outcome = store(reader, study=study, actor=self.actor)
        response = (
            self.models([response_model(outcome, Addresses.of(request))], offer)
            if (offer.name == DICOM_XML)
            else self._json(outcome, request)
        )
        response.status_code = outcome.status
        self.warn(response, list(dict.fromkeys(failure.words for failure in outcome.failures))[:MAX_WARNINGS])
        return response

    def _json(self: Any, outcome: Stored, request: Request) -> Response:
        """One data set, not an array (PS3.18 10.5.3.2)."""
        return Response(response_model(outcome, Addresses.of(request)), content_type=DICOM_JSON)


def _boundary_of(request: Request) -> str:
    types = parse_media_types(request.headers.get("Content-Type", ""))
    declared = types[0] if types else None
    if declared is None or declared.name != MULTIPART or declared.parameters.get("type", DICOM).lower() != DICOM:
        raise UnsupportedType(
            _("The request's body is of a type that is not taken."),
            found=declared.name[:100] if declared else "",
            todo=f'Send {MULTIPART}; type="{DICOM}"; boundary=...',
        )
    boundary = declared.parameters.get("boundary", "")
    if not boundary:
        raise BadRequest(_("The Content-Type names no boundary."), errors={"boundary": _("This is missing.")})
    return boundary


def _limited(request: HttpRequest) -> Callable[[int], bytes]:
    """Reads the body, also one that comes in chunks; raises TooLarge beyond RIS_UPLOAD_LIMIT_MB."""
    limit = settings.RIS_UPLOAD_LIMIT_MB * 1024 * 1024
    is_chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    source = request.META["wsgi.input"] if is_chunked and request.META.get("wsgi.input_terminated") else request
    taken = 0

    def read(size: int) -> bytes:
        nonlocal taken
        piece: bytes = source.read(size)
        taken += len(piece)
        if taken > limit:
            raise TooLarge(f"A request may bring {settings.RIS_UPLOAD_LIMIT_MB} MB.")
        return piece

    return read


# --- one address, several methods


class StudiesView(StoreMixin, SearchView):
    """Search for studies; store instances."""

    level = Level.STUDY


class StudyView(StoreMixin, RetrieveMixin, DicomWebView):
    """Retrieve a study; store instances of it."""


class InstancesView(RetrieveMixin, DicomWebView):
    """Retrieve a series, or one instance."""


class SeriesSearchView(SearchView):
    level = Level.SERIES


class InstanceSearchView(SearchView):
    level = Level.IMAGE


class CapabilitiesView(DicomWebView):
    """What this service can do (PS3.18 8.9)."""

    @extend_schema(
        summary="DICOMweb: retrieve capabilities",
        responses={(200, "application/json"): OpenApiTypes.OBJECT, (200, capabilities.WADL): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.options(request)
