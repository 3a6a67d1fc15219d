"""The waiting list: who is asked when a time gets free, what becomes of the answer."""

from __future__ import annotations

import threading
from datetime import time, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orders.models import ProcedureStatus
from orders.services import cancel_procedure
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from tests.factories.orders import make_actor, make_catalogue, make_procedure, make_user
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import Reservation, ReservationKind, SlotOffer, WaitingEntry
from worklist.services import (
    SlotTaken,
    accept_offer,
    add_to_waiting_list,
    arrive_patient,
    cancel_appointment,
    change_waiting_entry,
    decline_offer,
    mark_no_show,
    offer_slot,
    plan_shift,
    reschedule_appointment,
    set_staff_profile,
    withdraw_waiting_entry,
)

pytestmark = pytest.mark.usefixtures("alpha")


def waits(actor=SYSTEM, **fields) -> WaitingEntry:
    priority = fields.pop("priority", "routine")
    procedure = fields.pop("procedure", None) or ct_procedure(priority=priority)
    return add_to_waiting_list(procedure, actor=actor, **fields)


def freed(dispatch, **fields) -> Reservation:
    """An appointment that is called off, and everybody told."""
    appointment = cancel_appointment(booked(**fields), reason="Fever", actor=SYSTEM)
    dispatch()
    return appointment


def open_offers() -> list[SlotOffer]:
    return list(SlotOffer.objects.filter(status="open").order_by("starts_at"))


def outcomes() -> list[str]:
    return list(SlotOffer.objects.order_by("pk").values_list("status", flat=True))


# --- the list


def test_an_exam_is_on_the_list_once_with_its_wishes():
    clerk, procedure = make_actor("clerk"), ct_procedure(priority="urgent")
    entry = waits(clerk, procedure=procedure, earliest=at(0).date(), weekdays=[4, 1, 1], note="0722 000 101, mornings")
    assert (entry.status, entry.priority, entry.rank, entry.weekdays) == ("waiting", "urgent", 1, [1, 4])
    with pytest.raises(AlreadyExists):
        waits(clerk, procedure=procedure)
    changed = change_waiting_entry(entry, priority="routine", actor=clerk)
    assert changed.rank == 2 and changed.history.count() == 2
    gone = withdraw_waiting_entry(entry, reason="Moved away", actor=clerk)
    assert gone.status == "withdrawn"
    with pytest.raises(InvalidTransition):
        change_waiting_entry(entry, priority="stat", actor=clerk)
    assert waits(clerk, procedure=procedure).status == "waiting"


@pytest.mark.parametrize(
    "wrong",
    [
        {"weekdays": [7]},
        {"time_from": time(14), "time_until": time(13)},
        {"earliest": at(0, days=3).date(), "latest": at(0, days=2).date()},
        {"latest": at(0, days=-1).date()},
        {"technologist_sex": "X"},
    ],
)
def test_wishes_that_do_not_fit_together_are_refused(wrong):
    with pytest.raises(InvalidData):
        waits(**wrong)


def test_who_may_not_book_keeps_no_list_and_unaccepted_exams_do_not_wait():
    with pytest.raises(NotPermitted):
        waits(make_actor("radiologist"))
    with pytest.raises(InvalidTransition):
        waits(procedure=make_procedure(codes=[make_catalogue("CTVET", needs_vetting=True).code]))


# --- a time gets free


def test_a_cancelled_time_is_kept_for_the_most_urgent_who_waits_longest(dispatch):
    clerk = make_user("clerk")
    _late, urgent, _later = waits(), waits(priority="urgent"), waits(priority="urgent")
    freed(dispatch)
    [offer] = open_offers()
    urgent.refresh_from_db()
    assert (offer.entry, offer.starts_at, urgent.status) == (urgent, at(10), "offered")
    assert (offer.hold.kind, offer.hold.hold_expires_at) == (ReservationKind.OFFER, offer.expires_at)
    with pytest.raises(SlotTaken) as refusal:
        booked(ct_procedure())
    assert "waiting list" in refusal.value.found
    told = OutboxEvent.objects.get(name="worklist.slot_offered")
    assert (told.subject, told.payload["entry"]) == (str(offer.uuid), str(urgent.uuid))
    [message] = Notification.objects.filter(recipient=clerk)
    assert message.template == "worklist.slot_offered" and message.url == "/schedule/waiting/"
    assert urgent.procedure.order.patient.family_name not in str(message.context)


