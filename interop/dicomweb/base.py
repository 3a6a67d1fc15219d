"""What every DICOMweb view stands on: forms of an answer, streams, refusals in words, other origins."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from interop.dicom.elements import Malformed
from interop.dicomweb import capabilities
from interop.dicomweb.launches import LaunchAuthentication, study_of_launch
from interop.dicomweb.media import (
    DICOM_JSON,
    DICOM_XML,
    MULTIPART,
    BadRequest,
    MediaType,
    Offer,
    choose,
    parse_media_types,
)
from interop.dicomweb.model import Model
from interop.dicomweb.multipart import BrokenMultipart, new_boundary, written
from interop.dicomweb.resources import Addresses, Target
from interop.dicomweb.xml import native_model
from ris.accounts.api.base import FacilityViewMixin
from ris.accounts.api.openapi import HouseAutoSchema
from ris.audit.service import record_read
from ris.core.errors import DomainError
from worklist.models import ImagingInstance, ImagingStudy
from worklist.permissions import STORE_STUDY, VIEW_STUDY

log = structlog.get_logger("interop.dicomweb")

CAPABILITIES = (Offer(DICOM_JSON, is_multipart=False), Offer(capabilities.WADL, is_multipart=False))
JSON_OR_XML = (Offer(DICOM_JSON, is_multipart=False), Offer(DICOM_XML))
CORS_METHODS = "GET, HEAD, POST, OPTIONS"
CORS_HEADERS = "Accept, Authorization, Content-Type, If-None-Match"
CORS_EXPOSED = "Content-Location, Content-Type, ETag, Warning, X-Correlation-ID"


class Unreadable(DomainError):
    """A stored object is not what its transfer syntax promises."""

    code = "unreadable"
    http_status = 500


class AnyForm(BaseContentNegotiation):
    """The views choose the form of their answers; refusals are problem documents whatever is accepted."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class AddressSchema(HouseAutoSchema):
    """Operations named by the whole address: ``/studies`` and ``/studies/{study}`` are two."""

    def get_operation_id(self) -> str:
        parts = [part.strip("{}") for part in self.path.split("/") if part]
        return "_".join([*parts, self.method.lower()])


