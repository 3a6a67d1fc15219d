"""The schedule's pages: moving by hand, the poll, budget and queries, tickets, the waiting room, reminders' choice."""

from __future__ import annotations

import gzip
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from orders.models import RequestedProcedure
from ris.core.actor import SYSTEM
from tests.factories.orders import make_user
from tests.factories.schedule import crowded_day
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import Closure, ContactPreference, QueueTicket, ReservedTime, Room
from worklist.selectors.day import day_grid
from worklist.selectors.schedule import rooms
from worklist.services import arrive_patient, call_patient, close_display, mark_no_show, open_display

NAIROBI = ZoneInfo("Africa/Nairobi")
BUDGET = 60_000


@pytest.fixture
def sign_in(tclient):
    def as_role(*roles: str, **fields):
        user = make_user(*roles, **fields)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return as_role


def local(moment: datetime) -> datetime:
    return moment.astimezone(NAIROBI)


def place(moment: datetime, room: str = "ct1", **more: str) -> dict[str, str]:
    return {"room": room, "day": f"{local(moment):%Y-%m-%d}", "at": f"{local(moment):%H:%M}", **more}


def drop(client: Client, **data: str):
    day = data.get("day", "")
    return client.post(f"{reverse('schedule_drop')}?day={day}", data, headers={"HX-Request": "true"})


# --- moving by hand


def test_a_card_is_put_elsewhere_and_the_grid_comes_back(sign_in):
    client, reservation = sign_in("clerk"), booked()
    make_station("CT2")
    answer = drop(client, appointment=str(reservation.uuid), **place(at(11), "ct2"))
    reservation.refresh_from_db()
    assert (answer.status_code, reservation.starts_at, reservation.room.code) == (200, at(11), "ct2")
    assert reservation.station.ae_title == "CT2"
    assert f'id="moved" data-href="/schedule/appointments/{reservation.uuid}/"' in answer.content.decode()
    assert 'id="day-grid"' in answer.content.decode()


def test_a_taken_time_is_refused_in_words_with_buttons_for_free_times(sign_in):
    client, station = sign_in("clerk"), make_station()
    first = booked(station=station, starts_at=at(10))
    second = booked(station=station, starts_at=at(12))
    answer = drop(client, appointment=str(second.uuid), **place(at(10)))
    words = answer.content.decode()
    second.refresh_from_db()
    assert (answer.status_code, second.starts_at) == (409, at(12))
    assert "That time is taken" in words and "You asked" in words
    assert first.procedure.order.patient.family_name not in words
    free = re.search(r'data-place="ct1\|([\d-]+)\|([\d:]+)"', words)
    assert free is not None
    answer = drop(client, appointment=str(second.uuid), room="ct1", day=free[1], at=free[2])
    assert answer.status_code == 200


def test_what_a_colleague_has_moved_is_not_moved_again(sign_in):
    client, reservation = sign_in("clerk"), booked(starts_at=at(10))
    seen = f"ct1|{local(at(9)):%Y-%m-%d|%H:%M}"
    answer = drop(client, appointment=str(reservation.uuid), was=seen, **place(at(14)))
    reservation.refresh_from_db()
    assert (answer.status_code, reservation.starts_at) == (409, at(10))
    assert "Somebody has moved it meanwhile" in answer.content.decode()
    seen = f"ct1|{local(at(10)):%Y-%m-%d|%H:%M}"
    assert drop(client, appointment=str(reservation.uuid), was=seen, **place(at(14))).status_code == 200


def test_a_waiting_exam_is_put_into_the_grid(sign_in):
    client, station = sign_in("clerk"), make_station()
    procedure = ct_procedure()
    answer = drop(client, exam=str(procedure.uuid), **place(at(9)))
    assert answer.status_code == 200
    assert procedure.appointments.get().station == station


def test_a_room_that_cannot_do_it_is_refused(sign_in):
    client, reservation = sign_in("clerk"), booked()
    make_station("US1", modality="US")
    answer = drop(client, appointment=str(reservation.uuid), **place(at(11), "us1"))
    assert answer.status_code == 400
    reservation.refresh_from_db()
    assert reservation.room.code == "ct1"


