"""The OpenAPI document as it is served: made once per process and language, for it takes seconds to make."""

from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

from ris.core.api import tags_match

_made: dict[tuple[str, str], tuple[bytes, str]] = {}


class DocumentView(SpectacularAPIView):
    """JSON or YAML (``?format=json``), with an ETag; the same for everybody."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        renderer = request.accepted_renderer
        key = (str(renderer.format), get_language() or "")
        if key not in _made:
            answer = self._get_schema_response(request)
            content = renderer.render(answer.data, renderer.media_type, {"response": answer})
            _made[key] = (content, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
        content, etag = _made[key]
        if tags_match(request.headers.get("If-None-Match", ""), etag):
            response = HttpResponse(status=304)
        else:
            response = HttpResponse(content, content_type=renderer.media_type)
            response["Content-Disposition"] = f'inline; filename="picha.{renderer.format}"'
        response["ETag"], response["Cache-Control"] = etag, "public, max-age=300"
        patch_vary_headers(response, ("Accept", "Accept-Language"))
        return response
