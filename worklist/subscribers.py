"""What happens below is followed here in the same commit: a scanner never sees what is no longer so."""

from __future__ import annotations

from datetime import datetime

from orders.events import (
    OrderChanged,
    PatientsMerged,
    PatientsUnmerged,
    PatientUpdated,
    ProcedureChanged,
    ProcedureStatusChanged,
)
from orders.models import ProcedureStatus, RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM
from ris.accounts.models import Role, User
from ris.core import text
from ris.core.actor import SYSTEM
from ris.core.permissions import CLERK, RADIOLOGIST, TECHNOLOGIST
from ris.events.bus import subscribe
from ris.events.dispatcher import register_work
from ris.notifications.services import notify_all
from worklist.events import (
    AdverseEventRecorded,
    AppointmentBooked,
    AppointmentCancelled,
    ExceptionRaised,
    PatientArrived,
    SlotFreed,
    SlotOffered,
    StudyCompleted,
)
from worklist.models import (
    ExceptionItem,
    ExceptionKind,
    ImagingStudy,
    OfferStatus,
    Reservation,
    Room,
    Severity,
    SlotOffer,
    WaitingEntry,
)
from worklist.services import rendering
from worklist.services.booking import release_procedure
from worklist.services.completeness import claim_studies, note_images_complete
from worklist.services.discontinued import ALARMING
from worklist.services.reconciliation_auto import LINKS_ITSELF, link_if_certain
from worklist.services.rejection_notes import hide_what_was_rejected_before
from worklist.services.reminders import cancel_reminders, claim_reminders, plan_reminder, send_reminder
from worklist.services.waiting import claim_offers, close_waiting, expire_offer, note_appointment_lost, offer_slot

ALARMS = (
    ExceptionKind.BLOCKED_STARTED,
    ExceptionKind.PATIENT_DIFFERS,
    ExceptionKind.STEP_PATIENT_DIFFERS,
    ExceptionKind.READ_ON_OTHERS,
    ExceptionKind.LATE_REQUEST,
)

#: An exam that has begun, or will not be done, needs no other time.
ENDS_WAITING = (CLOSED_WITHOUT_EXAM - {ProcedureStatus.NO_SHOW}) | {
    ProcedureStatus.ARRIVED,
    ProcedureStatus.IN_PROGRESS,
}

#: Waits for a person again; what it had in the schedule is given back.
PUT_BACK = (ProcedureStatus.VETTING, ProcedureStatus.ON_HOLD)


@subscribe(PatientUpdated, name="worklist.render_patient", in_transaction=True)
def render_patient(event: PatientUpdated) -> None:
    rendering.refresh_patients([event.subject], SYSTEM, "Patient changed")


@subscribe(PatientsMerged, name="worklist.render_merged", in_transaction=True)
def render_merged(event: PatientsMerged) -> None:
    rendering.refresh_patients([event.subject, event.loser], SYSTEM, "Patients merged")


@subscribe(PatientsUnmerged, name="worklist.render_unmerged", in_transaction=True)
def render_unmerged(event: PatientsUnmerged) -> None:
    rendering.refresh_patients([event.subject, event.loser], SYSTEM, "Patients unmerged")


@subscribe(OrderChanged, name="worklist.render_order", in_transaction=True)
def render_order(event: OrderChanged) -> None:
    rendering.refresh_steps(SYSTEM, "Order changed", procedure__order__uuid=event.subject)


@subscribe(ProcedureChanged, name="worklist.render_procedure", in_transaction=True)
def render_procedure(event: ProcedureChanged) -> None:
    rendering.refresh_steps(SYSTEM, "Procedure changed", procedure__uuid=event.subject)


@subscribe(ProcedureStatusChanged, name="worklist.follow_procedure", in_transaction=True)
def follow_procedure(event: ProcedureStatusChanged) -> None:
    """Called off or put back: the steps leave the worklist, the time is free. Otherwise the items say what is so."""
    is_put_back = event.status in PUT_BACK and event.previous in (ProcedureStatus.SCHEDULED, ProcedureStatus.ARRIVED)
    if event.status in CLOSED_WITHOUT_EXAM or is_put_back:
        procedure = RequestedProcedure.objects.select_related("order__patient").get(uuid=event.subject)
        release_procedure(procedure, SYSTEM, f"Exam {event.status}")
        return
    rendering.refresh_steps(SYSTEM, "Procedure moved", procedure__uuid=event.subject)


@subscribe(AppointmentBooked, name="worklist.plan_reminder", in_transaction=True)
def remind_of(event: AppointmentBooked) -> None:
    appointment = Reservation.objects.select_related("procedure__order__patient").get(uuid=event.subject)
    plan_reminder(appointment, actor=SYSTEM)


@subscribe(AppointmentCancelled, name="worklist.cancel_reminder", in_transaction=True)
def forget_reminder(event: AppointmentCancelled) -> None:
    cancel_reminders(Reservation.objects.get(uuid=event.subject), actor=SYSTEM, reason="Appointment cancelled")


