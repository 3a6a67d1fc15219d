"""What this app puts into the menu and onto others' pages: home, patient, order, timeline."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from orders.models import Patient, ProcedureStatus, RequestedProcedure
from orders.timeline import SLOT, TimelineEntry, signed_by
from ris.accounts.actors import actor_of
from ris.core.panels import NavItem, Panel, register_nav, register_panel
from ris.core.permissions import CLERK, TECHNOLOGIST
from worklist import permissions as perms
from worklist import selectors
from worklist.codes import NOTE_CHIPS
from worklist.models import ExceptionItem, ExceptionKind, Reservation, SlotOffer
from worklist.selectors.console import console_list, tab_counts
from worklist.selectors.waiting_room import waiting_patients
from worklist.web.reminders import preference_context

NEXT_ARRIVALS = 12
SHOWN = 8


def open_exceptions(request: HttpRequest) -> int | None:
    return ExceptionItem.objects.visible_to(actor_of(request)).open().count() or None


def open_offers(request: HttpRequest) -> int | None:
    """Times that somebody on the waiting list must be called about now."""
    return SlotOffer.objects.visible_to(actor_of(request)).filter(status="open").count() or None


def _today() -> tuple[datetime, datetime]:
    begin = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return begin, begin + timedelta(days=1)


def _is(request: HttpRequest, role: str) -> bool:
    return bool(request.user.has_role(role))


# --- home


def desk_stats(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Today in figures, for the desk."""
    if not _is(request, CLERK):
        return None
    begin, end = _today()
    counts = (
        Reservation.objects.visible_to(actor_of(request))
        .filter(kind="appointment", starts_at__gte=begin, starts_at__lt=end)
        .aggregate(
            booked=Count("pk", filter=~Q(status__in=("cancelled",))),
            arrived=Count("pk", filter=Q(procedure__status=ProcedureStatus.ARRIVED)),
            late=Count("pk", filter=Q(status="booked", starts_at__lt=timezone.now())),
            missed=Count("pk", filter=Q(status="noshow")),
        )
    )
    return counts


