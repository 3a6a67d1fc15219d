import json
import re
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.conf import settings
from django.core import mail
from django.db import transaction
from django.utils import timezone, translation

from ris.accounts.models import Practitioner
from ris.accounts.selectors import facility_settings
from ris.audit.models import AuditEvent
from ris.core.errors import InvalidData
from ris.notifications.models import Channel, Notification, NotificationStatus, RotaShift
from ris.notifications.services import notify, notify_all, on_duty, send_again, send_notification, unread_count
from ris.notifications.words import template_of, words_of
from ris.tenants.context import use_facility
from tests.factories.accounts import UserFactory, actor_with_roles, user_with_roles

GLASS = {"template": "accounts.glass_broken", "context": {"user": "nia"}}


@pytest.fixture
def person(alpha):
    return UserFactory(username="nia", email="nia@example.org", language="en")


@pytest.fixture
def gateway(alpha):
    """A gateway that really listens; ``answers`` are the statuses it gives, one after the other."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.seen.append({**body, "auth": self.headers["Authorization"], "key": self.headers["Idempotency-Key"]})
            self.send_response(server.answers.pop(0) if server.answers else 200)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    row = facility_settings()
    row.sms_gateway_url = f"http://127.0.0.1:{server.server_port}/sms"
    row.sms_gateway_token, row.allowed_hosts = "gateway-token", ["127.0.0.1"]
    row.save()
    yield server
    server.shutdown()
    server.server_close()


def test_an_in_app_message_is_there_at_once(person):
    row = notify(user=person, **GLASS)
    assert (row.status, unread_count(person)) == (NotificationStatus.SENT, 1)


def test_it_commits_with_what_it_is_about(person):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(user=person, **GLASS)
        raise ZeroDivisionError
    assert Notification.objects.count() == 0


def test_the_same_key_notifies_once(person):
    first = notify(user=person, dedupe_key="k", **GLASS)
    assert notify(user=person, dedupe_key="k", **GLASS).pk == first.pk
    notify_all([person], channels=(Channel.IN_APP, Channel.EMAIL, Channel.SMS), dedupe_key="all", **GLASS)
    notify_all([person], channels=(Channel.IN_APP, Channel.EMAIL, Channel.SMS), dedupe_key="all", **GLASS)
    assert Notification.objects.count() == 3, "no SMS to who has no number"


def test_mail_is_sent_by_the_dispatcher_in_the_readers_language(person, dispatch):
    notify(user=person, channel=Channel.EMAIL, url="/audit/", **GLASS)
    assert mail.outbox == []
    assert dispatch() == 1
    message = mail.outbox[0]
    assert message.to == ["nia@example.org"]
    assert message.subject == "Picha: nia has taken emergency access"
    assert message.body.endswith("http://alpha.test:8000/audit/")
    assert Notification.objects.get().status == NotificationStatus.SENT
    assert dispatch() == 0


def test_nowhere_to_go_is_a_visible_failure(alpha):
    row = notify(user=UserFactory(email=""), channel=Channel.EMAIL, **GLASS)
    assert (row.status, row.last_error) == (NotificationStatus.FAILED, "No address is known.")
    with pytest.raises(InvalidData):
        notify(**GLASS)


def test_a_mail_server_that_fails_is_asked_again_later(person, dispatch, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    row = notify(user=person, channel=Channel.EMAIL, **GLASS)
    dispatch()
    row.refresh_from_db()
    assert (row.status, row.attempts) == (NotificationStatus.PENDING, 1)
    assert row.next_attempt_at > timezone.now()
    for _attempt in range(9):
        Notification.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        dispatch()
    row.refresh_from_db()
    assert (row.status, row.attempts) == (NotificationStatus.FAILED, 10)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    send_again(row, actor=actor_with_roles("it_admin"))
    dispatch()
    assert len(mail.outbox) == 1
    assert AuditEvent.objects.filter(event_type="notifications.send_again").count() == 1


def test_a_short_message_goes_through_the_gateway(gateway, person, dispatch):
    Practitioner.objects.create(user=person, family_name="Ali", phone="+254700000001")
    row = notify(user=person, channel=Channel.SMS, **GLASS)
    dispatch()
    row.refresh_from_db()
    assert row.status == NotificationStatus.SENT, row.last_error
    assert gateway.seen == [
        {
            "to": "+254700000001",
            "text": "nia has taken emergency access",
            "reference": str(row.uuid),
            "auth": "Bearer gateway-token",
            "key": str(row.uuid),
        }
    ]


@pytest.mark.parametrize(
    ("status", "becomes"), [(500, "pending"), (429, "pending"), (302, "pending"), (400, "failed"), (403, "failed")]
)
def test_what_the_gateway_answers_decides(gateway, alpha, dispatch, status, becomes):
    gateway.answers = [status]
    row = notify(address="+254700000001", channel=Channel.SMS, **GLASS)
    dispatch()
    row.refresh_from_db()
    assert row.status == becomes
    assert len(gateway.seen) == 1, "redirects are not followed"


@pytest.mark.parametrize("hosts", [[], ["sms.example.org"], ["localhost"]])
def test_no_gateway_off_the_allow_list_is_spoken_to(gateway, dispatch, hosts):
    row = facility_settings()
    row.allowed_hosts = hosts
    row.save()
    message = notify(address="+254700000001", channel=Channel.SMS, **GLASS)
    dispatch()
    message.refresh_from_db()
    assert (message.status, gateway.seen) == (NotificationStatus.FAILED, [])


def test_a_name_that_resolves_to_loopback_is_not_followed(gateway, dispatch, monkeypatch):
    import socket

    row = facility_settings()
    row.sms_gateway_url = row.sms_gateway_url.replace("127.0.0.1", "sms.example.org")
    row.allowed_hosts = ["sms.example.org"]
    row.save()
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", gateway.server_port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answer)
    message = notify(address="+254700000001", channel=Channel.SMS, **GLASS)
    dispatch()
    message.refresh_from_db()
    assert (message.status, gateway.seen) == (NotificationStatus.FAILED, [])


def test_addresses_are_encrypted_at_rest(alpha):
    from django.db import connection

    notify(address="+254700000001", channel=Channel.SMS, **GLASS)
    with connection.cursor() as cursor:
        cursor.execute("select address from notifications_notification")
        assert "254700000001" not in cursor.fetchone()[0]


def test_sending_twice_sends_once(person):
    row = notify(user=person, channel=Channel.EMAIL, **GLASS)
    assert send_notification(row.pk)
    assert send_notification(row.pk)
    assert len(mail.outbox) == 1


def test_words_without_a_template_say_that_there_is_news(person):
    row = notify(user=person, template="nobody.wrote_this")
    assert words_of(row).title == "There is something new for you."


def test_who_is_on_duty(alpha):
    now = timezone.now()
    early, late, off, gone = (UserFactory() for _number in range(4))
    for user, start, end in ((early, -8, 1), (late, -1, 8), (off, 1, 8), (gone, -1, 1)):
        RotaShift.objects.create(
            duty="radiologist", user=user, starts_at=now + timedelta(hours=start), ends_at=now + timedelta(hours=end)
        )
    gone.is_active = False
    gone.save()
    assert list(on_duty("radiologist")) == [late, early]
    assert list(on_duty("radiologist", now + timedelta(hours=2))) == [off, late]
    assert list(on_duty("surgeon")) == []


# --- the inbox


def test_the_inbox_is_ones_own(tclient, person, beta):
    stranger = user_with_roles("clerk")
    mine = notify(user=person, url="/profile/", **GLASS)
    theirs = notify(user=stranger, **GLASS)
    with use_facility(beta):
        notify(user=UserFactory(username="nia"), template="accounts.glass_broken", context={"user": "beta"})
    tclient.force_login(person)
    page = tclient.get("/notifications/").content.decode()
    assert page.count("has taken emergency access") == 1
    assert tclient.get("/notifications/bell/").json() == {"unread": 1}
    assert tclient.post(f"/notifications/{theirs.uuid}/").status_code == 404
    assert tclient.post(f"/notifications/{mine.uuid}/")["Location"] == "/profile/"
    assert tclient.get("/notifications/bell/").json() == {"unread": 0}
    theirs.refresh_from_db()
    assert theirs.read_at is None


def test_all_are_marked_read(tclient, person):
    for _number in range(3):
        notify(user=person, **GLASS)
    tclient.force_login(person)
    assert tclient.post("/notifications/read/").status_code == 302
    assert unread_count(person) == 0
    assert "You have no messages." in tclient.get("/notifications/?show=unread").content.decode()


def test_the_bell_is_on_every_page(tclient, person):
    notify(user=person, **GLASS)
    tclient.force_login(person)
    with translation.override("en"):
        page = tclient.get("/profile/").content.decode()
    assert "Notifications, 1 new" in page


def test_anonymous_people_have_no_inbox(tclient):
    assert tclient.get("/notifications/").status_code == 302


def test_every_template_that_is_named_is_written():
    """Each ``template="app.name"`` in the code has its words."""
    root = Path(settings.BASE_DIR)
    named = set()
    for package in ("ris", "orders", "worklist", "reporting", "dose", "peerreview", "interop"):
        for path in (root / package).rglob("*.py"):
            if "notify" in (text := path.read_text()):
                named |= set(re.findall(r'template="([a-z_]+\.[a-z_]+)"', text))
    written = {key for key in named if (root / "templates" / template_of(key)).is_file()}
    assert named - written == set()
