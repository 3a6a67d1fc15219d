"""Appointments on their way out: SIU^S12 booked, S13 moved, S14 changed, S15 cancelled, S26 not come."""

from __future__ import annotations

from interop.hl7.messages import Value
from interop.hl7.outbound.envelope import Segments, filler, msh, own_names, pid, placer, pv1, when
from interop.hl7.outbound.queue import destinations_for, enqueue
from interop.hl7.outbound.shaping import admits
from interop.models import Hl7Destination, OutboundMessage
from worklist.models import Reservation, ReservationStatus

BOOKED, MOVED, MODIFIED, CANCELLED, NO_SHOW = "S12", "S13", "S14", "S15", "S26"
WORDS = {
    BOOKED: ("BOOKED", "Appointment booked"),
    MOVED: ("MOVED", "Appointment moved"),
    MODIFIED: ("CHANGED", "Appointment changed"),
    CANCELLED: ("CANCELLED", "Appointment cancelled"),
    NO_SHOW: ("NOSHOW", "Patient did not come"),
}
#: FHIR appointmentstatus -> table 0278
STATES = {
    ReservationStatus.BOOKED: "Booked",
    ReservationStatus.ARRIVED: "Started",
    ReservationStatus.FULFILLED: "Complete",
    ReservationStatus.CANCELLED: "Cancelled",
    ReservationStatus.NO_SHOW: "Noshow",
}
TYPE = "SIU"


def tell_appointment(reservation: Reservation, version: int | None) -> list[OutboundMessage]:
    """Tell who takes SIU how the appointment stands. Heard again for one version it does nothing."""
    if reservation.procedure is None:
        return []
    told = []
    for destination in takers():
        if not admits(destination, reservation.procedure):
            continue
        event = _event_for(destination, reservation)
        if event and f"{TYPE}^{event}" in _wanted(destination):
            told.append(_queue(destination, reservation, event, version))
    return told


def takers() -> list[Hl7Destination]:
    found = {row.pk: row for event in WORDS for row in destinations_for(f"{TYPE}^{event}")}
    return [found[key] for key in sorted(found)]


def _wanted(destination: Hl7Destination) -> set[str]:
    """All events, or those that its list names."""
    if {TYPE, "*"} & set(destination.messages):
        return {f"{TYPE}^{event}" for event in WORDS}
    return set(destination.messages)


def _place_and_time(reservation: Reservation) -> str:
    return f"{reservation.starts_at:%Y%m%d%H%M}.{reservation.ends_at:%Y%m%d%H%M}.{reservation.room_id}"


def _event_for(destination: Hl7Destination, reservation: Reservation) -> str:
    """By what this destination has heard of it: it is not told of the end of what it never heard of."""
    said = OutboundMessage.objects.filter(
        destination=destination, subject=str(reservation.uuid), message_type__startswith=TYPE
    )
    last = said.order_by("-pk").first()
    was_called_off = last is not None and last.message_type.endswith((CANCELLED, NO_SHOW))
    if reservation.status in (ReservationStatus.CANCELLED, ReservationStatus.NO_SHOW):
        if last is None or was_called_off:
            return ""
        return NO_SHOW if reservation.status == ReservationStatus.NO_SHOW else CANCELLED
    if last is None or was_called_off:
        return BOOKED
    return MODIFIED if last.dedupe_key.endswith(_place_and_time(reservation)) else MOVED


def _queue(destination: Hl7Destination, reservation: Reservation, event: str, version: int | None) -> OutboundMessage:
    procedure = reservation.procedure
    assert procedure is not None
    return enqueue(
        destination,
        f"{TYPE}^{event}",
        lambda control_id: build_appointment(reservation, event, destination, control_id),
        dedupe_key=f"siu:{reservation.uuid.hex}:{destination.pk}:{version}:{_place_and_time(reservation)}",
        patient=procedure.order.patient.uuid,
        accession_number=procedure.accession_number,
        subject=str(reservation.uuid),
    )


def build_appointment(reservation: Reservation, event: str, destination: Hl7Destination, control_id: str) -> Segments:
    procedure = reservation.procedure
    assert procedure is not None
    action = "D" if event in (CANCELLED, NO_SHOW) else "A" if event == BOOKED else "U"
    minutes, starts = str(reservation.duration_minutes), when(reservation.starts_at)
    exam = (procedure.code, procedure.description, procedure.code_scheme)
    segments: Segments = [
        msh(destination, (TYPE, event, "SIU_S12"), control_id),
        _sch(reservation, event),
        pid(procedure.order.patient),
        pv1(procedure.order),
        ("RGS", ["1", action]),
        ("AIS", ["1", action, exam, starts, None, None, minutes, "min"]),
    ]
    if reservation.station is not None:
        station = (reservation.station.ae_title, reservation.station.name, "AE")
        kind = (reservation.station.modality, None, "DCM")
        segments.append(("AIG", ["1", action, station, kind, None, None, None, starts, None, None, minutes, "min"]))
    room = (None, reservation.room.code, None, own_names()[1])
    segments.append(("AIL", ["1", action, room, None, None, starts, None, None, minutes, "min"]))
    return segments


def _sch(reservation: Reservation, event: str) -> tuple[str, list[Value]]:
    procedure = reservation.procedure
    assert procedure is not None
    order = procedure.order
    code, words = WORDS[event]
    minutes = str(reservation.duration_minutes)
    fields: dict[int, Value] = {
        1: placer(order),
        2: (str(reservation.uuid), own_names()[0]),
        6: (code, words),
        7: (None, reservation.reason) if reservation.reason else None,
        8: (procedure.modality, None, "DCM"),
        9: minutes,
        10: "min",
        11: (None, None, f"M{minutes}", when(reservation.starts_at), when(reservation.ends_at)),
        25: STATES[ReservationStatus(reservation.status)],
        26: placer(order),
        27: filler(order),
    }
    return "SCH", [fields.get(number) for number in range(1, max(fields) + 1)]
