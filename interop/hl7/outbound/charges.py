"""Charges on their way out: DFT^P03 with one FT1 each; CG when confirmed, CR when what was told is void."""

from __future__ import annotations

from interop.hl7.messages import Value
from interop.hl7.outbound.envelope import Segments, evn, filler, msh, own_names, pid, practitioner, pv1, when
from interop.hl7.outbound.queue import destinations_for, enqueue
from interop.hl7.outbound.shaping import admits
from interop.models import Hl7Destination, OutboundMessage
from orders.models import Charge

KIND = ("DFT", "P03", "DFT_P03")
TYPE = "DFT^P03"
CHARGED, CREDITED = "CG", "CR"


def tell_charge(charge: Charge) -> list[OutboundMessage]:
    """It is to be paid. A charge that was void and is owed again is told again."""
    return [
        _queue(charge, destination, CHARGED)
        for destination in _takers(charge)
        if not _last(charge, destination).startswith(CHARGED)
    ]


def tell_void(charge: Charge) -> list[OutboundMessage]:
    """Only to those who were told of it."""
    return [
        _queue(charge, destination, CREDITED)
        for destination in _takers(charge)
        if _last(charge, destination).startswith(CHARGED)
    ]


def _takers(charge: Charge) -> list[Hl7Destination]:
    return [row for row in destinations_for(TYPE) if admits(row, charge.procedure)]


def _said(charge: Charge, destination: Hl7Destination):
    return OutboundMessage.objects.filter(destination=destination, subject=str(charge.uuid), message_type=TYPE)


def _last(charge: Charge, destination: Hl7Destination) -> str:
    """The kind that was said last: CG, CR; empty when nothing was."""
    row = _said(charge, destination).order_by("-pk").first()
    return row.dedupe_key.rsplit(":", 1)[-1] if row is not None else ""


def _queue(charge: Charge, destination: Hl7Destination, kind: str) -> OutboundMessage:
    procedure = charge.procedure
    number = _said(charge, destination).count()
    return enqueue(
        destination,
        TYPE,
        lambda control_id: build_charge(charge, kind, destination, control_id),
        dedupe_key=f"dft:{charge.uuid.hex}:{destination.pk}:{number}:{kind}",
        patient=procedure.order.patient.uuid,
        accession_number=procedure.accession_number,
        subject=str(charge.uuid),
    )


def build_charge(charge: Charge, kind: str, destination: Hl7Destination, control_id: str) -> Segments:
    order = charge.procedure.order
    return [
        msh(destination, KIND, control_id),
        evn("P03"),
        pid(order.patient),
        pv1(order),
        ("FT1", _ft1(charge, kind)),
    ]


def _ft1(charge: Charge, kind: str) -> list[Value]:
    procedure, order = charge.procedure, charge.procedure.order
    performed = procedure.performed_at or procedure.started_at or charge.updated_at
    fields: dict[int, Value] = {
        1: "1",
        2: f"{charge.uuid.hex}{'' if kind == CHARGED else kind}",
        4: when(performed),
        5: when(charge.updated_at),
        6: kind,
        7: (charge.code, charge.label, "L"),
        10: f"{charge.quantity.normalize():f}",
        11: ((f"{charge.amount:f}", charge.currency), "TP"),
        12: ((f"{charge.unit_price:f}", charge.currency), "UP"),
        13: (own_names()[1],),
        16: (order.location,) if order.location else None,
        21: practitioner(order.requester),
        23: filler(order),
        25: (procedure.code, procedure.description, procedure.code_scheme),
    }
    return [fields.get(number) for number in range(1, max(fields) + 1)]
