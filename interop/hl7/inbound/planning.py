"""Steps that the sender has planned: each IPC is one (IHE RAD-4), and so is ORC-5 SC with a time."""

from __future__ import annotations

from collections.abc import Sequence

from interop.hl7.mapping import OrderData, ProcedureData
from interop.hl7.messages import UNKNOWN_KEY, Hl7Error, Location
from interop.hl7.processor import Context
from orders.models import RequestedProcedure
from worklist import services as worklist
from worklist.models import Station

SCHEDULED = "SC"


def is_planned(order: OrderData) -> bool:
    """Whether the sender keeps the schedule of this order."""
    return any(
        step.station or step.step_id or (step.starts_at is not None and order.status == SCHEDULED)
        for procedure in order.procedures
        for step in procedure.steps
    )


def plan(order: OrderData, rows: Sequence[RequestedProcedure], context: Context) -> None:
    if is_planned(order):
        for row, procedure in zip(rows, order.procedures, strict=True):
            plan_exam(row, procedure, context)


def plan_exam(row: RequestedProcedure, procedure: ProcedureData, context: Context) -> None:
    """An exam whose modality nobody knows yet waits for its code first."""
    plans = []
    for step in procedure.steps:
        station = _station(step.station)
        modality = station.modality if station is not None else step.modality or row.modality
        if modality:
            plans.append(worklist.PlannedStep(step.step_id, station, step.starts_at, modality))
    if plans:
        worklist.plan_steps(row, plans, actor=context.actor)


def _station(title: str) -> Station | None:
    if not title:
        return None
    found = Station.objects.filter(ae_title=title, is_active=True).select_related("room").first()
    if found is None:
        raise Hl7Error(UNKNOWN_KEY, Location("IPC", 1, 9), "This station is not known here.")
    return found
