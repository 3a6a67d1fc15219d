"""ADT: patients registered, corrected and merged as the sender says (HL7 2.5.1 chapter 3; IHE RAD-1, RAD-12).

An update of a patient that is not known here registers them: a feed begins on a day when most people exist already.
"""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _noop

from interop.hl7 import mapping
from interop.hl7.inbound import visits
from interop.hl7.mapping import Identifier, PatientData
from interop.hl7.messages import (
    DUPLICATE_KEY,
    REQUIRED_MISSING,
    SEGMENT_SEQUENCE,
    UNKNOWN_KEY,
    Hl7Error,
    Message,
    Segment,
)
from interop.hl7.processor import Context, Outcome, handles
from interop.models import RetiredIdentifier, ReversedMerge, UnknownSurvivor
from orders import services as orders
from orders.models import IdentifierUse, Patient, PatientIdentifier, PatientMerge

NOTHING_CHANGED = "Known already; nothing was changed."


def patient_of(message: Message, context: Context) -> PatientData:
    data = mapping.patient(message.required("PID"), default_issuer=context.issuer, maps=context.maps)
    if context.sender.retired_identifier == RetiredIdentifier.REFUSE and is_retired(data.identifiers[0]):
        assert data.segment is not None
        raise Hl7Error(UNKNOWN_KEY, data.segment.location(3), "PID-3 was merged into another number.")
    return data


def resolve(identifiers: tuple[Identifier, ...], context: Context) -> Patient | None:
    """The patient who has one of these; of a merged record, the survivor."""
    return orders.resolve_patient(identifiers=[identifier.key for identifier in identifiers], actor=context.actor)


def is_retired(identifier: Identifier) -> bool:
    """Whether a merge has taken this identifier out of use."""
    rows = PatientIdentifier.objects.filter(value=identifier.value, issuer=identifier.issuer).select_related("patient")
    return any(row.patient.merged_into_id is not None or row.use == IdentifierUse.OLD for row in rows)


def came_by_merge(identifier: Identifier) -> bool:
    """Whether it was another record's before a merge that still holds."""
    rows = PatientIdentifier.objects.filter(value=identifier.value, issuer=identifier.issuer)
    for row in rows:
        for merge in PatientMerge.objects.filter(survivor=row.patient_id, undone_at__isnull=True):
            if row.pk in merge.moved.get("orders.patientidentifier", []):
                return True
    return False


def register(data: PatientData, context: Context) -> Patient:
    assert data.segment is not None
    if not data.fields.get("family_name"):
        raise Hl7Error(REQUIRED_MISSING, data.segment.location(5, 1), "PID-5 holds no family name.")
    rows = [
        {"value": row.value, "issuer": row.issuer, "type": row.type, "use": "temp" if row.type == "PT" else "usual"}
        for row in data.identifiers
    ]
    return orders.register_patient(identifiers=rows, actor=context.actor, **data.fields)


def update(patient: Patient, data: PatientData, context: Context, *, use: str = "secondary") -> Patient:
    """What the sender valued, and identifiers that were not known; a retired identifier changes nothing."""
    first = data.identifiers[0]
    rows = PatientIdentifier.objects.filter(Q(patient=patient) | Q(value=first.value, issuer=first.issuer))
    known = set()
    for owner, value, issuer, of_use, merged_into in rows.values_list(
        "patient_id", "value", "issuer", "use", "patient__merged_into"
    ):
        is_first = (value, issuer) == (first.value, first.issuer)
        if is_first and (of_use == IdentifierUse.OLD or merged_into is not None):
            return patient
        if owner == patient.pk:
            known.add((value, issuer))
    new = [
        {"value": row.value, "issuer": row.issuer, "type": row.type, "use": use}
        for row in data.identifiers
        if (row.value, row.issuer) not in known
    ]
    return orders.update_patient(
        patient,
        identifiers=new,
        reason=_("HL7 %(type)s") % {"type": context.row.message_type},
        actor=context.actor,
        **data.fields,
    )


def find_or_register(data: PatientData, context: Context) -> Patient:
    """For an order: its patient as known here; demographics are corrected by ADT only.

    Raises Hl7Error when name and date of birth both contradict what is known under the identifier.
    """
    patient = resolve(data.identifiers, context)
    if patient is None:
        return register(data, context)
    refuse_another_person(patient, data)
    return patient


def refuse_another_person(patient: Patient, data: PatientData) -> None:
    assert data.segment is not None
    family, born = data.fields.get("family_name", ""), data.fields.get("birth_date")
    other_name = bool(family) and family.casefold() != patient.family_name.casefold()
    other_day = born is not None and patient.birth_date is not None and born != patient.birth_date
    if other_name and other_day and not is_retired(data.identifiers[0]):
        text = "Name and date of birth in PID are not those of the patient known under PID-3."
        raise Hl7Error(UNKNOWN_KEY, data.segment.location(5), text)


@handles(
    "ADT^A01",
    "ADT^A04",
    "ADT^A05",
    "ADT^A08",
    "ADT^A28",
    "ADT^A31",
    does=_noop('registers the patient, or changes what is valued (`""` deletes); PV1-19 records the visit'),
)
def on_patient(message: Message, context: Context) -> Outcome:
    patient = _registered(message, context)
    if message.event not in ("A28", "A31"):
        visits.record(message, patient, context)
    return Outcome(patient=patient.uuid)


def _registered(message: Message, context: Context) -> Patient:
    data = patient_of(message, context)
    patient = resolve(data.identifiers, context)
    return register(data, context) if patient is None else update(patient, data, context)