def test_accepting_books_the_time_and_leaves_the_list(dispatch):
    entry = waits()
    freed(dispatch)
    [offer] = open_offers()
    appointment = accept_offer(offer, actor=make_actor("clerk"))
    entry.refresh_from_db(), offer.refresh_from_db(), entry.procedure.refresh_from_db()
    assert (appointment.procedure, appointment.starts_at, appointment.kind) == (entry.procedure, at(10), "appointment")
    assert (entry.status, offer.status, entry.procedure.status) == ("booked", "accepted", ProcedureStatus.SCHEDULED)
    assert Reservation.objects.live().filter(kind=ReservationKind.OFFER).count() == 0
    assert OutboxEvent.objects.get(name="worklist.offer_answered").payload["outcome"] == "accepted"
    with pytest.raises(Conflict):
        accept_offer(offer, actor=SYSTEM)


def test_a_declined_time_goes_to_the_next_and_not_to_the_same_again(dispatch):
    first, second = waits(), waits()
    freed(dispatch)
    decline_offer(open_offers()[0], reason="At work", actor=SYSTEM)
    dispatch()
    first.refresh_from_db(), second.refresh_from_db()
    assert (first.status, second.status, outcomes()) == ("waiting", "offered", ["declined", "open"])
    decline_offer(open_offers()[0], actor=SYSTEM)
    dispatch()
    assert outcomes() == ["declined", "declined"]
    assert booked(ct_procedure()).status == "booked"


def test_an_offer_without_answer_runs_out_and_goes_to_the_next(dispatch):
    waits(), waits()
    freed(dispatch)
    [offer] = open_offers()
    SlotOffer.objects.filter(pk=offer.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Conflict):
        accept_offer(offer, actor=SYSTEM)
    dispatch()
    assert outcomes() == ["expired", "open"]
    assert {row.status for row in WaitingEntry.objects.all()} == {"waiting", "offered"}


def test_no_show_and_moving_free_the_time_too(dispatch):
    waits()
    appointment = booked()
    reschedule_appointment(appointment, starts_at=at(15), actor=SYSTEM)
    dispatch()
    assert [offer.starts_at for offer in open_offers()] == [at(10)]
    entry = waits()
    mark_no_show(appointment.procedure, actor=SYSTEM)
    dispatch()
    assert [(offer.starts_at, offer.entry) for offer in open_offers()][1:] == [(at(15), entry)]


def test_an_exam_that_is_called_off_frees_its_time_for_who_waits(dispatch):
    entry = waits()
    cancel_procedure(booked().procedure, reason_code="110513", actor=SYSTEM)
    dispatch()
    assert [(offer.entry, offer.starts_at) for offer in open_offers()] == [(entry, at(10))]


def test_a_long_time_is_offered_to_several(dispatch):
    first, second = waits(), waits()
    freed(dispatch, duration_minutes=40)
    assert [(offer.entry, offer.starts_at) for offer in open_offers()] == [(first, at(10)), (second, at(10, 20))]


def test_who_cannot_use_it_is_not_asked(dispatch):
    for wishes in (
        {"earliest": at(0, days=2).date()},
        {"latest": timezone.localdate()},
        {"time_from": time(23, 50)},
        {"weekdays": [(timezone.localtime(at(10)).weekday() + 1) % 7]},
        {"technologist_sex": "F"},
        {"procedure": ct_procedure(catalogue=make_catalogue("MRHEAD", modality="MR"))},
    ):
        waits(**wishes)
    freed(dispatch)
    assert open_offers() == []


