"""Numbers for those who wait: given on arrival, called to a room, shown on displays without a name."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone
from django.utils.translation import gettext as _

from orders.models import ProcedureStatus, RequestedProcedure
from ris.accounts.sequences import next_value
from ris.accounts.tokens import digest, new_token
from ris.audit.models import Action
from ris.audit.service import service
from ris.core.actor import Actor
from ris.core.errors import AlreadyExists, InvalidData, InvalidTransition
from ris.events.bus import publish
from worklist import permissions as perms
from worklist.events import PatientCalled
from worklist.models import QueueTicket, Room, WaitingRoomDisplay
from worklist.services.support import lock_procedure, now

#: Of an exam whose modality nobody knows yet.
GENERAL = "R"


def issue_ticket(procedure: RequestedProcedure, *, actor: Actor) -> QueueTicket:
    """The number of an arrival, in its transaction. Who left and comes again on the same day keeps the number.

    The counter is one row per prefix and day, locked until the arrival commits: no number twice, none skipped.
    """
    day = timezone.localdate()
    known = QueueTicket.objects.filter(procedure=procedure, day=day).first()
    if known is not None:
        return known
    prefix = (procedure.modality or GENERAL)[:4]
    ticket = QueueTicket(
        procedure=procedure, day=day, prefix=prefix, number=next_value(f"ticket:{day:%Y%m%d}:{prefix}")
    )
    ticket.save_as(actor, "Arrived")
    return ticket


def ticket_of(procedure: RequestedProcedure) -> QueueTicket | None:
    """The newest ticket of an exam; its number counts on its day."""
    return QueueTicket.objects.filter(procedure=procedure).select_related("called_to").order_by("-day").first()


@service(perms.ARRIVE_PATIENT, action=Action.READ)
def print_ticket(procedure: RequestedProcedure, *, actor: Actor) -> QueueTicket:
    """The ticket for paper, as often as it gets lost. An arrival that another system noted gets its number now."""
    procedure = lock_procedure(procedure)
    ticket = ticket_of(procedure)
    if ticket is None and procedure.status != ProcedureStatus.ARRIVED:
        raise InvalidTransition(
            _("There is no ticket yet."),
            asked=_("To print a waiting number."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Note the arrival first."),
        )
    ticket = QueueTicket.locked((ticket or issue_ticket(procedure, actor=actor)).pk)
    ticket.printed_count += 1
    ticket.save_as(actor, "Printed" if ticket.printed_count == 1 else "Printed again")
    return ticket


@service(perms.CALL_PATIENT)
def call_patient(procedure: RequestedProcedure, *, room: Room | None = None, actor: Actor) -> QueueTicket:
    """Show the number with a room on the displays; called again, it shows as new. Without a room: where it is booked.

    Raises InvalidTransition (the patient does not wait), InvalidData (nobody knows which room).
    """
    procedure = lock_procedure(procedure)
    if procedure.status != ProcedureStatus.ARRIVED:
        raise InvalidTransition(
            _("This patient is not waiting."),
            asked=_("To call the patient."),
            found=_("It is: %(status)s.") % {"status": procedure.get_status_display()},
            todo=_("Only who has arrived and not begun can be called."),
        )
    room = room or room_of(procedure)
    if room is None:
        words = _("Choose the room to call to.")
        raise InvalidData(words, asked=_("To call the patient."), errors={"room": words})
    ticket = QueueTicket.locked((issue_ticket(procedure, actor=actor)).pk)
    ticket.called_at, ticket.called_to, ticket.called_by = now(), room, actor.user
    ticket.call_count += 1
    ticket.save_as(actor, f"Called to {room.code}")
    publish(
        PatientCalled(
            str(ticket.uuid),
            accession_number=procedure.accession_number,
            version=ticket.version,
            procedure=str(procedure.uuid),
            room=room.code,
        ),
        actor=actor,
    )
    return ticket


def room_of(procedure: RequestedProcedure) -> Room | None:
    """Where the exam is booked, else where its step's scanner stands, else the only room that does it."""
    appointment = (
        procedure.appointments.filter(kind="appointment", status__in=("booked", "arrived"))
        .select_related("room")
        .first()
    )
    if appointment is not None:
        return appointment.room
    step = procedure.steps.filter(station__isnull=False).select_related("station__room").order_by("-pk").first()
    if step is not None:
        return step.station.room
    fitting = Room.objects.filter(is_active=True, stations__modality=procedure.modality, stations__is_active=True)
    rooms = list(fitting.distinct()[:2])
    return rooms[0] if len(rooms) == 1 else None


# --- displays


@service(perms.MANAGE_ROOMS, action=Action.CREATE)
def open_display(*, name: str, rooms: Iterable[Room] = (), language: str = "", actor: Actor) -> WaitingRoomDisplay:
    """A display with a link of its own; ``display.token`` is known now and never again."""
    name = name.strip()
    if not name:
        words = _("Give the display a name.")
        raise InvalidData(words, errors={"name": words})
    if WaitingRoomDisplay.objects.filter(name=name).exists():
        words = _("There is a display of that name.")
        raise AlreadyExists(words, asked=name, todo=_("Give it a new link, or another name."), errors={"name": words})
    token = new_token()
    display = WaitingRoomDisplay(name=name, language=language, digest=digest(token))
    display.save_as(actor, "Opened")
    display.rooms.set(rooms)
    display.token = token
    return display


@service(perms.MANAGE_ROOMS)
def renew_display(display: WaitingRoomDisplay, *, actor: Actor) -> WaitingRoomDisplay:
    """A new link; the old one shows nothing any more."""
    display = WaitingRoomDisplay.locked(display.pk)
    token = new_token()
    display.digest, display.revoked_at = digest(token), None
    display.save_as(actor, "New link")
    display.token = token
    return display


@service(perms.MANAGE_ROOMS)
def close_display(display: WaitingRoomDisplay, *, actor: Actor) -> WaitingRoomDisplay:
    """Its link shows nothing from now on."""
    display = WaitingRoomDisplay.locked(display.pk)
    display.revoked_at = display.revoked_at or now()
    display.save_as(actor, "Closed")
    return display


def display_of(token: str) -> WaitingRoomDisplay | None:
    """The display that a link opens; None for a link that never was, or is closed."""
    return (
        WaitingRoomDisplay.objects.filter(digest=digest(token), revoked_at__isnull=True)
        .prefetch_related("rooms")
        .first()
    )
