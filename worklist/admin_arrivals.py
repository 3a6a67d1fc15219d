"""Waiting numbers, displays and reminders in the administration, over the same services."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ris.accounts.admin_base import ReadOnlyAdmin, service_action
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist import services
from worklist.models import AppointmentReminder, ContactPreference, QueueTicket, WaitingRoomDisplay


def call_ticket(ticket: QueueTicket, *, actor: Actor) -> QueueTicket:
    return services.call_patient(ticket.procedure, actor=actor)


@admin.register(QueueTicket)
class QueueTicketAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_SCHEDULE
    list_display = ("label", "day", "procedure", "issued_at", "called_at", "called_to", "printed_count")
    list_filter = ("day", "prefix", "called_to")
    list_select_related = ("procedure__order__patient", "called_to")
    search_fields = ("procedure__accession_number",)
    date_hierarchy = "day"
    actions = (service_action(_("Call"), call_ticket, permission=perms.CALL_PATIENT),)


@admin.register(WaitingRoomDisplay)
class WaitingRoomDisplayAdmin(ReadOnlyAdmin):
    """Links are made on the displays' own page, which alone can show one."""

    view_code = perms.VIEW_ROOM
    list_display = ("name", "language", "created_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name",)
    actions = (service_action(_("Close"), services.close_display),)


@admin.register(ContactPreference)
class ContactPreferenceAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_SCHEDULE
    list_display = ("patient", "channel", "decided_at")
    list_filter = ("channel", "decided_at")


@admin.register(AppointmentReminder)
class AppointmentReminderAdmin(ReadOnlyAdmin):
    view_code = perms.VIEW_SCHEDULE
    list_display = ("due_at", "appointment", "status", "channel", "reason", "delivery")
    list_filter = ("status", "channel", "due_at")
    list_select_related = ("appointment__room", "notification")
    search_fields = ("appointment__procedure__accession_number",)

    @admin.display(description=_("delivery"))
    def delivery(self, reminder: AppointmentReminder) -> str:
        return reminder.notification.get_status_display() if reminder.notification is not None else ""
