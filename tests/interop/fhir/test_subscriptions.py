"""Subscriptions of R4 and R5: asked for by FHIR, told over a real socket, retried, paused, in error, begun again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from interop.fhir.subscriptions import ending, queue, services
from interop.hl7 import services as hl7
from interop.models import FhirNotification, FhirSubscription, SmartClient
from orders.services import cancel_order, change_order, set_restricted
from ris.accounts.models import ApiKey, Role, User
from ris.accounts.services.keys import create_api_key, revoke_api_key
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import Conflict
from ris.core.permissions import IT_ADMIN
from ris.notifications.models import Notification
from tests.conftest import shared_start
from tests.factories.accounts import actor_with_roles, user_with_roles
from tests.factories.exam import ct1, ct_chest, ordered_exam, whole_exam
from tests.interop.fhir.fake_servers import FakeServer, Reply
from tests.interop.fhir.house import EVERYBODY, refusal
from tests.interop.fhir.writer import Writer, body, issues

TOPIC = "urn:picha:subscription-topic:"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture(scope="module")
def hook():
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def house(django_db_setup, django_db_blocker):
    with shared_start(django_db_blocker):
        ct_chest()
        ct1()
        hl7.allow_host("127.0.0.1", actor=SYSTEM)
        yield


@pytest.fixture
def clerk_portal(alpha, hook):
    """Somebody who may see orders and patients, and may subscribe."""
    hook.forget()
    return subscriber()


def subscriber():
    user = user_with_roles(*EVERYBODY)
    grant_subscribe(user)
    return Writer(User.objects.get(pk=user.pk))


def grant_subscribe(user):
    role = Role.objects.create(name=f"subscriber-{user.pk}", label="Subscriber", permissions=["interop.subscribe"])
    user.roles.add(role)


def r4(hook, criteria="ServiceRequest?status=active", payload="application/fhir+json", **more):
    channel = {"type": "rest-hook", "endpoint": hook.url + "/r4", "header": ["Authorization: Bearer s3cret"]}
    if payload:
        channel["payload"] = payload
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Portal",
        "criteria": criteria,
        "channel": channel,
        **more,
    }


def r5(hook, topic="order", content="full-resource", **more):
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Portal",
        "topic": TOPIC + topic,
        "channelType": {"code": "rest-hook"},
        "endpoint": hook.url + "/r5",
        "contentType": "application/fhir+json",
        "content": content,
        "parameter": [{"name": "X-Portal", "value": "7"}],
        **more,
    }


def due():
    FhirNotification.objects.filter(status="pending").update(next_attempt_at=timezone.now(), claimed_until=None)


def test_r4_puts_the_resource_that_meets_the_criteria(clerk_portal, hook, dispatch):
    fhir = clerk_portal
    made = fhir.send("POST", "Subscription", r4(hook))
    assert made.status_code == 201, made.content
    told = body(made)
    assert (told["status"], told["channel"]["header"]) == ("active", ["Authorization: ***"])
    exam = ordered_exam().procedure
    dispatch()
    put = hook.got[0]
    assert (put.method, put.path) == ("PUT", f"/r4/ServiceRequest/{exam.uuid}")
    assert put.headers["Authorization"] == "Bearer s3cret"
    assert put.json()["identifier"][0]["value"] == exam.accession_number
    sent = len(hook.got)
    cancel_order(exam.order, reason_code="110500", actor=SYSTEM)
    dispatch()
    assert len(hook.got) == sent, "revoked is not what was asked for"
    row = AuditEvent.objects.filter(event_type="interop.notify_subscriber").last()
    assert exam.order.patient.uuid in row.patients
    assert "Bearer" not in json.dumps(told)
    back = fhir.send("PUT", f"Subscription/{told['id']}", {**told, "reason": "Other words"})
    assert back.status_code == 200, back.content
    assert FhirSubscription.objects.get().headers == "Authorization: Bearer s3cret", "what is hidden stays"


def test_r4_without_payload_only_rings(clerk_portal, hook, dispatch):
    clerk_portal.send("POST", "Subscription", r4(hook, "Patient?gender=female", payload=""))
    ordered_exam()
    dispatch()
    assert [(got.method, got.path, got.body) for got in hook.got] == [("POST", "/r4", b"")]


def test_r5_shakes_hands_then_tells_in_bundles(clerk_portal, hook, dispatch):
    fhir = clerk_portal.r5
    made = body(fhir.send("POST", "Subscription", r5(hook, maxCount=10)))
    assert made["status"] == "requested"
    exam = ordered_exam().procedure
    dispatch()
    hands, first = hook.got[0].json(), hook.got[1].json()
    status = hands["entry"][0]["resource"]
    assert (hands["type"], status["type"], status["topic"]) == (
        "subscription-notification",
        "handshake",
        TOPIC + "order",
    )
    assert hook.got[0].headers["X-Portal"] == "7"
    status = first["entry"][0]["resource"]
    assert (status["type"], status["status"]) == ("event-notification", "active")
    numbers = [event["eventNumber"] for event in status["notificationEvent"]]
    assert numbers == list(range(1, len(numbers) + 1)) and status["eventsSinceSubscriptionStart"] == len(numbers)
    assert first["entry"][1]["resource"]["id"] == str(exam.uuid)
    assert len(first["entry"]) == 2, "one resource however many events"
    asked = fhir(f"Subscription/{made['id']}/$status")["entry"][0]["resource"]
    assert (asked["type"], asked["status"]) == ("query-status", "active")
    events = fhir(f"Subscription/{made['id']}/$events", eventsSinceNumber="1")["entry"][0]["resource"]
    assert len(events["notificationEvent"]) == len(numbers)
    assert refusal(clerk_portal.get(f"Subscription/{made['id']}")).status == 404, "not in the other release"


def test_r5_tells_identifiers_only_or_nothing_and_signs(clerk_portal, hook, dispatch):
    secret = [{"url": "urn:picha:signature-secret", "valueString": SECRET}]
    fhir = clerk_portal.r5
    fhir.send("POST", "Subscription", r5(hook, "report", "id-only", extension=secret))
    fhir.send("POST", "Subscription", r5(hook, "report", "empty", endpoint=hook.url + "/empty"))
    fhir.send("POST", "Subscription", r5(hook, "study", endpoint=hook.url + "/never"))
    exam = whole_exam()
    dispatch()
    told = [got for got in hook.got if got.path == "/r5"][-1]
    entries = told.json()["entry"]
    assert len(entries) == 1
    focus = entries[0]["resource"]["notificationEvent"][0]["focus"]["reference"]
    assert "/fhir/r5/DiagnosticReport/" in focus and exam.patient.family_name.upper() not in told.body.decode().upper()
    signed = f"{told.headers['webhook-id']}.{told.headers['webhook-timestamp']}.".encode() + told.body
    right = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert told.headers["webhook-signature"] == f"v1,{right}"
    empty = [got for got in hook.got if got.path == "/empty"][-1].json()
    assert "focus" not in empty["entry"][0]["resource"]["notificationEvent"][0]
    assert [got.json()["entry"][0]["resource"]["type"] for got in hook.got if got.path == "/never"] == ["handshake"]


def test_a_receiver_that_fails_is_tried_again_in_order_and_ends_in_error(clerk_portal, hook, dispatch):
    key = body(clerk_portal.send("POST", "Subscription", r4(hook)))["id"]
    exam = ordered_exam().procedure
    hook.otherwise = Reply(503)
    dispatch()
    assert FhirNotification.objects.filter(status="pending", attempts=1).count() == 1, "the others wait behind it"
    change_order(exam.order, priority="stat", actor=SYSTEM)
    for _try in range(queue.FAILURES_TO_ERROR - 1):
        due()
        dispatch()
    row = FhirSubscription.objects.get()
    assert (row.status, row.last_error) == ("error", "The receiver answered 503.")
    first = FhirNotification.objects.filter(status="pending").order_by("pk")[0]
    assert timedelta(minutes=9) < first.next_attempt_at - timezone.now() <= timedelta(minutes=10)
    tries = len(hook.got)
    dispatch()
    assert len(hook.got) == tries, "in error it rests"
    due()
    dispatch()
    first.refresh_from_db()
    assert len(hook.got) == tries + 1 and first.next_attempt_at - timezone.now() > timedelta(minutes=29)
    row.refresh_from_db()
    assert body(clerk_portal.get(f"Subscription/{key}"))["error"] == row.last_error
    hook.otherwise = Reply(200)
    services.begin_again(row, actor=Actor("web", clerk_portal.user))
    dispatch()
    row.refresh_from_db()
    assert (row.status, row.failures) == ("active", 0)
    assert not FhirNotification.objects.filter(status="pending").exists()
    assert hook.got[-1].json()["priority"] == "stat"


def test_one_answer_ends_an_error_and_two_days_of_it_end_the_subscription(clerk_portal, hook, dispatch):
    clerk_portal.send("POST", "Subscription", r4(hook))
    exam = ordered_exam().procedure
    hook.otherwise = Reply(503)
    for _try in range(queue.FAILURES_TO_ERROR):
        dispatch()
        due()
    assert FhirSubscription.objects.get().status == "error"
    hook.otherwise = Reply(200)
    due()
    dispatch()
    row = FhirSubscription.objects.get()
    assert (row.status, row.error_since, row.failures) == ("active", None, 0)
    hook.otherwise = Reply(400)
    change_order(exam.order, priority="stat", actor=SYSTEM)
    two_days = timezone.now() - queue.ERROR_AT_MOST
    FhirSubscription.objects.update(status="error", failures=queue.FAILURES_TO_ERROR, error_since=two_days)
    user_with_roles(IT_ADMIN)
    dispatch()
    row.refresh_from_db()
    assert (row.status, row.last_error) == ("off", "Its receiver has not answered for two days.")
    assert FhirNotification.objects.filter(status="pending").count() == 0
    told = Notification.objects.filter(template="interop.subscription_ended")
    assert {note.recipient_id for note in told} >= {row.owner_id}
    assert set(told.values_list("channel", flat=True)) == {"in_app", "email"}


def test_it_ends_with_the_key_the_program_or_the_person_that_asked(alpha, hook, dispatch):
    hook.forget()
    key = create_api_key(user_with_roles(*EVERYBODY), label="Portal", scopes=["*"], actor=SYSTEM)
    grant_subscribe(key.user)
    portal = Writer(key.user)
    portal.client.force_authenticate(key.user, key)
    assert portal.send("POST", "Subscription", r4(hook)).status_code == 201
    row = FhirSubscription.objects.get()
    assert row.api_key == key and ending.claim_ended() == []
    ordered_exam()
    revoke_api_key(key, actor=SYSTEM)
    dispatch()
    row.refresh_from_db()
    assert (row.status, row.last_error, hook.got) == ("off", "The key that asked for it has ended.", [])
    with pytest.raises(Conflict):
        services.begin_again(row, actor=SYSTEM)

    def begun(**bound):
        made = FhirSubscription.objects.get(uuid=body(subscriber().send("POST", "Subscription", r4(hook)))["id"])
        FhirSubscription.objects.filter(pk=made.pk).update(**bound)
        return made

    program = SmartClient.objects.create(name="Portal", client_id="picha-1", user=key.user, scopes=["system/*.rs"])
    late = create_api_key(key.user, label="Late", scopes=["*"], actor=SYSTEM)
    ApiKey.objects.filter(pk=late.pk).update(expires_at=timezone.now())
    rows = [begun(smart_client=program), begun(api_key=late), begun()]
    SmartClient.objects.filter(pk=program.pk).update(is_active=False)
    User.objects.filter(pk=rows[2].owner_id).update(is_active=False)
    assert set(ending.claim_ended()) == {one.pk for one in rows}, "found without anything to send"
    dispatch()
    assert set(FhirSubscription.objects.values_list("status", flat=True)) == {"off"}


def test_a_refusal_parks_one_and_gone_ends_it(clerk_portal, hook, dispatch):
    clerk_portal.send("POST", "Subscription", r4(hook, "Patient"))
    hook.replies.append(Reply(422))
    ordered_exam()
    ordered_exam(family_name="Mutiso")
    dispatch()
    assert sorted(FhirNotification.objects.values_list("status", flat=True)) == ["delivered", "parked"]
    row = FhirSubscription.objects.get()
    queue.send_again(row, actor=SYSTEM)
    dispatch()
    assert not FhirNotification.objects.exclude(status="delivered").exists()
    hook.replies.append(Reply(410))
    ordered_exam(family_name="Odhiambo")
    dispatch()
    row.refresh_from_db()
    assert row.status == "off"


def test_paused_it_waits_and_switched_off_it_forgets(clerk_portal, hook, dispatch):
    key = body(clerk_portal.send("POST", "Subscription", r4(hook, "Patient")))["id"]
    row, me = FhirSubscription.objects.get(), Actor("web", clerk_portal.user)
    services.pause_subscription(row, actor=me)
    ordered_exam()
    dispatch()
    assert (hook.got, FhirNotification.objects.get().status) == ([], "pending")
    services.resume_subscription(row, actor=me)
    dispatch()
    assert len(hook.got) == 1
    services.pause_subscription(row, actor=me)
    ordered_exam(family_name="Mutiso")
    dispatch()
    off = clerk_portal.patch(f"Subscription/{key}", ("replace", "/status", "off"))
    assert body(off)["status"] == "off", off.content
    services.resume_subscription(row, actor=me)
    ordered_exam(family_name="Njeri")
    dispatch()
    assert len(hook.got) == 1
    assert set(FhirNotification.objects.values_list("status", flat=True)) == {"delivered", "cancelled"}


def test_a_sign_of_life_when_nothing_happens(clerk_portal, hook, dispatch):
    clerk_portal.r5.send("POST", "Subscription", r5(hook, heartbeatPeriod=60))
    dispatch()
    assert len(hook.got) == 1
    FhirSubscription.objects.update(next_heartbeat_at=timezone.now() - timedelta(seconds=1))
    dispatch()
    assert hook.got[-1].json()["entry"][0]["resource"]["type"] == "heartbeat"
    row = FhirSubscription.objects.get()
    assert row.next_heartbeat_at > timezone.now() + timedelta(seconds=50)
    FhirSubscription.objects.update(ends_at=timezone.now() - timedelta(seconds=1), next_heartbeat_at=timezone.now())
    dispatch()
    assert len(hook.got) == 2


def test_nobody_is_told_what_they_may_not_see(clerk_portal, hook, dispatch):
    clerk_portal.r5.send("POST", "Subscription", r5(hook, "patient"))
    exam = ordered_exam()
    set_restricted(exam.patient, is_restricted=True, reason="VIP", actor=SYSTEM)
    dispatch()
    told = [got.json()["entry"][0]["resource"]["type"] for got in hook.got]
    assert told == ["handshake"], "restricted before anybody looked"
    admin = Writer(user_with_roles(IT_ADMIN))
    refused = admin.r5.send("POST", "Subscription", r5(hook))
    assert refusal(refused).status == 403, "an administrator sees no orders"
    other = subscriber()
    row = FhirSubscription.objects.get()
    assert refusal(other.r5.get(f"Subscription/{row.uuid}")).status == 404
    assert admin.r5.get(f"Subscription/{row.uuid}").status_code == 200
    key = create_api_key(clerk_portal.user, label="k", scopes=["orders.view_order"], actor=SYSTEM)
    from rest_framework.test import APIClient

    narrow = APIClient(HTTP_HOST="alpha.test", HTTP_AUTHORIZATION=f"Api-Key {key.secret}")
    answer = narrow.generic("POST", "/fhir/r5/Subscription", json.dumps(r5(hook)), content_type="application/fhir+json")
    assert answer.status_code == 403, "the key does not reach so far"


def test_what_cannot_be_subscribed_to(clerk_portal, hook):
    wrong = [
        (clerk_portal, r4(hook, "Device?x=1"), 400),
        (clerk_portal, r4(hook, "ServiceRequest?nonsense=1"), 400),
        (clerk_portal, r4(hook, channel={"type": "websocket"}), 422),
        (clerk_portal, r4(hook, channel={"type": "rest-hook", "endpoint": "ftp://x"}), 400),
        (clerk_portal, r4(hook, channel={"type": "rest-hook", "endpoint": "http://10.0.0.1/x"}), 409),
        (clerk_portal, r4(hook, channel={"type": "rest-hook", "endpoint": hook.url, "header": ["Host: x"]}), 400),
        (clerk_portal.r5, r5(hook, "nonsense"), 422),
        (clerk_portal.r5, r5(hook, filterBy=[{"filterParameter": "colour", "value": "red"}]), 400),
        (clerk_portal.r5, r5(hook, heartbeatPeriod=1), 400),
        (clerk_portal.r5, r5(hook, contentType="text/plain"), 400),
    ]
    for client, resource, status in wrong:
        answer = client.send("POST", "Subscription", resource)
        assert answer.status_code == status, (resource, answer.content)
    assert issues(clerk_portal.send("POST", "Subscription", {"resourceType": "Subscription", "status": "requested"}))
    assert not FhirSubscription.objects.exists()


def test_topics_are_listed_and_filters_hold(clerk_portal, hook, dispatch):
    found = clerk_portal.r5("SubscriptionTopic")
    assert {row["resource"]["id"] for row in found["entry"]} == {"report", "study", "order", "appointment", "patient"}
    assert clerk_portal.r5("SubscriptionTopic/report")["url"] == TOPIC + "report"
    assert clerk_portal.r5("SubscriptionTopic", url=TOPIC + "study")["total"] == 1
    assert clerk_portal.get("SubscriptionTopic").status_code == 404, "R4 has none"
    exam = ordered_exam()
    only = [{"filterParameter": "patient", "value": f"Patient/{exam.patient.uuid}"}]
    clerk_portal.r5.send("POST", "Subscription", r5(hook, filterBy=only))
    dispatch()
    ordered_exam(family_name="Mutiso")
    dispatch()
    mine = [got for got in hook.got if got.json()["entry"][0]["resource"]["type"] == "event-notification"]
    assert {got.json()["entry"][1]["resource"]["subject"]["reference"] for got in mine} == {
        f"Patient/{exam.patient.uuid}"
    }


def test_only_the_owner_and_who_manages_interfaces_change_it(clerk_portal, hook):
    clerk_portal.send("POST", "Subscription", r4(hook))
    row = FhirSubscription.objects.get()
    services.pause_subscription(row, actor=actor_with_roles(IT_ADMIN))
    row.refresh_from_db()
    assert row.is_paused
    stranger = Actor("web", subscriber().user)
    from ris.core.errors import NotPermitted

    with pytest.raises(NotPermitted):
        services.end_subscription(row, actor=stranger)
