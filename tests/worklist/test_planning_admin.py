"""Planning by the second door: /admin/ alone, the same services."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from ris.core.actor import SYSTEM
from tests.factories.orders import make_user
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import Closure, OpeningHours, ReservedTime, Shift, Skill, SlotOffer, StaffProfile, WaitingEntry
from worklist.services import add_to_waiting_list, book_series, cancel_appointment, repeat_procedure

NAIROBI = timezone.get_fixed_timezone(180)


@pytest.fixture
def sign_in(tclient):
    def as_role(*roles: str):
        tclient.force_login(make_user(*roles), backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return as_role


def add(client, name: str, **data):
    answer = client.post(reverse(f"admin:worklist_{name}_add"), data)
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    return answer


def act(client, name: str, verb: str, row, **data):
    data = {"action": f"do_{verb}", "_selected_action": [row.pk], "_confirmed": "1", **data}
    return client.post(reverse(f"admin:worklist_{name}_changelist"), data)


def span(begin, end) -> dict[str, str]:
    begin, end = timezone.localtime(begin, NAIROBI), timezone.localtime(end, NAIROBI)
    return {
        "starts_at_0": f"{begin:%Y-%m-%d}",
        "starts_at_1": f"{begin:%H:%M}",
        "ends_at_0": f"{end:%Y-%m-%d}",
        "ends_at_1": f"{end:%H:%M}",
    }


def test_a_shift_is_planned_changed_and_withdrawn(sign_in):
    client, station, person = sign_in("clerk"), make_station(), make_user("technologist")
    add(client, "shift", technologist=person.pk, room=station.room.pk, **span(at(8), at(16)))
    shift = Shift.objects.get()
    assert (shift.technologist, shift.starts_at) == (person, at(8))
    moved = client.post(
        reverse("admin:worklist_shift_change", args=[shift.pk]), {"room": station.room.pk, **span(at(9), at(16))}
    )
    shift.refresh_from_db()
    assert moved.status_code == 302 and shift.starts_at == at(9)
    act(client, "shift", "withdraw_shift", shift, reason="Ill")
    shift.refresh_from_db()
    assert shift.withdrawn_at is not None


def test_skills_of_people(sign_in):
    client, person = sign_in("clerk"), make_user("technologist")
    skill = Skill.objects.create(code="contrast", name="Contrast injection")
    add(client, "staffprofile", user=person.pk, sex="F", skills=[skill.pk])
    profile = StaffProfile.objects.get()
    assert (profile.user, profile.sex, list(profile.skills.all())) == (person, "F", [skill])
    client.post(reverse("admin:worklist_staffprofile_change", args=[profile.pk]), {"sex": "F", "skills": []})
    assert not profile.skills.exists()


def test_a_closure_tells_what_it_hits_and_is_opened_again(sign_in):
    client, reservation = sign_in("technologist"), booked()
    answer = client.post(
        reverse("admin:worklist_closure_add"),
        {"room": reservation.room.pk, "kind": "maintenance", "reason": "Tube", **span(at(8), at(18))},
        follow=True,
    )
    assert "must be moved: 1" in answer.content.decode()
    closure = Closure.objects.get()
    act(client, "closure", "withdraw_closure", closure, reason="Done early")
    closure.refresh_from_db()
    assert closure.withdrawn_at is not None


def test_reserved_time(sign_in):
    client, station = sign_in("clerk"), make_station()
    data = {"room": station.room.pk, "weekday": 0, "begins": "12:00", "ends": "13:00", "kept_for": "stat"}
    add(client, "reservedtime", opens_minutes_before=60, purpose="Stroke", **data)
    kept = ReservedTime.objects.get()
    assert (kept.room, kept.kept_for) == (station.room, "stat")
    act(client, "reservedtime", "withdraw_reserved_time", kept)
    kept.refresh_from_db()
    assert kept.withdrawn_at is not None


def test_the_waiting_list_and_its_offers(sign_in, dispatch):
    client, procedure = sign_in("clerk"), ct_procedure()
    make_station()
    add(client, "waitingentry", procedure=procedure.pk, priority="urgent", weekdays=list(range(7)), note="Mornings")
    entry = WaitingEntry.objects.get()
    assert (entry.procedure, entry.rank, entry.weekdays) == (procedure, 1, list(range(7)))
    cancel_appointment(booked(), reason="Fever", actor=SYSTEM)
    dispatch()
    act(client, "slotoffer", "accept_offer", SlotOffer.objects.get())
    entry.refresh_from_db()
    assert entry.status == "booked"


def test_who_waits_is_taken_from_the_list(sign_in):
    client, entry = sign_in("clerk"), add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    act(client, "waitingentry", "withdraw_waiting_entry", entry, reason="Moved away")
    entry.refresh_from_db()
    assert entry.status == "withdrawn"


def test_a_series_is_seen_with_its_appointments_and_called_off(sign_in):
    client = sign_in("clerk")
    exams = repeat_procedure(ct_procedure(), times=2, actor=SYSTEM)
    result = book_series(exams, starts_at=at(10), station=make_station(), actor=SYSTEM)
    page = client.get(reverse("admin:worklist_appointmentseries_change", args=[result.series.pk]))
    assert page.status_code == 200 and exams[1].accession_number in page.content.decode()
    act(client, "appointmentseries", "cancel_series", result.series, reason="Operated")
    assert {row.status for row in result.series.appointments.all()} == {"cancelled"}


def test_opening_hours_are_ticked_off_in_the_room(sign_in):
    client, room = sign_in("it_admin"), make_station().room
    row = OpeningHours.objects.create(room=room, weekday=0, opens_at="08:00", closes_at="17:00")
    data = {"code": room.code, "name": room.name, "is_active": "on", "_save": "1"}
    for prefix, total in (("stations", 1), ("opening_hours", 1), ("capabilities", 0)):
        data |= {f"{prefix}-TOTAL_FORMS": total, f"{prefix}-INITIAL_FORMS": total}
    station = room.stations.get()
    data |= {"stations-0-id": station.pk, "stations-0-room": room.pk}
    data |= {"opening_hours-0-id": row.pk, "opening_hours-0-room": room.pk, "opening_hours-0-weekday": 0}
    data |= {"opening_hours-0-opens_at": "08:00", "opening_hours-0-closes_at": "17:00", "opening_hours-0-DELETE": "on"}
    answer = client.post(reverse("admin:worklist_room_change", args=[room.pk]), data)
    assert answer.status_code == 302, answer.context["errors"]
    assert not OpeningHours.objects.exists()


def test_who_may_not_plan_does_not(sign_in):
    client = sign_in("radiologist")
    for name in ("shift", "closure", "reservedtime", "waitingentry", "staffprofile"):
        assert client.get(reverse(f"admin:worklist_{name}_add")).status_code == 403, name
    assert client.get(reverse("admin:worklist_waitingentry_changelist")).status_code == 200
