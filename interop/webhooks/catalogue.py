"""What a webhook can hear: the public name of each event, and the REST resource that its subject is."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from django.utils.translation import gettext_lazy as _

from dose import events as dose
from orders import events as orders
from reporting import events as reporting
from ris.events.bus import Event
from worklist import events as worklist

EventClass = type[Event]


@dataclass(frozen=True)
class Published:
    """``type`` is ours to keep for good; the event behind it may change its name."""

    type: str
    event: EventClass
    resource: str
    label: Any


PUBLISHED = (
    Published("patient.registered", orders.PatientRegistered, "patients", _("A patient is registered")),
    Published("patient.updated", orders.PatientUpdated, "patients", _("A patient's data have changed")),
    Published("patient.merged", orders.PatientsMerged, "patients", _("Two records are one patient now")),
    Published("patient.unmerged", orders.PatientsUnmerged, "patients", _("A merge is undone")),
    Published("order.created", orders.OrderCreated, "orders", _("An order is placed")),
    Published("order.changed", orders.OrderChanged, "orders", _("An order has changed")),
    Published("procedure.changed", orders.ProcedureChanged, "procedures", _("An exam has changed")),
    Published("procedure.status_changed", orders.ProcedureStatusChanged, "procedures", _("An exam's status has moved")),
    Published("procedure.cancelled", orders.ProcedureCancelled, "procedures", _("An exam will not be done")),
    Published("procedure.arrived", worklist.PatientArrived, "procedures", _("The patient is here")),
    Published("procedure.performed", worklist.ExamPerformed, "procedures", _("The images are taken")),
    Published("procedure.completed", worklist.ExamCompleted, "procedures", _("The technologist is done")),
    Published("procedure.discontinued", worklist.ExamDiscontinued, "procedures", _("An exam was stopped")),
    Published("appointment.booked", worklist.AppointmentBooked, "appointments", _("A time is booked or moved")),
    Published("appointment.cancelled", worklist.AppointmentCancelled, "appointments", _("A booked time is given back")),
    Published("study.matched", worklist.StudyMatched, "studies", _("Images belong to an exam")),
    Published("study.completed", worklist.StudyCompleted, "studies", _("All images are here")),
    Published("exception.raised", worklist.ExceptionRaised, "exceptions", _("A person must reconcile something")),
    Published("report.preliminary", reporting.ReportPreliminary, "reports", _("A report is preliminary")),
    Published("report.finalized", reporting.ReportFinalized, "reports", _("A report is signed")),
    Published("report.amended", reporting.ReportAmended, "reports", _("A signed report has changed")),
    Published("delivery.acknowledged", reporting.DeliveryAcknowledged, "deliveries", _("A result is acknowledged")),
    Published(
        "critical_result.raised", reporting.CriticalResultRaised, "critical-results", _("A critical result is raised")
    ),
    Published(
        "critical_result.escalated",
        reporting.CriticalResultEscalated,
        "critical-results",
        _("A critical result is told to the next person"),
    ),
    Published(
        "critical_result.acknowledged",
        reporting.CriticalResultAcknowledged,
        "critical-results",
        _("A critical result is acknowledged"),
    ),
    Published(
        "critical_result.closed", reporting.CriticalResultClosed, "critical-results", _("A critical result is closed")
    ),
    Published("follow_up.recommended", reporting.FollowUpRecommended, "follow-ups", _("A follow-up is recommended")),
    Published("follow_up.closed", reporting.FollowUpClosed, "follow-ups", _("A follow-up is done or dropped")),
    Published("invoice.issued", orders.InvoiceIssued, "invoices", _("An invoice is issued")),
    Published("payment.recorded", orders.PaymentRecorded, "payments", _("Money came or went back")),
    Published("dose_report.imported", dose.DoseReportImported, "dose-reports", _("A dose report is here")),
    Published("dose_trigger.raised", dose.DoseTriggered, "dose-triggers", _("A dose was above its trigger level")),
    Published(
        "dose_investigation.opened",
        dose.DoseInvestigationOpened,
        "dose-investigations",
        _("The median of a room was above its reference level"),
    ),
)
TYPES = {entry.type: entry for entry in PUBLISHED}
BY_EVENT = {entry.event.name: entry for entry in PUBLISHED}
#: What the test button sends
TEST = "webhook.test"


def wants(patterns: list[str], event_type: str) -> bool:
    return any(fnmatchcase(event_type, pattern) for pattern in patterns)


def unknown(patterns: list[str]) -> list[str]:
    """Those that no event will ever match."""
    return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in TYPES)]
