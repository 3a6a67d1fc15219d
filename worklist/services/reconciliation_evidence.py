"""The hands of reconciliation: where exams stand is written down, evidence is taken and given, states are put back.

Whoever calls has locked the procedures. Nothing here decides; nothing here is a service of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models
from django.utils import timezone

from orders import services as orders
from orders.models import ProcedureStatus, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from orders.services.lifecycle import PROGRESS_STAMPS
from ris.core.actor import SYSTEM, Actor
from ris.core.lifecycle import signed
from worklist.models import (
    LIVE,
    AdverseEvent,
    ConsumableUse,
    ExamCompletion,
    ExceptionItem,
    ExceptionKind,
    Exposure,
    ImageCount,
    ImagingStudy,
    PerformedProcedureStep,
    RejectedExposure,
    ReservationStatus,
    ScheduledProcedureStep,
    SPSStatus,
    TechnologistNote,
    TimeOut,
)
from worklist.services import completeness, performed, rendering
from worklist.services.steps import make_step, offer
from worklist.services.support import lock_procedure, now, raise_exception, tell_unlinked

#: What technologists write down about an exam; it follows the evidence.
DOCUMENTATION: tuple[type[models.Model], ...] = (
    TimeOut,
    ConsumableUse,
    RejectedExposure,
    TechnologistNote,
    Exposure,
    AdverseEvent,
    ImageCount,
    ExamCompletion,
)
READ = (
    ProcedureStatus.READING,
    ProcedureStatus.PRELIMINARY,
    ProcedureStatus.FINAL,
    ProcedureStatus.AMENDED,
    ProcedureStatus.DISTRIBUTED,
)
PERFORMED = (SPSStatus.STARTED, SPSStatus.DEPARTED, SPSStatus.COMPLETED, SPSStatus.DISCONTINUED)


@dataclass
class Ledger:
    """What one act changes, as it is kept for its undoing."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    #: [performed step, [scheduled steps taken], [scheduled steps given]]
    steps: list[list[Any]] = field(default_factory=list)
    #: [study, [procedures taken], [procedures given]]
    studies: list[list[Any]] = field(default_factory=list)
    #: [label of the model, key]
    documents: list[list[Any]] = field(default_factory=list)
    #: [series, study it was in]
    series: list[list[Any]] = field(default_factory=list)
    made_steps: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    was_read: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if value}

    @classmethod
    def of(cls, changes: dict[str, Any]) -> Ledger:
        return cls(**changes)


# --- where an exam stands


def state_of(procedure: RequestedProcedure) -> dict[str, Any]:
    """Status and times of the exam, its steps and its appointments, fresh from the database."""
    row = RequestedProcedure.objects.values("status", *PROGRESS_STAMPS).get(pk=procedure.pk)
    steps = ScheduledProcedureStep.objects.filter(procedure=procedure).order_by("pk")
    return {
        "status": row.pop("status"),
        "stamps": {name: value.isoformat() if value else None for name, value in row.items()},
        "steps": {str(step.uuid): [step.status, _iso(step.starts_at)] for step in steps},
        "appointments": {str(uuid): status for uuid, status in procedure.appointments.values_list("uuid", "status")},
    }


def note_before(ledger: Ledger, procedures: Iterable[RequestedProcedure | None]) -> None:
    for procedure in procedures:
        if procedure is not None:
            ledger.before[str(procedure.uuid)] = state_of(procedure)


def note_after(ledger: Ledger, procedures: Iterable[RequestedProcedure | None]) -> None:
    for procedure in procedures:
        if procedure is not None:
            ledger.after[str(procedure.uuid)] = state_of(procedure)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def put_state(procedure: RequestedProcedure, state: dict[str, Any], *, reason: str, actor: Actor) -> None:
    """The exam stands again as ``state`` says; scanners see it in the same commit. Steps made since are called off."""
    for reservation in procedure.appointments.select_for_update():
        wanted = state["appointments"].get(str(reservation.uuid))
        if wanted and wanted != reservation.status and reservation.status in LIVE:
            reservation.status, reservation.status_changed_at = wanted, timezone.now()
            reservation.save_as(actor, reason)
    stamps = {name: _moment(value) for name, value in state["stamps"].items()}
    orders.put_back(procedure, status=state["status"], stamps=stamps, reason=reason, actor=actor)
    for step in rendering.renderable(procedure=procedure):
        status, starts_at = state["steps"].get(str(step.uuid), (SPSStatus.CANCELED, None))
        moment = _moment(starts_at) or step.starts_at
        if (step.status, step.starts_at) == (status, moment):
            continue
        step.status, step.status_changed_at, step.starts_at = status, timezone.now(), moment
        rendering.save_step(step, actor, reason)
    _follow_charges(lock_procedure(procedure), reason)


def _follow_charges(procedure: RequestedProcedure, reason: str) -> None:
    """Nothing is owed for what was not done; what was done again is drafted again."""
    if procedure.status in OPEN_BEFORE_EXAM:
        orders.void_open_charges(procedure, reason=reason)
    elif procedure.performed_at is not None:
        orders.draft_charges(procedure, actor=SYSTEM)


