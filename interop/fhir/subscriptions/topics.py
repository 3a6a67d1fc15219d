"""What may be subscribed to. A topic is a resource type; our events say which of its resources has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from orders import events as orders
from reporting import events as reporting
from ris.events.bus import Event
from worklist import events as worklist

#: Where topics are named; the same in every facility, so that a program asks for the same everywhere.
CANONICAL = "urn:picha:subscription-topic:"
Subjects = Callable[[Any], list[str]]


def _subject(event: Any) -> list[str]:
    return [str(event.subject)]


def _procedures(event: Any) -> list[str]:
    return list(event.procedures)


def _study(event: Any) -> list[str]:
    return [str(event.study)]


@dataclass(frozen=True)
class Topic:
    """``events``: which of them speak of it, and how its resources are found in them (UUIDs)."""

    key: str
    resource: str
    title: Any
    events: Mapping[type[Event], Subjects]
    filters: tuple[str, ...]

    @property
    def url(self) -> str:
        return CANONICAL + self.key


TOPICS: dict[str, Topic] = {
    topic.key: topic
    for topic in (
        Topic(
            "report",
            "DiagnosticReport",
            _("Reports signed and amended"),
            {
                reporting.ReportPreliminary: _subject,
                reporting.ReportFinalized: _subject,
                reporting.ReportAmended: _subject,
            },
            ("patient", "status", "based-on", "code"),
        ),
        Topic(
            "study",
            "ImagingStudy",
            _("Studies received, completed and changed"),
            {
                worklist.StudyMatched: _subject,
                worklist.StudyUnlinked: _subject,
                worklist.StudyCompleted: _subject,
                worklist.ImagesRejected: _subject,
                worklist.ImagesRestored: _subject,
            },
            ("patient", "status", "modality", "based-on"),
        ),
        Topic(
            "order",
            "ServiceRequest",
            _("Orders placed, changed, performed and cancelled"),
            {
                orders.OrderCreated: _procedures,
                orders.OrderChanged: _procedures,
                orders.ProcedureChanged: _subject,
                orders.ProcedureStatusChanged: _subject,
                orders.ProcedureCancelled: _subject,
            },
            ("patient", "status", "code", "priority"),
        ),
        Topic(
            "appointment",
            "Appointment",
            _("Appointments booked, moved and cancelled"),
            {worklist.AppointmentBooked: _subject, worklist.AppointmentCancelled: _subject},
            ("patient", "status", "date"),
        ),
        Topic(
            "patient",
            "Patient",
            _("Patients registered, corrected and merged"),
            {
                orders.PatientRegistered: _subject,
                orders.PatientUpdated: _subject,
                orders.PatientsMerged: _subject,
                orders.PatientsUnmerged: _subject,
            },
            ("identifier", "gender"),
        ),
    )
}
BY_RESOURCE = {topic.resource: topic for topic in TOPICS.values()}


def topic_of(canonical: str) -> Topic | None:
    """By its canonical address, with a version or without."""
    return TOPICS.get(canonical.split("|")[0].removeprefix(CANONICAL)) if canonical.startswith(CANONICAL) else None


def resource_of(topic: Topic, base: str) -> dict[str, Any]:
    """The SubscriptionTopic of R5."""
    address = f"http://hl7.org/fhir/StructureDefinition/{topic.resource}"
    return {
        "resourceType": "SubscriptionTopic",
        "id": topic.key,
        "url": topic.url,
        "version": "1",
        "title": str(topic.title),
        "status": "active",
        "description": str(topic.title),
        "resourceTrigger": [
            {
                "description": str(topic.title),
                "resource": address,
                "supportedInteraction": ["create", "update"],
            }
        ],
        "canFilterBy": [{"resource": address, "filterParameter": name, "comparator": ["eq"]} for name in topic.filters],
        "notificationShape": [{"resource": address}],
    }