@subscribe(PatientArrived, name="worklist.arrived_unreminded", in_transaction=True)
def no_reminder_after_arrival(event: PatientArrived) -> None:
    for appointment in Reservation.objects.filter(procedure__uuid=event.subject, status="arrived"):
        cancel_reminders(appointment, actor=SYSTEM, reason="The patient is here")


@subscribe(AppointmentBooked, name="worklist.stop_waiting", in_transaction=True)
def stop_waiting(event: AppointmentBooked) -> None:
    """Who has a time waits no more, unless for an earlier one."""
    procedure = RequestedProcedure.objects.get(uuid=event.procedure)
    close_waiting(procedure, is_booked=True, actor=SYSTEM)


@subscribe(ProcedureStatusChanged, name="worklist.leave_waiting_list", in_transaction=True)
def leave_waiting_list(event: ProcedureStatusChanged) -> None:
    if event.status not in ENDS_WAITING:
        return
    for entry in WaitingEntry.objects.open().filter(procedure__uuid=event.subject).select_related("procedure"):
        close_waiting(entry.procedure, is_booked=False, actor=SYSTEM)


@subscribe(AppointmentCancelled, name="worklist.wait_again", in_transaction=True)
def wait_again(event: AppointmentCancelled) -> None:
    """Who waited for an earlier time has none now."""
    if event.procedure:
        note_appointment_lost(RequestedProcedure.objects.get(uuid=event.procedure), actor=SYSTEM)


@subscribe(SlotFreed, name="worklist.offer_slot")
def offer_freed_slot(event: SlotFreed) -> None:
    """After the commit, so that whoever gave the time back does not wait for who may have it."""
    room = Room.objects.prefetch_related("stations").get(uuid=event.room)
    offer_slot(
        room,
        starts_at=datetime.fromisoformat(event.starts_at),
        ends_at=datetime.fromisoformat(event.ends_at),
        actor=SYSTEM,
    )


@subscribe(SlotOffered, name="worklist.tell_desk")
def tell_desk(event: SlotOffered) -> None:
    """Somebody must call who is next."""
    offer = SlotOffer.objects.filter(uuid=event.subject, status=OfferStatus.OPEN).first()
    if offer is None:
        return
    notify_all(
        User.objects.filter(is_active=True, is_service=False, roles__name=CLERK).distinct().order_by("pk"),
        template="worklist.slot_offered",
        url="/schedule/waiting/",
        subject=str(offer.uuid),
        context={"accession_number": event.accession_number, "until": text.clock(offer.expires_at)},
        dedupe_key=f"worklist.slot_offered:{offer.uuid}",
    )


@subscribe(ExceptionRaised, name="worklist.alarm")
def alarm(event: ExceptionRaised) -> None:
    """What may harm a patient is told to who can act; everything else waits on the exceptions page."""
    if event.kind not in (*ALARMS, ExceptionKind.DISCONTINUED):
        return
    item = ExceptionItem.objects.filter(uuid=event.subject, resolved_at__isnull=True).first()
    if item is None or (event.kind not in ALARMS and item.detail.get("code") not in ALARMING):
        return
    roles = Role.objects.filter(name__in=(TECHNOLOGIST, RADIOLOGIST))
    notify_all(
        User.objects.filter(is_active=True, is_service=False, roles__in=roles).distinct().order_by("pk"),
        template="worklist.exam_alarm",
        url=f"/exceptions/{item.uuid}/",
        subject=str(item.uuid),
        context={"kind": event.kind, "accession_number": event.accession_number},
        dedupe_key=f"worklist.alarm:{item.uuid}",
    )


@subscribe(ExceptionRaised, name="worklist.reconcile")
def reconcile(event: ExceptionRaised) -> None:
    """After the commit, so that no scanner waits for it: who could it be? One clear match links itself."""
    if event.kind in LINKS_ITSELF:
        link_if_certain(ExceptionItem.objects.get(uuid=event.subject), actor=SYSTEM)


@subscribe(AdverseEventRecorded, name="worklist.tell_radiologists")
def tell_radiologists(event: AdverseEventRecorded) -> None:
    """A reaction that is worse than mild is told to radiologists at once."""
    if event.severity == Severity.MILD:
        return
    notify_all(
        User.objects.filter(is_active=True, is_service=False, roles__name=RADIOLOGIST).distinct().order_by("pk"),
        template="worklist.adverse_event",
        url=f"/console/{event.procedure}/",
        subject=event.subject,
        context={"severity": event.severity, "accession_number": event.accession_number},
        dedupe_key=f"worklist.adverse_event:{event.subject}",
    )


register_work("worklist.images", claim=claim_studies, run=note_images_complete)
register_work("worklist.offers", claim=claim_offers, run=expire_offer)
register_work("worklist.reminders", claim=claim_reminders, run=send_reminder)


@subscribe(StudyCompleted, name="worklist.hide_rejected", in_transaction=True)
def hide_rejected(event: StudyCompleted) -> None:
    hide_what_was_rejected_before(ImagingStudy.objects.get(uuid=event.subject), actor=SYSTEM)
