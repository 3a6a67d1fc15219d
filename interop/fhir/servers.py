"""FHIR servers that signed reports are put on: kept, asked, and their queue."""

from __future__ import annotations

import httpx
from django.utils.translation import gettext as _

from interop import permissions as perms
from interop.models import FhirServer, Hl7Destination
from ris.accounts.outbound import OutsideFailed, client
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData

TYPE = "DiagnosticReport"
JSON = "application/fhir+json"


@service(perms.MANAGE_INTERFACES, action=Action.UPDATE)
def save_fhir_server(*, name: str, base_url: str, token: str = "", is_active: bool = True, actor: Actor) -> FhirServer:
    """Make a server, or bring the one of this name to what is asked; an empty token leaves the one there is.

    Its messages wait in a queue of its own, which is paused and resumed like any other.
    """
    url = httpx.URL(base_url.strip().rstrip("/")) if base_url.strip() else None
    if url is None or url.scheme not in ("https", "http") or not url.host or url.query or url.userinfo:
        raise InvalidData(
            _("The server cannot be kept."), errors={"base_url": _("An address like https://fhir.example.org/r4.")}
        )
    queue = Hl7Destination.objects.filter(name=name).first() or Hl7Destination(name=name)
    server = FhirServer.objects.filter(queue=queue).first() if queue.pk is not None else FhirServer()
    if server is None:
        raise AlreadyExists(_("An HL7 destination has this name."), errors={"name": _("Taken.")})
    queue.host, queue.port = url.host, url.port or (443 if url.scheme == "https" else 80)
    queue.uses_tls, queue.messages, queue.is_active = url.scheme == "https", [TYPE], is_active
    queue.save_as(actor, "FHIR server kept")
    server.queue, server.base_url = queue, str(url)
    server.token = token.strip() or server.token
    server.save_as(actor, "FHIR server kept")
    return server


def names() -> list[str]:
    found = FhirServer.objects.filter(queue__is_active=True).order_by("queue__name")
    return list(found.values_list("queue__name", flat=True))


def headers_of(server: FhirServer) -> dict[str, str]:
    found = {"Accept": JSON}
    if server.token:
        found["Authorization"] = f"Bearer {server.token}"
    return found


def probe(name: str) -> str:
    """Ask a server what it can do. Raises OutsideFailed, HostNotAllowed."""
    server = FhirServer.objects.select_related("queue").filter(queue__name=name).first()
    if server is None:
        raise InvalidData(_("There is no FHIR server of this name."), errors={"destination": _("Unknown.")})
    try:
        with client() as session:
            answer = session.get(f"{server.base_url}/metadata", headers=headers_of(server))
    except httpx.HTTPError:
        raise OutsideFailed(_("The server %(name)s does not answer.") % {"name": name}) from None
    if answer.status_code != httpx.codes.OK:
        words = _("The server %(name)s answered %(status)d.") % {"name": name, "status": answer.status_code}
        raise OutsideFailed(words)
    return _("The server %(name)s answers.") % {"name": name}
