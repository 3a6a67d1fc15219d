"""Peer learning: submitted in two clicks, prepared without names, shown, told to the author; submitters are nobody."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from peerreview import learning, services
from peerreview.models import Conference, ConferenceEntry, LearningCase
from reporting.models import CopyState, TeachingImage
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotPermitted
from ris.notifications.models import Notification
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import drafted, make_procedure, signed
from worklist.models import ImagingInstance, ImagingSeries

pytestmark = pytest.mark.django_db
WORDS = "Seen with Dr Wanjiru on 2026-11-03, patient OTIENO. Nodule of 8 mm."


@pytest.fixture
def house(alpha):
    """Coordinator, author, submitter and one signed report that names people and a day."""
    lead, other_lead = actor_with_roles("qa_lead"), actor_with_roles("qa_lead")
    author = actor_with_roles("radiologist", given_name="Njeri", family_name="Wanjiru")
    submitter = actor_with_roles("resident", given_name="Tabitha", family_name="Barasa")
    report = signed(actor=author, findings=WORDS)
    return SimpleNamespace(**locals())


def submitted(house, **fields) -> LearningCase:
    return services.submit_learning(house.report, **{"kind": "perception", **fields}, actor=house.submitter)


def ready(house, actor=None, **fields) -> LearningCase:
    case = services.submit_learning(
        signed(actor=house.author), kind="great_call", actor=actor or actor_with_roles("resident")
    )
    return services.prepare_learning(case, is_read=True, **fields, actor=house.lead)


def test_two_clicks_from_a_report_and_back_to_it(house, tclient):
    tclient.force_login(house.submitter.user)
    here = f"/reports/{house.report.uuid}/"
    page = tclient.get(here).content.decode()
    address = f"/peer-learning/reports/{house.report.uuid}/submit/"
    assert address in page and 'value="great_call"' in page
    answer = tclient.post(address, {"kind": "technique", "note": " Look  at the timing ", "next": here})
    assert (answer.status_code, answer["Location"]) == (302, here)
    case = LearningCase.objects.get()
    assert (case.kind, case.note, case.author) == ("technique", "Look at the timing", house.author.user)
    assert tclient.post(address, {"kind": "technique"}).status_code == 409
    assert tclient.post(address, {"kind": "score"}).status_code == 400
    draft = drafted(actor=house.author)
    tclient.force_login(house.author.user)
    assert "peer-learning/reports" not in tclient.get(f"/reports/{draft.uuid}/", follow=True).content.decode()
    with pytest.raises(InvalidTransition):
        services.submit_learning(draft, kind="technique", actor=house.submitter)


def test_what_is_submitted_names_nobody_and_is_read_before_it_is_ready(house, tclient):
    case = submitted(house)
    for secret in ("Wanjiru", "OTIENO", "2026-11-03", house.report.accession_number):
        assert secret not in case.text + case.title + case.question
    assert "Nodule of 8 mm" in case.text
    conference = services.plan_conference(title="November", held_on=timezone.localdate(), actor=house.lead)
    with pytest.raises(InvalidTransition):
        services.add_to_conference(conference, case=case, actor=house.lead)
    for words in ("Submitted by Tabitha Barasa", "Mrs Otieno", "on 3 November 2026"):
        with pytest.raises(InvalidData) as refusal:
            services.prepare_learning(case, discussion=words, is_read=True, actor=house.lead)
        assert set(refusal.value.errors) == {"discussion"}
        assert words not in str(refusal.value.errors)
    words = f"Mrs Otieno, {house.report.accession_number}, seen on 3 November 2026; call 0722 123 456."
    services.prepare_learning(case, discussion=words, actor=house.lead)
    tclient.force_login(house.lead.user)
    page = tclient.get(f"/peer-learning/cases/{case.uuid}/").content.decode()
    for told in ("Otieno", house.report.accession_number, "3 November 2026", "0722 123 456"):
        assert f"<mark>{told}</mark>" in page, "the coordinator sees what to take out"
    case = services.prepare_learning(case, discussion="Compare windows.", points="- One\n\n• Two", actor=house.lead)
    assert (case.status, case.read_at, case.learning_points) == ("submitted", None, ["One", "Two"])
    case = services.prepare_learning(case, is_read=True, actor=house.lead)
    assert (case.status, case.read_by) == ("ready", house.lead.user)
    with pytest.raises(InvalidData) as refusal:
        services.prepare_learning(case, points="Three", actor=house.lead)
    assert set(refusal.value.errors) == {"is_read"}
    assert services.add_to_conference(conference, case=case, actor=house.lead).position == 1


def test_a_coordinator_does_not_prepare_cases_of_their_own_reports(house):
    author = actor_with_roles("radiologist", "qa_lead")
    case = services.submit_learning(signed(actor=author), kind="perception", actor=house.submitter)
    assert not learning.to_prepare(actor=author).exists()
    assert learning.to_prepare(actor=house.lead).get() == case
    for act, fields in (
        (services.prepare_learning, {"is_read": True}),
        (services.give_feedback, {"text": "x"}),
        (services.decline_learning, {"reason": "x"}),
        (services.take_images, {}),
    ):
        with pytest.raises(NotPermitted):
            act(case, **fields, actor=author)


def test_the_author_alone_is_told_and_the_submitter_is_nobody(house, tclient, api, dispatch):
    case = submitted(house, kind="great_call")
    dispatch()
    told = Notification.objects.filter(template="peerreview.learning_submitted")
    assert {row.recipient for row in told} == {house.lead.user, house.other_lead.user}
    with pytest.raises(InvalidData):
        services.give_feedback(case, text="Tabitha Barasa liked it.", actor=house.lead)
    services.give_feedback(case, text="A fine find; the window was the key.", actor=house.lead)
    with pytest.raises(InvalidTransition):
        services.give_feedback(case, text="Again", actor=house.lead)
    dispatch()
    assert Notification.objects.get(template="peerreview.feedback").recipient == house.author.user
    address, route = f"/peer-learning/feedback/{case.uuid}/", f"/api/v1/learning-feedback/{case.uuid}/"
    tclient.force_login(house.author.user)
    api.force_authenticate(house.author.user)
    shown = [tclient.get(path).content.decode() for path in (address, "/peer-learning/", "/notifications/")]
    shown += [api.get(path).content.decode() for path in (route, "/api/v1/learning-feedback/")]
    assert "the window was the key" in shown[0] and "the window was the key" in shown[3]
    secrets = ("Tabitha", "Barasa", house.submitter.user.username, str(house.submitter.user.uuid))
    assert not [secret for secret in secrets for page in shown if secret in page]
    tclient.force_login(house.lead.user)
    api.force_authenticate(house.lead.user)
    paths = (f"/peer-learning/cases/{case.uuid}/", f"/admin/peerreview/learningcase/{case.pk}/change/")
    shown = [tclient.get(path) for path in paths] + [api.get(f"/api/v1/learning-cases/{case.uuid}/")]
    assert [answer.status_code for answer in shown] == [200, 200, 200]
    assert not [secret for secret in secrets for answer in shown if secret in answer.content.decode()]
    assert tclient.get(f"/admin/peerreview/learningcase/{case.pk}/history/").status_code == 403
    for actor in (house.submitter, house.lead, actor_with_roles("radiologist")):
        tclient.force_login(actor.user)
        api.force_authenticate(actor.user)
        assert (tclient.get(address).status_code, api.get(route).status_code) == (404, 404)
        with pytest.raises(NotPermitted):
            services.acknowledge_feedback(case, actor=actor)
    tclient.force_login(house.author.user)
    assert tclient.post(address).status_code == 302
    first = LearningCase.objects.get().acknowledged_at
    api.force_authenticate(house.author.user)
    assert api.post(route + "acknowledge/").status_code == 200
    assert LearningCase.objects.get().acknowledged_at == first is not None


def test_a_case_that_is_not_taken_says_why_to_whoever_submitted_it(house, tclient, dispatch):
    case = submitted(house)
    tclient.force_login(house.lead.user)
    assert tclient.post(f"/peer-learning/cases/{case.uuid}/decline/", {"reason": " "}).status_code == 400
    assert tclient.post(f"/peer-learning/cases/{case.uuid}/decline/", {"reason": "Shown in May."}).status_code == 302
    dispatch()
    assert Notification.objects.get(template="peerreview.learning_declined").recipient == house.submitter.user
    tclient.force_login(house.submitter.user)
    assert "Shown in May." in tclient.get("/peer-learning/").content.decode()
    with pytest.raises(InvalidTransition):
        services.prepare_learning(case, is_read=True, actor=house.lead)


def test_a_conference_by_page_is_planned_ordered_shown_and_held(house, tclient):
    cases = [ready(house, title=f"Case {n}", discussion=f"Talk {n}") for n in "ABC"]
    tclient.force_login(house.lead.user)
    today = timezone.localdate()
    assert tclient.post("/peer-learning/conferences/new/", {"title": " ", "held_on": today}).status_code == 400
    body = {"title": "November conference", "held_on": today + timedelta(days=2), "place": "Library"}
    assert tclient.post("/peer-learning/conferences/new/", body).status_code == 302
    row = Conference.objects.get()
    address = f"/peer-learning/conferences/{row.uuid}/"
    assert tclient.get(address + "show/").status_code == 404
    for case in cases:
        assert tclient.post(address + "add/", {"case": case.uuid}).status_code == 302
    assert tclient.post(address + "add/", {"case": cases[0].uuid}).status_code == 409
    assert tclient.post(address + "add/", {"case": "x"}).status_code == 400
    entries = list(ConferenceEntry.objects.order_by("position"))

    def do(entry, what, **more):
        return tclient.post(f"/peer-learning/entries/{entry.uuid}/", {"do": what, **more}).status_code

    assert [do(entries[2], "up"), do(entries[0], "up"), do(entries[1], "remove")] == [302, 302, 302]
    assert do(entries[0], "sing") == 400
    assert [entry.case.title for entry in learning.entries(row)] == ["Case A", "Case C"]
    page = tclient.get(address + "show/", {"case": 2}).content.decode()
    assert "Case C" in page and "Talk C" in page and 'rel="prev"' in page and 'rel="next"' not in page
    assert "Wanjiru" not in page and "<details>" in page
    assert tclient.post(address + "end/", {"do": "held"}).status_code == 409
    assert do(entries[0], "shown", case="1") == 302
    assert do(entries[0], "remove") == 409
    assert LearningCase.objects.get(title="Case A").status == "shown"
    assert tclient.post(address + "end/", {"do": "cancel"}).status_code == 409
    assert [do(entries[0], "not_shown"), do(entries[0], "shown")] == [302, 302]
    assert tclient.post(address, {**body, "place": "Room 2"}).status_code == 302
    assert tclient.post(address + "end/", {"do": "held"}).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.place) == ("held", "Room 2")
    assert tclient.post(address, body).status_code == 409
    assert do(entries[2], "shown") == 409
    for role, code in (("radiologist", 200), ("technologist", 200), ("clerk", 403), ("referring_physician", 403)):
        tclient.force_login(actor_with_roles(role).user)
        assert (tclient.get(address).status_code, tclient.get(address + "show/").status_code) == (code, code)
        assert tclient.post(address + "end/", {"do": "held"}).status_code == 403


def test_the_same_by_rest(house, api):
    case = ready(house, title="Case A", points="One")
    api.force_authenticate(house.submitter.user)
    body = {"report": str(house.report.uuid), "kind": "interpretation"}
    made = api.post("/api/v1/learning-cases/", body, format="json")
    assert (made.status_code, set(made.data)) == (
        201,
        {"id", "kind", "status", "title", "submitted_on", "declined_reason"},
    )
    assert [row["id"] for row in api.get("/api/v1/learning-cases/").data["results"]] == [made.data["id"]]
    route = f"/api/v1/learning-cases/{made.data['id']}/"
    assert api.post(route + "prepare/", {"is_read": True}, format="json").status_code == 403
    api.force_authenticate(house.lead.user)
    assert len(api.get("/api/v1/learning-cases/").data["results"]) == 2
    told = api.post(route + "prepare/", {"title": "Case B", "is_read": True}, format="json")
    assert (told.status_code, told.data["status"], told.data["report"]) == (200, "ready", str(house.report.uuid))
    assert api.post(route + "feedback/", {"text": "Look twice."}, format="json").data["feedback"] == "Look twice."
    plan = {"title": "November", "held_on": str(timezone.localdate())}
    conference = api.post("/api/v1/conferences/", plan, format="json")
    assert conference.status_code == 201
    path = f"/api/v1/conferences/{conference.data['id']}/"
    for wanted in (case.uuid, made.data["id"]):
        rows = api.post(path + "add/", {"case": str(wanted)}, format="json")
        assert rows.status_code == 200
    assert [(row["title"], row["points"]) for row in rows.data] == [("Case A", ["One"]), ("Case B", [])]
    last = {"entry": rows.data[1]["id"]}
    moved = api.post(path + "move/", {**last, "up": True}, format="json")
    assert [row["title"] for row in moved.data] == ["Case B", "Case A"]
    assert api.patch(path, {"place": "Library"}, format="json").data["place"] == "Library"
    assert api.post(path + "tick/", {**last, "shown": True}, format="json").data[0]["shown_at"]
    assert len(api.post(path + "remove/", {"entry": rows.data[0]["id"]}, format="json").data) == 1
    assert api.post(path + "hold/").data["status"] == "held"
    assert api.post(path + "cancel/").status_code == 409
    numbers = api.get("/api/v1/learning-cases/statistics/").data
    assert {row["kind"]: row["total"] for row in numbers["rows"] if row["total"]} == {
        "Great call": 1,
        "Interpretation": 1,
    }
    assert sum(row["total"] for row in numbers["own"]) == 0
    api.force_authenticate(house.author.user)
    own = api.get("/api/v1/learning-cases/statistics/").data["own"]
    assert {row["kind"]: row["numbers"][-1] for row in own if row["total"]} == {"Interpretation": 1}


def test_pictures_are_copies_that_only_those_see_whom_the_conference_is_for(house, tclient):
    exam = make_procedure(images=1)
    study = exam.studies.get()
    series = ImagingSeries.objects.create(study=study, series_instance_uid="1.2.3.4", modality="CT", number=1)
    original = ImagingInstance.objects.create(
        series=series, sop_instance_uid="1.2.3.4.5", sop_class_uid="1.2", path="x.dcm", size=1, rows=1, frames=1
    )
    case = services.submit_learning(signed(exam, actor=house.author), kind="technique", actor=house.submitter)
    tclient.force_login(house.lead.user)
    assert tclient.post(f"/peer-learning/cases/{case.uuid}/images/").status_code == 302
    case.refresh_from_db()
    image = TeachingImage.objects.get()
    assert (image.case, image.original) == (case.teaching, original)
    TeachingImage.objects.update(state=CopyState.COPIED, path="teaching/x.dcm")
    reader = actor_with_roles("radiologist")
    assert learning.shown_picture(image.uuid, actor=house.lead) == image
    assert learning.shown_picture(image.uuid, actor=reader) is None
    assert "peer-learning/pictures" in tclient.get(f"/peer-learning/cases/{case.uuid}/").content.decode()
    case = services.prepare_learning(case, is_read=True, actor=house.lead)
    conference = services.plan_conference(title="C", held_on=timezone.localdate(), actor=house.lead)
    entry = services.add_to_conference(conference, case=case, actor=house.lead)
    assert learning.shown_picture(image.uuid, actor=reader) == image
    assert learning.shown_picture(image.uuid, actor=actor_with_roles("clerk")) is None
    tclient.force_login(reader.user)
    page = tclient.get(f"/peer-learning/conferences/{conference.uuid}/show/").content.decode()
    assert f"/peer-learning/pictures/{image.uuid}/1.jpg" in page and "1.2.3.4" not in page
    services.remove_entry(entry, actor=house.lead)
    assert learning.shown_picture(image.uuid, actor=reader) is None


def test_a_reviewer_offers_a_case_for_the_conference_without_its_score(house):
    reviewer = actor_with_roles("radiologist")
    today = timezone.localdate()
    review_round = services.create_round(
        name="R",
        signed_from=today - timedelta(days=1),
        signed_until=today + timedelta(days=1),
        percent=100,
        reviewers=[reviewer.user],
        actor=house.lead,
    )
    services.launch_round(review_round, actor=house.lead)
    case = review_round.cases.get()
    services.score_case(case, score="2b", comment="Missed.", category="perceptual", is_to_learn=True, actor=reviewer)
    offered = LearningCase.objects.get()
    assert (offered.kind, offered.submitted_by, offered.report) == ("perception", reviewer.user, house.report)
    assert "Missed." not in offered.text + offered.note + offered.discussion


def test_lists_of_learning_cost_the_same_however_long(house, tclient, django_assert_max_num_queries):
    conference = services.plan_conference(title="C", held_on=timezone.localdate(), actor=house.lead)
    tclient.force_login(house.lead.user)
    paths = ("/peer-learning/", f"/peer-learning/conferences/{conference.uuid}/")
    for _number in range(4):
        services.add_to_conference(conference, case=ready(house), actor=house.lead)
    for path in paths:
        tclient.get(path)
        with django_assert_max_num_queries(30):
            assert tclient.get(path).status_code == 200
    with pytest.raises(Conflict):
        services.hold_conference(conference, actor=house.lead)
    assert services.cancel_conference(conference, actor=house.lead).status == "cancelled"
