"""What a patient agreed to be sent, and the reminders that were planned, sent or called off."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from ris.core.lifecycle import Lifecycle, Recorded
from ris.notifications.models import Notification
from worklist.models.schedule import Reservation
from worklist.querysets import PreferenceQuerySet, ReminderQuerySet


class ReminderChannel(models.TextChoices):
    NONE = "", _("No reminders")
    SMS = "sms", _("SMS")
    EMAIL = "email", _("E-mail")


class ContactPreference(Recorded):
    """Whether a patient wants to be reminded, and how. No row, or an empty channel: nothing is ever sent.

    It names the patient by UUID: a merge does not hand one person's consent to another.
    """

    patient = models.UUIDField(_("patient"), unique=True)
    channel = models.CharField(_("reminders by"), max_length=8, blank=True, choices=ReminderChannel.choices)
    decided_at = models.DateTimeField(_("decided at"), default=timezone.now)

    history = HistoricalRecords()
    objects = PreferenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("contact preference")
        ordering = ["pk"]

    def __str__(self) -> str:
        return str(self.get_channel_display())

    @property
    def audit_patient(self):
        return self.patient


class ReminderStatus(models.TextChoices):
    PLANNED = "planned", _("Planned")
    SENT = "sent", _("Sent")
    CANCELLED = "cancelled", _("Cancelled")
    SKIPPED = "skipped", _("Not sent")


class AppointmentReminder(Lifecycle):
    """One reminder of one appointment at one time; moved or cancelled, it is called off and another may be planned."""

    transitions = {
        ReminderStatus.PLANNED: {ReminderStatus.SENT, ReminderStatus.CANCELLED, ReminderStatus.SKIPPED},
    }

    appointment = models.ForeignKey(
        Reservation, on_delete=models.PROTECT, related_name="reminders", verbose_name=_("appointment")
    )
    status = models.CharField(
        _("status"), max_length=10, choices=ReminderStatus.choices, default=ReminderStatus.PLANNED, editable=False
    )
    starts_at = models.DateTimeField(_("of the appointment at"))
    due_at = models.DateTimeField(_("to be sent at"))
    channel = models.CharField(_("by"), max_length=8, choices=ReminderChannel.choices)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    notification = models.ForeignKey(
        Notification, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    history = HistoricalRecords(excluded_fields=["claimed_until"])
    objects = ReminderQuerySet.as_manager()

    class Meta:
        verbose_name = _("reminder")
        ordering = ["-due_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["appointment", "starts_at"],
                condition=Q(status__in=["planned", "sent"]),
                name="reminded_once_of_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="sent") | Q(notification__isnull=False), name="sent_reminder_has_its_message"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(status="planned"), name="reminder_due")]

    def __str__(self) -> str:
        return f"{self.appointment}: {self.get_status_display()}"

    @property
    def accession_number(self) -> str:
        return self.appointment.accession_number

    @property
    def audit_patient(self):
        return self.appointment.audit_patient
