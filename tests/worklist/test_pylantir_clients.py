"""A program written for Pylantir's API finds its worklist again: its fields, filters, verbs and roles."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.models import Patient
from ris.accounts.services.keys import create_api_key
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData
from tests.factories.accounts import user_with_roles
from tests.factories.worklist import make_station
from worklist.models import ScheduledProcedureStep

URL = "/api/v1/worklist-items/"
PASSWORD = "correct horse battery staple"


def item(**fields):
    day = timezone.localtime() + timedelta(days=1)
    return {
        "patient_name": "cpip-id-17^fa-9",
        "patient_id": "sub_17_ses_1_fam_9",
        "patient_birth_date": "20120101",
        "patient_sex": "F",
        "patient_weight_lb": "100",
        "modality": "MR",
        "study_description": "CPIP",
        "protocol_name": "BRAIN_MRI_3T",
        "scheduled_station_aetitle": "MR1",
        "scheduled_start_date": f"{day:%Y%m%d}",
        "scheduled_start_time": "103000",
        "performed_procedure_step_status": "SCHEDULED",
        "issuer_of_patient_id": "STUDY",
    } | fields


@pytest.fixture
def station(alpha):
    return make_station("MR1", "MR")


@pytest.fixture
def client(api, station):
    api.force_authenticate(user_with_roles("technologist", "clerk"))
    return api


def test_create_update_status_and_delete(client):
    made = client.post(URL, item(), format="json")
    assert made.status_code == 201, made.data
    sent = item()
    for name in (
        "patient_name", "patient_id", "patient_birth_date", "patient_sex", "study_description", "protocol_name",
        "scheduled_station_aetitle", "scheduled_start_date", "scheduled_start_time", "performed_procedure_step_status",
    ):  # fmt: skip
        assert made.data[name] == sent[name], name
    assert float(made.data["patient_weight_lb"]) == pytest.approx(100, abs=0.1)
    url = f"{URL}{made.data['id']}/"
    changed = client.put(url, {"patient_name": "cpip-id-17^fa-10", "scheduled_start_time": None}, format="json")
    assert changed.status_code == 200 and changed.data["patient_name"] == "cpip-id-17^fa-10"
    day = f"{timezone.localtime() + timedelta(days=2):%Y%m%d}"
    moved = client.put(url, {"scheduled_start_date": day, "scheduled_start_time": "080000"}, format="json")
    assert (moved.data["scheduled_start_date"], moved.data["scheduled_start_time"]) == (day, "080000")
    uid = made.data["study_instance_uid"]
    assert moved.data["study_instance_uid"] == uid
    for status in ("IN_PROGRESS", "COMPLETED"):
        answer = client.put(url, {"performed_procedure_step_status": status}, format="json")
        assert answer.data["performed_procedure_step_status"] == status, answer.data
    assert client.put(url, {"performed_procedure_step_status": "SCHEDULED"}, format="json").status_code == 409
    assert client.delete(url).status_code == 409
    other = client.post(URL, item(patient_id="sub_18", patient_name="cpip-id-18^fa-1"), format="json")
    taken = client.delete(f"{URL}{other.data['id']}/")
    assert taken.status_code == 200 and "taken" in taken.data["message"]
    assert ScheduledProcedureStep.objects.get(uuid=other.data["id"]).status == "CANCELED"
    assert Patient.objects.count() == 2


def test_what_cannot_be_is_refused_and_nothing_is_stored(client):
    wrong = {
        "patient_birth_date": "tomorrow", "patient_weight_lb": "heavy", "scheduled_start_time": "99",
        "performed_procedure_step_status": "COMPLETED", "patient_name": "", "patient_sex": "X",
        "scheduled_station_aetitle": "NOWHERE",
    }  # fmt: skip
    for field, value in wrong.items():
        assert client.post(URL, item(**{field: value}), format="json").status_code == 400, field
    assert Patient.objects.count() == 0


def test_filters_and_the_search_without_numbers_in_the_address(client, django_assert_max_num_queries):
    for number in range(3):
        client.post(URL, item(patient_id=f"sub_{number}_x", patient_name=f"P{number}^x"), format="json")
    first = client.get(URL).data["results"][0]
    client.put(f"{URL}{first['id']}/", {"performed_procedure_step_status": "IN_PROGRESS"}, format="json")
    assert len(client.get(f"{URL}?performed_procedure_step_status=IN_PROGRESS").data["results"]) == 1
    assert len(client.get(f"{URL}?modality=CT").data["results"]) == 0
    found = client.post(f"{URL}search/", {"patient_id": "_1_", "modality": "MR"}, format="json").data["results"]
    assert [one["patient_id"] for one in found] == ["sub_1_x"]
    both = {"performed_procedure_step_status": ["SCHEDULED", "IN_PROGRESS"], "data_source": "api"}
    assert len(client.post(f"{URL}search/", both, format="json").data["results"]) == 3
    for number in range(5):
        client.post(URL, item(patient_id=f"more_{number}", patient_name=f"M{number}^x"), format="json")
    with django_assert_max_num_queries(7):
        assert len(client.get(URL).data["results"]) == 8


def test_its_roles_are_scopes_and_its_token_is_ours(api, station):
    user = user_with_roles("technologist", "clerk")
    user.set_password(PASSWORD)
    user.save()
    token = api.post("/api/v1/auth/token", {"username": user.username, "password": PASSWORD}, format="json").json()
    assert token["token_type"] == "Bearer"
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token['access_token']}")
    made = api.post(URL, item(), format="json")
    assert made.status_code == 201
    url = f"{URL}{made.data['id']}/"
    answers = {}
    for role in ("read", "write", "admin"):
        key = create_api_key(user, label=role, scopes=[role], actor=SYSTEM)
        api.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.secret}")
        answers[role] = (
            api.get(URL).status_code,
            api.put(url, {"patient_name": f"cpip-id-17^{role}"}, format="json").status_code,
            api.post(URL, item(patient_id=f"sub_{role}", patient_name=f"{role}^x"), format="json").status_code,
            api.get("/api/v1/reports/").status_code,
            api.get("/api/v1/users/").status_code,
        )
    assert answers["read"] == (200, 403, 403, 403, 403)
    assert answers["write"] == (200, 200, 201, 403, 403)
    assert answers["admin"][:3] == (200, 200, 201) and answers["admin"][4] == 403, "never further than the user"
    with pytest.raises(InvalidData):
        create_api_key(user, label="x", scopes=["everything"], actor=SYSTEM)
