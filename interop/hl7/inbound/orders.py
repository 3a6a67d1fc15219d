"""Orders from outside: ORM^O01, OMG^O19 and OMI^O23 by the table of ORC-1 x ORC-5 (HL7 tables 0119 and 0038; IHE RAD-2,
RAD-3).

What comes too late (the exam has begun) is accepted as a message, AA, and declined as a request: UC, UD or UX goes to
the destinations that take ORR.
"""

from __future__ import annotations

import re
from dataclasses import replace

from django.utils.translation import gettext as _

from interop.hl7 import mapping
from interop.hl7.inbound.adt import NOTHING_CHANGED, find_or_register, patient_of, refuse_another_person, resolve
from interop.hl7.inbound.people import requester_of
from interop.hl7.mapping import OrderData, ProcedureData
from interop.hl7.messages import DUPLICATE_KEY, REQUIRED_MISSING, TABLE_VALUE, UNKNOWN_KEY, Hl7Error, Message
from interop.hl7.outbound.order_replies import reply
from interop.hl7.processor import Context, Outcome, handles
from interop.models import MessageStatus
from orders import services as orders
from orders.models import Order, Patient, RequestedProcedure
from orders.models.orders import CLOSED_WITHOUT_EXAM, OPEN_BEFORE_EXAM

NEW, CANCEL, DISCONTINUE, CHANGE, NOTE = "new", "cancel", "discontinue", "change", "note"
#: (ORC-1, ORC-5) -> what is done; everything else is refused with its place
ACTIONS: dict[tuple[str, str], str] = {
    ("NW", ""): NEW,
    ("NW", "SC"): NEW,
    ("NW", "IP"): NEW,
    ("CA", ""): CANCEL,
    ("CA", "CA"): CANCEL,
    ("DC", ""): DISCONTINUE,
    ("DC", "CA"): DISCONTINUE,
    ("DC", "DC"): DISCONTINUE,
    ("XO", "SC"): CHANGE,
    ("XO", "IP"): CHANGE,
    ("XO", "CM"): NOTE,
    ("SC", "SC"): NOTE,
    ("SC", "IP"): NOTE,
    ("SC", "CM"): NOTE,
    ("SC", "A"): NOTE,
}
#: what is done -> (ORC-1 of the answer when it was, when it was too late)
REPLIES = {NEW: ("OK", "UA"), CANCEL: ("CR", "UC"), DISCONTINUE: ("DR", "UD"), CHANGE: ("XR", "UX")}
LOCAL_SCHEMES = ("", "L", "LOCAL")
CODE_LENGTH = 16
DOCTOR_CANCELED = "110500"
TOO_LATE = "The exam has begun: the request is declined."


@handles("ORM^O01", "OMG^O19", "OMI^O23")
def on_order(message: Message, context: Context) -> Outcome:
    data = patient_of(message, context)
    outcome = Outcome()
    for order in mapping.orders(message, zone=context.zone):
        action = ACTIONS.get((order.control, order.status))
        if action is None:
            text = f"ORC-1 {order.control or '(empty)'} with ORC-5 {order.status or '(empty)'} means nothing here."
            raise Hl7Error(TABLE_VALUE, order.segment.location(1, 1), text[:80], fatal=True)
        if action == NEW:
            done = _new(message, order, find_or_register(data, context), context)
        else:
            known = _order_of(order)
            _refuse_another_patient(known, data, context)
            done = _later(action, message, order, known, context)
        worse = outcome.status == MessageStatus.UNMAPPED
        outcome = replace(done, status=outcome.status) if worse else done
    return outcome


def _outcome(order: Order, text: str = "") -> Outcome:
    procedures = list(order.procedures.order_by("pk"))
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
        _map_again(known, order, context)
        return _outcome(known, NOTHING_CHANGED)
    if not order.procedures:
        raise Hl7Error(REQUIRED_MISSING, message.location("OBR"), "The order has no OBR.")
    first, stay = order.procedures[0], mapping.visit(message)
    visit = None
    if stay.visit_number:
        visit = orders.record_visit(
            patient,
            visit_number=stay.visit_number,
            issuer=context.row.sending_facility[:64] or context.row.sending_application[:64],
            patient_class=stay.patient_class,
            location=stay.location,
            actor=context.actor,
        )
    created = orders.create_order(
        patient=patient,
        procedures=[_request(procedure) for procedure in order.procedures],
        priority=order.priority or "routine",
        indication=first.indication,
        clinical_information=first.clinical_information,
        patient_class=stay.patient_class,
        location=line(stay.location, 64),
        transport=line(first.transport, 64),
        isolation=line(first.isolation, 64),
        visit=visit,
        requester=requester_of(order.requester, default_issuer=order.placer_issuer, actor=context.actor),
        placer_order_number=order.placer_number,
        placer_issuer=order.placer_issuer,
        ordered_at=order.ordered_at,
        allow_unmapped=True,
        actor=context.actor,
    )
    reply(message, created, "OK", actor=context.actor)
    return _outcome(created)


