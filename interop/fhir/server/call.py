"""What is asked of the server and what it answers, free of HTTP: a bundle's entries come the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db import connection

from ris.core.actor import Actor

#: Scheme and host by which the caller reaches us
_host: ContextVar[str] = ContextVar("fhir_host", default="")

Resource = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """A release of FHIR. ``models`` is where fhir.resources keeps it: for our types R4B's are those of 4.0.1."""

    name: str
    number: str
    mime: str
    models: str

    @property
    def is_r5(self) -> bool:
        return self.name == "r5"


R4 = Version("r4", "4.0.1", "4.0", "fhir.resources.R4B")
R5 = Version("r5", "5.0.0", "5.0", "fhir.resources")
VERSIONS = {version.name: version for version in (R4, R5)}


@dataclass
class Call:
    """One interaction. ``path`` is what follows the base; ``params`` the query and, of a posted search, its form."""

    version: Version
    actor: Actor
    method: str
    path: tuple[str, ...]
    base: str
    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def param(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.params if key == name), default)

    def header(self, name: str) -> str:
        return self._headers.get(name.lower(), "").strip()

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {key.lower(): value for key, value in self.headers.items()}

    def url(self, *path: str) -> str:
        return "/".join((self.base, *path))

    def preference(self, name: str) -> str:
        """``Prefer: return=minimal, handling=strict`` (RFC 7240)."""
        for part in self.header("Prefer").replace(";", ",").split(","):
            key, _sign, value = part.strip().partition("=")
            if key.strip().lower() == name:
                return value.strip().strip('"').lower()
        return ""


@dataclass
class Answer:
    """``resource`` None: no body."""

    resource: Resource | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def reached_by(host: str) -> None:
    """``https://ris.example.org``, for the addresses inside resources; of this request only."""
    _host.set(host)


def public_address(path: str) -> str:
    """An absolute address: by the host of the request, else by the facility's own name."""
    if host := _host.get():
        return host + path
    tenant = getattr(connection, "tenant", None)
    domain = tenant.get_primary_domain() if hasattr(tenant, "get_primary_domain") else None
    return f"https://{domain.domain if domain else 'localhost'}{path}"
