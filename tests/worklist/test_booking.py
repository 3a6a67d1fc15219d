"""Appointments: who gets a time, who is told what, and what moves together."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from django.utils import timezone

from orders.models import ProcedureStatus
from ris.audit.models import AuditEvent, Outcome
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from tests.factories.orders import make_actor, make_catalogue, make_procedure
from tests.factories.worklist import at, booked, ct_procedure, make_station, step_of
from worklist.models import OpeningHours, Reservation, RoomCapability
from worklist.services import (
    RoomClosed,
    SlotTaken,
    block_room,
    book_appointment,
    cancel_appointment,
    hold_slot,
    release_hold,
    reschedule_appointment,
    unblock_room,
)

pytestmark = pytest.mark.usefixtures("alpha")


def events(name: str) -> list[OutboxEvent]:
    return list(OutboxEvent.objects.filter(name=f"worklist.{name}").order_by("pk"))


def test_booking_plans_the_step_and_tells():
    clerk, procedure, station = make_actor("clerk"), ct_procedure(), make_station()
    reservation = book_appointment(procedure, station=station, starts_at=at(10), actor=clerk)
    procedure.refresh_from_db()
    step = step_of(procedure)
    assert procedure.status == ProcedureStatus.SCHEDULED
    assert (reservation.room, reservation.duration_minutes, reservation.status) == (station.room, 20, "booked")
    assert (step.status, step.station, step.starts_at, step.appointment) == ("SCHEDULED", station, at(10), reservation)
    assert step.is_on_worklist and step.item
    assert [event.subject for event in events("appointment_booked")] == [str(reservation.uuid)]
    assert reservation.history.get().history_user == clerk.user
    audit = AuditEvent.objects.filter(event_type="worklist.book_appointment").get()
    assert (audit.entity, audit.patient) == (reservation.uuid, procedure.order.patient.uuid)


def test_a_taken_time_is_refused_with_holder_time_and_next_free():
    clerk = make_actor("clerk", given_name="Joyce", family_name="Adhiambo")
    booked(actor=clerk)
    other = ct_procedure()
    with pytest.raises(SlotTaken) as refusal:
        booked(other, starts_at=at(10, 5))
    assert "10:00–10:20" in refusal.value.found and "Joyce Adhiambo" in refusal.value.found
    assert refusal.value.alternatives[0].starts_at == at(10, 20)
    assert refusal.value.errors["next_free"][0]["room"] == "ct1"
    other.refresh_from_db()
    assert other.status == ProcedureStatus.ACCEPTED and not other.steps.exists()
    assert Reservation.objects.count() == 1


def test_times_that_touch_do_not_overlap():
    booked()
    assert booked(ct_procedure(), starts_at=at(10, 20)).status == "booked"


def test_an_alternative_elsewhere_is_offered():
    make_station("CT2")
    booked()
    with pytest.raises(SlotTaken) as refusal:
        booked(ct_procedure())
    assert {slot.room.code for slot in refusal.value.alternatives} == {"ct1", "ct2"}


def test_overbooking_needs_the_right_and_a_reason():
    booked()
    with pytest.raises(NotPermitted):
        booked(ct_procedure(), overbook=True, reason="Stroke", actor=make_actor("clerk"))
    radiologist = make_actor("radiologist", "clerk")
    with pytest.raises(InvalidData):
        booked(ct_procedure(), overbook=True, actor=radiologist)
    over = booked(ct_procedure(), overbook=True, reason="Stroke", actor=radiologist)
    assert over.is_overbooked and over.reason == "Stroke"


def test_wrong_modality_and_missing_capability_are_refused():
    station = make_station("MR1", "MR")
    with pytest.raises(InvalidData) as refusal:
        booked(station=station)
    assert "station" in refusal.value.errors
    ct1 = make_station()
    RoomCapability.objects.create(room=ct1.room, catalogue=make_catalogue("CTONLY"))
    with pytest.raises(InvalidData) as refusal:
        booked(station=ct1)
    assert "room" in refusal.value.errors


def test_a_room_has_its_own_duration():
    station, catalogue = make_station(), make_catalogue("CTLONG")
    RoomCapability.objects.create(room=station.room, catalogue=catalogue, duration_minutes=45)
    assert booked(ct_procedure(catalogue=catalogue), station=station).duration_minutes == 45


def test_a_closed_room_is_refused_with_its_hours():
    station = make_station()
    for weekday in range(7):
        OpeningHours.objects.create(room=station.room, weekday=weekday, opens_at=time(8), closes_at=time(17))
    with pytest.raises(RoomClosed) as refusal:
        booked(station=station, starts_at=at(16, 50))
    assert "08:00–17:00" in refusal.value.found
    assert refusal.value.alternatives[0].starts_at == at(8, days=2)
    assert booked(station=station, starts_at=at(16, 40)).ends_at == at(17)


def test_only_accepted_exams_are_booked_and_once():
    procedure = make_procedure(codes=[make_catalogue("CTVET", needs_vetting=True).code])
    with pytest.raises(InvalidTransition):
        booked(procedure)
    procedure = ct_procedure()
    booked(procedure)
    with pytest.raises(Conflict):
        booked(procedure, starts_at=at(15))


def test_a_day_that_is_over_and_a_naive_time_are_refused():
    with pytest.raises(InvalidData):
        booked(starts_at=at(10, days=-1))
    with pytest.raises(InvalidData):
        booked(starts_at=at(10).replace(tzinfo=None))


def test_rescheduling_moves_step_and_keeps_history():
    reservation = booked()
    ct2 = make_station("CT2")
    clerk = make_actor("clerk")
    moved = reschedule_appointment(reservation, station=ct2, starts_at=at(14), reason="Patient asked", actor=clerk)
    step = step_of(moved.procedure)
    assert (moved.pk, moved.room, moved.starts_at) == (reservation.pk, ct2.room, at(14))
    assert (step.station, step.key_station_ae, step.starts_at) == (ct2, "CT2", at(14))
    assert [row.starts_at for row in moved.history.order_by("history_id")] == [at(10), at(14)]
    assert len(events("appointment_booked")) == 2


def test_rescheduling_onto_a_taken_time_changes_nothing():
    first = booked()
    second = booked(ct_procedure(), starts_at=at(11))
    with pytest.raises(SlotTaken):
        reschedule_appointment(second, starts_at=at(10), actor=SYSTEM)
    second.refresh_from_db()
    assert second.starts_at == at(11) and first.starts_at == at(10)


def test_cancelling_frees_the_time_and_the_worklist():
    reservation = booked()
    with pytest.raises(InvalidData):
        cancel_appointment(reservation, reason=" ", actor=SYSTEM)
    cancelled = cancel_appointment(reservation, reason="Fever", actor=make_actor("clerk"))
    procedure = cancelled.procedure
    procedure.refresh_from_db()
    step = step_of(procedure)
    assert (cancelled.status, procedure.status, step.status) == ("cancelled", "accepted", "CANCELED")
    assert not step.is_on_worklist and step.item is None
    assert len(events("appointment_cancelled")) == 1
    with pytest.raises(InvalidTransition):
        cancel_appointment(reservation, reason="Again", actor=SYSTEM)
    again = booked(procedure)
    assert again.status == "booked" and step_of(procedure).pk != step.pk


def test_holds_keep_a_time_until_they_run_out():
    station, clerk, other = make_station(), make_actor("clerk", given_name="Mercy"), make_actor("clerk")
    hold = hold_slot(station.room, starts_at=at(10), actor=clerk)
    with pytest.raises(SlotTaken) as refusal:
        booked(station=station, actor=other)
    assert "Mercy" in refusal.value.found
    Reservation.objects.filter(pk=hold.pk).update(hold_expires_at=timezone.now() - timedelta(seconds=1))
    assert booked(station=station, actor=other).status == "booked"
    hold.refresh_from_db()
    assert hold.status == "cancelled"


def test_the_holder_books_over_the_hold_and_releases_it():
    station, clerk = make_station(), make_actor("clerk")
    hold_slot(station.room, starts_at=at(10), actor=clerk)
    assert booked(station=station, actor=clerk).status == "booked"
    second = hold_slot(station.room, starts_at=at(12), actor=clerk)
    assert release_hold(second, actor=clerk).status == "cancelled"


def test_blocked_time_is_not_booked_until_it_is_opened():
    station, clerk = make_station(), make_actor("clerk")
    block = block_room(station.room, starts_at=at(9), ends_at=at(12), reason="Weekly check", actor=clerk)
    with pytest.raises(SlotTaken) as refusal:
        booked(station=station)
    assert "Weekly check" in refusal.value.found
    unblock_room(block, actor=clerk)
    assert booked(station=station).status == "booked"


def test_a_technologist_in_two_places_is_warned_of():
    technologist = make_actor("technologist").user
    booked(technologist=technologist)
    second = booked(ct_procedure(), station=make_station("CT2"), technologist=technologist)
    assert len(second.warnings) == 1 and "CT1" in second.warnings[0]


def test_who_may_not_book():
    with pytest.raises(NotPermitted):
        booked(actor=make_actor("referring_physician"))
    refused = AuditEvent.objects.filter(event_type="worklist.book_appointment", outcome=Outcome.REFUSED)
    assert refused.count() == 1
    assert not Reservation.objects.exists()