@pytest.mark.parametrize("data", [{"at": "late"}, {"room": "nowhere"}, {"appointment": "x"}])
def test_nonsense_is_refused_in_words(sign_in, data):
    client, reservation = sign_in("clerk"), booked()
    answer = drop(client, **({"appointment": str(reservation.uuid), **place(at(11))} | data))
    assert 400 <= answer.status_code < 500 and b"pi-alert" in answer.content


def test_who_may_only_look_moves_nothing(sign_in):
    client, reservation = sign_in("radiologist"), booked()
    assert drop(client, appointment=str(reservation.uuid), **place(at(11))).status_code == 403
    day = f"{local(at(10)):%Y-%m-%d}"
    assert b"data-m=" not in client.get(reverse("schedule_day"), {"day": day}).content


# --- the day


def test_the_grid_is_polled_with_an_etag(sign_in):
    client, reservation = sign_in("clerk"), booked()
    url = f"{reverse('schedule_grid')}?day={local(at(10)):%Y-%m-%d}"
    first = client.get(url)
    assert client.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
    arrive_patient(reservation.procedure, actor=SYSTEM)
    again = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 200 and again["ETag"] != first["ETag"]


@pytest.mark.parametrize("view", ["grid", "table"])
def test_a_full_day_keeps_the_page_budget(sign_in, view):
    day = local(crowded_day(12, 300)).date()
    page = sign_in("clerk").get(reverse("schedule_day"), {"day": day.isoformat(), "view": view})
    shown = page.content.count(b'class="dg-e') if view == "grid" else page.content.count(b"<tr tabindex")
    assert shown == 300
    assert len(gzip.compress(page.content)) <= BUDGET
    assert b"style=" not in page.content


def test_more_appointments_cost_no_more_queries(sign_in):
    client, counts = sign_in("clerk"), []
    for days, appointments in ((1, 12), (2, 60)):
        day = local(crowded_day(6, appointments, days=days)).date()
        client.get(reverse("schedule_day"), {"day": day.isoformat()})
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("schedule_day"), {"day": day.isoformat()})
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 40


def test_short_appointments_make_the_day_larger_and_never_cover_each_other(alpha):
    station = make_station()
    booked(starts_at=at(10), station=station, duration_minutes=5)
    booked(starts_at=at(10, 5), station=station, duration_minutes=5)
    booked(starts_at=at(11), station=station, duration_minutes=30)
    grid = day_grid(day=at(10).date(), rooms=list(rooms(actor=SYSTEM)), actor=SYSTEM)
    assert grid.is_large
    assert [(entry.length, entry.lane, entry.lanes) for entry in grid.entries] == [(1, 0, 2), (1, 1, 2), (6, 0, 1)]


def test_closures_and_kept_time_are_hatched(alpha):
    room = make_station().room
    Closure.objects.create(room=room, starts_at=at(12), ends_at=at(13), reason="Weekly check")
    ReservedTime.objects.create(
        room=room, weekday=at(15).weekday(), begins=at(15).time(), ends=at(16).time(), purpose="Stroke"
    )
    grid = day_grid(day=at(10).date(), rooms=[Room.objects.get()], actor=SYSTEM)
    assert [(row.kind, row.start, row.length, row.reason) for row in grid.columns[0].closed] == [
        ("closed", 60, 12, "Weekly check"),
        ("kept", 96, 12, "Stroke"),
    ]
    assert grid.has_kept


def test_the_day_is_narrowed_by_room_and_by_modality(sign_in):
    client = sign_in("clerk")
    here, there = booked(), booked(starts_at=at(11), station=make_station("CT2"))
    make_station("US1", modality="US")
    day = f"{local(at(10)):%Y-%m-%d}"
    page = client.get(reverse("schedule_day"), {"day": day, "room": "ct2"}).content.decode()
    assert str(there.uuid) in page and str(here.uuid) not in page
    page = client.get(reverse("schedule_day"), {"day": day, "modality": "US"}).content.decode()
    assert 'data-room="us1"' in page and 'data-room="ct1"' not in page


def test_the_legend_names_every_look_of_the_day(sign_in):
    client, reservation = sign_in("clerk"), booked()
    missed = booked(starts_at=at(13))
    mark_no_show(missed.procedure, actor=SYSTEM)
    page = client.get(reverse("schedule_day"), {"day": f"{local(at(10)):%Y-%m-%d}"}).content.decode()
    legend = page[page.index('id="legend"') :]
    assert "Scheduled <b>1</b>" in legend and "No show <b>1</b>" in legend
    assert reservation.procedure.order.patient.family_name.upper() in page


