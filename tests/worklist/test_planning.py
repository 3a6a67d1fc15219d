"""Opening hours, closures, time kept for emergencies, shifts and skills: what booking refuses, and what it warns of."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from django.utils import timezone

from ris.accounts.models import Site
from ris.core.actor import SYSTEM
from ris.core.errors import Conflict, InvalidData, NotPermitted
from tests.factories.orders import make_actor, make_catalogue, make_user
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import OpeningHours, Reservation, Skill, SkillRequirement
from worklist.services import (
    RoomClosed,
    TimeReserved,
    change_shift,
    close_time,
    hold_slot,
    next_free,
    plan_shift,
    reserve_time,
    set_opening_hours,
    set_staff_profile,
    withdraw_closure,
    withdraw_reserved_time,
    withdraw_shift,
)
from worklist.services.closures import affected_by

pytestmark = pytest.mark.usefixtures("alpha")

WEEK = [(day, time(8), time(17)) for day in range(7)]


# --- opening hours


def test_the_week_of_a_room_is_set_as_a_whole():
    room = make_station().room
    set_opening_hours(room, hours=[(0, time(8), time(12))], actor=SYSTEM)
    set_opening_hours(room, hours=WEEK, actor=make_actor("it_admin"))
    assert list(OpeningHours.objects.filter(room=room).values_list("weekday", "opens_at", "closes_at")) == WEEK
    assert "Opening hours: 0 08:00-17:00" in room.history.first().history_change_reason
    with pytest.raises(RoomClosed):
        booked(starts_at=at(7))
    set_opening_hours(room, hours=[], actor=SYSTEM)
    assert booked(starts_at=at(7)).status == "booked"


@pytest.mark.parametrize(
    "hours",
    [[(7, time(8), time(9))], [(0, time(9), time(8))], [(0, time(8), time(12)), (0, time(11), time(13))]],
)
def test_impossible_hours_are_refused(hours):
    with pytest.raises(InvalidData):
        set_opening_hours(make_station().room, hours=hours, actor=SYSTEM)


def test_a_clerk_does_not_set_opening_hours():
    with pytest.raises(NotPermitted):
        set_opening_hours(make_station().room, hours=WEEK, actor=make_actor("clerk"))


# --- closures


def test_a_closed_room_is_not_booked_nor_held_until_it_is_opened_again():
    station, clerk = make_station(), make_actor("clerk")
    standing = booked(station=station)
    closure = close_time(
        room=station.room, starts_at=at(8), ends_at=at(18), kind="maintenance", reason="Tube exchange", actor=clerk
    )
    assert closure.affected == 1 and affected_by(closure).get() == standing
    with pytest.raises(RoomClosed) as refusal:
        booked(ct_procedure(), station=station, starts_at=at(12))
    assert "Tube exchange" in refusal.value.found and refusal.value.alternatives[0].starts_at >= at(18)
    with pytest.raises(RoomClosed):
        hold_slot(station.room, starts_at=at(12), actor=clerk)
    withdraw_closure(closure, actor=clerk)
    assert booked(ct_procedure(), station=station, starts_at=at(12)).status == "booked"
    with pytest.raises(Conflict):
        withdraw_closure(closure, actor=clerk)


def test_a_holiday_closes_the_house_or_one_site():
    here, there = (Site.objects.create(code=code, name=code) for code in ("here", "there"))
    one, two = make_station(), make_station("CT2")
    for station, site in ((one, here), (two, there)):
        station.room.site = site
        station.room.save()
    closure = close_time(site=here, starts_at=at(0), ends_at=at(0, days=2), reason="Jamhuri Day", actor=SYSTEM)
    with pytest.raises(RoomClosed):
        booked(station=one)
    assert booked(station=two).status == "booked"
    withdraw_closure(closure, actor=SYSTEM)
    close_time(starts_at=at(0), ends_at=at(0, days=2), reason="Jamhuri Day", actor=SYSTEM)
    with pytest.raises(RoomClosed):
        booked(ct_procedure(), station=two, starts_at=at(15))


def test_overbooking_reaches_into_closed_time_with_a_reason():
    station = make_station()
    close_time(room=station.room, starts_at=at(8), ends_at=at(18), reason="Course", actor=SYSTEM)
    over = booked(station=station, overbook=True, reason="Stroke", actor=make_actor("radiologist", "clerk"))
    assert over.is_overbooked and over.reason == "Stroke"


def test_a_closure_needs_a_reason_an_order_of_times_and_one_place():
    room, site = make_station().room, Site.objects.create(code="here", name="Here")
    with pytest.raises(InvalidData):
        close_time(room=room, starts_at=at(8), ends_at=at(18), reason=" ", actor=SYSTEM)
    with pytest.raises(InvalidData):
        close_time(room=room, starts_at=at(18), ends_at=at(8), reason="x", actor=SYSTEM)
    with pytest.raises(InvalidData):
        close_time(room=room, site=site, starts_at=at(8), ends_at=at(18), reason="x", actor=SYSTEM)


# --- emergencies


def kept(room, **fields):
    values = {"weekday": timezone.localtime(at(10)).weekday(), "begins": time(10), "ends": time(12)}
    return reserve_time(room, **values | fields, actor=SYSTEM)


def test_reserved_time_is_for_the_urgent_until_shortly_before():
    station = make_station()
    reserved = kept(station.room, purpose="Stroke")
    with pytest.raises(TimeReserved) as refusal:
        booked(station=station, starts_at=at(10, 30))
    assert "Stroke" in refusal.value.found and refusal.value.code == "time_reserved"
    assert refusal.value.alternatives[0].starts_at < at(10) or refusal.value.alternatives[0].starts_at == at(12)
    assert booked(ct_procedure(priority="stat"), station=station, starts_at=at(10)).status == "booked"
    assert booked(ct_procedure(), station=station, starts_at=at(12)).status == "booked"
    reserved.opens_minutes_before = 3 * 24 * 60
    reserved.save()
    assert booked(ct_procedure(), station=station, starts_at=at(10, 30)).status == "booked"


def test_reserved_time_ends_with_its_validity_and_when_it_is_withdrawn():
    station = make_station()
    kept(station.room, valid_until=timezone.localdate())
    assert booked(station=station).status == "booked"
    again = kept(station.room)
    with pytest.raises(TimeReserved):
        booked(ct_procedure(), station=station, starts_at=at(11))
    withdraw_reserved_time(again, actor=SYSTEM)
    assert booked(ct_procedure(), station=station, starts_at=at(11)).status == "booked"


def test_stat_only_time_is_not_for_the_urgent():
    station = make_station()
    kept(station.room, kept_for="stat")
    with pytest.raises(TimeReserved):
        booked(ct_procedure(priority="urgent"), station=station)
    assert booked(ct_procedure(priority="stat"), station=station).status == "booked"


def test_free_times_leave_closed_and_reserved_time_out():
    station = make_station()
    close_time(room=station.room, starts_at=at(8), ends_at=at(10), reason="Course", actor=SYSTEM)
    kept(station.room)
    plain = next_free([station.room], timedelta(minutes=20), after=at(8), limit=1)
    urgent = next_free([station.room], timedelta(minutes=20), after=at(8), limit=1, priority="urgent")
    assert (plain[0].starts_at, urgent[0].starts_at) == (at(12), at(10))


# --- shifts and skills


def test_a_person_in_two_rooms_at_once_is_warned_of_not_refused():
    clerk, person = make_actor("clerk"), make_user("technologist", given_name="Asha", family_name="Moi")
    one, two = make_station().room, make_station("CT2").room
    first = plan_shift(technologist=person, room=one, starts_at=at(8), ends_at=at(16), actor=clerk)
    second = plan_shift(technologist=person, room=two, starts_at=at(12), ends_at=at(20), actor=clerk)
    assert first.warnings == [] and "Asha Moi" in second.warnings[0] and one.name in second.warnings[0]
    assert change_shift(second, starts_at=at(16), actor=clerk).warnings == []
    withdraw_shift(first, actor=clerk)
    with pytest.raises(Conflict):
        change_shift(first, starts_at=at(9), actor=clerk)
    assert [row.withdrawn_at is None for row in first.history.order_by("history_id")] == [True, False]


def test_a_shift_needs_a_place_and_an_end():
    person, station = make_user("technologist"), make_station()
    with pytest.raises(InvalidData):
        plan_shift(technologist=person, starts_at=at(8), ends_at=at(16), actor=SYSTEM)
    with pytest.raises(InvalidData):
        plan_shift(technologist=person, room=station.room, starts_at=at(8), ends_at=at(8), actor=SYSTEM)
    with pytest.raises(NotPermitted):
        plan_shift(
            technologist=person,
            station=station,
            starts_at=at(8),
            ends_at=at(16),
            actor=make_actor("referring_physician"),
        )


def test_booking_warns_of_a_technologist_who_is_elsewhere_or_off():
    station, other = make_station(), make_station("CT2")
    here, there, off = (make_user("technologist") for _number in range(3))
    plan_shift(technologist=here, station=station, starts_at=at(8), ends_at=at(16), actor=SYSTEM)
    plan_shift(technologist=there, station=other, starts_at=at(8), ends_at=at(16), actor=SYSTEM)
    assert booked(station=station, technologist=here).warnings == []
    assert other.room.name in booked(ct_procedure(), starts_at=at(11), technologist=there).warnings[0]
    assert "not on shift" in booked(ct_procedure(), starts_at=at(12), technologist=off).warnings[0]


def test_booking_warns_where_nobody_has_the_skill():
    skill = Skill.objects.create(code="contrast", name="Contrast injection")
    catalogue = make_catalogue("CTSKILL")
    SkillRequirement.objects.create(catalogue=catalogue, skill=skill)
    station, person = make_station(), make_user("technologist")
    assert booked(ct_procedure(catalogue=catalogue)).warnings == []
    plan_shift(technologist=person, station=station, starts_at=at(8), ends_at=at(16), actor=SYSTEM)
    assert "Contrast injection" in booked(ct_procedure(catalogue=catalogue), starts_at=at(11)).warnings[0]
    profile = set_staff_profile(person, sex="F", skills=[skill], actor=SYSTEM)
    assert booked(ct_procedure(catalogue=catalogue), starts_at=at(12)).warnings == []
    assert profile.sex == "F" and list(profile.skills.all()) == [skill]


def test_booking_warns_of_the_patients_own_other_exam():
    first = booked()
    second = booked(ct_procedure(patient=first.procedure.order.patient), station=make_station("CT2"))
    assert len(second.warnings) == 1 and first.room.name in second.warnings[0]
    assert Reservation.objects.count() == 2
