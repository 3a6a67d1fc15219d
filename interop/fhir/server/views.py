"""The door: HTTP around the engine."""

from __future__ import annotations

import base64
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import set_rollback

from interop.fhir.server import engine, wire
from interop.fhir.server.call import VERSIONS, Answer, Call, Version, reached_by
from interop.fhir.server.errors import Refused, outcome_of
from orders.services.documents import papers_fall_with_it
from ris.accounts.actors import actor_of, stranger
from ris.accounts.api.base import FacilityViewMixin
from ris.audit.service import flush_refusals

FORM = "application/x-www-form-urlencoded"
OPEN = ("metadata",)
INERT = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AnyForm(BaseContentNegotiation):
    """The view reads bodies and writes answers itself."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class KnownCaller(BasePermission):
    """Everybody may read what this server can do; for all else the engine asks for the type's right."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return view.is_open or bool(request.user and request.user.is_authenticated)


class FhirView(FacilityViewMixin):
    """Every address under ``/fhir/r4`` and ``/fhir/r5``."""

    schema = None
    content_negotiation_class = AnyForm
    permission_classes = (KnownCaller,)
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def is_open(self) -> bool:
        return self.parts in (OPEN,) and self.request.method in ("GET", "HEAD")

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part for part in self.kwargs.get("path", "").split("/") if part)

    @property
    def release(self) -> Version:
        return VERSIONS[self.kwargs["release"]]

    @property
    def permission_code(self) -> str | None:
        return None

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Allow is what the engine says of this address, not what the view can do for any."""
        return {}

    # --- a request

    def get(self, request: Request, **kwargs: Any) -> HttpResponseBase:
        return self.answered(request)

    head = post = put = patch = delete = get

    def answered(self, request: Request) -> HttpResponseBase:
        form = self.form()
        call = self.call(request)
        if call.method in ("GET", "HEAD") or call.path[-1:] == ("_search",):
            answer = engine.answer(call)
        else:
            with papers_fall_with_it(), transaction.atomic():
                answer = engine.answer(call)
        if self.is_paper and answer.resource is not None:
            return self.paper(answer)
        return self.response(answer, form)

    @property
    def is_paper(self) -> bool:
        """A Binary that is wanted as it is, not in a form of FHIR."""
        accepted = self.request.headers.get("Accept", "")
        return self.parts[:1] == ("Binary",) and "_format" not in self.request._request.GET and "fhir" not in accepted

    def form(self) -> wire.Form:
        query = self.request._request.GET
        if self.is_paper:
            return wire.Form()
        if self.parts[-1:] == ("_search",) and self.request.method == "POST":
            query = {**query.dict(), **self.request._request.POST.dict()}
        return wire.form_of({key: query[key] for key in query}, self.request.headers.get("Accept", ""), self.release)

    def call(self, request: Request) -> Call:
        params = [(key, value) for key, values in request._request.GET.lists() for value in values]
        body: Any = None
        parts = self.parts
        if request.method == "POST" and parts[-1:] == ("_search",):
            params += self.posted(request._request)
        elif request.method in ("POST", "PUT", "PATCH") and (
            request._request.body or not (parts and parts[-1].startswith("$"))
        ):
            body = wire.body_of(request._request.body, request.headers.get("Content-Type", ""), self.release)
        actor = stranger(request._request) if self.is_open else actor_of(request)
        reached_by(request.build_absolute_uri("/").rstrip("/"))
        base = request.build_absolute_uri(f"/fhir/{self.release.name}")
        return Call(self.release, actor, request.method or "", parts, base, params, request.headers, body)

    @staticmethod
    def posted(request: HttpRequest) -> list[tuple[str, str]]:
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind and kind != FORM:
            raise Refused(415, f"A search is posted as {FORM}.")
        return [(key, value) for key, values in request.POST.lists() for value in values]

    # --- an answer

    def response(self, answer: Answer, form: wire.Form) -> HttpResponse:
        content = b""
        if answer.resource is not None:
            content = wire.content_of(answer.resource, form, self.release)
        response = HttpResponse(content, status=answer.status)
        if answer.resource is None:
            response.headers.pop("Content-Type", None)
        else:
            response["Content-Type"] = f"{form.mime}; fhirVersion={self.release.mime}; charset=utf-8"
        for name, value in answer.headers.items():
            response[name] = value
        response["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, ["Accept", "Authorization"])
        return response

    def paper(self, answer: Answer) -> HttpResponse:
        """Data: not a page of ours, not guessed at, not shown inside anything."""
        binary = answer.resource or {}
        response = HttpResponse(base64.b64decode(binary["data"]), content_type=binary["contentType"])
        for name, value in {**answer.headers, **INERT}.items():
            response[name] = value
        response["X-Security-Context"] = binary["securityContext"]["reference"]
        return response

    def handle_exception(self, exc: Exception) -> Any:
        """Every refusal is an OperationOutcome, in the form that was asked for when there is one."""
        self._note_refusal(exc)
        set_rollback()
        self._with_challenge(exc)
        status, resource, headers = outcome_of(exc)
        try:
            form = self.form()
        except Refused:
            form = wire.Form()
        response = self.response(Answer(resource, status, headers), form)
        flush_refusals()
        return response

    def _with_challenge(self, exc: Any) -> None:
        """401 says how to sign in, as DRF does in its own handler."""
        if getattr(exc, "status_code", 0) == 401:
            exc.auth_header = self.get_authenticate_header(self.request)
