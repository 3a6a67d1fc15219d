"""Tickets, displays, reminders and what patients agreed to, as far as the actor may see them."""

from __future__ import annotations

from django.db.models import QuerySet

from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.models import AppointmentReminder, ContactPreference, QueueTicket, WaitingRoomDisplay


def tickets(*, actor: Actor) -> QuerySet[QueueTicket]:
    if not actor.may(perms.VIEW_SCHEDULE):
        return QueueTicket.objects.none()
    return QueueTicket.objects.visible_to(actor).select_related("procedure__order__patient", "called_to")


def displays(*, actor: Actor) -> QuerySet[WaitingRoomDisplay]:
    if not actor.may(perms.VIEW_ROOM):
        return WaitingRoomDisplay.objects.none()
    return WaitingRoomDisplay.objects.prefetch_related("rooms")


def reminders(*, actor: Actor) -> QuerySet[AppointmentReminder]:
    if not actor.may(perms.VIEW_SCHEDULE):
        return AppointmentReminder.objects.none()
    return AppointmentReminder.objects.visible_to(actor).select_related(
        "appointment__procedure__order__patient", "notification"
    )


def contact_preferences(*, actor: Actor) -> QuerySet[ContactPreference]:
    if not actor.may(perms.VIEW_SCHEDULE):
        return ContactPreference.objects.none()
    return ContactPreference.objects.visible_to(actor)
