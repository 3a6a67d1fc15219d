"""/schedule/: the day as grid and as table, what waits for a time, booking, moving, arriving."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders.models import Modality, RequestedProcedure
from ris.accounts.web import page
from ris.audit.models import Action
from ris.audit.service import flush_refusals, record, record_read
from ris.core.errors import DomainError, NotKnown
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import Reservation, Station
from worklist.selectors.day import TO_SCHEDULE, day_grid, first_to_schedule, to_schedule
from worklist.selectors.schedule import patient_numbers
from worklist.services.slots import DEFAULT_MINUTES, duration_of, next_free, priority_of, rooms_for
from worklist.services.tickets import ticket_of
from worklist.web import forms
from worklist.web.day import (
    appointment_of,
    day_of,
    is_uuid,
    procedure_of,
    schedule_url,
    script_words,
    time_context,
    view_links,
)
from worklist.web.reminders import reminder_context
from worklist.web.ticket import back_to

SUGGESTIONS = 4


# --- the day


@never_cache
@page(perms.VIEW_SCHEDULE)
def schedule_day(request: HttpRequest) -> HttpResponse:
    book = request.GET.get("book", "")
    procedure = procedure_of(request, book) if is_uuid(book) else None
    return _day_page(request, day_of(request), procedure)


def _day_page(
    request: HttpRequest,
    day: date,
    procedure: RequestedProcedure | None = None,
    *,
    form: forms.BookingForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """The schedule around one day; with a procedure, its booking form stands above the grid."""
    actor = request.actor
    shown = time_context(request, day)
    modality, may_book = shown["modality"], shown["may_book"]
    waiting = first_to_schedule(actor=actor, modality=modality)
    if procedure is not None and form is None and may_book:
        form = booking_form(request, procedure, day)
    patients = {*shown["grid"].patients, *(row.patient for row in waiting)}
    detail = {"page": "schedule", "day": day.isoformat()}
    record_read(actor, perms.VIEW_SCHEDULE, patients=sorted(patients), detail=detail)
    is_all = len(waiting) < TO_SCHEDULE
    context = shown | {
        "nav": "schedule",
        "is_today": day == timezone.localdate(),
        "views": view_links(request, day, shown["view"]),
        "waiting": waiting,
        "waiting_count": len(waiting) if is_all else to_schedule(actor=actor, modality=modality).count(),
        "today": timezone.localdate(),
        "procedure": procedure,
        "form": form,
        "refusal": refusal,
        "suggestions": suggestions(procedure, day) if procedure is not None and may_book else [],
        "script_words": script_words(),
    }
    return render(request, "worklist/schedule.html", context, status=status)


def stations_for(procedure: RequestedProcedure) -> list[Station]:
    """Stations on which the exam can be done."""
    return [
        station
        for room in rooms_for(procedure)
        for station in Station.objects.filter(room=room, is_active=True).select_related("room")
        if not procedure.modality or station.modality == procedure.modality
    ]


def suggestions(procedure: RequestedProcedure, day: date) -> list[Any]:
    """The soonest free times from that day on, each with a station that stands there."""
    rooms = rooms_for(procedure)
    if not rooms:
        return []
    minutes = duration_of(procedure, rooms[0], None)
    after = max(timezone.now(), forms.moment(day, timezone.datetime.min.time()))
    priority = priority_of(procedure)
    found = next_free(rooms, timedelta(minutes=minutes), after=after, limit=SUGGESTIONS, priority=priority)
    return [with_station(slot, procedure) for slot in found]


def with_station(slot: Any, procedure: RequestedProcedure) -> dict[str, Any]:
    fitting = [row for row in slot.room.stations.all() if row.is_active and row.modality == procedure.modality]
    station = min(fitting, key=lambda row: row.ae_title, default=None)
    begins = timezone.localtime(slot.starts_at)
    return {"slot": slot, "station": station, "day": begins.date(), "at": begins.time()}


def booking_form(request: HttpRequest, procedure: RequestedProcedure, day: date, data: Any = None) -> forms.BookingForm:
    stations = stations_for(procedure)
    soonest = next(iter(suggestions(procedure, day)), None)
    minutes = procedure.catalogue.duration_minutes if procedure.catalogue else DEFAULT_MINUTES
    initial = {"day": day, "duration_minutes": minutes}
    if soonest is not None and soonest["station"] is not None:
        initial |= {"day": soonest["day"], "at": soonest["at"], "station": str(soonest["station"].uuid)}
    may_overbook = request.actor.may(perms.OVERBOOK)
    return forms.BookingForm(data, stations=stations, may_overbook=may_overbook, initial=initial)


@require_POST
@page(perms.BOOK_APPOINTMENT)
def schedule_book(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Book; a taken time comes back with who has it, what is free, and everything that was typed."""
    procedure = procedure_of(request, uuid)
    form = booking_form(request, procedure, day_of(request), _picked(request))
    if not form.is_valid():
        return _day_page(request, day_of(request), procedure, form=form, status=422)
    try:
        if "hold" in request.POST:
            return _hold(request, procedure, form)
        reservation = services.book_appointment(procedure, **form.service_fields(), actor=request.actor)
    except DomainError as refusal:
        return _refused(request, procedure, form, refusal)
    _tell_booked(request, reservation)
    return HttpResponseRedirect(schedule_url(timezone.localtime(reservation.starts_at).date()))