def test_who_wants_another_room_is_not_asked_and_who_wants_this_one_is(dispatch):
    waits(room=make_station("CT2").room)
    entry = waits(room=make_station().room)
    freed(dispatch)
    assert [offer.entry for offer in open_offers()] == [entry]


def test_a_female_technologist_on_shift_suits(dispatch):
    entry, person = waits(technologist_sex="F"), make_user("technologist")
    set_staff_profile(person, sex="F", actor=SYSTEM)
    plan_shift(technologist=person, station=make_station(), starts_at=at(9), ends_at=at(12), actor=SYSTEM)
    freed(dispatch)
    assert [offer.entry for offer in open_offers()] == [entry]


def test_a_time_that_begins_at_once_is_offered_to_nobody():
    station, soon = make_station(), timezone.now() + timedelta(minutes=5)
    waits()
    assert offer_slot(station.room, starts_at=soon, ends_at=soon + timedelta(minutes=20)) == []


# --- who has a time and wants an earlier one


def test_an_earlier_time_moves_the_appointment_and_frees_the_later_one(dispatch):
    standing = booked(starts_at=at(15))
    entry = waits(procedure=standing.procedure)
    other = waits(earliest=at(0).date(), time_from=timezone.localtime(at(14)).time())
    assert entry.keeps_appointment
    freed(dispatch, procedure=ct_procedure())
    moved = accept_offer(open_offers()[0], actor=SYSTEM)
    dispatch()
    assert (moved.pk, moved.starts_at) == (standing.pk, at(10))
    assert [row.starts_at for row in moved.history.order_by("history_id")] == [at(15), at(10)]
    assert [(offer.entry, offer.starts_at) for offer in open_offers()] == [(other, at(15))]


def test_a_later_time_is_not_offered_to_who_has_an_earlier_one(dispatch):
    waits(procedure=booked(starts_at=at(9)).procedure)
    freed(dispatch, procedure=ct_procedure())
    assert open_offers() == []


# --- what ends the waiting


def test_booking_arriving_and_cancelling_end_the_waiting(dispatch):
    one, two, three = waits(), waits(), waits()
    booked(one.procedure)
    arrive_patient(two.procedure, actor=SYSTEM)
    cancel_procedure(three.procedure, reason_code="110513", actor=SYSTEM)
    for entry in (one, two, three):
        entry.refresh_from_db()
    assert [row.status for row in (one, two, three)] == ["booked", "withdrawn", "withdrawn"]


def test_withdrawing_gives_the_offered_time_to_the_next(dispatch):
    first, second = waits(), waits()
    freed(dispatch)
    first.refresh_from_db()
    withdraw_waiting_entry(first, reason="Went elsewhere", actor=SYSTEM)
    dispatch()
    second.refresh_from_db()
    assert (outcomes(), second.status) == (["withdrawn", "open"], "offered")


# --- races


@pytest.mark.django_db(transaction=True)
def test_two_who_accept_the_same_offer_give_one_appointment(facility_server, dispatch):
    facility = connection.tenant
    waits()
    freed(dispatch)
    [offer] = open_offers()
    barrier, results = threading.Barrier(2), []

    def accept() -> None:
        connection.set_tenant(facility)
        barrier.wait()
        try:
            accept_offer(SlotOffer.objects.get(pk=offer.pk), actor=SYSTEM)
            results.append("booked")
        except Conflict:
            results.append("over")
        finally:
            connection.close()

    threads = [threading.Thread(target=accept) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["booked", "over"]
    assert Reservation.objects.filter(kind="appointment", status="booked").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_time_freed_twice_at_once_is_offered_once(facility_server):
    facility, room = connection.tenant, make_station().room
    waits(), waits()
    barrier, results = threading.Barrier(2), []

    def offer() -> None:
        connection.set_tenant(facility)
        barrier.wait()
        results.append(len(offer_slot(room, starts_at=at(10), ends_at=at(10, 20))))
        connection.close()

    threads = [threading.Thread(target=offer) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [0, 1]
    assert SlotOffer.objects.count() == 1
