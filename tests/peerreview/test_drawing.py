"""Which reports go to whom: modes, weights, eligibility, preview; reminders once; cases passed on with a reason."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from peerreview import clock, services
from peerreview.models import Mode, ReviewCase, ReviewRound
from peerreview.services.sampling import population
from reporting.models import ReadingGroup
from ris.accounts.models import Site
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.notifications.models import Notification
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, signed

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead(alpha):
    return actor_with_roles("qa_lead")


@pytest.fixture
def readers(alpha):
    return [actor_with_roles("radiologist") for _number in range(3)]


def planned(lead, reviewers, **fields) -> ReviewRound:
    today = timezone.localdate()
    values = {"name": f"Round {ReviewRound.objects.count()}", "percent": 100}
    values |= {"signed_from": today - timedelta(days=3), "signed_until": today + timedelta(days=1)}
    return services.create_round(**{**values, **fields}, reviewers=[actor.user for actor in reviewers], actor=lead)


def accessions(review_round) -> list[str]:
    return [version.report.accession_number for version, _reviewer in services.sample(review_round)]


def test_the_population_is_narrowed_by_exam_site_reader_and_age(lead, readers):
    site = Site.objects.create(code="north", name="North")
    exams = [
        make_procedure(),
        make_procedure(modality="MR", body_region="head"),
        make_procedure(body_region="abdomen"),
    ]
    exams[2].order.site = site
    exams[2].order.save()
    for exam in exams:
        signed(exam, actor=readers[0])
    other = signed(actor=readers[1]).accession_number
    numbers = [exam.accession_number for exam in exams]
    for fields, expected in (
        ({}, [*numbers, other]),
        ({"modality": "MR"}, numbers[1:2]),
        ({"body_region": "abdomen"}, numbers[2:]),
        ({"site": site}, numbers[2:]),
        ({"readers": [readers[1].user]}, [other]),
        ({"exclude_days": 2}, []),
    ):
        found = [row.report.accession_number for row in population(planned(lead, readers, **fields))]
        assert sorted(found) == sorted(expected)


def test_each_mode_draws_in_its_own_way(lead, readers):
    reports = [signed(make_procedure(modality="CT" if n % 2 else "MR"), actor=readers[0]) for n in range(8)]
    numbers = [report.accession_number for report in reports]
    assert accessions(planned(lead, readers, mode=Mode.CONSECUTIVE, per_reader=3)) == numbers[:3]
    chosen = planned(lead, readers, mode=Mode.TARGETED, targets=[reports[6], reports[1]])
    assert accessions(chosen) == [numbers[1], numbers[6]]
    conference = services.sample(planned(lead, readers, mode=Mode.CONFERENCE, per_reader=4))
    assert {reviewer for _version, reviewer in conference} == {readers[1].user}
    spread = services.sample(planned(lead, readers, per_reader=4, seed=5))
    assert [reviewer.pk for _version, reviewer in spread].count(readers[1].user.pk) == 2
    weighted, heavy = planned(lead, readers, per_reader=2, weights={"CT": 100}), []
    for seed in range(5):
        weighted.seed = seed
        heavy += [version.report.first_procedure.modality for version, _reviewer in services.sample(weighted)]
    assert heavy.count("CT") >= 9
    one, two = (planned(lead, readers, per_reader=3, seed=42, weights={"CT": 2}) for _number in range(2))
    assert services.sample(one) == services.sample(two)


def test_only_the_same_competence_reviews_and_the_preview_counts_it(lead, readers):
    signed(make_procedure(modality="MR"), actor=readers[0])
    signed(actor=readers[0])
    group = ReadingGroup.objects.create(code="mr", name="MR", modalities=["MR"])
    group.members.add(readers[0].user, readers[2].user)
    strict = planned(lead, readers[:2])
    found = services.preview(strict)
    assert (found.population, found.cases, found.without_reviewer, found.readers) == (2, 1, 1, 1)
    assert [count for _person, count in found.loads] == [0, 1]
    assert services.preview(planned(lead, readers[:2], same_competence=False)).cases == 2
    group.members.add(readers[1].user)
    assert services.preview(strict).without_reviewer == 0


def test_a_reviewer_is_reminded_once_and_a_case_is_passed_on_with_a_reason(lead, readers, dispatch):
    signed(actor=readers[0])
    due = timezone.localdate() + timedelta(days=9)
    services.launch_round(planned(lead, readers[:2], due_on=due), actor=lead)
    case = ReviewCase.objects.get()
    dispatch()
    assert clock.claim_due() == []
    ReviewRound.objects.update(due_on=due - timedelta(days=7))
    assert Notification.objects.get(template="peerreview.round_launched").recipient == readers[1].user
    assert clock.claim_due() == [case.pk]
    assert (clock.remind(case.pk), clock.remind(case.pk), clock.claim_due()) == (True, False, [])
    assert Notification.objects.filter(template="peerreview.case_due", recipient=readers[1].user).count() == 1
    for fields, wrong in (
        ({"reviewer": readers[2].user, "reason": " "}, "reason"),
        ({"reviewer": readers[0].user, "reason": "x"}, "reviewer"),
        ({"reviewer": readers[1].user, "reason": "x"}, "reviewer"),
        ({"reviewer": lead.user, "reason": "x"}, "reviewer"),
    ):
        with pytest.raises(InvalidData) as refusal:
            services.reassign_case(case, **fields, actor=lead)
        assert set(refusal.value.errors) == {wrong}
    with pytest.raises(NotPermitted):
        services.reassign_case(case, reviewer=readers[2].user, reason="x", actor=readers[1])
    case = services.reassign_case(case, reviewer=readers[2].user, reason="Not my field", actor=lead)
    assert (case.reviewer, case.passed_on_reason) == (readers[2].user, "Not my field")
    assert case.history.first().history_change_reason.startswith("Passed on: Not my field")
    assert clock.claim_due() == [case.pk]
    services.score_case(case, score="1", actor=readers[2])
    with pytest.raises(InvalidTransition):
        services.reassign_case(case, reviewer=readers[1].user, reason="x", actor=lead)


def test_the_lead_plans_looks_and_passes_on_in_pages(lead, readers, tclient):
    report = signed(actor=readers[0])
    tclient.force_login(lead.user)
    today = timezone.localdate()
    body = {
        "name": "By page",
        "mode": "targeted",
        "signed_from": today,
        "signed_until": today + timedelta(days=1),
        "percent": 5,
        "seed": 1,
        "exclude_days": 0,
        "scale": "radpeer",
        "weights": "CT three",
        "targets": "NONE1",
        "reviewers": [readers[1].user.pk],
    }
    refused = tclient.post("/peer-review/rounds/new/", body)
    assert refused.status_code == 400 and set(refused.context["form"].errors) == {"weights", "targets"}
    body |= {"weights": "CT 3", "targets": report.accession_number}
    assert tclient.post("/peer-review/rounds/new/", body).status_code == 302
    row = ReviewRound.objects.get()
    assert (row.weights, list(row.targets.all())) == ({"CT": 3.0}, [report])
    page = tclient.get(f"/peer-review/rounds/{row.uuid}/")
    assert page.context["preview"].cases == 1
    assert tclient.post(f"/peer-review/rounds/{row.uuid}/launch/").status_code == 302
    case = ReviewCase.objects.get()
    address = f"/peer-review/cases/{case.uuid}/reassign/"
    assert address in tclient.get(f"/peer-review/rounds/{row.uuid}/").content.decode()
    form = tclient.get(address).context["form"]
    assert list(form.fields["reviewer"].queryset) == [readers[2].user]
    assert tclient.post(address, {"reviewer": readers[2].user.pk, "reason": ""}).status_code == 400
    assert tclient.post(address, {"reviewer": readers[2].user.pk, "reason": "Away"}).status_code == 302
    case.refresh_from_db()
    assert case.reviewer == readers[2].user
