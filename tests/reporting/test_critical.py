"""Critical results: raised, told, acknowledged, withdrawn; escalated once per step, whoever runs the clock."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from reporting import selectors, services
from reporting.escalation import claim_escalations, run_escalation
from reporting.models import ContactAttempt, CriticalResult
from ris.audit.models import AuditEvent
from ris.core.errors import InvalidData, InvalidTransition, NotPermitted
from ris.events.models import OutboxEvent
from ris.notifications.models import Notification, RotaShift
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from tests.factories.reporting import make_procedure, make_referrer

pytestmark = pytest.mark.django_db


def raised(people: Any, category: int = 1, **values: Any) -> CriticalResult:
    procedure = make_procedure(requester=people.referrer.practitioner)
    return services.raise_critical_result(
        procedure, category=category, finding="Tension pneumothorax", actor=people.radiologist, **values
    )


def again(critical: CriticalResult) -> CriticalResult:
    return CriticalResult.objects.get(pk=critical.pk)


def overdue(critical: CriticalResult) -> None:
    CriticalResult.objects.filter(pk=critical.pk).update(next_escalation_at=timezone.now() - timedelta(seconds=1))


def call(critical: CriticalResult, actor: Any, **values: Any) -> CriticalResult:
    said = {"channel": "phone", "person": "Sr. Njoki", "outcome": "reached", "read_back": True, **values}
    return services.log_contact(critical, actor=actor, **said)


def test_raising_starts_the_clock_and_tells_the_requester(people: Any) -> None:
    critical = raised(people)
    assert critical.due_at - critical.found_at == timedelta(minutes=30)
    assert critical.next_escalation_at == critical.due_at
    told = Notification.objects.filter(recipient=people.referrer.actor.user, channel="in_app").get()
    assert told.template == "reporting.critical_result"
    assert "pneumothorax" not in str(told.context)
    assert OutboxEvent.objects.filter(name="reporting.critical_result_raised").count() == 1
    assert AuditEvent.objects.filter(event_type="reporting.raise_critical", entity=critical.uuid).count() == 1
    assert critical.history.count() == 1


def test_the_facility_decides_the_minutes(people: Any) -> None:
    from ris.accounts.selectors import facility_settings

    row = facility_settings()
    row.critical_minutes = {"2": 90}
    row.save()
    critical = raised(people, 2)
    assert critical.due_at - critical.found_at == timedelta(minutes=90)


@pytest.mark.parametrize(
    "values, field",
    [({"category": 7}, "category"), ({"finding": " "}, "finding"), ({"found_at": "future"}, "found_at")],
)
def test_an_impossible_alert_is_refused(people: Any, values: dict[str, Any], field: str) -> None:
    if values.get("found_at"):
        values["found_at"] = timezone.now() + timedelta(days=1)
    arguments = {"category": 1, "finding": "x", **values}
    with pytest.raises(InvalidData) as refusal:
        services.raise_critical_result(make_procedure(), actor=people.radiologist, **arguments)
    assert list(refusal.value.errors) == [field]


def test_a_clerk_raises_none(people: Any) -> None:
    with pytest.raises(NotPermitted):
        services.raise_critical_result(make_procedure(), category=1, finding="x", actor=people.clerk)


def test_reached_and_read_back_is_communicated(people: Any) -> None:
    critical = call(raised(people), people.radiologist)
    assert (critical.status, critical.next_escalation_at) == ("communicated", None)
    assert critical.communicated_at is not None
    assert OutboxEvent.objects.filter(name="reporting.critical_result_communicated").count() == 1


@pytest.mark.parametrize("said", [{"outcome": "no_answer", "read_back": False}, {"read_back": False}])
def test_without_read_back_it_stays_open(people: Any, said: dict[str, Any]) -> None:
    critical = call(raised(people), people.radiologist, **said)
    assert (critical.status, ContactAttempt.objects.filter(channel="phone").count()) == ("open", 1)


def test_category_three_needs_no_read_back(people: Any) -> None:
    assert call(raised(people, 3), people.radiologist, read_back=False).status == "communicated"


@pytest.mark.parametrize("said", [{"person": ""}, {"channel": "pigeon"}, {"outcome": "maybe"}])
def test_a_contact_needs_person_channel_and_outcome(people: Any, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidData) as refusal:
        call(raised(people), people.radiologist, **said)
    assert set(said) <= set(refusal.value.errors)


def test_the_requester_acknowledges(people: Any) -> None:
    critical = services.acknowledge_critical(raised(people), actor=people.referrer.actor)
    assert (critical.status, critical.acknowledged_by) == ("acknowledged", people.referrer.actor.user)
    with pytest.raises(InvalidTransition):
        services.acknowledge_critical(critical, actor=people.other)
    assert OutboxEvent.objects.filter(name="reporting.critical_result_acknowledged").count() == 1
    assert services.close_critical(critical, actor=people.radiologist).status == "closed"


def test_who_raised_it_does_not_answer_it(people: Any) -> None:
    with pytest.raises(NotPermitted):
        services.acknowledge_critical(raised(people), actor=people.radiologist)


def test_withdrawing_needs_a_reason(people: Any) -> None:
    critical = raised(people)
    with pytest.raises(InvalidData):
        services.withdraw_critical(critical, reason="", actor=people.radiologist)
    critical = services.withdraw_critical(critical, reason="Artefact", actor=people.radiologist)
    assert (critical.status, critical.next_escalation_at) == ("withdrawn", None)
    with pytest.raises(InvalidTransition):
        call(critical, people.radiologist)
    assert OutboxEvent.objects.filter(name="reporting.critical_result_withdrawn").count() == 1


def test_an_open_one_is_not_closed_silently(people: Any) -> None:
    with pytest.raises(InvalidTransition):
        services.close_critical(raised(people), actor=people.radiologist)


# --- escalation


def test_nothing_escalates_before_its_time(people: Any, dispatch: Any) -> None:
    critical = raised(people)
    dispatch()
    assert again(critical).escalation_level == 0


def test_it_escalates_twice_each_step_once(people: Any, dispatch: Any) -> None:
    critical = raised(people)
    for level in (1, 2):
        overdue(critical)
        dispatch()
        dispatch()
        row = again(critical)
        assert row.escalation_level == level
        assert row.next_escalation_at > timezone.now() + timedelta(minutes=14)
    escalated = OutboxEvent.objects.filter(name="reporting.critical_result_escalated")
    assert [row.payload["level"] for row in escalated] == [1, 2]
    told = Notification.objects.filter(recipient=people.other.user, template="reporting.critical_result_escalated")
    assert told.filter(channel="in_app").count() == 2


def test_a_claim_that_died_is_taken_up_again_and_a_repeat_does_nothing(people: Any) -> None:
    critical = raised(people)
    overdue(critical)
    assert claim_escalations() == [critical.pk]
    assert claim_escalations() == []
    CriticalResult.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert claim_escalations() == [critical.pk]
    run_escalation(critical.pk)
    run_escalation(critical.pk)
    assert again(critical).escalation_level == 1


def test_an_answered_one_does_not_escalate(people: Any, dispatch: Any) -> None:
    critical = call(raised(people), people.radiologist)
    CriticalResult.objects.update(next_escalation_at=timezone.now() - timedelta(minutes=1))
    dispatch()
    assert again(critical).escalation_level == 0


def test_the_rota_says_who_comes_next(people: Any) -> None:
    ward, head = user_with_roles("clerk"), user_with_roles("qa_lead")
    now = timezone.now()
    for duty, user in (("ward", ward), ("department-head", head)):
        RotaShift.objects.create(
            duty=duty, user=user, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1)
        )
    critical = raised(people)
    for user in (ward, head):
        overdue(critical)
        run_escalation(critical.pk)
        assert ContactAttempt.objects.filter(person=user.display_name, outcome="sent").count() == 1


def test_without_a_requester_who_signs_in_the_department_hears_at_once(people: Any) -> None:
    procedure = make_procedure(requester=make_referrer(signs_in=False).practitioner)
    services.raise_critical_result(procedure, category=1, finding="x", actor=people.radiologist)
    assert Notification.objects.filter(recipient=people.other.user).exists()


def test_a_person_may_escalate_at_once(people: Any) -> None:
    critical = services.escalate(raised(people), at_once=True, actor=people.radiologist)
    assert critical.escalation_level == 1


@pytest.mark.django_db(transaction=True)
def test_two_dispatchers_escalate_once(people: Any) -> None:
    critical = raised(people)
    overdue(critical)
    gate = threading.Barrier(4)

    def run() -> None:
        with use_facility("alpha"):
            gate.wait(20)
            run_escalation(critical.pk)
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert again(critical).escalation_level == 1
    assert OutboxEvent.objects.filter(name="reporting.critical_result_escalated").count() == 1


# --- board


def test_the_board_shows_what_is_open_and_what_is_late(people: Any) -> None:
    from reporting.selectors.critical import board_counts

    first, second = raised(people), raised(people, 3)
    services.withdraw_critical(second, reason="Artefact", actor=people.radiologist)
    assert list(selectors.critical_board(actor=people.radiologist)) == [first]
    assert board_counts(actor=people.radiologist) == {
        "open": 1,
        "escalated": 0,
        "trouble": 0,
        "mine": 1,
        "closed": 1,
        "over": 0,
    }
    assert list(selectors.critical_board(actor=people.referrer.actor)) == [first]
    assert list(selectors.critical_board(actor=make_referrer().actor)) == []


def test_compliance_counts_by_month(people: Any) -> None:
    call(raised(people), people.radiologist)
    late = raised(people, found_at=timezone.now() - timedelta(hours=2))
    call(late, people.radiologist)
    months = selectors.compliance_by_month(actor=people.radiologist)
    assert (
        sum(row.findings for row in months),
        sum(row.in_time for row in months),
        sum(row.late for row in months),
    ) == (2, 1, 1)
