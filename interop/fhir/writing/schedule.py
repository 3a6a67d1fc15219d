"""Appointment: an exam booked into a room, moved, cancelled, arrived or missed. Task: the step of an exam, on its way.

A free time is booked by its Slot (``Slot?status=free``), or by its start and its Location.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from interop.fhir.server.call import Call, Resource
from interop.fhir.server.resources.free_slots import place_of
from interop.fhir.server.resources.schedule import TASK_STATUS
from interop.fhir.writing.conditional import Made, Writer
from interop.fhir.writing.reading import Problems, first, line, moment, notes_of, refuse, words_of
from interop.fhir.writing.references import lead, typed
from orders.models import RequestedProcedure
from worklist import permissions as perms
from worklist import services as worklist
from worklist.models import Reservation, Room, ScheduledProcedureStep, SPSStatus

APPOINTMENT, TASK = "Appointment", "Task"
UNSPECIFIED = "110513"
COMING = ("arrived", "checked-in")


def book(call: Call, resource: Resource) -> Made:
    problems = Problems(APPOINTMENT)
    if resource.get("status") not in ("booked", "proposed", "pending"):
        problems.add("status", "What is booked has the status booked.", "business-rule")
    exam = _exam(resource, call, problems)
    room, starts_at, minutes = _place(resource, call, problems)
    if starts_at is None:
        problems.add("start", "A free Slot, or the moment that it begins, is needed.", "required")
    problems.raise_if_any()
    assert exam is not None and starts_at is not None
    minutes = minutes or _minutes(resource, starts_at)
    made = worklist.book_appointment(exam, room=room, starts_at=starts_at, duration_minutes=minutes, actor=call.actor)
    return Made(made)


def _place(resource: Resource, call: Call, problems: Problems) -> tuple[Room | None, datetime | None, int | None]:
    """Where, when and how long: as the id of a free Slot says, else by start and Location."""
    starts_at = moment(resource.get("start"))
    reference = str(first(resource.get("slot")).get("reference", ""))
    if not reference:
        return _room(resource, call, problems), starts_at, None
    found = typed(reference, call.base)
    place = place_of(found[1]) if found is not None and found[0] == "Slot" else None
    if place is None:
        problems.add("slot[0]", "This is no free Slot of ours: they are searched with status=free.", "not-found")
        return None, starts_at, None
    if starts_at is not None and starts_at != place[1]:
        problems.add("start", "The Slot begins at another time.", "business-rule")
    return place


def _exam(resource: Resource, call: Call, problems: Problems) -> RequestedProcedure | None:
    rows = resource.get("basedOn", [])
    if len(rows) != 1:
        problems.add("basedOn", "One ServiceRequest is booked by an Appointment.", "required")
        return None
    exam = lead(rows[0], "basedOn[0]", call, problems, "ServiceRequest")
    for place, row in enumerate(resource.get("participant", [])):
        if "Patient/" in str(row.get("actor", {}).get("reference", "")):
            where = f"participant[{place}].actor"
            patient = lead(row["actor"], where, call, problems, "Patient")
            if exam is not None and patient is not None and patient.pk != exam.order.patient_id:
                problems.add(where, "The exam is another patient's.", "business-rule")
    return exam


def _room(resource: Resource, call: Call, problems: Problems) -> Room | None:
    """The Location among those who take part; without one, the only room that can do the exam."""
    for place, row in enumerate(resource.get("participant", [])):
        reference = str(row.get("actor", {}).get("reference", ""))
        if "Location/" in reference:
            where = f"participant[{place}].actor"
            room = lead(row["actor"], where, call, problems, "Location")
            if isinstance(room, Room):
                return room
            if room is not None:
                problems.add(where, "This Location is not a room that is booked.", "business-rule")
    return None


def _minutes(resource: Resource, starts_at: datetime) -> int | None:
    if resource.get("minutesDuration"):
        return int(resource["minutesDuration"])
    ends_at = moment(resource.get("end"))
    return int((ends_at - starts_at).total_seconds() // 60) if ends_at is not None else None


def _why(resource: Resource) -> str:
    """Why it is called off, as R4 and R5 spell it."""
    reason = resource.get("cancelationReason") or resource.get("cancellationReason")
    told = words_of(reason) or str(resource.get("comment", "")) or notes_of(resource.get("note"))
    return line(told, 200) or "FHIR"


def change_appointment(call: Call, row: Reservation, resource: Resource) -> Reservation:
    """Its status, or its time and place; both at once is not asked of an appointment."""
    status = resource.get("status")
    if row.procedure is None:
        raise refuse(APPOINTMENT, "", "This is not an appointment of an exam.", "business-rule")
    if status != row.status:
        if status == "cancelled":
            return worklist.cancel_appointment(row, reason=_why(resource), actor=call.actor)
        if status == "noshow":
            worklist.mark_no_show(row.procedure, actor=call.actor)
        elif status in COMING:
            worklist.arrive_patient(row.procedure, actor=call.actor)
        elif status == "booked" and row.status in COMING:
            worklist.undo_arrival(row.procedure, actor=call.actor)
        else:
            words = f"An appointment that is {row.status} is not made {status} here."
            raise refuse(APPOINTMENT, "status", words, "business-rule")
        return row
    return _moved(call, row, resource)


def _moved(call: Call, row: Reservation, resource: Resource) -> Reservation:
    problems = Problems(APPOINTMENT)
    room = _room(resource, call, problems)
    starts_at = moment(resource.get("start")) or row.starts_at
    problems.raise_if_any()
    minutes = _minutes(resource, starts_at) or row.duration_minutes
    is_there = room is None or room.pk == row.room_id
    if is_there and starts_at == row.starts_at and minutes == row.duration_minutes:
        return row
    return worklist.reschedule_appointment(
        row,
        room=None if is_there else room,
        starts_at=starts_at,
        duration_minutes=minutes,
        reason=_why(resource),
        actor=call.actor,
    )


# --- the step


def change_task(call: Call, row: ScheduledProcedureStep, resource: Resource) -> ScheduledProcedureStep:
    """How far it is: begun, completed, stopped or cancelled, where no scanner says so itself."""
    before, status = TASK_STATUS[SPSStatus(row.status)], str(resource.get("status"))
    if status == before:
        return row
    move = MOVES.get((before, status))
    if move is None:
        raise refuse(TASK, "status", f"A step that is {before} is not made {status} here.", "business-rule")
    move(row, resource, call)
    return row


def _why_stopped(resource: Resource) -> str:
    reason: Any = resource.get("statusReason")
    return line(words_of(reason) or notes_of(resource.get("note")), 64)


def _start(row: ScheduledProcedureStep, resource: Resource, call: Call) -> None:
    worklist.start_exam(row.procedure, station=row.station, actor=call.actor)


def _complete(row: ScheduledProcedureStep, resource: Resource, call: Call) -> None:
    worklist.complete_exam(row.procedure, actor=call.actor)


def _stop(row: ScheduledProcedureStep, resource: Resource, call: Call) -> None:
    worklist.discontinue_exam(row.procedure, code=UNSPECIFIED, text=_why_stopped(resource), actor=call.actor)


def _cancel(row: ScheduledProcedureStep, resource: Resource, call: Call) -> None:
    worklist.cancel_step(row, reason=_why_stopped(resource) or "FHIR", actor=call.actor)


Move = Callable[[ScheduledProcedureStep, Resource, Call], None]
MOVES: dict[tuple[str, str], Move] = {
    ("ready", "in-progress"): _start,
    ("ready", "cancelled"): _cancel,
    ("in-progress", "completed"): _complete,
    ("in-progress", "failed"): _stop,
}

WRITERS = (
    Writer(
        APPOINTMENT,
        book,
        change_appointment,
        rights={"create": perms.BOOK_APPOINTMENT, "update": perms.BOOK_APPOINTMENT},
    ),
    Writer(TASK, None, change_task, rights={"update": perms.PERFORM_STEP}),
)
