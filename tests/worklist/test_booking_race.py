"""Eight who want the same time at the same moment."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from ris.core.actor import SYSTEM
from ris.core.errors import Conflict
from tests.factories.worklist import at, ct_procedure, make_station
from worklist.models import Reservation, ScheduledProcedureStep
from worklist.services import book_appointment


@pytest.mark.django_db(transaction=True)
def test_eight_identical_bookings_give_exactly_one(facility_server):
    facility, station = connection.tenant, make_station()
    procedures = [ct_procedure() for _number in range(8)]
    barrier, outcomes = threading.Barrier(8), []

    def book(procedure) -> None:
        connection.set_tenant(facility)
        barrier.wait()
        try:
            book_appointment(procedure, station=station, starts_at=at(10), actor=SYSTEM)
            outcomes.append("booked")
        except Conflict as refusal:
            outcomes.append(refusal.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=book, args=(procedure,)) for procedure in procedures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["booked", *["slot_taken"] * 7]
    assert Reservation.objects.count() == 1
    assert ScheduledProcedureStep.objects.filter(is_on_worklist=True).count() == 1
