"""Who waits: with names for the desk, as bare numbers for a display in the waiting room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from ris.core import text
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.models import QueueTicket, Room, Station, WaitingRoomDisplay

#: What a display shows large, newest first.
CALLED_SHOWN = 6
#: A call that nobody has followed for so long is no news; the number stays among those who wait.
CALL_LASTS = timedelta(minutes=20)
#: A call this young is shown with emphasis.
FRESH = timedelta(seconds=40)
LONG_WAIT = timedelta(minutes=30)


@dataclass(frozen=True)
class Board:
    """What hangs in the waiting room: numbers and rooms."""

    called: list[tuple[str, str, bool]]
    waiting: list[str]


def board(*, rooms: Sequence[Room] = (), actor: Actor | None = None) -> Board:
    """The numbers of today. ``rooms``: only those called there or that may be; ``actor``: only whom they may see."""
    now = timezone.now()
    rows = QueueTicket.objects.waiting(timezone.localdate())
    if actor is not None:
        rows = rows.visible_to(actor) if actor.may(perms.VIEW_SCHEDULE) else rows.none()
    if rooms:
        rows = rows.filter(_meant_for(rooms))
    called: list[tuple[datetime, str, str, bool]] = []
    waiting: list[str] = []
    fields = rows.order_by("issued_at", "pk").values_list("prefix", "number", "called_at", "called_to__name")
    for prefix, number, called_at, room in fields:
        label = QueueTicket(prefix=prefix, number=number).label
        if called_at is not None and now - called_at < CALL_LASTS:
            called.append((called_at, label, room, now - called_at < FRESH))
        else:
            waiting.append(label)
    called.sort(reverse=True)
    return Board([row[1:] for row in called[:CALLED_SHOWN]], waiting)


def board_of(display: WaitingRoomDisplay) -> Board:
    return board(rooms=list(display.rooms.all()))


def _meant_for(rooms: Sequence[Room]) -> Q:
    """Called to these rooms, booked there, or a walk-in that one of them can do."""
    modalities = Station.objects.filter(room__in=rooms, is_active=True).values("modality")
    booked = Q(procedure__appointments__room__in=rooms, procedure__appointments__status="arrived")
    walk_in = ~Q(procedure__appointments__status="arrived") & Q(procedure__modality__in=modalities)
    uncalled = Q(called_to__isnull=True) & (booked | walk_in)
    return Q(called_to__in=rooms) | uncalled


@dataclass(frozen=True)
class Waiting:
    """Somebody in the waiting room, for who calls them."""

    ticket: str
    procedure: UUID
    patient: UUID
    family_name: str
    given_name: str
    middle_name: str
    exam: str
    modality: str
    priority: str
    room: str
    starts_at: datetime | None
    since: datetime
    called_at: datetime | None
    called_to: str

    @property
    def name(self) -> str:
        return text.person_name(self)

    @property
    def minutes(self) -> int:
        return int((timezone.now() - self.since).total_seconds() // 60)

    @property
    def is_long(self) -> bool:
        return timezone.now() - self.since > LONG_WAIT


def _waiting_rows(actor: Actor) -> QuerySet[QueueTicket]:
    if not actor.may(perms.VIEW_SCHEDULE):
        return QueueTicket.objects.none()
    return (
        QueueTicket.objects.visible_to(actor)
        .waiting(timezone.localdate())
        .select_related("procedure__order__patient", "called_to")
        .prefetch_related("procedure__appointments__room")
        .order_by("procedure__arrived_at", "pk")
    )


def waiting_patients(*, actor: Actor, limit: int = 30) -> list[Waiting]:
    """Arrived and not begun, who waits longest first. A fixed number of queries."""
    return [_waiting(row) for row in _waiting_rows(actor)[:limit]]


def _waiting(row: QueueTicket) -> Waiting:
    procedure: Any = row.procedure
    patient = procedure.order.patient
    booked = next((one for one in procedure.appointments.all() if one.status == "arrived"), None)
    return Waiting(
        ticket=row.label,
        procedure=procedure.uuid,
        patient=patient.uuid,
        family_name=patient.family_name,
        given_name=patient.given_name,
        middle_name=patient.middle_name,
        exam=procedure.description_with_side,
        modality=procedure.modality,
        priority=procedure.order.priority,
        room=booked.room.name if booked is not None else "",
        starts_at=booked.starts_at if booked is not None else None,
        since=procedure.arrived_at or row.issued_at,
        called_at=row.called_at,
        called_to=row.called_to.name if row.called_to is not None else "",
    )
