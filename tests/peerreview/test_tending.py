"""A round that runs: due dates, reminders, swaps, a conference's order; the import of old scores; pictures by place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from peerreview import clock, scorecards, selectors, services
from peerreview.models import CaseStatus, Discrepancy, ReviewCase, ReviewRound
from reporting.models import ReadingGroup
from ris.audit.models import AuditEvent
from ris.core.errors import Conflict, InvalidData, InvalidTransition, NotKnown, NotPermitted
from ris.notifications.models import Notification
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import make_procedure, signed
from worklist.models import ImagingInstance, ImagingSeries

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead(alpha):
    return actor_with_roles("qa_lead")


@pytest.fixture
def readers(alpha):
    return [actor_with_roles("radiologist") for _number in range(3)]


def launched(lead, reviewers, **fields) -> ReviewRound:
    today = timezone.localdate()
    values = {"name": f"Round {ReviewRound.objects.count()}", "percent": 100}
    values |= {"signed_from": today - timedelta(days=3), "signed_until": today + timedelta(days=1)}
    people = [actor.user for actor in reviewers]
    return services.launch_round(
        services.create_round(**{**values, **fields}, reviewers=people, actor=lead), actor=lead
    )


def test_another_due_date_reminds_anew_by_page_rest_and_clock(lead, readers, tclient, api, dispatch):
    signed(actor=readers[0])
    today = timezone.localdate()
    row = launched(lead, readers[1:2], due_on=today + timedelta(days=1))
    case = row.cases.get()
    assert [clock.remind(pk) for pk in clock.claim_due()] == [True]
    tclient.force_login(lead.user)
    address = f"/peer-review/rounds/{row.uuid}/"
    assert tclient.post(address + "due/", {"due_on": today - timedelta(days=1)}).status_code == 400
    assert tclient.post(address + "due/", {"due_on": "soon"}).status_code == 400
    assert tclient.post(address + "due/", {"due_on": today + timedelta(days=2)}).status_code == 302
    assert clock.claim_due() == [case.pk]
    dispatch()
    assert clock.claim_due() == [], "the dispatcher has reminded"
    reminders = Notification.objects.filter(template="peerreview.case_due", recipient=readers[1].user)
    assert reminders.count() == 2
    api.force_authenticate(lead.user)
    route = f"/api/v1/review-rounds/{row.uuid}/"
    assert api.post(route + "due/", {"due_on": None}, format="json").data["due_on"] is None
    assert clock.claim_due() == []
    assert api.post(route + "remind/").status_code == 200
    assert tclient.post(address + "remind/").status_code == 302
    assert reminders.count() == 3, "asked twice on a day, told once"
    page = tclient.get(address).content.decode()
    assert "Remind whose cases wait" in page and 'name="due_on"' in page
    for actor in readers:
        tclient.force_login(actor.user)
        assert tclient.post(address + "remind/").status_code == 403
    services.score_case(case, score="1", actor=readers[1])
    with pytest.raises(Conflict):
        services.remind_reviewers(row, actor=lead)
    services.close_round(row, actor=lead)
    with pytest.raises(InvalidTransition):
        services.change_due(row, due_on=None, actor=lead)


def test_a_case_is_swapped_for_one_of_the_same_author_that_the_reviewer_may_read(lead, readers, tclient, api):
    author, reviewer, other = readers
    for _number in range(3):
        signed(actor=author)
    signed(actor=other)
    row = launched(lead, [reviewer], per_reader=1, seed=3, double_blind=True)
    case = row.cases.filter(report_version__signed_by=author.user).get()
    services.give_impression(case, text="Mass", actor=reviewer)
    seen = {case.report_id}
    tclient.force_login(reviewer.user)
    address = f"/peer-review/cases/{case.uuid}/swap/"
    assert f'action="{address}"' in tclient.get(f"/peer-review/cases/{case.uuid}/").content.decode()
    assert tclient.post(address, {"reason": " "}).status_code == 400
    for _number in range(2):
        assert tclient.post(address, {"reason": "Not my field"}).status_code == 302
        case.refresh_from_db()
        assert case.report_id not in seen and case.report_version.signed_by == author.user
        assert (case.own_impression, case.swapped_reason) == ("", "Not my field")
        seen.add(case.report_id)
    api.force_authenticate(reviewer.user)
    route = f"/api/v1/review-cases/{case.uuid}/swap/"
    assert api.post(route, {"reason": "None is left"}, format="json").status_code == 409
    for actor in (author, other):
        api.force_authenticate(actor.user)
        assert api.post(route, {"reason": "x"}, format="json").status_code == 404
        with pytest.raises(NotPermitted):
            services.swap_case(case, reason="x", actor=actor)
    group = ReadingGroup.objects.create(code="ct", name="CT", modalities=["CT"])
    group.members.add(author.user)
    signed(actor=author)
    with pytest.raises(Conflict):
        services.swap_case(case, reason="x", actor=lead)
    group.members.add(reviewer.user)
    assert services.swap_case(case, reason="x", actor=lead).report_id not in seen


def test_a_conference_round_is_ordered_and_ticked_by_presenter_and_lead(lead, readers, tclient, api):
    for _number in range(3):
        signed(actor=readers[0])
    row = launched(lead, readers[1:], mode="conference", per_reader=3)
    cases = list(row.cases.order_by("position"))
    assert [case.position for case in cases] == [1, 2, 3]
    address = f"/peer-review/rounds/{row.uuid}/conference/"
    tclient.force_login(readers[1].user)
    assert address in tclient.get("/peer-review/").content.decode()

    def do(case, what):
        return tclient.post(f"/peer-review/cases/{case.uuid}/place/", {"do": what}).status_code

    assert [do(cases[2], "up"), do(cases[0], "up"), do(cases[0], "discussed"), do(cases[0], "sing")] == [
        302,
        302,
        302,
        400,
    ]
    page = tclient.get(address)
    assert [case.pk for case in page.context["cases"]] == [cases[0].pk, cases[2].pk, cases[1].pk]
    assert page.context["discussed"] == 1
    assert readers[0].user.display_name not in page.content.decode().partition('id="main"')[2]
    tclient.force_login(lead.user)
    assert (tclient.get(address).status_code, do(cases[0], "not_discussed")) == (200, 302)
    api.force_authenticate(lead.user)
    told = api.post(f"/api/v1/review-cases/{cases[0].uuid}/place/", {"up": False, "discussed": True}, format="json")
    assert (told.data["position"], bool(told.data["discussed_at"])) == (2, True)
    tclient.force_login(readers[2].user)
    assert (tclient.get(address).status_code, do(cases[0], "up")) == (404, 404)
    plain = launched(lead, readers[1:2])
    with pytest.raises(InvalidTransition):
        services.tick_case(plain.cases.first(), discussed=True, actor=lead)
    tclient.force_login(lead.user)
    assert tclient.get(f"/peer-review/rounds/{plain.uuid}/conference/").status_code == 404


def test_the_funnel_says_how_far_the_cases_came(lead, readers):
    for _number in range(3):
        signed(actor=readers[0])
    row = launched(lead, readers[1:2])
    first, second, _third = row.cases.all()
    services.score_case(first, score="1", actor=readers[1])
    services.score_case(second, score="3b", comment="Missed.", actor=readers[1])
    services.arbitrate_case(second, score="3b", comment="Yes.", actor=readers[2])
    assert [count for _words, count in selectors.funnel(row).steps] == [3, 2, 1, 1, 0]
    services.decline_discrepancy(Discrepancy.objects.get(), reason="Known.", actor=readers[0])
    assert selectors.funnel(row).answered == 1


# --- scores of another system


def table_of(author, reviewer, *lines: str) -> str:
    numbers = [signed(actor=author).accession_number for _line in lines]
    rows = [f"{number},{reviewer.user.username},{line}" for number, line in zip(numbers, lines, strict=True)]
    return "\n".join(["accession_number,reviewer,score,comment,scored_on", *rows])


def test_old_scores_are_looked_at_then_imported_once(lead, readers, tclient, dispatch, django_assert_max_num_queries):
    author, reviewer, _other = readers
    day = timezone.localdate() - timedelta(days=40)
    table = table_of(author, reviewer, f"1,,{day}", "4b,Missed a mass,", "2,,", "5,,", f"3a,,{day}x")
    number = table.splitlines()[1].split(",")[0]
    table += f"\n{number},{author.user.username},1,,\nNOSUCH,{reviewer.user.username},1,,\n{number},nobody,1,,\n,,,,\n"
    with django_assert_max_num_queries(14):
        assert len(services.read_scores(table, actor=lead)) == 8
    tclient.force_login(lead.user)
    body = {"name": "Before 2026", "without_letter": ""}
    upload = SimpleUploadedFile("scores.csv", ("\ufeff" + table).encode())
    page = tclient.post("/peer-review/import/", {**body, "file": upload})
    assert (page.status_code, page.context["good"], page.context["bad"]) == (200, 2, 6)
    assert [row.score for row in page.context["rows"]][:2] == ["1", "3b"]
    assert all(row.problems for row in page.context["rows"][2:])
    assert ReviewCase.objects.count() == 0
    page = tclient.post("/peer-review/import/", {**body, "without_letter": "a", "table": table})
    assert page.context["good"] == 3
    done = tclient.post("/peer-review/import/", {**body, "without_letter": "a", "table": table, "go": "1"})
    assert done.status_code == 302
    row = ReviewRound.objects.get()
    assert (row.name, row.mode, row.status, row.signed_from) == ("Before 2026", "imported", "closed", day)
    cases = list(row.cases.order_by("pk"))
    assert [(case.score, case.status) for case in cases] == [("1", "closed"), ("3b", "closed"), ("2a", "closed")]
    assert timezone.localdate(cases[0].scored_at) == day
    assert tclient.get(f"/peer-review/rounds/{row.uuid}/").status_code == 200
    dispatch()
    assert not Discrepancy.objects.exists() and not Notification.objects.filter(recipient=author.user).exists()
    card = scorecards.scorecard(author.user, actor=author)
    assert (card.whole.scored, card.whole.concurring) == (3, 1)
    again = tclient.post("/peer-review/import/", {"name": "Again", "table": table, "go": "1"})
    assert again.status_code == 400 and ReviewRound.objects.count() == 1
    for wrong in ("", "a,b\n1,2", "accession_number;reviewer;score\n"):
        assert tclient.post("/peer-review/import/", {**body, "table": wrong}).status_code == 400
    tclient.force_login(reviewer.user)
    assert tclient.get("/peer-review/import/").status_code == 403
    assert tclient.get("/peer-review/").context["total"] == 0, "what is imported is no work that was done here"


def test_old_scores_by_rest(lead, readers, api):
    table = table_of(readers[0], readers[1], "1,,", "4,,").replace(",", ";")
    api.force_authenticate(lead.user)
    route, body = "/api/v1/review-rounds/import/", {"table": table, "name": "Old"}
    told = api.post(route, {**body, "preview": True}, format="json")
    assert (told.status_code, told.data["imported"], told.data["left_out"], told.data["round"]) == (200, 1, 1, None)
    assert told.data["rows"][1]["problems"]
    told = api.post(route, {**body, "without_letter": "b"}, format="json")
    assert (told.data["imported"], str(ReviewRound.objects.get().uuid)) == (2, told.data["round"])
    assert ReviewCase.objects.get(score="3b").comment == "Imported without a comment."
    with pytest.raises(InvalidData):
        services.import_scores(table, name="Old", actor=lead)


# --- what a blinded launch shows


def test_pictures_of_a_case_are_named_by_their_place_and_tell_nothing_else(lead, readers, tclient, monkeypatch):
    from interop.imaging import blinded, views

    author, reviewer, other = readers
    exam = make_procedure(images=2)
    study = exam.studies.get()
    study.description = f"CT {exam.order.patient.family_name}"
    study.study_date = timezone.localdate()
    study.save()
    uids = []
    for number in (1, 2):
        series = ImagingSeries.objects.create(study=study, series_instance_uid=f"1.2.840.{number}", modality="CT")
        uids.append(f"1.2.840.77.{number}")
        ImagingInstance.objects.create(
            series=series, sop_instance_uid=uids[-1], sop_class_uid="1.2", path="x", size=1, rows=4, columns=4
        )
    signed(exam, actor=author)
    case = launched(lead, [reviewer]).cases.get()
    tclient.force_login(reviewer.user)
    base = f"/peer-review/cases/{case.uuid}/"
    secrets = [study.study_instance_uid, "1.2.840", "dicomweb", "/viewer/", "/images/studies", str(study.uuid)]
    secrets += [exam.order.patient.family_name, exam.accession_number, author.user.family_name]
    for page in (base, base + "images/"):
        shown = tclient.get(page).content.decode().partition('id="main"')[2]
        assert f"{base}pictures/0/1.png" in shown and f"{base}pictures/1/1.png" in shown
        assert not [secret for secret in secrets if secret in shown]
    asked = []
    monkeypatch.setattr(views, "_picture", lambda instance, *rest: asked.append(instance.sop_instance_uid) or b"png")
    answer = tclient.get(f"{base}pictures/1/1.png")
    assert (answer.status_code, answer["Content-Type"], asked) == (200, "image/png", [uids[1]])
    assert not [secret for secret in secrets for value in answer.headers.values() if secret in value]
    looks = AuditEvent.objects.filter(user=reviewer.user.uuid, detail__page="images")
    assert {(row.event_type, row.entity) for row in looks} == {("peerreview.score_case", case.uuid)}, "not the study"
    for wrong in ("2/1", "0/2", "0/0"):
        assert tclient.get(f"{base}pictures/{wrong}.png").status_code == 404
    for actor in (author, other, lead, actor_with_roles("technologist")):
        tclient.force_login(actor.user)
        assert tclient.get(f"{base}pictures/0/1.png").status_code in (403, 404)
        assert tclient.get(base + "images/").status_code in (403, 404)
    services.score_case(case, score="2b", comment="Missed.", actor=reviewer)
    tclient.force_login(other.user)
    assert tclient.get(f"{base}pictures/0/1.png").status_code == 200, "the arbiter"
    assert ReviewCase.objects.get().status == CaseStatus.ARBITRATION
    with pytest.raises(NotKnown):
        blinded._case(case.uuid, author)
