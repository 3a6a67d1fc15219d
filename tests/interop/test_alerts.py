"""Somebody is told once when something waits too long, and once when it is over; a restart repeats nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from interop import alerts
from interop.hl7 import services
from interop.hl7.outbound.queue import enqueue
from interop.models import Hl7Destination, InterfaceAlert, OutboundMessage, OutboundStatus
from interop.web.cards import Card, cards_of, forget_cards, register_cards
from ris.core.actor import SYSTEM
from ris.core.ids import uuid7
from ris.core.permissions import CLERK, IT_ADMIN
from ris.notifications.models import Channel, Notification
from tests.factories.accounts import user_with_roles


@pytest.fixture
def people(alpha):
    user_with_roles(CLERK, email="clerk@example.org")
    return [user_with_roles(IT_ADMIN, email=f"it{number}@example.org") for number in range(2)]


def destination(name: str, **fields) -> Hl7Destination:
    values = {"messages": ["ADT"], "alert_after_minutes": 10, **fields}
    return services.add_destination(name=name, host="127.0.0.1", port=2575, actor=SYSTEM, **values)


def waiting(to: Hl7Destination, minutes: int, status: str = OutboundStatus.PENDING) -> OutboundMessage:
    number = uuid7()
    row = enqueue(to, "ADT^A08", lambda control_id: [("MSH", [control_id])], dedupe_key=str(number), patient=number)
    row.created_at, row.status = timezone.now() - timedelta(minutes=minutes), status
    row.next_attempt_at = timezone.now() + timedelta(hours=5)
    row.save()
    return row


def mails() -> list[Notification]:
    return list(Notification.objects.filter(template=alerts.TEMPLATE, channel=Channel.EMAIL).order_by("pk"))


def after(minutes: int):
    return timezone.now() + timedelta(minutes=minutes)


def test_fifty_waiting_messages_at_three_partners_are_one_mail_and_one_when_it_is_over(people, dispatch):
    first, second, third, patient = (destination(name) for name in ("his", "pacs", "insurer", "patience"))
    rows = [waiting(to, 12) for to in (first, second) for _number in range(25)]
    rows.append(waiting(third, 30, OutboundStatus.PARKED))
    waiting(patient, 8)
    waiting(destination("nobody", alert_after_minutes=0), 500)
    services.pause_destination(destination("paused"), actor=SYSTEM)
    waiting(Hl7Destination.objects.get(name="paused"), 500)
    assert alerts.check() is True
    assert [alerts.check() for _again in range(3)] == [False] * 3, (
        "as after a restart: what was told is in the database"
    )
    assert sorted(row.recipient.email for row in mails()) == ["it0@example.org", "it1@example.org"]
    context = mails()[0].context
    assert {(row["name"], row["waiting"]) for row in context["new"]} == {("his", 25), ("pacs", 25), ("insurer", 1)}
    assert InterfaceAlert.objects.filter(told_at__isnull=False, recovered_at__isnull=True).count() == 3
    dispatch()
    assert len(mail.outbox) == 2 and "3 partners" in mail.outbox[0].subject
    body = mail.outbox[0].body
    assert "his: 25 wait" in body and "/integrations/" in body

    OutboundMessage.objects.filter(pk__in=[row.pk for row in rows]).update(status=OutboundStatus.ACKNOWLEDGED)
    assert alerts.check(after(2)) is True, "all is well: that is told at once"
    told = mails()[-1].context
    assert (told["new"], told["still"], set(told["over"])) == ([], [], {"his", "pacs", "insurer"})
    assert alerts.check(after(3)) is False
    assert not InterfaceAlert.objects.filter(recovery_told_at__isnull=True).exists()


def test_what_is_found_in_the_quiet_time_goes_into_the_next_message(people):
    first, second = destination("his"), destination("pacs")
    row = waiting(first, 12)
    assert alerts.check() is True
    waiting(second, 12)
    row.status = OutboundStatus.ACKNOWLEDGED
    row.save()
    assert alerts.check(after(5)) is False, "one partner is well again, another is not: quiet"
    assert alerts.check(after(31)) is True
    told = mails()[-1].context
    assert ([line["name"] for line in told["new"]], told["over"]) == (["pacs"], ["his"])
    again = waiting(first, 12)
    assert alerts.check(after(40)) is False
    again.status = OutboundStatus.ACKNOWLEDGED
    again.save()
    assert alerts.check(after(62)) is False, "what came and went in the quiet time is told to nobody"
    assert len(mails()) == 4


def test_a_broken_source_of_cards_hides_nothing_and_ends_no_alert(people):
    row = waiting(destination("his"), 12)
    assert alerts.check() is True

    def breaks(*, actor):
        raise ValueError("a defect")

    register_cards("test.broken", breaks, order=1)
    try:
        shown = cards_of(SYSTEM)
        assert [card.tone for card in shown if card.name == "test.broken"] == ["red"]
        assert any(card.name == "his" for card in shown)
        row.status = OutboundStatus.ACKNOWLEDGED
        row.save()
        assert alerts.check(after(40)) is False
        assert InterfaceAlert.objects.filter(recovered_at__isnull=True).exists()
    finally:
        forget_cards("test.broken")
    assert alerts.check(after(41)) is True


def test_cards_of_others_count_as_well_and_no_words_of_a_partner_are_mailed(people):
    since = timezone.now() - timedelta(hours=1)
    card = Card(
        key="webhook:1", name="Portal", group="REST", kind="out", tone="amber", icon="refresh", state="Retrying",
        waiting=4, oldest=since, error="PID-3 4711 unknown", alert_after=timedelta(minutes=5),
    )  # fmt: skip
    register_cards("test.portal", lambda *, actor: [card])
    try:
        assert alerts.check() is True
    finally:
        forget_cards("test.portal")
    assert "4711" not in str(mails()[0].context) and mails()[0].context["new"][0]["name"] == "Portal"
    assert InterfaceAlert.objects.get().error == "PID-3 4711 unknown"
