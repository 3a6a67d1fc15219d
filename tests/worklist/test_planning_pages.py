"""Finding a time and the waiting list as people click through them, without JavaScript."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from ris.core.actor import SYSTEM, Actor
from ris.tenants.context import use_facility
from tests.factories.orders import make_catalogue, make_order, make_user
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import Closure, Reservation, ReservedTime, Shift, SlotOffer, WaitingEntry
from worklist.services import (
    add_to_waiting_list,
    cancel_appointment,
    hold_slot,
    plan_shift,
    set_staff_profile,
)

NAIROBI = timezone.get_fixed_timezone(180)


@pytest.fixture
def sign_in(tclient):
    def as_role(*roles: str, **fields):
        user = make_user(*roles, **fields)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return as_role


def found(procedure, **wishes):
    return {"book": str(procedure.uuid), "first_day": day_of(at(10)), "last_day": day_of(at(10, days=3)), **wishes}


def day_of(moment) -> str:
    return f"{timezone.localtime(moment, NAIROBI):%Y-%m-%d}"


def url_with(name: str, procedure, **wishes) -> str:
    query = "&".join(f"{key}={value}" for key, value in found(procedure, **wishes).items())
    return f"{reverse(name, args=[procedure.uuid])}?{query}"


def taken(moment, **more) -> dict[str, str]:
    return {"room": "ct1", "starts_at": moment.isoformat(), "minutes": "20", **more}


def words_of(answer) -> str:
    return answer.content.decode().replace("\xa0", " ")


@pytest.mark.parametrize(("role", "status"), [("clerk", 200), ("radiologist", 200), ("referring_physician", 403)])
def test_who_finds_times_and_sees_the_waiting_list(sign_in, role, status):
    client = sign_in(role)
    assert client.get(reverse("slot_search")).status_code == status
    assert client.get(reverse("waiting_list")).status_code == status


def test_an_orders_exam_is_found_a_time_and_booked_with_one_click(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    make_station()
    order_page = client.get(reverse("order_detail", args=[procedure.order.uuid]))
    assert f"{reverse('slot_search')}?book={procedure.uuid}" in words_of(order_page)
    page = client.get(reverse("slot_search"), found(procedure))
    first = page.context["result"].found[0]
    assert "sr-hit first" in words_of(page) and procedure.accession_number in words_of(page)
    done = client.post(url_with("slot_take", procedure), taken(first.starts_at))
    assert done.status_code == 302 and Reservation.objects.get().starts_at == first.starts_at


def test_why_not_earlier_stands_beside_it(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    booked(ct_procedure(), starts_at=at(10), duration_minutes=60)
    local = timezone.localtime(at(10), NAIROBI)
    page = client.get(reverse("slot_search"), found(procedure, time_from=f"{local:%H:%M}"))
    assert f"booked until {day_words(at(11))}" in words_of(page)


def day_words(moment) -> str:
    local = timezone.localtime(moment, NAIROBI)
    return f"{local:%a} {local.day} {local:%b %H:%M}"


def test_a_kind_of_exam_is_searched_without_an_order(sign_in):
    client = sign_in("clerk")
    make_catalogue("CTC", uses_contrast=True, duration_minutes=45)
    make_station()
    page = client.get(reverse("slot_search"), {"what": "CT+"})
    assert page.context["result"].found[0].minutes == 45 and "CT with contrast" in words_of(page)
    assert client.get(reverse("slot_search"), {"what": "CTC"}).context["result"].found[0].minutes == 45
    assert client.get(reverse("slot_search")).context["result"] is None


def test_a_time_is_held_seen_as_held_and_booked(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    make_station()
    first = client.get(reverse("slot_search"), found(procedure)).context["result"].found[0]
    back = client.post(url_with("slot_take", procedure), taken(first.starts_at, hold="1"))
    page = client.get(back["Location"])
    hold = Reservation.objects.get(kind="hold")
    assert page.context["result"].found[0].hold == hold and "held for you until" in words_of(page)
    client.post(url_with("slot_take", procedure), taken(first.starts_at))
    assert set(Reservation.objects.values_list("kind", "status")) == {("hold", "cancelled"), ("appointment", "booked")}


def test_somebody_was_first_and_the_page_says_who_with_new_times(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    other = booked(ct_procedure()).procedure
    refused = client.post(url_with("slot_take", procedure), taken(at(10)))
    assert refused.status_code == 409
    said = words_of(refused)
    assert "That time is taken" in said and other.order.patient.family_name.upper() in said
    assert refused.context["result"].found
    hidden = other.order.patient
    hidden.is_restricted = True
    hidden.save_as(SYSTEM, "Restricted")
    unseen = words_of(client.post(url_with("slot_take", procedure), taken(at(10))))
    assert "That time is taken" in unseen and hidden.family_name.upper() not in unseen


def test_a_held_time_names_its_holder_to_others(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    holder = Actor("web", make_user("clerk", given_name="Mercy", family_name="Kendi"))
    hold_slot(make_station().room, starts_at=at(10), actor=holder)
    refused = client.post(url_with("slot_take", procedure), taken(at(10)))
    assert refused.status_code == 409 and "held by Mercy Kendi" in words_of(refused)


def test_a_booked_exam_is_moved_to_a_found_time(sign_in):
    client, appointment = sign_in("clerk"), booked()
    page = client.get(reverse("slot_search"), found(appointment.procedure))
    assert "Move here" in words_of(page)
    client.post(url_with("slot_take", appointment.procedure), taken(at(15)))
    appointment.refresh_from_db()
    assert appointment.starts_at == at(15) and Reservation.objects.count() == 1


def test_a_series_from_a_found_time(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    make_station()
    repeat = {"slot": f"ct1|{at(10).isoformat()}|20", "times": "3", "every_days": "7"}
    booked(ct_procedure(), starts_at=at(10, days=8))
    refused = client.post(url_with("slot_repeat", procedure), repeat)
    assert refused.status_code == 409 and "Not all times of the series are free" in words_of(refused)
    assert Reservation.objects.count() == 1
    done = client.post(url_with("slot_repeat", procedure), {**repeat, "skip_taken": "on"}, follow=True)
    assert "2 appointments booked" in words_of(done) and "Left out" in words_of(done)


def test_exams_of_one_patient_one_after_the_other(sign_in):
    client = sign_in("clerk")
    make_station(), make_station("US1", "US")
    codes = [make_catalogue("CTX").code, make_catalogue("USX", modality="US").code]
    first, second = make_order(codes=codes).procedures.order_by("pk")
    wishes = {"with": str(second.uuid), "gap": "15", "wait": "60"}
    page = client.get(reverse("slot_search"), found(first, **wishes))
    links = page.context["links"]
    assert [link.procedure for link in links] == [first, second] and "Book all" in words_of(page)
    url = url_with("slot_chain", first, **wishes)
    assert client.post(url, {"links": "something else"}).status_code == 409
    assert client.post(url, {"links": page.context["links_key"]}).status_code == 302
    assert Reservation.objects.filter(series__kind="chain").count() == 2


def test_nothing_suits_so_it_waits_with_the_same_wishes(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    make_station()
    url = url_with("slot_wait", procedure, time_until="12:00", weekdays="1")
    page = client.post(url, {"note": "Call the daughter"}, follow=True)
    entry = WaitingEntry.objects.get()
    assert (entry.weekdays, f"{entry.time_until:%H:%M}", entry.note) == ([1], "12:00", "Call the daughter")
    assert procedure.order.patient.family_name.upper() in words_of(page) and "Call the daughter" in words_of(page)
    assert client.post(url, {}).status_code == 409


def test_the_desk_calls_and_books_or_asks_the_next(sign_in, dispatch):
    client = sign_in("clerk")
    first, second = (add_to_waiting_list(ct_procedure(), actor=SYSTEM) for _number in range(2))
    cancel_appointment(booked(), reason="Fever", actor=SYSTEM)
    dispatch()
    page = client.get(reverse("waiting_list"))
    assert "Call now" in words_of(page) and page.context["offered"] == [first]
    client.post(reverse("offer_decline", args=[SlotOffer.objects.get().uuid]))
    dispatch()
    offer = SlotOffer.objects.get(status="open")
    assert offer.entry == second
    done = client.post(reverse("offer_accept", args=[offer.uuid]))
    assert done.status_code == 302 and Reservation.objects.get(kind="appointment", status="booked").starts_at == at(10)
    again = client.post(reverse("offer_accept", args=[offer.uuid]))
    assert again.status_code == 409 and "This offer is over" in words_of(again)


def test_who_waits_no_more_is_taken_off_with_a_reason(sign_in):
    client, entry = sign_in("clerk"), add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    url = reverse("waiting_withdraw", args=[entry.uuid])
    assert client.post(url, {"reason": " "}).status_code == 400
    client.post(url, {"reason": "Went elsewhere"})
    entry.refresh_from_db()
    assert entry.status == "withdrawn"


def test_wrong_wishes_come_back(sign_in):
    client, procedure = sign_in("clerk"), ct_procedure()
    make_station()
    page = client.get(reverse("slot_search"), {"book": str(procedure.uuid), "first_day": "soon"})
    assert page.status_code == 200 and page.context["form"].errors["first_day"]
    backwards = client.get(reverse("slot_search"), found(procedure, time_from="14:00", time_until="13:00"))
    assert backwards.status_code == 400 and "cannot be searched" in words_of(backwards)


def test_another_facilitys_exams_and_offers_are_unknown(sign_in, beta, dispatch):
    with use_facility(beta):
        entry = add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    client = sign_in("clerk")
    assert client.get(reverse("slot_search"), {"book": str(entry.procedure.uuid)}).status_code == 404
    assert client.post(reverse("waiting_withdraw", args=[entry.uuid]), {"reason": "x"}).status_code == 404
    assert client.post(reverse("slot_take", args=[entry.procedure.uuid]), taken(at(10))).status_code == 404


def test_pages_have_a_fixed_number_of_queries_and_are_light(sign_in):
    client = sign_in("clerk")

    def cost(url: str, **query) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(url, query)
        assert answer.status_code == 200
        return len(queries), len(answer.content)

    procedure = ct_procedure()
    make_station()
    add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    cost(reverse("waiting_list")), cost(reverse("slot_search"), **found(procedure))
    waiting, search = cost(reverse("waiting_list")), cost(reverse("slot_search"), **found(procedure))
    for number in range(2, 6):
        add_to_waiting_list(ct_procedure(), actor=SYSTEM)
        booked(ct_procedure(), station=make_station(f"CT{number}"))
    assert cost(reverse("waiting_list"))[0] == waiting[0]
    assert cost(reverse("slot_search"), **found(procedure))[0] == search[0]
    assert search[1] < 60_000


# --- staff and closures


@pytest.mark.parametrize(("role", "status"), [("clerk", 200), ("it_admin", 200), ("referring_physician", 403)])
def test_who_sees_staff_and_closures(sign_in, role, status):
    assert sign_in(role).get(reverse("plan")).status_code == status


def test_a_shift_is_planned_warned_of_and_withdrawn(sign_in):
    client, station = sign_in("clerk"), make_station()
    other = make_station(ae_title="CT2", room="ct2")
    person = make_user("technologist")
    week = f"{reverse('plan')}?week={day_of(at(8))}"
    sent = {
        "form": "shift",
        "technologist": str(person.uuid),
        "room": station.room.code,
        "day": day_of(at(8)),
        "begins": "22:00",
        "ends": "06:00",
    }
    assert client.post(week, sent).status_code == 302
    shift = Shift.objects.get()
    assert shift.ends_at - shift.starts_at == timedelta(hours=8)
    words = words_of(client.post(week, {**sent, "room": other.room.code}, follow=True))
    assert "is also planned in" in words and words.count("22:00–06:00") >= 2
    client.post(reverse("plan_withdraw", args=["shift", shift.uuid]))
    shift.refresh_from_db()
    assert shift.withdrawn_at is not None
    refused = client.post(week, {**sent, "technologist": ""})
    assert refused.status_code == 422 and Shift.objects.count() == 2


def test_a_room_is_closed_and_opened_again(sign_in):
    client, station = sign_in("technologist"), make_station()
    sent = {
        "form": "closure",
        "place": f"room:{station.room.code}",
        "kind": "maintenance",
        "first_day": day_of(at(8)),
        "begins": "00:00",
        "last_day": day_of(at(8)),
        "ends": "",
        "reason": "Tube changed",
    }
    assert "Tube changed" in words_of(client.post(reverse("plan"), sent, follow=True))
    closure = Closure.objects.get()
    assert closure.ends_at - closure.starts_at == timedelta(days=1)
    backwards = client.post(reverse("plan"), {**sent, "last_day": day_of(at(8, days=-1)), "ends": "10:00"})
    assert backwards.status_code == 400 and "It must end after it begins." in words_of(backwards)
    client.post(reverse("plan_withdraw", args=["closure", closure.uuid]))
    closure.refresh_from_db()
    assert closure.withdrawn_at is not None


def test_a_time_is_kept_every_week(sign_in):
    client, station = sign_in("clerk"), make_station()
    sent = {
        "form": "reserved",
        "room": station.room.code,
        "weekday": "2",
        "begins": "10:00",
        "ends": "11:00",
        "kept_for": "stat",
        "opens_minutes_before": "90",
    }
    assert client.post(reverse("plan"), sent).status_code == 302
    kept = ReservedTime.objects.get()
    assert (kept.weekday, kept.opens_minutes_before) == (2, 90)
    client.post(reverse("plan_withdraw", args=["reserved", kept.uuid]))
    kept.refresh_from_db()
    assert kept.withdrawn_at is not None
    assert client.post(reverse("plan_withdraw", args=["nothing", kept.uuid])).status_code == 404


def test_the_week_asks_the_same_number_of_queries_however_many_shifts(sign_in):
    client, station = sign_in("clerk"), make_station()

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("plan"))
        return len(queries)

    person = make_user("technologist")
    set_staff_profile(person, actor=SYSTEM)
    plan_shift(technologist=person, room=station.room, starts_at=at(8), ends_at=at(9), actor=SYSTEM)
    count()
    before = count()
    for number in range(4):
        who = make_user("technologist")
        set_staff_profile(who, actor=SYSTEM)
        plan_shift(technologist=who, room=station.room, starts_at=at(9 + number), ends_at=at(10 + number), actor=SYSTEM)
    assert count() == before
