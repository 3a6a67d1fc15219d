"""Orders from outside: ORM^O01, OMG^O19 and OMI^O23 by the table of ORC-1 x ORC-5 (HL7 tables 0119 and 0038; IHE RAD-2,
RAD-3).

What comes too late (the exam has begun) is accepted as a message, AA, and declined as a request: UC, UD or UX goes to
the destinations that take ORR, and who does or reads the exam is told, as its requester does not want it like this.
"""

from __future__ import annotations

from dataclasses import replace

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _noop

from interop.hl7 import mapping, maps
from interop.hl7.inbound import codes, planning, visits
from interop.hl7.inbound.adt import NOTHING_CHANGED, find_or_register, patient_of, refuse_another_person, resolve
from interop.hl7.inbound.codes import line
from interop.hl7.inbound.people import requester_of
from interop.hl7.mapping import OrderData, ProcedureData
from interop.hl7.messages import DUPLICATE_KEY, REQUIRED_MISSING, TABLE_VALUE, UNKNOWN_KEY, Hl7Error, Message
from interop.hl7.outbound.order_replies import reply
from interop.hl7.processor import Context, Outcome, handles
from interop.models import MessageStatus
from orders import services as orders
from orders.models import Order, Patient, RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM, OPEN_BEFORE_EXAM, ProcedureStatus
from worklist.models import ExceptionKind
from worklist.services.support import raise_exception

DOCTOR_CANCELED = "110500"
TOO_LATE = "The exam has begun: the request is declined."


@handles("ORM^O01", "OMG^O19", "OMI^O23", does=_noop("orders, by the table of ORC-1 and ORC-5"))
def on_order(message: Message, context: Context) -> Outcome:
    data = patient_of(message, context)
    outcome, replaced = Outcome(), None
    for order in mapping.orders(message, zone=context.zone, maps=context.maps):
        action = context.maps.action(order.control, order.status)
        if action == maps.REFUSE:
            text = f"ORC-1 {order.control or '(empty)'} with ORC-5 {order.status or '(empty)'} means nothing here."
            raise Hl7Error(TABLE_VALUE, order.segment.location(1, 1), text[:80], fatal=True)
        if action == maps.NEW:
            done = _new(message, order, find_or_register(data, context), context)
        elif action == maps.REPLACEMENT:
            done = _instead(message, order, replaced, find_or_register(data, context), context)
            replaced = None
        else:
            known = _order_of(order)
            _refuse_another_patient(known, data, context)
            done = _later(action, message, order, known, context)
            replaced = known if action == maps.REPLACE and done.text not in (TOO_LATE, NOTHING_CHANGED) else None
        worse = outcome.status == MessageStatus.UNMAPPED
        outcome = replace(done, status=outcome.status) if worse else done
    return outcome


def _outcome(order: Order, text: str = "", *, rows: list[RequestedProcedure] | None = None) -> Outcome:
    procedures = list(order.procedures.order_by("pk")) if rows is None else rows
    is_unmapped = any(procedure.is_unmapped and procedure.status in OPEN_BEFORE_EXAM for procedure in procedures)
    return Outcome(
        status=MessageStatus.UNMAPPED if is_unmapped else MessageStatus.PROCESSED,
        patient=order.patient.uuid,
        accession_number=procedures[0].accession_number if procedures else "",
        text=text,
    )


# --- NW


def _new(message: Message, order: OrderData, patient: Patient, context: Context) -> Outcome:
    if not order.placer_number:
        raise Hl7Error(REQUIRED_MISSING, order.segment.location(2), "A new order has no placer order number.")
    known = Order.objects.filter(placer_order_number=order.placer_number, placer_issuer=order.placer_issuer).first()
    if known is not None:
        if known.patient_id != patient.pk:
            text = "This placer order number belongs to an order of another patient."
            raise Hl7Error(DUPLICATE_KEY, order.segment.location(2), text)
        codes.map_again(known, order, context)
        return _outcome(known, NOTHING_CHANGED)
    if not order.procedures:
        raise Hl7Error(REQUIRED_MISSING, message.location("OBR"), "The order has no OBR.")
    created, rows = _create(message, order, patient, context)
    reply(message, created, "OK", actor=context.actor)
    return _outcome(created, rows=rows)


