"""Webhooks: who is told, what is in it, how it is signed, what becomes of failures, and who may do what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from interop.models import Webhook, WebhookDelivery
from interop.webhooks import queue, sender, services
from interop.webhooks.cards import webhook_cards
from orders.events import OrderCreated
from ris.accounts.outbound import HostNotAllowed
from ris.accounts.selectors import facility_settings
from ris.core.actor import SYSTEM
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition, NotPermitted
from ris.events.models import IdempotencyRecord
from ris.tenants.context import use_facility
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.orders import make_order, make_patient
from tests.interop.fhir.fake_servers import FakeServer, Reply

API = "/api/v1/webhooks/"
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def receiver():
    with FakeServer() as server:
        yield server


@pytest.fixture
def hook(alpha, receiver):
    """All events of orders, to a receiver on loopback that the facility allows."""
    receiver.got.clear()
    receiver.replies.clear()
    settings = facility_settings()
    settings.allowed_hosts = ["127.0.0.1", "hooks.example.org"]
    settings.save()
    return services.create_webhook(name="portal", url=f"{receiver.url}/hook", events=["order.*"], actor=SYSTEM)


def again(row):
    return type(row).objects.get(pk=row.pk)


def due_now(delivery: WebhookDelivery) -> None:
    """As if its pause were over."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(next_attempt_at=timezone.now(), claimed_until=None)
    Webhook.objects.update(rests_until=None)


def verified(got, secret: str) -> bool:
    """What docs/rest.md tells a receiver to do."""
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in got.headers["webhook-signature"].split(" ")


def test_an_event_is_told_signed_and_names_nobody(hook, receiver, dispatch):
    order = make_order(patient=make_patient(family_name="Zuberi"))
    assert WebhookDelivery.objects.get().status == "pending"  # patient.registered is not asked for
    dispatch()
    (got,) = receiver.got
    body = got.json()
    assert (got.path, body["type"]) == ("/hook", "order.created")
    assert body["data"]["id"] == str(order.uuid)
    assert body["data"]["href"].endswith(f"/api/v1/orders/{order.uuid}/")
    assert set(body) == {"type", "timestamp", "data"}
    assert set(body["data"]) <= {"id", "resource", "href", "version"}
    for secret in ("Zuberi", order.procedures.first().accession_number, str(order.patient.uuid)):
        assert secret not in got.body.decode()
    assert verified(got, hook.plain_secret)
    assert not verified(got, "whsec_" + base64.b64encode(b"x" * 32).decode())
    row = WebhookDelivery.objects.get()
    assert (row.status, row.attempts, str(row.uuid)) == ("delivered", 1, got.headers["webhook-id"])
    assert [one.http_status for one in row.tries.all()] == [200]
    assert again(hook).last_success_at is not None


def test_a_house_without_webhooks_pays_nothing_and_a_rollback_tells_nothing(alpha, hook):
    Webhook.objects.update(is_active=False)
    queue.forget_listeners()
    queue.listeners("order.created")
    with CaptureQueriesContext(connection) as asked:
        assert queue.listeners("order.created") == []
    assert len(asked) == 0
    make_order()
    assert not WebhookDelivery.objects.exists()


def test_failures_are_tried_again_under_the_same_id_and_parked_in_the_end(hook, receiver, monkeypatch):
    order, other = make_order(), make_order()
    first, second = WebhookDelivery.objects.order_by("pk")
    receiver.replies.extend([Reply(500), Reply(302, headers={"Location": "http://169.254.169.254/"}), Reply(204)])
    for expected in ("pending", "pending", "delivered"):
        due_now(first)
        assert first.pk in sender.claim()
        sender.run(first.pk)
        assert again(first).status == expected
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert {got.json()["data"]["id"] for got in receiver.got} == {str(order.uuid)}
    assert [one.http_status for one in first.tries.all()] == [204, 302, 500]
    assert "302" in first.tries.all()[1].error
    assert again(hook).failures == 0  # success forgets them
    monkeypatch.setattr(sender, "PAUSES", (5,))
    receiver.replies.extend([Reply(400), Reply(400)])
    for expected in ("pending", "parked"):
        due_now(second)
        sender.run(second.pk)
        assert again(second).status == expected
    assert str(other.uuid) == second.subject
    assert (webhook_cards(actor=SYSTEM)[0].tone, webhook_cards(actor=SYSTEM)[0].parked) == ("red", 1)
    services.deliver_again(second, actor=SYSTEM)
    assert sender.run(second.pk) is True


