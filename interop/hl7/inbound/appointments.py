"""SIU: appointments as the sender plans them (HL7 2.5.1 chapter 10), through the services of the schedule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _noop

from interop.hl7 import mapping
from interop.hl7.inbound import codes, visits
from interop.hl7.inbound.adt import NOTHING_CHANGED, find_or_register, patient_of, refuse_another_person
from interop.hl7.inbound.people import requester_of
from interop.hl7.mapping import ProcedureData, limited
from interop.hl7.messages import DUPLICATE_KEY, REQUIRED_MISSING, UNKNOWN_KEY, Hl7Error, Location, Message, Segment
from interop.hl7.processor import Context, Outcome, handles
from interop.models import MessageStatus, SenderAppointment
from orders import services as orders
from orders.models import Order, Patient, RequestedProcedure
from orders.models.orders import OPEN_BEFORE_EXAM
from worklist import services as worklist
from worklist.models import Reservation, ReservationKind, ReservationStatus, Room, Station

OPEN = (ReservationStatus.BOOKED, ReservationStatus.ARRIVED)
BOOKS, CHANGES, CANCELS, NO_SHOW = "S12", ("S13", "S14"), ("S15", "S16", "S17"), "S26"
#: SCH-10, AIS-8, AIL-11: what a unit is in minutes
MINUTES = {"": 1.0, "MIN": 1.0, "M": 1.0, "MINUTES": 1.0, "S": 1 / 60, "SEC": 1 / 60, "H": 60.0, "HR": 60.0}
NUMBER_LENGTH = 190


@dataclass(frozen=True)
class Wanted:
    """One service of the appointment: AIS with the resources of its group, and SCH for what they do not say."""

    number: str
    starts_at: dt.datetime | None
    minutes: int | None
    station: Station | None
    room: Room | None
    codes: tuple[tuple[str, str, str], ...]
    segment: Segment


@handles("SIU^S12", does=_noop("books SCH-11 in the station or room of AIG, AIL; without a known order it makes one"))
def on_booked(message: Message, context: Context) -> Outcome:
    return _each(message, context)


@handles("SIU^S13", "SIU^S14", does=_noop("moves the appointment of SCH-1, or books it when it is not known"))
def on_moved(message: Message, context: Context) -> Outcome:
    return _each(message, context)


@handles("SIU^S15", "SIU^S16", "SIU^S17", does=_noop("cancels the appointment of SCH-1; the exam waits for another"))
def on_cancelled(message: Message, context: Context) -> Outcome:
    return _each(message, context)


@handles("SIU^S26", does=_noop("the patient did not come: the time is free, the exam may be planned again"))
def on_no_show(message: Message, context: Context) -> Outcome:
    return _each(message, context)


def _each(message: Message, context: Context) -> Outcome:
    data = patient_of(message, context)
    outcomes = [_one(message, wanted, data, context) for wanted in _wanted(message, context)]
    worst = next((outcome for outcome in outcomes if outcome.status == MessageStatus.UNMAPPED), outcomes[0])
    return worst


def _one(message: Message, wanted: Wanted, data: mapping.PatientData, context: Context) -> Outcome:
    known = _known(wanted, context)
    if known is None and message.event not in (BOOKS, *CHANGES):
        raise Hl7Error(UNKNOWN_KEY, message.required("SCH").location(1), "This appointment is not known here.")
    if known is None:
        patient = find_or_register(data, context)
        reservation = _book(message, wanted, patient, context)
        return _outcome(reservation, "")
    assert known.procedure is not None
    refuse_another_person(known.procedure.order.patient, data)
    if message.event in CANCELS:
        return _cancel(message, known, context)
    if message.event == NO_SHOW:
        return _no_show(known, context)
    return _move(message, wanted, known, context)


def _outcome(reservation: Reservation, text: str) -> Outcome:
    procedure = reservation.procedure
    assert procedure is not None
    is_unmapped = procedure.is_unmapped and procedure.status in OPEN_BEFORE_EXAM
    return Outcome(
        status=MessageStatus.UNMAPPED if is_unmapped else MessageStatus.PROCESSED,
        patient=procedure.order.patient.uuid,
        accession_number=procedure.accession_number,
        text=text,
    )


# --- what is asked


def _wanted(message: Message, context: Context) -> Iterable[Wanted]:
    sch = message.required("SCH")
    number = limited(sch, 1, 1, sch.text(1) or sch.text(2), NUMBER_LENGTH)
    if not number:
        raise Hl7Error(REQUIRED_MISSING, sch.location(1), "SCH-1 holds no appointment number.")
    services = message.groups("AIS") or [[sch]]
    resources = [segment for segment in message.segments if segment.name in ("AIG", "AIL")]
    for position, group in enumerate(services):
        own = [segment for segment in group if segment.name in ("AIG", "AIL")] or resources
        station, room = _place(own)
        yield Wanted(
            number=number if position == 0 else f"{number}/{position + 1}",
            starts_at=_starts_at(group[0], sch, message, context),
            minutes=_minutes(group[0], sch),
            station=station,
            room=room,
            codes=_codes(group[0]),
            segment=group[0],
        )


def _codes(ais: Segment) -> tuple[tuple[str, str, str], ...]:
    if ais.name != "AIS":
        return ()
    found = ((ais.text(3, first), ais.text(3, first + 1), ais.text(3, first + 2)) for first in (1, 4))
    return tuple(triple for triple in found if triple[0])


def _starts_at(ais: Segment, sch: Segment, message: Message, context: Context) -> dt.datetime | None:
    """AIS-4, else SCH-11.4, else TQ1-7."""
    moment = mapping.timestamp(ais, 4, zone=context.zone) if ais.name == "AIS" else None
    moment = moment or mapping.timestamp(sch, 11, 4, zone=context.zone)
    timing = message.first("TQ1")
    return moment or (mapping.timestamp(timing, 7, zone=context.zone) if timing is not None else None)


def _minutes(ais: Segment, sch: Segment) -> int | None:
    """AIS-7 and 8, else SCH-9 and 10; None leaves it to the catalogue."""
    places = ((ais, 7, 8), (sch, 9, 10)) if ais.name == "AIS" else ((sch, 9, 10),)
    for segment, number, unit in places:
        text, factor = segment.text(number), MINUTES.get(segment.text(unit).upper())
        if text.replace(".", "", 1).isdecimal() and factor is not None and float(text) > 0:
            return max(1, min(round(float(text) * factor), 24 * 60))
    return None


def _place(resources: Iterable[Segment]) -> tuple[Station | None, Room | None]:
    """AIG-3 and the components of AIL-3: a station by AE title or name, a room by code or name."""
    words = []
    for segment in resources:
        words += [segment.text(3, component) for component in (1, 2, 3, 4)]
    words = [word for word in words if word]
    for word in words:
        stations = Station.objects.filter(is_active=True).select_related("room")
        station = stations.filter(ae_title=word).first() or stations.filter(name__iexact=word).first()
        if station is not None:
            return station, None
    for word in words:
        rooms = Room.objects.filter(is_active=True)
        room = rooms.filter(code__iexact=word).first() or rooms.filter(name__iexact=word).first()
        if room is not None:
            return None, room
    return None, None


# --- what is done


def _known(wanted: Wanted, context: Context) -> Reservation | None:
    rows = SenderAppointment.objects.filter(
        sending_application=context.row.sending_application,
        sending_facility=context.row.sending_facility,
        number=wanted.number,
    )
    row = rows.select_related("reservation__procedure__order__patient", "reservation__room").first()
    return row.reservation if row is not None else None


def _remember(wanted: Wanted, reservation: Reservation, context: Context) -> None:
    SenderAppointment.objects.update_or_create(
        sending_application=context.row.sending_application,
        sending_facility=context.row.sending_facility,
        number=wanted.number,
        defaults={"reservation": reservation},
    )


def _when(wanted: Wanted, message: Message) -> dt.datetime:
    if wanted.starts_at is None:
        raise Hl7Error(REQUIRED_MISSING, message.required("SCH").location(11, 4), "The appointment has no time.")
    return wanted.starts_at


def _overbooking(context: Context) -> dict[str, object]:
    return {"overbook": True, "reason": _("Planned by its sender")} if context.sender.may_overbook else {}


def _book(message: Message, wanted: Wanted, patient: Patient, context: Context) -> Reservation:
    starts_at = _when(wanted, message)
    if wanted.station is None and wanted.room is None:
        text = "Neither AIG-3 nor AIL-3 names a station or room that is known here."
        raise Hl7Error(UNKNOWN_KEY, _resource_place(message), text)
    procedure = _procedure(message, wanted, patient, context)
    reservation = worklist.book_appointment(
        procedure,
        station=wanted.station,
        room=wanted.room,
        starts_at=starts_at,
        duration_minutes=wanted.minutes,
        actor=context.actor,
        **_overbooking(context),
    )
    _remember(wanted, reservation, context)
    return reservation


def _resource_place(message: Message) -> Location:
    segment = message.first("AIL") or message.first("AIG")
    return segment.location(3) if segment is not None else message.location("AIL")


def _procedure(message: Message, wanted: Wanted, patient: Patient, context: Context) -> RequestedProcedure:
    """Of the order that SCH-26 or SCH-27 names, else the patient's one exam of that code without appointment."""
    sch = message.required("SCH")
    placer, filler = sch.text(26), sch.text(27)
    issuer = (sch.text(26, 2) or context.row.sending_application)[:64]
    rows = RequestedProcedure.objects.select_related("order__patient", "catalogue").order_by("pk")
    waiting = rows.filter(status__in=OPEN_BEFORE_EXAM).exclude(
        appointments__kind=ReservationKind.APPOINTMENT, appointments__status__in=OPEN
    )
    asked = ProcedureData(codes=wanted.codes, segment=wanted.segment) if wanted.codes else None
    exam = codes.catalogue_of(asked, context) if asked is not None else None
    if placer or filler:
        order = _order(placer, issuer, filler)
        if order is not None:
            if order.patient_id != patient.pk:
                raise Hl7Error(UNKNOWN_KEY, sch.location(26), "The order is not of the patient in PID-3.")
            own = list(waiting.filter(order=order))
            fitting = [row for row in own if exam is not None and row.catalogue_id == exam.pk] or own
            if not fitting:
                raise Hl7Error(DUPLICATE_KEY, sch.location(26), "Every exam of this order has an appointment.")
            return fitting[0]
    elif exam is not None:
        found = list(waiting.filter(order__patient=patient, catalogue=exam)[:2])
        if len(found) == 1:
            return found[0]
    if asked is None:
        where = sch.location(26) if placer else message.location("AIS")
        raise Hl7Error(UNKNOWN_KEY, where, "No order is known for this appointment, and AIS-3 names no exam.")
    return _new_order(message, asked, placer or wanted.number, issuer, patient, context)