def next_arrivals(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Who comes next, with what is missing."""
    if not _is(request, CLERK):
        return None
    begin, end = _today()
    rows = (
        selectors.appointments(actor=actor_of(request))
        .filter(kind="appointment", status="booked", starts_at__gte=begin, starts_at__lt=end)
        .prefetch_related("procedure__order__patient__identifiers", "procedure__order__patient__alert_rows")
        .order_by("starts_at", "pk")[:NEXT_ARRIVALS]
    )
    return {"rows": list(rows), "now": timezone.now(), "may_arrive": request.user.may(perms.ARRIVE_PATIENT)}


def waiting_room(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """Who has arrived and waits, since when; one button calls them."""
    if not _is(request, CLERK):
        return None
    rows = waiting_patients(actor=actor_of(request))
    if not rows:
        return None
    may_call = request.user.may(perms.CALL_PATIENT)
    return {"rows": rows[:NEXT_ARRIVALS], "count": len(rows), "may_call": may_call}


def console_stats(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is(request, TECHNOLOGIST):
        return None
    actor = actor_of(request)
    counts = tab_counts(day=timezone.localdate(), room=request.session.get("console_room", ""), actor=actor)
    return {"counts": counts, "exceptions": ExceptionItem.objects.visible_to(actor).open().count()}


def room_list(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    """The next exams of the technologist's room."""
    if not _is(request, TECHNOLOGIST):
        return None
    room = request.session.get("console_room", "")
    rows = console_list(tab="today", day=timezone.localdate(), room=room, actor=actor_of(request))
    return {"rows": rows[:NEXT_ARRIVALS]}


def exception_list(thing: Any, *, request: HttpRequest) -> dict[str, Any] | None:
    if not _is(request, TECHNOLOGIST):
        return None
    rows = selectors.exceptions(actor=actor_of(request)).filter(resolved_at__isnull=True)
    return {"rows": list(rows.order_by("-pk")[:SHOWN])}


# --- other apps' pages


def patient_appointments(patient: Patient, *, request: HttpRequest) -> dict[str, Any] | None:
    begin, _end = _today()
    rows = (
        selectors.appointments(actor=actor_of(request))
        .filter(
            kind="appointment",
            procedure__order__patient=patient,
            starts_at__gte=begin,
            status__in=("booked", "arrived"),
        )
        .order_by("starts_at")[:SHOWN]
    )
    found = list(rows)
    return {"rows": found} if found else None


def patient_reminders(patient: Patient, *, request: HttpRequest) -> dict[str, Any] | None:
    """Whether the patient agreed to be reminded of appointments."""
    return {
        "patient": patient,
        "may_book": request.user.may(perms.BOOK_APPOINTMENT),
        **preference_context(patient),
    }


def exam_actions(procedure: RequestedProcedure, *, request: HttpRequest) -> dict[str, Any] | None:
    """Schedule, move, arrive: the buttons beside an exam on the order's page."""
    status = procedure.status
    appointment = procedure.appointments.filter(kind="appointment", status__in=("booked", "arrived")).first()
    user = request.user
    return {
        "procedure": procedure,
        "appointment": appointment,
        "may_schedule": status in (ProcedureStatus.ACCEPTED, ProcedureStatus.NO_SHOW)
        and user.may(perms.BOOK_APPOINTMENT),
        "may_arrive": status in (ProcedureStatus.SCHEDULED, ProcedureStatus.ACCEPTED)
        and user.may(perms.ARRIVE_PATIENT),
        "may_undo_arrival": status == ProcedureStatus.ARRIVED and user.may(perms.ARRIVE_PATIENT),
        "may_perform": user.may(perms.PERFORM_STEP)
        and status in (ProcedureStatus.SCHEDULED, ProcedureStatus.ARRIVED, ProcedureStatus.IN_PROGRESS),
    }


def evidence_action(procedure: RequestedProcedure, *, request: HttpRequest) -> dict[str, Any] | None:
    """The way to the repair of a wrong worklist entry, where something was done."""
    if procedure.started_at is None and not procedure.studies.exists():
        return None
    return {"procedure": procedure}


def read_on_others(procedure: RequestedProcedure, *, request: HttpRequest) -> dict[str, Any] | None:
    """Its report was written on images that were another exam's."""
    item = procedure.exceptions.open().filter(kind=ExceptionKind.READ_ON_OTHERS).first()
    may_look = request.user.may(perms.RESOLVE_EXCEPTION)
    return {"item": item, "may_look": may_look} if item is not None else None


def exam_schedule(procedure: RequestedProcedure, *, request: HttpRequest) -> dict[str, Any] | None:
    """When and where, and what the technologist wrote."""
    booked = selectors.appointments(actor=actor_of(request)).filter(procedure=procedure, kind="appointment")
    appointment = booked.order_by("-pk").first()
    note = procedure.technologist_notes.select_related("written_by").first()
    waiting = procedure.waiting_entries.open().first()
    if appointment is None and note is None and waiting is None:
        return None
    return {"appointment": appointment, "note": note, "waiting": waiting}


def technologist_note(procedure: RequestedProcedure, *, request: HttpRequest) -> dict[str, Any] | None:
    """For who reads: what the technologist told."""
    note = next(iter(procedure.technologist_notes.all()), None)  # loaded already where a report is written
    if note is None:
        return None
    return {"note": note, "chips": [NOTE_CHIPS.get(key, key) for key in note.chips]}


# --- timeline


def timeline(procedure: RequestedProcedure, *, request: HttpRequest | None = None) -> dict[str, Any]:
    """Steps, appointments, images and exceptions among the other events of an exam."""
    entries: list[TimelineEntry] = []
    for appointment in procedure.appointments.filter(kind="appointment"):
        entries += _of_history(appointment, _appointment_words)
    for step in procedure.steps.prefetch_related("performed_steps"):
        for performed in step.performed_steps.all():
            entries += _of_history(performed, lambda row: _("Performed step: %s") % row.get_status_display())
    for study in procedure.studies.all():
        words = _("Images: first of study %s") % study.study_instance_uid
        entries.append(TimelineEntry(study.first_received_at, "", "storage", words, "images"))
        if study.completed_at:
            words = _("Images complete: %d") % study.instance_count
            entries.append(TimelineEntry(study.completed_at, "", "storage", words, "images"))
    for time_out in procedure.time_outs.select_related("done_by"):
        entries.append(_entry(time_out.done_at, time_out.done_by, _("Time-out done")))
    for screening in procedure.screenings.select_related("questionnaire", "answered_by"):
        words = _("Safety questions answered: %s") % screening.questionnaire.name
        entries.append(_entry(screening.answered_at, screening.answered_by, words))
    for item in procedure.exceptions.select_related("resolved_by"):
        entries.append(TimelineEntry(item.created_at, "", "", str(item.get_kind_display()), "exception"))
        if item.resolved_at:
            words = _("Resolved: %s") % item.get_kind_display()
            entries.append(_entry(item.resolved_at, item.resolved_by, words, "exception", item.resolution))
    return {"entries": entries}


def _entry(at: datetime, user: Any, words: str, kind: str = "exam", detail: str = "") -> TimelineEntry:
    return TimelineEntry(at, user.display_name if user else "", "web", words, kind, "", detail)


def _of_history(thing: Any, words_of: Any) -> list[TimelineEntry]:
    found, previous = [], None
    for row in thing.history.select_related("history_user").order_by("history_id"):
        what, door, who = signed_by(row)
        if (
            previous is None
            or previous.status != row.status
            or getattr(previous, "starts_at", 0) != getattr(row, "starts_at", 0)
        ):
            found.append(TimelineEntry(row.history_date, who, door, words_of(row), "exam", "", what))
        previous = row
    return found


def _appointment_words(row: Any) -> str:
    begins = timezone.localtime(row.starts_at)
    return _("Appointment %(when)s: %(status)s") % {
        "when": date_format(begins, "DATETIME_FORMAT"),
        "status": row.get_status_display(),
    }


register_nav(
    NavItem(
        "schedule",
        gettext_lazy("Schedule"),
        "schedule_day",
        "calendar-event",
        "work",
        perms.VIEW_SCHEDULE,
        mobile=True,
        order=30,
    ),
    NavItem(
        "waiting_list",
        gettext_lazy("Waiting list"),
        "waiting_list",
        "hourglass",
        "work",
        perms.BOOK_APPOINTMENT,
        open_offers,
        hot=True,
        order=32,
    ),
    NavItem(
        "waiting_room",
        gettext_lazy("Waiting room"),
        "waiting_room",
        "device-tv",
        "work",
        perms.CALL_PATIENT,
        order=35,
    ),
    NavItem("plan", gettext_lazy("Staff and closures"), "plan", "users", "work", perms.PLAN_STAFF, order=33),
    NavItem(
        "waiting_room_displays",
        gettext_lazy("Displays"),
        "waiting_room_displays",
        "device-tv",
        "system",
        perms.MANAGE_ROOMS,
        order=60,
    ),
    NavItem("console", gettext_lazy("Console"), "console", "scan", "work", perms.PERFORM_STEP, mobile=True, order=40),
    NavItem(
        "exceptions",
        gettext_lazy("Exceptions"),
        "exception_list",
        "alert-triangle",
        "work",
        perms.RESOLVE_EXCEPTION,
        open_exceptions,
        hot=True,
        order=45,
    ),
)
register_panel(
    Panel("home.stats", desk_stats, "worklist/_home_stats.html", perms.VIEW_SCHEDULE, order=20),
    Panel("home.main", waiting_room, "worklist/_home_waiting.html", perms.VIEW_SCHEDULE, order=15),
    Panel("home.main", next_arrivals, "worklist/_home_arrivals.html", perms.VIEW_SCHEDULE, order=20),
    Panel("home.stats", console_stats, "worklist/_home_console_stats.html", perms.PERFORM_STEP, order=10),
    Panel("home.main", room_list, "worklist/_home_room.html", perms.PERFORM_STEP, order=10),
    Panel("home.side", exception_list, "worklist/_home_exceptions.html", perms.RESOLVE_EXCEPTION, order=10),
    Panel("patient.side", patient_appointments, "worklist/_patient_panel.html", perms.VIEW_SCHEDULE, order=20),
    Panel("patient.side", patient_reminders, "worklist/_reminders.html", perms.VIEW_SCHEDULE, order=40),
    Panel("procedure.actions", exam_actions, "worklist/_exam_actions.html", perms.VIEW_SCHEDULE, order=10),
    Panel("procedure.actions", evidence_action, "worklist/_evidence_action.html", perms.RESOLVE_EXCEPTION, order=90),
    Panel("report.request", read_on_others, "worklist/_read_on_others.html", perms.VIEW_STEP, order=5),
    Panel("order.exam", exam_schedule, "worklist/_exam_schedule.html", perms.VIEW_SCHEDULE, order=10),
    Panel("report.request", technologist_note, "worklist/_technologist_note.html", perms.VIEW_STEP, order=20),
    Panel(SLOT, timeline, "worklist/_nothing.html", None, key="worklist"),
)
