"""The Actor of a request: who asks, through which door, from where, and how far their credential reaches."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import NotAuthenticated

from ris.accounts.tokens import SMART_CONTEXTS
from ris.core.actor import Actor
from ris.core.permissions import named_scopes, permissions
from ris.tenants.middleware import address_of

DOORS = (
    ("/admin/", "admin"),
    ("/api/", "api"),
    ("/fhir/", "fhir"),
    ("/dicomweb/", "dicomweb"),
    ("/gateway/", "dicomweb"),
)


def door_of(request: Any) -> str:
    return next((door for prefix, door in DOORS if request.path.startswith(prefix)), "web")


def expand_scopes(scopes: list[str] | None) -> frozenset[str] | None:
    """Codes that the patterns of a credential stand for; ``*`` alone, or None, is all that the user holds.

    Scopes of SMART stand beside them as they are: the FHIR server looks at them once more, per resource.
    """
    if scopes is None or "*" in scopes:
        return None
    codes = {code for code in permissions() if any(fnmatchcase(code, pattern) for pattern in scopes)}
    codes |= {code for name, several in named_scopes().items() if name in scopes for code in several}
    return frozenset({*codes, *(scope for scope in scopes if scope.startswith(SMART_CONTEXTS))})


def stranger(request: Any, username: str = "") -> Actor:
    """For audit rows about somebody who is not signed in; it may nothing, and no service is called with it."""
    return Actor(door_of(request), None, ae_title=username[:16], address=address_of(request)[:64], scopes=frozenset())


def actor_of(request: HttpRequest | Any) -> Actor:
    """The actor of a signed-in request; raises NotAuthenticated (401) without one, for nobody is not the system."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        raise NotAuthenticated()
    credential = getattr(request, "auth", None)
    scopes = None
    if credential is not None:
        scopes = expand_scopes(list(credential.scopes) if credential.scopes is not None else None)
    session = getattr(request, "session", None)
    session_key = (session.session_key or "") if session is not None and credential is None else ""
    return Actor(
        door_of(request),
        user,
        address=address_of(request)[:64],
        scopes=scopes,
        session_key=session_key,
        credential=credential,
    )
