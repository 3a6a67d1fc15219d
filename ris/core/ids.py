"""Outward identifiers: UUID version 7 (RFC 9562 5.7) and DICOM UIDs derived from a UUID (PS3.5 B.2)."""

from __future__ import annotations

import os
import re
import time
import uuid
from functools import lru_cache

UID_PATTERN = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


def uuid7() -> uuid.UUID:
    """A time-ordered UUID: 48 bits of milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= (random >> 68) << 64
    value |= 0b10 << 62
    value |= random & ((1 << 62) - 1)
    return uuid.UUID(int=value)


def new_uid() -> str:
    """A DICOM UID below the 2.25 root, at most 44 characters."""
    return f"2.25.{uuid.uuid4().int}"


@lru_cache(8192)
def is_valid_uid(value: str) -> bool:
    """PS3.5 9.1: at most 64 characters, components of digits without leading zeros."""
    return len(value) <= 64 and UID_PATTERN.fullmatch(value) is not None
