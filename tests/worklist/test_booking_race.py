"""Eight who want the same time at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from ris.core.actor import SYSTEM
from ris.core.errors import Conflict
from tests.factories.orders import make_actor
from tests.factories.worklist import at, ct_procedure, make_station
from worklist.models import AppointmentSeries, Reservation, ScheduledProcedureStep
from worklist.services import book_appointment, book_series, hold_slot, repeat_procedure


def race(work: list[Callable[[], Any]]) -> list[Any]:
    """All at the same moment, each with a connection of its own; what each answered, or the code of its refusal."""
    facility = connection.tenant
    barrier, outcomes = threading.Barrier(len(work)), []

    def run(one: Callable[[], Any]) -> None:
        connection.set_tenant(facility)
        barrier.wait()
        try:
            one()
            outcomes.append("done")
        except Conflict as refusal:
            outcomes.append(refusal.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(outcomes)


@pytest.mark.django_db(transaction=True)
def test_eight_people_hold_the_same_time_and_one_has_it(facility_server):
    room = make_station().room
    people = [make_actor("clerk") for _number in range(8)]
    holds = [partial(hold_slot, room, starts_at=at(10), actor=person) for person in people]
    assert race(holds) == ["done", *["slot_taken"] * 7]
    assert Reservation.objects.live().count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_series_that_cross_give_one_and_leave_nothing_of_the_other(facility_server):
    station = make_station()
    exams = [repeat_procedure(ct_procedure(), times=3, actor=SYSTEM) for _number in range(2)]
    series = [partial(book_series, rows, starts_at=at(10), station=station, actor=SYSTEM) for rows in exams]
    assert race(series) == ["done", "series_refused"]
    assert Reservation.objects.live().count() == 3 and AppointmentSeries.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_identical_bookings_give_exactly_one(facility_server):
    station = make_station()
    procedures = [ct_procedure() for _number in range(8)]
    bookings = [
        partial(book_appointment, procedure, station=station, starts_at=at(10), actor=SYSTEM)
        for procedure in procedures
    ]
    assert race(bookings) == ["done", *["slot_taken"] * 7]
    assert Reservation.objects.count() == 1
    assert ScheduledProcedureStep.objects.filter(is_on_worklist=True).count() == 1
