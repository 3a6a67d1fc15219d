"""Appointments, rooms, steps, studies and exceptions, as far as the actor may see them."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Prefetch, Q, QuerySet

from orders.models import PatientIdentifier, RequestedProcedure
from ris.core.actor import Actor
from worklist import permissions as perms
from worklist.models import (
    ExceptionItem,
    ImagingStudy,
    PerformedProcedureStep,
    Reconciliation,
    Reservation,
    Room,
    ScheduledProcedureStep,
    ScreeningAnswer,
    Station,
)


def appointments(*, actor: Actor) -> QuerySet[Reservation]:
    """Appointments, holds and blocks."""
    if not actor.may(perms.VIEW_SCHEDULE):
        return Reservation.objects.none()
    return Reservation.objects.visible_to(actor).select_related(
        "room", "station", "technologist", "held_by", "procedure__order__patient", "procedure__catalogue"
    )


def patient_numbers(patients: Iterable[int | None]) -> dict[int | None, str]:
    """The usual medical record number of each of these patients, in one query."""
    rows = PatientIdentifier.objects.filter(patient__in={pk for pk in patients if pk is not None}, type="MR")
    found: dict[int | None, str] = {}
    for patient, value in rows.exclude(use="old").order_by("pk").values_list("patient", "value"):
        found.setdefault(patient, value)
    return found


def rooms(*, actor: Actor) -> QuerySet[Room]:
    """Rooms of the sites the actor works at, with their stations and hours."""
    rows = Room.objects.prefetch_related("stations", "opening_hours").select_related("site")
    if actor.user is not None:
        sites = [site.pk for site in actor.user.sites.all()]
        if sites:
            rows = rows.filter(site__in=sites) | rows.filter(site__isnull=True)
    return rows.order_by("code")


def stations(*, actor: Actor) -> QuerySet[Station]:
    return Station.objects.select_related("room").order_by("ae_title")


def steps(*, actor: Actor) -> QuerySet[ScheduledProcedureStep]:
    if not actor.may(perms.VIEW_STEP):
        return ScheduledProcedureStep.objects.none()
    return (
        ScheduledProcedureStep.objects.visible_to(actor)
        .select_related("procedure__order__patient", "station__room", "appointment")
        .prefetch_related(Prefetch("performed_steps", PerformedProcedureStep.objects.select_related("station")))
        .defer("item")
    )


def performed_steps(*, actor: Actor) -> QuerySet[PerformedProcedureStep]:
    if not actor.may(perms.VIEW_STEP):
        return PerformedProcedureStep.objects.none()
    return (
        PerformedProcedureStep.objects.visible_to(actor)
        .select_related("station")
        .prefetch_related("scheduled_steps__procedure__order__patient")
    )


def studies(*, actor: Actor) -> QuerySet[ImagingStudy]:
    if not actor.may(perms.VIEW_STUDY):
        return ImagingStudy.objects.none()
    return ImagingStudy.objects.visible_to(actor).prefetch_related("procedures__order__patient")


def exceptions(*, actor: Actor) -> QuerySet[ExceptionItem]:
    return ExceptionItem.objects.visible_to(actor).select_related(
        "study", "performed_step", "procedure__order__patient", "station", "resolved_by"
    )


def reconciliations(*, actor: Actor) -> QuerySet[Reconciliation]:
    return Reconciliation.objects.visible_to(actor).select_related(
        "source__order__patient",
        "target__order__patient",
        "study__merged_into",
        "performed_step",
        "done_by",
        "undone_by",
    )


def reconciliations_of(procedure: RequestedProcedure, *, actor: Actor) -> QuerySet[Reconciliation]:
    """What was decided about this exam's evidence, newest first."""
    return reconciliations(actor=actor).filter(Q(source=procedure) | Q(target=procedure))


def screenings(*, actor: Actor) -> QuerySet[ScreeningAnswer]:
    visible = RequestedProcedure.objects.visible_to(actor).values("pk")
    return ScreeningAnswer.objects.filter(procedure__in=visible).select_related(
        "questionnaire", "procedure__order__patient", "answered_by", "overridden_by"
    )
