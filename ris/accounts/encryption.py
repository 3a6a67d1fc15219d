"""Credentials at rest: Fernet with rotating keys, each key derived anew for every facility's schema.

``RIS_ENCRYPTION_KEYS`` holds one or more secrets, newest first: the first encrypts, all decrypt. ``rotate_keys``
encrypts every stored value again under the first.
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection, models

from ris.core.errors import InvalidData


def _box(schema: str) -> MultiFernet:
    def derive(secret: str) -> Fernet:
        key = HKDF(SHA256(), 32, salt=schema.encode(), info=b"picha credentials").derive(secret.encode())
        return Fernet(base64.urlsafe_b64encode(key))

    return MultiFernet([derive(secret) for secret in settings.RIS_ENCRYPTION_KEYS])


def encrypt(plain: str, *, schema: str | None = None) -> str:
    return _box(schema or connection.schema_name).encrypt(plain.encode()).decode()


def decrypt(token: str, *, schema: str | None = None) -> str:
    try:
        return _box(schema or connection.schema_name).decrypt(token.encode()).decode()
    except InvalidToken:
        raise InvalidData(
            "A stored credential cannot be decrypted with the configured keys.",
            todo="Add the key it was stored under to RIS_ENCRYPTION_KEYS, or enter the credential again.",
        ) from None


def rotate(token: str) -> str:
    return _box(connection.schema_name).rotate(token.encode()).decode()


class EncryptedTextField(models.TextField):
    """Text that the database only ever sees encrypted; empty stays empty."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return encrypt(value) if value else value

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return decrypt(value) if value else value