def _create(
    message: Message, order: OrderData, patient: Patient, context: Context
) -> tuple[Order, list[RequestedProcedure]]:
    first, stay = order.procedures[0], mapping.visit(message, maps=context.maps)
    requests = [codes.request(procedure, context) for procedure in order.procedures]
    created = orders.create_order(
        patient=patient,
        procedures=requests,
        priority=order.priority or "routine",
        indication=first.indication,
        clinical_information=first.clinical_information,
        patient_class=stay.patient_class,
        location=line(stay.location, 64),
        transport=line(first.transport, 64),
        isolation=line(first.isolation, 64),
        visit=visits.record(message, patient, context),
        requester=requester_of(order.requester, default_issuer=order.placer_issuer, actor=context.actor),
        placer_order_number=order.placer_number,
        placer_issuer=order.placer_issuer,
        ordered_at=order.ordered_at,
        allow_unmapped=True,
        is_accepted=planning.is_planned(order),
        actor=context.actor,
    )
    rows = list(created.procedures.order_by("pk"))
    codes.note_unmapped(rows, order.procedures, context)
    planning.plan(order, rows, context)
    return created, rows


# --- CA, DC, XO, SC


def _order_of(order: OrderData) -> Order:
    """By placer order number, else by our filler order number or accession number; the row is looked up here only."""
    found = Order.objects.select_related("patient")
    if order.placer_number:
        known = found.filter(placer_order_number=order.placer_number, placer_issuer=order.placer_issuer).first()
        if known is not None:
            return known
    if order.filler_number:
        known = found.filter(filler_order_number=order.filler_number).first()
        if known is not None:
            return known
        procedure = RequestedProcedure.objects.filter(accession_number=order.filler_number).first()
        if procedure is not None:
            return found.get(pk=procedure.order_id)
    field = 2 if order.placer_number or not order.filler_number else 3
    raise Hl7Error(UNKNOWN_KEY, order.segment.location(field), "This order is not known here.")


def _refuse_another_patient(order: Order, data: mapping.PatientData, context: Context) -> None:
    assert data.segment is not None
    patient = resolve(data.identifiers, context)
    if patient is None or patient.pk != order.patient_id:
        raise Hl7Error(UNKNOWN_KEY, data.segment.location(3), "The order is not of the patient in PID-3.")
    refuse_another_person(patient, data)


def _later(action: str, message: Message, data: OrderData, order: Order, context: Context) -> Outcome:
    if action == maps.NOTE:
        return _outcome(order, "Noted; the state of an exam comes from the modality.")
    statuses = list(order.procedures.values_list("status", flat=True))
    done, too_late = maps.REPLIES[action]
    has_begun = any(status not in OPEN_BEFORE_EXAM and status not in CLOSED_WITHOUT_EXAM for status in statuses)
    if has_begun or (action == maps.HOLD and ProcedureStatus.ARRIVED in statuses):
        reply(message, order, too_late, actor=context.actor)
        _tell_too_late(order, data.control, context)
        return _outcome(order, TOO_LATE)
    if all(status in CLOSED_WITHOUT_EXAM for status in statuses):
        return _outcome(order, NOTHING_CHANGED)
    if action in (maps.HOLD, maps.RELEASE):
        if not _held(action, data, order, context):
            return _outcome(order, NOTHING_CHANGED)
    elif action == maps.CHANGE:
        _change(data, order, context)
    elif action == maps.REPLACE:
        _replace_by_own(message, data, order, context)
    else:
        orders.cancel_order(order, reason_code=DOCTOR_CANCELED, reason_text=line(data.reason, 200), actor=context.actor)
    order.refresh_from_db()
    reply(message, order, done, actor=context.actor)
    return _outcome(order)


