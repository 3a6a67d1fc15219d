"""Idempotency-Key on writes: bound to principal, route and body; the second ask gets the first answer.

The record is inserted before the work and committed with it, so a crash leaves neither record nor effect. A repeat that
comes while the first is being done is told so (409) and asks again; records are kept for seven days.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.http import HttpResponse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from ris.core.api import problem
from ris.events.models import IdempotencyRecord

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
KEPT_HEADERS = ("Location", "ETag", "Content-Disposition")
KEY_AT_MOST = 255
SECRETS = frozenset({"secret", "access_token"})
#: In the record of an answer that is no JSON: its bytes, and what they are
BYTES, KIND = "base64", "Content-Type"


class IdempotencyMixin:
    """For DRF views: wraps the handler of a write that carries the header."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.headers.get("Idempotency-Key")
        if key and len(key) > KEY_AT_MOST:
            raise ValidationError({"Idempotency-Key": [f"At most {KEY_AT_MOST} characters."]})
        if key and request.method in WRITES:
            name = request.method.lower()
            handler = getattr(self, name, None)
            if handler is not None:
                setattr(self, name, functools.partial(self._once, handler, key))

    def _once(
        self, handler: Callable[..., Any], key: str, request: Request, /, *args: Any, **kwargs: Any
    ) -> Response | HttpResponse:
        body_hash = hashlib.sha256(_bytes_of(request.data)).hexdigest()
        route = f"{request.method} {request.path}"[:300]
        principal = str(getattr(request.user, "uuid", "anonymous"))
        with transaction.atomic():
            if not _is_alone(f"{connection.schema_name}:{principal}:{route}:{key}"):
                return self._is_being_done(request)
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
            record.headers = {name: response[name] for name in KEPT_HEADERS if name in response.headers}
            if isinstance(response, Response):
                record.body = _without_secrets(json.loads(json.dumps(response.data, cls=JSONEncoder)))
            else:
                record.body = base64.b64encode(response.content).decode()
                record.headers |= {BYTES: "1", KIND: response[KIND]}
            record.save()
            return response

    @staticmethod
    def _is_being_done(request: Request) -> Response:
        answer = problem(
            409,
            "request_in_progress",
            "The same request is being done at this moment. Ask again for its answer.",
            instance=request.path,
        )
        answer["Retry-After"] = "1"
        return answer

    @staticmethod
    def _repeat(request: Request, record: IdempotencyRecord, body_hash: str) -> Response | HttpResponse:
        if record.body_hash != body_hash:
            return problem(
                422,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another body. Take a new key for a new request.",
                instance=request.path,
            )
        headers = {name: value for name, value in record.headers.items() if name != BYTES}
        answer: Response | HttpResponse
        if BYTES in record.headers:
            answer = HttpResponse(base64.b64decode(record.body), status=record.status, headers=headers)
        else:
            answer = Response(record.body, status=record.status, headers=headers)
        answer["Idempotency-Replayed"] = "true"
        return answer


def _is_alone(name: str) -> bool:
    """Take the lock of this key until the transaction ends; False when another request holds it."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])


def _without_secrets(body: Any) -> Any:
    """A secret is shown once: not even a repeat shows it again, and it is kept nowhere in the clear."""
    if isinstance(body, dict):
        return {name: None if name in SECRETS else value for name, value in body.items()}
    return body


def _bytes_of(data: Any) -> bytes:
    """The body in one spelling, files by their content."""
    plain = dict(data.lists()) if hasattr(data, "lists") else data
    return json.dumps(plain, cls=JSONEncoder, sort_keys=True, default=_spelled).encode()


def _spelled(value: Any) -> str:
    if not isinstance(value, UploadedFile):
        return str(value)
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return f"{value.name}:{digest.hexdigest()}"
