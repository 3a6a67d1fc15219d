"""REST of free times, series, waiting list, shifts, closures: the same services behind ``/api/v1/``."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from ris.core.actor import SYSTEM
from ris.tenants.context import use_facility
from tests.factories.orders import make_catalogue, make_order, make_user
from tests.factories.worklist import at, booked, ct_procedure, make_station
from worklist.models import Skill
from worklist.services import add_to_waiting_list, cancel_appointment

URL = "/api/v1/"
NAIROBI = timezone.get_fixed_timezone(180)
PARTS = ("slots", "series", "waiting-list", "slot-offers", "skills", "staff", "shifts", "closures", "reserved-times")


@pytest.fixture
def clerk(api):
    api.force_authenticate(make_user("clerk"))
    return api


def body(answer, status: int = 200):
    assert answer.status_code == status, answer.data
    return answer.data


def test_the_earliest_contrast_ct_before_two_o_clock(clerk):
    make_catalogue("CTC", uses_contrast=True, duration_minutes=30)
    make_station()
    booked(ct_procedure(), starts_at=at(8), duration_minutes=60)
    asked = {"modality": "CT", "with_contrast": True, "after": at(8).isoformat(), "before": at(14).isoformat()}
    data = body(clerk.post(f"{URL}slots/search/", {**asked, "limit": 2}, format="json"))
    assert [row["rank"] for row in data["results"]] == [1, 2] and data["rooms"] == 1
    first = data["results"][0]
    assert datetime.fromisoformat(first["starts_at"]) == at(9)
    assert (first["room"], first["station"], first["duration_minutes"]) == ("ct1", "CT1", 30)
    assert "booked until" in first["why_not_earlier"][0]


def test_a_search_of_an_exam_names_its_own_and_refuses_strangers(clerk, beta):
    make_station()
    procedure = ct_procedure()
    asked = {"procedure": str(procedure.uuid), "after": at(8).isoformat()}
    assert body(clerk.post(f"{URL}slots/search/", asked, format="json"))["results"][0]["station"] == "CT1"
    with use_facility(beta):
        foreign = ct_procedure()
    assert clerk.post(f"{URL}slots/search/", {"procedure": str(foreign.uuid)}, format="json").status_code == 404
    assert clerk.post(f"{URL}slots/search/", {"exam": "NONE"}, format="json").status_code == 404
    assert clerk.post(f"{URL}slots/search/", {}, format="json").status_code == 400
    assert clerk.post(f"{URL}slots/search/", {"modality": "CT", "skills": ["x"]}, format="json").status_code == 400


def test_a_series_is_booked_read_and_called_off(clerk):
    make_station()
    wanted = {"procedure": str(ct_procedure().uuid), "times": 3, "station": "CT1", "starts_at": at(10).isoformat()}
    made = body(clerk.post(f"{URL}series/", wanted, format="json"), 201)
    assert len(made["booked"]) == 3 and made["skipped"] == []
    read = body(clerk.get(f"{URL}series/{made['id']}/"))
    assert [row["status"] for row in read["appointments"]] == ["booked"] * 3 and read["every_days"] == 7
    gone = body(clerk.post(f"{URL}series/{made['id']}/cancel/", {"reason": "Operated"}, format="json"))
    assert {row["status"] for row in gone} == {"cancelled"}


def test_a_series_with_a_taken_time_is_409_with_the_days_or_leaves_them_out(clerk):
    make_station()
    booked(ct_procedure(), starts_at=at(10, days=8))
    wanted = {"procedure": str(ct_procedure().uuid), "times": 2, "room": "ct1", "starts_at": at(10).isoformat()}
    refused = clerk.post(f"{URL}series/", wanted, format="json")
    assert refused.status_code == 409 and refused.data["type"].endswith("series_refused")
    assert datetime.fromisoformat(refused.data["errors"]["skipped"][0]["starts_at"]) == at(10, days=8)
    made = body(clerk.post(f"{URL}series/", {**wanted, "skip_taken": True}, format="json"), 201)
    assert (len(made["booked"]), len(made["skipped"])) == (1, 1)
    assert clerk.post(f"{URL}series/", {**wanted, "procedures": []}, format="json").status_code == 400


def test_several_exams_of_one_patient_are_chained(clerk):
    make_station(), make_station("US1", "US")
    codes = [make_catalogue("CTX").code, make_catalogue("USX", modality="US").code]
    exams = [str(row.uuid) for row in make_order(codes=codes).procedures.order_by("pk")]
    asked = {"procedures": exams, "after": at(8).isoformat(), "gap_minutes": 15}
    found = body(clerk.post(f"{URL}slots/chain/", asked, format="json"))
    assert [(row["room"], datetime.fromisoformat(row["starts_at"])) for row in found] == [
        ("ct1", at(8)),
        ("us1", at(8, 35)),
    ]
    made = body(clerk.post(f"{URL}series/chain/", asked, format="json"), 201)
    assert [row["room"] for row in made["booked"]] == ["ct1", "us1"] and made["kind"] == "chain"


def test_the_waiting_list_from_entry_to_booking(clerk, dispatch):
    make_station()
    procedure = ct_procedure()
    wishes = {"procedure": str(procedure.uuid), "weekdays": list(range(7)), "note": "Mornings"}
    entry = body(clerk.post(f"{URL}waiting-list/", wishes, format="json"), 201)
    assert (entry["status"], entry["priority"], entry["offer"]) == ("waiting", "routine", None)
    assert clerk.post(f"{URL}waiting-list/", wishes, format="json").status_code == 409
    changed = body(clerk.patch(f"{URL}waiting-list/{entry['id']}/", {"priority": "urgent"}, format="json"))
    assert changed["priority"] == "urgent"
    cancel_appointment(booked(), reason="Fever", actor=SYSTEM)
    dispatch()
    [row] = body(clerk.get(f"{URL}waiting-list/?status=offered"))["results"]
    [offer] = body(clerk.get(f"{URL}slot-offers/?status=open"))["results"]
    assert row["offer"]["id"] == offer["id"] and datetime.fromisoformat(offer["starts_at"]) == at(10)
    appointment = body(clerk.post(f"{URL}slot-offers/{offer['id']}/accept/"))
    assert (appointment["procedure"], appointment["status"]) == (str(procedure.uuid), "booked")
    assert clerk.post(f"{URL}slot-offers/{offer['id']}/decline/", {}, format="json").status_code == 409


def test_a_declined_offer_and_a_withdrawn_entry(clerk, dispatch):
    make_station()
    entry = body(clerk.post(f"{URL}waiting-list/", {"procedure": str(ct_procedure().uuid)}, format="json"), 201)
    cancel_appointment(booked(), reason="Fever", actor=SYSTEM)
    dispatch()
    [offer] = body(clerk.get(f"{URL}slot-offers/"))["results"]
    declined = body(clerk.post(f"{URL}slot-offers/{offer['id']}/decline/", {"reason": "At work"}, format="json"))
    assert (declined["status"], declined["reason"]) == ("declined", "At work")
    gone = body(clerk.post(f"{URL}waiting-list/{entry['id']}/withdraw/", {"reason": "Moved"}, format="json"))
    assert gone["status"] == "withdrawn"


def test_shifts_skills_and_who_has_them(clerk):
    make_station()
    Skill.objects.create(code="contrast", name="Contrast injection")
    person = make_user("technologist", given_name="Asha")
    told = {"person": str(person.uuid), "sex": "F", "skills": ["contrast"]}
    assert body(clerk.post(f"{URL}staff/", told, format="json"), 201)["skills"] == ["contrast"]
    planned = {"technologist": str(person.uuid), "starts_at": at(8).isoformat(), "ends_at": at(16).isoformat()}
    shift = body(clerk.post(f"{URL}shifts/", {**planned, "station": "CT1"}, format="json"), 201)
    assert (shift["room"], shift["station"], shift["warnings"]) == ("ct1", "CT1", [])
    again = body(clerk.post(f"{URL}shifts/", {**planned, "room": "ct1"}, format="json"), 201)
    assert "also planned" in again["warnings"][0]
    moved = body(clerk.patch(f"{URL}shifts/{again['id']}/", {"starts_at": at(12).isoformat()}, format="json"))
    assert datetime.fromisoformat(moved["starts_at"]) == at(12) and moved["room"] == "ct1"
    assert body(clerk.post(f"{URL}shifts/{again['id']}/withdraw/", {}, format="json"))["withdrawn_at"]
    assert len(body(clerk.get(f"{URL}shifts/?is_withdrawn=false"))["results"]) == 1
    assert clerk.post(f"{URL}shifts/", {**planned, "room": "nowhere"}, format="json").status_code == 404


def test_closures_and_reserved_time(clerk):
    make_station()
    booked()
    times = {"starts_at": at(8).isoformat(), "ends_at": at(18).isoformat()}
    closed = body(clerk.post(f"{URL}closures/", {"room": "ct1", "reason": "Service", **times}, format="json"), 201)
    assert (closed["affected"], closed["kind"]) == (1, "other")
    wanted = {"procedure": str(ct_procedure().uuid), "station": "CT1", "starts_at": at(12).isoformat()}
    refused = clerk.post(f"{URL}appointments/", wanted, format="json")
    assert refused.status_code == 409 and refused.data["type"].endswith("room_closed")
    assert body(clerk.post(f"{URL}closures/{closed['id']}/withdraw/", {}, format="json"))["withdrawn_at"]
    local = timezone.localtime(at(12), NAIROBI)
    kept = {"room": "ct1", "weekday": local.weekday(), "begins": f"{local:%H:%M}", "ends": "23:55", "purpose": "Stroke"}
    row = body(clerk.post(f"{URL}reserved-times/", kept, format="json"), 201)
    refused = clerk.post(f"{URL}appointments/", wanted, format="json")
    assert refused.status_code == 409 and refused.data["type"].endswith("time_reserved")
    body(clerk.post(f"{URL}reserved-times/{row['id']}/withdraw/"))
    assert clerk.post(f"{URL}appointments/", wanted, format="json").status_code == 201


def test_the_week_of_a_room(api):
    station = make_station()
    api.force_authenticate(make_user("it_admin"))
    week = {"hours": [{"weekday": 0, "opens_at": "08:00", "closes_at": "17:00"}]}
    url = f"{URL}rooms/{station.room.uuid}/opening-hours/"
    assert body(api.post(url, week, format="json"))["opening_hours"][0]["weekday"] == 0
    assert body(api.post(url, {"hours": []}, format="json"))["opening_hours"] == []
    api.force_authenticate(make_user("clerk"))
    assert api.post(url, week, format="json").status_code == 403


def test_a_refusal_names_the_exam_only_to_who_may_see_it(clerk, api):
    procedure = ct_procedure()
    booked(procedure)
    wanted = {"procedure": str(ct_procedure().uuid), "station": "CT1", "starts_at": at(10).isoformat()}
    seen = clerk.post(f"{URL}appointments/", wanted, format="json").data
    assert procedure.description in seen["found"] and "until" in seen["found"]
    assert seen["errors"]["taken_by"]["procedure"] == str(procedure.uuid)
    assert procedure.order.patient.family_name not in str(seen)
    patient = procedure.order.patient
    patient.is_restricted = True
    patient.save_as(SYSTEM, "Restricted")
    unseen = clerk.post(f"{URL}appointments/", wanted, format="json").data
    assert procedure.description not in unseen["found"] and "until" in unseen["found"]
    assert set(unseen["errors"]["taken_by"]) == {"kind", "until"} and unseen["errors"]["next_free"]


@pytest.mark.parametrize("part", ["waiting-list", "slot-offers", "series"])
def test_what_a_stranger_sees(api, part):
    make_station()
    add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    api.force_authenticate(make_user("referring_physician"))
    assert api.get(f"{URL}{part}/").status_code == 403


def test_lists_have_a_fixed_number_of_queries(clerk):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert clerk.get(f"{URL}waiting-list/").status_code == 200
        return len(queries)

    make_station()
    add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    count()
    first = count()
    for _number in range(5):
        add_to_waiting_list(ct_procedure(), actor=SYSTEM)
    assert count() == first


def test_every_write_of_the_planning_has_an_example_in_the_document():
    document = SchemaGenerator().get_schema(request=None, public=True)
    bare = []
    for path, methods in document["paths"].items():
        if not path.startswith(tuple(f"{URL}{part}/" for part in PARTS)):
            continue
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        is_reason = path.rstrip("/").endswith(("withdraw", "cancel", "decline"))
        if content and not is_reason and not content["application/json"].get("examples"):
            bare.append(path)
    assert bare == []
