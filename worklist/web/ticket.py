"""The waiting number on paper, and the call that shows it on the displays."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import record_read
from ris.core.barcode import code128_svg
from ris.core.errors import NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import QueueTicket, Room
from worklist.services.tickets import ticket_of
from worklist.web.day import procedure_of, schedule_url


@never_cache
@page(perms.ARRIVE_PATIENT)
def ticket(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The ticket to look at; pressed (POST), it is counted as printed and the browser's print dialog opens."""
    procedure = procedure_of(request, uuid)
    if request.method == "POST":
        printed = services.print_ticket(procedure, actor=request.actor)
        return _paper(request, procedure, printed, is_printing=True)
    known = ticket_of(procedure)
    if known is None:
        raise NotKnown(_("There is no ticket yet."), todo=_("Note the arrival first."))
    record_read(request.actor, perms.ARRIVE_PATIENT, entity=known, detail={"page": "ticket"})
    return _paper(request, procedure, known, is_printing=False)


def _paper(
    request: HttpRequest, procedure: RequestedProcedure, issued: QueueTicket, *, is_printing: bool
) -> HttpResponse:
    appointment = procedure.appointments.filter(status="arrived").select_related("room").first()
    ahead = QueueTicket.objects.waiting(issued.day).filter(prefix=issued.prefix, issued_at__lt=issued.issued_at)
    context = {
        "ticket": issued,
        "procedure": procedure,
        "appointment": appointment,
        "ahead": ahead.count() if issued.day == timezone.localdate() else 0,
        "barcode": code128_svg(procedure.accession_number),
        "is_printing": is_printing,
    }
    return render(request, "worklist/ticket.html", context)


@require_POST
@page(perms.CALL_PATIENT)
def patient_call(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Call to the room that is named, or to the one where the exam is booked."""
    room: Room | None = None
    if request.POST.get("room"):
        room = selectors.rooms(actor=request.actor).filter(code=request.POST["room"], is_active=True).first()
        if room is None:
            raise NotKnown(_("There is no such room."), todo=_("Choose a room."))
    called = services.call_patient(procedure_of(request, uuid), room=room, actor=request.actor)
    messages.success(
        request, _("%(ticket)s is called to %(room)s.") % {"ticket": called.label, "room": called.called_to}
    )
    return HttpResponseRedirect(back_to(request))


def back_to(request: HttpRequest) -> str:
    """Where the form said it came from: a path of ours."""
    target = request.POST.get("next", "")
    return target if target.startswith("/") and not target.startswith("//") else schedule_url()
