"""/schedule/search/: the next free times for an exam, booked, held, repeated, chained, or waited for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orders import selectors as orders
from orders.models import ProcedureStatus, RequestedProcedure
from ris.accounts.web import page
from ris.audit.service import flush_refusals, record_read
from ris.core import text
from ris.core.errors import Conflict, DomainError, InvalidData
from worklist import permissions as perms
from worklist import selectors, services
from worklist.models import Reservation, Room
from worklist.services.search import SearchResult, own_holds, window_of
from worklist.services.series import Link
from worklist.services.steps import BOOKABLE
from worklist.web import planning_forms as forms
from worklist.web.day import is_uuid, procedure_of, schedule_url

OTHERS_SHOWN = 6


def search_url(procedure: RequestedProcedure | None = None, **query: Any) -> str:
    kept = {"book": str(procedure.uuid)} if procedure is not None else {}
    kept |= {key: str(value) for key, value in query.items() if value}
    return reverse("slot_search") + (f"?{urlencode(kept)}" if kept else "")


@never_cache
@page(perms.VIEW_SCHEDULE)
def slot_search(request: HttpRequest) -> HttpResponse:
    book = request.GET.get("book", "")
    return _search_page(request, procedure_of(request, book) if is_uuid(book) else None)


def _form(request: HttpRequest, procedure: RequestedProcedure | None) -> forms.SearchForm:
    """The wishes are in the address: a search can be kept and shared; it names no patient."""
    rooms = selectors.rooms(actor=request.actor).filter(is_active=True)
    data = request.GET.copy()
    if "first_day" not in data:
        for key, value in forms.first_wishes().items():
            data[key] = value
    return forms.SearchForm(data, procedure=procedure, rooms=rooms)


def _search_page(
    request: HttpRequest,
    procedure: RequestedProcedure | None,
    *,
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    form = _form(request, procedure)
    others = _others(request, procedure)
    result: SearchResult | None = None
    links: list[Link] | None = None
    if form.is_valid() and (procedure is not None or form.cleaned_data.get("what")):
        try:
            chosen = [row for row in others if str(row.uuid) in request.GET.getlist("with")]
            if chosen and procedure is not None:
                links = _links(request, [procedure, *chosen])
            else:
                result = services.find_slots(form.search(), actor=actor)
        except InvalidData as wrong:
            refusal, status = refusal or wrong, wrong.http_status if status == 200 else status
    if procedure is not None:
        record_read(actor, perms.VIEW_SCHEDULE, entity=procedure, detail={"page": "find a time"})
    may_book = actor.may(perms.BOOK_APPOINTMENT)
    context = {
        "nav": "schedule",
        "form": form,
        "procedure": procedure,
        "result": result,
        "links": links,
        "links_key": _key(links) if links else "",
        "others": others,
        "with_others": request.GET.getlist("with"),
        "chain_form": forms.ChainForm(request.GET if "gap" in request.GET else None),
        "repeat_form": forms.RepeatForm(),
        "holds": own_holds(actor),
        "refusal": refusal,
        "may_book": may_book and procedure is not None and procedure.status in BOOKABLE,
        "appointment": _appointment_of(procedure),
        "waits": procedure is not None and procedure.waiting_entries.open().exists(),
    }
    return render(request, "worklist/search.html", context, status=status)


def _appointment_of(procedure: RequestedProcedure | None) -> Reservation | None:
    if procedure is None:
        return None
    open_ones = procedure.appointments.filter(kind="appointment", status__in=("booked", "arrived"))
    return open_ones.select_related("room").first()


def _others(request: HttpRequest, procedure: RequestedProcedure | None) -> list[RequestedProcedure]:
    """Further exams of the patient that wait for a time."""
    if procedure is None:
        return []
    rows = orders.procedures(actor=request.actor).filter(
        order__patient=procedure.order.patient_id, status__in=(ProcedureStatus.ACCEPTED, ProcedureStatus.NO_SHOW)
    )
    return list(rows.exclude(pk=procedure.pk).order_by("pk")[:OTHERS_SHOWN])


def _links(request: HttpRequest, procedures: list[RequestedProcedure]) -> list[Link]:
    chain = forms.ChainForm(request.GET if "gap" in request.GET else {"gap": 10, "wait": 90})
    if not chain.is_valid():
        raise InvalidData(_("Say the gap and the longest wait in minutes."))
    form = _form(request, procedures[0])
    return services.find_chain(
        procedures,
        window=window_of(form.search()) if form.is_valid() else None,
        gap_minutes=chain.cleaned_data["gap"],
        longest_wait_minutes=chain.cleaned_data["wait"],
        in_any_order=chain.cleaned_data["any_order"],
        actor=request.actor,
    )


def _key(links: list[Link]) -> str:
    """What was shown, so that nothing else is booked than that."""
    return ";".join(f"{link.procedure.uuid}|{link.slot.room.code}|{link.slot.starts_at.isoformat()}" for link in links)


def _refused(request: HttpRequest, procedure: RequestedProcedure, refusal: DomainError) -> HttpResponse:
    """What stood there is said above the times that are free now."""
    flush_refusals()
    return _search_page(request, procedure, refusal=refusal, status=refusal.http_status)


def _taken(request: HttpRequest) -> tuple[Room, forms.TakeForm]:
    form = forms.TakeForm(request.POST)
    room = selectors.rooms(actor=request.actor).filter(code=request.POST.get("room", "")).first()
    if room is None or not form.is_valid():
        raise InvalidData(_("Choose one of the times."), errors={"starts_at": _("Choose a time.")})
    return room, form


@require_POST
@page(perms.BOOK_APPOINTMENT)
def slot_take(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Book a found time with one click, hold it for five minutes, or move the appointment there."""
    procedure = procedure_of(request, uuid)
    actor = request.actor
    try:
        room, form = _taken(request)
        data = form.cleaned_data
        place = {"starts_at": data["starts_at"], "duration_minutes": data["minutes"]}
        if "hold" in request.POST:
            hold = services.hold_slot(room, procedure=procedure, **place, actor=actor)
            messages.success(request, _("Held for you until %(time)s.") % {"time": text.clock(hold.hold_expires_at)})
            return HttpResponseRedirect(f"{reverse('slot_search')}?{request.GET.urlencode()}")
        known = _appointment_of(procedure)
        if known is not None:
            appointment = services.reschedule_appointment(known, room=room, **place, actor=actor)
        else:
            appointment = services.book_appointment(procedure, room=room, **place, actor=actor)
    except DomainError as refusal:
        return _refused(request, procedure, refusal)
    tell_booked(request, appointment)
    return HttpResponseRedirect(schedule_url(timezone.localtime(appointment.starts_at).date()))


