"""Rounds: planned, drawn the same way twice, scored blind, arbitrated, closed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from peerreview import selectors, services
from peerreview.events import DiscrepancyConfirmed
from peerreview.models import CaseStatus, ReviewCase, ReviewRound, RoundStatus
from ris.audit.models import AuditEvent
from ris.audit.service import flush_refusals
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, signed

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def shared(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """Two authors of three reports, two thirds of which are drawn; they and a third radiologist review."""
    with shared_start(django_db_blocker):
        lead, readers = actor_with_roles("qa_lead"), [actor_with_roles("radiologist") for _number in range(3)]
        for author in readers[:2]:
            for _number in range(3):
                signed(actor=author)
        row = services.launch_round(planned(lead, readers, percent=67), actor=lead)
        yield SimpleNamespace(lead=lead, readers=readers, row=row)


@pytest.fixture
def lead(shared, alpha):
    return shared.lead


@pytest.fixture
def readers(shared, alpha):
    return shared.readers


@pytest.fixture
def launched(shared, alpha):
    return shared.row


def planned(lead, reviewers, **fields) -> ReviewRound:
    today = timezone.localdate()
    values = {"name": "November CT", "signed_from": today - timedelta(days=3), "signed_until": today, "percent": 50}
    return services.create_round(**{**values, **fields}, reviewers=[actor.user for actor in reviewers], actor=lead)


def test_a_round_draws_a_share_of_each_reader_and_never_gives_a_report_to_its_author(launched, readers):
    cases = list(launched.cases.select_related("report_version"))
    assert len(cases) == 4
    assert all(case.reviewer_id != case.report_version.signed_by_id for case in cases)
    assert {case.report_version.signed_by_id for case in cases} == {actor.user.pk for actor in readers[:2]}


def test_the_same_seed_and_reports_give_the_same_sample(lead, readers):
    one = planned(lead, readers, name="One", percent=33, seed=42)
    two = planned(lead, readers, name="Two", percent=33, seed=42)
    assert services.sample(one) == services.sample(two)
    others = []
    for two.seed in range(43, 53):
        others.append(services.sample(two))
    assert any(other != services.sample(one) for other in others)


def test_a_round_without_reports_is_not_launched_and_changes_nothing(lead, readers):
    review_round = planned(lead, readers, name="Empty", modality="US")
    with pytest.raises(Conflict):
        services.launch_round(review_round, actor=lead)
    review_round.refresh_from_db()
    assert (review_round.status, review_round.cases.count()) == (RoundStatus.DRAFT, 0)


def test_impossible_plans_name_their_fields(lead, readers):
    with pytest.raises(InvalidData) as refusal:
        planned(lead, [], name="A", percent=0, signed_until=timezone.localdate() - timedelta(days=30))
    assert set(refusal.value.errors) == {"percent", "reviewers", "signed_until"}
    with pytest.raises(InvalidData) as refusal:
        planned(
            lead,
            [],
            name="B",
            mode="x",
            scale="site",
            weights={"CT": 0},
            per_reader=0,
            due_on=timezone.localdate() - timedelta(1),
        )
    assert set(refusal.value.errors) == {"mode", "scale", "weights", "per_reader", "due_on", "reviewers"}
    with pytest.raises(InvalidData) as refusal:
        planned(lead, [], name="C", mode="targeted")
    assert set(refusal.value.errors) == {"targets", "reviewers"}


def test_only_the_lead_plans_a_round(readers):
    with pytest.raises(NotPermitted):
        planned(readers[0], readers, name="Mine")
    flush_refusals()
    assert AuditEvent.objects.filter(event_type="peerreview.manage_round", outcome=4).exists()


def test_concurrence_closes_the_case_without_arbitration(launched, readers):
    case = launched.cases.first()
    reviewer = next(actor for actor in readers if actor.user.pk == case.reviewer_id)
    scored = services.score_case(case, score="1", actor=reviewer)
    assert (scored.status, scored.score) == (CaseStatus.SCORED, "1")
    assert scored.history.count() == 2
    with pytest.raises(InvalidTransition):
        services.score_case(case, score="1", actor=reviewer)


def test_a_discrepancy_needs_a_comment_and_a_third_person(launched, readers, lead, dispatch):
    case = launched.cases.select_related("report_version__signed_by").first()
    reviewer = next(actor for actor in readers if actor.user.pk == case.reviewer_id)
    author = next(actor for actor in readers if actor.user.pk == case.report_version.signed_by_id)
    with pytest.raises(InvalidData):
        services.score_case(case, score="3b", actor=reviewer)
    case = services.score_case(case, score="3b", comment="Spiculated mass.", actor=reviewer)
    assert case.status == CaseStatus.ARBITRATION
    for wrong in (reviewer, author):
        with pytest.raises(Conflict):
            services.arbitrate_case(case, score="3b", actor=wrong)
    with pytest.raises(InvalidData):
        services.arbitrate_case(case, score="3b", actor=lead)
    case = services.arbitrate_case(case, score="3b", comment="I agree.", actor=lead)
    assert (case.status, case.arbitrated_score, case.arbiter) == (CaseStatus.CLOSED, "3b", lead.user)
    assert OutboxEvent.objects.filter(name=DiscrepancyConfirmed.name).count() == 1
    dispatch()
    told = Notification.objects.filter(template="peerreview.discrepancy")
    assert [row.recipient for row in told] == [author.user]


def test_somebody_elses_case_is_neither_seen_nor_scored(launched, readers):
    case = launched.cases.first()
    other = next(actor for actor in readers if actor.user.pk != case.reviewer_id)
    assert not selectors.my_cases(actor=other).filter(pk=case.pk).exists()
    with pytest.raises(Conflict):
        services.score_case(case, score="1", actor=other)


def test_a_round_closes_when_every_case_is_decided(launched, readers, lead):
    with pytest.raises(Conflict):
        services.close_round(launched, actor=lead)
    for case in launched.cases.all():
        reviewer = next(actor for actor in readers if actor.user.pk == case.reviewer_id)
        services.score_case(case, score="1", actor=reviewer)
    assert services.close_round(launched, actor=lead).status == RoundStatus.CLOSED
    agreement = selectors.agreement(launched)
    assert (agreement.scored, agreement.share) == (4, 1.0)
    assert 0.5 < agreement.interval[0] < 0.52


def test_pages_of_a_round_hide_the_author(launched, readers, lead, tclient):
    tclient.force_login(lead.user)
    assert tclient.get("/peer-review/").status_code == 200
    assert tclient.get(f"/peer-review/rounds/{launched.uuid}/").status_code == 200
    assert tclient.get("/peer-review/rounds/new/").status_code == 200
    case = launched.cases.select_related("report_version__signed_by").first()
    reviewer = next(actor for actor in readers if actor.user.pk == case.reviewer_id)
    tclient.force_login(reviewer.user)
    page = tclient.get(f"/peer-review/cases/{case.uuid}/")
    assert page.status_code == 200
    main = page.content.decode().partition('id="main"')[2]
    assert case.report_version.signer_name not in main
    refused = tclient.post(f"/peer-review/cases/{case.uuid}/", {"score": "2b", "comment": ""})
    assert refused.status_code == 400
    done = tclient.post(f"/peer-review/cases/{case.uuid}/", {"score": "1", "comment": ""})
    assert done.status_code == 302
    case.refresh_from_db()
    assert case.score == "1"


def test_rest_plans_launches_and_scores(readers, lead, api):
    signed(make_procedure(modality="MR"), actor=readers[0])
    api.force_authenticate(lead.user)
    today = timezone.localdate()
    body = {
        "name": "By REST",
        "signed_from": str(today - timedelta(days=1)),
        "signed_until": str(today + timedelta(days=1)),  # the facility's day may be another than the server's
        "modality": "MR",
        "percent": 100,
        "seed": 7,
        "reviewers": [str(actor.user.uuid) for actor in readers],
    }
    created = api.post("/api/v1/review-rounds/", body, format="json")
    assert created.status_code == 201
    launched = api.post(f"/api/v1/review-rounds/{created.data['id']}/launch/")
    assert (launched.status_code, launched.data.get("case_count")) == (200, 1), launched.data
    assert api.post(f"/api/v1/review-rounds/{created.data['id']}/launch/").status_code == 409
    case = ReviewCase.objects.get(round__name="By REST")
    api.force_authenticate(case.reviewer)
    scored = api.post(f"/api/v1/review-cases/{case.uuid}/score/", {"score": "1"}, format="json")
    assert (scored.status_code, scored.data["status"]) == (200, "scored")


def test_lists_cost_a_fixed_number_of_queries(launched, readers, lead, tclient, django_assert_max_num_queries):
    tclient.force_login(lead.user)
    tclient.get("/peer-review/")
    with django_assert_max_num_queries(40):
        tclient.get("/peer-review/")
