"""Waiting numbers: one per arrival and day, never twice, called to a room; displays open by a link of their own."""

from __future__ import annotations

import threading

import pytest
from django.db import connections
from django.utils import timezone

from orders.models import RequestedProcedure
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.tenants.context import use_facility
from tests.factories.orders import make_actor
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import QueueTicket, Room, WaitingRoomDisplay
from worklist.services import (
    arrive_patient,
    call_patient,
    close_display,
    open_display,
    print_ticket,
    renew_display,
    undo_arrival,
)
from worklist.services.tickets import display_of, ticket_of

pytestmark = pytest.mark.usefixtures("alpha")


def arrived(**fields) -> RequestedProcedure:
    return arrive_patient(booked(**fields).procedure, actor=SYSTEM)


def test_arrivals_are_numbered_from_one_by_modality():
    first, second = arrived(starts_at=at(10)), arrived(starts_at=at(11))
    assert [ticket_of(row).label for row in (first, second)] == ["CT-001", "CT-002"]
    assert ticket_of(first).history.get().history_change_reason.startswith("Arrived")


def test_who_leaves_and_comes_again_keeps_the_number():
    procedure = arrived()
    undo_arrival(procedure, actor=SYSTEM)
    assert not ticket_of(procedure).is_waiting
    procedure = arrive_patient(procedure, actor=SYSTEM)
    assert QueueTicket.objects.get(procedure=procedure).label == "CT-001"
    assert ticket_of(procedure).is_waiting


def test_a_new_day_begins_at_one():
    procedure = arrived()
    QueueTicket.objects.update(day=timezone.localdate() - timezone.timedelta(days=1))
    other = arrived(starts_at=at(12))
    assert (ticket_of(procedure).number, ticket_of(other).number) == (1, 2)


@pytest.mark.django_db(transaction=True)
def test_arrivals_at_the_same_moment_get_different_numbers(alpha):
    procedures = [booked(starts_at=at(8 + number)).procedure for number in range(6)]
    gate, failures = threading.Barrier(len(procedures)), []

    def come(procedure: RequestedProcedure) -> None:
        try:
            with use_facility(alpha):
                gate.wait(10)
                arrive_patient(procedure, actor=SYSTEM)
        except Exception as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=come, args=(row,)) for row in procedures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(QueueTicket.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]


def test_calling_shows_the_booked_room_and_tells():
    procedure, technologist = arrived(), make_actor("technologist")
    ticket = call_patient(procedure, actor=technologist)
    assert (ticket.called_to.code, ticket.call_count, ticket.called_by) == ("ct1", 1, technologist.user)
    event = OutboxEvent.objects.get(name="worklist.patient_called")
    assert event.payload["room"] == "ct1"
    assert procedure.order.patient.family_name not in str(event.payload)
    other = Room.objects.create(code="ct9", name="CT 9")
    again = call_patient(procedure, room=other, actor=technologist)
    assert (again.called_to, again.call_count) == (other, 2)


def test_only_who_waits_is_called():
    procedure = booked().procedure
    with pytest.raises(InvalidTransition):
        call_patient(procedure, actor=SYSTEM)
    with pytest.raises(NotPermitted):
        call_patient(arrived(starts_at=at(13)), actor=make_actor("referring_physician"))


def test_a_walk_in_is_called_to_the_only_room_that_fits():
    make_station()
    procedure = arrive_patient(ct_procedure(), actor=SYSTEM)
    assert call_patient(procedure, actor=SYSTEM).called_to.code == "ct1"
    make_station("CT2")
    with pytest.raises(InvalidData):
        call_patient(arrive_patient(ct_procedure(), actor=SYSTEM), actor=SYSTEM)


def test_printing_again_is_recorded():
    procedure, clerk = arrived(), make_actor("clerk")
    assert [print_ticket(procedure, actor=clerk).printed_count for _time in range(2)] == [1, 2]
    assert ticket_of(procedure).history.first().history_user == clerk.user
    with pytest.raises(InvalidTransition):
        print_ticket(booked(starts_at=at(14)).procedure, actor=clerk)


def test_a_display_opens_by_its_link_until_it_is_closed():
    administrator = make_actor("it_admin")
    display = open_display(name="Hall", actor=administrator)
    assert display_of(display.token) == display
    assert display.token not in str(WaitingRoomDisplay.objects.values())
    with pytest.raises(AlreadyExists):
        open_display(name="Hall", actor=administrator)
    renewed = renew_display(display, actor=administrator)
    assert display_of(display.token) is None and display_of(renewed.token) == display
    close_display(display, actor=administrator)
    assert display_of(renewed.token) is None


def test_a_display_of_one_facility_is_unknown_in_another(alpha, beta):
    display = open_display(name="Hall", actor=SYSTEM)
    with use_facility(beta):
        assert display_of(display.token) is None


def test_a_clerk_opens_no_display():
    with pytest.raises(NotPermitted):
        open_display(name="Hall", actor=make_actor("clerk"))