def tell_booked(request: HttpRequest, appointment: Reservation) -> None:
    words = {"room": appointment.room.name, "when": text.stamp(appointment.starts_at)}
    messages.success(request, _("Booked: %(room)s, %(when)s.") % words)
    for warning in getattr(appointment, "warnings", ()):
        messages.warning(request, warning)


@require_POST
@page(perms.BOOK_APPOINTMENT)
def slot_repeat(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The same exam every so many days, from a found time on."""
    procedure = procedure_of(request, uuid)
    actor = request.actor
    data = request.POST.copy()
    parts = data.get("slot", "").split("|")
    data["room"], data["starts_at"], data["minutes"] = parts if len(parts) == 3 else ("", "", "")
    request.POST = data
    repeat = forms.RepeatForm(data)
    try:
        room, form = _taken(request)
        if not repeat.is_valid():
            raise InvalidData(_("Say how often, and how many days apart."), errors=dict(repeat.errors))
        result = services.book_repeated(
            procedure,
            times=repeat.cleaned_data["times"],
            every_days=repeat.cleaned_data["every_days"],
            skip_taken=repeat.cleaned_data["skip_taken"],
            room=room,
            starts_at=form.cleaned_data["starts_at"],
            duration_minutes=form.cleaned_data["minutes"],
            actor=actor,
        )
    except DomainError as refusal:
        return _refused(request, procedure, refusal)
    count = len(result.booked)
    messages.success(request, ngettext("%(n)d appointment booked.", "%(n)d appointments booked.", count) % {"n": count})
    for left in result.skipped:
        words = {"when": text.stamp(left.starts_at), "why": left.why}
        messages.warning(request, _("Left out, still without a time: %(when)s. %(why)s") % words)
    return HttpResponseRedirect(schedule_url(timezone.localtime(result.booked[0].starts_at).date()))


@require_POST
@page(perms.BOOK_APPOINTMENT)
def slot_chain(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """All exams of a chain at the times that were shown, or none."""
    procedure = procedure_of(request, uuid)
    chosen = [row for row in _others(request, procedure) if str(row.uuid) in request.GET.getlist("with")]
    try:
        links = _links(request, [procedure, *chosen])
        if not links or _key(links) != request.POST.get("links"):
            raise Conflict(
                _("These times are not free any more."),
                asked=_("To book the exams one after the other."),
                found=_("Somebody took one of the times in this moment."),
                todo=_("Look at the times that are free now."),
            )
        result = services.book_chain(links, actor=request.actor)
    except DomainError as refusal:
        return _refused(request, procedure, refusal)
    for appointment in result.booked:
        tell_booked(request, appointment)
    return HttpResponseRedirect(schedule_url(timezone.localtime(result.booked[0].starts_at).date()))


@require_POST
@page(perms.BOOK_APPOINTMENT)
def slot_wait(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Nothing suits: wait for a time that gets free, with the same wishes."""
    procedure = procedure_of(request, uuid)
    form = _form(request, procedure)
    try:
        if not form.is_valid():
            raise InvalidData(_("The wishes do not fit together."), errors=dict(form.errors))
        wishes = form.wishes() | {"note": request.POST.get("note", "")}
        services.add_to_waiting_list(procedure, **wishes, actor=request.actor)
    except DomainError as refusal:
        return _refused(request, procedure, refusal)
    messages.success(request, _("On the waiting list: asked in its turn when a time gets free."))
    return HttpResponseRedirect(reverse("waiting_list"))
