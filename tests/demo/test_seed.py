"""The demo's data: believable, in every state, and made once."""

from __future__ import annotations

import pytest

from interop.demo import plan
from interop.demo.seed import seed_house, seed_work
from interop.demo.week import seed_week
from interop.models import Hl7Destination, OutboundMessage
from orders.models import Patient, RequestedProcedure
from peerreview.models import ReviewRound
from reporting.models import CriticalResult, DeliveryRule, ReportDelivery
from ris.accounts.models import User
from ris.notifications.services import unread_count
from worklist.models import ImagingInstance, OpeningHours, Station, WaitingEntry

pytestmark = pytest.mark.django_db


def test_the_plan_holds_sixty_exams_in_every_state_over_three_weeks():
    stages = dict(plan.STAGES)
    assert sum(stages.values()) == 60
    seen_by_people = set(RequestedProcedure.status.field.choices and dict(RequestedProcedure.status.field.choices))
    assert stages.keys() == seen_by_people


def test_a_seeded_facility_has_one_exam_of_each_state_and_is_left_alone_the_second_time(alpha, monkeypatch):
    monkeypatch.setenv("RIS_DEMO_PASSWORD", "seeded-Pass-4711")
    stage = seed_house(prefix="T-", letterhead="Test Hospital")
    made = seed_work(stage, patients=6, exams=len(plan.STAGES))
    assert made == {"patients": 6, "exams": len(plan.STAGES)}
    statuses = set(RequestedProcedure.objects.values_list("status", flat=True))
    assert {stage for stage, _count in plan.STAGES} <= statuses
    assert User.objects.get(username="clerk").check_password("seeded-Pass-4711")
    assert set(Station.objects.values_list("ae_title", flat=True)) >= {"CT1", "CT2", "MR1", "DX1", "US1", "MG1"}
    assert ImagingInstance.objects.exists()
    destination = Hl7Destination.objects.get()
    assert (destination.name, destination.is_paused) == ("hospital", True)
    assert not DeliveryRule.objects.get(destination="hospital").is_mandatory
    assert not OutboundMessage.objects.exists()
    review_round = ReviewRound.objects.get()
    assert review_round.status == "running"
    assert review_round.cases.filter(status="assigned").exists()
    referrer = User.objects.get(username="referrer")
    waiting = ReportDelivery.objects.filter(recipient__user=referrer, status="sent").count()
    open_findings = CriticalResult.objects.filter(procedure__order__requester__user=referrer, status="open").count()
    assert unread_count(referrer) == waiting + open_findings
    week = seed_week()
    assert week["shifts"] > 0 and week["waiting"] == WaitingEntry.objects.count() > 0
    assert OpeningHours.objects.filter(room__code="mg1").count() == 5
    assert seed_week() == {"shifts": 0, "waiting": 0}
    again = seed_work(seed_house(prefix="T-", letterhead="Test Hospital"), patients=6, exams=20)
    assert again == {"patients": 0, "exams": 0}
    assert Patient.objects.count() == 6
