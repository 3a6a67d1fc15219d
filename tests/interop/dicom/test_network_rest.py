"""Worklist preview and readiness check over REST: the same answers and the same rights as on the pages."""

from __future__ import annotations

import pytest

from tests.factories.orders import make_user

from .conftest import make_peer, schedule

pytestmark = pytest.mark.usefixtures("alpha")
PREVIEW, READINESS = "/api/v1/worklist-preview/", "/api/v1/dicom-readiness/check/"


def asked(api, *roles: str, **question):
    api.force_authenticate(make_user(*roles))
    return api.post(PREVIEW, {"ae_title": "CT1", **question}, format="json")


def test_it_tells_what_the_scanner_gets_and_why_not(api):
    procedure = schedule()
    make_peer("CT1")
    answer = asked(api, "technologist").json()
    [item] = answer["items"]
    assert (answer["is_known"], answer["status"], item["status"], answer["hidden"]) == (True, "0000", "FF00", 0)
    assert item["keys"]["PatientName"] == "Achieng^Wanjiru"
    assert item["keys"]["AccessionNumber"] == procedure.accession_number
    other = asked(api, "technologist", modality="mr", missing=procedure.accession_number).json()
    assert other["items"] == []
    [reason] = other["missing"]
    assert reason["scheduled_procedure_step_id"] == item["keys"]["ScheduledProcedureStepID"]
    assert "Modality" in reason["reasons"][0]
    assert asked(api, "technologist", day="2020-01-01").json()["items"] == []
    assert asked(api, "technologist", any_day=True, any_station=True).json()["items"] == [item]


def test_who_keeps_the_network_is_told_of_no_patient(api):
    schedule()
    answer = asked(api, "it_admin")
    assert answer.json()["is_known"] is False
    assert answer.json()["items"][0]["keys"]["ScheduledStationAETitle"] == "CT1"
    assert "Achieng" not in answer.content.decode()


def test_others_and_nonsense_are_refused(api):
    assert api.post(PREVIEW, {"ae_title": "CT1"}, format="json").status_code == 401
    assert asked(api, "referring_physician").status_code == 403
    assert asked(api, "technologist", ae_title="A\\B").status_code in (400, 422)
    assert asked(api, "technologist", day="yesterday").status_code in (400, 422)


def test_readiness_says_what_the_page_says(api):
    make_peer("ARCHIVE", host="127.0.0.1", port=1, forward_images=True)
    api.force_authenticate(make_user("technologist"))
    assert api.post(READINESS, format="json").status_code == 403
    api.force_authenticate(make_user("it_admin"))
    answer = api.post(READINESS, format="json")
    assert answer.status_code == 200
    silent = [row for row in answer.json() if "ARCHIVE" in row["subject"] and row["level"] == "broken"]
    assert silent and silent[0]["words"] and silent[0]["todo"]
