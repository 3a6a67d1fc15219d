"""The chain of contacts: who is told when, once each, whatever dies, whichever clock is wrong, whatever way is cut."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from reporting import services
from reporting.escalation import claim_escalations, run_escalation
from reporting.models import AlertCategory, ContactAttempt, CriticalResult, EscalationRule, EscalationStep
from reporting.services.critical_alarm import works
from reporting.services.critical_chain import contacts_at
from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.core.clock import database_now
from ris.events.dispatcher import Dispatcher
from ris.notifications.models import Duty, Notification, RotaShift
from ris.notifications.rota import add_shift, cancel_shift, substitute_shift
from ris.tenants.context import use_facility
from tests.factories.accounts import user_with_roles
from tests.factories.reporting import make_procedure, make_referrer

pytestmark = pytest.mark.django_db
LEVELS = ("ward", "duty-doctor", "department-head", "radiologist-on-call")


def raised(people: Any, category: int = 1, **fields: Any) -> CriticalResult:
    procedure = make_procedure(requester=people.referrer.practitioner, **fields)
    return services.raise_critical_result(
        procedure, category=category, finding="Tension pneumothorax", actor=people.radiologist
    )


def again(critical: CriticalResult) -> CriticalResult:
    return CriticalResult.objects.get(pk=critical.pk)


def move_clock(**delta: float) -> None:
    """As if the database's clock had been put forward by so much: everything stored lies that much earlier."""
    for name in ("next_escalation_at", "timer_set_at", "due_at", "found_at", "claimed_until"):
        rows = CriticalResult.objects.exclude(**{name: None})
        for row in rows:
            CriticalResult.objects.filter(pk=row.pk).update(**{name: getattr(row, name) - timedelta(**delta)})


def on_duty(duty: str, people: Any, **fields: Any) -> Any:
    user = user_with_roles("clerk", family_name=duty.title().replace("-", ""), **fields)
    now = database_now()
    add_shift(
        duty=duty,
        user=user,
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(days=2),
        actor=people.radiologist,
    )
    return user


@pytest.fixture
def gateway(alpha: Any) -> Iterator[Any]:
    """A fake SMS gateway that listens; ``answers`` are the statuses it gives, then 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.seen.append({**body, "key": self.headers["Idempotency-Key"]})
            self.send_response(server.answers.pop(0) if server.answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Silence."""

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answers = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    row = facility_settings()
    row.sms_gateway_url = f"http://127.0.0.1:{server.server_port}/sms"
    row.sms_gateway_token, row.allowed_hosts = "gateway-token", ["127.0.0.1"]
    row.save()
    yield server
    server.shutdown()
    server.server_close()


# --- who, when


def test_the_chain_goes_from_the_requester_to_the_radiologist_on_call(people: Any) -> None:
    users = {duty: on_duty(duty, people) for duty in LEVELS}
    critical = raised(people)
    for number, duty in enumerate(LEVELS, start=1):
        move_clock(minutes=31 if number == 1 else 16)
        assert claim_escalations() == [critical.pk]
        run_escalation(critical.pk)
        told = Notification.objects.filter(recipient=users[duty], channel="in_app")
        assert [row.context["level"] for row in told] == [number]
    steps = [(row.level, row.contact, row.cause) for row in critical.steps.all()]
    assert steps[0] == (0, people.referrer.practitioner.display_name, "raised")
    assert [step[2] for step in steps[1:]] == ["clock"] * 4
    move_clock(minutes=16)
    run_escalation(critical.pk)
    assert again(critical).escalation_level == 5, "the last level goes on until somebody answers"
    assert critical.steps.last().contact == critical.steps.get(level=4).contact


@pytest.mark.parametrize(
    "category, waits", [(1, (30, 15, 15, 15, 15)), (2, (360, 120, 120, 120, 120)), (3, (10080, 2880, 2880, 2880, 2880))]
)
def test_each_category_has_its_own_timers(people: Any, category: int, waits: tuple[int, ...]) -> None:
    critical = raised(people, category)
    for wait in waits:
        row = again(critical)
        assert row.next_escalation_at - row.timer_set_at == timedelta(minutes=wait)
        move_clock(minutes=wait - 1)
        assert claim_escalations() == []
        move_clock(minutes=1, seconds=1)
        assert claim_escalations() == [critical.pk]
        run_escalation(critical.pk)


