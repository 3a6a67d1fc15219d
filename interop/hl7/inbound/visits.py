"""PV1: visits recorded, moved, ended, taken back."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone
from django.utils.translation import gettext as _

from interop.hl7 import mapping
from interop.hl7.messages import Message
from interop.hl7.processor import Context
from orders import services as orders
from orders.models import Order, Patient, Visit
from orders.models.orders import OPEN_BEFORE_EXAM

NO_VISIT = "No visit of this number is known here; nothing was changed."


def issuer_of(context: Context) -> str:
    """Whose visit numbers they are: MSH-4's, else MSH-3's."""
    return context.row.sending_facility[:64] or context.row.sending_application[:64]


def record(message: Message, patient: Patient, context: Context) -> Visit | None:
    """The visit of PV1-19, made or brought up to date; None where PV1 names none."""
    stay = mapping.visit(message, maps=context.maps)
    if not stay.visit_number:
        return None
    return orders.record_visit(
        patient,
        visit_number=stay.visit_number,
        issuer=issuer_of(context),
        patient_class=stay.patient_class,
        location=stay.location,
        admitted_at=_time(message, "PV1", 44, context),
        actor=context.actor,
    )


def _time(message: Message, name: str, number: int, context: Context) -> dt.datetime | None:
    segment = message.first(name)
    return mapping.timestamp(segment, number, zone=context.zone) if segment is not None else None


def _known(message: Message, patient: Patient, context: Context) -> Visit | None:
    number = mapping.visit(message, maps=context.maps).visit_number
    own = Visit.objects.filter(patient=patient, issuer=issuer_of(context))
    if number:
        return own.filter(visit_number=number).first()
    return own.filter(discharged_at__isnull=True, cancelled_at__isnull=True).order_by("-pk").first()


def move(message: Message, patient: Patient, context: Context) -> str:
    """To PV1-3, with the orders of the visit that still wait."""
    visit = record(message, patient, context) or _known(message, patient, context)
    place = mapping.visit(message, maps=context.maps).location
    if visit is None or not place:
        return NO_VISIT
    if visit.location != place:
        visit = orders.change_visit(visit, location=place, actor=context.actor)
    waiting = Order.objects.filter(patient=patient, visit=visit, status__in=OPEN_BEFORE_EXAM).exclude(location=place)
    for order in waiting.order_by("pk"):
        orders.change_order(order, location=place, reason=_("Patient moved"), actor=context.actor)
    return ""


def discharge(message: Message, patient: Patient, context: Context) -> str:
    visit = record(message, patient, context) or _known(message, patient, context)
    if visit is None:
        return NO_VISIT
    moment = _time(message, "PV1", 45, context) or _time(message, "EVN", 2, context) or timezone.now()
    orders.change_visit(visit, discharged_at=moment, actor=context.actor)
    return ""


def reopen(message: Message, patient: Patient, context: Context) -> str:
    visit = record(message, patient, context) or _known(message, patient, context)
    if visit is None:
        return NO_VISIT
    orders.change_visit(visit, discharged_at=None, actor=context.actor)
    return ""


def withdraw(message: Message, patient: Patient, context: Context) -> str:
    visit = _known(message, patient, context)
    if visit is None:
        return NO_VISIT
    orders.change_visit(visit, cancelled_at=visit.cancelled_at or timezone.now(), actor=context.actor)
    return ""
