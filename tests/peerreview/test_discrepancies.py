"""Who sees what of a case; and the way from an upheld discrepancy to addendum, referrer and alert."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from peerreview import services
from peerreview.models import CaseStatus, Discrepancy, DiscrepancyStatus, ScaleGrade
from peerreview.services.importing import imported_score
from reporting.models import CriticalResult, ReportDelivery, ReportStatus
from ris.accounts.models import Role
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.notifications.models import Notification
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db
MISSED = "Spiculated mass in the right upper lobe."


@pytest.fixture
def house(alpha):
    """Lead, author, reviewer, arbiter and one case of a report that names people, places and a day."""
    lead = actor_with_roles("qa_lead")
    author, reviewer, arbiter = (actor_with_roles("radiologist") for _number in range(3))
    for actor, name in ((author, "Wanjiru"), (reviewer, "Barasa")):
        actor.user.family_name = name
        actor.user.save()
    referrer = make_referrer()
    exam = make_procedure(requester=referrer.practitioner)
    report = signed(exam, actor=author, findings="Seen with Dr Wanjiru on 2026-11-03, patient OTIENO. Lungs clear.")
    return SimpleNamespace(**locals())


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


def test_neither_page_nor_rest_tells_the_reviewer_whose_report_it_is(house, tclient, api):
    case = case_of(house)
    tclient.force_login(house.reviewer.user)
    page = tclient.get(f"/peer-review/cases/{case.uuid}/").content.decode().partition('id="main"')[2]
    api.force_authenticate(house.reviewer.user)
    told = api.get(f"/api/v1/review-cases/{case.uuid}/").content.decode()
    round_told = api.get(f"/api/v1/review-rounds/{case.round.uuid}/")
    secrets = ["Wanjiru", "OTIENO", "2026-11-03", house.report.accession_number, str(house.report.uuid)]
    secrets += [house.author.user.username, str(house.author.user.uuid)]
    for secret in secrets:
        assert secret not in page and secret not in told, secret
    assert "Lungs clear" in page and "Lungs clear" in told
    assert not {"reviewers", "readers", "targets", "seed"} & set(round_told.data)


def test_the_author_learns_what_was_found_and_not_by_whom(house, tclient, api, dispatch):
    case = case_of(house)
    api.force_authenticate(house.author.user)
    tclient.force_login(house.author.user)
    assert api.get(f"/api/v1/review-cases/{case.uuid}/").status_code == 404
    assert tclient.get(f"/peer-review/cases/{case.uuid}/").status_code == 404
    services.score_case(case, score="3b", comment=MISSED, actor=house.reviewer)
    assert api.get("/api/v1/review-discrepancies/").data["results"] == []
    services.arbitrate_case(case, score="3b", comment="Agreed.", actor=house.arbiter)
    dispatch()
    found = Discrepancy.objects.get()
    address = f"/peer-review/discrepancies/{found.uuid}/"
    assert Notification.objects.get(template="peerreview.discrepancy").recipient == house.author.user
    page = tclient.get(address)
    told = api.get(f"/api/v1/review-discrepancies/{found.uuid}/")
    assert (page.status_code, told.status_code) == (200, 200)
    assert MISSED in page.content.decode() and told.data["comment"] == MISSED
    for answer in (page, told, tclient.get("/peer-review/"), tclient.get("/notifications/")):
        shown = answer.content.decode().partition('id="main"')[2] or answer.content.decode()
        for person in (house.reviewer.user, house.arbiter.user):
            for secret in (person.username, str(person.uuid), "Barasa"):
                assert secret not in shown


def test_every_role_finds_only_its_own_doors(house, tclient, api):
    found = upheld(house)
    paths = {
        "case": f"/peer-review/cases/{found.case.uuid}/",
        "discrepancy": f"/peer-review/discrepancies/{found.uuid}/",
        "rest case": f"/api/v1/review-cases/{found.case.uuid}/",
        "rest": f"/api/v1/review-discrepancies/{found.uuid}/",
        "round": f"/peer-review/rounds/{found.case.round.uuid}/",
        "admin": f"/admin/peerreview/reviewcase/{found.case.pk}/change/",
        "history": f"/admin/peerreview/reviewcase/{found.case.pk}/history/",
        "admin discrepancy": f"/admin/peerreview/discrepancy/{found.pk}/change/",
        "audit": "/admin/audit/auditevent/",
    }
    other = actor_with_roles("radiologist")
    people = {
        "lead": (house.lead, {"discrepancy", "rest case", "rest", "round", "admin", "history", "admin discrepancy"}),
        "author": (house.author, {"discrepancy", "rest"}),
        "reviewer": (house.reviewer, {"case", "rest case"}),
        "arbiter": (house.arbiter, {"rest case"}),
        "other": (other, set()),
    }
    for role in ("resident", "technologist", "clerk", "referring_physician", "medical_physicist", "it_admin"):
        people[role] = (actor_with_roles(role), {"audit"} if role == "it_admin" else set())
    people["lead"][1].add("audit")
    for name, (actor, expected) in people.items():
        tclient.force_login(actor.user)
        api.force_authenticate(actor.user)
        answers = {key: (api if "rest" in key else tclient).get(path).status_code for key, path in paths.items()}
        opened = {key for key, code in answers.items() if code == 200}
        assert opened - {"audit"} == expected - {"audit"}, (name, answers)
        assert "audit" not in opened or "audit" in expected, name


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
    assert "Lungs clear" not in tclient.get(address).content.decode()
    assert api.get(f"/api/v1/review-cases/{case.uuid}/").data["sections"] == {}
    with pytest.raises(InvalidTransition):
        services.score_case(case, score="1", actor=house.reviewer)
    with pytest.raises(Conflict):
        services.give_impression(case, text="Mass", actor=house.arbiter)
    assert tclient.post(address, {"own_impression": " "}).status_code == 400
    assert tclient.post(address, {"own_impression": MISSED}).status_code == 302
    page = tclient.get(address).content.decode()
    assert "Lungs clear" in page and MISSED in page
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


def test_the_author_adds_and_referrer_and_alert_follow(house, dispatch):
    dispatch()
    delivered = ReportDelivery.objects.filter(report=house.report).count()
    found = upheld(house, impact="delayed", critical_category=2)
    assert (found.severity, found.category, found.impact) == ("major", "perceptual", "delayed")
    for wrong in (house.reviewer, house.lead):
        with pytest.raises(NotPermitted):
            services.addend_discrepancy(found, text="x", actor=wrong)
    found = services.addend_discrepancy(found, text=MISSED, actor=house.author)
    house.report.refresh_from_db()
    assert (found.status, found.addendum.addendum) == (DiscrepancyStatus.ADDENDED, MISSED)
    assert house.report.status == ReportStatus.APPENDED
    assert ReportDelivery.objects.filter(report=house.report).count() > delivered
    critical = CriticalResult.objects.get()
    assert (critical, critical.category, critical.raised_by) == (found.critical_result, 2, house.author.user)
    dispatch()
    told = Notification.objects.filter(template="peerreview.discrepancy_answered")
    assert [row.recipient for row in told] == [house.lead.user]
    with pytest.raises(InvalidTransition):
        services.decline_discrepancy(found, reason="x", actor=house.author)
    found = services.resolve_discrepancy(found, resolution="Patient recalled.", impact="changed", actor=house.lead)
    assert (found.status, found.impact, found.resolved_by) == ("resolved", "changed", house.lead.user)


def test_or_says_why_not_by_page_and_rest(house, tclient, api):
    found = upheld(house)
    api.force_authenticate(house.author.user)
    path = f"/api/v1/review-discrepancies/{found.uuid}/"
    assert api.post(path + "decline/", {"reason": ""}, format="json").status_code == 400
    told = api.post(path + "decline/", {"reason": "Known since 2020."}, format="json")
    assert (told.status_code, told.data["status"]) == (200, "declined")
    assert api.post(path + "resolve/", {"resolution": "x"}, format="json").status_code == 403
    tclient.force_login(house.lead.user)
    page = tclient.get(f"/peer-review/discrepancies/{found.uuid}/").content.decode()
    assert "Known since 2020." in page
    body = {"resolution": "Discussed.", "impact": "none"}
    assert tclient.post(f"/peer-review/discrepancies/{found.uuid}/resolve/", body).status_code == 302
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
