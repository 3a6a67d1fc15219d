"""The credentials of a source: one encrypted text, read only when the other system is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping

from interop.models import Source


def secrets_of(source: Source) -> dict[str, str]:
    return json.loads(source.secrets) if source.secrets else {}


def sealed(secrets: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(secrets.items()))) if secrets else ""
