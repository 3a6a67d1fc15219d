"""Reminders of appointments: only to who agreed, once, in their language, called off when the time changes."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from orders.models import Patient
from ris.accounts.selectors import facility_settings
from ris.audit.models import Action
from ris.audit.service import record, service
from ris.core import text
from ris.core.actor import SYSTEM, Actor
from ris.core.errors import InvalidData
from ris.notifications.services import notify
from worklist import permissions as perms
from worklist.models import (
    AppointmentReminder,
    ContactPreference,
    ReminderChannel,
    ReminderStatus,
    Reservation,
    ReservationKind,
    ReservationStatus,
)

TEMPLATE = "worklist.appointment_reminder"
CLAIM_FOR = timedelta(seconds=60)
CLAIM = """
update worklist_appointmentreminder set claimed_until = statement_timestamp() + %(claim)s
where id in (
    select id from worklist_appointmentreminder
    where status = 'planned' and due_at <= statement_timestamp()
      and (claimed_until is null or claimed_until < statement_timestamp())
    order by due_at limit %(limit)s for update skip locked)
returning id
"""


# --- consent


def channel_of(patient: Patient) -> str:
    """How a patient agreed to be reminded; empty when they did not."""
    row = ContactPreference.objects.filter(patient=patient.uuid).first()
    return row.channel if row is not None else ReminderChannel.NONE


def address_of(patient: Patient, channel: str) -> str:
    known: dict[str, str] = {ReminderChannel.SMS: patient.phone, ReminderChannel.EMAIL: patient.email}
    return known.get(channel, "")


@service(perms.BOOK_APPOINTMENT)
def set_contact_preference(patient: Patient, *, channel: str, actor: Actor) -> ContactPreference:
    """What the patient decided; their coming appointments follow. ``channel`` empty: no reminders.

    Raises InvalidData when there is no address for that channel.
    """
    if channel not in ReminderChannel.values:
        words = _("Reminders go by SMS or e-mail, or not at all.")
        raise InvalidData(words, errors={"channel": words})
    if channel and not address_of(patient, channel):
        words = _("No phone number is known.") if channel == ReminderChannel.SMS else _("No e-mail address is known.")
        raise InvalidData(
            words,
            asked=_("Reminders by %(channel)s.") % {"channel": ReminderChannel(channel).label},
            found=words,
            todo=_("Add it to the patient, or choose another way."),
            errors={"channel": words},
        )
    row = ContactPreference.objects.select_for_update().filter(patient=patient.uuid).first()
    row = row or ContactPreference(patient=patient.uuid)
    row.channel, row.decided_at = channel, timezone.now()
    row.save_as(actor, "Agreed" if channel else "Declined")
    coming = Reservation.objects.select_related("procedure__order__patient").filter(
        kind=ReservationKind.APPOINTMENT,
        status=ReservationStatus.BOOKED,
        starts_at__gt=timezone.now(),
        procedure__order__patient=patient,
    )
    for appointment in coming.order_by("pk"):
        plan_reminder(appointment, actor=actor)
    return row


# --- planning: in the transaction that books, moves or cancels


def plan_reminder(appointment: Reservation, *, actor: Actor) -> AppointmentReminder | None:
    """The reminder this appointment is to have now; one for another time or by another way is called off.

    None when the patient did not agree, the facility sends none, or the moment to remind has gone by: who books for
    this afternoon has just been told.
    """
    channel = channel_of(appointment.procedure.order.patient) if appointment.procedure is not None else ""
    hours = facility_settings().reminder_hours
    known = appointment.reminders.select_for_update().filter(starts_at=appointment.starts_at)
    if known.filter(status=ReminderStatus.SENT).exists():
        cancel_reminders(appointment, actor=actor, reason="Reminded already")
        return None
    due_at = appointment.starts_at - timedelta(hours=hours)
    planned = known.filter(status=ReminderStatus.PLANNED, channel=channel, due_at=due_at).first()
    if planned is not None:
        return planned
    cancel_reminders(appointment, actor=actor, reason="Another time or way")
    if not channel or not hours or due_at <= timezone.now():
        return None
    reminder = AppointmentReminder(
        appointment=appointment, starts_at=appointment.starts_at, due_at=due_at, channel=channel
    )
    reminder.save_as(actor, "Planned")
    return reminder


def cancel_reminders(appointment: Reservation, *, actor: Actor, reason: str) -> int:
    """Call off what is still to go."""
    rows = list(appointment.reminders.select_for_update().filter(status=ReminderStatus.PLANNED))
    for row in rows:
        row.move_to(ReminderStatus.CANCELLED)
        row.reason = reason
        row.save_as(actor, reason)
    return len(rows)


# --- sending: what the dispatcher calls


def claim_reminders(limit: int = 50) -> list[int]:
    """Take due reminders for this process; another takes them over when the claim runs out."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"claim": CLAIM_FOR, "limit": limit})
        return sorted(row[0] for row in cursor.fetchall())


