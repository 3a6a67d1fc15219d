"""What goes out. R4: an empty POST, or the resource itself as ``PUT {address}/{type}/{id}``. R5: a bundle with the
SubscriptionStatus first. What the owner may not see (any more) is not told, not even that it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from interop.fhir.asking import body_in, find
from interop.fhir.subscriptions.hearing import may_hear, owner_of
from interop.fhir.subscriptions.topics import TOPICS
from interop.models import FhirNotification, FhirRelease, FhirSubscription, NotificationKind, PayloadContent

JSON = "application/fhir+json"


@dataclass
class Parcel:
    """One request to make. ``patients``: whom its content is about."""

    method: str
    url: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    patients: list[UUID] = field(default_factory=list)


def parcel_of(row: FhirSubscription, notes: Sequence[FhirNotification], base: str) -> Parcel | None:
    """None: there is nothing (any more) that this subscriber may hear."""
    parcel = _of_r4(row, notes[0], base) if row.release == FhirRelease.R4 else _of_r5(row, notes, base)
    if parcel is not None:
        extra = dict(line.split(": ", 1) for line in row.headers.splitlines())
        parcel.headers = {**extra, **parcel.headers}
    return parcel


def _of_r4(row: FhirSubscription, note: FhirNotification, base: str) -> Parcel | None:
    found = _resource(row, note, base)
    if found is None:
        return None
    if row.content != PayloadContent.FULL_RESOURCE:
        return Parcel("POST", row.endpoint)
    url = f"{row.endpoint.rstrip('/')}/{note.resource_type}/{note.resource}"
    body = body_in(row.release, found, row.content_type or JSON)
    return Parcel("PUT", url, body, _kind(row), _patients(note, found))


def _of_r5(row: FhirSubscription, notes: Sequence[FhirNotification], base: str) -> Parcel | None:
    told: list[tuple[FhirNotification, dict[str, Any]]] = []
    for note in notes:
        found = _resource(row, note, base) if note.kind == NotificationKind.EVENT else {}
        if found is not None:
            told.append((note, found))
    if not told:
        return None
    bundle = _bundle(row, told, base)
    patients = [patient for note, found in told for patient in _patients(note, found)]
    return Parcel("POST", row.endpoint, body_in(row.release, bundle, row.content_type or JSON), _kind(row), patients)


def _kind(row: FhirSubscription) -> dict[str, str]:
    return {"Content-Type": row.content_type or JSON}


def _resource(row: FhirSubscription, note: FhirNotification, base: str) -> dict[str, Any] | None:
    """As it is now, in the owner's eyes."""
    if not may_hear(row, note.resource_type):
        return None
    return find(row.release, note.resource_type, str(note.resource), actor=owner_of(row), base=base)


def _patients(note: FhirNotification, resource: dict[str, Any]) -> list[UUID]:
    if note.resource_type == "Patient" and note.resource is not None:
        return [note.resource]
    told = resource.get("subject") or next(
        (row["actor"] for row in resource.get("participant", []) if "Patient/" in str(row.get("actor"))), {}
    )
    reference = str(told.get("reference", ""))
    return [UUID(reference.rpartition("/")[2])] if reference.startswith("Patient/") else []


def status_of(
    row: FhirSubscription, kind: str, base: str, told: Sequence[tuple[FhirNotification, dict[str, Any]]] = ()
) -> dict[str, Any]:
    """The SubscriptionStatus of R5."""
    made: dict[str, Any] = {
        "resourceType": "SubscriptionStatus",
        "id": str(uuid4()),
        "status": row.status,
        "type": kind,
        "eventsSinceSubscriptionStart": row.events_since_start,
        "subscription": {"reference": f"{base}/Subscription/{row.uuid}"},
        "topic": TOPICS[row.topic].url,
    }
    events = []
    for note, _found in told:
        event: dict[str, Any] = {"eventNumber": note.number, "timestamp": note.occurred_at.isoformat()}
        if row.content != PayloadContent.EMPTY:
            event["focus"] = {"reference": f"{base}/{note.resource_type}/{note.resource}"}
        events.append(event)
    if events:
        made["notificationEvent"] = events
    if row.last_error and row.status == "error":
        made["error"] = [{"text": row.last_error}]
    return made


def _bundle(
    row: FhirSubscription, told: Sequence[tuple[FhirNotification, dict[str, Any]]], base: str
) -> dict[str, Any]:
    kind = told[0][0].kind
    events = told if kind == NotificationKind.EVENT else ()
    status = status_of(row, kind, base, events)
    entries: list[dict[str, Any]] = [{"fullUrl": f"urn:uuid:{status['id']}", "resource": status}]
    if kind == NotificationKind.EVENT and row.content == PayloadContent.FULL_RESOURCE:
        seen = set()
        for note, found in told:
            url = f"{base}/{note.resource_type}/{note.resource}"
            if url not in seen:
                seen.add(url)
                entries.append({"fullUrl": url, "resource": found})
    return {
        "resourceType": "Bundle",
        "type": "subscription-notification",
        "timestamp": timezone.now().isoformat(),
        "entry": entries,
    }
