"""REST: the same services behind ``/api/v1/``."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ris.core.actor import SYSTEM
from ris.core.ids import new_uid
from ris.tenants.context import use_facility
from tests.factories.orders import make_user
from tests.factories.worklist import STORE, at, booked, ct_procedure, make_station, started, step_of, stored
from worklist.models import ExceptionItem, ImagingStudy, OpeningHours, Reservation, ScheduledProcedureStep
from worklist.services import arrive_patient, ensure_questionnaires, index_instance

URL = "/api/v1/"


@pytest.fixture
def clerk(api):
    api.force_authenticate(make_user("clerk"))
    return api


@pytest.fixture
def technologist(api):
    api.force_authenticate(make_user("technologist"))
    return api


def book(client, procedure, station, starts_at, **more):
    body = {"procedure": str(procedure.uuid), "station": station, "starts_at": starts_at.isoformat(), **more}
    return client.post(f"{URL}appointments/", body)


def test_booking_moving_arriving_cancelling(clerk):
    procedure, station = ct_procedure(), make_station()
    answer = book(clerk, procedure, str(station.uuid), at(10), duration_minutes=30)
    assert answer.status_code == 201, answer.data
    data = answer.data
    assert (data["procedure"], data["station"], data["duration_minutes"]) == (
        str(procedure.uuid),
        str(station.uuid),
        30,
    )
    assert answer["Location"].endswith(f"/appointments/{data['id']}/") and answer["ETag"]
    url = f"{URL}appointments/{data['id']}/"
    moved = clerk.post(f"{url}reschedule/", {"starts_at": at(14).isoformat()})
    assert (moved.status_code, moved.data["station_ae_title"]) == (200, "CT1")
    assert datetime.fromisoformat(moved.data["starts_at"]) == at(14)
    assert clerk.post(f"{url}arrive/").data["status"] == "arrived"
    assert clerk.post(f"{url}arrive/").status_code == 409
    assert clerk.post(f"{url}no-show/").status_code == 409
    assert clerk.post(f"{url}undo-arrival/").data["status"] == "booked"
    assert clerk.post(f"{url}cancel/", {}).status_code == 400
    assert clerk.post(f"{url}cancel/", {"reason": "Fever"}).data["status"] == "cancelled"
    again = book(clerk, procedure, "CT1", at(14))
    assert clerk.post(f"{URL}appointments/{again.data['id']}/no-show/").data["status"] == "noshow"


def test_a_taken_time_is_409_with_who_and_what_is_free(clerk):
    make_station()
    assert book(clerk, ct_procedure(), "CT1", at(10)).status_code == 201
    answer = book(clerk, ct_procedure(), "CT1", at(10, 10))
    assert answer.status_code == 409
    assert answer["Content-Type"].startswith("application/problem+json")
    assert answer.data["type"].endswith("slot_taken") and answer.data["found"] and answer.data["todo"]
    assert answer.data["errors"]["next_free"][0]["room"] == "ct1"


def test_bad_bodies_are_400_and_unknown_things_404(clerk):
    procedure = ct_procedure()
    make_station("MR1", "MR")
    assert book(clerk, procedure, "MR1", at(10)).status_code == 400
    assert book(clerk, procedure, "NONE", at(10)).status_code == 404
    assert clerk.post(f"{URL}appointments/", {}).status_code == 400
    assert clerk.get(f"{URL}appointments/not-a-uuid/").status_code == 404
    assert not Reservation.objects.exists()


def test_holds_blocks_and_free_times(clerk):
    procedure, station = ct_procedure(), make_station()
    OpeningHours.objects.create(room=station.room, weekday=at(8).weekday(), opens_at="08:00", closes_at="10:00")
    free = clerk.get(f"{URL}appointments/free/", {"procedure": str(procedure.uuid), "after": at(0).isoformat()})
    assert [row["starts_at"][11:16] for row in free.data][:2] == ["08:00", "08:20"]
    hold = clerk.post(f"{URL}appointments/hold/", {"room": "ct1", "starts_at": free.data[0]["starts_at"]})
    assert hold.status_code == 201 and hold.data["kind"] == "hold"
    assert clerk.post(f"{URL}appointments/{hold.data['id']}/release/").data["status"] == "cancelled"
    block = clerk.post(
        f"{URL}appointments/block/",
        {"room": "ct1", "starts_at": at(8).isoformat(), "ends_at": at(9).isoformat(), "reason": "Check"},
    )
    assert block.status_code == 201
    assert book(clerk, procedure, "CT1", at(8)).status_code == 409
    assert clerk.post(f"{URL}appointments/{block.data['id']}/unblock/").data["status"] == "cancelled"
    assert clerk.post(f"{URL}appointments/{block.data['id']}/arrive/").status_code == 400


def test_steps_are_performed_by_hand(technologist):
    procedure = booked().procedure
    arrive_patient(procedure, actor=SYSTEM)
    step = technologist.get(f"{URL}steps/", {"procedure": str(procedure.uuid)}).data["results"][0]
    url = f"{URL}steps/{step['id']}/"
    assert step["status"] == "ARRIVED" and step["is_on_worklist"]
    assert technologist.post(f"{url}time-out/", {"identifiers": ["name"], "checks": []}).status_code == 400
    checks = ["exam", "side", "pregnancy", "allergy", "entry"]
    done = technologist.post(f"{url}time-out/", {"identifiers": ["name", "birth_date"], "checks": checks})
    assert done.status_code == 201
    begun = technologist.post(f"{url}start/", {})
    assert begun.data["status"] == "STARTED" and begun.data["performed_steps"][0]["is_manual"]
    used = technologist.post(f"{url}consumables/", {"label": "Iohexol 350", "quantity": "70", "lot": "IX2207K"})
    assert used.status_code == 201 and used.data["unit"] == "mL"
    assert technologist.post(f"{url}rejects/", {"reason_code": "111209", "count": 2}).status_code == 201
    assert technologist.post(f"{url}rejects/", {"reason_code": "1"}).status_code == 400
    assert technologist.post(f"{url}note/", {"text": "Motion", "chips": ["motion"]}).status_code == 201
    assert technologist.post(f"{url}complete/").data["status"] == "COMPLETED"
    assert technologist.post(f"{url}complete/").status_code == 409
    procedure.refresh_from_db()
    assert procedure.status == "performed" and procedure.completed_by_technologist_at


LAST_LOOK = {"identifiers": ["name", "birth_date"], "checks": ["exam", "pregnancy", "allergy", "entry"]}


def test_stopping_needs_a_coded_reason(technologist):
    procedure = booked().procedure
    url = f"{URL}steps/{step_of(procedure).uuid}/"
    assert technologist.post(f"{url}discontinue/", {"code": "110515"}).status_code == 409
    technologist.post(f"{url}time-out/", LAST_LOOK)
    technologist.post(f"{url}start/", {})
    assert technologist.post(f"{url}discontinue/", {"code": "no"}).status_code == 400
    assert technologist.post(f"{url}discontinue/", {"code": "110515"}).data["status"] == "DISCONTINUED"


def test_screenings_block_and_are_overridden(technologist):
    ensure_questionnaires()
    procedure = booked().procedure
    url = f"{URL}steps/{step_of(procedure).uuid}/start/"
    body = {"procedure": str(procedure.uuid), "questionnaire": "Pregnancy", "answers": {"pregnant": "yes"}}
    assert technologist.post(url, {}).status_code == 409
    missing = technologist.post(f"{URL}screenings/", body)
    assert missing.status_code == 400 and "breast_feeding" in missing.data["errors"]
    body["answers"]["breast_feeding"] = "no"
    answer = technologist.post(f"{URL}screenings/", body)
    assert (answer.status_code, answer.data["effect"]) == (201, "block")
    assert technologist.post(url, {}).status_code == 409
    override = f"{URL}screenings/{answer.data['id']}/override/"
    assert technologist.post(override, {"reason": "Vital"}).status_code == 403
    technologist.force_authenticate(make_user("radiologist"))
    assert technologist.post(override, {"reason": "Vital"}).data["is_overridden"]
    technologist.force_authenticate(make_user("technologist"))
    assert technologist.post(url.replace("/start/", "/time-out/"), LAST_LOOK).status_code == 201
    assert technologist.post(url, {}).status_code == 200


def test_studies_with_series_and_instances(technologist):
    procedure = booked().procedure
    data = stored(procedure)
    index_instance(data, actor=STORE)
    index_instance(stored(patient_id="X", patient_name="A^B"), actor=STORE)
    listed = technologist.get(f"{URL}studies/", {"procedure": str(procedure.uuid)}).data["results"]
    assert [row["study_instance_uid"] for row in listed] == [procedure.study_instance_uid]
    url = f"{URL}studies/{listed[0]['id']}/"
    assert technologist.get(url).data["modalities"] == ["CT"]
    assert technologist.get(f"{url}series/").data[0]["instance_count"] == 1
    rows = technologist.get(f"{url}instances/", {"series_instance_uid": data.series_instance_uid}).data["results"]
    assert [row["sop_instance_uid"] for row in rows] == [data.sop_instance_uid]
    assert technologist.get(f"{url}instances/", {"series_instance_uid": "1.2"}).data["results"] == []
    waiting = technologist.get(f"{URL}studies/", {"is_matched": "false"}).data["results"]
    body = {"procedure": str(procedure.uuid), "reason": "Typed by hand"}
    linked = technologist.post(f"{URL}studies/{waiting[0]['id']}/link/", body)
    assert linked.data["procedures"] == [str(procedure.uuid)]
    assert technologist.post(f"{URL}studies/{waiting[0]['id']}/unlink/", body).data["procedures"] == []


def test_exceptions_are_linked_and_resolved(technologist):
    make_station()
    procedure = booked().procedure
    started(patient_name="Doe^Jhon")
    index_instance(stored(patient_id="X", patient_name="Doe^Jhon"), actor=STORE)
    rows = technologist.get(f"{URL}exceptions/", {"is_open": "true"}).data["results"]
    assert sorted(row["kind"] for row in rows) == ["unmatched_study", "unscheduled_step"]
    by_kind = {row["kind"]: row["id"] for row in rows}
    body = {"procedure": str(procedure.uuid), "reason": "Same patient"}
    linked = technologist.post(f"{URL}exceptions/{by_kind['unmatched_study']}/link/", body)
    assert linked.data["resolution"] == "Same patient"
    url = f"{URL}exceptions/{by_kind['unscheduled_step']}/resolve/"
    assert technologist.post(url, {"resolution": ""}).status_code == 400
    assert technologist.post(url, {"resolution": "A test"}).data["resolved_at"]
    assert technologist.post(url, {"resolution": "A test"}).status_code == 409


def item(**fields):
    return {
        "patient_id": "EXT-1",
        "family_name": "Okello",
        "given_name": "Sam",
        "birth_date": "1980-02-03",
        "sex": "M",
        "accession_number": "ACC-77",
        "study_instance_uid": "1.2.840.99999.1",
        "requested_procedure_id": "RP-77",
        "scheduled_procedure_step_id": "SPS-77",
        "description": "CT of the head",
        "code": "CTH",
        "modality": "CT",
        "station_ae_title": "CT1",
        "starts_at": at(9).isoformat(),
        "priority": "urgent",
    } | fields


def test_worklist_items_keep_what_they_came_with(technologist):
    make_station()
    answer = technologist.post(f"{URL}worklist-items/", item())
    assert answer.status_code == 201, answer.data
    assert {
        name: answer.data[name]
        for name in ("accession_number", "study_instance_uid", "requested_procedure_id", "scheduled_procedure_step_id")
    } == {
        "accession_number": "ACC-77",
        "study_instance_uid": "1.2.840.99999.1",
        "requested_procedure_id": "RP-77",
        "scheduled_procedure_step_id": "SPS-77",
    }
    assert answer.data["is_on_worklist"] and answer.data["status"] == "SCHEDULED"
    again = technologist.post(f"{URL}worklist-items/", item(starts_at=at(11).isoformat()))
    assert again.data["id"] == answer.data["id"] and ScheduledProcedureStep.objects.count() == 1
    other = technologist.post(
        f"{URL}worklist-items/", item(patient_id="EXT-2", family_name="Someone", scheduled_procedure_step_id="")
    )
    assert other.status_code == 409 and ScheduledProcedureStep.objects.count() == 1
    differs = technologist.post(
        f"{URL}worklist-items/", item(family_name="Else", given_name="X", birth_date="1950-01-01")
    )
    assert differs.status_code == 409
    assert technologist.post(f"{URL}worklist-items/", {"patient_id": "1"}).status_code == 400


def test_worklist_items_as_dicom_json_and_back(technologist):
    make_station()
    document = {
        "00080050": {"vr": "SH", "Value": ["ACC-88"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Okello^Sam^^Dr"}]},
        "00100020": {"vr": "LO", "Value": ["EXT-9"]},
        "00100030": {"vr": "DA", "Value": ["19800203"]},
        "00100040": {"vr": "CS", "Value": ["M"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3.88"]},
        "00321060": {"vr": "LO", "Value": ["CT head"]},
        "00401001": {"vr": "SH", "Value": ["RP-88"]},
        "00400100": {
            "vr": "SQ",
            "Value": [
                {
                    "00080060": {"vr": "CS", "Value": ["CT"]},
                    "00400001": {"vr": "AE", "Value": ["CT1"]},
                    "00400002": {"vr": "DA", "Value": [f"{at(9):%Y%m%d}"]},
                    "00400003": {"vr": "TM", "Value": ["090000"]},
                    "00400009": {"vr": "SH", "Value": ["SPS-88"]},
                }
            ],
        },
    }
    answer = technologist.generic(
        "POST", f"{URL}worklist-items/", json.dumps(document), content_type="application/dicom+json"
    )
    assert answer.status_code == 201, answer.data
    assert (answer.data["accession_number"], answer.data["study_instance_uid"]) == ("ACC-88", "1.2.3.88")
    dataset = technologist.get(f"{URL}worklist-items/{answer.data['id']}/dataset/").json()
    assert dataset["00100010"]["Value"] == [{"Alphabetic": "Okello^Sam^^Dr"}]
    broken = technologist.generic("POST", f"{URL}worklist-items/", '{"x": 1}', content_type="application/dicom+json")
    assert broken.status_code == 400


def test_worklist_items_move_by_status(technologist):
    make_station()
    url = f"{URL}worklist-items/{technologist.post(f'{URL}worklist-items/', item()).data['id']}/"
    for status in ("ARRIVED", "SCHEDULED", "STARTED", "COMPLETED"):
        assert technologist.patch(url, {"status": status}).data["status"] == status
    assert technologist.patch(url, {"status": "ARRIVED"}).status_code == 409
    assert technologist.patch(url, {"status": "DEPARTED"}).status_code == 400
    other = technologist.post(
        f"{URL}worklist-items/",
        item(accession_number="", study_instance_uid="", requested_procedure_id="", scheduled_procedure_step_id=""),
    )
    url = f"{URL}worklist-items/{other.data['id']}/"
    assert technologist.patch(url, {"status": "CANCELED", "reason": "Twice"}).data["status"] == "CANCELED"


@pytest.mark.parametrize("role", ["referring_physician", "it_admin"])
def test_who_may_not(api, role):
    procedure = booked().procedure
    api.force_authenticate(make_user(role))
    step = step_of(procedure)
    assert api.get(f"{URL}steps/").status_code == 403
    assert api.post(f"{URL}steps/{step.uuid}/start/", {}).status_code == 403
    assert book(api, procedure, "CT1", at(10)).status_code == 403
    assert api.get(f"{URL}exceptions/").status_code == 403
    api.force_authenticate(None)
    assert api.get(f"{URL}steps/").status_code == 401


def test_another_facilitys_rows_are_404(technologist, beta):
    with use_facility(beta):
        reservation = booked()
        index_instance(stored(reservation.procedure), actor=STORE)
        index_instance(stored(patient_id="Z"), actor=STORE)
        rows = {
            "appointments": reservation.uuid,
            "rooms": reservation.room.uuid,
            "stations": reservation.station.uuid,
            "steps": step_of(reservation.procedure).uuid,
            "worklist-items": step_of(reservation.procedure).uuid,
            "studies": ImagingStudy.objects.first().uuid,
            "exceptions": ExceptionItem.objects.get().uuid,
        }
    for name, uuid in rows.items():
        assert technologist.get(f"{URL}{name}/{uuid}/").status_code == 404, name
        assert technologist.get(f"{URL}{name}/").data["results"] == [], name
    assert technologist.post(f"{URL}appointments/{rows['appointments']}/arrive/").status_code == 404


def test_a_list_costs_a_fixed_number_of_queries(technologist):
    counts = []
    for hour in (8, 9, 10):
        procedure = booked(ct_procedure(), starts_at=at(hour)).procedure
        index_instance(stored(procedure), actor=STORE)
        index_instance(stored(patient_id=new_uid()), actor=STORE)
        counts.append({})
        for name in ("appointments", "steps", "worklist-items", "studies", "exceptions"):
            with CaptureQueriesContext(connection) as queries:
                assert technologist.get(f"{URL}{name}/").status_code == 200
            counts[-1][name] = len(queries)
    assert counts[1] == counts[2], counts