def test_what_is_overdue_stands_first(sign_in):
    client = sign_in("clerk")
    make_station()
    urgent, late = ct_procedure(priority="urgent"), ct_procedure()
    RequestedProcedure.objects.filter(pk=late.pk).update(due_by=timezone.localdate() - timedelta(days=1))
    page = client.get(reverse("schedule_day")).content.decode()
    assert page.index(f"todo-{late.uuid}") < page.index(f"todo-{urgent.uuid}")
    assert "was due" in page and "Find a time" in page


def test_the_day_sheet_is_for_one_room_or_all(sign_in):
    client = sign_in("clerk")
    here, there = booked(), booked(starts_at=at(11), station=make_station("CT2"))
    day = f"{local(at(10)):%Y-%m-%d}"
    sheet = client.get(reverse("schedule_sheet"), {"day": day}).content.decode()
    assert here.accession_number in sheet and there.accession_number in sheet
    number = here.procedure.order.patient.identifiers.get().value
    assert number in sheet
    sheet = client.get(reverse("schedule_sheet"), {"day": day, "room": "ct2"}).content.decode()
    assert here.accession_number not in sheet and there.accession_number in sheet


# --- tickets and the waiting room


def waiting(**fields) -> RequestedProcedure:
    return arrive_patient(booked(**fields).procedure, actor=SYSTEM)


def test_arriving_offers_the_ticket_and_prints_it(sign_in):
    client, procedure = sign_in("clerk"), booked().procedure
    page = client.post(reverse("procedure_move", args=[procedure.uuid, "arrive"]), {"next": "/"}, follow=True)
    assert "CT-001" in page.content.decode() and "Print the ticket" in page.content.decode()
    url = reverse("ticket", args=[procedure.uuid])
    paper = client.post(url).content.decode()
    assert "CT-001" in paper and "data-print-now" in paper
    assert f'aria-label="{procedure.accession_number}"' in paper and "<rect" in paper
    assert procedure.order.patient.family_name.upper() not in paper.upper()
    assert QueueTicket.objects.get().printed_count == 1
    assert "data-print-now" not in client.get(url).content.decode()
    assert QueueTicket.objects.get().printed_count == 1


def test_there_is_no_ticket_before_the_arrival(sign_in):
    client, procedure = sign_in("clerk"), booked().procedure
    assert client.get(reverse("ticket", args=[procedure.uuid])).status_code == 404
    assert client.post(reverse("ticket", args=[procedure.uuid])).status_code == 409


def test_calling_from_home_shows_on_the_display(sign_in):
    client, procedure = sign_in("clerk"), waiting()
    home = client.get("/").content.decode()
    assert "In the waiting room" in home and "CT-001" in home
    url = reverse("waiting_room_rows")
    before = client.get(url)
    assert client.get(url, headers={"If-None-Match": before["ETag"]}).status_code == 304
    done = client.post(reverse("patient_call", args=[procedure.uuid]), {"next": "/"}, follow=True)
    assert "CT-001 is called to CT1" in done.content.decode()
    after = client.get(url, headers={"If-None-Match": before["ETag"]})
    assert after.status_code == 200 and "<b>CT-001</b>" in after.content.decode()


