"""Which facility the running thread works for. Without one, everything that belongs to a facility is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

from django.db import connection
from django.utils import timezone, translation
from django_tenants.utils import get_public_schema_name

from ris.core.errors import DomainError
from ris.tenants.models import Facility

REMEMBERED_FOR = 10.0  # seconds; how long a process may act on a facility's row as it was

_known: dict[str, tuple[float, Facility]] = {}
_at_host: dict[str, tuple[float, Facility]] = {}


class NoFacility(DomainError):
    """Something that belongs to a facility was asked for where no facility is known."""

    code = "no_facility"
    http_status = 404


def current_schema() -> str:
    """The schema the thread's connection points at; ``public`` when no facility is chosen."""
    return connection.schema_name


def require_schema() -> str:
    schema = connection.schema_name
    if schema == get_public_schema_name():
        raise NoFacility("No facility is chosen here, and there is no default one.")
    return schema


def require_facility() -> Facility:
    """The facility that the thread works for. Raises NoFacility in `public`."""
    schema = require_schema()
    tenant = connection.tenant
    if isinstance(tenant, Facility):
        return tenant
    return _facility_of(schema)


def active_schemas() -> list[str]:
    """The schemas of all active facilities, for whoever walks through them all."""
    return list(Facility.objects.filter(is_active=True).values_list("schema_name", flat=True))


def forget_facilities() -> None:
    """Drop what this process remembers of facilities' rows (after a change, and between tests)."""
    _known.clear()
    _at_host.clear()


def remember_host(host: str, facility: Facility) -> None:
    """The next seconds nobody has to ask whose host name it is. Only names that are known, so that they are few."""
    _at_host[host] = (time.monotonic() + REMEMBERED_FOR, facility)


def remembered_at(host: str) -> Facility | None:
    """A copy, since forms write into what they show."""
    until, facility = _at_host.get(host, (0.0, None))
    return copy(facility) if until > time.monotonic() else None


def _facility_of(schema: str) -> Facility:
    remembered = _known.get(schema)
    now = time.monotonic()
    if remembered and remembered[0] > now:
        return remembered[1]
    facility = Facility.objects.filter(schema_name=schema, is_active=True).first()
    if facility is None:
        raise NoFacility(f"There is no active facility {schema!r}.")
    _known[schema] = (now + REMEMBERED_FOR, facility)
    return facility


@contextmanager
def use_facility(facility: Facility | str) -> Iterator[Facility]:
    """Work for this facility: its schema, its time zone, its language; afterwards all is as it was before."""
    chosen = _facility_of(facility) if isinstance(facility, str) else facility
    before = connection.tenant
    connection.set_tenant(chosen)
    try:
        with timezone.override(chosen.zone), translation.override(chosen.language):
            yield chosen
    finally:
        connection.set_tenant(before)
