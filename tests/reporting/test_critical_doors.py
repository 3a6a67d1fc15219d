"""Critical results through pages, REST and the administration: what each role may, what is refused, what is counted."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from reporting import services
from reporting.models import AlertCategory, ContactAttempt, CriticalResult, Report, ReportVersion
from reporting.querysets import LOCK_IDLE
from reporting.selectors.critical_compliance import compliance
from reporting.services.critical_report import pending_sentences, sentence_of
from ris.core.clock import database_now
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles
from tests.factories.reporting import drafted, make_patient, make_procedure, make_referrer, signed

pytestmark = pytest.mark.django_db


def raised(people: Any, procedure: Any = None, **values: Any) -> CriticalResult:
    procedure = procedure or make_procedure(requester=people.referrer.practitioner)
    said = {"category": 1, "finding": "Tension pneumothorax", **values}
    return services.raise_critical_result(procedure, actor=people.radiologist, **said)


def again(critical: CriticalResult) -> CriticalResult:
    return CriticalResult.objects.get(pk=critical.pk)


def told(critical: CriticalResult, actor: Any, **values: Any) -> CriticalResult:
    said = {"channel": "phone", "person": "Dr Kilonzo", "outcome": "reached", "read_back": True, **values}
    return services.log_contact(critical, actor=actor, **said)


STATES = ("open", "communicated", "acknowledged", "closed", "withdrawn")


def in_state(people: Any, state: str) -> CriticalResult:
    critical = raised(people)
    if state in ("communicated", "closed"):
        critical = told(critical, people.radiologist)
    if state == "closed":
        critical = services.close_critical(critical, actor=people.clerk)
    if state == "acknowledged":
        critical = services.acknowledge_critical(critical, actor=people.referrer.actor)
    if state == "withdrawn":
        critical = services.withdraw_critical(critical, reason="Artefact", actor=people.radiologist)
    return critical


VERBS: dict[str, Any] = {
    "log": lambda row, p: told(row, p.clerk),
    "acknowledge": lambda row, p: services.acknowledge_critical(row, actor=p.referrer.actor),
    "withdraw": lambda row, p: services.withdraw_critical(row, reason="Artefact", actor=p.radiologist),
    "close": lambda row, p: services.close_critical(row, actor=p.clerk),
    "reopen": lambda row, p: services.reopen_critical(row, reason="Wrong ward", actor=p.radiologist),
}
#: What each verb makes of each state; what is not named here is refused
MOVES = {
    ("open", "log"): "communicated",
    ("open", "acknowledge"): "acknowledged",
    ("open", "withdraw"): "withdrawn",
    ("communicated", "log"): "communicated",
    ("communicated", "acknowledge"): "acknowledged",
    ("communicated", "withdraw"): "withdrawn",
    ("communicated", "close"): "closed",
    ("communicated", "reopen"): "open",
    ("acknowledged", "close"): "closed",
    ("acknowledged", "reopen"): "open",
    ("closed", "reopen"): "open",
    ("withdrawn", "reopen"): "open",
}


@pytest.mark.parametrize("state", STATES)
def test_every_transition_and_every_refusal(people: Any, state: str) -> None:
    for verb, act in VERBS.items():
        critical = in_state(people, state)
        before = critical.history.count()
        if (state, verb) in MOVES:
            act(critical, people)
            assert again(critical).status == MOVES[state, verb], verb
            assert critical.history.count() == before + (0 if (state, verb) == ("communicated", "log") else 1), verb
        else:
            with pytest.raises(InvalidTransition):
                act(critical, people)
            assert (again(critical).status, critical.history.count()) == (state, before), verb


def test_opening_again_begins_the_chain_anew(people: Any) -> None:
    critical = services.escalate(raised(people), at_once=True, actor=people.radiologist)
    critical = told(critical, people.radiologist)
    with pytest.raises(InvalidData):
        services.reopen_critical(critical, reason=" ", actor=people.radiologist)
    critical = services.reopen_critical(critical, reason="Told the wrong ward", actor=people.radiologist)
    assert (critical.status, critical.round, critical.escalation_level) == ("open", 2, 0)
    assert critical.communicated_at is None and critical.next_escalation_at > database_now() + timedelta(minutes=29)
    mails = Notification.objects.filter(recipient=people.referrer.actor.user, channel="in_app")
    assert mails.count() == 2
    assert [(step.round, step.level) for step in critical.steps.order_by("pk")] == [(1, 0), (1, 1), (2, 0)]
    assert OutboxEvent.objects.filter(name="reporting.critical_result_reopened").count() == 1
    assert sentence_of(critical) == "", "nobody has been told in this round"


def test_the_person_called_acknowledges_through_the_caller(people: Any) -> None:
    critical = told(raised(people), people.radiologist, acknowledges=True)
    assert (critical.status, critical.acknowledged_name, critical.acknowledged_via) == (
        "acknowledged",
        "Dr Kilonzo",
        "phone",
    )
    assert critical.acknowledged_by is None and critical.communicated_at is not None
    for wrong in ({"read_back": False}, {"outcome": "no_answer", "read_back": False}):
        with pytest.raises(InvalidData) as refusal:
            told(raised(people), people.radiologist, acknowledges=True, **wrong)
        assert "acknowledges" in refusal.value.errors


def test_another_deadline(people: Any) -> None:
    critical = raised(people, limit_minutes=5)
    assert timedelta(minutes=4) < critical.due_at - database_now() <= timedelta(minutes=5)
    for wrong in (database_now() - timedelta(minutes=1), database_now() + timedelta(days=90)):
        with pytest.raises(InvalidData):
            raised(people, due_at=wrong)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"code": ""}, "code"),
        ({"name": " "}, "name"),
        ({"severity": 9}, "severity"),
        ({"minutes": 0}, "minutes"),
        ({"chain": []}, "chain"),
        ({"chain": [{"contact": "nobody-knows"}]}, "chain"),
        ({"chain": [{"contact": "ward", "channels": ["pigeon"]}]}, "chain"),
        ({"chain": [{"contact": "ward", "wait_minutes": 0}]}, "chain"),
    ],
)
def test_an_impossible_category_is_refused(people: Any, values: dict[str, Any], field: str) -> None:
    said = {"code": "stroke", "name": "Stroke", "severity": 1, **values}
    with pytest.raises(InvalidData) as refusal:
        services.save_category(actor=people.radiologist, **said)
    assert list(refusal.value.errors) == [field]
    assert not AlertCategory.objects.filter(code="stroke").exists()


def test_a_category_changes_and_switches_off(people: Any) -> None:
    row = AlertCategory.objects.get(code="cat2")
    services.save_category(row, findings=["Abscess", "Ileus"], chain=[{"contact": "requester"}], actor=people.other)
    assert [choice.text for choice in row.findings.filter(is_active=True)] == ["Abscess", "Ileus"]
    assert [rule.contact for rule in row.chain.filter(is_active=True)] == ["requester"]
    services.save_category(row, is_active=False, actor=people.other)
    with pytest.raises(InvalidData):
        raised(people, category=None, alert_category=AlertCategory.objects.get(code="cat2"))
    with pytest.raises(AlreadyExists):
        services.save_category(code="cat1", name="x", severity=1, actor=people.other)
    with pytest.raises(NotPermitted):
        services.save_category(row, name="x", actor=people.clerk)


# --- the sentence


def test_the_sentence_says_who_was_told_how_when_and_by_whom(people: Any) -> None:
    critical = told(raised(people), people.radiologist)
    words = sentence_of(again(critical))
    assert words.startswith("Critical finding communicated to Dr Kilonzo by telephone at ")
    assert "read back confirmed, by" in words and words.endswith(f"{people.radiologist.user.display_name}.")
    third = told(raised(people, category=3), people.radiologist, read_back=False)
    assert "read back" not in sentence_of(third)
    known = services.acknowledge_critical(raised(people), actor=people.referrer.actor)
    assert sentence_of(known).startswith("Critical finding acknowledged by ")


def stale(report: Report) -> None:
    """Nobody has given a sign of life in the editor for a while."""
    for procedure in report.procedures.all():
        type(procedure.reading_lock).objects.filter(procedure=procedure).update(heartbeat_at=database_now() - LOCK_IDLE)


def test_a_call_from_the_board_stands_in_the_draft(tclient: Client, people: Any) -> None:
    report = drafted(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    critical = raised(people, report.first_procedure, report=report)
    tclient.force_login(people.radiologist.user)
    call = {"person": "Dr Kilonzo", "channel": "phone", "outcome": "reached", "read_back": "on"}
    tclient.post(f"/critical/{critical.uuid}/contact/", call)
    assert "Dr Kilonzo" not in Report.objects.get().sections["impression"], "it is open in an editor just now"
    pending = pending_sentences(Report.objects.get(), [again(critical)])
    assert [row.sentence for row in pending] == [sentence_of(again(critical))]
    editor = tclient.get(f"/reports/{report.uuid}/").content.decode()
    assert "data-sentence=" in editor
    stale(report)
    tclient.post(f"/critical/{critical.uuid}/contact/", {**call, "person": "Dr Ndungu"})
    written = Report.objects.get()
    assert "communicated to Dr Ndungu by telephone" in written.sections["impression"]
    assert written.revision == report.revision + 1
    assert "data-sentence=" not in tclient.get(f"/reports/{report.uuid}/").content.decode()


def test_a_signed_report_gets_the_sentence_as_an_addendum(tclient: Client, people: Any) -> None:
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    critical = told(raised(people, report.first_procedure, report=report), people.clerk)
    path = f"/critical/{critical.uuid}/addendum/"
    tclient.force_login(people.clerk.user)
    assert tclient.post(path).status_code == 403
    tclient.force_login(people.radiologist.user)
    assert tclient.post(path, {"password": "correct-horse-battery"}).status_code == 302
    words = ReportVersion.objects.get(kind="addendum").addendum
    assert words.startswith("Critical finding communicated to Dr Kilonzo by telephone at ")
    assert tclient.post(path, {"password": "correct-horse-battery"}).status_code == 409, "it stands there already"


# --- a correction afterwards


def test_who_was_told_hears_of_a_correction(people: Any, dispatch: Any) -> None:
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    critical = told(raised(people, report.first_procedure, report=report), people.radiologist)
    services.correct_report(
        report, sections={"impression": "No pneumothorax."}, reason="Skin fold", actor=people.radiologist
    )
    dispatch()
    dispatch()
    changed = Notification.objects.filter(template="reporting.critical_result_changed")
    assert changed.filter(recipient=people.referrer.actor.user, channel="in_app").count() == 1
    row = again(critical)
    assert (row.retell_version, row.retell_since is not None) == (2, True)
    with pytest.raises(InvalidTransition):
        services.close_critical(row, actor=people.clerk)
    told(row, people.clerk)
    assert again(critical).retell_since is None
    assert services.close_critical(row, actor=people.clerk).status == "closed"


def test_an_addendum_calls_nobody_again(people: Any, dispatch: Any) -> None:
    report = signed(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    told(raised(people, report.first_procedure, report=report), people.radiologist)
    services.add_addendum(report, text="Compared with outside images.", actor=people.radiologist)
    dispatch()
    assert not Notification.objects.filter(template="reporting.critical_result_changed").exists()


# --- pages


def test_raising_from_an_exam_and_from_the_editor(tclient: Client, people: Any) -> None:
    procedure = make_procedure(requester=people.referrer.practitioner)
    tclient.force_login(people.radiologist.user)
    page = tclient.get(f"/critical/raise/{procedure.uuid}/").content.decode()
    assert "Tension pneumothorax" in page and 'value="cat3"' in page
    form = {"category": "cat1", "finding": "Tension pneumothorax"}
    assert tclient.post(f"/critical/raise/{procedure.uuid}/", {**form, "finding": ""}).status_code == 400
    assert tclient.post(f"/critical/raise/{procedure.uuid}/", {**form, "category": "none"}).status_code == 400
    answer = tclient.post(f"/critical/raise/{procedure.uuid}/", form)
    critical = CriticalResult.objects.get()
    assert answer["Location"] == f"/critical/{critical.uuid}/"
    report = drafted(make_procedure(requester=people.referrer.practitioner), actor=people.radiologist)
    call = {"person": "Dr Ndungu", "channel": "phone", "read_back": "on", "deadline_minutes": "20"}
    answer = tclient.post(f"/reports/{report.uuid}/critical/", {**form, **call}, headers={"accept": "application/json"})
    said = answer.json()
    assert (answer.status_code, said["status"]) == (201, "communicated")
    assert said["sentence"].startswith("Critical finding communicated to Dr Ndungu by telephone")
    assert CriticalResult.objects.get(report=report).attempts.filter(outcome="reached").count() == 1


def test_the_board_in_each_of_its_lists(tclient: Client, people: Any) -> None:
    rows = {state: in_state(people, state) for state in STATES}
    CriticalResult.objects.filter(status="open").update(unreached_since=database_now(), escalation_level=1)
    tclient.force_login(people.radiologist.user)
    assert 'id="c-' not in tclient.get("/critical/?box=open&category=cat3").content.decode()
    wanted = {"escalated": {"open"}, "trouble": {"open"}, "closed": {"acknowledged", "closed", "withdrawn"}}
    for box in ("open", "escalated", "trouble", "mine", "closed", "nonsense"):
        response = tclient.get(f"/critical/?box={box}&category=cat1")
        page = response.content.decode()
        shown = {state for state, row in rows.items() if f'id="c-{row.uuid}"' in page}
        assert (response.status_code, shown) == (200, wanted.get(box, {"open", "communicated"})), box
        again_asked = {"HX-Request": "true", "If-None-Match": response["ETag"]}
        assert tclient.get(f"/critical/?box={box}&category=cat1", headers=again_asked).status_code == 304


def test_the_board_asks_as_much_for_one_as_for_ten(
    tclient: Client, people: Any, django_assert_max_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    tclient.force_login(people.radiologist.user)
    told(raised(people), people.clerk, outcome="no_answer", read_back=False)
    tclient.get("/critical/")
    with CaptureQueriesContext(connection) as one:
        tclient.get("/critical/")
    for _number in range(6):
        told(raised(people), people.clerk, outcome="no_answer", read_back=False)
    with django_assert_max_num_queries(len(one)):
        tclient.get("/critical/")


def test_a_referrer_sees_and_answers_only_their_own(tclient: Client, people: Any) -> None:
    own, other = raised(people), raised(people, make_procedure(requester=make_referrer().practitioner))
    tclient.force_login(people.referrer.actor.user)
    rows = tclient.get("/critical/").context["rows"]
    assert [row.pk for row in rows] == [own.pk]
    assert tclient.get(f"/critical/{other.uuid}/").status_code == 404
    assert tclient.post(f"/critical/{other.uuid}/acknowledge/").status_code == 404
    assert [row.shown.contact for row in tclient.get("/critical/wall/").context["rows"]] == [
        people.referrer.practitioner.display_name
    ]
    for verb in ("withdraw", "escalate", "close", "contact", "reopen", "addendum"):
        assert tclient.post(f"/critical/{own.uuid}/{verb}/").status_code == 403, verb
    assert tclient.post(f"/critical/{own.uuid}/acknowledge/").status_code == 302
    assert again(own).status == "acknowledged"


def test_another_facilitys_alert_is_unknown(tclient: Client, people: Any, beta: Any) -> None:
    with use_facility(beta):
        foreign = services.raise_critical_result(
            make_procedure(patient=make_patient("ONLYINBETA")),
            category=1,
            finding="x",
            actor=actor_with_roles("radiologist"),
        )
    tclient.force_login(people.radiologist.user)
    assert tclient.get(f"/critical/{foreign.uuid}/").status_code == 404
    assert tclient.get(f"/critical/raise/{foreign.procedure.uuid}/").status_code == 404
    for verb in ("withdraw", "escalate", "close", "reopen", "acknowledge"):
        assert tclient.post(f"/critical/{foreign.uuid}/{verb}/", {"reason": "x"}).status_code == 404, verb


# --- compliance


def test_compliance_by_each_group_and_as_csv(tclient: Client, people: Any) -> None:
    people.referrer.practitioner.organisation = "=Ward 2"
    people.referrer.practitioner.save()
    in_time = told(raised(people), people.clerk)
    late = told(raised(people, found_at=database_now() - timedelta(hours=2)), people.clerk)
    services.acknowledge_critical(raised(people, category=2), actor=people.referrer.actor)
    raised(people)  # still has time: counted when it is up
    services.withdraw_critical(raised(people), reason="Artefact", actor=people.radiologist)
    assert in_time.communicated_at <= in_time.due_at and late.communicated_at > late.due_at
    groups = {row.label: row for row in compliance(actor=people.radiologist, by="category")}
    assert {label: (row.findings, row.in_time, row.share) for label, row in groups.items()} == {
        "Cat 1 · minutes": (2, 1, 50),
        "Cat 2 · hours": (1, 1, 100),
    }
    assert groups["Cat 1 · minutes"].read_back == 100
    assert groups["Cat 2 · hours"].median_acknowledged is not None
    tclient.force_login(people.radiologist.user)
    for by in ("month", "category", "site", "department", "nonsense"):
        assert tclient.get(f"/critical/compliance/?by={by}&months=12").status_code == 200
    text = tclient.get("/critical/compliance.csv?by=department&months=12").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["department"], row["findings"], row["late"]) for row in rows] == [("'=Ward 2", "3", "1")]


# --- REST


def test_the_same_over_rest(api: Any, people: Any) -> None:
    procedure = make_procedure(requester=people.referrer.practitioner)
    api.force_authenticate(people.radiologist.user)
    body = {"procedure": str(procedure.uuid), "alert_category": "cat1", "finding": "Torsion"}
    made = api.post("/api/v1/critical-results/", body, format="json")
    assert (made.status_code, made.data["category"], made.data["category_name"]) == (201, 1, "Cat 1 · minutes")
    assert [step["level"] for step in made.data["steps"]] == [0]
    path = f"/api/v1/critical-results/{made.data['id']}"
    for _repeat in range(2):
        assert api.post(f"{path}/escalate/", {"level": 1}, format="json").data["escalation_level"] == 1
    call = {"channel": "phone", "person": "Dr Kilonzo", "outcome": "reached", "read_back": True, "acknowledges": True}
    done = api.post(f"{path}/log-contact/", call, format="json").data
    assert (done["status"], done["acknowledged_by"], done["acknowledged_via"]) == (
        "acknowledged",
        "Dr Kilonzo",
        "phone",
    )
    assert done["sentence"].startswith("Critical finding communicated to Dr Kilonzo")
    assert api.post(f"{path}/reopen/", {"reason": "Wrong ward"}, format="json").data["round"] == 2
    assert api.post(f"{path}/addendum/", {}, format="json").status_code in (403, 409)
    rows = api.get("/api/v1/critical-results/compliance/?by=category").data
    assert rows == [] or rows[0]["findings"] >= 0
    assert api.get("/api/v1/critical-results/compliance/?by=colour").status_code == 400
    wrong = api.post("/api/v1/critical-results/", {**body, "alert_category": "none"}, format="json")
    assert wrong.status_code == 400 and "alert_category" in wrong.data["errors"]


def test_categories_and_displays_over_rest(api: Any, people: Any) -> None:
    api.force_authenticate(people.radiologist.user)
    body = {"code": "stroke", "name": "Stroke", "severity": 1, "chain": [{"contact": "ward", "wait_minutes": 3}]}
    made = api.post("/api/v1/critical-categories/", body, format="json")
    assert (made.status_code, [row["contact"] for row in made.data["chain"]]) == (201, ["ward"])
    path = f"/api/v1/critical-categories/{made.data['id']}/"
    changed = api.patch(path, {"minutes": 12, "findings": ["Stroke"]}, format="json")
    assert (changed.data["minutes"], changed.data["findings"]) == (12, ["Stroke"])
    assert len(api.get("/api/v1/critical-categories/").data["results"]) == 4
    display = api.post("/api/v1/wall-displays/", {"label": "Theatre"}, format="json")
    assert (display.status_code, len(display.data["code"])) == (201, 8)
    assert "code" not in api.get(f"/api/v1/wall-displays/{display.data['id']}/").data
    assert api.post(f"/api/v1/wall-displays/{display.data['id']}/revoke/").data["revoked_at"]
    api.force_authenticate(people.clerk.user)
    assert api.post("/api/v1/critical-categories/", body, format="json").status_code == 403
    assert api.get("/api/v1/wall-displays/").status_code == 403


# --- the administration


def test_categories_are_kept_in_the_administration(tclient: Client, people: Any) -> None:
    tclient.force_login(people.radiologist.user)
    row = AlertCategory.objects.get(code="cat1")
    page = tclient.get(f"/admin/reporting/alertcategory/{row.pk}/change/")
    assert page.status_code == 200 and "Tension pneumothorax" in page.content.decode()
    critical = raised(people)
    assert tclient.get(f"/admin/reporting/criticalresult/{critical.pk}/change/").status_code == 200
    for table in ("escalationstep", "answerlink", "contactattempt", "walldisplay"):
        assert tclient.get(f"/admin/reporting/{table}/").status_code == 200, table
    action = {"action": "do_reopen_critical", "_selected_action": [critical.pk], "reason": "Again", "_confirmed": "1"}
    tclient.post("/admin/reporting/criticalresult/", action)
    assert again(critical).round == 1, "an open one is not opened again"
    told(critical, people.clerk)
    tclient.post("/admin/reporting/criticalresult/", action)
    assert (again(critical).round, again(critical).status) == (2, "open")
    tclient.post("/admin/reporting/walldisplay/add/", {"label": "Theatre"})
    assert ContactAttempt.objects.exists()
