"""Numbers of a reader: their own, the lead's; export without names; the resident's side; a prior scored."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest
from django.utils import timezone

from peerreview import scorecards, services
from peerreview.models import ReviewCase
from peerreview.selectors import Agreement
from reporting.services import open_report, save_report, sign_preliminary, sign_report
from ris.core.errors import NotPermitted
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import drafted, make_patient, make_procedure, signed

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead(alpha):
    return actor_with_roles("qa_lead")


@pytest.fixture
def author(alpha):
    actor = actor_with_roles("radiologist")
    actor.user.family_name = "Wanjiru"
    actor.user.save()
    return actor


@pytest.fixture
def reviewed(author, lead):
    """Three cases of an author: two agreed, one upheld at 3b."""
    reviewer, arbiter = (actor_with_roles("radiologist") for _number in range(2))
    for score in ("1", "1", "3b"):
        report = signed(actor=author)
        services.review_ad_hoc(report, score=score, comment="Missed.", category="perceptual", actor=reviewer)
    case = ReviewCase.objects.get(score="3b")
    services.arbitrate_case(case, score="3b", comment="Yes.", actor=arbiter)
    return reviewer


def test_a_scorecard_counts_decided_cases_with_their_interval(reviewed, author, lead, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        card = scorecards.scorecard(author.user, actor=author)
    latest = card.windows[-1]
    assert [window.agreement.scored for window in card.windows] == [0, 0, 0, 3]
    assert (latest.agreement.concurring, latest.reports) == (2, 3)
    assert (latest.agreement.percent, latest.agreement.low, latest.agreement.high) == (67, 21, 94)
    assert 9 < latest.turnaround < 12
    assert dict(card.severities)["Major"] == 1
    assert dict(card.categories)["Perceptual"] == 1
    assert card.whole == latest.agreement


def test_the_interval_is_wilsons():
    """By hand: (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96."""
    for concurring, scored, low, high in (
        (0, 0, 0, 1),
        (1, 1, 0.2065, 1),
        (0, 10, 0, 0.2775),
        (8, 10, 0.4902, 0.9433),
        (10, 10, 0.7225, 1),
        (95, 100, 0.8882, 0.9785),
    ):
        assert Agreement(scored, concurring).interval == pytest.approx((low, high), abs=0.0001)


def test_windows_begin_and_end_at_the_facilitys_midnight(reviewed, author):
    """Three reports of 30, 240 and 60 minutes; the second is on a later exam too: 45 minutes."""
    zone, today = timezone.get_current_timezone(), timezone.localdate()
    first_of_last, before_it, before_all = (today - timedelta(days=days) for days in (90, 91, 364))
    moments = (time(0, 1), time(23, 59), time(23, 59))
    cases = list(ReviewCase.objects.select_related("report_version").order_by("pk"))
    days = (first_of_last, before_it, before_all)
    for case, day, moment, minutes in zip(cases, days, moments, (30, 240, 60), strict=True):
        ReviewCase.objects.filter(pk=case.pk).update(scored_at=datetime.combine(day, moment, zone))
        case.report.procedures.update(images_complete_at=case.report_version.signed_at - timedelta(minutes=minutes))
    later = make_procedure(images_complete_at=cases[1].report_version.signed_at - timedelta(minutes=45))
    cases[1].report.procedures.add(later)
    card = scorecards.scorecard(author.user, actor=author, today=today)
    found = [(row.agreement.concurring, row.agreement.scored) for row in card.windows]
    assert found == [(0, 0), (0, 0), (1, 1), (1, 1)], "what is older than a year is in no window"
    assert [(row.reports, row.turnaround) for row in card.windows[2:]] == [(0, None), (3, 45)]
    assert (card.whole.scored, card.whole.concurring) == (2, 2)
    card = scorecards.scorecard(author.user, actor=author, today=date(2026, 11, 22))
    assert [(row.starts_on, row.ends_on) for row in card.windows] == [
        (date(2025, 11, 24), date(2026, 2, 22)),
        (date(2026, 2, 23), date(2026, 5, 24)),
        (date(2026, 5, 25), date(2026, 8, 23)),
        (date(2026, 8, 24), date(2026, 11, 22)),
    ]


def test_a_reader_sees_only_their_own_and_the_lead_everybodys(reviewed, author, lead, tclient, api):
    route = "/api/v1/review-rounds/scorecard/"
    for actor, code in ((author, 200), (lead, 200), (reviewed, 404), (actor_with_roles("clerk"), 403)):
        api.force_authenticate(actor.user)
        told = api.get(route, {"reader": str(author.user.uuid)})
        assert told.status_code == code
        assert code != 200 or (told.data["whole"]["scored"], told.data["categories"]["Perceptual"]) == (3, 1)
    with pytest.raises(NotPermitted):
        scorecards.scorecard(author.user, actor=reviewed)
    tclient.force_login(reviewed.user)
    path = "/peer-review/scorecards/"
    assert tclient.get(path, {"reader": author.user.uuid}).status_code == 404
    own = tclient.get(path)
    assert own.context["card"].reader == reviewed.user and "Wanjiru" not in own.content.decode()
    assert tclient.get(path + "export/").status_code == 403
    tclient.force_login(lead.user)
    page = tclient.get(path, {"reader": author.user.uuid})
    assert page.context["card"].whole.scored == 3
    export = tclient.get(path + "export/").content.decode()
    assert export.count("\n") == 5 and ",3,0.667,0.208,0.939," in export
    for secret in ("Wanjiru", author.user.username, str(author.user.uuid)):
        assert secret not in export
    tclient.force_login(actor_with_roles("technologist").user)
    assert tclient.get(path).status_code == 403


def test_what_an_attending_changed_counts_for_the_resident(author, lead):
    resident = actor_with_roles("resident")
    for words in ("No acute abnormality.", "Mass in the right upper lobe."):
        report = sign_preliminary(drafted(actor=resident), actor=resident)
        report = open_report(list(report.procedures.all()), actor=author)
        report = save_report(
            report, sections={**report.sections, "impression": words}, revision=report.revision, actor=author
        )
        sign_report(report, actor=author)
    card = scorecards.scorecard(resident.user, actor=resident)
    assert (card.unchanged.scored, card.unchanged.concurring) == (2, 1)


def test_a_prior_is_scored_where_one_reads(author, tclient):
    patient = make_patient()
    prior = signed(make_procedure(patient=patient, minutes_ago=9000), actor=author)
    reader = actor_with_roles("radiologist")
    draft = drafted(make_procedure(patient=patient), actor=reader)
    tclient.force_login(reader.user)
    address, here = f"/peer-review/reports/{prior.uuid}/score/", f"/reports/{draft.uuid}/"
    assert address in tclient.get(here, follow=True).content.decode()
    answer = tclient.post(address, {"score": "1", "next": here})
    assert (answer.status_code, answer["Location"]) == (302, here)
    case = ReviewCase.objects.get()
    assert (case.score, case.reviewer, case.round) == ("1", reader.user, None)
    assert address not in tclient.get(here, follow=True).content.decode()
    assert tclient.post(address, {"score": "1", "next": "https://elsewhere.example/"}).status_code == 409
