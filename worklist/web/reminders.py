"""Whether a patient is reminded, and what came of it: on the patient's and the appointment's page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from orders import selectors as orders
from orders.models import Patient
from ris.accounts.selectors import facility_settings
from ris.accounts.web import page
from ris.core.errors import NotKnown
from worklist import permissions as perms
from worklist import services
from worklist.models import ReminderChannel, Reservation
from worklist.services.reminders import address_of, channel_of, language_of
from worklist.web.ticket import back_to

REMINDERS_SHOWN = 10


def reminder_context(appointment: Reservation) -> dict[str, Any]:
    """Of an appointment: what was planned and sent, and what the patient wants."""
    if appointment.procedure is None:
        return {}
    rows = appointment.reminders.select_related("notification").order_by("-pk")[:REMINDERS_SHOWN]
    return {"reminders": list(rows), **preference_context(appointment.procedure.order.patient)}


def preference_context(patient: Patient) -> dict[str, Any]:
    """The ways a patient can be reached, and the one chosen."""
    return {
        "wanted": channel_of(patient),
        "ways": [(code, words, not code or bool(address_of(patient, code))) for code, words in ReminderChannel.choices],
        "reminder_hours": facility_settings().reminder_hours,
        "reminder_language": language_of(patient),
    }


@require_POST
@page(perms.BOOK_APPOINTMENT)
def contact_preference(request: HttpRequest, uuid: UUID) -> HttpResponse:
    patient = orders.patients(actor=request.actor).filter(uuid=uuid).first()
    if patient is None:
        raise NotKnown(_("There is no such patient."))
    chosen = services.set_contact_preference(patient, channel=request.POST.get("channel", ""), actor=request.actor)
    words = _("Noted: reminders by %(channel)s.") if chosen.channel else _("Noted: no reminders.")
    messages.success(request, words % {"channel": chosen.get_channel_display()} if chosen.channel else words)
    return HttpResponseRedirect(back_to(request))