@handles("ADT^A02", "ADT^A12", does=_noop("moves the visit to PV1-3, and its exams that have not begun with it"))
def on_transfer(message: Message, context: Context) -> Outcome:
    patient = _registered(message, context)
    return Outcome(patient=patient.uuid, text=visits.move(message, patient, context))


@handles("ADT^A03", does=_noop("ends the visit at PV1-45, else EVN-2"))
def on_discharge(message: Message, context: Context) -> Outcome:
    patient = _registered(message, context)
    return Outcome(patient=patient.uuid, text=visits.discharge(message, patient, context))


@handles("ADT^A13", does=_noop("opens the visit again"))
def on_discharge_cancelled(message: Message, context: Context) -> Outcome:
    patient = _registered(message, context)
    return Outcome(patient=patient.uuid, text=visits.reopen(message, patient, context))


@handles("ADT^A11", "ADT^A23", does=_noop("takes the visit back; the patient and their orders stay"))
def on_visit_withdrawn(message: Message, context: Context) -> Outcome:
    patient = resolve(patient_of(message, context).identifiers, context)
    if patient is None:
        return Outcome(text="The patient is not known here; nothing was changed.")
    return Outcome(patient=patient.uuid, text=visits.withdraw(message, patient, context))


@handles(
    "ADT^A18",
    "ADT^A34",
    "ADT^A40",
    does=_noop("merges MRG-1 into PID-3; a repeat changes nothing, the reverse is AR 205, MRG-1 = PID-3 is AR"),
)
def on_merge(message: Message, context: Context) -> Outcome:
    """Each PID survives its MRG. Repeating a merge changes nothing; reversing one is refused."""
    outcome = Outcome(text=NOTHING_CHANGED)
    for group in message.groups("PID"):
        data = mapping.patient(group[0], default_issuer=context.issuer, maps=context.maps)
        outcome = _merge(data, _prior(group, message), context)
    if outcome.patient is None:
        raise Hl7Error(SEGMENT_SEQUENCE, message.location("PID"), "Segment PID is missing.")
    return outcome


def _prior(group: list[Segment], message: Message) -> Segment:
    mrg = next((segment for segment in group if segment.name == "MRG"), None)
    if mrg is None:
        raise Hl7Error(SEGMENT_SEQUENCE, message.location("MRG"), "Segment MRG is missing.")
    return mrg


@handles("ADT^A47", does=_noop("gives the patient of MRG-1 the number in PID-3; the old one stays findable"))
def on_new_number(message: Message, context: Context) -> Outcome:
    data = mapping.patient(message.required("PID"), default_issuer=context.issuer, maps=context.maps)
    mrg = message.required("MRG")
    prior = _prior_identifiers(mrg, data, context)
    patient, holder = resolve(prior, context), resolve(data.identifiers, context)
    if patient is None:
        if holder is None:
            raise Hl7Error(UNKNOWN_KEY, mrg.location(1), "The patient in MRG-1 is not known here.")
        return Outcome(patient=holder.uuid, text=NOTHING_CHANGED)
    if holder is not None and holder.pk != patient.pk:
        assert data.segment is not None
        text = "The number in PID-3 is another patient's: merge them with A40."
        raise Hl7Error(DUPLICATE_KEY, data.segment.location(3), text)
    if holder is not None and is_retired(prior[0]):
        return Outcome(patient=holder.uuid, text=NOTHING_CHANGED)
    patient = update(patient, data, context, use="usual")
    for row in PatientIdentifier.objects.filter(patient=patient).exclude(use=IdentifierUse.OLD):
        if any(row.value == known.value and row.issuer == known.issuer for known in prior):
            orders.retire_identifier(row, actor=context.actor)
    return Outcome(patient=patient.uuid)


def _prior_identifiers(mrg: Segment, data: PatientData, context: Context) -> tuple[Identifier, ...]:
    prior = mapping.identifiers(mrg, 1, default_issuer=context.issuer, maps=context.maps)
    if not prior:
        raise Hl7Error(REQUIRED_MISSING, mrg.location(1), "MRG-1 holds no patient identifier.")
    if {identifier.key for identifier in prior} & {identifier.key for identifier in data.identifiers}:
        raise Hl7Error(DUPLICATE_KEY, mrg.location(1), "MRG-1 matches PID-3.", fatal=True)
    return prior


def _merge(data: PatientData, mrg: Segment, context: Context) -> Outcome:
    prior = _prior_identifiers(mrg, data, context)
    loser, survivor = resolve(prior, context), resolve(data.identifiers, context)
    if loser is None:
        raise Hl7Error(UNKNOWN_KEY, mrg.location(1), "The patient in MRG-1 is not known here.")
    if survivor is not None and survivor.pk == loser.pk:
        is_reversed = came_by_merge(data.identifiers[0]) and not came_by_merge(prior[0])
        if is_reversed and context.sender.reversed_merge == ReversedMerge.REFUSE:
            text = "PID-3 was merged into MRG-1 before: the reverse merge is refused."
            raise Hl7Error(DUPLICATE_KEY, mrg.location(1), text, fatal=True)
        return Outcome(patient=survivor.uuid, text=NOTHING_CHANGED)
    if survivor is None:
        if context.sender.unknown_survivor == UnknownSurvivor.REFUSE:
            assert data.segment is not None
            raise Hl7Error(UNKNOWN_KEY, data.segment.location(3), "The patient in PID-3 is not known here.")
        survivor = register(data, context)
    reason = _("HL7 %(type)s") % {"type": context.row.message_type}
    orders.merge_patients(survivor=survivor, loser=loser, reason=reason, actor=context.actor)
    return Outcome(patient=survivor.uuid)