def test_a_site_sets_its_own_chain_timers_and_channels(people: Any) -> None:
    porter = on_duty("ward", people)
    own = services.save_category(
        code="stroke",
        name="Stroke",
        severity=1,
        minutes=10,
        tone="violet",
        icon="flag",
        findings=["Large vessel occlusion", "Large vessel occlusion", " "],
        chain=[{"contact": "requester"}, {"contact": "ward", "wait_minutes": 4, "channels": ["in_app"]}],
        actor=people.radiologist,
    )
    assert [row.text for row in own.findings.all()] == ["Large vessel occlusion"]
    procedure = make_procedure(requester=people.referrer.practitioner)
    critical = services.raise_critical_result(
        procedure, alert_category=own, finding="Large vessel occlusion", actor=people.radiologist
    )
    assert critical.due_at - critical.found_at == timedelta(minutes=10)
    assert critical.next_escalation_at - critical.timer_set_at == timedelta(minutes=4)
    assert (critical.category, critical.look.tone, str(critical.look.text)) == (1, "violet", "Stroke")
    move_clock(minutes=4, seconds=1)
    run_escalation(critical.pk)
    assert set(Notification.objects.filter(recipient=porter).values_list("channel", flat=True)) == {"in_app"}
    assert again(critical).next_escalation_at > database_now() + timedelta(minutes=3)


def test_a_ward_of_its_own_comes_before_the_common_one(people: Any) -> None:
    common = on_duty("ward", people)
    Duty(code="ward-3", name="Ward 3", location="Ward 3", phone="ext. 33", sms="+254700000033").save()
    own = on_duty("ward-3", people)
    critical = raised(people)
    assert common in contacts_at(critical, 1).people
    type(critical.procedure.order).objects.filter(pk=critical.procedure.order.pk).update(location="ward 3")
    moved = contacts_at(again(critical), 1)  # the patient has moved: the next level follows
    assert own in moved.people and common not in moved.people
    assert (moved.label, moved.phone, moved.mailboxes) == ("Ward 3", "ext. 33", [("sms", "+254700000033")])


def test_a_substitute_is_told_instead_and_a_cancelled_shift_tells_nobody(people: Any) -> None:
    ward = on_duty("ward", people)
    shift = RotaShift.objects.get(user=ward)
    substitute_shift(shift, substitute=people.clerk.user, actor=people.radiologist)
    critical = raised(people)
    assert [row.pk for row in contacts_at(critical, 1).people][:1] == [people.clerk.user.pk]
    cancel_shift(shift, actor=people.radiologist)
    assert ward not in contacts_at(critical, 1).people
    assert people.clerk.user not in contacts_at(critical, 1).people


def test_a_requester_without_an_account_is_reached_at_the_practice(people: Any, gateway: Any, dispatch: Any) -> None:
    referrer = make_referrer(signs_in=False, phone="+254700000001")
    procedure = make_procedure(requester=referrer.practitioner)
    critical = services.raise_critical_result(procedure, category=1, finding="Torsion", actor=people.radiologist)
    dispatch()
    assert [row["to"] for row in gateway.seen] == ["+254700000001"]
    said = gateway.seen[0]["text"]
    assert critical.reference in said and "http" not in said, "no link where only the sign-in would open it"


def test_what_leaves_the_house_names_nobody(people: Any, gateway: Any, dispatch: Any) -> None:
    people.referrer.practitioner.phone = "+254700000009"
    people.referrer.practitioner.save()
    critical = raised(people)
    dispatch()
    patient = critical.procedure.order.patient
    texts = [gateway.seen[0]["text"], mail.outbox[0].subject + mail.outbox[0].body]
    for text in texts:
        assert critical.reference in text and "/critical/answer/" in text
        for secret in (
            patient.family_name,
            patient.primary_identifier.value,
            critical.accession_number,
            critical.finding,
        ):
            assert secret not in text


