"""Signed values that are worth nothing in another facility: the schema is part of every salt."""

from __future__ import annotations

from typing import Any

from django.core import signing

from ris.tenants.context import require_schema

BadSignature = signing.BadSignature
SignatureExpired = signing.SignatureExpired


def facility_salt(salt: str) -> str:
    """The salt, bound to the facility. Raises NoFacility in `public`."""
    return f"ris:{require_schema()}:{salt}"


def dumps(value: Any, *, salt: str) -> str:
    """A URL-safe signed copy of a JSON value, with the time of signing."""
    return signing.dumps(value, salt=facility_salt(salt), compress=True)


def loads(token: str, *, salt: str, max_age: float | None = None) -> Any:
    """The value again. BadSignature for a forged or another facility's token, SignatureExpired for an old one."""
    return signing.loads(token, salt=facility_salt(salt), max_age=max_age)