class DicomWebView(FacilityViewMixin):
    """One resource of DICOMweb. The address names ``study``, ``series`` and ``instance``."""

    schema = AddressSchema()
    content_negotiation_class = AnyForm
    authentication_classes = (LaunchAuthentication, *api_settings.DEFAULT_AUTHENTICATION_CLASSES)
    permission_codes = {"get": VIEW_STUDY, "retrieve": VIEW_STUDY, "options": VIEW_STUDY, "post": STORE_STUDY}

    # --- around a request

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Pages of other origins are answered when the administrator has named them, and asked nothing before."""
        origin = request.headers.get("Origin", "")
        is_known = origin in settings.RIS_DICOMWEB_ORIGINS
        if is_known and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response: HttpResponseBase = HttpResponse(status=204)
            response["Access-Control-Max-Age"] = "600"
        else:
            response = super().dispatch(request, *args, **kwargs)
        if is_known:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Allow-Methods"] = CORS_METHODS
            response["Access-Control-Allow-Headers"] = CORS_HEADERS
            response["Access-Control-Expose-Headers"] = CORS_EXPOSED
        if settings.RIS_DICOMWEB_ORIGINS:
            patch_vary_headers(response, ["Origin"])
        return response

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Malformed):
            log.error("instance_unreadable", path=self.request.path, error=str(exc))
            exc = Unreadable(_("This object cannot be read as it is stored."), found=str(exc))
        if isinstance(exc, BrokenMultipart):
            exc = BadRequest(_("The request's body is no multipart message."), found=str(exc))
        return super().handle_exception(exc)

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Retrieve Capabilities (PS3.18 8.9)."""
        base = Addresses.of(request).base
        if self.chosen(*CAPABILITIES).name == capabilities.WADL:
            return self.whole(capabilities.as_wadl(base), capabilities.WADL)
        return Response(capabilities.as_json(base))

    # --- what is asked

    @property
    def target(self) -> Target:
        study, series, instance = (str(self.kwargs.get(name, "")) for name in ("study", "series", "instance"))
        return Target(study_of_launch(self.request, study), series, instance)

    @property
    def accepted(self) -> list[MediaType]:
        """The ``accept`` parameter, for clients that cannot set headers, else the header (PS3.18 8.3.3.1)."""
        text = self.request.query_params.get("accept") or self.request.headers.get("Accept", "")
        return parse_media_types(text) or [MediaType("*/*")]

    def chosen(self, *offers: Offer) -> Offer:
        return choose(self.accepted, offers)

    # --- what is answered

    def note_retrieval(self, study: ImagingStudy, what: str, count: int) -> None:
        """One audit row for one request."""
        target = self.target
        named = {key: value for key, value in (("series", target.series), ("instance", target.instance)) if value}
        record_read(self.actor, VIEW_STUDY, entity=study, detail={"retrieved": what, "instances": count, **named})

    def not_modified(self, rows: Iterable[ImagingInstance], *form: object) -> tuple[str, HttpResponse | None]:
        """The ETag of these objects in this form, and 304 when the caller has them."""
        digest = hashlib.sha256(repr((self.request.get_host(), *form)).encode())
        for row in rows:
            digest.update(f"{row.pk}:{row.fingerprint}".encode())
        etag = f'"{digest.hexdigest()[:32]}"'
        if etag in parse_etags(self.request.headers.get("If-None-Match", "")):
            return etag, _with_validator(HttpResponse(status=304), etag)
        return etag, None

    def models(self, models: Iterable[Model], offer: Offer, *, etag: str = "") -> HttpResponseBase:
        """Data sets as one JSON array, or as parts of XML, one after the other."""
        if offer.name == DICOM_XML:
            parts = (({"Content-Type": DICOM_XML}, [native_model(model)]) for model in models)
            return self.multipart(parts, DICOM_XML, etag=etag)
        return self.stream(_json_array(models), DICOM_JSON, etag=etag, compresses=True)

    def multipart(self, parts: Iterable[Any], type_: str, *, etag: str = "") -> HttpResponseBase:
        boundary = new_boundary()
        return self.stream(written(parts, boundary), f'{MULTIPART}; type="{type_}"; boundary={boundary}', etag=etag)

    def stream(
        self, pieces: Iterable[bytes], content_type: str, *, etag: str = "", compresses: bool = False
    ) -> HttpResponseBase:
        """The first piece is made before anything is sent, so that what fails at once is a refusal in words."""
        source = iter(pieces)
        content: Iterator[bytes] = chain([next(source, b"")], source)
        gzips = compresses and "gzip" in self.request.headers.get("Accept-Encoding", "")
        response = StreamingHttpResponse(
            _told(_gzipped(content) if gzips else content, self.request.path), content_type=content_type
        )
        if gzips:
            response["Content-Encoding"] = "gzip"
        patch_vary_headers(response, ["Accept", "Accept-Encoding"] if compresses else ["Accept"])
        return _with_validator(response, etag)

    def warn(self, response: HttpResponseBase, warnings: Iterable[str]) -> None:
        """Warning headers (PS3.18 8.3.4.4) with words that fit into a header."""
        told = [f'299 {self.request.get_host()} "{_header_safe(words)}"' for words in warnings]
        if told:
            response["Warning"] = ", ".join(told)

    def whole(self, content: bytes, content_type: str, *, etag: str = "") -> HttpResponseBase:
        response = HttpResponse(content, content_type=content_type)
        patch_vary_headers(response, ["Accept"])
        return _with_validator(response, etag)


def _header_safe(words: str) -> str:
    plain = "".join(letter if letter.isprintable() and letter not in '"\\' else " " for letter in words)
    return plain[:500].encode("ascii", "replace").decode("ascii")


def _with_validator(response: Any, etag: str) -> Any:
    response["Cache-Control"] = "private, no-cache"
    if etag:
        response["ETag"] = etag
    return response


def _json_array(models: Iterable[Model]) -> Iterator[bytes]:
    mark = b"["
    for model in models:
        yield mark + orjson.dumps(model)
        mark = b","
    yield b"[]" if mark == b"[" else b"]"


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(3, zlib.DEFLATED, 31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def _told(pieces: Iterable[bytes], path: str) -> Iterator[bytes]:
    """A stream that breaks is cut off, so that its reader knows; the log says why."""
    try:
        yield from pieces
    except GeneratorExit:
        raise
    except Exception as error:
        log.error("stream_broken", path=path, error=type(error).__name__)
        raise
