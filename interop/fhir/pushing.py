"""Studies, orders and patients on their way to FHIR servers: ``PUT {type}/{uuid}`` whenever one has changed.

A message that nobody has tried yet is brought up to date instead of being followed by another one. A study that belongs
to no exam (yet) stays here: whose it is has not been decided.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.utils import timezone

from interop.fhir.asking import find
from interop.hl7.acknowledgements import new_control_id
from interop.models import FhirServer, OutboundMessage, OutboundStatus
from orders.models import Patient
from ris.core.actor import Actor

#: What is pushed when it changes; reports go by delivery rules.
PUSHED = ("ImagingStudy", "ServiceRequest", "Patient")
ACTOR = Actor("fhir", ae_title="push")


def push(resource_type: str, uuid: str) -> int:
    """Into the queue of every server that takes this type; answers how many."""
    servers = FhirServer.objects.select_related("queue").filter(
        queue__is_active=True, queue__messages__contains=[resource_type]
    )
    found: dict[str, dict[str, Any] | None] = {}
    queued = 0
    for server in servers.order_by("pk"):
        if server.release not in found:
            found[server.release] = find(server.release, resource_type, uuid, actor=ACTOR)
        resource = found[server.release]
        if resource is not None and (resource_type != "ImagingStudy" or resource.get("basedOn")):
            _queue(server, resource)
            queued += 1
    return queued


def _queue(server: FhirServer, resource: dict[str, Any]) -> None:
    name, key = resource["resourceType"], resource["id"]
    body = json.dumps(resource, default=_plain).encode()
    waiting = OutboundMessage.objects.select_for_update(of=("self",), skip_locked=True).filter(
        destination=server.queue, subject=key, message_type=name, status=OutboundStatus.PENDING, attempts=0
    )
    row = waiting.order_by("-pk").first()
    if row is not None and (row.claimed_until is None or row.claimed_until < timezone.now()):
        row.body = body
        row.save(update_fields=["body"])
        return
    control_id, patient = new_control_id(), _patient_of(resource)
    OutboundMessage.objects.create(
        protocol="fhir",
        destination=server.queue,
        message_type=name,
        control_id=control_id,
        body=body,
        ordering_key=str(patient or key),
        patient=patient,
        accession_number=_accession(resource),
        subject=key,
        dedupe_key=f"fhir:{name}:{key}:{control_id}",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def _patient_of(resource: dict[str, Any]) -> Any:
    """The UUID of the patient that it is about, so that what is theirs goes in order."""
    reference = f"Patient/{resource['id']}" if resource["resourceType"] == "Patient" else ""
    reference = reference or str(resource.get("subject", {}).get("reference", ""))
    if not reference.startswith("Patient/"):
        return None
    return Patient.objects.filter(uuid=reference.removeprefix("Patient/")).values_list("uuid", flat=True).first()


def _accession(resource: dict[str, Any]) -> str:
    for row in resource.get("identifier", []):
        if any(code.get("code") == "ACSN" for code in row.get("type", {}).get("coding", [])):
            return str(row.get("value", ""))[:16]
    return ""
