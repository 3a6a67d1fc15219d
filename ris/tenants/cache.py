"""Cache keys begin with the facility's schema, so that no facility reads what another has cached."""

from __future__ import annotations

from django_tenants.utils import get_public_schema_name

from ris.tenants.context import NoFacility, current_schema

#: A key with this prefix belongs to no facility and says so; every other key is refused outside one.
PUBLIC_PREFIX = "public:"


def make_key(key: str, key_prefix: str, version: int | str) -> str:
    """Django's KEY_FUNCTION. Raises NoFacility for a facility's key where no facility is chosen."""
    text = str(key)
    if text.startswith(PUBLIC_PREFIX):
        return f"{key_prefix}:{version}:{text}"
    schema = current_schema()
    if schema == get_public_schema_name():
        raise NoFacility("A cached value was asked for outside of any facility.")
    return f"{schema}:{key_prefix}:{version}:{text}"


def reverse_key(full_key: str) -> str:
    """Django's REVERSE_KEY_FUNCTION: what was passed to make_key."""
    if f":{PUBLIC_PREFIX}" in full_key:
        return full_key[full_key.index(PUBLIC_PREFIX) :]
    return full_key.split(":", 3)[3]
