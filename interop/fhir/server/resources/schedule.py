"""Appointment, Schedule (a room's book), Slot (its taken times) and Task (the scheduled step of an exam)."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from interop.fhir.server.call import Resource, Version
from interop.fhir.server.params import Date, Identifier, Length, Reference, TextToken, To, Token
from interop.fhir.server.registry import Derived, ResourceType, Source, register
from interop.fhir.server.resources import free_slots
from interop.fhir.server.resources.common import (
    DCM,
    accession,
    coded,
    identifier,
    kept,
    moment,
    patient_ref,
    period,
    practitioner_ref,
    ref,
)
from interop.fhir.server.resources.orders import exam_code
from interop.fhir.server.versions import Parent, RowVersions
from ris.core.actor import Actor
from worklist.models import Reservation, ReservationKind, ReservationStatus, Room, ScheduledProcedureStep, SPSStatus
from worklist.permissions import VIEW_SCHEDULE, VIEW_STEP

STEP_ID = "urn:picha:scheduled-procedure-step"
SPS = "urn:picha:scheduled-procedure-step-status"
APPOINTMENT_STATUS = {str(status): [status] for status in ReservationStatus.values}
HORIZON = timedelta(days=365)

# --- appointments


def appointments(actor: Actor) -> QuerySet:
    return Reservation.objects.visible_to(actor).filter(kind=ReservationKind.APPOINTMENT)


def appointment(row: Reservation, version: Version) -> Resource:
    exam = row.procedure
    assert exam is not None
    code = exam_code(exam)
    is_off = row.status in (ReservationStatus.CANCELLED, ReservationStatus.NO_SHOW)
    answer = "declined" if is_off else "accepted"
    why = {"text": row.reason} if is_off and row.reason else None
    made = kept(
        status=str(row.status),
        serviceType=[{"concept": code} if version.is_r5 else code],
        basedOn=[ref("ServiceRequest", exam.uuid)],
        start=moment(row.starts_at),
        end=moment(row.ends_at),
        minutesDuration=row.duration_minutes,
        created=moment(row.created_at),
        participant=[
            {"actor": patient_ref(exam.order.patient), "required": _required(version), "status": answer},
            {"actor": ref("Location", row.room.uuid, row.room.name), "required": _required(version), "status": answer},
        ],
    )
    if version.is_r5:
        made["subject"] = patient_ref(exam.order.patient)
    if why:
        made["cancellationReason" if version.is_r5 else "cancelationReason"] = why
    return made


def _required(version: Version) -> bool | str:
    return True if version.is_r5 else "required"


def loaded_appointments(rows: QuerySet) -> QuerySet:
    return rows.select_related("room", "procedure__order__patient", "procedure__catalogue").prefetch_related(
        "procedure__order__patient__identifiers", "procedure__catalogue__codes"
    )


PATIENT_WAY = To("Patient", "procedure__order__patient")

APPOINTMENT = register(
    ResourceType(
        "Appointment",
        (VIEW_SCHEDULE,),
        (
            Source(
                Reservation,
                appointments,
                loaded_appointments,
                appointment,
                (
                    Date("date", at="starts_at", sort="starts_at", doc="When it begins."),
                    Token("status", at="status", codes=APPOINTMENT_STATUS),
                    Reference("patient", to=(PATIENT_WAY,)),
                    Reference("location", to=(To("Location", "room"),)),
                    Reference("actor", to=(PATIENT_WAY, To("Location", "room"))),
                    Reference("based-on", to=(To("ServiceRequest", "procedure"),)),
                    TextToken("accession", at="procedure__accession_number", is_private=True),
                ),
                RowVersions(Reservation),
            ),
        ),
        doc="Exams booked into a room. Requests for a time of one's own are not kept: book a free time.",
    )
)

# --- the book of a room


def rooms(actor: Actor) -> QuerySet:
    return Room.objects.all()


def schedule(row: Room, version: Version) -> Resource:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    stations = [one for one in row.stations.all() if one.is_active]
    kinds = [coded(DCM, modality) for modality in sorted({one.modality for one in stations})]
    return kept(
        active=row.is_active,
        serviceType=[{"concept": kind} for kind in kinds] if version.is_r5 else kinds,
        name=row.name if version.is_r5 else None,
        actor=[ref("Location", row.uuid, row.name)],
        planningHorizon=period(today, today + HORIZON),
    )


SCHEDULE = register(
    ResourceType(
        "Schedule",
        (VIEW_SCHEDULE,),
        (
            Source(
                Room,
                rooms,
                lambda rows: rows.prefetch_related("stations"),
                schedule,
                (
                    Token("active", at="is_active", codes={"true": [True], "false": [False]}),
                    Reference("actor", to=(To("Location", "pk"),)),
                ),
            ),
        ),
        doc="The book of a room; it has the id of the Location.",
    )
)


def taken(actor: Actor) -> QuerySet:
    """Everybody with the right sees that a time is taken; whose it is, an Appointment says to who may see it."""
    return Reservation.objects.live()


def slot_status(row: Reservation) -> str:
    if row.kind in (ReservationKind.HOLD, ReservationKind.OFFER):
        return "busy-tentative"
    return "busy-unavailable" if row.kind == ReservationKind.BLOCK else "busy"


def slot(row: Reservation, version: Version) -> Resource:
    return kept(
        schedule=ref("Schedule", row.room.uuid, row.room.name),
        status=slot_status(row),
        start=moment(row.starts_at),
        end=moment(row.ends_at),
        overbooked=True if row.is_overbooked else None,
    )


SLOT = register(
    ResourceType(
        "Slot",
        (VIEW_SCHEDULE,),
        (
            Source(
                Reservation,
                taken,
                lambda rows: rows.select_related("room", "procedure__order__patient"),
                slot,
                (
                    Reference("schedule", to=(To("Schedule", "room"),)),
                    Date("start", at="starts_at", sort="starts_at"),
                    Token(
                        "status",
                        at="kind",
                        codes={
                            "busy": [ReservationKind.APPOINTMENT],
                            "busy-unavailable": [ReservationKind.BLOCK],
                            "busy-tentative": [ReservationKind.HOLD, ReservationKind.OFFER],
                        },
                        doc="What is taken; free: the times that are worked out, see duration.",
                    ),
                    Length("duration", doc="With status=free: long enough for so many minutes."),
                ),
            ),
        ),
        doc="Times of a room: taken ones as they are kept; free ones are worked out when status=free is asked for.",
        derived=Derived(free_slots.are_asked_for, free_slots.listed, free_slots.read),
    )
)

# --- the scheduled step

TASK_STATUS = {
    SPSStatus.SCHEDULED: "ready",
    SPSStatus.ARRIVED: "ready",
    SPSStatus.READY: "ready",
    SPSStatus.STARTED: "in-progress",
    SPSStatus.DEPARTED: "in-progress",
    SPSStatus.COMPLETED: "completed",
    SPSStatus.DISCONTINUED: "failed",
    SPSStatus.CANCELED: "cancelled",
}


def task(row: ScheduledProcedureStep, version: Version) -> Resource:
    exam = row.procedure
    station = row.station
    planned = period(row.starts_at)
    made = kept(
        identifier=[identifier(STEP_ID, row.scheduled_procedure_step_id), accession(exam.accession_number)],
        basedOn=[ref("ServiceRequest", exam.uuid)],
        status=TASK_STATUS[SPSStatus(row.status)],
        businessStatus=coded(SPS, row.status, row.get_status_display()),
        intent="order",
        priority=str(exam.order.priority),
        code=coded("http://hl7.org/fhir/CodeSystem/task-code", "fulfill", "Fulfill the focal request"),
        description=row.description,
        focus=ref("ServiceRequest", exam.uuid),
        for_=patient_ref(exam.order.patient),
        executionPeriod=period(exam.started_at, exam.performed_at),
        authoredOn=moment(row.created_at),
        lastModified=moment(row.updated_at),
        location=ref("Location", station.room.uuid, station.room.name) if station else None,
    )
    if version.is_r5:
        if planned:
            made["requestedPeriod"] = planned
        performer = practitioner_ref(row.performing_physician)
        return made | kept(requestedPerformer=[{"reference": performer}] if performer else [])
    if planned:
        made["restriction"] = {"period": planned}
    return made | kept(owner=practitioner_ref(row.performing_physician))


def loaded_steps(rows: QuerySet) -> QuerySet:
    return rows.select_related("procedure__order__patient", "station__room", "performing_physician").prefetch_related(
        "procedure__order__patient__identifiers"
    )


TASK = register(
    ResourceType(
        "Task",
        (VIEW_STEP,),
        (
            Source(
                ScheduledProcedureStep,
                ScheduledProcedureStep.objects.visible_to,
                loaded_steps,
                task,
                (
                    Identifier(
                        "identifier",
                        columns={STEP_ID: "scheduled_procedure_step_id"},
                        doc="The Scheduled Procedure Step ID.",
                    ),
                    TextToken("accession", at="procedure__accession_number", is_private=True),
                    Token(
                        "status",
                        at="status",
                        codes={
                            code: [status for status, mapped in TASK_STATUS.items() if mapped == code]
                            for code in set(TASK_STATUS.values())
                        },
                    ),
                    Token("business-status", at="status", system=SPS, doc="DICOM (0040,0020)."),
                    Reference("patient", to=(PATIENT_WAY,)),
                    Reference("subject", to=(PATIENT_WAY,)),
                    Reference("based-on", to=(To("ServiceRequest", "procedure"),)),
                    Reference("focus", to=(To("ServiceRequest", "procedure"),)),
                    Date("period", at="procedure__started_at", until="procedure__performed_at"),
                    Date("planned", at="starts_at", sort="starts_at", doc="When it is scheduled for."),
                    Date("authored-on", at="created_at", sort="created_at"),
                ),
                RowVersions(ScheduledProcedureStep, Parent("procedure")),
            ),
        ),
        doc="Scheduled procedure steps: what a scanner finds on its worklist, and how far it is.",
    )
)