def reopened(procedure: RequestedProcedure) -> dict[str, Any]:
    """Where an exam stands that was not done after all: waiting, today, on the worklist."""
    state = state_of(procedure)
    begin = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    steps = {}
    for uuid, (status, at) in state["steps"].items():
        again = [SPSStatus.SCHEDULED.value, _iso(max(_moment(at) or now(), begin))]
        steps[uuid] = again if status in PERFORMED else [status, at]
    appointments = {
        uuid: ReservationStatus.BOOKED.value
        if status in (ReservationStatus.ARRIVED, ReservationStatus.FULFILLED)
        else status
        for uuid, status in state["appointments"].items()
    }
    waits = any(status == SPSStatus.SCHEDULED for status, _at in steps.values())
    return {
        "status": ProcedureStatus.SCHEDULED.value if waits else ProcedureStatus.ACCEPTED.value,
        "stamps": dict.fromkeys(state["stamps"]),
        "steps": steps,
        "appointments": appointments,
    }


def has_evidence(procedure: RequestedProcedure) -> bool:
    return (
        PerformedProcedureStep.objects.filter(scheduled_steps__procedure=procedure).exists()
        or ImagingStudy.objects.filter(procedures=procedure).exists()
    )


# --- taking


def take_step(
    ledger: Ledger, step: PerformedProcedureStep, source: RequestedProcedure, *, reason: str, actor: Actor
) -> None:
    rows = list(step.scheduled_steps.filter(procedure=source))
    if not rows:
        return
    step.scheduled_steps.remove(*rows)
    step.save_as(actor, f"Taken from its exam: {reason}")
    _entry(ledger.steps, str(step.uuid))[1].extend(str(row.uuid) for row in rows)


def take_study(ledger: Ledger, study: ImagingStudy, source: RequestedProcedure, *, reason: str, actor: Actor) -> None:
    if not study.procedures.filter(pk=source.pk).exists():
        return
    study.procedures.remove(source)
    study.save_as(actor, f"Taken from its exam: {reason}")
    _entry(ledger.studies, str(study.uuid))[1].append(str(source.uuid))
    tell_unlinked(study, source, actor)


def _entry(rows: list[list[Any]], subject: str) -> list[Any]:
    for row in rows:
        if row[0] == subject:
            return row
    rows.append([subject, [], []])
    return rows[-1]


# --- giving


def give_step(
    ledger: Ledger, step: PerformedProcedureStep, target: RequestedProcedure, *, reason: str, actor: Actor
) -> None:
    """Link it to the step that was meant; the exam follows what the scanner said."""
    known = set(target.steps.values_list("uuid", flat=True))
    scheduled = step_for(target, step, actor)
    if scheduled.uuid not in known:
        ledger.made_steps.append(str(scheduled.uuid))
    performed.link(step, [scheduled], actor=actor)
    step.save_as(actor, f"Linked: {reason}")
    if step.is_final:
        completeness.expect_images(step, actor=actor)
    _entry(ledger.steps, str(step.uuid))[2].append(str(scheduled.uuid))


def step_for(procedure: RequestedProcedure, step: PerformedProcedureStep, actor: Actor) -> ScheduledProcedureStep:
    """The scheduled step that was meant; a new one when the exam has none that is open."""
    known = procedure.steps.exclude(status__in=(SPSStatus.COMPLETED, SPSStatus.DISCONTINUED, SPSStatus.CANCELED))
    first = known.order_by("starts_at", "pk").first()
    if first is not None:
        return first
    made = make_step(procedure, station=step.station, starts_at=step.started_at)
    made.modality = made.modality or step.modality
    made.save_as(actor, "Made for what was performed")
    return offer(made, actor)


def give_study(ledger: Ledger, study: ImagingStudy, target: RequestedProcedure, *, reason: str, actor: Actor) -> None:
    locked = ImagingStudy.locked(study.pk)
    if not locked.procedures.filter(pk=target.pk).exists():
        completeness.add_procedure(locked, target, actor=actor)
        _entry(ledger.studies, str(study.uuid))[2].append(str(target.uuid))
    locked.completed_at = None
    locked.save_as(actor, f"Linked: {reason}")
    completeness.note_images_complete(locked, actor=actor)


def move_documents(
    ledger: Ledger, source: RequestedProcedure, target: RequestedProcedure, *, reason: str, actor: Actor
) -> None:
    for model in DOCUMENTATION:
        for row in model._default_manager.select_for_update(of=("self",)).filter(procedure=source).order_by("pk"):
            ledger.documents.append([model._meta.label, row.pk])
            give_document(row, target, reason=reason, actor=actor)


def give_document(row: Any, target: RequestedProcedure, *, reason: str, actor: Actor) -> None:
    row.procedure = target
    row._history_user, row._change_reason = actor.user, signed(reason, actor)
    row.save()
    if isinstance(row, ConsumableUse) and row.withdrawn_at is None:
        orders.draft_supply(
            target,
            source=row.uuid,
            label=row.label,
            code=row.code,
            quantity=row.quantity,
            unit=row.unit,
            actor=SYSTEM,
        )


# --- what waits for a person


def settle(ledger: Ledger, items: Iterable[ExceptionItem], resolution: str, actor: Actor) -> None:
    for item in items:
        item.resolved_at, item.resolved_by, item.resolution = now(), actor.user, resolution[:200]
        item.save_as(actor, f"Resolved: {resolution}"[:150])
        ledger.settled.append(str(item.uuid))


def flag_if_read(ledger: Ledger, procedure: RequestedProcedure, *, study: Any, actor: Actor) -> None:
    """A radiologist has read what was never this exam's: somebody must take that report back."""
    status = ledger.before[str(procedure.uuid)]["status"]
    if status not in READ:
        return
    item = raise_exception(
        ExceptionKind.READ_ON_OTHERS, procedure=procedure, study=study, detail={"status": status}, actor=actor
    )
    ledger.raised.append(str(item.uuid))
    ledger.was_read.append(str(procedure.uuid))
