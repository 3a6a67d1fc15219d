"""Reconciliation by REST, and in the admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from ris.core.actor import SYSTEM
from ris.core.ids import new_uid
from ris.tenants.context import use_facility
from tests.factories.orders import make_patient, make_user
from tests.factories.worklist import STORE, booked, ct_procedure, stored
from worklist.models import ExceptionItem, ImagingStudy, Reconciliation
from worklist.services import index_instance, link_study

pytestmark = pytest.mark.usefixtures("alpha")
ACTS = "/api/v1/reconciliations/"


@pytest.fixture
def technologist(api):
    api.force_authenticate(make_user("technologist"))
    return api


def exam(hours: int, **patient):
    return booked(
        ct_procedure(patient=make_patient(**patient)), starts_at=timezone.now() + timedelta(hours=hours)
    ).procedure


@pytest.fixture
def wrong():
    return exam(1, family_name="Hassan", given_name="Amina")


@pytest.fixture
def right():
    return exam(2, family_name="Mwangi", given_name="Baraka", birth_date="1961-07-12")


def test_moving_and_undoing(technologist, wrong, right):
    index_instance(stored(wrong), actor=STORE)
    body = {"source": str(wrong.uuid), "target": str(right.uuid), "reason": "Wrong line"}
    answer = technologist.post(f"{ACTS}move/", body, format="json")
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert (shown["kind"], shown["source"], shown["target"]) == ("move", str(wrong.uuid), str(right.uuid))
    assert list(ImagingStudy.objects.get().procedures.all()) == [right]
    assert technologist.post(f"{ACTS}move/", body, format="json").status_code == 404
    undo = f"{ACTS}{shown['id']}/undo/"
    assert technologist.post(undo, {}, format="json").status_code == 400
    assert technologist.post(undo, {"reason": "No"}, format="json").json()["undo_reason"] == "No"
    assert technologist.post(undo, {"reason": "No"}, format="json").status_code == 409
    assert [row["id"] for row in technologist.get(ACTS).json()["results"]] == [shown["id"]]


def test_splitting_and_merging(technologist, wrong):
    series = [new_uid(), new_uid()]
    for uid in series:
        index_instance(stored(wrong, series_instance_uid=uid), actor=STORE)
    study = ImagingStudy.objects.get()
    body = {"study": str(study.uuid), "series": series[:1], "target": str(wrong.uuid), "reason": "Two acquisitions"}
    answer = technologist.post(f"{ACTS}split/", body, format="json")
    assert answer.status_code == 201 and ImagingStudy.objects.count() == 2
    new = answer.json()["study"]
    body = {"study": new, "into": str(study.uuid), "reason": "One after all"}
    assert technologist.post(f"{ACTS}merge/", body, format="json").status_code == 201
    study.refresh_from_db()
    assert study.series_count == 2


def test_candidates_in_words(technologist, right):
    sent = {"patient_id": "", "patient_name": "Mwnagi^Baraka", "accession_number": "", "study_instance_uid": new_uid()}
    index_instance(stored(right, **sent), actor=STORE)
    url = f"/api/v1/exceptions/{ExceptionItem.objects.get().uuid}/"
    [first] = technologist.get(f"{url}candidates/").json()
    assert first["procedure"] == str(right.uuid) and first["is_certain"]
    name = next(fact for fact in first["facts"] if fact["key"] == "name")
    assert (name["verdict"], name["words"]) == ("near", "name in another spelling")
    [found] = technologist.post(f"{url}search/", {"words": "baraka mwangi"}, format="json").json()
    assert found["accession_number"] == right.accession_number


def test_another_facilitys_acts_and_a_clerk(technologist, api, beta, right):
    with use_facility(beta):
        index_instance(stored(), actor=STORE)
        link_study(ImagingStudy.objects.get(), procedure=exam(1), reason="Seen", actor=SYSTEM)
        foreign = Reconciliation.objects.get().uuid
    assert technologist.get(f"{ACTS}{foreign}/").status_code == 404
    assert technologist.post(f"{ACTS}{foreign}/undo/", {"reason": "No"}, format="json").status_code == 404
    api.force_authenticate(make_user("clerk"))
    assert api.get(ACTS).status_code == 403


def test_the_admin_lists_and_undoes(tclient, right):
    index_instance(stored(), actor=STORE)
    link_study(ImagingStudy.objects.get(), procedure=right, reason="Seen at the scanner", actor=SYSTEM)
    tclient.force_login(make_user("technologist"), backend="ris.accounts.backends.PasswordBackend")
    page = tclient.get(reverse("admin:worklist_reconciliation_changelist"), {"q": right.accession_number})
    assert page.status_code == 200 and b"Seen at the scanner" in page.content
