"""The patient came, did not come, or came by mistake: step, procedure and reservation move together."""

from __future__ import annotations

from django.utils.translation import gettext as _

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import InvalidTransition
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import PatientArrived
from worklist.models import OFFERED, Reservation, ReservationKind, ReservationStatus, SPSStatus
from worklist.services.booking import OPEN_APPOINTMENT, tell_cancelled
from worklist.services.steps import make_step, move_steps, offer, steps_of
from worklist.services.support import lock_procedure, now
from worklist.services.tickets import issue_ticket


def open_appointment(procedure: RequestedProcedure) -> Reservation | None:
    rows = procedure.appointments.filter(kind=ReservationKind.APPOINTMENT, status__in=OPEN_APPOINTMENT)
    return rows.select_for_update().first()


def _refuse(procedure: RequestedProcedure, asked: str, todo: str) -> InvalidTransition:
    return InvalidTransition(
        _("The exam is not where that is possible."),
        asked=asked,
        found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
        todo=todo,
    )


@service(perms.ARRIVE_PATIENT)
def arrive_patient(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """The patient is here. Also without an appointment: a walk-in is offered to scanners from now on."""
    procedure = lock_procedure(procedure)
    if procedure.status not in (ProcedureStatus.SCHEDULED, ProcedureStatus.ACCEPTED):
        raise _refuse(procedure, _("To note the arrival."), _("Only a planned or accepted exam can arrive."))
    orders.mark_arrived(procedure, actor=actor)
    reservation = open_appointment(procedure)
    if reservation is not None and reservation.status == ReservationStatus.BOOKED:
        reservation.move_to(ReservationStatus.ARRIVED)
        reservation.save_as(actor, "Arrived")
    steps = steps_of(procedure, *OFFERED)
    if not steps:
        step = make_step(lock_procedure(procedure), station=None, starts_at=now())
        step.save_as(actor, "Walk-in")
        steps = [offer(step, actor)]
    move_steps([step for step in steps if step.status == SPSStatus.SCHEDULED], SPSStatus.ARRIVED, actor, "Arrived")
    procedure = lock_procedure(procedure)
    issue_ticket(procedure, actor=actor)
    publish(
        PatientArrived(str(procedure.uuid), accession_number=procedure.accession_number, version=procedure.version),
        actor=actor,
    )
    return procedure


@service(perms.ARRIVE_PATIENT)
def undo_arrival(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """It was somebody else, or they left again."""
    procedure = lock_procedure(procedure)
    if procedure.status != ProcedureStatus.ARRIVED:
        raise _refuse(procedure, _("To undo the arrival."), _("Only an arrival can be undone."))
    reservation = open_appointment(procedure)
    orders.undo_arrival(procedure, is_scheduled=True, actor=actor)
    if reservation is not None and reservation.status == ReservationStatus.ARRIVED:
        reservation.move_to(ReservationStatus.BOOKED)
        reservation.save_as(actor, "Arrival undone")
    back = steps_of(procedure, SPSStatus.READY)
    move_steps(back, SPSStatus.ARRIVED, actor, "Arrival undone")
    move_steps(steps_of(procedure, SPSStatus.ARRIVED), SPSStatus.SCHEDULED, actor, "Arrival undone")
    return lock_procedure(procedure)


@service(perms.ARRIVE_PATIENT)
def mark_no_show(procedure: RequestedProcedure, *, actor: Actor) -> RequestedProcedure:
    """The patient did not come: the time is free, the step leaves the worklist, the exam may be planned again."""
    procedure = lock_procedure(procedure)
    if procedure.status != ProcedureStatus.SCHEDULED:
        raise _refuse(procedure, _("To note a no-show."), _("Undo the arrival first, or cancel the appointment."))
    release_no_show(procedure, actor)
    orders.mark_no_show(procedure, actor=actor)
    return lock_procedure(procedure)


def release_no_show(procedure: RequestedProcedure, actor: Actor) -> None:
    reservation = open_appointment(procedure)
    move_steps(steps_of(procedure, *OFFERED), SPSStatus.CANCELED, actor, "Did not come")
    if reservation is None:
        return
    if reservation.status == ReservationStatus.ARRIVED:
        reservation.move_to(ReservationStatus.BOOKED)
    reservation.move_to(ReservationStatus.NO_SHOW)
    reservation.save_as(actor, "Did not come")
    tell_cancelled(reservation, actor)
