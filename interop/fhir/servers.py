"""FHIR servers that reports, studies and orders are put on: kept, asked, their queue, and how they know us."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
from django.core.cache import cache
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.models import FhirServer, Hl7Destination
from ris.accounts.encryption import decrypt, encrypt
from ris.accounts.outbound import OutsideFailed, client, keeps_secret
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData

TYPE = "DiagnosticReport"
#: What a server may be sent. Reports go where a delivery rule says; the others whenever they change.
TYPES = (TYPE, "ImagingStudy", "ServiceRequest", "Patient")
JSON = "application/fhir+json"
RELEASES = ("r4", "r5")
KEPT_SHORTER_BY, KEPT_AT_MOST = 30, timedelta(minutes=55).total_seconds()  # seconds


def fhir_servers(*, actor: Actor) -> QuerySet[FhirServer]:
    found = FhirServer.objects.select_related("queue").order_by("queue__name")
    return found if actor.may(perms.VIEW_INTERFACES) else found.none()


@service(perms.MANAGE_INTERFACES, action=Action.UPDATE)
def save_fhir_server(
    *,
    name: str,
    base_url: str,
    release: str = "r4",
    resources: Sequence[str] = (TYPE,),
    token: str = "",
    token_url: str = "",
    client_id: str = "",
    client_secret: str = "",
    scope: str = "",
    is_active: bool = True,
    actor: Actor,
) -> FhirServer:
    """Make a server, or bring the one of this name to what is asked; an empty token or secret leaves the one there is.

    Its messages wait in a queue of its own, which is paused and resumed like any other.
    """
    url = _address(base_url.strip().rstrip("/"))
    errors: dict[str, Any] = {}
    if url is None:
        errors["base_url"] = _("An address like https://fhir.example.org/r4.")
    if release not in RELEASES:
        errors["release"] = _("One of: %(values)s.") % {"values": ", ".join(RELEASES)}
    if not resources or set(resources) - set(TYPES):
        errors["resources"] = _("One of: %(values)s.") % {"values": ", ".join(TYPES)}
    if token_url and (_address(token_url.strip()) is None or not client_id.strip()):
        errors["token_url"] = _("An address like https://auth.example.org/token, with a client id.")
    if errors or url is None:
        raise InvalidData(_("The server cannot be kept."), errors=errors)
    queue = Hl7Destination.objects.filter(name=name).first() or Hl7Destination(name=name)
    server = FhirServer.objects.filter(queue=queue).first() if queue.pk is not None else FhirServer()
    if server is None:
        raise AlreadyExists(_("An HL7 destination has this name."), errors={"name": _("Taken.")})
    _check_secrets(server, str(url), token_url.strip(), token.strip(), client_secret.strip())
    queue.host, queue.port = url.host, url.port or (443 if url.scheme == "https" else 80)
    queue.uses_tls, queue.is_active = url.scheme == "https", is_active
    queue.messages = [one for one in TYPES if one in resources]
    queue.save_as(actor, "FHIR server kept")
    server.queue, server.base_url, server.release = queue, str(url), release
    server.token = token.strip() or server.token
    server.token_url, server.client_id, server.scope = token_url.strip(), client_id.strip(), scope.strip()
    server.client_secret = client_secret.strip() or server.client_secret
    server.save_as(actor, "FHIR server kept")
    return server


def _check_secrets(server: FhirServer, base_url: str, token_url: str, token: str, secret: str) -> None:
    """What was entered for one address is not sent to another unasked."""
    words = _("The address has changed: enter it again for the new one.")
    errors = {}
    if server.token and not token and not keeps_secret(server.base_url, base_url):
        errors["token"] = words
    if server.client_secret and not secret and token_url and not keeps_secret(server.token_url, token_url):
        errors["client_secret"] = words
    if errors:
        raise InvalidData(_("The server cannot be kept."), errors=errors)


def change_fhir_server(server: FhirServer, *, actor: Actor, **fields: Any) -> FhirServer:
    """Some of its fields; the others stay, the name always."""
    queue = server.queue
    known = {
        "base_url": server.base_url,
        "release": server.release,
        "resources": queue.messages,
        "token_url": server.token_url,
        "client_id": server.client_id,
        "scope": server.scope,
        "is_active": queue.is_active,
    }
    return save_fhir_server(**{**known, **fields, "name": queue.name}, actor=actor)


def _address(text: str) -> httpx.URL | None:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    is_one = url.scheme in ("https", "http") and url.host and not url.query and not url.userinfo
    return url if is_one else None


def names() -> list[str]:
    found = FhirServer.objects.filter(queue__is_active=True, queue__messages__contains=[TYPE]).order_by("queue__name")
    return list(found.values_list("queue__name", flat=True))


# --- how it knows us


def headers_of(server: FhirServer) -> dict[str, str]:
    """With the token that we were given, or one that the server's own authority gives us now (RFC 6749 4.4).

    Raises OutsideFailed, HostNotAllowed. Asks the network: not inside a transaction.
    """
    found = {"Accept": JSON}
    token = _token_of(server) if server.token_url else server.token
    if token:
        found["Authorization"] = f"Bearer {token}"
    return found


def _key(server: FhirServer) -> str:
    return f"fhir:token:{server.pk}:{server.version}"


def forget_token(server: FhirServer) -> None:
    """The server did not take it: the next try asks for a new one."""
    cache.delete(_key(server))


def _token_of(server: FhirServer) -> str:
    kept = cache.get(_key(server))
    if kept:
        return decrypt(kept)
    form = {"grant_type": "client_credentials", **({"scope": server.scope} if server.scope else {})}
    try:
        with client() as session:
            answer = session.post(server.token_url, data=form, auth=(server.client_id, server.client_secret))
        told = answer.json() if answer.is_success else {}
    except (httpx.HTTPError, ValueError):
        raise OutsideFailed(_("The authority of %(name)s does not answer.") % {"name": server.queue.name}) from None
    token = told.get("access_token") if isinstance(told, dict) else None
    if not isinstance(token, str) or not token:
        words = _("The authority of %(name)s gives us no token (%(status)d).")
        raise OutsideFailed(words % {"name": server.queue.name, "status": answer.status_code})
    seconds = told.get("expires_in")
    life = min(float(seconds), KEPT_AT_MOST) if isinstance(seconds, (int, float)) else 60.0
    if life > KEPT_SHORTER_BY:
        cache.set(_key(server), encrypt(token), life - KEPT_SHORTER_BY)
    return token


def probe(name: str) -> str:
    """Ask a server what it can do. Raises OutsideFailed, HostNotAllowed."""
    server = FhirServer.objects.select_related("queue").filter(queue__name=name).first()
    if server is None:
        raise InvalidData(_("There is no FHIR server of this name."), errors={"destination": _("Unknown.")})
    headers, started = headers_of(server), time.monotonic()
    try:
        with client() as session:
            answer = session.get(f"{server.base_url}/metadata", headers=headers)
    except httpx.HTTPError:
        raise OutsideFailed(_("The server %(name)s does not answer.") % {"name": name}) from None
    if answer.status_code != httpx.codes.OK:
        words = _("The server %(name)s answered %(status)d.") % {"name": name, "status": answer.status_code}
        raise OutsideFailed(words)
    release = _release_of(answer)
    if not release:
        return _("The server %(name)s answers.") % {"name": name}
    milliseconds = int((time.monotonic() - started) * 1000)
    words = _("The server %(name)s answers in %(ms)d ms and speaks FHIR %(release)s.")
    return words % {"name": name, "ms": milliseconds, "release": release}


def _release_of(answer: httpx.Response) -> str:
    """What it says of itself, if it says so in JSON."""
    try:
        told = answer.json()
    except ValueError:
        return ""
    return str(told.get("fhirVersion", ""))[:20] if isinstance(told, dict) else ""


@service(perms.MANAGE_INTERFACES, action=Action.EXECUTE)
def ask_fhir_server(server: FhirServer, *, actor: Actor) -> str:
    """The button: whether it answers, in words."""
    return probe(server.queue.name)