def test_a_display_needs_its_link_and_shows_no_name(alpha):
    procedure = waiting()
    family = procedure.order.patient.family_name
    call_patient(procedure, actor=SYSTEM)
    display = open_display(name="Hall", actor=SYSTEM)
    stranger = Client(HTTP_HOST="alpha.test")
    url = reverse("waiting_room_display", args=[display.token])
    page = stranger.get(url)
    assert page.status_code == 200 and b"CT-001" in page.content
    assert family.upper().encode() not in page.content.upper()
    rows = reverse("waiting_room_display_rows", args=[display.token])
    answer = stranger.get(rows)
    assert stranger.get(rows, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    assert stranger.get(reverse("waiting_room")).status_code == 302
    assert Client(HTTP_HOST="beta.test").get(url).status_code == 404
    connection.set_tenant(alpha)
    close_display(display, actor=SYSTEM)
    assert stranger.get(url).status_code == 404 and stranger.get(rows).status_code == 404


def test_a_display_of_some_rooms_shows_only_who_goes_there(alpha):
    there = waiting(starts_at=at(11), station=make_station("CT2"))
    waiting(starts_at=at(10))
    display = open_display(name="Hall", rooms=[Room.objects.get(code="ct2")], actor=SYSTEM)
    rows = reverse("waiting_room_display_rows", args=[display.token])
    stranger = Client(HTTP_HOST="alpha.test")
    assert b"CT-001" in stranger.get(rows).content and b"CT-002" not in stranger.get(rows).content
    call_patient(there, room=Room.objects.get(code="ct1"), actor=SYSTEM)
    assert b"CT-001" not in stranger.get(rows).content


def test_who_has_begun_is_not_on_the_display(sign_in):
    client, procedure = sign_in("clerk"), waiting()
    assert b"CT-001" in client.get(reverse("waiting_room_rows")).content
    RequestedProcedure.objects.filter(pk=procedure.pk).update(status="in_progress")
    assert b"CT-001" not in client.get(reverse("waiting_room_rows")).content


def test_an_administrator_makes_renews_and_closes_a_display(sign_in):
    make_station()
    client = sign_in("it_admin")
    url = reverse("waiting_room_displays")
    made = client.post(url, {"name": "Hall", "rooms": ["ct1"], "language": "sw"}).content.decode()
    link = re.search(r"/waiting-room/screen/([\w-]+)/", made)
    assert link is not None and Client(HTTP_HOST="alpha.test").get(link[0]).status_code == 200
    assert link[1] not in client.get(url).content.decode()
    assert client.post(url, {"name": "Hall"}).status_code == 409
    row = re.search(r"/waiting-room/displays/[\w-]+/renew/", made)
    assert row is not None
    renewed = client.post(row[0]).content.decode()
    assert Client(HTTP_HOST="alpha.test").get(link[0]).status_code == 404
    newer = re.search(r"/waiting-room/screen/([\w-]+)/", renewed)
    assert newer is not None and Client(HTTP_HOST="alpha.test").get(newer[0]).status_code == 200
    client.post(row[0].replace("renew", "close"))
    assert Client(HTTP_HOST="alpha.test").get(newer[0]).status_code == 404


def test_a_clerk_manages_no_displays(sign_in):
    assert sign_in("clerk").get(reverse("waiting_room_displays")).status_code == 403


def test_the_technologist_calls_from_the_console(sign_in):
    client, procedure = sign_in("technologist"), waiting()
    page = client.get(reverse("console_exam", args=[procedure.uuid])).content.decode()
    assert "Call CT-001" in page
    client.post(reverse("patient_call", args=[procedure.uuid]), {"room": "ct1"})
    assert "Call CT-001 again" in client.get(reverse("console_exam", args=[procedure.uuid])).content.decode()


# --- reminders


def test_a_patients_choice_is_kept_on_the_appointment_page(sign_in):
    client, reservation = sign_in("clerk"), booked(starts_at=at(10, days=3))
    patient = reservation.procedure.order.patient
    patient.phone = "+254700000001"
    patient.save()
    page = client.get(reverse("appointment_detail", args=[reservation.uuid])).content.decode()
    assert "None wanted" in page
    client.post(reverse("contact_preference", args=[patient.uuid]), {"channel": "sms"})
    assert ContactPreference.objects.get(patient=patient.uuid).channel == "sms"
    page = client.get(reverse("appointment_detail", args=[reservation.uuid])).content.decode()
    assert "By SMS" in page and "Planned" in page
    refused = client.post(reverse("contact_preference", args=[patient.uuid]), {"channel": "email"})
    assert refused.status_code == 400


def test_no_choice_is_kept_by_who_may_not_book(sign_in):
    patient = booked().procedure.order.patient
    client = sign_in("referring_physician")
    assert client.post(reverse("contact_preference", args=[patient.uuid]), {"channel": ""}).status_code == 403


def test_an_address_that_makes_no_sense_shows_today(sign_in):
    page = sign_in("clerk").get(reverse("schedule_day"), {"day": "yesterday", "view": "sideways", "room": "?"})
    assert page.status_code == 200
    assert f'value="{timezone.localdate(timezone=NAIROBI):%Y-%m-%d}"' in page.content.decode()