def line(text: str, length: int) -> str:
    """Descriptive text of a sender as one DICOM line: no control characters, no backslash, not too long."""
    return re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text)).replace("\\", "/").strip()[:length].strip()


def _scheme(scheme: str) -> str:
    return "" if scheme.upper() in LOCAL_SCHEMES else line(scheme, 16)


def _chosen_code(procedure: ProcedureData) -> tuple[str, str, str]:
    """The first of the sender's codes that the catalogue knows, else the first."""
    for code, meaning, scheme in procedure.codes:
        if len(code) <= CODE_LENGTH and orders.find_catalogue(code, _scheme(scheme)) is not None:
            return code, meaning, _scheme(scheme)
    code, meaning, scheme = procedure.codes[0]
    return code, meaning, _scheme(scheme)


def _request(procedure: ProcedureData) -> orders.ProcedureRequest:
    code, meaning, scheme = _chosen_code(procedure)
    description = line(meaning, 64)
    if line(code, CODE_LENGTH) != code:  # longer than DICOM's SH, or not of its characters: it is kept in words
        code, description = "", line(f"{code} {meaning}", 64)
    known = orders.find_catalogue(code, scheme) if code else None
    return orders.ProcedureRequest(
        code=code,
        scheme=scheme,
        description=known.name if known is not None else description or line(code, 64),
        laterality=procedure.laterality if known is None or known.has_laterality else "",
        accession_number=procedure.accession_number,
        study_instance_uid=procedure.study_instance_uid,
        requested_procedure_id=procedure.requested_procedure_id,
        modality=procedure.modality,
    )


def _map_again(order: Order, data: OrderData, context: Context) -> None:
    """A code that was unknown when the order came may be in the catalogue by now."""
    waiting = [row for row in order.procedures.order_by("pk") if row.is_unmapped and row.status in OPEN_BEFORE_EXAM]
    for row in waiting:
        for procedure in data.procedures:
            code, _meaning, scheme = _chosen_code(procedure)
            if code == row.code and orders.find_catalogue(code, scheme) is not None:
                orders.change_procedure(
                    row,
                    code=code,
                    scheme=scheme,
                    laterality=procedure.laterality,
                    reason=_("Mapped"),
                    actor=context.actor,
                )


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
    if action == NOTE:
        return _outcome(order, "Noted; the state of an exam comes from the modality.")
    statuses = list(order.procedures.values_list("status", flat=True))
    done, too_late = REPLIES[action]
    if any(status not in OPEN_BEFORE_EXAM and status not in CLOSED_WITHOUT_EXAM for status in statuses):
        reply(message, order, too_late, actor=context.actor)
        return _outcome(order, TOO_LATE)
    if all(status in CLOSED_WITHOUT_EXAM for status in statuses):
        return _outcome(order, NOTHING_CHANGED)
    if action == CHANGE:
        _change(data, order, context)
    else:
        orders.cancel_order(order, reason_code=DOCTOR_CANCELED, reason_text=line(data.reason, 200), actor=context.actor)
    order.refresh_from_db()
    reply(message, order, done, actor=context.actor)
    return _outcome(order)


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
    rows = list(order.procedures.filter(status__in=OPEN_BEFORE_EXAM).order_by("pk"))
    for position, procedure in enumerate(data.procedures):
        row = next((row for row in rows if row.accession_number == procedure.accession_number), None)
        if row is None and position < len(rows):
            row = rows[position]
        if row is not None:
            _change_exam(row, procedure, context)


def _change_exam(row: RequestedProcedure, procedure: ProcedureData, context: Context) -> None:
    code, _meaning, scheme = _chosen_code(procedure)
    catalogue = orders.find_catalogue(code, scheme) if len(code) <= CODE_LENGTH else None
    side = procedure.laterality or row.laterality
    if catalogue is None:
        if code == row.code:
            return
        assert procedure.segment is not None
        text = "The catalogue does not know the new exam: the order stays as it was."
        raise Hl7Error(TABLE_VALUE, procedure.segment.location(4), text)
    side = side if catalogue.has_laterality else ""
    if catalogue.pk == row.catalogue_id and side == row.laterality:
        return
    orders.change_procedure(row, code=code, scheme=scheme, laterality=side, reason=_("HL7 XO"), actor=context.actor)
