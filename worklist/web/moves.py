"""The grid by hand: a card or a waiting exam is put onto a room and a time; the services decide, and say why not."""

from __future__ import annotations

import hashlib
from datetime import date, time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core import text
from ris.core.errors import Conflict, DomainError, InvalidData
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import Reservation, Room
from worklist.web import forms
from worklist.web.day import appointment_of, day_of, is_uuid, procedure_of, time_context


@page(perms.VIEW_SCHEDULE)
def schedule_grid(request: HttpRequest) -> HttpResponse:
    """The grid alone, for the poll; 304 when nothing has changed."""
    context = time_context(request, day_of(request))
    body = _time_part(request, context)
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    _note_read(request, context)
    return HttpResponse(body, headers={"ETag": etag, "Cache-Control": "no-store"})


@never_cache
@require_POST
@page(perms.BOOK_APPOINTMENT)
def schedule_drop(request: HttpRequest) -> HttpResponse:
    """Put ``appointment`` or ``exam`` into ``room`` on ``day`` at ``at``; answers the grid, or 409 with what is free.

    ``was`` is where the sender saw it (``room|iso time``): what a colleague has moved meanwhile is not moved again.
    """
    procedure: RequestedProcedure | None = None
    try:
        if request.POST.get("appointment"):
            appointment = appointment_of(request, _uuid(request, "appointment"))
            procedure = appointment.procedure
            moved = _move(request, appointment)
        else:
            procedure = procedure_of(request, _uuid(request, "exam"))
            moved = services.book_appointment(procedure, **_place(request), actor=request.actor)
    except DomainError as refusal:
        flush_refusals()
        return _refused(request, procedure, refusal)
    context = time_context(request, day_of(request)) | {"moved": moved, "warnings": getattr(moved, "warnings", ())}
    _note_read(request, context)
    return HttpResponse(_time_part(request, context))


def _uuid(request: HttpRequest, name: str) -> str:
    value = request.POST.get(name, "")
    if not is_uuid(value):
        raise InvalidData(_("Nothing was chosen."), todo=_("Choose an appointment or a waiting exam."))
    return value


def _place(request: HttpRequest) -> dict[str, Any]:
    room = selectors.rooms(actor=request.actor).filter(code=request.POST.get("room", "")).first()
    try:
        day, at = date.fromisoformat(request.POST.get("day", "")), time.fromisoformat(request.POST.get("at", ""))
    except ValueError:
        raise InvalidData(_("That is not a time."), todo=_("Choose a place in the grid.")) from None
    if room is None:
        raise InvalidData(_("There is no such room."), todo=_("Choose a place in the grid."))
    return {"room": room, "starts_at": forms.moment(day, at)}


def _move(request: HttpRequest, appointment: Reservation) -> Reservation:
    place = _place(request)
    was = request.POST.get("was", "")
    if was and was != _where(appointment):
        raise Conflict(
            _("Somebody has moved it meanwhile."),
            asked=_("To move the appointment."),
            found=_("It is now in %(room)s, %(day)s, %(time)s.")
            % {
                "room": appointment.room.name,
                "day": text.day(appointment.starts_at),
                "time": text.clock(appointment.starts_at),
            },
            todo=_("Look where it is, then move it again if it must be."),
        )
    if place["room"].pk == appointment.room_id:
        place |= {"station": appointment.station} if appointment.station is not None else {}
    return services.reschedule_appointment(
        appointment,
        **place,
        actor=request.actor,
    )


def _where(appointment: Reservation) -> str:
    begins = timezone.localtime(appointment.starts_at)
    return f"{appointment.room.code}|{begins:%Y-%m-%d}|{begins:%H:%M}"


def _refused(request: HttpRequest, procedure: RequestedProcedure | None, refusal: DomainError) -> HttpResponse:
    """What was asked, what was found, what is free: each free time is a button that tries again."""
    choices = [_choice(slot.room, slot.starts_at) for slot in getattr(refusal, "alternatives", [])]
    context = {
        "day": day_of(request),
        "refusal": refusal,
        "choices": choices,
        "procedure": procedure,
        "appointment": request.POST.get("appointment", ""),
        "may_overbook": request.actor.may(perms.OVERBOOK),
    }
    return render(request, "worklist/_move_refused.html", context, status=refusal.http_status)


def _choice(room: Room, starts_at: Any) -> dict[str, Any]:
    begins = timezone.localtime(starts_at)
    return {"room": room, "day": begins.date(), "at": begins.time()}


def _time_part(request: HttpRequest, context: dict[str, Any]) -> str:
    return render_to_string("worklist/_time_answer.html", context, request=request)


def _note_read(request: HttpRequest, context: dict[str, Any]) -> None:
    record_read(
        request.actor,
        perms.VIEW_SCHEDULE,
        patients=context["grid"].patients,
        detail={"page": "schedule", "day": context["day"].isoformat()},
    )
