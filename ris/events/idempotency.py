"""Idempotency-Key on writes: bound to principal, route and body; the second ask gets the first answer.

The record is inserted before the work and committed with it, so a repeat that comes at the same moment waits on the
unique index, and a crash leaves neither record nor effect.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from ris.core.api import problem
from ris.events.models import IdempotencyRecord

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
KEPT_HEADERS = ("Location", "ETag")


class IdempotencyMixin:
    """For DRF views: wraps the handler of a write that carries the header."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.headers.get("Idempotency-Key")
        if key and request.method in WRITES:
            name = request.method.lower()
            handler = getattr(self, name, None)
            if handler is not None:
                setattr(self, name, functools.partial(self._once, handler, key[:255]))

    def _once(
        self, handler: Callable[..., Response], key: str, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        raw = json.dumps(request.data, cls=JSONEncoder, sort_keys=True, default=str)
        body_hash = hashlib.sha256(raw.encode()).hexdigest()
        route = f"{request.method} {request.path}"[:300]
        principal = str(getattr(request.user, "uuid", "anonymous"))
        with transaction.atomic():
            record, is_new = IdempotencyRecord.objects.get_or_create(
                principal=principal, route=route, key=key, defaults={"body_hash": body_hash}
            )
            if not is_new:
                return self._repeat(request, record, body_hash)
            response = handler(request, *args, **kwargs)
            if response.status_code >= 400:
                transaction.set_rollback(True)
                return response
            record.status = response.status_code
            record.body = json.loads(json.dumps(response.data, cls=JSONEncoder))
            record.headers = {name: response[name] for name in KEPT_HEADERS if name in response.headers}
            record.save()
            return response

    @staticmethod
    def _repeat(request: Request, record: IdempotencyRecord, body_hash: str) -> Response:
        if record.body_hash != body_hash:
            return problem(
                422,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another body. Take a new key for a new request.",
                instance=request.path,
            )
        answer = Response(record.body, status=record.status, headers=record.headers)
        answer["Idempotency-Replayed"] = "true"
        return answer
