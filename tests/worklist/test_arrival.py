"""Came, left again, did not come."""

from __future__ import annotations

import pytest

from orders.models import ProcedureStatus
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.orders import make_actor
from tests.factories.worklist import at, booked, ct_procedure, make_station, started, step_of
from worklist.services import arrive_patient, mark_no_show, undo_arrival

pytestmark = pytest.mark.usefixtures("alpha")


def statuses(reservation):
    reservation.refresh_from_db()
    procedure = reservation.procedure
    procedure.refresh_from_db()
    return procedure.status, step_of(procedure).status, reservation.status


def test_arrival_moves_all_three_and_tells():
    reservation, clerk = booked(), make_actor("clerk")
    procedure = arrive_patient(reservation.procedure, actor=clerk)
    assert statuses(reservation) == ("arrived", "ARRIVED", "arrived")
    assert procedure.arrived_at is not None
    assert step_of(procedure).is_on_worklist
    assert procedure.history.first().history_user == clerk.user
    assert OutboxEvent.objects.filter(name="worklist.patient_arrived", subject=str(procedure.uuid)).count() == 1
    with pytest.raises(InvalidTransition):
        arrive_patient(procedure, actor=clerk)


def test_undoing_an_arrival():
    reservation = booked()
    with pytest.raises(InvalidTransition):
        undo_arrival(reservation.procedure, actor=SYSTEM)
    arrive_patient(reservation.procedure, actor=SYSTEM)
    procedure = undo_arrival(reservation.procedure, actor=make_actor("clerk"))
    assert statuses(reservation) == ("scheduled", "SCHEDULED", "booked")
    assert procedure.arrived_at is None


def test_a_walk_in_is_offered_to_scanners():
    make_station()
    procedure = arrive_patient(ct_procedure(), actor=make_actor("clerk"))
    step = step_of(procedure)
    assert (procedure.status, step.status, step.is_on_worklist) == (ProcedureStatus.ARRIVED, "ARRIVED", True)


def test_a_no_show_frees_the_time_and_may_be_planned_again():
    reservation = booked()
    mark_no_show(reservation.procedure, actor=make_actor("clerk"))
    assert statuses(reservation) == ("no_show", "CANCELED", "noshow")
    again = booked(reservation.procedure, starts_at=at(10))
    assert statuses(again) == ("scheduled", "SCHEDULED", "booked")


def test_no_no_show_after_arrival_or_start():
    reservation = booked()
    arrive_patient(reservation.procedure, actor=SYSTEM)
    with pytest.raises(InvalidTransition):
        mark_no_show(reservation.procedure, actor=SYSTEM)
    started(reservation.procedure)
    with pytest.raises(InvalidTransition):
        undo_arrival(reservation.procedure, actor=SYSTEM)


def test_who_may_not():
    reservation = booked()
    with pytest.raises(NotPermitted):
        arrive_patient(reservation.procedure, actor=make_actor("radiologist"))
    assert statuses(reservation) == ("scheduled", "SCHEDULED", "booked")