@transaction.atomic
def send_reminder(reminder_id: int) -> AppointmentReminder | None:
    """Hand one reminder to the notifications, or say why not. May run twice: the second time finds it settled."""
    appointment_id = AppointmentReminder.objects.filter(pk=reminder_id).values_list("appointment", flat=True).first()
    if appointment_id is None:
        return None
    appointment = (
        Reservation.objects.select_for_update(of=("self",))
        .select_related("room__site", "procedure__order__patient", "procedure__catalogue")
        .get(pk=appointment_id)
    )
    reminder = AppointmentReminder.locked(reminder_id)
    if reminder.status != ReminderStatus.PLANNED:
        return reminder
    obstacle = _obstacle(reminder, appointment)
    if obstacle:
        reminder.move_to(ReminderStatus.SKIPPED)
        reminder.reason = obstacle
        reminder.save_as(SYSTEM, obstacle)
        return reminder
    patient = appointment.procedure.order.patient
    language = language_of(patient)
    reminder.notification = notify(
        template=TEMPLATE,
        address=address_of(patient, reminder.channel),
        channel=reminder.channel,
        language=language,
        context=_words_for(appointment, language),
        subject=str(appointment.uuid),
        dedupe_key=f"worklist.reminder:{reminder.uuid}",
    )
    reminder.move_to(ReminderStatus.SENT)
    reminder.save_as(SYSTEM, "Sent")
    record(SYSTEM, perms.BOOK_APPOINTMENT, Action.EXECUTE, entity=reminder, detail={"channel": reminder.channel})
    return reminder


def _obstacle(reminder: AppointmentReminder, appointment: Reservation) -> str:
    """Why it must not go out now; what changed without passing the services that call it off."""
    patient = appointment.procedure.order.patient
    if appointment.status != ReservationStatus.BOOKED or appointment.starts_at != reminder.starts_at:
        return "The appointment has changed."
    if appointment.starts_at <= timezone.now():
        return "The appointment is over."
    if patient.is_deceased:
        return "The patient has died."
    if channel_of(patient) != reminder.channel:
        return "The patient wants none."
    if not address_of(patient, reminder.channel):
        return "No address is known."
    return ""


def language_of(patient: Patient) -> str:
    """The patient's language when we speak it, else the facility's."""
    spoken = {code for code, _name in settings.LANGUAGES}
    facility = getattr(connection.tenant, "language", "")
    return next((code for code in (patient.language, facility) if code in spoken), settings.LANGUAGE_CODE)


def _words_for(appointment: Reservation, language: str) -> dict[str, str]:
    """Time, place and preparation in the reader's language: no name, no number, not even the exam."""
    catalogue = appointment.procedure.catalogue
    texts = {row.language: row.text for row in catalogue.preparations.all()} if catalogue is not None else {}
    with translation.override(language):
        return {
            "day": text.day(appointment.starts_at),
            "time": text.clock(appointment.starts_at),
            "room": appointment.room.name,
            "site": appointment.room.site.name if appointment.room.site else "",
            "facility": getattr(connection.tenant, "name", ""),
            "preparation": texts.get(language, ""),
        }
