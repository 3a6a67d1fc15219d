"""Reminders: to who agreed, once, in the patient's language; called off with the appointment they speak of."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.utils import timezone

from orders.models import Preparation
from ris.accounts.models import FacilitySettings
from ris.accounts.selectors import facility_settings
from ris.audit.models import AuditEvent
from ris.core.actor import SYSTEM
from ris.core.errors import InvalidData, NotPermitted
from ris.events.dispatcher import Dispatcher
from ris.notifications.models import Notification
from ris.notifications.words import short_words_of
from tests.factories.orders import make_actor, make_catalogue
from tests.factories.worklist import at, booked, ct_procedure
from worklist.models import AppointmentReminder, ContactPreference, Reservation
from worklist.services import (
    arrive_patient,
    cancel_appointment,
    reschedule_appointment,
    set_contact_preference,
)
from worklist.services.reminders import claim_reminders, send_reminder

NAIROBI = ZoneInfo("Africa/Nairobi")

pytestmark = pytest.mark.usefixtures("alpha")


def agreed(channel: str = "email", language: str = "en", *, days: int = 3, hour: int = 10) -> Reservation:
    """An appointment in three days of a patient who wants to be reminded."""
    procedure = ct_procedure()
    patient = procedure.order.patient
    patient.email, patient.phone, patient.language = "asha@example.org", "+254700000001", language
    patient.save()
    set_contact_preference(patient, channel=channel, actor=make_actor("clerk"))
    return booked(procedure, starts_at=at(hour, days=days))


def statuses(reservation: Reservation) -> list[str]:
    return list(reservation.reminders.order_by("pk").values_list("status", flat=True))


def make_due() -> None:
    AppointmentReminder.objects.filter(status="planned").update(due_at=timezone.now() - timedelta(minutes=1))


def test_nobody_is_reminded_who_did_not_agree():
    reservation = booked(starts_at=at(10, days=3))
    assert not reservation.reminders.exists()


def test_a_reminder_is_planned_a_day_before():
    reservation = agreed()
    reminder = reservation.reminders.get()
    assert (reminder.status, reminder.channel) == ("planned", "email")
    assert reminder.due_at == reservation.starts_at - timedelta(hours=24)


def test_the_facility_says_how_long_before():
    facility_settings()
    FacilitySettings.objects.update(reminder_hours=48)
    assert agreed().reminders.get().due_at == at(10, days=1)
    FacilitySettings.objects.update(reminder_hours=0)
    assert not agreed(hour=12).reminders.exists()


def test_who_books_for_soon_is_not_reminded():
    reservation = agreed(days=0, hour=23)
    assert not reservation.reminders.exists()


def test_moving_plans_another_and_cancelling_calls_it_off():
    reservation = agreed()
    reschedule_appointment(reservation, starts_at=at(11, days=4), actor=SYSTEM)
    assert statuses(reservation) == ["cancelled", "planned"]
    assert reservation.reminders.get(status="planned").starts_at == at(11, days=4)
    cancel_appointment(reservation, reason="Travels", actor=SYSTEM)
    assert statuses(reservation) == ["cancelled", "cancelled"]


def test_arriving_calls_it_off():
    reservation = agreed()
    arrive_patient(reservation.procedure, actor=SYSTEM)
    assert statuses(reservation) == ["cancelled"]


def test_withdrawn_consent_calls_it_off_and_given_later_plans_it():
    reservation = agreed()
    patient, clerk = reservation.procedure.order.patient, make_actor("clerk")
    set_contact_preference(patient, channel="", actor=clerk)
    assert statuses(reservation) == ["cancelled"]
    set_contact_preference(patient, channel="sms", actor=clerk)
    assert statuses(reservation) == ["cancelled", "planned"]
    decisions = ContactPreference.objects.get().history.order_by("history_id").values_list("channel", flat=True)
    assert list(decisions) == ["email", "", "sms"]


def test_consent_needs_an_address_and_the_right():
    patient = ct_procedure().order.patient
    patient.phone = patient.email = ""
    patient.save()
    with pytest.raises(InvalidData) as refusal:
        set_contact_preference(patient, channel="sms", actor=SYSTEM)
    assert "channel" in refusal.value.errors
    with pytest.raises(NotPermitted):
        set_contact_preference(patient, channel="", actor=make_actor("referring_physician"))


def test_it_is_sent_once_by_the_dispatcher_with_the_preparation_and_no_name():
    catalogue = make_catalogue("CTHEAD", name="CT head", modality="CT")
    Preparation.objects.create(procedure=catalogue, language="en", text="Nothing to eat for 4 hours.")
    reservation = agreed()
    make_due()
    dispatcher = Dispatcher(use_broker=False)
    while dispatcher.tick(["alpha"]):
        pass
    assert statuses(reservation) == ["sent"]
    (letter,) = mail.outbox
    patient = reservation.procedure.order.patient
    assert letter.to == ["asha@example.org"]
    assert "Your appointment on" in letter.subject and "Nothing to eat for 4 hours." in letter.body
    assert f"{timezone.localtime(reservation.starts_at, NAIROBI):%H:%M}" in letter.subject
    assert patient.family_name not in letter.subject + letter.body
    assert AuditEvent.objects.filter(entity=reservation.reminders.get().uuid, action="E").exists()


def test_running_twice_sends_once():
    reservation = agreed()
    make_due()
    (reminder_id,) = claim_reminders()
    assert claim_reminders() == []
    send_reminder(reminder_id)
    send_reminder(reminder_id)
    assert Notification.objects.filter(template="worklist.appointment_reminder").count() == 1
    assert statuses(reservation) == ["sent"]


def test_moved_back_to_a_time_that_was_reminded_nobody_is_reminded_again():
    reservation = agreed()
    make_due()
    send_reminder(*claim_reminders())
    reschedule_appointment(reservation, starts_at=at(12, days=4), actor=SYSTEM)
    assert statuses(reservation) == ["sent", "planned"]
    reschedule_appointment(reservation, starts_at=at(10, days=3), actor=SYSTEM)
    assert statuses(reservation) == ["sent", "cancelled"]


def test_a_swahili_patient_reads_swahili_by_sms():
    catalogue = make_catalogue("CTHEAD", name="CT head", modality="CT")
    Preparation.objects.create(procedure=catalogue, language="sw", text="Usile kwa saa 4.")
    reservation = agreed("sms", "sw")
    make_due()
    send_reminder(*claim_reminders())
    message = reservation.reminders.get().notification
    assert (message.channel, message.language, message.address) == ("sms", "sw", "+254700000001")
    assert "Usile kwa saa 4." in short_words_of(message)
    assert reservation.procedure.order.patient.family_name not in short_words_of(message)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"email": ""}, "No address is known."),
        ({"is_deceased": True}, "The patient has died."),
    ],
)
def test_what_forbids_it_at_the_last_moment_is_recorded(change, reason):
    reservation = agreed()
    make_due()
    patient = reservation.procedure.order.patient
    for name, value in change.items():
        setattr(patient, name, value)
    patient.save()
    reminder = send_reminder(*claim_reminders())
    assert (reminder.status, reminder.reason) == ("skipped", reason)
    assert not Notification.objects.exists()
