"""The demo's data: believable, in every state, and made once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Sum
from django.test import override_settings

from dose.models import DoseTrigger, SkinFollowUp
from interop.demo import plan
from interop.demo.seed import seed_house, seed_work
from interop.demo.week import seed_week
from interop.models import Hl7Destination, OutboundMessage
from orders.models import (
    BillingCode,
    Charge,
    Coverage,
    Invoice,
    InvoiceLine,
    Patient,
    PayerScheme,
    Payment,
    PriceItem,
    RequestedProcedure,
)
from peerreview.models import ReviewRound
from reporting.models import CriticalResult, DeliveryRule, FollowUp, Report, ReportDelivery, TeachingCase
from reporting.selectors.reports import attending_changes
from ris.accounts.models import User
from ris.notifications.models import RotaShift
from ris.notifications.services import unread_count
from tests.conftest import files_in, shared_start
from worklist.models import ExceptionItem, ImageRejection, ImagingInstance, OpeningHours, Station, WaitingEntry

pytestmark = pytest.mark.django_db
PATIENTS, EXAMS = 8, len(plan.STAGES)


@pytest.fixture(scope="module")
def made(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """Seeded once for all tests here; how much there is of it."""
    with shared_start(django_db_blocker), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIS_DEMO_PASSWORD", "seeded-Pass-4711")
        with override_settings(**files_in(tmp_path_factory.mktemp("seeded"))):
            made = seed_work(seed_house(prefix="T-", letterhead="Test Hospital"), patients=PATIENTS, exams=EXAMS)
        yield made


def test_the_plan_holds_sixty_exams_in_every_state_over_three_weeks():
    stages = dict(plan.STAGES)
    assert sum(stages.values()) == 60
    seen_by_people = set(RequestedProcedure.status.field.choices and dict(RequestedProcedure.status.field.choices))
    assert stages.keys() == seen_by_people


def test_a_seeded_facility_has_one_exam_of_each_state_and_is_left_alone_the_second_time(made, alpha):
    assert made == {"patients": PATIENTS, "exams": EXAMS}
    statuses = set(RequestedProcedure.objects.values_list("status", flat=True))
    assert {stage for stage, _count in plan.STAGES} <= statuses
    assert User.objects.get(username="clerk").check_password("seeded-Pass-4711")
    assert set(Station.objects.values_list("ae_title", flat=True)) >= {"CT1", "CT2", "MR1", "DX1", "US1", "MG1"}
    assert ImagingInstance.objects.exists()
    assert ExceptionItem.objects.open().filter(kind="unmatched_study", study__patient_name="Mutua^Daniel").exists()
    assert ImageRejection.objects.get().reason == "Patient moved"
    destination = Hl7Destination.objects.get()
    assert (destination.name, destination.is_paused) == ("hospital", True)
    assert not DeliveryRule.objects.get(destination="hospital").is_mandatory
    assert set(OutboundMessage.objects.values_list("status", flat=True)) == {"acknowledged", "parked", "pending"}
    review_round = ReviewRound.objects.get()
    assert review_round.status == "running"
    assert review_round.cases.filter(status="assigned").exists()
    assert {"open", "withdrawn"} <= set(CriticalResult.objects.values_list("status", flat=True))
    assert RotaShift.objects.filter(substitute__isnull=False).exists()
    referrer = User.objects.get(username="referrer")
    waiting = ReportDelivery.objects.filter(recipient__user=referrer, status="sent").count()
    asked = CriticalResult.objects.filter(procedure__order__requester__user=referrer)
    open_findings = asked.filter(status__in=("open", "communicated")).count()
    assert unread_count(referrer) == waiting + open_findings
    week = seed_week()
    assert week["shifts"] > 0 and week["waiting"] == WaitingEntry.objects.count() > 0
    assert OpeningHours.objects.filter(room__code="mg1").count() == 5
    assert seed_week() == {"shifts": 0, "waiting": 0}
    again = seed_work(seed_house(prefix="T-", letterhead="Test Hospital"), patients=PATIENTS, exams=EXAMS)
    assert again == {"patients": 0, "exams": 0}
    assert Patient.objects.count() == PATIENTS


def test_a_seeded_facility_follows_up_a_skin_and_lists_a_dose_in_pregnancy(made, alpha):
    follow_up = SkinFollowUp.objects.get()
    assert (follow_up.status, follow_up.report.modality, follow_up.report.source) == ("told", "XA", "manual")
    kinds = dict(DoseTrigger.objects.filter(report__modality="XA").values_list("kind", "status"))
    assert kinds == {"reason": "explained", "pregnancy": "open"}


def test_a_seeded_facility_has_payers_invoices_and_payments_that_add_up(made, alpha):
    assert {"insurance", "employer", "waiver"} == set(PayerScheme.objects.values_list("kind", flat=True))
    assert Coverage.objects.exists() and PriceItem.objects.filter(scheme__code="NHC").exists()
    assert Payment.objects.exists() and BillingCode.objects.exists()
    assert {"planned", "billable", "billed", "aborted"} >= set(Charge.objects.values_list("status", flat=True))
    billed = Charge.objects.filter(status="billed").aggregate(sum=Sum("amount"))["sum"]
    sums = dict(InvoiceLine.objects.values_list("invoice__kind").annotate(Sum("amount")))
    partly = Charge.objects.filter(status="billable", lines__isnull=False).distinct()
    open_again = sum(row.amount for row in partly)
    assert sums["invoice"] == billed + open_again
    numbers = list(Invoice.objects.filter(kind="invoice").order_by("pk").values_list("sequence", flat=True))
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3


def test_a_seeded_facility_has_cases_recommended_exams_and_an_attendings_changes(made, alpha):
    shared = TeachingCase.objects.filter(status="shared")
    assert shared and all(row.question and row.answer and row.reviewed_at is not None for row in shared)
    assert FollowUp.objects.filter(status="due").exists()
    report = Report.objects.get(preliminary_by__username="resident", status="final", changes_seen_at=None)
    assert {row.key for row in attending_changes(report)} >= {"impression"}
