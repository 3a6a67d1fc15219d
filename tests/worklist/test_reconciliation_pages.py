"""The pages of exceptions and evidence: compared, searched by typing, confirmed, done, undone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from ris.core.ids import new_uid
from tests.factories.orders import make_patient, make_user
from tests.factories.worklist import SCANNER, STORE, booked, ct_procedure, series_of, started, step_of, stored
from worklist.data import PerformedStepData
from worklist.models import ExceptionItem, ImagingStudy, Reconciliation
from worklist.services import index_instance, update_performed_step

pytestmark = pytest.mark.usefixtures("alpha")


@pytest.fixture
def sign_in(tclient):
    def as_role(*roles: str, **fields):
        user = make_user(*roles, **fields)
        tclient.force_login(user, backend="ris.accounts.backends.PasswordBackend")
        return tclient

    return as_role


@pytest.fixture
def wrong():
    patient = make_patient(family_name="Hassan", given_name="Amina", birth_date="1990-03-14")
    return booked(ct_procedure(patient=patient), starts_at=timezone.now() + timedelta(hours=1)).procedure


@pytest.fixture
def right():
    patient = make_patient(family_name="Mwangi", given_name="Baraka", birth_date="1961-07-12", sex="M")
    return booked(ct_procedure(patient=patient), starts_at=timezone.now() + timedelta(hours=2)).procedure


def done_as(procedure, images: int = 2):
    step, uids = started(procedure), [new_uid() for _number in range(images)]
    for uid in uids:
        index_instance(stored(procedure, sop_instance_uid=uid), actor=STORE)
    update_performed_step(
        sop_instance_uid=step.sop_instance_uid,
        changes=PerformedStepData(status="COMPLETED", series=series_of(*uids)),
        actor=SCANNER,
    )


def read(page) -> str:
    return " ".join(page.content.decode().split())


def test_what_the_scanner_said_stands_beside_what_the_order_says(sign_in, right):
    client = sign_in("technologist")
    sent = {"patient_id": "", "patient_name": "Mwnagi^Baraka", "patient_birth_date": "19611207", "patient_sex": "F"}
    index_instance(stored(right, study_instance_uid=new_uid(), accession_number="", **sent), actor=STORE)
    item = ExceptionItem.objects.get()
    page = read(client.get(reverse("exception_detail", args=[item.uuid])))
    for words in ("MWNAGI, Baraka", "name in another spelling", "day and month of birth swapped", "another sex"):
        assert words in page
    confirm = read(client.get(reverse("exception_confirm", args=[item.uuid]), {"exam": str(right.uuid)}))
    assert "What will happen" in confirm and f"{right.accession_number} counts as performed then" in confirm
    url = reverse("exception_link", args=[item.uuid])
    assert client.post(url, {"procedure": str(right.uuid), "reason": ""}).status_code == 422
    answer = client.post(url, {"procedure": str(right.uuid), "reason": "Asked the patient"})
    act = Reconciliation.objects.get()
    assert answer.url == reverse("reconciliation_detail", args=[act.uuid])
    undo = reverse("reconciliation_undo", args=[act.uuid])
    assert client.post(undo, {"reason": ""}).status_code == 422
    assert client.post(undo, {"reason": "Somebody else"}).status_code == 302
    assert client.post(undo, {"reason": "Somebody else"}).status_code == 409
    assert not ImagingStudy.objects.get().procedures.exists()
    assert "Somebody else" in read(client.get(answer.url))
    assert "Undone" in read(client.get(reverse("exception_list"), {"box": "acts"}))


def test_other_candidates_are_found_by_typing_and_never_in_the_address(sign_in, wrong, right):
    client = sign_in("technologist")
    index_instance(stored(wrong, study_instance_uid=new_uid(), accession_number="", patient_id=""), actor=STORE)
    item = ExceptionItem.objects.get()
    url = reverse("exception_search", args=[item.uuid])
    assert client.get(url).status_code == 405
    page = read(client.post(url, {"words": "baraka"}))
    assert right.accession_number in page and "The patient differs." in page
    assert "baraka" not in page.lower().split("?exam=")[1].split('"')[0]


def test_a_wrong_entry_is_repaired_and_undone_from_the_pages(sign_in, wrong, right):
    client = sign_in("technologist")
    done_as(wrong)
    page = reverse("evidence", args=[wrong.uuid])
    assert "All of it was the chosen exam" in read(client.get(page))
    found = read(client.post(reverse("evidence_search", args=[wrong.uuid]), {"words": right.accession_number}))
    assert str(right.uuid) in found
    confirm, do = reverse("evidence_confirm", args=[wrong.uuid]), reverse("evidence_do", args=[wrong.uuid])
    assert client.post(confirm, {"act": "move"}).status_code == 422
    chosen = {"act": "move", "target": str(right.uuid)}
    words = read(client.post(confirm, chosen))
    assert f"{wrong.accession_number} is open again" in words and "113038" in words
    assert client.post(do, {**chosen, "reason": ""}).status_code == 422
    answer = client.post(do, {**chosen, "reason": "Wrong line on the scanner"})
    wrong.refresh_from_db()
    assert (answer.status_code, wrong.status, step_of(wrong).is_on_worklist) == (302, "scheduled", True)
    client.post(f"{answer.url}undo/", {"reason": "It was right"})
    wrong.refresh_from_db()
    assert wrong.status == "ready_to_read"


@pytest.mark.parametrize("act", ["split", "unlink", "merge"])
def test_studies_are_split_unlinked_and_merged(sign_in, wrong, act):
    client = sign_in("technologist")
    series = [new_uid(), new_uid()]
    for uid in series:
        index_instance(stored(wrong, series_instance_uid=uid), actor=STORE)
    if act == "merge":
        index_instance(stored(wrong, study_instance_uid=new_uid()), actor=STORE)
    study = ImagingStudy.objects.order_by("pk").last()
    chosen = {"act": act, "study": str(study.uuid), "series": series[:1]}
    confirm = client.post(reverse("evidence_confirm", args=[wrong.uuid]), chosen)
    assert confirm.status_code == 200 and "It can be undone" in read(confirm)
    answer = client.post(reverse("evidence_do", args=[wrong.uuid]), {**chosen, "reason": "Seen"})
    assert answer.status_code == 302 and Reconciliation.objects.get().kind == act
    assert client.get(answer.url).status_code == 200
    assert "Seen" in read(client.get(reverse("evidence", args=[wrong.uuid])))


def test_without_the_right_there_are_no_pages(sign_in, wrong):
    client = sign_in("clerk")
    for url in (reverse("evidence", args=[wrong.uuid]), reverse("exception_list")):
        assert client.get(url).status_code == 403


def test_the_lists_cost_a_fixed_number_of_queries(sign_in, wrong, right):
    client, counts = sign_in("technologist"), {"": [], "acts": []}
    for _round in range(3):
        index_instance(stored(patient_id="X", patient_name="Doe^Jhon"), actor=STORE)
        item = ExceptionItem.objects.open().order_by("-pk").first()
        index_instance(stored(patient_id="Y", patient_name="Roe^Jane"), actor=STORE)
        client.post(reverse("exception_link", args=[item.uuid]), {"procedure": str(right.uuid), "reason": "Seen"})
        for box, known in counts.items():
            with CaptureQueriesContext(connection) as queries:
                assert client.get(reverse("exception_list"), {"box": box}).status_code == 200
            known.append(len(queries))
    for known in counts.values():
        assert known[1] == known[2]
