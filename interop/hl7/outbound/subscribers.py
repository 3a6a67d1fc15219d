"""What happened in the house becomes messages in the queue.

The event commits with what it tells of; its handler writes the messages in the transaction that marks it as heard: no
event is lost or told twice. All that concerns one order is heard under one name, and so in order per accession number.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from interop.hl7.outbound import charges, orders, patients, reports, schedule
from interop.models import OutboundStatus
from orders.events import (
    ChargeConfirmed,
    ChargesVoided,
    OrderChanged,
    OrderCreated,
    PatientIdentified,
    PatientRegistered,
    PatientsMerged,
    PatientsUnmerged,
    PatientUpdated,
    ProcedureChanged,
    ProcedureStatusChanged,
)
from orders.models import Charge, Patient, PatientMerge, RequestedProcedure
from orders.models.orders import ProcedureStatus as S
from reporting.events import DeliveryPlanned
from ris.core.actor import Actor
from ris.events.bus import Event, subscribe
from ris.events.models import OutboxEvent
from worklist.events import AppointmentBooked, AppointmentCancelled
from worklist.models import Reservation

CHANNEL = "hl7"
ORDERS, PATIENTS, SCHEDULE, CHARGES = (
    "interop.tell_orders",
    "interop.tell_patients",
    "interop.tell_siu",
    "interop.tell_dft",
)


def told_by(event: Event) -> str:
    """The application (MSH-3) whose message caused the event; empty when it came another way."""
    rows = OutboxEvent.objects.filter(name=event.name, subject=event.subject, subject_version=event.version)
    actor = rows.order_by("-pk").values_list("actor", flat=True).first() or ""
    door, _separator, name = actor.partition(":")
    return name if door == "hl7" else ""


# --- reports


@subscribe(DeliveryPlanned, name="interop.send_oru")
def send_oru(event: DeliveryPlanned) -> None:
    """One message per destination; heard again (somebody wants it sent again) it goes out once more."""
    from reporting import services as reporting
    from reporting.models import DeliveryStatus, ReportDelivery

    if event.channel != CHANNEL:
        return
    delivery = ReportDelivery.objects.select_related("report_version__report").get(uuid=event.delivery)
    if delivery.status in (DeliveryStatus.SUPERSEDED, DeliveryStatus.ACKNOWLEDGED):
        return
    destinations = reports.destinations_named(event.destination)
    actor = Actor("hl7", ae_title=(event.destination or "RIS")[:16])
    if not destinations:
        error = _("No active HL7 destination of this name takes reports.")
        reporting.mark_delivery_failed(delivery, error=error, actor=actor)
        return
    for row in [row for destination in destinations for row in reports.queue_report(delivery, destination)]:
        if row.status == OutboundStatus.PARKED:
            reporting.mark_delivery_failed(delivery, error=row.last_error, actor=actor)


# --- orders


def _exams(uuids: list[str]) -> list[RequestedProcedure]:
    """None where nobody takes orders: then nothing needs to be read."""
    if not orders.takers():
        return []
    rows = RequestedProcedure.objects.filter(uuid__in=uuids).order_by("pk")
    return list(rows.select_related("order__patient", "order__requester", "order__visit", "order__site"))


def _tell(rows: list[RequestedProcedure], what: str, event: Event) -> None:
    if rows:
        orders.tell(rows, what, except_for=told_by(event))


@subscribe(OrderCreated, name=ORDERS)
def tell_new_order(event: OrderCreated) -> None:
    _tell([row for row in _exams(event.procedures) if row.status in orders.TOLD_FROM], orders.NEW, event)


@subscribe(OrderChanged, name=ORDERS)
def tell_changed_order(event: OrderChanged) -> None:
    _tell([row for row in _exams(event.procedures) if row.status in orders.TOLD_FROM], orders.CHANGED, event)


@subscribe(ProcedureChanged, name=ORDERS)
def tell_changed_exam(event: ProcedureChanged) -> None:
    _tell([row for row in _exams([event.subject]) if row.status in orders.TOLD_FROM], orders.CHANGED, event)


@subscribe(ProcedureStatusChanged, name=ORDERS)
def tell_status(event: ProcedureStatusChanged) -> None:
    """The status of the event, whatever has become of the exam since."""
    if event.status in orders.STATES or event.status == S.ACCEPTED:
        _tell(_exams([event.subject]), S(event.status), event)


@subscribe(AppointmentBooked, name=ORDERS)
def tell_new_time(event: AppointmentBooked) -> None:
    """Brokers and archives hear of the time as of a change of the order."""
    _tell([row for row in _exams([event.procedure]) if row.status in (S.ACCEPTED, S.SCHEDULED)], orders.CHANGED, event)


# --- appointments


@subscribe(AppointmentBooked, name=SCHEDULE)
@subscribe(AppointmentCancelled, name=SCHEDULE)
def tell_siu(event: AppointmentBooked | AppointmentCancelled) -> None:
    if not schedule.takers():
        return
    rows = Reservation.objects.select_related("room", "station", "procedure__order__patient", "procedure__order__visit")
    row = rows.filter(uuid=event.subject).first()
    if row is not None:
        schedule.tell_appointment(row, event.version)


# --- patients


def _patient(uuid: str) -> Patient:
    return Patient.objects.prefetch_related("identifiers").get(uuid=uuid)


@subscribe(PatientRegistered, name=PATIENTS)
def tell_registered(event: PatientRegistered) -> None:
    if patients.takers(patients.REGISTERED):
        patients.tell_patient(_patient(event.subject), patients.REGISTERED, "new", except_for=told_by(event))


@subscribe(PatientUpdated, name=PATIENTS)
def tell_corrected(event: PatientUpdated) -> None:
    """Who is identified has another number as well, which its own event tells."""
    if not patients.takers(patients.CORRECTED):
        return
    identified = OutboxEvent.objects.filter(
        name=PatientIdentified.name, subject=event.subject, subject_version=event.version
    )
    if not identified.exists():
        cause = f"v{event.version}"
        patients.tell_patient(_patient(event.subject), patients.CORRECTED, cause, except_for=told_by(event))


@subscribe(PatientIdentified, name=PATIENTS)
def tell_identified(event: PatientIdentified) -> None:
    patient, cause = _patient(event.subject), f"v{event.version}"
    patients.tell_patient(patient, patients.IDENTIFIED, f"{cause}i", except_for=told_by(event))
    patients.tell_patient(patient, patients.CORRECTED, cause, except_for=told_by(event))


@subscribe(PatientsMerged, name=PATIENTS)
def tell_merged(event: PatientsMerged) -> None:
    merge = PatientMerge.objects.select_related("survivor", "loser").get(uuid=event.merge)
    patients.tell_merge(merge, except_for=told_by(event))


@subscribe(PatientsUnmerged, name=PATIENTS)
def tell_unmerged(event: PatientsUnmerged) -> None:
    """Both stand alone again, each with the numbers that are its own."""
    for uuid in (event.subject, event.loser):
        patients.tell_patient(_patient(uuid), patients.CORRECTED, f"v{event.version}u", except_for=told_by(event))


# --- charges


def _charges(uuids: list[str]) -> list[Charge]:
    rows = Charge.objects.filter(uuid__in=uuids).order_by("pk")
    return list(rows.select_related("procedure__order__patient", "procedure__order__requester"))


@subscribe(ChargeConfirmed, name=CHARGES)
def tell_confirmed(event: ChargeConfirmed) -> None:
    for charge in _charges([event.subject]):
        charges.tell_charge(charge)


@subscribe(ChargesVoided, name=CHARGES)
def tell_voided(event: ChargesVoided) -> None:
    for charge in _charges(event.charges):
        charges.tell_void(charge)
