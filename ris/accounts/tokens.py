"""What a bearer token and an API key look like, and how they are kept: as a hash that begins with the facility."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

from ris.tenants.context import require_schema

TOKEN_MARK, KEY_MARK = "pct_", "pck_"
PREFIX_LENGTH = 12
SMART_CONTEXTS = ("system/", "user/", "patient/")


def digest(secret: str) -> str:
    """SHA-256 over facility and secret: 256 random bits need no slow hash, and fit no other facility."""
    return hashlib.sha256(f"{require_schema()}:{secret}".encode()).hexdigest()


def is_for_fhir(scopes: Iterable[str] | None) -> bool:
    """Whether a token holds scopes of SMART, which name resources of FHIR."""
    return any(scope.startswith(SMART_CONTEXTS) for scope in scopes or ())


def new_token() -> str:
    return TOKEN_MARK + secrets.token_urlsafe(32)


def new_key() -> tuple[str, str]:
    """The key, shown once, and its public prefix."""
    key = KEY_MARK + secrets.token_urlsafe(40)
    return key, key[:PREFIX_LENGTH]