def _hold(request: HttpRequest, procedure: RequestedProcedure, form: forms.BookingForm) -> HttpResponse:
    """Keep the time for five minutes in this person's name; the form stays open."""
    data = form.service_fields()
    minutes = data["duration_minutes"] or DEFAULT_MINUTES
    hold = services.hold_slot(
        data["station"].room,
        starts_at=data["starts_at"],
        duration_minutes=minutes,
        procedure=procedure,
        actor=request.actor,
    )
    until = timezone.localtime(hold.hold_expires_at)
    messages.success(request, _("Held for you until %(time)s.") % {"time": f"{until:%H:%M}"})
    return HttpResponseRedirect(schedule_url(form.cleaned_data["day"], book=procedure.uuid))


def _picked(request: HttpRequest) -> Any:
    """What was typed, or the suggestion whose button was pressed: ``station|day|time``."""
    parts = request.POST.get("pick", "").split("|")
    if len(parts) != 3:
        return request.POST
    data = request.POST.copy()
    data["station"], data["day"], data["at"] = parts
    return data


def _refused(
    request: HttpRequest, procedure: RequestedProcedure, form: forms.BookingForm, refusal: DomainError
) -> HttpResponse:
    flush_refusals()
    forms.add_refusal(form, refusal)
    slots = getattr(refusal, "alternatives", [])
    refusal.choices = [with_station(slot, procedure) for slot in slots]
    day = form.cleaned_data.get("day") or day_of(request)
    return _day_page(request, day, procedure, form=form, refusal=refusal, status=refusal.http_status)


def _tell_booked(request: HttpRequest, reservation: Reservation) -> None:
    begins = timezone.localtime(reservation.starts_at)
    messages.success(
        request,
        _("Booked: %(room)s, %(when)s.") % {"room": reservation.room.name, "when": f"{begins:%d.%m.%Y %H:%M}"},
    )
    for warning in getattr(reservation, "warnings", ()):
        messages.warning(request, warning)


# --- one appointment


@never_cache
@page(perms.VIEW_SCHEDULE)
def appointment_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _appointment_page(request, appointment_of(request, uuid))


