"""Who is told when a case comes to them, and how a round ends: by hand, or by the clock with what nobody reviewed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from peerreview import clock, selectors, services
from peerreview.models import CaseStatus, ReviewCase, ReviewRound, RoundStatus
from reporting.models import CoSignature
from ris.accounts.models import Site
from ris.core.errors import Conflict, InvalidTransition
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, signed

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """A running round of three cases of one author, all before one reviewer; a co-signer; two who may arbitrate."""
    with shared_start(django_db_blocker):
        lead = actor_with_roles("qa_lead")
        author, reviewer, cosigner, arbiter = (actor_with_roles("radiologist") for _number in range(4))
        elsewhere = actor_with_roles("radiologist", sites=[Site.objects.create(code="away", name="Away")])
        here, reports = Site.objects.create(code="here", name="Here"), []
        for modality in ("CT", "CT", "MR"):
            exam = make_procedure(modality=modality)
            exam.order.site = here
            exam.order.save()
            reports.append(signed(exam, actor=author))
        for report in reports:
            version = report.versions.get()
            CoSignature.objects.create(report_version=version, signed_by=cosigner.user, signer_name="x")
        today = timezone.localdate()
        review_round = services.create_round(
            name="Round",
            signed_from=today - timedelta(days=1),
            signed_until=today + timedelta(days=1),
            percent=100,
            due_on=today + timedelta(days=9),
            reviewers=[reviewer.user, cosigner.user, elsewhere.user],
            actor=lead,
        )
        preview = services.preview(review_round)
        services.launch_round(review_round, expected_cases=preview.cases, actor=lead)
        yield SimpleNamespace(**{key: value for key, value in locals().items() if key != "django_db_blocker"})


def told(template: str) -> set[int]:
    return {row.recipient_id for row in Notification.objects.filter(template=f"peerreview.{template}")}


def due(days: int) -> None:
    """The round is due so many days from today."""
    ReviewRound.objects.update(due_on=timezone.localdate() + timedelta(days=days))


def tick() -> tuple[int, int]:
    """What the dispatcher does: (people's cases reminded of, rounds closed)."""
    return sum(clock.remind(pk) for pk in clock.claim_due()), sum(clock.close_over(pk) for pk in clock.claim_over())


def test_whoever_stands_by_a_report_or_may_not_see_it_neither_reviews_nor_arbitrates(made, alpha):
    assert {case.reviewer for case in made.review_round.cases.all()} == {made.reviewer.user}
    loads = dict(made.preview.loads)
    assert loads == {made.reviewer.user: 3, made.cosigner.user: 0, made.elsewhere.user: 0}
    case = made.review_round.cases.first()
    services.score_case(case, score="2b", comment="Missed.", actor=made.reviewer)
    for actor in (made.author, made.reviewer, made.cosigner, made.elsewhere):
        assert not selectors.to_arbitrate(actor=actor).exists()
        with pytest.raises(Conflict):
            services.arbitrate_case(case, score="1", actor=actor)
    assert [selectors.to_arbitrate(actor=actor).get() for actor in (made.arbiter, made.lead)] == [case, case]


def test_those_who_may_arbitrate_are_told_once_a_day(made, alpha, dispatch):
    first, second, third = made.review_round.cases.order_by("pk")
    may = {made.arbiter.user.pk, made.lead.user.pk}
    for case in (first, second):
        services.score_case(case, score="3a", comment="Missed.", actor=made.reviewer)
    dispatch()
    assert told("to_arbitrate") == may
    assert Notification.objects.filter(template="peerreview.to_arbitrate").count() == 2, "one message, two cases"
    message = Notification.objects.filter(template="peerreview.to_arbitrate").first()
    assert (message.url, message.context) == ("/peer-review/", {})
    services.arbitrate_case(first, score="1", actor=made.arbiter)
    assert tick() == (0, 0)
    due(3)
    assert (tick(), tick()) == ((2, 0), (0, 0))
    assert told("case_due") == {made.reviewer.user.pk}
    assert Notification.objects.filter(template="peerreview.to_arbitrate").count() == 2, "told today already"
    assert ReviewCase.objects.get(pk=third.pk).status == CaseStatus.ASSIGNED


def test_whom_a_case_is_passed_on_to_is_told(made, alpha, dispatch):
    case = made.review_round.cases.first()
    services.reassign_case(case, reviewer=made.arbiter.user, reason="Away", actor=made.lead)
    dispatch()
    assert told("case_passed_on") == {made.arbiter.user.pk}


def test_a_round_that_is_all_decided_closes_the_day_after_it_was_due(made, alpha, dispatch):
    for case in made.review_round.cases.all():
        services.score_case(case, score="1", actor=made.reviewer)
    for days, ended in ((0, 0), (-1, 1), (-1, 0)):
        due(days)
        assert tick() == (0, ended)
    row = ReviewRound.objects.get()
    assert (row.status, row.cases.filter(status=CaseStatus.LAPSED).count()) == (RoundStatus.CLOSED, 0)
    event = OutboxEvent.objects.get(name="peerreview.round_closed")
    assert (event.payload["not_reviewed"], event.payload["by_itself"]) == (0, True)
    assert row.history.first().history_change_reason == "Closed [system:system]"
    dispatch()
    assert told("round_closed") == {made.lead.user.pk}


def test_past_the_due_date_people_are_reminded_once_more_and_a_week_later_it_closes_without_them(
    made, alpha, tclient, api, dispatch
):
    decided, first, second = made.review_round.cases.order_by("pk")
    services.score_case(decided, score="1", actor=made.reviewer)
    due(0)
    assert tick() == (2, 0)
    due(-1)
    ReviewCase.objects.update(reminded_at=timezone.now() - timedelta(days=2))
    assert (tick(), tick()) == ((2, 0), (0, 0))
    due(-7)
    assert tick() == (0, 0)
    due(-8)
    assert tick() == (0, 1)
    row = ReviewRound.objects.get()
    assert row.status == RoundStatus.CLOSED
    assert list(row.cases.order_by("pk").values_list("status", flat=True)) == ["scored", "lapsed", "lapsed"]
    assert selectors.agreement(row).scored == 1, "what nobody reviewed is in no number"
    with pytest.raises(InvalidTransition):
        services.score_case(first, score="1", actor=made.reviewer)
    dispatch()
    message = Notification.objects.get(template="peerreview.round_closed")
    assert (message.recipient, message.context) == (made.lead.user, {"not_reviewed": 2})
    tclient.force_login(made.lead.user)
    page = tclient.get(message.url).content.decode()
    assert "Not reviewed in time" in page and "2 cases, in no number above" in page
    assert "2 cases were not reviewed" in tclient.get("/notifications/").content.decode()
    tclient.force_login(made.reviewer.user)
    page = tclient.get(f"/peer-review/cases/{second.uuid}/").content.decode()
    assert "Not reviewed in time" in page and 'name="score"' not in page
    api.force_authenticate(made.lead.user)
    assert api.get(f"/api/v1/review-rounds/{row.uuid}/").data["not_reviewed_count"] == 2


def test_what_waits_for_an_arbiter_keeps_the_round_open(made, alpha, tclient, api):
    case = made.review_round.cases.first()
    services.score_case(case, score="3b", comment="Missed.", actor=made.reviewer)
    due(-30)
    assert tick() == (3, 0)
    assert told("to_arbitrate") == {made.arbiter.user.pk, made.lead.user.pk}
    with pytest.raises(Conflict):
        services.close_round(made.review_round, without_waiting=True, actor=made.lead)
    services.arbitrate_case(case, score="2a", actor=made.arbiter)
    api.force_authenticate(made.lead.user)
    route, address = (
        f"/api/v1/review-rounds/{made.review_round.uuid}/",
        f"/peer-review/rounds/{made.review_round.uuid}/",
    )
    due(1)
    assert api.post(f"{route}close/", {"without_waiting": True}, format="json").status_code == 409, "not over yet"
    due(-1)
    assert api.post(f"{route}close/").status_code == 409, "two cases wait"
    tclient.force_login(made.lead.user)
    assert 'name="without_waiting"' in tclient.get(address).content.decode()
    assert tclient.post(f"{address}close/", {"without_waiting": "1"}).status_code == 302
    told_of = api.get(f"{route}results/").data
    assert (told_of["agreement"]["scored"], told_of["agreement"]["concurring"], told_of["not_reviewed"]) == (1, 0, 2)
    assert [(row["modality"], row["agreement"]["scored"]) for row in told_of["groups"]] == [("CT", 1)]
    assert told_of["funnel"] == {"drawn": 3, "scored": 1, "arbitrated": 1, "upheld": 0, "answered": 0}
    event = OutboxEvent.objects.get(name="peerreview.round_closed")
    assert (event.payload["not_reviewed"], event.payload["by_itself"]) == (2, False)


def test_a_launch_gives_out_what_was_previewed_or_nothing(made, alpha, tclient, api):
    """Somebody signs between the look and the launch."""
    fields = {"signed_from": made.today, "signed_until": made.today + timedelta(days=1), "percent": 100}
    row = services.create_round(name="Next", **fields, reviewers=[made.reviewer.user], actor=made.lead)
    tclient.force_login(made.lead.user)
    address, route = f"/peer-review/rounds/{row.uuid}/", f"/api/v1/review-rounds/{row.uuid}/"
    assert '<input type="hidden" name="expected_cases" value="3">' in tclient.get(address).content.decode()
    signed(actor=made.author)
    answer = tclient.post(f"{address}launch/", {"expected_cases": "3"})
    assert answer.status_code == 409 and "have changed since you looked" in answer.content.decode()
    assert (ReviewRound.objects.get(pk=row.pk).status, row.cases.count()) == (RoundStatus.DRAFT, 0)
    api.force_authenticate(made.lead.user)
    assert api.post(f"{route}launch/", {"expected_cases": 3}, format="json").status_code == 409
    seen = api.get(f"{route}preview/").data
    assert (seen["population"], seen["cases"], seen["without_reviewer"]) == (4, 4, 0)
    told_of = api.post(f"{route}launch/", {"expected_cases": seen["cases"]}, format="json").data
    assert told_of["case_count"] == row.cases.count() == 4
