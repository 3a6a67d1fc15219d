"""Next-available search: what is found, in which order, and why not earlier."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ris.accounts.models import Site
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, NotPermitted
from tests.factories.orders import make_actor, make_catalogue, make_user
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import RoomCapability, Skill, SkillRequirement
from worklist.services import (
    SlotSearch,
    block_room,
    close_time,
    find_slots,
    plan_shift,
    reserve_time,
    set_opening_hours,
    set_staff_profile,
)

pytestmark = pytest.mark.usefixtures("alpha")


def search(**fields):
    values = {"after": at(8), "before": at(18)}
    if not {"procedure", "catalogue", "modality"} & set(fields):
        fields["modality"] = "CT"
    actor = fields.pop("actor", SYSTEM)
    return find_slots(SlotSearch(**values | fields), actor=actor)


def starts(result) -> list[tuple[str, str]]:
    return [(row.room.code, f"{timezone.localtime(row.starts_at):%H:%M}") for row in result.found]


def clock(hour: int, minute: int = 0, days: int = 1) -> str:
    return f"{timezone.localtime(at(hour, minute, days)):%H:%M}"


def test_the_soonest_first_over_all_rooms_that_can_do_it():
    one, two, _mr = make_station(), make_station("CT2"), make_station("MR1", "MR")
    block_room(one.room, starts_at=at(8), ends_at=at(9), reason="Phantom", actor=SYSTEM)
    block_room(two.room, starts_at=at(8, 20), ends_at=at(12), reason="Course", actor=SYSTEM)
    result = search(limit=3, duration_minutes=20)
    assert starts(result) == [("ct2", clock(8)), ("ct1", clock(9)), ("ct1", clock(9, 20))]
    assert [row.rank for row in result.found] == [1, 2, 3]
    assert result.rooms == 2 and result.found[0].station == two


def test_why_not_earlier_is_said():
    station = make_station()
    set_opening_hours(station.room, hours=[(day, time(9), time(17)) for day in range(7)], actor=SYSTEM)
    booked(starts_at=at(9)), booked(ct_procedure(), starts_at=at(9, 20))
    block_room(station.room, starts_at=at(9, 40), ends_at=at(11), reason="Phantom", actor=SYSTEM)
    close_time(room=station.room, starts_at=at(11), ends_at=at(13), reason="Course", actor=SYSTEM)
    reserve_time(station.room, weekday=at(13).weekday(), begins=time(13), ends=time(14), purpose="Stroke", actor=SYSTEM)
    [first] = search(limit=1, duration_minutes=20).found
    assert timezone.localtime(first.starts_at).hour == timezone.localtime(at(14)).hour
    said = " ".join(first.why).replace("\xa0", " ")
    assert "closed until" in said and "Course" in said and "Phantom" in said and clock(11) in said
    urgent = search(limit=1, duration_minutes=20, priority="stat").found[0]
    assert urgent.starts_at == at(13)


def test_time_of_day_weekday_and_dates_bound_it():
    make_station()
    day = timezone.localtime(at(8, days=3)).weekday()
    result = search(
        after=at(0), before=at(0, days=8), time_from=time(13), time_until=time(14), weekdays=frozenset({day})
    )
    assert [row.starts_at for row in result.found] == [at(13, days=3), at(13, 20, days=3), at(13, 40, days=3)]


def test_a_contrast_ct_takes_the_longest_of_its_kind_and_the_rooms_that_do_it():
    plain, contrast = make_catalogue("CTP"), make_catalogue("CTC", uses_contrast=True, duration_minutes=45)
    one, two = make_station(), make_station("CT2")
    RoomCapability.objects.create(room=one.room, catalogue=plain)
    RoomCapability.objects.create(room=two.room, catalogue=contrast, duration_minutes=60)
    result = search(with_contrast=True, limit=1)
    assert starts(result) == [("ct2", clock(8))] and result.found[0].minutes == 45
    assert search(catalogue=contrast, limit=1).found[0].minutes == 60


def test_a_female_technologist_and_a_skill_are_looked_for_in_the_shifts():
    skill = Skill.objects.create(code="cardiac", name="Cardiac CT")
    one, two = make_station(), make_station("CT2")
    she, he = make_user("technologist", given_name="Asha"), make_user("technologist", given_name="Tom")
    set_staff_profile(she, sex="F", skills=[skill], actor=SYSTEM)
    set_staff_profile(he, sex="M", skills=[], actor=SYSTEM)
    plan_shift(technologist=he, room=one.room, starts_at=at(8), ends_at=at(16), actor=SYSTEM)
    plan_shift(technologist=she, room=two.room, starts_at=at(11), ends_at=at(16), actor=SYSTEM)
    result = search(technologist_sex="F", limit=1)
    assert starts(result) == [("ct2", clock(11))] and result.found[0].technologists == [she.display_name]
    assert "on shift" in " ".join(result.found[0].why)
    assert [row.room.code for row in result.without] == ["ct1"] and "on shift" in result.without[0].why[0]
    assert starts(search(skills=frozenset({skill.pk}), limit=1)) == [("ct2", clock(11))]


def test_an_exam_that_needs_a_skill_is_found_where_nobody_plans_shifts():
    skill = Skill.objects.create(code="cardiac", name="Cardiac CT")
    catalogue = make_catalogue("CTCARD")
    SkillRequirement.objects.create(catalogue=catalogue, skill=skill)
    one, _two = make_station(), make_station("CT2")
    plan_shift(technologist=make_user("technologist"), room=one.room, starts_at=at(8), ends_at=at(16), actor=SYSTEM)
    assert starts(search(catalogue=catalogue, limit=1)) == [("ct2", clock(8))]


def test_the_patients_own_other_exam_is_in_the_way():
    standing = booked(station=make_station("US1", "US"), procedure=us_exam(), starts_at=at(8))
    make_station()
    procedure = ct_procedure(patient=standing.procedure.order.patient)
    [first] = search(procedure=procedure, limit=1).found
    assert first.starts_at == at(8, 20) and "another exam" in first.why[0]


def us_exam():
    return ct_procedure(catalogue=make_catalogue("USABD", name="US abdomen", modality="US"))


def test_site_and_room_bound_it_and_the_actors_own_sites_do():
    here, there = (Site.objects.create(code=code, name=code) for code in ("here", "there"))
    one, two = make_station(), make_station("CT2")
    for station, site in ((one, here), (two, there)):
        station.room.site = site
        station.room.save()
    assert {code for code, _at in starts(search(site=here))} == {"ct1"}
    assert {code for code, _at in starts(search(room=two.room))} == {"ct2"}
    clerk = make_actor("clerk")
    clerk.user.sites.add(there)
    assert {code for code, _at in starts(search(actor=clerk))} == {"ct2"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: {"modality": ""},
        lambda: {"before": at(7)},
        lambda: {"before": at(8, days=200)},
        lambda: {"time_from": time(14), "time_until": time(13)},
        lambda: {"weekdays": frozenset({7})},
        lambda: {"limit": 0},
        lambda: {"duration_minutes": 0},
    ],
)
def test_what_cannot_be_searched_is_refused(wrong):
    make_station()
    with pytest.raises(InvalidData):
        search(**wrong())


def test_who_may_not_see_the_schedule_may_not_search_it():
    with pytest.raises(NotPermitted):
        search(actor=make_actor("referring_physician"))


def test_the_number_of_queries_does_not_grow_with_rooms_days_and_bookings():
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            search(before=at(18, days=14), technologist_sex="F")
        return len(queries)

    make_station()
    plan_shift(
        technologist=make_user("technologist"), room=make_station().room, starts_at=at(8), ends_at=at(9), actor=SYSTEM
    )
    first = count()
    for number in range(2, 6):
        station = make_station(f"CT{number}")
        booked(ct_procedure(), station=station, starts_at=at(8 + number))
        person = make_user("technologist")
        set_staff_profile(person, sex="F", actor=SYSTEM)
        plan_shift(technologist=person, station=station, starts_at=at(8), ends_at=at(12), actor=SYSTEM)
    assert count() - first <= 1 and first <= 12


def test_a_fortnight_of_full_rooms_is_searched_quickly():
    station = make_station()
    for day in range(1, 8):
        block_room(station.room, starts_at=at(0, days=day), ends_at=at(23, days=day), reason="Full", actor=SYSTEM)
    begun = timezone.now()
    assert search(before=at(0, days=14), limit=1).found[0].starts_at >= at(18)
    assert timezone.now() - begun < timedelta(seconds=2)