def _held(action: str, data: OrderData, order: Order, context: Context) -> bool:
    """HD and RL: whether there was something to hold or to release."""
    rows = [row for row in _open(order) if (row.status == ProcedureStatus.ON_HOLD) == (action == maps.RELEASE)]
    for row in rows:
        reason = line(data.reason, 150)
        if action == maps.RELEASE:
            orders.release_procedure(row, reason_text=reason, actor=context.actor)
        else:
            orders.hold_procedure(row, reason_text=reason or str(_("Asked by the sender")), actor=context.actor)
    return bool(rows)


def _tell_too_late(order: Order, control: str, context: Context) -> None:
    """One open item for each exam that has begun; what is asked again joins it."""
    for row in order.procedures.select_related("order__patient").order_by("pk"):
        if row.status not in OPEN_BEFORE_EXAM and row.status not in CLOSED_WITHOUT_EXAM:
            raise_exception(
                ExceptionKind.LATE_REQUEST,
                procedure=row,
                detail={"code": control, "status": row.status},
                actor=context.actor,
            )


# --- RP and RO


def _open(order: Order) -> list[RequestedProcedure]:
    rows = order.procedures.select_related("order__patient", "catalogue").order_by("pk")
    return [row for row in rows if row.status in OPEN_BEFORE_EXAM]


def _replace_by_own(message: Message, data: OrderData, order: Order, context: Context) -> None:
    """An RP without an RO after it names the new exam itself: the same order, a new accession number."""
    if any(segment.text(1).upper() == "RO" for segment in message.all("ORC")):
        return
    for row, procedure in zip(_open(order), data.procedures, strict=False):
        wanted = codes.request(procedure, context)
        if codes.catalogue_of(procedure, context) is None:
            raise codes.unknown_exam(procedure)
        orders.replace_procedure(
            row,
            by=replace(wanted, accession_number="", study_instance_uid="", requested_procedure_id=""),
            reason_code=DOCTOR_CANCELED,
            reason_text=line(data.reason, 200),
            actor=context.actor,
        )


def _instead(message: Message, data: OrderData, old: Order | None, patient: Patient, context: Context) -> Outcome:
    """The order of the RO, in the place of the RP's: that stays, replaced, and links to this one."""
    outcome = _new(message, data, patient, context)
    if old is None:
        return outcome
    new = Order.objects.get(placer_order_number=data.placer_number, placer_issuer=data.placer_issuer)
    by = new.procedures.select_related("order__patient").order_by("pk").first()
    if by is None or new.pk == old.pk:
        raise Hl7Error(DUPLICATE_KEY, data.segment.location(2), "The RO needs a placer order number of its own.")
    for row in _open(old):
        orders.supersede_procedure(
            row, by=by, reason_code=DOCTOR_CANCELED, reason_text=line(data.reason, 200), actor=context.actor
        )
    return outcome


# --- XO


def _change(data: OrderData, order: Order, context: Context) -> None:
    """What the sender valued: priority, question, information, requester, and the exam itself."""
    fields: dict[str, object] = {}
    if data.priority and data.priority != order.priority:
        fields["priority"] = data.priority
    if data.procedures:
        first = data.procedures[0]
        wanted = {
            "indication": first.indication,
            "clinical_information": first.clinical_information,
            "transport": line(first.transport, 64),
            "isolation": line(first.isolation, 64),
        }
        fields |= {name: value for name, value in wanted.items() if value and value != getattr(order, name)}
    requester = requester_of(data.requester, default_issuer=data.placer_issuer, actor=context.actor)
    if requester is not None and requester.pk != order.requester_id:
        fields["requester"] = requester
    if fields:
        orders.change_order(order, reason=_("HL7 XO"), actor=context.actor, **fields)
    rows = _open(order)
    pairs: list[tuple[RequestedProcedure, ProcedureData]] = []
    for position, procedure in enumerate(data.procedures):
        row = next((row for row in rows if row.accession_number == procedure.accession_number), None)
        if row is None and position < len(rows):
            row = rows[position]
        if row is not None:
            codes.change_exam(row, procedure, context)
            pairs.append((row, procedure))
    if planning.is_planned(data):
        for row, procedure in pairs:
            planning.plan_exam(row, procedure, context)
