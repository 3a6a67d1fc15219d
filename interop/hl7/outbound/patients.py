"""Patients on their way out: ADT^A04 (A28) registered, A08 (A31) corrected, A40 merged, A47 identified.

A destination that names A28 or A31 in its messages hears those in place of A04 and A08. Nobody is told what they have
just told us.
"""

from __future__ import annotations

from interop.hl7.messages import Value
from interop.hl7.outbound.envelope import Segments, cx, evn, full_pid, msh, names
from interop.hl7.outbound.queue import destinations_for, enqueue
from interop.models import Hl7Destination, OutboundMessage, OutboundStatus
from orders.models import IdentifierUse, Patient, PatientIdentifier, PatientMerge

REGISTERED, CORRECTED, MERGED, IDENTIFIED = "A04", "A08", "A40", "A47"
#: what a destination may ask for instead
INSTEAD = {REGISTERED: "A28", CORRECTED: "A31"}
STRUCTURES = {"A28": "ADT_A05", "A31": "ADT_A05", "A40": "ADT_A39", "A47": "ADT_A30"}
EVENTS = ("A04", "A28", "A08", "A31", "A40", "A47")


def takers(event: str) -> list[tuple[Hl7Destination, str]]:
    """Destinations with the event as they take it."""
    found: dict[int, tuple[Hl7Destination, str]] = {}
    for candidate in (event, INSTEAD.get(event)):
        if candidate is None:
            continue
        for row in destinations_for(f"ADT^{candidate}"):
            if candidate == event or f"ADT^{candidate}" in row.messages:
                found[row.pk] = (row, candidate)
    return [found[key] for key in sorted(found)]


def tell_patient(patient: Patient, event: str, cause: str, *, except_for: str = "") -> list[OutboundMessage]:
    """``cause`` names what happened, so that it is told once."""
    old = [row for row in patient.identifiers.all() if row.use == IdentifierUse.OLD]
    if event == IDENTIFIED and not old:
        return []
    prior = ("MRG", [[cx(row) for row in old]]) if event == IDENTIFIED else None
    return [
        _queue(patient, destination, taken, cause, prior)
        for destination, taken in takers(event)
        if not (except_for and destination.receiving_application == except_for)
    ]


def tell_merge(merge: PatientMerge, *, except_for: str = "") -> list[OutboundMessage]:
    """The loser's waiting messages go first: they join the survivor's row."""
    survivor, loser = merge.survivor, merge.loser
    waiting = OutboundMessage.objects.filter(
        ordering_key=str(loser.uuid), status__in=(OutboundStatus.PENDING, OutboundStatus.PARKED)
    )
    waiting.update(ordering_key=str(survivor.uuid))
    moved = PatientIdentifier.objects.filter(pk__in=merge.moved.get("orders.patientidentifier", [])).order_by("pk")
    numbers = [cx(row) for row in moved or loser.identifiers.all()]
    mrg: tuple[str, list[Value]] = ("MRG", [numbers, None, None, None, None, None, names(loser)])
    return [
        _queue(survivor, destination, taken, f"merge{merge.uuid.hex}", mrg)
        for destination, taken in takers(MERGED)
        if not (except_for and destination.receiving_application == except_for)
    ]


def _queue(
    patient: Patient, destination: Hl7Destination, event: str, cause: str, mrg: tuple[str, list[Value]] | None
) -> OutboundMessage:
    def write(control_id: str) -> Segments:
        kind = ("ADT", event, STRUCTURES.get(event, "ADT_A01"))
        segments: Segments = [msh(destination, kind, control_id), evn(event), full_pid(patient)]
        return [*segments, mrg] if mrg is not None else [*segments, ("PV1", ["1", "N"])]

    return enqueue(
        destination,
        f"ADT^{event}",
        write,
        dedupe_key=f"adt:{event}:{patient.uuid.hex}:{destination.pk}:{cause}",
        patient=patient.uuid,
        subject=str(patient.uuid),
    )
