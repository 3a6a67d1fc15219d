"""The server's own resources, asked for from inside: by subscriptions, by what is pushed, by what was just written."""

from __future__ import annotations

from collections.abc import Sequence

from interop.fhir.server.call import VERSIONS, Call, Resource
from interop.fhir.server.registry import ResourceType, type_of
from interop.fhir.server.represent import whole
from interop.fhir.server.rights import may
from interop.fhir.server.search import filtered, understood
from interop.fhir.server.wire import Form, content_of
from ris.core.actor import Actor
from ris.core.errors import NotKnown
from ris.notifications.words import absolute


def base_of(release: str) -> str:
    """Our own address for somebody outside."""
    return absolute(f"/fhir/{release}")


def _kind(name: str) -> ResourceType:
    kind = type_of(name)
    if kind is None:
        raise NotKnown(f"There is no resource type {name} here.")
    return kind


def _call(release: str, name: str, actor: Actor, base: str = "", params: Sequence[tuple[str, str]] = ()) -> Call:
    return Call(VERSIONS[release], actor, "GET", (name,), base or base_of(release), params)


def may_see(release: str, name: str, *, actor: Actor) -> bool:
    """Whether this actor may see resources of this type at all."""
    return may(_call(release, name, actor), _kind(name))


def exists(release: str, name: str, params: Sequence[tuple[str, str]], *, actor: Actor) -> bool:
    """Whether a search would find something for this actor. Raises Refused for parameters that are none."""
    kind, call = _kind(name), _call(release, name, actor, params=params)
    if not may(call, kind):
        return False
    return any(rows is not None and rows.exists() for rows in filtered(understood(kind, call), call))


def find(release: str, name: str, key: str, *, actor: Actor, base: str = "") -> Resource | None:
    """The resource as this actor sees it; None where there is none for them. Not recorded as a read."""
    kind, call = _kind(name), _call(release, name, actor, base)
    found = kind.find(actor, key) if may(call, kind) else None
    return whole(kind, *found, call.version) if found is not None else None


def body_in(release: str, resource: Resource, mime: str) -> bytes:
    return content_of(resource, Form(mime), VERSIONS[release])
