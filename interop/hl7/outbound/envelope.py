"""The segments that every message of ours shares: MSH, PID, PV1, ORC. Rows in, values for ``messages.build`` out."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from interop.hl7.messages import Value
from interop.models import AcknowledgementMode, Hl7Destination
from orders.models import IdentifierUse, Order, Patient, PatientIdentifier
from ris.accounts.models import Practitioner, User
from ris.tenants.context import require_facility
from ris.tenants.models import MLLPReceiver

Segments = list[tuple[str, list[Value]]]
APPLICATION = "PICHA"
VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8")
#: MSH-15, MSH-16 (table 0155)
ASKED = {AcknowledgementMode.COMMIT: ("AL", "NE"), AcknowledgementMode.BOTH: ("AL", "AL")}


def own_names() -> tuple[str, str]:
    """MSH-3 and MSH-4: the names under which this facility receives, so that answers find their way."""
    facility = require_facility()
    receiver = MLLPReceiver.objects.filter(facility=facility, is_active=True).exclude(receiving_facility="").first()
    if receiver is None:
        return APPLICATION, facility.ae_title
    return receiver.receiving_application or APPLICATION, receiver.receiving_facility


def when(moment: dt.datetime | None) -> str:
    """TS in the facility's local time, with its offset."""
    return timezone.localtime(moment).strftime("%Y%m%d%H%M%S%z") if moment else ""


def msh(destination: Hl7Destination, kind: tuple[str, ...], control_id: str) -> tuple[str, list[Value]]:
    application, facility = own_names()
    parties = [application, facility, destination.receiving_application, destination.receiving_facility]
    if destination.hl7_version < "2.3.1":
        kind = kind[:2]
    identity: list[Value] = [when(timezone.now()), None, kind, control_id, "P", destination.hl7_version]
    accept, application_answer = ASKED.get(AcknowledgementMode(destination.acknowledgement_mode), (None, None))
    return "MSH", [*parties, *identity, None, None, accept, application_answer, None, destination.character_set]


def evn(event: str) -> tuple[str, list[Value]]:
    return "EVN", [event, when(timezone.now())]


def pid(patient: Patient) -> tuple[str, list[Value]]:
    identifiers = list(patient.identifiers.all())
    primary = patient.primary_identifier
    ordered = sorted(identifiers, key=lambda row: (row.pk != getattr(primary, "pk", None), row.pk))
    numbers = [cx(row) for row in ordered if row.use != IdentifierUse.OLD or row == primary]
    born = patient.birth_date
    day = "" if born is None else f"{born:%Y}" if patient.birth_date_is_estimated else f"{born:%Y%m%d}"
    return "PID", ["1", None, numbers, None, names(patient), None, day, patient.sex]


def full_pid(patient: Patient) -> tuple[str, list[Value]]:
    """With where the patient lives and is reached; for those who keep patients themselves."""
    name, values = pid(patient)
    phones: list[Value] = [(patient.phone,)] if patient.phone else []
    if patient.email:
        phones.append((None, "NET", "Internet", patient.email))
    address = (" ".join(patient.address.split()),) if patient.address else None
    return name, [*values, None, None, address, None, phones or None, None, patient.language or None]


def cx(row: PatientIdentifier) -> tuple[Any, ...]:
    return row.value, None, None, row.issuer, row.type


def names(patient: Patient) -> list[tuple[Any, ...]]:
    """XPN: legal name alphabetic, then the ideographic and phonetic groups."""
    names: list[tuple[Any, ...]] = [
        (
            patient.family_name,
            patient.given_name,
            patient.middle_name,
            patient.suffix,
            patient.prefix,
            None,
            "L",
            "A" if patient.ideographic_name or patient.phonetic_name else None,
        )
    ]
    for group, form in ((patient.ideographic_name, "I"), (patient.phonetic_name, "P")):
        if group:
            parts = (group.split("^") + ["", "", ""])[:3]
            names.append((*parts, None, None, None, "L", form))
    return names


def pv1(order: Order) -> tuple[str, list[Value]]:
    visit = order.visit
    values: list[Value] = ["1", order.patient_class, (order.location,) if order.location else None]
    number = (visit.visit_number, None, None, visit.issuer) if visit is not None else None
    return "PV1", [*values, *[None] * 15, number]


def orc(order: Order, control: str, status: str = "") -> tuple[str, list[Value]]:
    values: list[Value] = [control, placer(order), filler(order), None, status, None, None, None, when(timezone.now())]
    return "ORC", [*values, None, None, practitioner(order.requester)]


def placer(order: Order) -> tuple[str, ...] | None:
    return (order.placer_order_number, order.placer_issuer) if order.placer_order_number else None


def filler(order: Order) -> tuple[str, str]:
    return order.filler_order_number, own_names()[0]


def practitioner(row: Practitioner | None) -> tuple[Any, ...] | None:
    """XCN"""
    if row is None:
        return None
    return (row.identifier, row.family_name, row.given_name, None, row.suffix, row.prefix, None, None, row.issuer)


def user_name(user: User) -> tuple[Any, ...]:
    """CNN: the registration number where there is one, else the sign-in."""
    row = Practitioner.objects.filter(user=user).first()
    number = row.identifier if row is not None and row.identifier else user.username
    return number, user.family_name or user.username, user.given_name, None, None, user.prefix