def test_pauses_grow_wishes_are_heard_and_an_unreachable_one_rests(hook, receiver):
    make_order()
    row = WebhookDelivery.objects.get()
    receiver.replies.append(Reply(503, headers={"Retry-After": "900"}))
    sender.run(row.pk)
    row, now = again(row), timezone.now()
    assert timedelta(seconds=800) < row.next_attempt_at - now < timedelta(seconds=901)
    assert again(hook).rests_until - now > timedelta(seconds=800)
    assert sender.claim() == [] and sender.run(row.pk) is False  # not before its time
    Webhook.objects.update(url="http://127.0.0.1:9/hook")
    due_now(row)
    assert sender.run(row.pk) is False
    assert again(row).tries.first().http_status is None
    assert again(hook).failures == 2 and "cannot be reached" in again(hook).last_error
    Webhook.objects.update(url=f"{receiver.url}/hook")
    receiver.replies.append(Reply(410))
    due_now(row)
    sender.run(row.pk)
    assert again(hook).is_paused
    due_now(row)
    assert sender.claim() == []  # paused: it waits
    services.resume_webhook(again(hook), actor=SYSTEM)
    assert sender.claim() == [row.pk] and sender.claim() == []  # claimed once


def test_about_one_thing_in_order_about_others_at_once(hook):
    """The second news of an order waits for the first; another order's does not."""
    one, two = make_order(), make_order()
    queue.enqueue([hook.pk], "order.changed", subject=str(one.uuid), resource="orders", version=2)
    first, other, _second = WebhookDelivery.objects.order_by("pk")
    assert (first.subject, other.subject) == (str(one.uuid), str(two.uuid))
    assert sender.claim() == [first.pk, other.pk]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/hook",
        "https://elsewhere.example.org/",
        "http://127.0.0.1.nip.io/",
    ],
)
def test_hosts_that_the_facility_does_not_name_are_not_spoken_to(hook, receiver, url):
    with pytest.raises(HostNotAllowed):
        services.create_webhook(name="x", url=url, events=["*"], actor=SYSTEM)
    Webhook.objects.update(url=url)  # and not by a row that came in otherwise
    make_order()
    row = WebhookDelivery.objects.get()
    assert sender.run(row.pk) is False
    assert receiver.got == [] and again(row).tries.get().http_status is None


@pytest.mark.parametrize("url", ["ftp://hooks.example.org/", "https://u:p@hooks.example.org/", "hooks", "https://", ""])
def test_what_is_no_address_is_refused(hook, url):
    with pytest.raises(InvalidData):
        services.change_webhook(hook, url=url, actor=SYSTEM)


def test_names_events_and_rights(hook):
    with pytest.raises(AlreadyExists):
        services.create_webhook(name="portal", url="https://hooks.example.org/", events=["*"], actor=SYSTEM)
    for events in ([], ["order.created", "nothing.happened"], ["reports.*"]):
        with pytest.raises(InvalidData):
            services.change_webhook(hook, events=events, actor=SYSTEM)
    for role in ("radiologist", "clerk"):
        with pytest.raises(NotPermitted):
            services.change_webhook(hook, name="mine", actor=actor_with_roles(role))
    paused = services.pause_webhook(hook, actor=actor_with_roles("it_admin"))
    with pytest.raises(InvalidTransition):
        services.test_webhook(paused, actor=SYSTEM)
    with pytest.raises(InvalidTransition):
        services.pause_webhook(paused, actor=SYSTEM)


def test_secrets_are_encrypted_shown_once_and_both_sign_for_a_day(api, hook, receiver):
    with connection.cursor() as cursor:
        cursor.execute("select secret from interop_webhook")
        assert "whsec" not in cursor.fetchone()[0]
    api.force_authenticate(user_with_roles("it_admin"))
    address = f"{API}{hook.uuid}/"
    assert api.get(address).json()["secret"] is None
    rotated = api.post(f"{address}rotate-secret/", headers={"Idempotency-Key": "r-1"})
    new = rotated.json()["secret"]
    assert new.startswith("whsec_") and new != hook.plain_secret
    assert new not in json.dumps(IdempotencyRecord.objects.get().body)
    assert api.post(f"{address}rotate-secret/", headers={"Idempotency-Key": "r-1"}).json()["secret"] is None
    make_order()
    sender.run(WebhookDelivery.objects.latest("pk").pk)
    assert verified(receiver.got[-1], new) and verified(receiver.got[-1], hook.plain_secret)
    Webhook.objects.update(earlier_secret_until=timezone.now() - timedelta(seconds=1))
    make_order()
    sender.run(WebhookDelivery.objects.latest("pk").pk)
    assert verified(receiver.got[-1], new) and not verified(receiver.got[-1], hook.plain_secret)


