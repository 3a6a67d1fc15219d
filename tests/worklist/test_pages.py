"""Schedule, console and exceptions as people click through them, without JavaScript."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from ris.core.actor import SYSTEM
from ris.tenants.context import use_facility
from tests.factories.orders import make_user
from tests.factories.worklist import STORE, at, booked, ct_procedure, make_station, started, step_of, stored
from worklist.models import ExceptionItem, Reservation
from worklist.services import arrive_patient, ensure_questionnaires, index_instance


@pytest.fixture
def sign_in(tclient):
    def as_role(*roles: str, **fields):
        user = make_user(*roles, **fields)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return as_role


def booking(starts_at, station, **more) -> dict[str, str]:
    local = timezone.localtime(starts_at, timezone.get_fixed_timezone(180))
    return {
        "station": str(station.uuid),
        "day": f"{local:%Y-%m-%d}",
        "at": f"{local:%H:%M}",
        "duration_minutes": "20",
        **more,
    }


PAGES = ["schedule_day", "schedule_sheet", "console", "exception_list", "schedule_block"]
ALLOWED = {
    "clerk": {"schedule_day", "schedule_sheet", "console", "schedule_block"},
    "technologist": set(PAGES),
    "radiologist": {"schedule_day", "schedule_sheet", "console", "exception_list"},
    "referring_physician": set(),
    "it_admin": set(),
}


def test_pages_by_role(sign_in):
    booked()
    for role, allowed in ALLOWED.items():
        client = sign_in(role)
        for name in PAGES:
            assert client.get(reverse(name)).status_code == (200 if name in allowed else 403), (role, name)


def test_nobody_sees_a_page_without_sign_in(tclient):
    assert tclient.get(reverse("schedule_day"))["Location"].startswith("/sign-in/")


def test_a_clerk_books_is_refused_and_takes_a_free_time(sign_in):
    client, station = sign_in("clerk"), make_station()
    first, second = ct_procedure(), ct_procedure()
    page = client.get(reverse("schedule_day"), {"book": str(first.uuid)})
    assert b"Book this time" in page.content and first.accession_number.encode() in page.content
    done = client.post(reverse("schedule_book", args=[first.uuid]), booking(at(10), station), follow=True)
    assert done.status_code == 200 and Reservation.objects.get().starts_at == at(10)
    taken = client.post(reverse("schedule_book", args=[second.uuid]), booking(at(10), station))
    assert taken.status_code == 409
    words = taken.content.decode()
    assert "That time is taken" in words and "You asked" in words and "booked by" in words
    local = timezone.localtime(at(10, 20), timezone.get_fixed_timezone(180))
    assert f"CT1 {local:%H:%M}" in words.replace("\xa0", " ") or f"{local:%H:%M}</button>" in words
    free = client.post(reverse("schedule_book", args=[second.uuid]), booking(at(10, 20), station))
    assert free.status_code == 302 and Reservation.objects.count() == 2


def test_a_suggestion_is_one_button(sign_in):
    client, station = sign_in("clerk"), make_station()
    procedure = ct_procedure()
    local = timezone.localtime(at(12), timezone.get_fixed_timezone(180))
    pick = {"pick": f"{station.uuid}|{local:%Y-%m-%d}|{local:%H:%M}", "station": str(station.uuid), "day": "", "at": ""}
    assert client.post(reverse("schedule_book", args=[procedure.uuid]), pick).status_code == 302
    assert Reservation.objects.get().starts_at == at(12)


def test_a_time_is_held_and_then_booked(sign_in):
    client, station = sign_in("clerk", given_name="Mercy"), make_station()
    procedure = ct_procedure()
    url = reverse("schedule_book", args=[procedure.uuid])
    assert client.post(url, booking(at(10), station, hold="1"))["Location"].endswith(f"book={procedure.uuid}")
    hold = Reservation.objects.get()
    assert (hold.kind, hold.held_by.given_name) == ("hold", "Mercy")
    assert client.post(url, booking(at(10), station)).status_code == 302
    hold.refresh_from_db()
    assert hold.status == "cancelled" and Reservation.objects.filter(kind="appointment").count() == 1


def test_the_console_list_is_polled(sign_in):
    client = sign_in("technologist")
    procedure = booked(starts_at=timezone.now() + timezone.timedelta(minutes=5)).procedure
    rows = client.get(reverse("console_rows"))
    assert procedure.order.patient.family_name.upper().encode() in rows.content
    assert client.get(reverse("console_rows"), headers={"If-None-Match": rows["ETag"]}).status_code == 304
    arrive_patient(procedure, actor=SYSTEM)
    assert client.get(reverse("console_rows"), headers={"If-None-Match": rows["ETag"]}).status_code == 200


def test_what_is_typed_wrongly_comes_back(sign_in):
    client, station = sign_in("clerk"), make_station()
    answer = client.post(
        reverse("schedule_book", args=[ct_procedure().uuid]), booking(at(10), station, at="late", reason="kept words")
    )
    assert answer.status_code == 422 and b"kept words" in answer.content


@pytest.mark.parametrize("view", ["grid", "week", "table"])
def test_the_day_in_every_view(sign_in, view):
    client = sign_in("clerk")
    procedure = booked().procedure
    day = timezone.localtime(at(10), timezone.get_fixed_timezone(180)).date()
    page = client.get(reverse("schedule_day"), {"day": day.isoformat(), "view": view})
    assert procedure.order.patient.family_name.upper().encode() in page.content
    assert b"style=" not in page.content


def test_the_day_costs_a_fixed_number_of_queries(sign_in):
    client = sign_in("clerk")
    day = timezone.localtime(at(1), timezone.get_fixed_timezone(180)).date().isoformat()
    counts = []
    for hour in range(1, 5):
        booked(ct_procedure(), starts_at=at(hour), station=make_station(f"CT{hour}"))
        ct_procedure()
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("schedule_day"), {"day": day})
        counts.append(len(queries))
    assert counts[2] == counts[3]


def test_moving_arriving_and_cancelling_an_appointment(sign_in):
    client, reservation = sign_in("clerk"), booked()
    url = reverse("appointment_detail", args=[reservation.uuid])
    assert client.get(url).status_code == 200
    moved = client.post(reverse("appointment_move", args=[reservation.uuid]), booking(at(15), reservation.station))
    reservation.refresh_from_db()
    assert moved.status_code == 302 and reservation.starts_at == at(15)
    procedure = reservation.procedure
    client.post(reverse("procedure_move", args=[procedure.uuid, "arrive"]), {"next": url})
    procedure.refresh_from_db()
    assert procedure.status == "arrived" and b"Undo the arrival" in client.get(url).content
    assert client.post(reverse("procedure_move", args=[procedure.uuid, "no-show"])).status_code == 409
    client.post(reverse("procedure_move", args=[procedure.uuid, "undo-arrival"]), {"next": "https://evil.example"})
    client.post(reverse("appointment_cancel", args=[reservation.uuid]), {"reason": "Fever"})
    reservation.refresh_from_db()
    assert reservation.status == "cancelled"


def test_blocked_time_is_made_and_freed(sign_in):
    client, station = sign_in("clerk"), make_station()
    local = timezone.localtime(at(9), timezone.get_fixed_timezone(180))
    data = {"room": "ct1", "day": f"{local:%Y-%m-%d}", "begins": "12:00", "ends": "13:00", "reason": "Lunch"}
    assert client.post(reverse("schedule_block"), data).status_code == 302
    block = Reservation.objects.get()
    assert (block.kind, block.room) == ("block", station.room)
    assert client.post(reverse("schedule_block"), data).status_code == 409
    assert client.post(reverse("appointment_release", args=[block.uuid])).status_code == 302
    block.refresh_from_db()
    assert block.status == "cancelled"


def test_the_console_from_time_out_to_completion(sign_in):
    client = sign_in("technologist")
    ensure_questionnaires()
    procedure = booked(starts_at=timezone.now() + timezone.timedelta(minutes=5)).procedure
    arrive_patient(procedure, actor=SYSTEM)
    assert procedure.accession_number.encode() not in client.get(reverse("console")).content
    url = reverse("console_exam", args=[procedure.uuid])
    page = client.get(url)
    assert b"Time-out" in page.content and b"Could you be pregnant?" in page.content and b"style=" not in page.content

    def post(name, data=None, *args):
        return client.post(reverse(f"console_{name}", args=[procedure.uuid, *args]), data or {})

    assert post("start").status_code == 409
    form = next(row for row in ensure_questionnaires() if row.name == "Pregnancy")
    assert post("screen", {"pregnant": "no"}, form.uuid).status_code == 400
    assert post("screen", {"pregnant": "no", "breast_feeding": "no"}, form.uuid).status_code == 302
    refused = post("start")
    assert refused.status_code == 409 and b"time-out" in refused.content
    checks = ["exam", "side", "pregnancy", "allergy", "entry"]
    assert post("time_out", {"identifiers": ["name"], "checks": checks}).status_code == 400
    assert post("time_out", {"identifiers": ["name", "birth_date"], "checks": checks}).status_code == 302
    assert post("start").status_code == 302
    index_instance(stored(procedure), actor=STORE)
    assert post("consumable", {"label": "Iohexol", "quantity": "70", "unit": "mL"}).status_code == 302
    assert post("reject", {"reason_code": "111209", "count": "1"}).status_code == 302
    assert post("note", {"is_as_protocolled": "0", "text": "x"}).status_code == 400
    assert post("note", {"is_as_protocolled": "1", "chips": ["motion"], "text": "Moved a little"}).status_code == 302
    page = client.get(url).content
    assert b"Iohexol" in page and b"Moved a little" in page and b"Positioning" in page
    use = procedure.consumables.get()
    assert post("withdraw", None, "used", use.uuid).status_code == 302
    assert post("complete").status_code == 302
    procedure.refresh_from_db()
    assert procedure.completed_by_technologist_at and procedure.status == "ready_to_read"
    assert post("complete").status_code == 409


def test_a_block_is_shown_and_allowed_by_a_radiologist(sign_in):
    client = sign_in("technologist")
    procedure = booked().procedure
    form = next(row for row in ensure_questionnaires() if row.name == "Pregnancy")
    client.post(
        reverse("console_screen", args=[procedure.uuid, form.uuid]), {"pregnant": "yes", "breast_feeding": "no"}
    )
    assert b"Blocked by safety answers" in client.get(reverse("console_exam", args=[procedure.uuid])).content
    screening = procedure.screenings.get()
    url = reverse("console_override", args=[procedure.uuid, screening.uuid])
    assert client.post(url, {"override-reason": "Vital"}).status_code == 403
    client = sign_in("radiologist")
    assert b"Allow this exam" in client.get(reverse("console_exam", args=[procedure.uuid])).content
    assert client.post(url, {"override-reason": "Vital"}).status_code == 302
    screening.refresh_from_db()
    assert screening.overridden_at


def test_stopping_an_exam(sign_in):
    client, procedure = sign_in("technologist"), booked().procedure
    started(procedure)
    url = reverse("console_stop", args=[procedure.uuid])
    assert client.post(url, {"code": ""}).status_code == 422
    assert client.post(url, {"code": "110515", "text": "Dizzy"}).status_code == 302
    procedure.refresh_from_db()
    assert procedure.status == "discontinued"


def test_the_console_list_costs_a_fixed_number_of_queries(sign_in):
    client, counts = sign_in("technologist"), []
    for minutes in (10, 40, 70):
        booked(ct_procedure(), starts_at=timezone.now() + timezone.timedelta(minutes=minutes))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("console"))
        counts.append(len(queries))
    assert counts[1] == counts[2]


def test_an_exception_is_compared_and_linked(sign_in):
    client = sign_in("technologist")
    procedure = booked(starts_at=timezone.now() + timezone.timedelta(hours=1)).procedure
    patient = procedure.order.patient
    name = f"{patient.given_name}^{patient.family_name}"
    index_instance(stored(patient_id="TYPED", patient_name=name, accession_number="NOPE"), actor=STORE)
    item = ExceptionItem.objects.get()
    assert b"Images without an order" in client.get(reverse("exception_list")).content
    page = client.get(reverse("exception_detail", args=[item.uuid])).content
    assert procedure.accession_number.encode() in page and b"Identifier" in page
    url = reverse("exception_link", args=[item.uuid])
    assert client.post(url, {"procedure": str(procedure.uuid), "reason": "Saw the patient"}).status_code == 302
    item.refresh_from_db()
    assert item.resolution == "Saw the patient" and procedure.studies.count() == 1
    assert client.post(url, {"procedure": str(procedure.uuid), "reason": "Again"}).status_code == 409
    assert b"Saw the patient" in client.get(reverse("exception_list"), {"box": "done"}).content


def test_an_exception_is_resolved_with_a_sentence(sign_in):
    client = sign_in("technologist")
    make_station()
    started(patient_name="Phantom^QA")
    item = ExceptionItem.objects.get()
    url = reverse("exception_resolve", args=[item.uuid])
    assert client.post(url, {"resolution": ""}).status_code == 422
    assert client.post(url, {"resolution": "Weekly phantom"}).status_code == 302
    assert client.post(url, {"resolution": "Weekly phantom"}).status_code == 409


def test_home_shows_desk_and_room(sign_in):
    procedure = booked(starts_at=timezone.now() + timezone.timedelta(minutes=1)).procedure
    index_instance(stored(patient_id="X"), actor=STORE)
    name = procedure.order.patient.family_name.upper().encode()
    desk = sign_in("clerk").get("/").content
    assert b"Next arrivals" in desk and name in desk
    room = sign_in("technologist").get("/").content
    assert b"Next exams" in room and name in room and b"Images without an order" in room


def test_the_orders_page_offers_the_schedule(sign_in):
    client = sign_in("clerk")
    procedure = ct_procedure()
    url = reverse("order_detail", args=[procedure.order.uuid])
    assert f"?book={procedure.uuid}".encode() in client.get(url).content
    booked(procedure)
    assert b"CT1" in client.get(url).content
    patient = client.get(reverse("patient_detail", args=[procedure.order.patient.uuid]))
    assert b"Appointments" in patient.content


def test_another_facilitys_pages_are_404(sign_in, beta):
    client = sign_in("technologist")
    with use_facility(beta):
        reservation = booked()
        index_instance(stored(patient_id="Z"), actor=STORE)
        urls = [
            reverse("appointment_detail", args=[reservation.uuid]),
            reverse("console_exam", args=[reservation.procedure.uuid]),
            reverse("exception_detail", args=[ExceptionItem.objects.get().uuid]),
        ]
        step = step_of(reservation.procedure)
    for url in urls:
        assert client.get(url).status_code == 404, url
    assert client.get(reverse("schedule_day"), {"book": str(reservation.procedure.uuid)}).status_code == 404
    assert step.is_on_worklist
