"""Recommended exams: from the draft to the exam that answers them, and what happens when it does not come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orders.models import Patient
from reporting import services
from reporting.models import FollowUp
from reporting.services.followups import (
    change_follow_up,
    claim_late,
    close_follow_up,
    follow_exam,
    recommend,
    reopen_follow_up,
    tell_late,
)
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.notifications.models import Notification
from tests.factories.orders import make_catalogue
from tests.factories.reporting import drafted, make_patient, make_procedure, make_referrer, signed

LATER = timedelta(days=180)


def due() -> Any:
    return timezone.localdate() + LATER


@pytest.fixture
def recommended(people: Any) -> FollowUp:
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    return recommend(
        report, modality="CT", body_region="chest", due_on=due(), reason="Nodule of 7 mm", actor=people.radiologist
    )


@pytest.fixture
def browser(people: Any) -> Any:
    def of(actor: Any) -> Client:
        client = Client(HTTP_HOST="alpha.test")
        client.force_login(actor.user)
        return client

    return of


def make_late(row: FollowUp) -> None:
    FollowUp.objects.filter(pk=row.pk).update(due_on=timezone.localdate() - timedelta(days=1))


def test_it_waits_for_the_signature(people):
    report = drafted(actor=people.radiologist)
    row = recommend(report, modality="CT", body_region="chest", due_on=due(), reason="Nodule", actor=people.radiologist)
    assert row.status == "planned"
    services.sign_report(report, actor=people.radiologist)
    row.refresh_from_db()
    assert row.status == "due"


def test_what_a_retracted_report_recommended_is_taken_back(people, recommended):
    services.retract_report(recommended.report, reason="Another patient", actor=people.radiologist)
    recommended.refresh_from_db()
    assert (recommended.status, bool(recommended.closed_reason)) == ("cancelled", True)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"modality": ""}, "modality"),
        ({"modality": "XX"}, "modality"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 301}, "reason"),
        ({"due_on": timezone.localdate() - timedelta(days=1)}, "due_on"),
        ({"due_on": timezone.localdate() + timedelta(days=9000)}, "due_on"),
    ],
)
def test_what_is_incomplete_is_named(people, wrong, field):
    report = signed(actor=people.radiologist)
    values = {"modality": "CT", "due_on": due(), "reason": "Nodule", **wrong}
    with pytest.raises(InvalidData) as refusal:
        recommend(report, actor=people.radiologist, **values)
    assert field in refusal.value.errors


@pytest.mark.parametrize(
    ("exam", "answers"),
    [
        ({"modality": "CT", "body_region": "Chest"}, True),
        ({"modality": "CT", "body_region": "abdomen"}, False),
        ({"modality": "MR", "body_region": "chest"}, False),
    ],
)
def test_the_exam_closes_it(people, recommended, exam, answers):
    patient = recommended.procedure.order.patient
    done = make_procedure(patient=patient, status="performed", **exam)
    assert follow_exam(done) == int(answers)
    recommended.refresh_from_db()
    assert recommended.status == ("done" if answers else "due")
    assert recommended.closed_by_exam == (done if answers else None)


def test_only_a_later_exam_of_the_same_patient_closes_it(people, recommended):
    assert follow_exam(make_procedure(patient=make_patient(), status="performed")) == 0
    assert follow_exam(recommended.procedure) == 0
    assert follow_exam(make_procedure(patient=recommended.procedure.order.patient, status="scheduled")) == 0


def test_the_catalogues_exam_is_asked_for_exactly(people):
    catalogue = make_catalogue()
    row = recommend(
        signed(actor=people.radiologist), catalogue=catalogue, due_on=due(), reason="Nodule", actor=people.radiologist
    )
    assert (row.modality, row.what) == (catalogue.modality, catalogue.name)
    done = make_procedure(
        patient=row.procedure.order.patient, status="performed", catalogue=catalogue, modality="OT", body_region="x"
    )
    assert follow_exam(done) == 1


def test_late_ones_are_told_of_once(people, recommended):
    assert claim_late() == []
    make_late(recommended)
    (found,) = claim_late()
    assert claim_late() == []  # another dispatcher has it
    assert tell_late(found) is True
    assert tell_late(found) is False
    told = Notification.objects.filter(template="reporting.follow_up_late")
    assert {row.recipient for row in told} == {people.referrer.actor.user, people.radiologist.user}
    change_follow_up(recommended, due_on=due(), reason="Nodule", actor=people.radiologist)
    make_late(recommended)
    FollowUp.objects.update(claimed_until=None)
    assert tell_late(claim_late()[0]) is True


def test_it_is_closed_and_opened_again_with_a_reason(people, recommended):
    with pytest.raises(InvalidData):
        close_follow_up(recommended, reason=" ", actor=people.clerk)
    close_follow_up(recommended, reason="Done at the coast", actor=people.clerk)
    with pytest.raises(InvalidTransition):
        close_follow_up(recommended, reason="Again", actor=people.clerk)
    with pytest.raises(InvalidTransition):
        change_follow_up(recommended, due_on=due(), reason="x", actor=people.radiologist)
    row = reopen_follow_up(recommended, reason="Another exam", actor=people.radiologist)
    assert (row.status, row.closed_reason) == ("due", "")
    with pytest.raises(NotPermitted):
        recommend(row.report, modality="CT", due_on=due(), reason="x", actor=people.clerk)


def test_a_referrer_sees_and_closes_only_their_own(people, recommended, browser):
    page = browser(people.referrer.actor).get("/follow-ups/?box=open")
    assert b"Nodule of 7 mm" in page.content
    stranger = browser(make_referrer().actor)
    assert b"Nodule of 7 mm" not in stranger.get("/follow-ups/?box=open").content
    assert stranger.post(f"/follow-ups/{recommended.uuid}/close/", {"reason": "x"}).status_code == 404
    Patient.objects.filter(pk=recommended.procedure.order.patient_id).update(is_restricted=True)
    assert b"Nodule of 7 mm" not in browser(people.radiologist).get("/follow-ups/?box=open").content


def test_the_card_beside_the_report_and_the_letter(people, recommended, browser):
    reader = browser(people.radiologist)
    report = recommended.report
    assert b"Nodule of 7 mm" in reader.get(f"/reports/{report.uuid}/").content
    posted = {"modality": "MR", "body_region": "knee", "due_on": due().isoformat(), "reason": "Meniscus"}
    card = reader.post(f"/reports/{report.uuid}/recommend/", posted, HTTP_HX_REQUEST="true")
    assert (card.status_code, b"Meniscus" in card.content, b"<html" in card.content) == (200, True, False)
    refused = reader.post(f"/reports/{report.uuid}/recommend/", {**posted, "due_on": "2001-01-01"})
    assert refused.status_code in (400, 422)
    letter = browser(people.clerk).post(f"/follow-ups/{recommended.uuid}/letter/")
    assert letter.content.startswith(b"%PDF")
    recommended.refresh_from_db()
    assert recommended.letter_printed_at is not None


def test_the_list_costs_a_fixed_number_of_queries(people, recommended, browser):
    clerk = browser(people.clerk)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert clerk.get("/follow-ups/?box=open").status_code == 200
        return len(queries)

    cost()
    few = cost()
    for _ in range(4):
        recommend(
            signed(actor=people.radiologist), modality="CT", due_on=due(), reason="Nodule", actor=people.radiologist
        )
    assert cost() == few


def test_programs_recommend_and_close(people, recommended, api):
    api.force_authenticate(people.radiologist.user)
    body = {"report": str(recommended.report.uuid), "modality": "MR", "due_on": due().isoformat(), "reason": "Meniscus"}
    made = api.post("/api/v1/follow-ups/", body, format="json")
    assert made.status_code == 201, made.json()
    address = f"/api/v1/follow-ups/{made.json()['uuid']}/"
    assert api.post(f"{address}close/", {"reason": "Declined", "is_done": False}, format="json").json()["status"] == (
        "cancelled"
    )
    assert api.post(f"{address}reopen/", {"reason": "Came back"}, format="json").json()["status"] == "due"
    assert len(api.get("/api/v1/follow-ups/?status=due").json()["results"]) == 2
    assert api.post("/api/v1/follow-ups/", {**body, "due_on": "2001-01-01"}, format="json").status_code == 400


def test_the_administration_is_a_second_door(people, recommended, browser):
    reader = browser(people.radiologist)
    address = "/admin/reporting/followup/"
    assert b"Nodule of 7 mm" in reader.get(address).content
    posted = {"action": "Done", "_selected_action": [recommended.pk], "_confirmed": "1", "reason": "Elsewhere"}
    names = [name for name, _label in reader.get(address).context["action_form"].fields["action"].choices]
    reader.post(address, {**posted, "action": names[1]})
    recommended.refresh_from_db()
    assert (recommended.status, recommended.closed_reason) == ("done", "Elsewhere")