def test_over_rest(api, hook, receiver, dispatch):
    api.force_authenticate(user_with_roles("it_admin"))
    asked = {"name": "reports", "url": "https://hooks.example.org/r", "events": ["report.*", "critical_result.raised"]}
    made = api.post(API, asked, headers={"Idempotency-Key": "w-1"})
    assert made.status_code == 201 and made.json()["secret"].startswith("whsec_")
    repeated = api.post(API, asked, headers={"Idempotency-Key": "w-1"})
    assert repeated.json() == {**made.json(), "secret": None} and repeated["Idempotency-Replayed"] == "true"
    address, tag = f"{API}{made.json()['id']}/", made["ETag"]
    assert api.patch(address, {"is_active": False}).status_code == 428
    changed = api.patch(address, {"is_active": False}, headers={"If-Match": tag})
    assert changed.status_code == 200 and changed.json()["is_active"] is False
    assert api.patch(address, {"name": "late"}, headers={"If-Match": tag}).status_code == 412
    types = {row["type"]: row["resource"] for row in api.get(f"{API}event-types/").json()["results"]}
    assert types["report.finalized"] == "reports" and len(types) >= 30
    for resource in set(types.values()):
        assert api.get(f"/api/v1/{resource}/{hook.uuid}/").status_code in (403, 404)  # every one is a resource
    tested = api.post(f"{API}{hook.uuid}/test/")
    assert tested.status_code == 202
    dispatch()
    assert receiver.got[-1].json() == {**receiver.got[-1].json(), "type": "webhook.test", "data": {}}
    delivery = api.get(f"/api/v1/webhook-deliveries/{tested.json()['id']}/").json()
    assert delivery["status"] == "delivered" and delivery["tries"][0]["http_status"] == 200
    found = api.get(f"/api/v1/webhook-deliveries/?webhook={hook.uuid}&status=delivered").json()["results"]
    assert [row["id"] for row in found] == [tested.json()["id"]]
    assert api.post(f"/api/v1/webhook-deliveries/{delivery['id']}/cancel/").status_code == 409
    assert api.post(f"/api/v1/webhook-deliveries/{delivery['id']}/again/").json()["status"] == "pending"
    assert api.post(f"/api/v1/webhook-deliveries/{delivery['id']}/cancel/").json()["status"] == "cancelled"
    for verb, paused in (("pause", True), ("resume", False)):
        assert api.post(f"{API}{hook.uuid}/{verb}/").json()["is_paused"] is paused


def test_on_the_pages_and_in_the_administration(tclient, hook, receiver, dispatch):
    tclient.force_login(user_with_roles("it_admin"))
    form = {"name": "second", "url": f"{receiver.url}/two", "events": ["report.finalized"], "is_active": "on"}
    refused = tclient.post("/integrations/webhooks/add/", {**form, "url": "https://nowhere.example.org/"})
    assert refused.status_code == 200 and b"nowhere.example.org" in refused.content  # nothing typed is lost
    made = tclient.post("/integrations/webhooks/add/", form)
    row = Webhook.objects.get(name="second")
    assert row.secret.encode() in made.content
    assert row.secret.encode() not in tclient.get(f"/integrations/webhooks/{row.uuid}/").content
    assert tclient.post(f"/integrations/webhooks/{row.uuid}/change/", {**form, "name": "renamed"}).status_code == 302
    for verb in ("test", "pause", "resume"):
        assert tclient.post(f"/integrations/webhooks/{row.uuid}/{verb}/").status_code == 302
    dispatch()
    shown = tclient.get(f"/integrations/webhooks/{row.uuid}/").content.decode()
    assert "webhook.test" in shown and "renamed" in shown
    delivery = row.deliveries.get()
    assert tclient.post(f"/integrations/webhook-deliveries/{delivery.uuid}/again/").status_code == 302
    assert again(delivery).status == "pending"
    assert tclient.post(f"/integrations/webhooks/{row.uuid}/explode/").status_code == 404
    assert "renamed" in tclient.get("/integrations/webhooks/").content.decode()
    added = tclient.post(
        "/admin/interop/webhook/add/",
        {"name": "third", "url": f"{receiver.url}/three", "events": "report.*", "is_active": "on"},
        follow=True,
    )
    assert Webhook.objects.get(name="third").secret in added.content.decode()
    assert tclient.get("/admin/interop/webhookdelivery/").status_code == 200
    tclient.force_login(user_with_roles("radiologist"))
    assert tclient.get("/integrations/webhooks/").status_code == 403


def test_what_is_done_is_forgotten_after_a_month_and_facilities_hear_nothing_of_each_other(hook, beta):
    make_order(), make_order()
    done, waiting = WebhookDelivery.objects.order_by("pk")
    WebhookDelivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    WebhookDelivery.objects.filter(pk=done.pk).update(status="delivered")
    services.forget_old_deliveries()
    assert list(WebhookDelivery.objects.all()) == [waiting]
    with use_facility(beta):
        make_order()
        assert OrderCreated.name == "orders.order_created" and not WebhookDelivery.objects.exists()
