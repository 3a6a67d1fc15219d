"""A case before its reviewer; and the way from an upheld discrepancy to addendum, referrer and alert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from peerreview import services
from peerreview.models import CaseStatus, Discrepancy, DiscrepancyStatus, ScaleGrade
from peerreview.services.importing import imported_score
from reporting.models import CriticalResult, Report, ReportDelivery, ReportStatus
from ris.accounts.models import Role
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.notifications.models import Notification
from tests.conftest import shared_start
from tests.factories.accounts import PASSWORD, actor_with_roles
from tests.factories.reporting import make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
MISSED = "Spiculated mass in the right upper lobe."


@pytest.fixture(scope="module")
def shared(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """Lead, author, reviewer, arbiter and one case of a report that a referring physician is to get."""
    with shared_start(django_db_blocker):
        lead = actor_with_roles("qa_lead")
        author, reviewer, arbiter = (actor_with_roles("radiologist") for _number in range(3))
        referrer = make_referrer()
        report = signed(make_procedure(requester=referrer.practitioner), actor=author)
        yield SimpleNamespace(
            lead=lead, author=author, reviewer=reviewer, arbiter=arbiter, referrer=referrer, report=report
        )


@pytest.fixture
def house(shared, alpha):
    return shared


def case_of(house, **fields):
    today = timezone.localdate()
    review_round = services.create_round(
        name="Round",
        signed_from=today - timedelta(days=1),
        signed_until=today + timedelta(days=1),
        percent=100,
        reviewers=[house.reviewer.user],
        actor=house.lead,
        **fields,
    )
    services.launch_round(review_round, actor=house.lead)
    return review_round.cases.get()


def upheld(house, **fields) -> Discrepancy:
    case = case_of(house)
    services.score_case(case, score="3b", comment=MISSED, category="perceptual", actor=house.reviewer)
    services.arbitrate_case(case, score="3b", comment="Agreed.", actor=house.arbiter, **fields)
    return Discrepancy.objects.get(case=case)


def test_a_lead_who_wrote_or_reviews_finds_no_names_either(house, tclient):
    case = case_of(house)
    address = f"/admin/peerreview/reviewcase/{case.pk}/"
    for actor in (house.author, house.reviewer):
        actor.user.roles.add(Role.objects.get(name="qa_lead"))
        tclient.force_login(type(actor.user).objects.get(pk=actor.user.pk))
        assert tclient.get("/admin/peerreview/reviewcase/").status_code == 200
        assert 200 not in [tclient.get(address + door).status_code for door in ("change/", "history/")]


def test_double_blind_shows_the_report_after_ones_own_impression(house, tclient, api):
    case = case_of(house, double_blind=True)
    tclient.force_login(house.reviewer.user)
    api.force_authenticate(house.reviewer.user)
    address = f"/peer-review/cases/{case.uuid}/"
    assert "No effusion" not in tclient.get(address).content.decode()
    assert api.get(f"/api/v1/review-cases/{case.uuid}/").data["sections"] == {}
    with pytest.raises(InvalidTransition):
        services.score_case(case, score="1", actor=house.reviewer)
    with pytest.raises(Conflict):
        services.give_impression(case, text="Mass", actor=house.arbiter)
    assert tclient.post(address, {"own_impression": " "}).status_code == 400
    assert tclient.post(address, {"own_impression": MISSED}).status_code == 302
    page = tclient.get(address).content.decode()
    assert "No effusion" in page and MISSED in page
    with pytest.raises(InvalidTransition):
        services.give_impression(case, text="Another", actor=house.reviewer)
    assert tclient.post(address, {"score": "1"}).status_code == 302


def test_a_site_scale_counts_as_radpeer(house, api):
    ScaleGrade.objects.create(code="C", label="Major", radpeer="3b")
    case = case_of(house, scale="site")
    with pytest.raises(InvalidData) as refusal:
        services.score_case(case, score="1", actor=house.reviewer)
    assert set(refusal.value.errors) == {"grade"}
    with pytest.raises(InvalidData) as refusal:
        services.score_case(case, grade="C", actor=house.reviewer)
    assert set(refusal.value.errors) == {"comment"}
    api.force_authenticate(house.reviewer.user)
    told = api.post(f"/api/v1/review-cases/{case.uuid}/score/", {"grade": "C", "comment": MISSED}, format="json")
    assert (told.status_code, told.data["grade"], told.data["score"]) == (200, "C", "3b")
    assert told.data["status"] == CaseStatus.ARBITRATION


@pytest.mark.parametrize(("text", "score"), [("4a", "3a"), ("4B", "3b"), (" 2a", "2a"), ("5", None)])
def test_the_old_four_is_an_alias_of_imports_only(text, score):
    if score is None:
        with pytest.raises(InvalidData):
            imported_score(text)
    else:
        assert imported_score(text) == score


def test_from_the_third_reader_to_author_referrer_and_alert_by_pages(house, tclient, api, dispatch):
    """Decided, told to the author alone, added to on the case's own page; whoever read the old version is told."""
    dispatch()
    old = ReportDelivery.objects.get(report=house.report, recipient__user=house.referrer.actor.user)
    tclient.force_login(house.referrer.actor.user)
    assert tclient.get(f"/results/{old.uuid}/").status_code == 200
    case = case_of(house)
    services.score_case(case, score="3b", comment=MISSED, category="perceptual", actor=house.reviewer)
    tclient.force_login(house.author.user)
    api.force_authenticate(house.author.user)
    assert api.get("/api/v1/review-discrepancies/").data["results"] == [], "not before somebody else has decided"
    tclient.force_login(house.arbiter.user)
    verdict = {
        "score": "3b",
        "comment": "Agreed.",
        "category": "perceptual",
        "impact": "delayed",
        "critical_category": "2",
    }
    address = f"/peer-review/cases/{case.uuid}/"
    assert tclient.post(address, {**verdict, "critical_category": "9"}).status_code == 400
    assert tclient.post(address, verdict).status_code == 302
    found = Discrepancy.objects.get()
    assert (found.severity, found.category, found.impact) == ("major", "perceptual", "delayed")
    dispatch()
    told = Notification.objects.get(template="peerreview.discrepancy")
    assert told.recipient == house.author.user
    for wrong in (house.reviewer, house.lead):
        with pytest.raises(NotPermitted):
            services.addend_discrepancy(found, text="x", actor=wrong)
    tclient.force_login(house.author.user)
    assert MISSED in tclient.get(told.url).content.decode()
    assert api.get(f"/api/v1{told.url.replace('peer-review/', 'review-')}").data["comment"] == MISSED
    body = {"text": "A spiculated mass; biopsy is advised.", "password": PASSWORD}
    assert tclient.post(f"{told.url}addendum/", {**body, "text": " "}).status_code == 400
    assert tclient.post(f"{told.url}addendum/", body).status_code == 302
    found.refresh_from_db()
    assert (found.status, found.addendum.addendum) == (DiscrepancyStatus.ADDENDED, body["text"])
    assert Report.objects.get(pk=house.report.pk).status == ReportStatus.APPENDED
    critical = CriticalResult.objects.get()
    assert (critical, critical.category, critical.raised_by) == (found.critical_result, 2, house.author.user)
    assert "A critical result was raised with it" in tclient.get(told.url).content.decode()
    dispatch()
    told_of = Notification.objects.filter(recipient=house.referrer.actor.user, template="reporting.report_changed")
    assert told_of.count() == 1
    told = Notification.objects.filter(template="peerreview.discrepancy_answered")
    assert [row.recipient for row in told] == [house.lead.user]
    with pytest.raises(InvalidTransition):
        services.decline_discrepancy(found, reason="x", actor=house.author)
    found = services.resolve_discrepancy(found, resolution="Patient recalled.", impact="changed", actor=house.lead)
    assert (found.status, found.impact, found.resolved_by) == ("resolved", "changed", house.lead.user)


