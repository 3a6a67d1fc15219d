import threading
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import ClassVar

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from ris.events import bus, services
from ris.events.bus import Event, publish, subscribe
from ris.events.dispatcher import Dispatcher
from ris.events.models import Delivery, DeliveryStatus, OutboxEvent
from ris.tenants.context import use_facility
from tests.factories.accounts import SiteFactory, user_with_roles


@dataclass(frozen=True)
class Tried(Event):
    name: ClassVar[str] = "test.tried"
    note: str = ""


@pytest.fixture
def heard(monkeypatch):
    """Subscribers of this test only."""
    monkeypatch.setitem(bus._subscribers, Tried.name, {})
    notes = []

    @subscribe(Tried, name="test.listener")
    def listen(event):
        if event.note == "poison":
            raise RuntimeError("cannot digest this")
        notes.append(event.note)

    return notes


def say(note, *, about="A1", version=None):
    with transaction.atomic():
        subject = "11111111-1111-7111-8111-111111111111"
        return publish(Tried(subject, accession_number=about, version=version, note=note))


def test_an_event_needs_a_transaction(alpha, heard, monkeypatch):
    with monkeypatch.context() as outside:
        outside.setattr(transaction.get_connection(), "in_atomic_block", False)
        with pytest.raises(RuntimeError):
            publish(Tried("x"))


def test_it_commits_with_the_data_it_speaks_of(alpha, heard, dispatch):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        SiteFactory()
        publish(Tried("x", note="never"))
        raise ZeroDivisionError
    assert (OutboxEvent.objects.count(), dispatch(), heard) == (0, 0, [])


def test_a_subscriber_hears_once_and_in_order(alpha, heard, dispatch):
    for number in range(5):
        say(str(number))
    assert dispatch() == 5
    assert heard == ["0", "1", "2", "3", "4"]
    assert dispatch() == 0
    assert set(Delivery.objects.values_list("status", flat=True)) == {DeliveryStatus.DELIVERED}


def test_poison_holds_back_its_own_key_and_nobody_else(alpha, heard, dispatch):
    say("poison", about="A1")
    say("after", about="A1")
    say("other", about="B2")
    dispatch()
    assert heard == ["other"]
    poison = Delivery.objects.order_by("pk").first()
    assert (poison.status, poison.attempts) == (DeliveryStatus.PENDING, 1)
    assert poison.last_error == "RuntimeError: cannot digest this"
    assert poison.next_attempt_at > timezone.now()
    Delivery.objects.filter(pk=poison.pk).update(attempts=19, next_attempt_at=timezone.now() - timedelta(seconds=1))
    dispatch()
    poison.refresh_from_db()
    assert poison.status == DeliveryStatus.PARKED
    assert heard == ["other", "after"]


def test_what_a_failing_subscriber_wrote_is_undone(alpha, monkeypatch, dispatch):
    monkeypatch.setitem(bus._subscribers, Tried.name, {})

    @subscribe(Tried, name="test.writer")
    def write(event):
        SiteFactory(code="half")
        raise RuntimeError

    say("x")
    dispatch()
    from ris.accounts.models import Site

    assert not Site.objects.filter(code="half").exists()


def test_in_transaction_subscribers_run_in_the_commit(alpha, monkeypatch):
    monkeypatch.setitem(bus._subscribers, Tried.name, {})
    notes = []
    subscribe(Tried, name="test.now", in_transaction=True)(lambda event: notes.append(event.note))
    say("now")
    assert (notes, Delivery.objects.count()) == (["now"], 0)


def test_what_a_newer_version_has_overtaken_is_dropped(alpha, monkeypatch, dispatch):
    monkeypatch.setitem(bus._subscribers, Tried.name, {})
    notes = []
    subscribe(Tried, name="test.latest", latest_only=True)(lambda event: notes.append(event.version))
    say("a", version=1)
    say("b", version=2)
    dispatch()
    assert notes == [2]
    assert Delivery.objects.order_by("pk").first().status == DeliveryStatus.OVERTAKEN


def test_a_claim_that_ran_out_is_taken_again(alpha, heard, dispatch):
    """At least once: a process that died while it worked."""
    say("x")
    assert len(services.claim_deliveries()) == 1
    assert services.claim_deliveries() == []
    Delivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    dispatch()
    assert heard == ["x"]


def test_deliver_again_by_hand(alpha, heard, dispatch, tclient):
    say("x")
    dispatch()
    tclient.force_login(user_with_roles("it_admin"))
    chosen = {"action": "do_deliver_again_by_hand", "_selected_action": [Delivery.objects.get().pk]}
    assert tclient.post("/admin/events/delivery/", chosen).status_code == 302
    dispatch()
    assert heard == ["x", "x"]
    tclient.force_login(user_with_roles("clerk"))
    assert tclient.get("/admin/events/delivery/").status_code == 403


def test_with_the_broker_down_the_dispatcher_works_itself(alpha, heard, monkeypatch):
    from ris.events.tasks import do_work

    asked = []

    def refuse(**options):
        asked.append(options)
        raise ConnectionError

    monkeypatch.setattr(do_work, "apply_async", refuse)
    for number in range(3):
        say(str(number), about=f"A{number}")
    dispatcher = Dispatcher()
    assert dispatcher.tick(["alpha"]) == 3
    assert sorted(heard) == ["0", "1", "2"]
    assert len(asked) == 1, "a broker that did not answer rests for a while"


def test_what_a_flushed_broker_forgot_falls_due_again(alpha, heard, monkeypatch, dispatch):
    from ris.events.tasks import do_work

    monkeypatch.setattr(do_work, "apply_async", lambda **options: None)  # taken, and lost
    say("x")
    assert Dispatcher().tick(["alpha"]) == 1
    assert heard == []
    Delivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    dispatch()
    assert heard == ["x"]


def test_each_facility_has_its_own_outbox(alpha, beta, heard, dispatch):
    say("alpha")
    with use_facility(beta):
        say("beta")
        assert dispatch("beta") == 1
    assert heard == ["beta"]
    dispatch()
    assert heard == ["beta", "alpha"]


def test_the_command_does_what_is_due_once(alpha, heard):
    say("x")
    out = StringIO()
    call_command("run_dispatcher", once=True, no_broker=True, stdout=out)
    assert heard == ["x"]
    assert int(out.getvalue()) >= 1


@pytest.mark.django_db(transaction=True)
def test_two_dispatchers_share_the_work_and_do_none_twice(transactional_db, alpha, monkeypatch):
    monkeypatch.setitem(bus._subscribers, Tried.name, {})
    notes, lock = [], threading.Lock()

    @subscribe(Tried, name="test.listener")
    def listen(event):
        with lock:
            notes.append(event.note)

    for number in range(40):
        say(str(number), about=f"A{number % 8}")

    def work():
        try:
            dispatcher = Dispatcher(use_broker=False, batch=5)
            for _round in range(60):
                all_said = len(notes) >= 40
                dispatcher.tick(["alpha"])
                if all_said:  # and none was said again by a further round
                    break
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(map(int, notes)) == list(range(40))
    for key in range(8):
        own = [int(note) for note in notes if int(note) % 8 == key]
        assert own == sorted(own), "in order per key"


def test_old_idempotency_records_are_forgotten(alpha):
    from ris.events.models import IdempotencyRecord

    old = timezone.now() - timedelta(days=8)
    IdempotencyRecord.objects.create(principal="a", route="r", key="old", body_hash="h", created_at=old)
    IdempotencyRecord.objects.create(principal="a", route="r", key="new", body_hash="h")
    assert services.forget_old_idempotency_records() == 1