def _appointment_page(
    request: HttpRequest,
    appointment: Reservation,
    *,
    form: forms.BookingForm | None = None,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    procedure = appointment.procedure
    is_open = appointment.status in ("booked", "arrived")
    may_book = actor.may(perms.BOOK_APPOINTMENT)
    if form is None and procedure is not None and is_open and may_book:
        form = _move_form(request, appointment)
    record_read(actor, perms.VIEW_SCHEDULE, entity=appointment, detail={"page": "appointment"})
    context = {
        "nav": "schedule",
        "appointment": appointment,
        "procedure": procedure,
        "patient": procedure.order.patient if procedure else None,
        "day": timezone.localtime(appointment.starts_at).date(),
        "history": list(appointment.history.select_related("history_user", "room").order_by("-history_id")[:20]),
        "form": form,
        "reason_form": forms.ReasonForm(),
        "refusal": refusal,
        "is_open": is_open,
        "may_book": may_book,
        "may_block": actor.may(perms.BLOCK_ROOM),
        "may_arrive": actor.may(perms.ARRIVE_PATIENT),
        "may_call": actor.may(perms.CALL_PATIENT),
        "ticket": ticket_of(procedure) if procedure else None,
        "rooms": list(selectors.rooms(actor=actor).filter(is_active=True)),
        "now": timezone.now(),
        **reminder_context(appointment),
    }
    return render(request, "worklist/appointment.html", context, status=status)


def _move_form(request: HttpRequest, appointment: Reservation, data: Any = None) -> forms.BookingForm:
    begins = timezone.localtime(appointment.starts_at)
    initial = {
        "day": begins.date(),
        "at": begins.time(),
        "duration_minutes": appointment.duration_minutes,
        "station": str(appointment.station.uuid) if appointment.station else None,
    }
    stations = stations_for(appointment.procedure) if appointment.procedure else []
    may_overbook = request.actor.may(perms.OVERBOOK)
    return forms.BookingForm(data, stations=stations, may_overbook=may_overbook, initial=initial)


@require_POST
@page(perms.BOOK_APPOINTMENT)
def appointment_move(request: HttpRequest, uuid: UUID) -> HttpResponse:
    appointment = appointment_of(request, uuid)
    form = _move_form(request, appointment, request.POST)
    if not form.is_valid():
        return _appointment_page(request, appointment, form=form, status=422)
    try:
        moved = services.reschedule_appointment(appointment, **form.service_fields(), actor=request.actor)
    except DomainError as refusal:
        flush_refusals()
        forms.add_refusal(form, refusal)
        return _appointment_page(request, appointment, form=form, refusal=refusal, status=refusal.http_status)
    _tell_booked(request, moved)
    return HttpResponseRedirect(reverse("appointment_detail", args=[moved.uuid]))


@require_POST
@page(perms.BOOK_APPOINTMENT)
def appointment_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    appointment = appointment_of(request, uuid)
    form = forms.ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Say why it is cancelled."))
        return HttpResponseRedirect(reverse("appointment_detail", args=[appointment.uuid]))
    services.cancel_appointment(appointment, reason=form.cleaned_data["reason"], actor=request.actor)
    messages.success(request, _("The appointment is cancelled and its time is free."))
    return HttpResponseRedirect(schedule_url(timezone.localtime(appointment.starts_at).date()))


#: What may be done with one button: verb -> (service, what is said after it)
MOVES: dict[str, tuple[Callable[..., Any], Any]] = {
    "arrive": (services.arrive_patient, gettext_lazy("Arrived.")),
    "undo-arrival": (services.undo_arrival, gettext_lazy("The arrival is undone.")),
    "no-show": (services.mark_no_show, gettext_lazy("Noted: did not come. The time is free.")),
}


@require_POST
@page(perms.ARRIVE_PATIENT)
def procedure_move(request: HttpRequest, uuid: UUID, verb: str) -> HttpResponse:
    """Arrived, left again, did not come; also without an appointment."""
    if verb not in MOVES:
        raise NotKnown(_("There is no such action."))
    service, words = MOVES[verb]
    procedure = service(procedure_of(request, uuid), actor=request.actor)
    if verb == "arrive":
        context = {"procedure": procedure, "ticket": ticket_of(procedure)}
        words = render_to_string("worklist/_arrived.html", context, request=request)
    messages.success(request, words if verb == "arrive" else str(words))
    return HttpResponseRedirect(back_to(request))


# --- blocked time, the day on paper


@never_cache
@page(perms.BLOCK_ROOM)
def schedule_block(request: HttpRequest) -> HttpResponse:
    """Keep a room free: maintenance, lunch, emergency reserve."""
    rooms = list(selectors.rooms(actor=request.actor).filter(is_active=True))
    day = day_of(request)
    form = forms.BlockForm(request.POST or None, rooms=rooms, initial={"day": day, "room": request.GET.get("room")})
    refusal, status = None, 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            data = form.cleaned_data
            begins, ends = forms.moment(data["day"], data["begins"]), forms.moment(data["day"], data["ends"])
            try:
                services.block_room(
                    form.rooms[data["room"]],
                    starts_at=begins,
                    ends_at=ends,
                    reason=data["reason"],
                    actor=request.actor,
                )
                messages.success(request, _("The time is blocked."))
                return HttpResponseRedirect(schedule_url(data["day"]))
            except DomainError as caught:
                flush_refusals()
                forms.add_refusal(form, caught)
                refusal, status = caught, caught.http_status
    context = {"nav": "schedule", "form": form, "day": day, "refusal": refusal}
    return render(request, "worklist/block.html", context, status=status)


@require_POST
@page((perms.BOOK_APPOINTMENT, perms.BLOCK_ROOM))
def schedule_release(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Let a hold go, or open blocked time."""
    row = appointment_of(request, uuid)
    service = services.unblock_room if row.kind == "block" else services.release_hold
    service(row, actor=request.actor)
    messages.success(request, _("The time is free."))
    return HttpResponseRedirect(schedule_url(timezone.localtime(row.starts_at).date()))


@never_cache
@page(perms.VIEW_SCHEDULE)
def schedule_sheet(request: HttpRequest) -> HttpResponse:
    """The day on paper, a sheet per room, or that of one room, or of the rooms of a modality."""
    day, actor = day_of(request), request.actor
    rooms = list(selectors.rooms(actor=actor).filter(is_active=True))
    room = next((row for row in rooms if row.code == request.GET.get("room")), None)
    modality = request.GET.get("modality", "")
    modality = modality if modality in Modality.values else ""
    grid = day_grid(day=day, rooms=[room] if room is not None else rooms, actor=actor, modality=modality)
    detail = {"page": "day sheet", "day": day.isoformat()}
    record(actor, perms.VIEW_SCHEDULE, Action.READ, patients=grid.patients, detail=detail)
    numbers = patient_numbers(entry.patient_id for entry in grid.entries)
    sheets = [
        (column, [(entry, numbers.get(entry.patient_id, "")) for entry in column.entries if entry.patient is not None])
        for column in grid.columns
    ]
    context = {"day": day, "sheets": sheets, "rooms": rooms, "room": room, "now": timezone.now()}
    return render(request, "worklist/day_sheet.html", context)