def test_or_says_why_not_by_page_and_rest(house, tclient, api):
    found = upheld(house)
    api.force_authenticate(house.author.user)
    tclient.force_login(house.author.user)
    path, address = f"/api/v1/review-discrepancies/{found.uuid}/", f"/peer-review/discrepancies/{found.uuid}/"
    assert api.post(path + "decline/", {"reason": ""}, format="json").status_code == 400
    assert tclient.post(address + "decline/", {"reason": " "}).status_code == 400
    assert tclient.post(address + "decline/", {"reason": "Known since 2020."}).status_code == 302
    assert api.get(path).data["status"] == "declined"
    assert api.post(path + "decline/", {"reason": "Again"}, format="json").status_code == 409
    assert api.post(path + "resolve/", {"resolution": "x"}, format="json").status_code == 403
    tclient.force_login(house.lead.user)
    page = tclient.get(address).content.decode()
    assert "Known since 2020." in page
    body = {"resolution": "Discussed.", "impact": "none"}
    assert tclient.post(address + "resolve/", body).status_code == 302
    found.refresh_from_db()
    assert (found.status, CriticalResult.objects.count()) == ("resolved", 0)


def test_a_review_without_a_round_is_once_and_never_of_ones_own(house, api):
    with pytest.raises(Conflict):
        services.review_ad_hoc(house.report, score="1", actor=house.author)
    api.force_authenticate(house.reviewer.user)
    body = {"report": str(house.report.uuid), "score": "2b", "comment": MISSED}
    told = api.post("/api/v1/review-cases/", body, format="json")
    assert (told.status_code, told.data["status"], told.data["round"]) == (201, "arbitration", None)
    assert api.post("/api/v1/review-cases/", body, format="json").status_code == 409
