"""The audit trail in the standard's words: FHIR R4 AuditEvent (DICOM PS3.15 A.5, IHE ATNA), one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from ris.audit.models import AuditEvent

DCM = "http://dicom.nema.org/resources/ontology/DCM"
TYPES = "http://terminology.hl7.org/CodeSystem/audit-event-type"
ENTITY_TYPES = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ENTITY_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
#: PS3.16 CID 400, by the beginning of our event's name
DICOM_EVENTS = (
    ("accounts.sign_in", "110114", "User Authentication"),
    ("accounts.sign_out", "110114", "User Authentication"),
    ("accounts.unlock_session", "110114", "User Authentication"),
    ("accounts.reauthenticate", "110114", "User Authentication"),
    ("accounts.break_glass", "110113", "Security Alert"),
    ("accounts.", "110113", "Security Alert"),
    ("audit.", "110101", "Audit Log Used"),
    ("reporting.", "110110", "Patient Record"),
    ("orders.", "110110", "Patient Record"),
)


def ndjson(events: QuerySet[AuditEvent]) -> Iterator[str]:
    """One line per row, oldest first."""
    for event in events.order_by("pk").iterator(chunk_size=2000):
        yield json.dumps(as_fhir(event), separators=(",", ":")) + "\n"


def as_fhir(event: AuditEvent) -> dict[str, Any]:
    """One row as FHIR R4 AuditEvent. Identifiers, codes and times; it holds no name of a patient, nor does the row."""
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(event.uuid),
        "type": _type_of(event),
        "subtype": [{"system": "urn:picha:service", "code": event.event_type}],
        "action": event.action,
        "recorded": _instant(event.recorded_at),
        "outcome": str(event.outcome),
        "agent": [_agent(event)],
        "source": {
            "site": connection.schema_name,
            "observer": {"display": "Picha"},
            "type": [{"system": "urn:picha:door", "code": event.source}],
        },
    }
    if event.reason:
        resource["outcomeDesc"] = event.reason
    if entities := [*_patients(event), *_objects(event)]:
        resource["entity"] = entities
    return resource


def _type_of(event: AuditEvent) -> dict[str, str]:
    for beginning, code, meaning in DICOM_EVENTS:
        if event.event_type.startswith(beginning):
            return {"system": DCM, "code": code, "display": meaning}
    return {"system": TYPES, "code": "rest", "display": "RESTful Operation"}


def _agent(event: AuditEvent) -> dict[str, Any]:
    agent: dict[str, Any] = {"requestor": True}
    if event.user:
        agent["who"] = {"identifier": {"system": "urn:picha:user", "value": str(event.user)}}
    if event.user_name or event.ae_title:
        agent["altId"] = event.user_name or event.ae_title
    if event.address:
        agent["network"] = {"address": event.address, "type": "2"}
    return agent


def _patients(event: AuditEvent) -> Iterator[dict[str, Any]]:
    seen = dict.fromkeys([*([event.patient] if event.patient else []), *event.patients])
    for patient in seen:
        yield {
            "what": {"reference": f"Patient/{patient}"},
            "type": {"system": ENTITY_TYPES, "code": "1", "display": "Person"},
            "role": {"system": ENTITY_ROLES, "code": "1", "display": "Patient"},
        }


def _objects(event: AuditEvent) -> Iterator[dict[str, Any]]:
    if not event.entity and not event.accession_number and not event.detail:
        return
    entity: dict[str, Any] = {"type": {"system": ENTITY_TYPES, "code": "2", "display": "System Object"}}
    identifier: dict[str, str] = {}
    if event.entity:
        identifier = {"system": f"urn:picha:{event.entity_type or 'object'}", "value": str(event.entity)}
    elif event.accession_number:
        identifier = {"system": "urn:picha:accession-number", "value": event.accession_number}
    if identifier:
        entity["what"] = {"identifier": identifier}
    details = {**event.detail, "accession_number": event.accession_number, "correlation_id": event.correlation_id}
    told = [{"type": key, "valueString": str(value)} for key, value in details.items() if value not in ("", None)]
    if told:
        entity["detail"] = told
    yield entity


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