# --- once, whatever dies


def test_a_level_cannot_be_written_twice(people: Any) -> None:
    critical = raised(people)
    with pytest.raises(IntegrityError), transaction.atomic():
        EscalationStep(critical_result=critical, round=1, level=0, cause="clock", at=database_now()).save()


def test_a_second_press_on_the_same_level_does_nothing(people: Any) -> None:
    critical = raised(people)
    for _press in range(2):
        services.escalate(critical, at_once=True, level=1, actor=people.radiologist)
    assert again(critical).escalation_level == 1
    assert critical.steps.filter(level=1).count() == 1


def die(*_args: Any, **_kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after_the_claim() -> None:
    import reporting.escalation as module

    module.escalate = die  # type: ignore[assignment]


def _before_the_commit() -> None:
    import reporting.services.critical as module

    module.publish = die  # type: ignore[assignment]


def _before_sending() -> None:
    import ris.notifications.services as module

    module.deliver = die  # type: ignore[assignment]


def _after_sending() -> None:
    import ris.notifications.services as module

    deliver = module.deliver

    def sent_then_died(row: Any) -> None:
        deliver(row)
        die()

    module.deliver = sent_then_died


def killed_at(arrange: Callable[[], None]) -> int:
    """A worker of its own process does what is due, and is killed (-9) where ``arrange`` says. Answers the signal."""
    connection.close()
    child = os.fork()
    if child == 0:
        try:
            arrange()
            with use_facility("alpha"):
                for _tick in range(5):
                    Dispatcher(use_broker=False).tick(["alpha"])
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "arrange, sent",
    [(_after_the_claim, 1), (_before_the_commit, 1), (_before_sending, 1), (_after_sending, 2)],
    ids=["after-claim", "before-commit", "before-send", "before-record"],
)
def test_a_worker_killed_at_each_step_alarms_each_level_once(
    people: Any, gateway: Any, dispatch: Any, arrange: Callable[[], None], sent: int
) -> None:
    """One step, one message, one text. Killed between the gateway's yes and our note of it, the text is sent again
    under the same Idempotency-Key: the one case in which nobody on our side can know.
    """
    ward = on_duty("ward", people)
    Practitioner.objects.create(user=ward, family_name="Njoki", phone="+254700000002")
    EscalationRule.objects.update(channels=["sms"])
    critical = raised(people)
    move_clock(minutes=31)
    assert killed_at(arrange) == signal.SIGKILL
    with use_facility("alpha"):
        before = EscalationStep.objects.filter(level=1).count()
        assert before == (1 if arrange in (_before_sending, _after_sending) else 0)
        past = timezone.now() - timedelta(minutes=5)
        CriticalResult.objects.update(claimed_until=past)
        Notification.objects.filter(claimed_until__isnull=False).update(claimed_until=past)
        dispatch()
        dispatch()
        assert EscalationStep.objects.filter(critical_result=critical, level=1).count() == 1
        assert again(critical).escalation_level == 1
        texts = Notification.objects.filter(recipient=ward, channel="sms")
        assert [row.status for row in texts] == ["sent"]
        assert Notification.objects.filter(recipient=ward, channel="in_app").count() == 1
        assert ContactAttempt.objects.filter(person=ward.display_name).count() == 1
    assert len(gateway.seen) == sent
    assert {row["key"] for row in gateway.seen} == {str(texts[0].uuid)}


# --- whichever clock is wrong


@pytest.mark.parametrize("days", [-1, 1])
def test_a_wrong_clock_of_this_machine_changes_nothing(people: Any, monkeypatch: Any, days: int) -> None:
    critical = raised(people)
    wrong = timezone.now() + timedelta(days=days)
    monkeypatch.setattr(timezone, "now", lambda: wrong)
    assert claim_escalations() == []
    run_escalation(critical.pk)
    assert again(critical).escalation_level == 0
    move_clock(minutes=31)
    assert claim_escalations() == [critical.pk]
    run_escalation(critical.pk)
    row = again(critical)
    assert row.escalation_level == 1
    assert timedelta(minutes=14) < row.next_escalation_at - database_now() <= timedelta(minutes=15)