def _order(placer: str, issuer: str, filler: str) -> Order | None:
    found = Order.objects.select_related("patient")
    if placer and (known := found.filter(placer_order_number=placer, placer_issuer=issuer).first()) is not None:
        return known
    return found.filter(filler_order_number=filler).first() if filler else None


def _new_order(
    message: Message, asked: ProcedureData, placer: str, issuer: str, patient: Patient, context: Context
) -> RequestedProcedure:
    stay, sch = mapping.visit(message, maps=context.maps), message.required("SCH")
    created = orders.create_order(
        patient=patient,
        procedures=[codes.request(asked, context)],
        indication=sch.text(7, 2) or sch.text(7),
        patient_class=stay.patient_class,
        location=codes.line(stay.location, 64),
        visit=visits.record(message, patient, context),
        requester=requester_of(mapping.person(sch, 16), default_issuer=issuer, actor=context.actor),
        placer_order_number=placer[:64],
        placer_issuer=issuer,
        allow_unmapped=True,
        is_accepted=True,
        actor=context.actor,
    )
    rows = list(created.procedures.select_related("order__patient", "catalogue").order_by("pk"))
    codes.note_unmapped(rows, [asked], context)
    return rows[0]


def _move(message: Message, wanted: Wanted, known: Reservation, context: Context) -> Outcome:
    starts_at, procedure = _when(wanted, message), known.procedure
    assert procedure is not None
    if known.status not in OPEN:
        if message.event == BOOKS:
            return _outcome(known, NOTHING_CHANGED)
        reservation = worklist.book_appointment(
            procedure,
            station=wanted.station,
            room=wanted.room or (None if wanted.station else known.room),
            starts_at=starts_at,
            duration_minutes=wanted.minutes,
            actor=context.actor,
            **_overbooking(context),
        )
        _remember(wanted, reservation, context)
        return _outcome(reservation, "")
    is_there = wanted.station in (None, known.station) and wanted.room in (None, known.room)
    if is_there and known.starts_at == starts_at and wanted.minutes in (None, known.duration_minutes):
        return _outcome(known, NOTHING_CHANGED)
    moved = worklist.reschedule_appointment(
        known,
        station=wanted.station,
        room=wanted.room,
        starts_at=starts_at,
        duration_minutes=wanted.minutes,
        actor=context.actor,
        **(_overbooking(context) or {"reason": _reason(message)}),
    )
    return _outcome(moved, "")


def _reason(message: Message) -> str:
    """SCH-6, else SCH-7, in words; else the event."""
    sch = message.required("SCH")
    words = sch.text(6, 2) or sch.text(6) or sch.text(7, 2) or sch.text(7)
    return codes.line(words, 80) or _("HL7 %(type)s") % {"type": f"SIU^{message.event}"}


def _cancel(message: Message, known: Reservation, context: Context) -> Outcome:
    if known.status not in OPEN:
        return _outcome(known, NOTHING_CHANGED)
    return _outcome(worklist.cancel_appointment(known, reason=_reason(message), actor=context.actor), "")


def _no_show(known: Reservation, context: Context) -> Outcome:
    if known.status not in OPEN:
        return _outcome(known, NOTHING_CHANGED)
    assert known.procedure is not None
    worklist.mark_no_show(known.procedure, actor=context.actor)
    return _outcome(known, "")
