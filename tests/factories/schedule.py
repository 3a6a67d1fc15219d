"""A day as full as it gets: many rooms, many appointments, every status, written in bulk."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from django.utils import timezone

from orders.models import Order, Patient, RequestedProcedure
from ris.core.ids import new_uid, uuid7
from tests.factories.worklist import at, ct_procedure, make_station
from worklist.models import Reservation

FAMILIES = ("Wanjiku", "Achieng", "Mutiso", "Kamau", "Van der Berg", "Odhiambo", "Njoroge", "Kiplagat", "Nakato")
GIVEN = ("Grace", "Amina", "Peter", "Stephen", "Zainab", "Lydia", "Dawit", "Brian")
STATUSES = ("scheduled", "scheduled", "arrived", "in_progress", "ready_to_read", "final", "no_show")
MINUTES = (10, 15, 20, 20, 30)
_serial = itertools.count(1)


def crowded_day(rooms: int = 12, appointments: int = 300, *, days: int = 1, first_hour: int = 7) -> datetime:
    """Fill a day (tomorrow); the moment it begins. Rooms are CT1, CT2 and so on."""
    stations = [make_station(f"CT{number + 1}") for number in range(rooms)]
    begin = at(first_hour, days=days)
    model = ct_procedure()
    patients, orders, procedures, rows = [], [], [], []
    clock = [begin] * rooms
    for number in range(appointments):
        serial = next(_serial)
        patient = _copy(
            model.order.patient, family_name=FAMILIES[number % len(FAMILIES)], given_name=GIVEN[number % len(GIVEN)]
        )
        order = _copy(model.order, patient=patient, placer_order_number=f"P{serial}")
        procedure = _copy(
            model,
            order=order,
            status=STATUSES[number % len(STATUSES)],
            accession_number=f"B{serial:07}",
            requested_procedure_id=f"B{serial:07}",
            study_instance_uid=new_uid(),
        )
        place, minutes = number % rooms, MINUTES[(number // rooms) % len(MINUTES)]
        starts, ends = clock[place], clock[place] + timedelta(minutes=minutes)
        clock[place] = ends + timedelta(minutes=5)
        status = {"scheduled": "booked", "arrived": "arrived", "no_show": "noshow"}.get(procedure.status, "fulfilled")
        rows.append(
            Reservation(
                room=stations[place].room,
                station=stations[place],
                procedure=procedure,
                starts_at=starts,
                ends_at=ends,
                status=status,
            )
        )
        patients.append(patient)
        orders.append(order)
        procedures.append(procedure)
    for kind, found in ((Patient, patients), (Order, orders), (RequestedProcedure, procedures), (Reservation, rows)):
        kind._base_manager.bulk_create(found)
    return begin


def _copy(row, **changes):
    values = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if not field.primary_key and not field.generated
    }
    values |= {"uuid": uuid7(), "created_at": timezone.now()}
    for name in changes:
        values.pop(name, None)
        values.pop(f"{name}_id", None)
    return type(row)(**values, **changes)