def test_a_clock_that_jumps_forward_alarms_one_level_not_all(people: Any, dispatch: Any) -> None:
    critical = raised(people)
    move_clock(hours=12)
    dispatch()
    row = again(critical)
    assert row.escalation_level == 1
    assert row.next_escalation_at > database_now() + timedelta(minutes=14)


def test_a_clock_that_is_put_back_does_not_silence_an_alert(people: Any, dispatch: Any) -> None:
    critical = raised(people)
    move_clock(hours=-12)
    dispatch()
    row = again(critical)
    assert row.escalation_level == 0
    assert row.next_escalation_at <= database_now() + timedelta(minutes=30), "not in twelve and a half hours"
    move_clock(minutes=31)
    dispatch()
    assert again(critical).escalation_level == 1


def test_a_claim_from_a_clock_that_was_put_back_is_no_claim(people: Any) -> None:
    critical = raised(people)
    move_clock(minutes=31)
    assert claim_escalations() == [critical.pk]
    CriticalResult.objects.update(claimed_until=timezone.now() + timedelta(hours=5))
    assert claim_escalations() == [critical.pk]


# --- whatever way is cut


def test_when_no_message_gets_out_the_next_level_and_the_desk_hear(people: Any, dispatch: Any) -> None:
    """No gateway is set up, and the requester has a phone only."""
    ward = on_duty("ward", people)
    people.referrer.actor.user.email = ""
    people.referrer.actor.user.save()
    people.referrer.practitioner.phone = "+254700000003"
    people.referrer.practitioner.save()
    critical = raised(people)
    dispatch()
    row = again(critical)
    assert row.unreached_since is not None
    assert [(step.level, step.problem, step.cause) for step in critical.steps.all()] == [
        (0, "no_channel", "raised"),
        (1, "", "unreached"),
    ]
    assert Notification.objects.filter(recipient=ward, template="reporting.critical_result_escalated").exists()
    assert Notification.objects.filter(
        recipient=people.clerk.user, template="reporting.critical_result_unreached", channel="in_app"
    ).exists()
    assert critical.attempts.filter(outcome="failed").count() == 1
    services.log_contact(
        row, channel="in_person", person="Sr. Njoki", outcome="reached", read_back=True, actor=people.clerk
    )
    assert again(critical).unreached_since is None


def test_a_gateway_that_stumbles_three_times_counts_as_cut(people: Any, gateway: Any, dispatch: Any) -> None:
    gateway.answers[:] = [503] * 10
    people.referrer.actor.user.email = ""
    people.referrer.actor.user.save()
    people.referrer.practitioner.phone = "+254700000003"
    people.referrer.practitioner.save()
    critical = raised(people)
    for attempt in (1, 2, 3):
        Notification.objects.filter(channel="sms").update(next_attempt_at=timezone.now(), claimed_until=None)
        dispatch()
        assert (again(critical).unreached_since is not None) == (attempt == 3)
    assert works(again(critical), 0) is False


def test_a_mail_that_went_out_is_enough(people: Any, dispatch: Any) -> None:
    people.referrer.practitioner.phone = "+254700000003"
    people.referrer.practitioner.save()
    critical = raised(people)
    dispatch()  # the SMS fails for want of a gateway
    assert Notification.objects.filter(channel="sms", status="failed").exists()
    assert again(critical).unreached_since is None


def test_with_nobody_anywhere_it_stands_on_the_board(people: Any) -> None:
    critical = raised(people)
    type(people.other.user).objects.exclude(pk=people.clerk.user.pk).update(is_active=False)
    AlertCategory.objects.update(is_active=True)
    services.escalate(again(critical), at_once=True, actor=people.clerk)
    row = again(critical)
    assert row.unreached_since is not None
    assert critical.steps.get(level=1).problem == "nobody"
    assert Notification.objects.filter(template="reporting.critical_result_unreached").count() == 1
